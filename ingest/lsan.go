package ingest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// The leak report of LeakSanitizer, alone or in AddressSanitizer, as gcc and clang
// print it on standard error. It stands between whatever the program, a build or a
// test runner writes there, and other errors of AddressSanitizer have call stacks
// of the same shape: only a stack behind a line "... leak of ..." counts.
//
// One log may hold the reports of many processes. A process that asks for checks
// itself (__lsan_do_recoverable_leak_check) reports all leaks each time: its second
// report begins another scan. With report_objects=1 each object is an entry of its own.

var (
	lsanError   = []byte("ERROR: LeakSanitizer: detected memory leaks")
	lsanFailure = []byte("LeakSanitizer has encountered a fatal error")
	lsanLeak    = []byte("irect leak of ") // Direct, or Indirect
	lsanSummary = []byte("SUMMARY: ")
	lsanObjects = []byte("Objects leaked above:")
	lsanOmitted = []byte("Omitting ")
	lsanEmpty   = []byte("<empty stack>")
)

func sniffLSan(head []byte) string {
	found := headLines(head, func(line []byte) bool {
		_, ok := parseLSanLeak(line)
		return ok || bytes.Contains(line, lsanError) || bytes.Contains(line, lsanFailure)
	})
	if found {
		return ""
	}
	return `no line "ERROR: LeakSanitizer: detected memory leaks" or "Direct leak of N byte(s) in N object(s) allocated from:"`
}

// lsan is the reader.
type lsan struct {
	d    *decoder
	part lsanPart
	leak lsanRecord // being read
	// begun says that a report is being read; pid is its process.
	begun bool
	pid   int32
	shown Amount         // of its records
	scan  int32          // number of the latest scan
	seen  map[int32]bool // processes that reported in it
	// want and got are what the summaries and the records of all reports say;
	// the first that differ are kept in words.
	want, got  Amount
	summaries  int
	firstWrong [2]string
	omitted    int64
	failed     bool
	cut        bool             // the log ends in mid-record
	frames     map[string]Frame // by the text behind "#N 0x"
	plain      []byte
}

// lsanPart is the part of a record that the reader is in.
type lsanPart uint8

const (
	lsanOutside lsanPart = iota
	lsanStack
	lsanListed // the objects of the record
)

// lsanRecord is one "leak of" with its call stack.
type lsanRecord struct {
	event Event
	stack []Frame
	id    StackID // of stack, once the objects are being read
	next  int64   // number of the frame that comes next
	empty bool    // it says that it has no call stack
}

func readLSan(d *decoder) error {
	r := &lsan{d: d, seen: map[int32]bool{}, frames: map[string]Frame{}}
	d.report.Tool = "LeakSanitizer"
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		recognised, more := r.line(r.withoutColour(line))
		if !more {
			return nil
		}
		if recognised {
			d.report.Recognised++
		}
	}
	r.finish()
	return nil
}

// withoutColour drops the escape sequences that colour a terminal.
func (r *lsan) withoutColour(line []byte) []byte {
	i := bytes.Index(line, []byte("\x1b["))
	if i < 0 {
		return line
	}
	r.plain = r.plain[:0]
	for i >= 0 {
		r.plain = append(r.plain, line[:i]...)
		line = line[i+2:]
		end := bytes.IndexFunc(line, func(c rune) bool { return c != ';' && (c < '0' || c > '9') })
		line = line[min(len(line), end+1):]
		i = bytes.Index(line, []byte("\x1b["))
	}
	r.plain = append(r.plain, line...)
	return r.plain
}

// line takes one line; more is false when nobody listens any more.
func (r *lsan) line(line []byte) (recognised, more bool) {
	if r.part != lsanOutside {
		if taken, more := r.body(line); taken || !more {
			return taken, more
		}
	}
	if i := bytes.Index(line, lsanLeak); i > 0 && (line[i-1] == 'D' || line[i-1] == 'd') {
		return true, r.flush() && r.begin(line)
	}
	switch {
	case bytes.Contains(line, lsanError):
		if !r.flush() {
			return true, false
		}
		r.report(line)
	case bytes.Contains(line, lsanSummary):
		ok := r.flush()
		return r.summary(line), ok
	case bytes.Contains(line, lsanFailure):
		r.failed = true
	case bytes.Contains(line, lsanOmitted) && bytes.Contains(line, []byte("more leak")):
		s := scan{rest: line[bytes.Index(line, lsanOmitted)+len(lsanOmitted):]}
		r.omitted += s.number()
	default:
		return false, true
	}
	return true, true
}

// body takes a line that belongs to the record being read, if it does.
func (r *lsan) body(line []byte) (taken, more bool) {
	text := bytes.TrimSpace(line)
	switch {
	case len(text) == 0 && r.part == lsanStack:
		// The list of objects may follow.
		return false, true
	case r.d.lines.partial:
		r.cut = !bytes.Contains(text, lsanSummary)
		return r.cut, true
	case r.part == lsanListed:
		addr, size, ok := parseLSanObject(text)
		if !ok {
			return false, true
		}
		return true, r.object(addr, size)
	case bytes.Equal(text, lsanObjects):
		r.part, r.leak.id = lsanListed, r.stack()
		return true, true
	case bytes.Equal(text, lsanEmpty):
		r.leak.empty = true
		return true, true
	}
	n, rest, ok := cutLSanFrame(text)
	if !ok || n < r.leak.next {
		return false, true
	}
	r.leak.next = n + 1
	f, ok := r.frame(rest)
	if !ok {
		return true, r.d.bad(r.d.lines.n, "call stack entry not understood: %q", clip(text))
	}
	if len(r.leak.stack) < maxFrames {
		r.leak.stack = append(r.leak.stack, f)
	}
	return true, true
}

// frame reads what follows "#N 0x".
func (r *lsan) frame(text []byte) (Frame, bool) {
	if f, ok := r.frames[string(text)]; ok {
		return f, true
	}
	addr, where, _ := bytes.Cut(text, []byte(" "))
	a, err := strconv.ParseUint(string(addr), 16, 64)
	if err != nil {
		return Frame{}, false
	}
	f := parseLSanPlace(strings.TrimSpace(string(where)))
	if f.Module == "" {
		f.Address = a
	}
	if len(r.frames) >= maxCached {
		clear(r.frames)
	}
	r.frames[string(text)] = f
	return f, true
}

// report begins the report of a process.
func (r *lsan) report(line []byte) {
	r.unfinished()
	r.begun, r.pid, r.shown = true, lsanPID(line), Amount{}
	if r.seen[r.pid] {
		clear(r.seen)
		r.scan++
	}
	r.seen[r.pid] = true
	r.d.process(r.pid)
}

// unfinished notes a report that has no summary.
func (r *lsan) unfinished() {
	if r.begun {
		r.d.truncated("the leak report of process %d has no end", r.pid)
	}
	r.begun = false
}

// begin opens a record.
func (r *lsan) begin(line []byte) bool {
	e, ok := parseLSanLeak(line)
	switch {
	case !ok && r.d.lines.partial:
		r.cut = true
		return true
	case !ok:
		return r.d.bad(r.d.lines.n, "leak not understood: %q", clip(bytes.TrimSpace(line)))
	}
	e.Line, e.Scan, e.PID = r.d.lines.n, r.scan, r.pid
	r.begun = true
	r.part = lsanStack
	r.leak = lsanRecord{event: e, stack: r.leak.stack[:0]}
	return true
}

// stack enters the call stack of the record.
func (r *lsan) stack() StackID {
	markInlined(r.leak.stack)
	ids := make([]FrameID, len(r.leak.stack))
	for i, f := range r.leak.stack {
		ids[i] = r.d.stacks.Frame(f)
	}
	return r.d.stacks.Stack(ids)
}

// object emits one object of the record as an entry of its own.
func (r *lsan) object(addr uint64, size int64) bool {
	left := &r.leak.event
	if left.Count == 0 || size > left.Size {
		return r.d.bad(r.d.lines.n, "object of %d bytes, where the leak has %d bytes in %d objects left", size, left.Size, left.Count)
	}
	e := *left
	e.Addr, e.Size, e.Count, e.Stack, e.Line = addr, size, 1, r.leak.id, r.d.lines.n
	left.Size -= size
	left.Count--
	return r.emit(e)
}

// flush ends the record being read: what no object was listed for is one entry.
func (r *lsan) flush() bool {
	part := r.part
	r.part = lsanOutside
	e := r.leak.event
	switch {
	case part == lsanOutside, part == lsanListed && e.Count == 0:
		return true
	case len(r.leak.stack) == 0 && !r.leak.empty:
		return r.d.bad(e.Line, "leak without a call stack")
	}
	if e.Stack = r.leak.id; part == lsanStack {
		e.Stack = r.stack()
	}
	return r.emit(e)
}

func (r *lsan) emit(e Event) bool {
	r.shown.Blocks += e.Count
	r.shown.Bytes += e.Size
	return r.d.outstanding(&e)
}

// summary compares the end of a report with its records. AddressSanitizer ends its
// other reports with a summary too.
func (r *lsan) summary(line []byte) bool {
	s := scan{rest: line[bytes.Index(line, lsanSummary)+len(lsanSummary):]}
	address := s.has("Address")
	if !address && !s.has("Leak") {
		return false
	}
	s.lit("Sanitizer: ")
	var want Amount
	want.Bytes = s.number()
	s.lit(" byte(s) leaked in ")
	want.Blocks = s.number()
	s.lit(" allocation(s)")
	if s.bad {
		return false
	}
	if address {
		r.d.report.Tool = "AddressSanitizer"
	}
	r.begun = false
	r.summaries++
	r.want.Blocks += want.Blocks
	r.want.Bytes += want.Bytes
	r.got.Blocks += r.shown.Blocks
	r.got.Bytes += r.shown.Bytes
	if want != r.shown && r.firstWrong[0] == "" {
		r.firstWrong = [2]string{lsanAmount(want, r.pid), lsanAmount(r.shown, r.pid)}
	}
	r.shown = Amount{}
	return true
}

func lsanAmount(a Amount, pid int32) string {
	s := fmt.Sprintf("%d bytes in %d allocations", a.Bytes, a.Blocks)
	if pid != 0 {
		s += fmt.Sprintf(" (process %d)", pid)
	}
	return s
}

// finish emits what is still open and says how complete the log was.
func (r *lsan) finish() {
	d := r.d
	switch {
	case r.part == lsanStack && len(r.leak.stack) == 0 && !r.leak.empty:
		d.truncated("the last leak has no call stack")
		r.part, r.begun = lsanOutside, false
	case r.cut:
		d.truncated("the last line is incomplete")
		r.begun = false
	}
	if !r.flush() {
		return
	}
	r.unfinished()
	if r.scan > 0 {
		d.report.Class = Snapshots
	}
	if r.omitted > 0 {
		d.report.Warn("%s: %d leaks are not listed: run the program without max_leaks in LSAN_OPTIONS", d.report.Name, r.omitted)
	}
	if r.failed && d.report.Records == 0 {
		d.report.Warn("%s: no leak report in it: LeakSanitizer failed (it does not work under gdb or strace)", d.report.Name)
	}
	switch {
	case r.firstWrong[0] != "":
		d.oracle("summary", r.firstWrong[0], r.firstWrong[1])
	case r.summaries == 1:
		d.oracle("summary", lsanAmount(r.want, 0), lsanAmount(r.got, 0))
	case r.summaries > 1:
		d.oracle(fmt.Sprintf("summaries of %d reports", r.summaries), lsanAmount(r.want, 0), lsanAmount(r.got, 0))
	}
}
