package ingest

import (
	"bytes"
	"container/list"
	"math"
	"time"
)

// Valgrind's --trace-malloc=yes prints every call of the allocator. The grammar is
// that of coregrind/m_replacemalloc/vg_replace_malloc.c of Valgrind 3.14 to 3.27;
// what changed between them is noted where it is read. The calls have no call
// stack: each gets the name of the allocating function as its only frame.

// maxPending bounds the calls of one process that wait for their results.
const maxPending = 64

func sniffTraceMalloc(head []byte) string {
	found := headLines(head, func(line []byte) bool {
		mark, p, ok := cutMarked(line)
		if !ok || mark != '-' {
			return false
		}
		name, _, ok := cutName(p.text)
		return ok && classify(string(name)).kind != notCall
	})
	if found {
		return ""
	}
	return `no line "--PID-- malloc(SIZE) = ADDRESS"`
}

// traceMalloc reads one log, which may hold the output of many processes.
type traceMalloc struct {
	d         *decoder
	functions map[string]*traced
	recent    [8]recentFunction
	procs     map[int32]*tracedProcess
	running   list.List // of *tracedProcess, the one that called last in front
	last      *tracedProcess
	torn      *tracedProcess // another process wrote into its latest line
	check     heapCheck
	// unsure counts results that could belong to several calls, unplaced the
	// calls whose result is missing, blind those of posix_memalign, which some
	// versions never print.
	unsure, unplaced, blind int64
}

// tracedProcess is what one process has said so far.
type tracedProcess struct {
	pid     int32
	base    time.Duration // of its time stamps, since the start of the log
	place   *list.Element // in running
	forked  bool          // and has blocks that its own calls do not show
	pending []tracedCall
	// Counters as Valgrind keeps them.
	used  usage
	live  Amount // as the log says
	told  bool   // live is set
	blind bool   // blocks without address were allocated
}

// usage is what Valgrind's "total heap usage" counts.
type usage struct{ allocs, frees, bytes int64 }

func readTraceMalloc(d *decoder) error {
	r := &traceMalloc{d: d, functions: map[string]*traced{}, procs: map[int32]*tracedProcess{}}
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		mark, p, ok := cutMarked(line)
		torn := !ok && r.torn != nil && bytes.HasPrefix(line, resultMark)
		if !ok && !torn {
			continue
		}
		d.report.Recognised++
		switch {
		case mark == '=':
			r.message(p)
		case d.lines.partial:
			d.truncated("the last line has no end and is left out")
		case torn:
			r.rest(line)
		default:
			r.calls(p)
		}
		if d.done {
			return nil
		}
	}
	r.finish()
	return nil
}

// resultMark stands before the result of a call.
var resultMark = []byte(" = ")

// calls takes the text of a line: calls, a call and its result, or the result of
// a call on an earlier line.
func (r *traceMalloc) calls(l prefixed) bool {
	text := l.text
	for len(text) > 0 {
		if bytes.HasPrefix(text, resultMark) {
			return r.resultText(r.process(l), text)
		}
		name, rest, ok := cutName(text)
		if !ok {
			// A message in mid-call, or the line of another process; the result
			// comes later.
			mark, next, ok := cutMarked(text)
			if !ok {
				return true
			}
			r.torn = r.process(l)
			if mark == '=' {
				r.message(next)
				return true
			}
			l, text = next, next.text
			continue
		}
		fn := r.function(name)
		if fn.kind == notCall {
			return true
		}
		call, rest, ok := fn.parse(rest)
		switch {
		case !ok:
			return r.bad("call not understood: %.120q", text)
		case fn.kind == otherCall && bytes.HasPrefix(rest, resultMark):
			return true
		case fn.kind == otherCall || call.size == math.MaxUint64 && fn.multiplies():
			// These print neither result nor newline: malloc_usable_size(0x0), and
			// calloc where the product does not fit. The next call follows at once.
		case !r.call(r.process(l), call):
			return false
		}
		text = rest
	}
	return true
}

// rest takes a line without prefix: what was left of a line when another process
// wrote into it.
func (r *traceMalloc) rest(text []byte) bool {
	p := r.torn
	r.torn = nil
	return r.resultText(p, text)
}

func (r *traceMalloc) resultText(p *tracedProcess, text []byte) bool {
	addr, rest, ok := cutPointer(text[len(resultMark):])
	if !ok || len(bytes.TrimRight(rest, " ")) > 0 {
		return r.bad("result not understood: %.120q", text)
	}
	return r.result(p, addr)
}

func (r *traceMalloc) bad(format string, args ...any) bool {
	return r.d.bad(r.d.lines.n, format, args...)
}

// recentFunction is a function and its name in the log.
type recentFunction struct {
	name string
	fn   *traced
}

// function finds a function by its name, most of the time without the map.
func (r *traceMalloc) function(name []byte) *traced {
	recent := &r.recent[(len(name)+int(name[0]))%len(r.recent)]
	if recent.name != string(name) {
		fn := r.named(name)
		*recent = recentFunction{string(name), fn}
	}
	return recent.fn
}

func (r *traceMalloc) named(name []byte) *traced {
	if fn, ok := r.functions[string(name)]; ok {
		return fn
	}
	fn := classify(string(name))
	switch fn.kind {
	case notCall:
		return &fn
	case freeCall, otherCall:
	default:
		frame := Frame{Function: r.d.symbol([]byte(fn.name))}
		fn.stack = r.d.stacks.Stack([]FrameID{r.d.stacks.Frame(frame)})
	}
	r.functions[string(name)] = &fn
	return &fn
}

// process finds the process of a line with a call, and sets the clock by it.
func (r *traceMalloc) process(l prefixed) *tracedProcess {
	p := r.last
	if p == nil || p.pid != l.pid {
		if p = r.procs[l.pid]; p == nil {
			p = r.fork(l.pid)
		}
		r.last = p
	}
	if r.running.Front() != p.place {
		r.running.MoveToFront(p.place)
	}
	if l.stamped {
		r.d.report.Clock = Stamps
		r.d.now = max(r.d.now, p.base+l.at)
	}
	return p
}

func (r *traceMalloc) start(pid int32) *tracedProcess {
	p := &tracedProcess{pid: pid, base: r.d.now}
	if was := r.procs[pid]; was != nil {
		// The process has become another program, or its number another process.
		r.running.Remove(was.place)
		r.d.ledger.drop(pid)
	}
	r.procs[pid], r.last = p, p
	p.place = r.running.PushBack(p)
	r.d.process(pid)
	return p
}

// fork starts a process that has no banner. Beside others it has been forked, and
// its clock is that of its parent, which is taken to be the one that called last.
// What it has from its parent cannot be known for sure: other processes may have
// called between the fork and its first call.
func (r *traceMalloc) fork(pid int32) *tracedProcess {
	last := r.running.Front()
	p := r.start(pid)
	p.base = 0
	if last != nil {
		p.base, p.forked = last.Value.(*tracedProcess).base, true
	}
	return p
}

// call takes a call without its result.
func (r *traceMalloc) call(p *tracedProcess, c tracedCall) bool {
	r.settle(p)
	top := p.top()
	within := top != nil && top.fn.kind == reallocCall
	switch {
	case c.fn.kind == freeCall:
		if within && top.size == 0 && top.block == c.block {
			top.nested = true // Up to Valgrind 3.20: realloc(p,0)free(p).
		}
		return r.free(p, c.block, 0)
	case within && top.block == 0 && top.size == c.size && c.fn.kind == sizedCall:
		top.nested = true // Up to Valgrind 3.20: realloc(0x0,n)malloc(n).
		return true
	case len(p.pending) == maxPending:
		r.unplaced++
		p.pending = append(p.pending[:0], p.pending[1:]...)
	}
	p.pending = append(p.pending, c)
	return true
}

// settle takes posix_memalign as done when another call follows: Valgrind 3.21 to
// 3.23 never print the address that it stores.
func (r *traceMalloc) settle(p *tracedProcess) {
	top := p.top()
	if top == nil || top.fn.name != "posix_memalign" {
		return
	}
	r.blind++
	p.blind = true
	p.used.allocs++
	p.used.bytes += int64(min(top.size, maxBlock))
	p.pop()
}

func (p *tracedProcess) top() *tracedCall {
	if len(p.pending) == 0 {
		return nil
	}
	return &p.pending[len(p.pending)-1]
}

func (p *tracedProcess) pop() tracedCall {
	c := p.pending[len(p.pending)-1]
	p.pending = p.pending[:len(p.pending)-1]
	return c
}

// result takes the address that the latest call returned.
func (r *traceMalloc) result(p *tracedProcess, addr uint64) bool {
	if len(p.pending) == 0 {
		if addr == 0 {
			return true // Of a call that failed.
		}
		return r.bad("result %#x without its call", addr)
	}
	c := p.pop()
	if len(p.pending) > 0 {
		r.unsure++ // Another thread's call stands between.
	}
	isRealloc := c.block != 0 && !c.nested
	switch {
	case addr == 0 && isRealloc && c.size == 0:
		return r.free(p, c.block, 0) // realloc(p,0), since Valgrind 3.21.
	case addr == 0:
		return true // It failed, and changed nothing.
	case c.size > maxBlock:
		return r.bad("%s of %d bytes", c.fn.name, c.size)
	}
	var flags Flags
	if isRealloc {
		flags = Realloc
		if !r.free(p, c.block, flags) {
			return false
		}
	}
	p.used.allocs++
	p.used.bytes += int64(c.size)
	e := &r.d.event
	*e = Event{Addr: addr, Size: int64(c.size), Stack: c.fn.stack, Flags: flags, PID: p.pid, Line: r.d.lines.n}
	return r.d.alloc(e)
}

func (r *traceMalloc) free(p *tracedProcess, addr uint64, flags Flags) bool {
	if addr == 0 {
		return true
	}
	if p.forked && !r.d.ledger.has(p.pid, addr) {
		r.d.report.InheritedFrees++
		return !r.d.done
	}
	p.used.frees++
	e := &r.d.event
	*e = Event{Addr: addr, Flags: flags, PID: p.pid, Line: r.d.lines.n}
	return r.d.free(e)
}

// message takes a line that is not about a call: the banner and the heap summary.
func (r *traceMalloc) message(l prefixed) {
	text := bytes.TrimSpace(l.text)
	if len(text) == 0 {
		return
	}
	report := r.d.report
	switch text[0] {
	case 'U':
		if v, ok := bytes.CutPrefix(text, []byte("Using Valgrind-")); ok {
			v, _, _ = bytes.Cut(v, []byte(" "))
			if report.Tool == "" {
				report.Tool = "valgrind " + string(v)
			}
			r.start(l.pid)
		}
	case 'C':
		if c, ok := bytes.CutPrefix(text, []byte("Command: ")); ok {
			r.d.command(l.pid, c)
		}
	case 'i':
		if n, ok := amounts(text, "in use at exit: # bytes in # blocks"); ok {
			p := r.process(l)
			p.live, p.told = Amount{Bytes: n[0], Blocks: n[1]}, true
		}
	case 't':
		if n, ok := amounts(text, "total heap usage: # allocs, # frees, # bytes allocated"); ok {
			r.summary(r.process(l), usage{n[0], n[1], n[2]})
		}
	}
}

// summary takes the end of a process: what it says about its heap is compared
// with what its calls add up to.
func (r *traceMalloc) summary(p *tracedProcess, said usage) {
	r.settle(p)
	switch {
	case p.forked:
		r.check.forked++
	case p.told:
		r.check.add(p.pid, heapUse{said, p.live}, heapUse{p.used, r.d.ledger.heap(p.pid).live}, p.blind)
	}
	r.unplaced += int64(len(p.pending))
	p.pending = nil
	r.running.Remove(p.place)
	r.d.ledger.drop(p.pid)
}

func (r *traceMalloc) finish() {
	report := r.d.report
	for at := r.running.Front(); at != nil; at = at.Next() {
		p := at.Value.(*tracedProcess)
		r.settle(p)
		if c := p.top(); c != nil {
			r.d.truncated("the log ends before the result of %s in process %d", c.fn.name, p.pid)
		}
	}
	if r.unsure > 0 {
		report.Warn("%s: %d results could belong to several calls (of several threads); the latest was taken", report.Name, r.unsure)
	}
	if r.unplaced > 0 {
		report.Warn("%s: %d calls have no result and are left out", report.Name, r.unplaced)
	}
	if r.blind > 0 {
		report.Warn("%s: %d calls of posix_memalign have no address (Valgrind 3.21 to 3.23 print none) and are left out: "+
			"their frees are orphans", report.Name, r.blind)
	}
	if want, got, ok := r.check.result(); ok {
		r.d.oracle("heap summary", want, got)
	}
}
