package ingest

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// The data files of KDE's heaptrack, as its preloaded library writes them (raw)
// and as heaptrack_interpret rewrites them (interpreted). Grammar and versions
// are those of heaptrack's src/track/libheaptrack.cpp, src/interpret and
// src/analyze/accumulatedtracedata.cpp.

// heaptrackVersion is the newest version of the file format that is read.
const heaptrackVersion = 3

// maxDepth bounds a call stack; heaptrack itself stops at 64 code addresses.
const maxDepth = 512

// heaptrackLetters are the first letters of a heaptrack file's lines.
const heaptrackLetters = "vxXIASmsita+-cR#"

// sniffHeaptrack wants the version line first; files of the first releases have
// none and start with the program.
func sniffHeaptrack(head []byte) string {
	var first []byte
	wellFormed := true
	headLines(head, func(line []byte) bool {
		if first == nil {
			first = bytes.Clone(line)
		}
		wellFormed = wellFormed && isHeaptrackLine(line)
		return !wellFormed
	})
	f := hexFields{first}
	if f.letter('v') {
		if _, ok := f.next(); ok && len(first) < 64 {
			return ""
		}
	}
	if wellFormed && (bytes.HasPrefix(first, []byte("x /")) || bytes.HasPrefix(first, []byte("X "))) {
		return ""
	}
	return `the first line is not "v VERSION FILEVERSION"`
}

func isHeaptrackLine(line []byte) bool {
	return len(line) == 0 || bytes.IndexByte([]byte(heaptrackLetters), line[0]) >= 0 &&
		(len(line) == 1 || line[1] == ' ')
}

// heaptrack reads one file of either kind.
type heaptrack struct {
	d       *decoder
	version uint64
	exe     string
	// interpreted: traces name places by number, and (since file version 1)
	// events name classes; else they give addresses.
	interpreted bool
	// modules of a raw file, by start address once sorted is set.
	modules []segment
	sorted  bool
	strings []string // of an interpreted file
	// places are the frames at a code address, innermost first: more than one
	// where functions were inlined there. A raw file finds them by address.
	places  [][]FrameID
	byIP    map[uint64]uint32
	traces  []heaptrackTrace
	classes []heaptrackClass
	frames  []FrameID // scratch
}

// segment is one mapping of a module.
type segment struct {
	start, end uint64
	base       uint64 // what to subtract to get the address in the module's file
	module     string
}

// heaptrackTrace is a call stack: a code address and the index, from 1, of the
// trace of the callers.
type heaptrackTrace struct {
	place, parent uint32
	stack         StackID
	known         bool // stack is set
}

// heaptrackClass is all blocks of one size from one stack.
type heaptrackClass struct {
	size  int64
	stack StackID
	live  fifo
}

func readHeaptrack(d *decoder) error {
	h := &heaptrack{d: d, byIP: map[uint64]uint32{}}
	for {
		line, ok := d.lines.next()
		if !ok {
			return nil
		}
		if d.lines.partial {
			d.truncated("the last line has no end and is left out; the recording was cut off")
			return nil
		}
		if len(line) == 0 {
			continue
		}
		if line[0] == 'v' {
			if err := h.versionLine(line); err != nil {
				return err
			}
			continue
		}
		if !h.line(line) {
			return nil
		}
	}
}

// versionLine takes "v TOOLVERSION [FILEVERSION]".
func (h *heaptrack) versionLine(line []byte) error {
	f := hexFields{line}
	var tool, file uint64
	ok := f.letter('v')
	if ok {
		tool, ok = f.next()
	}
	if ok && !f.empty() {
		file, ok = f.next()
	} else if tool == 0x10200 {
		file = 1 // The release that first had classes, and no second field yet.
	}
	if !ok || !f.empty() {
		h.bad("version line not understood: %.120q", line)
		return nil
	}
	h.d.report.Recognised++
	h.d.report.Tool = fmt.Sprintf("heaptrack %d.%d.%d", tool>>16, tool>>8&0xff, tool&0xff)
	if file > heaptrackVersion {
		return &FormatError{File: h.d.report.Name, Msg: fmt.Sprintf(
			"is of heaptrack's file version %d (%s), and %d is the newest that can be read: record it with heaptrack 1.4",
			file, h.d.report.Tool, heaptrackVersion)}
	}
	h.version = file
	return nil
}

// line takes any other line; it returns false when nobody listens any more.
func (h *heaptrack) line(line []byte) bool {
	if len(line) > 1 && line[1] != ' ' {
		return h.bad("not a line of a heaptrack file: %.120q", line)
	}
	f := hexFields{line[1:]}
	h.d.report.Recognised++
	ok := true
	switch line[0] {
	case '+':
		return h.plus(f, line)
	case '-':
		return h.minus(f, line)
	case 't':
		ok = h.trace(f)
	case 's':
		h.interpreted = true
		ok = h.string(f)
	case 'i':
		h.interpreted = true
		ok = h.place(f)
	case 'a':
		h.interpreted = true
		ok = h.class(f)
	case 'c':
		ok = h.clock(f)
	case 'm':
		ok = h.module(f)
	case 'x':
		var exe []byte
		exe, ok = h.text(&f, false)
		ok = ok && f.empty()
		h.exe = string(exe)
	case 'X':
		h.d.report.Command = string(bytes.TrimSpace(line[1:]))
	case 'A':
		h.d.report.Warn("%s:%d: heaptrack was attached to the running program: the frees of earlier blocks are orphans",
			h.d.report.Name, h.d.lines.n)
	case 'I', 'R', 'S', '#':
		// Page size and memory; resident pages; a suppression; a comment.
	default:
		h.d.report.Recognised--
		return h.bad("not a line of a heaptrack file: %.120q", line)
	}
	if !ok {
		return h.bad("line not understood: %.120q", line)
	}
	return !h.d.done
}

func (h *heaptrack) bad(format string, args ...any) bool {
	return h.d.bad(h.d.lines.n, format, args...)
}

// plus takes "+ SIZE TRACE ADDRESS", or "+ CLASS" where blocks have classes.
func (h *heaptrack) plus(f hexFields, line []byte) bool {
	first, ok := f.next()
	if !ok {
		return h.bad("line not understood: %.120q", line)
	}
	if f.empty() {
		if first >= uint64(len(h.classes)) {
			return h.bad("allocation of class %#x, of %#x", first, len(h.classes))
		}
		c := &h.classes[first]
		return h.d.allocClass(Event{Size: c.size, Stack: c.stack, Line: h.d.lines.n}, &c.live)
	}
	trace, ok1 := f.next()
	addr, ok2 := f.next()
	if !ok1 || !ok2 || !f.empty() || len(h.classes) > 0 || addr == 0 {
		return h.bad("line not understood: %.120q", line)
	}
	if trace > uint64(len(h.traces)) {
		return h.bad("allocation from trace %#x, of %#x", trace, len(h.traces))
	}
	if first > maxBlock {
		return h.bad("allocation of %#x bytes", first)
	}
	return h.d.alloc(Event{Size: int64(first), Stack: h.stack(trace), Addr: addr, Line: h.d.lines.n})
}

// minus takes "- ADDRESS" or "- CLASS".
func (h *heaptrack) minus(f hexFields, line []byte) bool {
	what, ok := f.next()
	if !ok || !f.empty() {
		return h.bad("line not understood: %.120q", line)
	}
	switch {
	case len(h.classes) == 0:
		if what == 0 {
			return true
		}
		return h.d.free(Event{Addr: what, Line: h.d.lines.n})
	case what >= uint64(len(h.classes)):
		return h.bad("free of class %#x, of %#x", what, len(h.classes))
	}
	c := &h.classes[what]
	return h.d.freeClass(Event{Size: c.size, Stack: c.stack, Line: h.d.lines.n}, &c.live)
}

// clock takes "c MILLISECONDS" since the start.
func (h *heaptrack) clock(f hexFields) bool {
	ms, ok := f.next()
	if !ok || !f.empty() || ms > uint64(math.MaxInt64/time.Millisecond) {
		return false
	}
	h.d.report.Clock = Ticks
	h.d.now = max(h.d.now, time.Duration(ms)*time.Millisecond)
	return true
}

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
		h.modules = h.modules[:0]
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
			h.modules = append(h.modules, segment{base + start, base + start + size, base, name})
			h.sorted = false
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
// in and where there. The offset stays the same when the module is loaded
// elsewhere, and is what addr2line takes.
func (h *heaptrack) resolve(ip uint64) uint32 {
	if place, ok := h.byIP[ip]; ok {
		return place
	}
	if !h.sorted {
		slices.SortFunc(h.modules, func(a, b segment) int { return cmp.Compare(a.start, b.start) })
		h.sorted = true
	}
	frame := Frame{Address: ip}
	i, found := slices.BinarySearchFunc(h.modules, ip, func(s segment, ip uint64) int { return cmp.Compare(s.start, ip) })
	if !found {
		i--
	}
	if i >= 0 && ip < h.modules[i].end {
		frame.Module, frame.Address = h.modules[i].module, ip-h.modules[i].base
	}
	h.places = append(h.places, []FrameID{h.d.stacks.Frame(frame)})
	place := uint32(len(h.places))
	h.byIP[ip] = place
	return place
}

// hexFields reads the blank-separated hexadecimal numbers of a line.
type hexFields struct{ b []byte }

// letter takes the first byte of the line if it is c.
func (f *hexFields) letter(c byte) bool {
	if len(f.b) == 0 || f.b[0] != c {
		return false
	}
	f.b = f.b[1:]
	return true
}

// next takes one number of at most 64 bits.
func (f *hexFields) next() (v uint64, ok bool) {
	i := 0
	for i < len(f.b) && f.b[i] == ' ' {
		i++
	}
	start := i
	for ; i < len(f.b) && f.b[i] != ' '; i++ {
		c := f.b[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		v = v<<4 | uint64(c)
	}
	if start == 0 || i == start || i-start > 16 {
		return 0, false
	}
	f.b = f.b[i:]
	return v, true
}

// empty reports whether nothing but blanks is left.
func (f *hexFields) empty() bool {
	for _, c := range f.b {
		if c != ' ' {
			return false
		}
	}
	return true
}
