package ingest

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// The suspects of the kernel's leak detector: /sys/kernel/debug/kmemleak, and
// the same text in the kernel log, with whatever syslog, serial consoles and
// mail put before and between its lines. The text is that of print_unreferenced
// in mm/kmemleak.c from 2.6.31 to 6.18; it changed over time, lines wrap and lose
// their blanks on the way, so words decide and not columns.
//
// Repeated copies of the file in one log are a series of scans: a scan ends where
// an object comes up again, or at a line that begins with "# kmemleak scan",
// which who collects a series may write before each copy; "CONFIG_HZ=100" on it
// tells the tick rate. In the kernel log an object stands once, so there is one scan.

func sniffKmemleak(head []byte) string {
	found := headLines(head, func(line []byte) bool {
		_, ok := afterHeader(line)
		return ok || bytes.HasPrefix(line, scanMark) || bytes.Contains(line, ownMark)
	})
	if found {
		return ""
	}
	return `no line "unreferenced object 0x... (size N):"`
}

var (
	// scanMark begins the line before each copy of the file in a series.
	scanMark = []byte("# kmemleak scan")
	// ownMark is in the kernel log where the detector runs and finds nothing.
	ownMark = []byte("kmemleak: Kernel memory leak detector initialized")
)

const (
	// maxHeld bounds the objects that wait until the tick rate or their scan
	// is known.
	maxHeld = 1024
	// maxDisorder is the number of ticks by which an object of the list may be
	// older than the one before it: two processors allocate at once.
	maxDisorder = 10
	// maxJiffies is over 17 years at 1000 ticks a second.
	maxJiffies = 1 << 39
)

// kmemleak is the reader.
type kmemleak struct {
	d      *decoder
	part   kmemPart
	obj    kmemObject // being read
	stack  []FrameID
	frames map[string]kmemFrame // by their text
	// carry is the head of a line that another message broke in two; joins
	// counts the messages in that line so far.
	carry []byte
	joins int
	cut   bool // the log ends in the middle of a line

	held []kmemObject
	ticks
	series
	// What the kernel itself says: want objects, of which got stand in the
	// kernel log; announced are all that it ever spoke of.
	want, got, announced int64
	logged               int64 // in the kernel log since it last told a number
	duplicates           int64
}

// kmemPart is the part of a record that the reader is in.
type kmemPart uint8

const (
	outside kmemPart = iota
	header
	content // hex dump
	backtrace
)

// kmemObject is one suspect.
type kmemObject struct {
	kmemKey
	event Event
	// tagged: its lines carry "kmemleak: "; stamped: they carry the time or
	// another mark of a log. A line without stands between by accident.
	tagged, stamped bool
	at              time.Duration // boot time of the log line, where the kernel stamped it
	aged            bool
	age             time.Duration
	known           bool // its comm line was read
}

// kmemKey is one object: an address may be used again, but not in the same tick.
type kmemKey struct {
	kind    string // "", "phys" or "percpu": an address space of its own
	addr    uint64
	size    int64
	jiffies uint64
}

// kmemFrame is a line of a backtrace; skip marks its end marker.
type kmemFrame struct {
	id   FrameID
	skip bool
}

func readKmemleak(d *decoder) error {
	d.report.Tool = "kmemleak"
	r := &kmemleak{d: d, frames: map[string]kmemFrame{}, series: series{seen: map[kmemKey]bool{}}}
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		if len(r.carry) > 0 {
			r.carry = append(r.carry, line...)
			line, r.carry = r.carry, nil
			r.joins++
		} else {
			r.joins = 0
		}
		recognised, more := r.line(line)
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

// line takes one line; more is false when nobody listens any more.
func (r *kmemleak) line(line []byte) (recognised, more bool) {
	text, p := stripLog(line)
	if r.part != outside {
		if r.body(text, p) {
			return true, true
		}
	}
	if rest, ok := afterHeader(text); ok {
		return true, r.flush() && r.begin(rest, p)
	}
	if bytes.HasPrefix(text, scanMark) {
		if !r.flush() {
			return true, false
		}
		r.mark(len(r.held))
		if r.hz == 0 {
			r.hz = markedRate(text)
		}
		return true, r.release(false)
	}
	if n, ok := announcement(text); ok && p.tagged {
		// The number stands behind the scan's objects.
		if p.tagged == r.obj.tagged && !r.flush() {
			return true, false
		}
		r.announce(n)
		return true, true
	}
	switch {
	case r.part == outside:
	case p.tagged && bytes.HasPrefix(text, []byte("Object")):
		// A description of an object for debugging, in almost the same words.
		return true, r.flush()
	case p.tagged != r.obj.tagged, p.stamped && !r.obj.stamped:
		// Another message of the kernel.
	case r.broken(text, p):
		return true, true
	case r.d.lines.partial && r.part == backtrace && len(text) > 0:
		r.cut = true
		return true, true
	case bytes.HasPrefix(text, []byte("comm ")):
		return true, r.bad("process and time not understood: %q", clip(text))
	case bytes.HasPrefix(text, []byte("[<")) && r.part == backtrace:
		return true, r.bad("call stack entry not understood: %q", clip(text))
	case r.part == backtrace && len(r.stack) > 0:
		return p.tagged, r.flush()
	}
	return p.tagged || bytes.HasPrefix(text, []byte("BUG: memory leak")), true
}

// body takes a line that belongs to the record being read, if it does.
func (r *kmemleak) body(text []byte, p logPrefix) bool {
	if len(text) == 0 {
		return false
	}
	if r.part == backtrace {
		if p.tagged != r.obj.tagged || p.stamped && !r.obj.stamped {
			return false
		}
		f, ok := r.frame(text)
		if ok && !f.skip && len(r.stack) < maxFrames {
			r.stack = append(r.stack, f.id)
		}
		return ok
	}
	switch text[0] {
	case 'c':
		if r.part == header {
			return r.comm(text, p)
		}
	case 'h':
		if bytes.HasPrefix(text, []byte("hex dump (first ")) {
			r.part = content
			return true
		}
	case 'b':
		if bytes.HasPrefix(text, []byte("backtrace")) {
			r.part = backtrace
			return true
		}
	}
	return r.part == content && isHexRow(text)
}

// begin opens a record at what follows "unreferenced object".
func (r *kmemleak) begin(rest []byte, p logPrefix) bool {
	o := kmemObject{tagged: p.tagged, stamped: p.stamped, at: p.at, event: Event{Line: r.d.lines.n, Loss: Unreferenced, Count: 1}}
	s := scan{rest: rest}
	if s.has(" (") {
		kind, rest, ok := bytes.Cut(s.rest, []byte(")"))
		o.kind, s.rest, s.bad = r.d.text(kind), rest, !ok
	}
	s.lit(" 0x")
	o.addr = s.hex()
	s.lit(" (size ")
	o.size = s.number()
	s.lit(")")
	if s.bad {
		if r.broken(rest, p) {
			// The whole line is wanted again, with its other half.
			r.carry = append([]byte("unreferenced object"), r.carry...)
			return true
		}
		return r.bad("object not understood: %q", clip(rest))
	}
	o.event.Addr, o.event.Size = o.addr, o.size
	r.part, r.obj, r.stack = header, o, r.stack[:0]
	return true
}

// comm reads: comm "NAME", pid N, jiffies N[ (age N.NNNs)][ [STAMP]]. The name
// may hold anything; the stamp is that of a vendor's kernel.
func (r *kmemleak) comm(text []byte, p logPrefix) bool {
	rest, ok := bytes.CutPrefix(text, []byte(`comm "`))
	i := bytes.LastIndex(rest, []byte(`", pid `))
	if !ok || i < 0 {
		return false
	}
	s := scan{rest: rest[i+len(`", pid `):]}
	pid := s.number()
	s.lit(", jiffies ")
	jiffies := s.number()
	var age time.Duration
	aged := s.has(" (age ")
	if aged {
		sec := s.number()
		s.lit(".")
		ms := s.number()
		s.lit("s)")
		s.bad = s.bad || sec >= 1<<32 || ms >= 1000
		age = time.Duration(sec)*time.Second + time.Duration(ms)*time.Millisecond
	}
	if s.has(" ") && isStamp(s.rest) {
		_, s.rest, _ = bytes.Cut(s.rest, []byte("]"))
	}
	if s.bad || len(s.rest) > 0 || pid > math.MaxInt32 || jiffies > maxJiffies {
		return false
	}
	o := &r.obj
	o.aged, o.age = aged, age
	o.event.Comm, o.event.PID, o.jiffies, o.known = r.d.text(rest[:i]), int32(pid), uint64(jiffies), true
	// 2.6.31 writes its tag before the first line only.
	o.tagged, o.stamped = p.tagged, p.stamped
	return true
}

// frame reads a line of a backtrace.
func (r *kmemleak) frame(text []byte) (kmemFrame, bool) {
	where, ok := cutCodeAddress(text)
	if !ok {
		return kmemFrame{}, false
	}
	if f, ok := r.frames[string(where)]; ok {
		return f, true
	}
	parsed, skip, ok := parseKernelFrame(where)
	if !ok {
		return kmemFrame{}, false
	}
	f := kmemFrame{skip: skip}
	if !skip {
		f.id = r.d.stacks.Frame(parsed)
	}
	if len(r.frames) >= maxCached {
		clear(r.frames)
	}
	r.frames[string(where)] = f
	return f, true
}

// cutCodeAddress cuts "[<ADDRESS>] " off. The address is hashed, hidden or real,
// depending on the kernel: only the name behind it is worth something.
func cutCodeAddress(text []byte) (where []byte, ok bool) {
	if len(text) < 3 || text[0] != '[' || text[1] != '<' {
		return text, true
	}
	i := bytes.IndexByte(text, ']')
	if i < 3 || text[i-1] != '>' {
		return nil, false
	}
	if where = bytes.TrimLeft(text[i+1:], " \t"); len(where) == 0 {
		where = append([]byte("0x"), text[2:i-1]...)
	}
	return where, true
}

// parseKernelFrame reads one of, the last two of syzkaller:
//
//	SYM+0xHEX/0xHEX [MODULE]    0xHEX    SYM+0xHEX/0xHEX FILE:LINE    SYM FILE:LINE [inline]
//
// The end marker of some 32-bit kernels, the highest address, is skipped.
func parseKernelFrame(text []byte) (f Frame, skip, ok bool) {
	sym, tail, _ := bytes.Cut(text, []byte(" "))
	tail = bytes.TrimSpace(tail)
	plus := bytes.LastIndex(sym, []byte("+0x"))
	switch {
	case plus > 0 && isOffset(string(sym[plus+3:])):
		f.Function = NormalizeSymbol(string(sym))
	case bytes.HasPrefix(sym, []byte("0x")) && len(tail) == 0:
		a, err := strconv.ParseUint(string(sym[2:]), 16, 64)
		if err != nil {
			return f, false, false
		}
		f.Address = a
		return f, a == math.MaxUint32 || a == math.MaxUint64 || a == 0, true
	case bytes.HasSuffix(tail, []byte(" [inline]")):
		f.Function = NormalizeSymbol(string(sym))
		f.Inlined = true
		tail = bytes.TrimSuffix(tail, []byte(" [inline]"))
	default:
		return f, false, false
	}
	if len(tail) > 0 && tail[0] == '[' {
		module, rest, closed := bytes.Cut(tail[1:], []byte("]"))
		// A build id may follow the name; blanks before it are no module.
		module, _, _ = bytes.Cut(module, []byte(" "))
		if !closed || len(module) == 0 || isStamp(tail) {
			return f, false, false
		}
		f.Module = string(module)
		tail = bytes.TrimSpace(rest)
	}
	if len(tail) > 0 {
		i := bytes.LastIndexByte(tail, ':')
		n, err := strconv.Atoi(string(tail[i+1:]))
		if i < 1 || err != nil || n < 0 {
			return f, false, false
		}
		f.File, f.Line = string(tail[:i]), n
	}
	return f, false, true
}

// broken looks for another message of the kernel in the middle of a line: on a
// serial console it may start anywhere, and the rest of the line follows it. The
// head is kept to be joined with the next line.
func (r *kmemleak) broken(text []byte, p logPrefix) bool {
	// A line of kmemleak is much shorter, and not broken that often.
	const longest, most = 1024, 16
	if p.stamped || r.joins >= most {
		return false
	}
	for i := 1; i < min(len(text), longest); i++ {
		if isStamp(text[i:]) {
			r.carry = append(r.carry[:0], text[:i]...)
			if message, p := stripLog(text[i:]); p.tagged {
				if n, ok := announcement(message); ok {
					r.announce(n)
				}
			}
			return true
		}
	}
	return false
}

// bad reports the line just read, unless it is cut off at the end of the log.
func (r *kmemleak) bad(format string, args ...any) bool {
	if r.d.lines.partial {
		r.cut = true
		return true
	}
	return r.d.bad(r.d.lines.n, format, args...)
}

// flush ends the record being read.
func (r *kmemleak) flush() bool {
	if r.part == outside {
		return true
	}
	part := r.part
	r.part = outside
	o := r.obj
	if part != backtrace {
		return r.d.bad(o.event.Line, "object %#x has no backtrace", o.addr)
	}
	o.event.Stack = r.d.stacks.Stack(r.stack)
	return r.add(o)
}

// add puts an object into its scan.
func (r *kmemleak) add(o kmemObject) bool {
	if o.tagged {
		r.logged++
	}
	if !r.place(&r.held, o) {
		r.duplicates++
		return true
	}
	r.observe(o)
	return r.release(false)
}

// release emits the objects that wait, if nothing is left to wait for.
func (r *kmemleak) release(end bool) bool {
	n := len(r.held)
	if !end {
		if r.hz == 0 && n < maxHeld {
			return true
		}
		if n = r.settled(n); n == 0 {
			return true
		}
	}
	for _, o := range r.held[:n] {
		if o.known {
			o.event.Time = r.since(o.jiffies)
			r.d.report.Clock = Stamps
		}
		if !r.d.outstanding(&o.event) {
			return false
		}
	}
	r.held = append(r.held[:0], r.held[n:]...)
	r.unsettled -= n
	return true
}

// announce takes "N new suspected memory leaks".
func (r *kmemleak) announce(n int64) {
	r.announced += n
	if r.logged > 0 {
		r.want += n
		r.got += r.logged
		r.logged = 0
	}
	r.told = r.d.lines.n
}

// finish emits what is left and completes the report.
func (r *kmemleak) finish() {
	d := r.d
	switch {
	case r.part == header || r.part == content || r.part == backtrace && len(r.stack) == 0:
		d.truncated("the last object, %#x, has no call stack", r.obj.addr)
		r.part = outside
	case r.cut:
		d.truncated("the last line is incomplete")
	}
	if !r.flush() || !r.release(true) {
		return
	}
	report := d.report
	if r.scan > 0 {
		report.Class = Snapshots
	}
	if r.guessed && report.Clock == Stamps {
		report.Warn("%s: nothing in it tells the kernel's tick rate (CONFIG_HZ): times assume %d ticks a second", report.Name, r.hz)
	}
	if r.marked && r.scan > d.judged && report.Records > 0 {
		d.emptyEnd()
	}
	if r.duplicates > 0 {
		report.Warn("%s: %d objects stand there twice and are counted once", report.Name, r.duplicates)
	}
	const name = "new suspected memory leaks"
	switch {
	case r.want > 0:
		d.oracle(name, strconv.FormatInt(r.want, 10), strconv.FormatInt(r.got, 10))
	case r.announced > 0 && r.scan == 0 && r.announced == report.Outstanding.Blocks:
		// Suspects that were freed since are gone from the file, so that only
		// equality says something.
		d.oracle(name, strconv.FormatInt(r.announced, 10), strconv.FormatInt(report.Outstanding.Blocks, 10))
	}
}

// afterHeader finds "unreferenced object" before an address or a kind.
func afterHeader(text []byte) ([]byte, bool) {
	const words = "unreferenced object"
	i := bytes.Index(text, []byte(words))
	if i < 0 {
		return nil, false
	}
	rest := text[i+len(words):]
	return rest, bytes.HasPrefix(rest, []byte(" 0x")) ||
		bytes.HasPrefix(rest, []byte(" (")) && bytes.Contains(rest[:min(len(rest), 24)], []byte(") 0x"))
}

// announcement reads "N new suspected memory leaks".
func announcement(text []byte) (int64, bool) {
	if len(text) == 0 || text[0] < '0' || text[0] > '9' {
		return 0, false
	}
	s := scan{rest: text}
	n := s.number()
	s.lit(" new suspected memory leak")
	return n, !s.bad
}

// isHexRow reports whether a line is a row of a hex dump: "6b 6b 00 ...  kk.".
func isHexRow(s []byte) bool {
	return len(s) >= 2 && isHexDigit(s[0]) && isHexDigit(s[1]) && (len(s) == 2 || s[2] == ' ')
}
