package ingest

import (
	"bytes"
	_ "embed"
	"fmt"
)

// GDBScript has gdb write a log of format "gdb": a breakpoint at every entry of the
// allocator. How to use it is told in its first lines.
//
//go:embed gdb/allocations.py
var GDBScript string

// The log of GDBScript:
//
//	leakformer-gdb 1
//	command: ./prog
//	0.002196 7 8 realloc(0x5555555592c0, 200) = 0x555555559380
//		0x5555555552bf	grow	/src/prog.c:23	/src/prog
//	end: 1 allocs, 1 frees
//
// A call has the time in seconds, its process and thread; behind it stand its
// callers, the innermost first: address, function, place and module with tabs
// between them, and the word inlined where the next contains it.

const gdbMagic = "leakformer-gdb "

func sniffGDB(head []byte) string {
	first := true
	if headLines(head, func(line []byte) bool {
		found := first && bytes.HasPrefix(line, []byte(gdbMagic))
		first = false
		return found
	}) {
		return ""
	}
	return `the first line is not "leakformer-gdb 1"`
}

// gdbLog reads one log.
type gdbLog struct {
	d         *decoder
	functions map[string]*traced
	frames    map[string]FrameID
	// call waits for its callers.
	call   gdbCall
	opened bool
	stack  []FrameID
	ended  bool
}

// gdbCall is a call and what it returned.
type gdbCall struct {
	tracedCall
	event Event
	addr  uint64
}

func readGDB(d *decoder) error {
	r := &gdbLog{d: d, functions: map[string]*traced{}, frames: map[string]FrameID{}}
	line, ok := d.lines.next()
	if version := string(bytes.TrimPrefix(line, []byte(gdbMagic))); !ok || version != "1" {
		return &FormatError{File: d.report.Name, Msg: fmt.Sprintf("a gdb log of version %.20q: this program reads 1", version)}
	}
	d.report.Recognised++
	d.report.Tool = "gdb"
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		if len(line) == 0 {
			continue
		}
		d.report.Recognised++
		switch {
		case d.lines.partial:
			d.truncated("the last line has no end and is left out")
		case !r.line(line):
			return nil
		}
	}
	if r.close() && !r.ended && !d.report.Truncated {
		d.truncated("the log ends before the program")
	}
	return nil
}

func (r *gdbLog) line(line []byte) bool {
	if line[0] == '\t' {
		return r.frame(line[1:])
	}
	if !r.close() {
		return false
	}
	if command, ok := bytes.CutPrefix(line, []byte("command: ")); ok {
		r.d.report.Command = string(command)
		return true
	}
	if sum, ok := bytes.CutPrefix(line, []byte("end: ")); ok {
		r.ended = true
		r.d.oracle("calls", string(sum), fmt.Sprintf("%d allocs, %d frees", r.d.report.Allocs, r.d.report.Frees))
		return true
	}
	if !r.open(line) {
		return r.d.bad(r.d.lines.n, "call not understood: %.120q", line)
	}
	if r.call.size > maxBlock && r.call.addr != 0 {
		r.opened = false
		return r.d.bad(r.d.lines.n, "%s of %d bytes", r.call.fn.name, r.call.size)
	}
	return true
}

// open reads a call up to its result.
func (r *gdbLog) open(line []byte) bool {
	stamp, rest, _ := bytes.Cut(line, []byte{' '})
	at, timed := parseSeconds(stamp)
	pid, rest, pidOK := parsePID(rest)
	tid, rest, tidOK := parsePID(rest)
	name, rest, ok := cutName(rest)
	if !timed || !pidOK || !tidOK || !ok {
		return false
	}
	fn := r.functions[string(name)]
	if fn == nil {
		known := classify(string(name))
		if known.kind == notCall || known.kind == otherCall {
			return false
		}
		fn = &known
		r.functions[known.name] = fn
	}
	call, rest, ok := fn.parse(rest)
	if !ok {
		return false
	}
	r.call = gdbCall{tracedCall: call, event: Event{PID: pid, TID: tid, Line: r.d.lines.n}}
	if result, found := bytes.CutPrefix(rest, resultMark); found {
		r.call.addr, ok = parsePointer(result)
	} else {
		ok = fn.kind == freeCall && len(rest) == 0
	}
	if !ok {
		return false
	}
	r.opened, r.stack = true, r.stack[:0]
	r.d.report.Clock = Stamps
	r.d.now = max(r.d.now, at)
	return true
}

// parsePID reads a number and the blank behind it.
func parsePID(s []byte) (pid int32, rest []byte, ok bool) {
	n, rest, ok := leadingDigits(s)
	if !ok || n >= 1<<31 || len(rest) == 0 || rest[0] != ' ' {
		return 0, nil, false
	}
	return int32(n), rest[1:], true
}

// close emits the call that was waiting for its callers.
func (r *gdbLog) close() bool {
	if !r.opened {
		return true
	}
	r.opened = false
	c := &r.call
	if c.fn.kind == freeCall {
		return c.block == 0 || r.free(c.block, 0)
	}
	moves := c.block != 0
	switch {
	case c.addr == 0 && moves && c.size == 0:
		return r.free(c.block, 0)
	case c.addr == 0:
		return true // It failed, and changed nothing.
	case moves && !r.free(c.block, Realloc):
		return false
	}
	e := c.event
	e.Addr, e.Size = c.addr, int64(c.size)
	if moves {
		e.Flags = Realloc
	}
	frames := append(r.stack, 0)
	copy(frames[1:], frames)
	frames[0] = r.d.stacks.Frame(Frame{Function: c.fn.name})
	e.Stack = r.d.stacks.Stack(frames)
	return r.d.alloc(&e)
}

func (r *gdbLog) free(addr uint64, flags Flags) bool {
	e := r.call.event
	e.Addr, e.Flags = addr, flags
	return r.d.free(&e)
}

// frame reads a caller.
func (r *gdbLog) frame(text []byte) bool {
	if !r.opened {
		return true // Of a call that was not understood.
	}
	id, ok := r.frames[string(text)]
	if !ok {
		f, ok := r.parseFrame(text)
		if !ok {
			return r.d.bad(r.d.lines.n, "caller not understood: %.120q", text)
		}
		id = r.d.stacks.Frame(f)
		if len(r.frames) >= maxCached {
			clear(r.frames)
		}
		r.frames[string(text)] = id
	}
	if len(r.stack) < maxDepth {
		r.stack = append(r.stack, id)
	}
	return true
}

func (r *gdbLog) parseFrame(text []byte) (f Frame, ok bool) {
	columns := bytes.Split(text, []byte{'\t'})
	if len(columns) != 4 && (len(columns) != 5 || string(columns[4]) != "inlined") {
		return f, false
	}
	if f.Address, ok = parsePointer(columns[0]); !ok {
		return f, false
	}
	f.Function = r.d.symbol(columns[1])
	if place := columns[2]; len(place) > 0 {
		i := bytes.LastIndexByte(place, ':')
		if i < 0 || !isDecimal(place[i+1:]) {
			return f, false
		}
		n, _, _ := leadingDigits(place[i+1:])
		f.File, f.Line = r.d.text(place[:i]), int(n)
	}
	f.Module, f.Inlined = r.d.text(columns[3]), len(columns) == 5
	return f, true
}
