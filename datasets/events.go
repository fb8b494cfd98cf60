package datasets

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"leakformer/ingest"
)

// VerifyEvents reads the log and refuses labels that do not fit it: another
// number of events, a block that is not live where it is said to be leaked, has
// another size, is freed later on, or is not in the last scan of a series. It
// uses up the source's events.
func (l *LogLabels) VerifyEvents(src ingest.Source) error {
	v := verifier{labels: l, sites: siteSums{}, stacks: src.Stacks(), live: map[uint64]int64{}, leaked: map[uint64]bool{}, seen: map[uint64]int32{}}
	for e, err := range src.Events() {
		var syntax *ingest.SyntaxError
		if errors.As(err, &syntax) {
			continue // counted in the source's report
		}
		if err != nil {
			return fmt.Errorf("labels: %w", err)
		}
		if err := v.event(e); err != nil {
			return fmt.Errorf("labels: log %s line %d: %w", l.Log, e.Line, err)
		}
	}
	if err := v.leaksBefore(v.events); err != nil {
		return fmt.Errorf("labels: log %s: %w", l.Log, err)
	}
	if err := errors.Join(v.inLastScan(), v.sites.cover(l.Sites)); err != nil {
		return fmt.Errorf("labels: log %s: %w", l.Log, err)
	}
	if v.next < len(l.Leaks) || l.Events != 0 && l.Events != v.events {
		return fmt.Errorf("labels: log %s has %d events, the labels are for one with %d", l.Log, v.events, l.Events)
	}
	return nil
}

// verifier replays a log beside its labels.
type verifier struct {
	labels *LogLabels
	live   map[uint64]int64 // sizes by address
	leaked map[uint64]bool
	sites  siteSums
	stacks *ingest.Stacks
	seen   map[uint64]int32 // last scan with a suspect, by its address
	scan   int32
	next   int // first leak not met
	events int64
}

func (v *verifier) event(e ingest.Event) error {
	if e.Op == ingest.Outstanding {
		// A record of a report is the block: the leak does not stand before it.
		v.live[e.Addr], v.seen[e.Addr], v.scan = e.Size, e.Scan, e.Scan
		v.events = e.Seq + 1
		if len(v.labels.Sites) > 0 {
			v.sites.add(framesOf(v.stacks.Frames(e.Stack)), e.Count, e.Size)
		}
		return v.leaksBefore(e.Seq)
	}
	if err := v.leaksBefore(e.Seq); err != nil {
		return err
	}
	v.events = e.Seq + 1
	switch e.Op {
	case ingest.Alloc:
		v.live[e.Addr] = e.Size
	case ingest.Free:
		if v.leaked[e.Addr] {
			return fmt.Errorf("block %#x is freed, the labels have it leaked", e.Addr)
		}
		delete(v.live, e.Addr)
	}
	return nil
}

// leaksBefore checks the leaks that stand before the event or earlier.
func (v *verifier) leaksBefore(event int64) error {
	for ; v.next < len(v.labels.Leaks) && v.labels.Leaks[v.next].Event <= event; v.next++ {
		l := v.labels.Leaks[v.next]
		size, ok := v.live[uint64(l.Address)]
		if !ok || size != l.Size {
			return fmt.Errorf("leak %d: no live block of %d bytes at %s at event %d", v.next, l.Size, l.Address, l.Event)
		}
		v.leaked[uint64(l.Address)] = true
	}
	return nil
}

// inLastScan checks that the last scan of a series has every leaked block: one that
// it does not have was freed, as far as the log says.
func (v *verifier) inLastScan() error {
	for i, l := range v.labels.Leaks {
		if scan, ok := v.seen[uint64(l.Address)]; ok && scan != v.scan {
			return fmt.Errorf("leak %d: the block at %s is in scan %d for the last time, and %d is the last one", i, l.Address, scan, v.scan)
		}
	}
	return nil
}

// framesOf returns a call stack as labels have it, without the allocator's frames.
func framesOf(stack []ingest.Frame) []Frame {
	for len(stack) > 0 && ingest.IsAllocator(stack[0]) {
		stack = stack[1:]
	}
	frames := make([]Frame, len(stack))
	for i, f := range stack {
		if frames[i].Function = f.Function; f.Function == "" {
			frames[i].Address = Address(f.Address)
		}
		if f.Module != "" {
			frames[i].Module = path.Base(f.Module)
		}
	}
	return frames
}

// siteSums are the outstanding blocks of a report, by the functions on their call
// stack. A frame without a function is its place; else modules do not count,
// since memcheck's text names them only for lack of source lines.
type siteSums map[string]*Site

func (s siteSums) key(frames []Frame) string {
	names := make([]string, len(frames))
	for i, f := range frames {
		if names[i] = f.Function; f.Function == "" {
			names[i] = f.Address.String() + " in " + f.Module
		}
	}
	return strings.Join(names, "\n")
}

func (s siteSums) add(frames []Frame, blocks, bytes int64) {
	k := s.key(frames)
	if s[k] == nil {
		s[k] = new(Site)
	}
	s[k].Blocks += blocks
	s[k].Bytes += bytes
}

// cover refuses sites that the report does not have, or has with fewer blocks.
func (s siteSums) cover(labels []Site) error {
	leaked := siteSums{}
	for _, l := range labels {
		leaked.add(l.Frames, l.Blocks, l.Bytes)
	}
	for i, l := range labels {
		k := s.key(l.Frames)
		if got, want := s[k], leaked[k]; got == nil || got.Blocks < want.Blocks || got.Bytes < want.Bytes {
			return fmt.Errorf("site %d (%s): the report has fewer blocks of it than the %d (%d bytes) that are labelled", i, l.Frames[0].Function, want.Blocks, want.Bytes)
		}
	}
	return nil
}
