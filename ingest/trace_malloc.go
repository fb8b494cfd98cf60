package ingest

import (
	"bytes"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Valgrind's --trace-malloc=yes prints every call of the allocator. The grammar is
// that of coregrind/m_replacemalloc/vg_replace_malloc.c of Valgrind 3.5 to 3.27;
// what changed between them is noted where it is read. The calls have no call
// stack: each gets the name of the allocating function as its only frame.

// maxPending bounds the calls of one process that wait for their results.
const maxPending = 64

// maxCopies bounds the blocks that forked processes get from their parents, all
// together.
const maxCopies = 2 << 20

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
	procs     map[int32]*tracedProcess
	running   []*tracedProcess
	last      *tracedProcess
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
	active  int64         // line of its last call
	pending []tracedCall
	// Counters as Valgrind keeps them; a forked process has those of its parent.
	used  usage
	live  Amount // as the log says
	told  bool   // live is set
	blind bool   // blocks without address were allocated
}

// usage is what Valgrind's "total heap usage" counts.
type usage struct{ allocs, frees, bytes int64 }

// traced is a function of the allocator.
type traced struct {
	kind  callKind
	name  string
	skip  int // arguments before those of the kind
	stack StackID
}

type callKind uint8

const (
	notCall       callKind = iota
	otherCall              // asks, and changes nothing
	sizedCall              // (size, ...)
	countedCall            // (count, size)
	alignedCall            // (..., alignment, size)
	reallocCall            // (block, size)
	reallocatCall          // (block, count, size)
	freeCall               // (block, ...)
)

// classify knows the functions by the names that Valgrind prints.
func classify(name string) traced {
	t := traced{name: name}
	switch name {
	case "malloc", "valloc", "pvalloc", "__builtin_new", "__builtin_vec_new":
		t.kind = sizedCall
	case "calloc":
		t.kind = countedCall
	case "memalign", "aligned_alloc", "posix_memalign":
		t.kind = alignedCall
	case "realloc", "reallocf":
		t.kind = reallocCall
	case "reallocarray":
		t.kind = reallocatCall
	case "free", "cfree", "__builtin_delete", "__builtin_vec_delete":
		t.kind = freeCall
	case "malloc_usable_size", "mallinfo", "malloc_trim", "malloc_stats", "mallopt":
		t.kind = otherCall
	default:
		switch {
		case strings.HasPrefix(name, "_Zn"):
			t.kind = sizedCall
		case strings.HasPrefix(name, "_Zd"):
			t.kind = freeCall
		case strings.HasPrefix(name, "zone_"): // macOS: the zone comes first.
			t = classify(name[len("zone_"):])
			t.skip++
		}
	}
	return t
}

// tracedCall is a call whose result has not been printed yet.
type tracedCall struct {
	fn    *traced
	block uint64 // that is reallocated
	size  uint64 // math.MaxUint64 where it does not fit
	// nested: a realloc has been carried out by a malloc or a free within.
	nested bool
}

func readTraceMalloc(d *decoder) error {
	r := &traceMalloc{d: d, functions: map[string]*traced{}, procs: map[int32]*tracedProcess{}}
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		mark, p, ok := cutMarked(line)
		if !ok {
			continue
		}
		d.report.Recognised++
		if mark != '-' {
			r.message(p)
			continue
		}
		if d.lines.partial {
			d.truncated("the last line has no end and is left out")
			break
		}
		if !r.calls(p) {
			return nil
		}
	}
	r.finish()
	return nil
}

// cutMarked finds the prefix of a Valgrind line anywhere in it, because the
// program's own output may stand before it without a newline: "--PID-- " before
// calls, "==PID== " before messages.
func cutMarked(line []byte) (mark byte, p prefixed, ok bool) {
	for i := 0; i+1 < len(line); i++ {
		c := line[i]
		if c != line[i+1] || c != '-' && c != '=' {
			continue
		}
		if p, ok := parseMarked(line[i+2:], c); ok {
			return c, p, true
		}
	}
	return 0, prefixed{}, false
}

// parseMarked reads what follows the first two marks of a prefix.
func parseMarked(s []byte, mark byte) (p prefixed, ok bool) {
	n, rest, ok := leadingDigits(s)
	if ok && len(rest) > 0 && rest[0] == ':' {
		if p.at, s, ok = parseStamp(n, rest); !ok {
			return p, false
		}
		p.stamped = true
		n, rest, ok = leadingDigits(s)
	}
	if !ok || n > math.MaxInt32 || len(rest) < 2 || rest[0] != mark || rest[1] != mark {
		return p, false
	}
	rest = rest[2:]
	if len(rest) > 0 {
		if rest[0] != ' ' {
			return p, false
		}
		rest = rest[1:]
	}
	p.pid, p.text = int32(n), rest
	return p, true
}

// calls takes the text of a line: calls, a call and its result, or the result of
// a call on an earlier line.
func (r *traceMalloc) calls(l prefixed) bool {
	text := l.text
	for len(text) > 0 {
		if rest, ok := bytes.CutPrefix(text, []byte(" = ")); ok {
			v, ok := parsePointer(bytes.TrimRight(rest, " "))
			if !ok {
				return r.bad("result not understood: %.120q", text)
			}
			return r.result(r.process(l), v)
		}
		name, rest, ok := cutName(text)
		if !ok {
			return true // A message in mid-call; the result comes later.
		}
		fn := r.function(name)
		if fn.kind == notCall {
			return true
		}
		call, rest, ok := fn.parse(rest)
		switch {
		case !ok:
			return r.bad("call not understood: %.120q", text)
		case fn.kind == otherCall && bytes.HasPrefix(rest, []byte(" = ")):
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

func (r *traceMalloc) bad(format string, args ...any) bool {
	return r.d.bad(r.d.lines.n, format, args...)
}

// cutName splits "malloc(48) = ..." behind the bracket.
func cutName(text []byte) (name, rest []byte, ok bool) {
	for i, c := range text {
		switch {
		case c == '(':
			return text[:i], text[i+1:], i > 0
		case c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z'):
			return nil, nil, false
		}
	}
	return nil, nil, false
}

func (r *traceMalloc) function(name []byte) *traced {
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

// parse reads the arguments behind the bracket. Some versions put a word before
// a number: "size 48", "al 16", "alignment 16".
func (fn *traced) parse(text []byte) (c tracedCall, rest []byte, ok bool) {
	inside, rest, ok := bytes.Cut(text, []byte(")"))
	if !ok {
		return c, nil, false
	}
	var args [6]uint64
	n := 0
	for more := len(inside) > 0; more; n++ {
		var arg []byte
		arg, inside, more = bytes.Cut(inside, []byte(","))
		if i := bytes.LastIndexByte(bytes.TrimRight(arg, " "), ' '); i >= 0 {
			arg = arg[i+1:]
		}
		if n == len(args) {
			return c, nil, false
		}
		if args[n], ok = parsePointer(bytes.TrimRight(arg, " ")); !ok {
			return c, nil, false
		}
	}
	if n < fn.skip+fn.kind.arguments() {
		return c, nil, false
	}
	a := args[fn.skip:n]
	c.fn = fn
	switch fn.kind {
	case sizedCall:
		c.size = a[0]
	case countedCall:
		c.size = product(a[0], a[1])
	case alignedCall:
		c.size = a[len(a)-1]
	case reallocCall:
		c.block, c.size = a[0], a[1]
	case reallocatCall:
		c.block, c.size = a[0], product(a[1], a[2])
	case freeCall:
		c.block = a[0]
	}
	return c, rest, true
}

// multiplies reports whether the size is a product.
func (fn *traced) multiplies() bool { return fn.kind == countedCall || fn.kind == reallocatCall }

// arguments is the least number of them.
func (k callKind) arguments() int {
	switch k {
	case otherCall:
		return 0
	case countedCall, reallocCall, alignedCall:
		return 2
	case reallocatCall:
		return 3
	}
	return 1
}

func product(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	if high != 0 {
		return math.MaxUint64
	}
	return low
}

// parsePointer reads 0x and upper-case hexadecimal digits, or a decimal number.
func parsePointer(s []byte) (v uint64, ok bool) {
	digits, base, most := s, uint64(10), 19
	if len(s) > 2 && s[0] == '0' && s[1] == 'x' {
		digits, base, most = s[2:], 16, 16
	}
	// 20 decimal digits: sizes such as 18446744073709551615, a negative number.
	if base == 10 && len(digits) == 20 {
		return math.MaxUint64, isDecimal(digits)
	}
	if len(digits) == 0 || len(digits) > most {
		return 0, false
	}
	for _, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case base == 16 && 'A' <= c && c <= 'F':
			c -= 'A' - 10
		case base == 16 && 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		v = v*base + uint64(c)
	}
	return v, true
}

func isDecimal(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}

// process finds the process of a line with a call, and sets the clock by it. One
// that comes without a banner has been forked, and has what its parent has.
func (r *traceMalloc) process(l prefixed) *tracedProcess {
	p := r.last
	if p == nil || p.pid != l.pid {
		if p = r.procs[l.pid]; p == nil {
			p = r.fork(l.pid)
		}
		r.last = p
	}
	p.active = r.d.lines.n
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
		r.end(was)
		r.d.ledger.drop(pid)
	}
	r.procs[pid], r.last = p, p
	r.running = append(r.running, p)
	r.d.process(pid)
	return p
}

// fork starts a process whose first line is a call. Its parent is taken to be the
// process that called last.
func (r *traceMalloc) fork(pid int32) *tracedProcess {
	var parent *tracedProcess
	for _, p := range r.running {
		if parent == nil || p.active > parent.active {
			parent = p
		}
	}
	p := r.start(pid)
	if parent == nil {
		p.base = 0
		return p
	}
	p.base, p.used, p.blind = parent.base, parent.used, parent.blind
	if !r.d.ledger.fork(parent.pid, pid, maxCopies) {
		r.d.report.Warn("%s:%d: too many forked processes: the frees of what process %d has from its parent are orphans",
			r.d.report.Name, r.d.lines.n, pid)
	}
	return p
}

// end takes a process off the list of possible parents.
func (r *traceMalloc) end(p *tracedProcess) {
	for i, q := range r.running {
		if p == q {
			r.running = append(r.running[:i], r.running[i+1:]...)
			return
		}
	}
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
	e := Event{Addr: addr, Size: int64(c.size), Stack: c.fn.stack, PID: p.pid, Line: r.d.lines.n}
	if isRealloc {
		e.Flags = Realloc
		if !r.free(p, c.block, Realloc) {
			return false
		}
	}
	p.used.allocs++
	p.used.bytes += e.Size
	return r.d.alloc(e)
}

func (r *traceMalloc) free(p *tracedProcess, addr uint64, flags Flags) bool {
	if addr == 0 {
		return true
	}
	p.used.frees++
	return r.d.free(Event{Addr: addr, Flags: flags, PID: p.pid, Line: r.d.lines.n})
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
		if c, ok := bytes.CutPrefix(text, []byte("Command: ")); ok && report.Command == "" {
			report.Command = string(c)
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
	if p.told {
		r.check.add(p.pid, heapUse{said, p.live}, heapUse{p.used, r.d.ledger.heap(p.pid).live}, p.blind)
	}
	r.unplaced += int64(len(p.pending))
	p.pending = nil
	r.end(p)
	r.d.ledger.drop(p.pid)
}

func (r *traceMalloc) finish() {
	report := r.d.report
	for _, p := range r.running {
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

// heapCheck compares the heap summaries of all processes with their calls.
type heapCheck struct {
	procs     int
	want, got heapUse
	blind     bool
	wrong     bool // want and got are those of the first process that is wrong
	pid       int32
}

// heapUse is what a heap summary says.
type heapUse struct {
	usage
	live Amount
}

func (c *heapCheck) add(pid int32, want, got heapUse, blind bool) {
	c.procs++
	if c.wrong {
		return
	}
	if blind {
		want.live, got.live = Amount{}, Amount{}
	}
	if want != got {
		c.wrong, c.pid, c.want, c.got, c.blind = true, pid, want, got, blind
		return
	}
	c.want, c.got, c.blind = c.want.plus(want), c.got.plus(got), c.blind || blind
}

func (u heapUse) plus(v heapUse) heapUse {
	u.allocs += v.allocs
	u.frees += v.frees
	u.bytes += v.bytes
	u.live.Blocks += v.live.Blocks
	u.live.Bytes += v.live.Bytes
	return u
}

func (c *heapCheck) result() (want, got string, ok bool) {
	prefix := ""
	switch {
	case c.procs == 0:
		return "", "", false
	case c.procs > 1 && c.wrong:
		prefix = fmt.Sprintf("process %d: ", c.pid)
	case c.procs > 1:
		prefix = fmt.Sprintf("%d processes: ", c.procs)
	}
	return prefix + c.want.text(c.blind), prefix + c.got.text(c.blind), true
}

func (u heapUse) text(blind bool) string {
	s := fmt.Sprintf("%s allocs, %s frees, %s bytes allocated", commas(u.allocs), commas(u.frees), commas(u.bytes))
	if blind {
		return s
	}
	return s + fmt.Sprintf(", %s bytes live in %s blocks", commas(u.live.Bytes), commas(u.live.Blocks))
}

// amounts reads the numbers of a text, with commas in them, where shape has a #.
func amounts(text []byte, shape string) (n [3]int64, ok bool) {
	k := 0
	for i := 0; i < len(shape); i++ {
		if shape[i] != '#' {
			if len(text) == 0 || text[0] != shape[i] {
				return n, false
			}
			text = text[1:]
			continue
		}
		digits := 0
		for ; len(text) > 0 && (text[0] == ',' || text[0] >= '0' && text[0] <= '9') && digits < 18; text = text[1:] {
			if text[0] != ',' {
				n[k] = n[k]*10 + int64(text[0]-'0')
				digits++
			}
		}
		if digits == 0 {
			return n, false
		}
		k++
	}
	return n, true
}

// commas writes a number as Valgrind does: 1,234,567.
func commas(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
