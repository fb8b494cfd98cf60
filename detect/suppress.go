package detect

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"leakformer/ingest"
)

// Suppressions are leaks that nobody wants to hear of: see [ReadSuppressions].
type Suppressions []Suppression

// Suppression is one entry of such a file.
//
// It is held against what tells sites apart, the innermost frames of the stack
// without the allocator's. Frames of an entry that are an allocator's are passed
// over, and those farther out than a site's are taken to fit where all of the site's
// do, one by one. Behind "...", only a frame of the site will do.
type Suppression struct {
	// File and Line, from 1, where the entry begins.
	File string
	Line int
	// Name of the entry, or its pattern where it has none.
	Name string
	// Reason is what the comment in front of the entry says.
	Reason string
	// Until is the last day on which the entry counts; zero: there is none.
	Until time.Time

	// kinds of loss that it is about; nil: all.
	kinds  []ingest.Loss
	frames []framePattern
}

// String names the entry with its place and its reason.
func (s *Suppression) String() string {
	out := fmt.Sprintf("%s:%d: %s", s.File, s.Line, s.Name)
	if s.Reason != "" {
		out += " (" + s.Reason + ")"
	}
	return out
}

// On splits the entries into those that count on a day and those that have expired.
func (s Suppressions) On(day time.Time) (valid, expired Suppressions) {
	for _, e := range s {
		if !e.Until.IsZero() && day.Format(time.DateOnly) > e.Until.Format(time.DateOnly) {
			expired = append(expired, e)
		} else {
			valid = append(valid, e)
		}
	}
	return valid, expired
}

// find returns the first entry that fits a leak, nil if there is none.
func (s Suppressions) find(f *Finding) *Suppression {
	for i := range s {
		if s[i].Fits(f) {
			return &s[i]
		}
	}
	return nil
}

// Fits reports whether the entry is about this leak. Where the log does not say how
// blocks are lost, they count as definitely lost.
func (s *Suppression) Fits(f *Finding) bool {
	if !fits(s.frames, f.Frames) {
		return false
	}
	return s.kinds == nil || !slices.ContainsFunc(f.Blocks, func(i int32) bool {
		loss := f.Run.Blocks.Loss(i)
		if loss == ingest.NotJudged || loss == ingest.Unreferenced {
			loss = ingest.Definite
		}
		return !slices.Contains(s.kinds, loss)
	})
}

// siteFrames is how many frames a site has at most: where it has as many, the stack
// may go on.
const siteFrames = 5

// fits reports whether a stack begins as the patterns say.
func fits(patterns []framePattern, frames []ingest.Frame) bool {
	for len(frames) > 0 && ingest.IsAllocator(frames[0]) {
		frames = frames[1:]
	}
	for !begins(patterns, frames) {
		if len(patterns) == 0 || !patterns[0].allocates() {
			return false
		}
		patterns = patterns[1:]
	}
	return true
}

// begins is fits without regard to allocators.
func begins(patterns []framePattern, frames []ingest.Frame) bool {
	head, rest := cutEllipsis(patterns)
	if n := len(frames); n >= siteFrames && len(head) > n {
		return fitOne(head[:n], frames)
	}
	if !fitOne(head, frames) {
		return false
	}
	frames = frames[len(head):]
	for len(rest) > 0 {
		head, rest = cutEllipsis(rest[1:])
		for !fitOne(head, frames) { // the innermost place leaves most for what follows
			if len(frames) == 0 {
				return false
			}
			frames = frames[1:]
		}
		frames = frames[len(head):]
	}
	return true
}

// cutEllipsis cuts patterns before the first "...".
func cutEllipsis(patterns []framePattern) (head, rest []framePattern) {
	i := slices.IndexFunc(patterns, func(p framePattern) bool { return p.what == anyFrames })
	if i < 0 {
		return patterns, nil
	}
	return patterns[:i], patterns[i:]
}

// fitOne reports whether there is a frame for each pattern, and fits it.
func fitOne(patterns []framePattern, frames []ingest.Frame) bool {
	for i, p := range patterns {
		if i >= len(frames) || !p.fits(frames[i]) {
			return false
		}
	}
	return true
}

// frameOf is what a pattern looks at in a frame.
type frameOf byte

const (
	anyFrames frameOf = iota // "...": none, one or several frames
	function
	object
	source
	anyPart // function, object or source, as LeakSanitizer does
)

// framePattern is a line of an entry.
type framePattern struct {
	what frameOf
	glob string
	line int // of a source; 0: any
}

func (p framePattern) fits(f ingest.Frame) bool {
	switch p.what {
	case function:
		return glob(p.glob, f.Function, '?')
	case object:
		return glob(p.glob, f.Module, '?')
	case source:
		return (p.line == 0 || p.line == f.Line) && (glob(p.glob, f.File, '?') || glob(p.glob, path.Base(f.File), '?'))
	case anyPart:
		return slices.ContainsFunc([]string{f.Function, f.Module, f.File}, func(name string) bool { return name != "" && glob(p.glob, name, 0) })
	}
	return false
}

// allocates reports whether a pattern may be meant for a frame of the allocator.
func (p framePattern) allocates() bool {
	switch p.what {
	case function:
		names := []string{"malloc", "calloc", "realloc", "memalign", "operator new(unsigned long)", "operator new[](unsigned long)"}
		return ingest.IsAllocator(ingest.Frame{Function: p.glob}) || slices.ContainsFunc(names, func(name string) bool { return glob(p.glob, name, '?') })
	case object:
		return ingest.IsAllocator(ingest.Frame{Module: p.glob})
	}
	return false
}

// glob reports whether a pattern fits the whole of a text: * stands for any bytes, one
// for one of them, if it is not 0. When it fails behind a *, that takes one byte more;
// an earlier one never has to.
func glob(pattern, text string, one byte) bool {
	star, from := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && (pattern[p] == text[t] || one != 0 && pattern[p] == one):
			p++
			t++
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
