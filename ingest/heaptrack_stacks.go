package ingest

import (
	"bytes"
	"math"
)

// How heaptrack files name call stacks: modules, strings, places and traces, each
// with the number of its line among those of its kind.

// trace takes "t ADDRESS PARENT" of a raw file or "t PLACE PARENT" of an
// interpreted one. A damaged line still counts, so that the traces after it keep
// their numbers.
func (h *heaptrack) trace(f hexFields) bool {
	at, ok1 := f.next()
	parent, ok2 := f.next()
	t := heaptrackTrace{}
	// Callers are stored before what they call, so there are no circles.
	ok := ok1 && ok2 && f.empty() && parent <= uint64(len(h.traces))
	switch {
	case !ok:
	case !h.interpreted:
		t = heaptrackTrace{place: h.resolve(at), parent: uint32(parent)}
	case at > uint64(len(h.places)):
		ok = false
	default:
		t = heaptrackTrace{place: uint32(at), parent: uint32(parent)}
	}
	h.traces = append(h.traces, t)
	return ok
}

// stack is the call stack of a trace that exists, or of trace 0: none.
func (h *heaptrack) stack(index uint64) StackID {
	if index == 0 {
		return 0
	}
	t := &h.traces[index-1]
	if t.known {
		return t.stack
	}
	h.frames = h.frames[:0]
	for i := uint32(index); i != 0 && len(h.frames) < maxDepth; i = h.traces[i-1].parent {
		if place := h.traces[i-1].place; place != 0 {
			h.frames = append(h.frames, h.places[place-1]...)
		}
	}
	t.stack, t.known = h.d.stacks.Stack(h.frames), true
	return t.stack
}

// place takes "i ADDRESS MODULE [FUNCTION [FILE LINE (FUNCTION FILE LINE)*]]": the
// innermost function first, then those into which it is inlined, all but the
// address as numbers of strings. A damaged line keeps its number.
func (h *heaptrack) place(f hexFields) bool {
	addr, ok1 := f.next()
	module, ok2 := h.nextString(&f)
	frames := []Frame{{Module: module, Address: addr}}
	ok := ok1 && ok2 && (f.empty() || h.function(&f, &frames[0]))
	for ok && !f.empty() && len(frames) < maxDepth {
		frames[len(frames)-1].Inlined = true
		frames = append(frames, Frame{Module: module, Address: addr})
		ok = h.function(&f, &frames[len(frames)-1])
	}
	var ids []FrameID
	if ok1 && ok2 {
		for _, frame := range frames {
			ids = append(ids, h.d.stacks.Frame(frame))
		}
	}
	h.places = append(h.places, ids)
	return ok
}

// function takes "FUNCTION [FILE LINE]".
func (h *heaptrack) function(f *hexFields, frame *Frame) bool {
	name, ok := h.nextString(f)
	if !ok {
		return false
	}
	frame.Function = h.d.symbol([]byte(name))
	if f.empty() {
		return true
	}
	file, ok1 := h.nextString(f)
	line, ok2 := f.next()
	if !ok1 || !ok2 || line > math.MaxInt32 {
		return false
	}
	frame.File, frame.Line = file, int(line)
	return true
}

// nextString takes the number of a string, from 1; 0 is the empty string.
func (h *heaptrack) nextString(f *hexFields) (string, bool) {
	i, ok := f.next()
	if !ok || i > uint64(len(h.strings)) {
		return "", false
	}
	if i == 0 {
		return "", true
	}
	return h.strings[i-1], true
}

// string takes "s LENGTH TEXT", or "s TEXT" before version 3. A damaged line
// keeps its number.
func (h *heaptrack) string(f hexFields) bool {
	text, ok := h.text(&f, false)
	h.strings = append(h.strings, string(text))
	return ok && f.empty()
}

// class takes "a SIZE TRACE". A damaged line keeps its number.
func (h *heaptrack) class(f hexFields) bool {
	size, ok1 := f.next()
	trace, ok2 := f.next()
	c := heaptrackClass{}
	ok := ok1 && ok2 && f.empty() && size <= maxBlock && trace <= uint64(len(h.traces))
	if ok {
		c.size, c.stack = int64(size), h.stack(trace)
	}
	h.classes = append(h.classes, c)
	return ok
}

// module takes "m LENGTH NAME BASE (START SIZE)*", the mappings of one module
// relative to its base; "m 1 -" empties the table, because it follows anew.
func (h *heaptrack) module(f hexFields) bool {
	text, ok := h.text(&f, true)
	if !ok {
		return false
	}
	if string(text) == "-" {
		h.modules.clear()
		clear(h.byIP)
		return f.empty()
	}
	name := h.d.text(text)
	if name == "x" && h.exe != "" {
		name = h.exe
	}
	base, ok := f.next()
	for ok && !f.empty() {
		start, ok1 := f.next()
		size, ok2 := f.next()
		if ok = ok1 && ok2; ok {
			h.modules.add(segment{base + start, base + start + size, base, name})
		}
	}
	return ok
}

// text takes "LENGTH TEXT", or before version 3 TEXT alone: one word of the line
// or all that is left of it.
func (h *heaptrack) text(f *hexFields, word bool) ([]byte, bool) {
	n := uint64(math.MaxUint64)
	if h.version >= 3 {
		var ok bool
		if n, ok = f.next(); !ok {
			return nil, false
		}
	}
	rest, ok := bytes.CutPrefix(f.b, []byte(" "))
	switch {
	case !ok:
		return nil, h.version >= 3 && n == 0
	case h.version >= 3 && n > uint64(len(rest)):
		f.b = nil
		return rest, false
	case h.version >= 3:
	case word:
		n = uint64(len(rest))
		if i := bytes.IndexByte(rest, ' '); i >= 0 {
			n = uint64(i)
		}
	default:
		n = uint64(len(rest))
	}
	f.b = rest[n:]
	return rest[:n], true
}

// resolve returns the place of a code address of a raw file: which module it is
// in and where there.
func (h *heaptrack) resolve(ip uint64) uint32 {
	if place, ok := h.byIP[ip]; ok {
		return place
	}
	h.places = append(h.places, []FrameID{h.d.stacks.Frame(h.modules.frame(ip))})
	place := uint32(len(h.places))
	h.byIP[ip] = place
	return place
}
