package tokenize

import (
	"hash/fnv"
	"path"
	"strconv"
	"strings"

	"leakformer/ingest"
)

// siteFrames is how many frames, from the innermost that is not the
// allocator's, tell one allocation site from another.
const siteFrames = 5

// Key identifies an allocation site, or a looser group of sites, across runs.
type Key uint64

// Site is an allocation site: the innermost frames of an allocation's call
// stack, without the allocator's own.
type Site struct {
	// Exact is equal for the same site in another run of the same build; Names
	// is equal wherever the functions have the same names, whatever their code's
	// place, and 0 where no frame has a name.
	Exact, Names Key
	// Frames, innermost first; at most five. Empty where the log has no stacks.
	Frames []ingest.Frame
	// Label is a one-line name for people.
	Label string
}

// siteOf makes the site of a call stack. The size takes part where the log knows
// no caller: then blocks of one size are the best there is.
func siteOf(stack []ingest.Frame, size int64) Site {
	outer := stack
	for len(outer) > 0 && ingest.IsAllocator(outer[0]) {
		outer = outer[1:]
	}
	if len(outer) == 0 {
		return sizeSite(stack, size)
	}
	s := Site{Frames: outer[:min(siteFrames, len(outer))]}
	exact, names := fnv.New64a(), fnv.New64a()
	named := false
	for _, f := range s.Frames {
		e := exactName(f)
		exact.Write([]byte(e + "\n"))
		n := f.Function
		if n == "" {
			n = path.Base(f.Module)
		} else {
			named = true
		}
		names.Write([]byte(n + "\n"))
	}
	s.Exact = Key(exact.Sum64())
	if named {
		s.Names = Key(names.Sum64())
	}
	s.Label = label(s.Frames)
	return s
}

// sizeSite stands for all blocks of one size from one allocator function; of any
// size where that is negative.
func sizeSite(stack []ingest.Frame, size int64) Site {
	name := "unknown stack"
	if len(stack) > 0 {
		name = stack[0].Function
	}
	s := Site{Frames: stack, Label: name}
	if size >= 0 {
		s.Label += "(" + strconv.FormatInt(size, 10) + ")"
	}
	h := fnv.New64a()
	h.Write([]byte(s.Label))
	s.Exact = Key(h.Sum64())
	s.Names = s.Exact
	return s
}

// exactName is what a frame is called in one build: by its line where that is
// known, else by its function, else by its place in the module. The place of a
// named function does not count: in some logs it moves with every run.
func exactName(f ingest.Frame) string {
	var b strings.Builder
	b.WriteString(path.Base(f.Module))
	b.WriteByte('!')
	switch {
	case f.Function != "":
		b.WriteString(f.Function)
		if f.Line > 0 {
			b.WriteByte(':')
			b.WriteString(strconv.Itoa(f.Line))
		}
	default:
		b.WriteString(strconv.FormatUint(f.Address, 16))
	}
	return b.String()
}

func label(frames []ingest.Frame) string {
	var parts []string
	for i, f := range frames {
		if i == 3 {
			break
		}
		name := f.Function
		if name == "" {
			name = path.Base(f.Module) + "+0x" + strconv.FormatUint(f.Address, 16)
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, " < ")
}
