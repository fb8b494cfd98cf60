package ingest

import (
	"bytes"
	"fmt"
	"math"
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
	modules     modules  // of a raw file
	strings     []string // of an interpreted file
	// places are the frames at a code address, innermost first: more than one
	// where functions were inlined there. A raw file finds them by address.
	places  [][]FrameID
	byIP    map[uint64]uint32
	traces  []heaptrackTrace
	classes []heaptrackClass
	frames  []FrameID // scratch
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
	for h.classEvents() {
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
	return nil
}

// classEvents takes the lines at the front of what has been read that are plain "+ CLASS"
// or "- CLASS": nearly all of an interpreted file. It returns false when nobody listens any
// more.
func (h *heaptrack) classEvents() bool {
	const most = len("+ ") + 8
	l := h.d.lines
	for len(h.classes) > 0 && len(l.ahead) > most {
		b := l.ahead
		class, n := hexDigits(b[2:most])
		if b[1] != ' ' || b[2+n] != '\n' || n == 0 || class >= uint64(len(h.classes)) || b[0] != '+' && b[0] != '-' {
			break
		}
		l.ahead = b[2+n+1:]
		l.n++
		h.d.report.Recognised++
		if b[0] == '+' && !h.allocOf(class) || b[0] == '-' && !h.freeOf(class) {
			return false
		}
	}
	return true
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
		return h.allocOf(first)
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
	return h.d.alloc(h.event(int64(first), h.stack(trace), addr))
}

// allocOf is an allocation of a class that there is.
func (h *heaptrack) allocOf(class uint64) bool {
	c := &h.classes[class]
	return h.d.allocClass(h.event(c.size, c.stack, 0), &c.live)
}

// freeOf is a free of a class that there is.
func (h *heaptrack) freeOf(class uint64) bool {
	c := &h.classes[class]
	return h.d.freeClass(h.event(c.size, c.stack, 0), &c.live)
}

// event is the decoder's, as it stands on the line.
func (h *heaptrack) event(size int64, stack StackID, addr uint64) *Event {
	e := &h.d.event
	*e = Event{Size: size, Stack: stack, Addr: addr, Line: h.d.lines.n}
	return e
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
		return h.d.free(h.event(0, 0, what))
	case what >= uint64(len(h.classes)):
		return h.bad("free of class %#x, of %#x", what, len(h.classes))
	}
	return h.freeOf(what)
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
