package datasets

import (
	"fmt"
	"iter"
	"strings"

	"leakformer/ingest"
)

// unmarked is a source that refuses a log in which something tells of the
// collector: an allocation of a marker's size, the preload library, or the folder in
// which the collector works. It sees what a tokenizer would see.
type unmarked struct {
	ingest.Source
	folder string // the collector's own; empty: not looked for
}

// Events implements [ingest.Source]. A fault is the last pair.
func (u *unmarked) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		known := 0
		for e, err := range u.Source.Events() {
			if err == nil {
				known, err = u.check(&e, known)
			}
			if !yield(e, err) {
				return
			}
		}
		for _, text := range []string{u.Report().Command, u.Report().Tool} {
			if mark := u.mark(text); mark != "" {
				yield(ingest.Event{}, fmt.Errorf("the head of the log gives the collector away: %q", mark))
				return
			}
		}
	}
}

// check looks at an event and at the frames that are new since the known ones.
func (u *unmarked) check(e *ingest.Event, known int) (int, error) {
	if e.Op == ingest.Alloc && e.Size >= markerBytes && e.Size < markerBytes+markerSpan {
		return known, fmt.Errorf("line %d: a marker of the collector is left: an allocation of %d bytes", e.Line, e.Size)
	}
	stacks := u.Stacks()
	for ; known < stacks.NumFrames(); known++ {
		f := stacks.FrameAt(ingest.FrameID(known))
		for _, text := range []string{f.Function, f.Module, f.File} {
			if mark := u.mark(text); mark != "" {
				return known, fmt.Errorf("line %d: a call stack gives the collector away: %q", e.Line, mark)
			}
		}
	}
	return known, nil
}

// mark returns what in a text tells of the collector, or nothing.
func (u *unmarked) mark(text string) string {
	for _, mark := range []string{libraryName, "leakformer_mark", controlVariable, u.folder} {
		if mark != "" && strings.Contains(text, mark) {
			return mark
		}
	}
	return ""
}
