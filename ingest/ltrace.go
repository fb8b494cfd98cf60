package ingest

import (
	"bytes"
	"strings"
)

// ltrace prints the calls between a program and its libraries, here with -f -tt -i:
//
//	8624 10:42:53.007775 [0x401136] prog->malloc(24)                 = 0x5592574342a0
//	8624 10:42:53.008156 prog->_Znwm(16, 0x7ffc9b842bd8 <unfinished ...>
//	8624 10:42:53.008200 libstdc++.so.6->malloc(16)                  = 0x564bf257feb0
//	8624 10:42:53.008570 <... _Znwm resumed> )                       = 0x564bf257feb0
//
// What it knows of a call is the caller's object and, with -i, its address. It sees
// nothing of what a library allocates for itself, and no result of posix_memalign:
// frees of such blocks are orphans.

func sniffLtrace(head []byte) string {
	if headLines(head, func(line []byte) bool {
		var l ltraceLine
		l.cut(line)
		fn, _, ok := cutLtraceCall(&l)
		return ok && fn.kind != otherCall && (l.unfinished || bytes.Contains(l.text, resultMark))
	}) {
		return ""
	}
	return `no line "PROGRAM->malloc(SIZE) = ADDRESS"`
}

// ltraceLog reads one log.
type ltraceLog struct {
	d         *decoder
	functions map[string]*traced
	stacks    map[ltraceSite]StackID
	tasks     map[int32]*ltraceTask
	first     int32 // the task that the log begins with
	clock     ltraceClock
	// blind counts blocks whose address is not printed, unplaced results without
	// their call.
	blind, unplaced int64
}

// ltraceTask is a thread.
type ltraceTask struct {
	tid, pid int32 // pid of its process
	forked   bool
	open     []ltraceCall
}

// ltraceCall is a call of the allocator that has not returned.
type ltraceCall struct {
	fn          *traced
	text        string // its name as printed
	site        ltraceSite
	block, size uint64
	inner       uint64 // block that was booked within
}

// ltraceSite is what a log tells of a call's origin.
type ltraceSite struct {
	chain, object string // functions, the innermost first; caller
	ip            uint64
}

func readLtrace(d *decoder) error {
	r := &ltraceLog{d: d, functions: map[string]*traced{}, stacks: map[ltraceSite]StackID{}, tasks: map[int32]*ltraceTask{}}
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		if d.lines.partial {
			d.truncated("the last line has no end and is left out")
			break
		}
		if !r.line(line) {
			return nil
		}
	}
	if r.blind > 0 {
		d.report.Warn("%s: %d calls of posix_memalign have no address (ltrace prints none) and are left out: their frees are orphans", d.report.Name, r.blind)
	}
	if r.unplaced > 0 {
		d.report.Warn("%s: %d results have no call and are left out", d.report.Name, r.unplaced)
	}
	return nil
}

func (r *ltraceLog) line(line []byte) bool {
	var l ltraceLine
	l.cut(line)
	if r.clock.set(l.stamp) {
		r.d.report.Clock = Stamps
		r.d.now = max(r.d.now, r.clock.now)
	}
	if name, rest, ok := cutResumed(l.text); ok {
		r.d.report.Recognised++
		return r.resumed(r.task(l.task), name, rest)
	}
	switch {
	case bytes.HasPrefix(l.text, []byte("+++ ")), bytes.HasPrefix(l.text, []byte("--- ")):
		r.d.report.Recognised++
		if t := r.task(l.task); bytes.Contains(l.text, []byte("Called exec()")) {
			r.d.ledger.drop(t.pid)
			t.forked, t.open = false, t.open[:0]
		}
		return true
	}
	fn, c, ok := cutLtraceCall(&l)
	if fn.kind == notCall {
		return true // Another function, or the program's own output.
	}
	r.d.report.Recognised++
	if !ok {
		return r.d.bad(r.d.lines.n, "call not understood: %.120q", l.text)
	}
	c.fn = r.function(fn)
	return r.call(r.task(l.task), c, &l)
}

// task finds the thread of a line. One that was not seen to be forked belongs to the
// process that the log begins with.
func (r *ltraceLog) task(number int32) *ltraceTask {
	if t := r.tasks[number]; t != nil {
		return t
	}
	if len(r.tasks) == 0 {
		r.first = number
	}
	t := &ltraceTask{tid: number, pid: r.first}
	r.tasks[number] = t
	return t
}

func (r *ltraceLog) function(fn traced) *traced {
	if known := r.functions[fn.name]; known != nil {
		return known
	}
	fn.name = strings.Clone(fn.name)
	r.functions[fn.name] = &fn
	return &fn
}

// call takes a line with a call of the allocator. A free counts at once: another
// thread may get the block before the call has returned.
func (r *ltraceLog) call(t *ltraceTask, c ltraceCall, l *ltraceLine) bool {
	outer := t.outer(c.fn.kind, c.block)
	c.site.chain = NormalizeSymbol(c.fn.name)
	if top := len(t.open) - 1; top >= 0 {
		c.site.chain += "\n" + t.open[top].site.chain
		c.site.object, c.site.ip = t.open[top].site.object, t.open[top].site.ip
	}
	switch {
	case c.fn.kind == freeCall && !outer && !r.free(t, c.block, 0):
		return false
	case !l.unfinished:
		return r.returned(t, c, l.text)
	}
	if len(t.open) == maxPending {
		t.open = append(t.open[:0], t.open[1:]...)
	}
	c.text = r.d.text([]byte(c.text))
	t.open = append(t.open, c)
	return true
}

// outer reports whether a free of the block is under way: delete calls free.
func (t *ltraceTask) outer(kind callKind, block uint64) bool {
	for _, c := range t.open {
		if kind == freeCall && c.fn.kind == freeCall && c.block == block {
			return true
		}
	}
	return false
}

// resumed takes the end of a call that another line began.
func (r *ltraceLog) resumed(t *ltraceTask, name, rest []byte) bool {
	if s := string(name); s == "fork" || s == "vfork" {
		return r.forked(t, rest)
	}
	for i := len(t.open) - 1; i >= 0; i-- {
		if c := t.open[i]; c.text == string(name) {
			t.open = t.open[:i]
			return r.returned(t, c, rest)
		}
	}
	if classify(string(name)).kind > otherCall {
		r.unplaced++
	}
	return true
}

// forked takes what a fork returned: nothing, in the new process.
func (r *ltraceLog) forked(t *ltraceTask, rest []byte) bool {
	if v, ok := ltraceResult(rest); ok && v == 0 {
		t.pid, t.forked, t.open = t.tid, true, t.open[:0]
	}
	return true
}

// returned takes what a call that allocates returned.
func (r *ltraceLog) returned(t *ltraceTask, c ltraceCall, rest []byte) bool {
	if c.fn.kind == otherCall || c.fn.kind == freeCall {
		return true
	}
	addr, ok := ltraceResult(rest)
	moves := c.block != 0 && (c.fn.kind == reallocCall || c.fn.kind == reallocatCall)
	switch {
	case !ok:
		return r.d.bad(r.d.lines.n, "result not understood: %.120q", rest)
	case c.fn.name == "posix_memalign":
		if addr == 0 {
			r.blind++
		}
		return true
	case addr == 0 && moves && c.size == 0:
		return r.free(t, c.block, 0)
	case addr == 0, addr == c.inner:
		return true // It failed, or the call within has been booked.
	case c.size > maxBlock:
		return r.d.bad(r.d.lines.n, "%s of %d bytes", c.fn.name, c.size)
	}
	for i := range t.open {
		t.open[i].inner = addr
	}
	e := Event{Addr: addr, Size: int64(c.size), Stack: r.stack(c.site), PID: t.pid, TID: t.tid, Line: r.d.lines.n}
	if moves {
		e.Flags = Realloc
		if !r.free(t, c.block, Realloc) {
			return false
		}
	}
	return r.d.alloc(&e)
}

func (r *ltraceLog) free(t *ltraceTask, addr uint64, flags Flags) bool {
	if addr == 0 {
		return true
	}
	if t.forked && !r.d.ledger.has(t.pid, addr) {
		r.d.report.InheritedFrees++
		return !r.d.done
	}
	return r.d.free(&Event{Addr: addr, Flags: flags, PID: t.pid, TID: t.tid, Line: r.d.lines.n})
}

// stack holds the functions of the allocator and then the caller, as far as it is
// known.
func (r *ltraceLog) stack(site ltraceSite) StackID {
	if id, ok := r.stacks[site]; ok {
		return id
	}
	var frames []FrameID
	for name := range strings.SplitSeq(site.chain, "\n") {
		frames = append(frames, r.d.stacks.Frame(Frame{Function: name}))
	}
	if site.object != "" || site.ip != 0 {
		frames = append(frames, r.d.stacks.Frame(Frame{Module: site.object, Address: site.ip}))
	}
	id := r.d.stacks.Stack(frames)
	if len(r.stacks) >= maxCached {
		clear(r.stacks)
	}
	r.stacks[site] = id
	return id
}
