package ingest

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The leak report of Valgrind's memcheck as text. The grammar is that of
// coregrind/m_libcprint.c (the line prefix), memcheck/mc_errors.c (loss records)
// and memcheck/mc_leakcheck.c (summaries) of Valgrind 3.0 to 3.27.

// maxFrames bounds a record's call stack; Valgrind itself stops at 500 frames.
const maxFrames = 512

// maxCached bounds the texts that a reader remembers in order to read each once.
const maxCached = 1 << 16

// sniffMemcheck wants one line that only memcheck writes; the lines of the
// program itself may stand before and between.
func sniffMemcheck(head []byte) string {
	found := headLines(head, func(line []byte) bool {
		_, p, ok := cutPrefix(line)
		if !ok {
			return false
		}
		text := bytes.TrimSpace(p.text)
		return bytes.Equal(text, bannerText) || bytes.Equal(text, heapSummary) || bytes.Equal(text, leakSummary) ||
			isLoss(text)
	})
	if found {
		return ""
	}
	return `no line "==PID== ... loss record", "HEAP SUMMARY:" or "Memcheck, a memory error detector"`
}

var (
	prefixMark  = []byte("==")
	bannerText  = []byte("Memcheck, a memory error detector")
	heapSummary = []byte("HEAP SUMMARY:")
	leakSummary = []byte("LEAK SUMMARY:")
	allFreed    = []byte("All heap blocks were freed")
	lossMark    = []byte("loss record ")
)

// memcheckText is the reader of the text report. Everything is kept per
// process: one file may hold the output of many, line by line.
type memcheckText struct {
	d      *decoder
	procs  map[int32]*leakProc
	order  []*leakProc // by first sight
	last   *leakProc
	report leakReport
	cut    bool             // the log ends in the middle of a line
	frames map[string]Frame // by the text behind "at 0x" or "by 0x"
}

// leakProc is what one process has said so far.
type leakProc struct {
	leakChecks
	// The loss record being read.
	open  bool
	event Event
	loss  loss
	stack []Frame
	// summing: the lines of a LEAK SUMMARY are being read; unfinished: a HEAP
	// SUMMARY was seen, and not yet the leak report that belongs to it.
	summing, unfinished bool
}

func readMemcheck(d *decoder) error {
	r := &memcheckText{d: d, procs: map[int32]*leakProc{}, frames: map[string]Frame{}, report: leakReport{d: d}}
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		_, p, ok := cutPrefix(line)
		if !ok {
			continue
		}
		d.report.Recognised++
		for ok {
			// Old versions cut a long symbol and its newline: the next line's
			// prefix then stands in the middle.
			before, next, more := cutPrefix(p.text)
			if more {
				p.text = before
			}
			if !r.line(p) {
				return nil
			}
			p, ok = next, more
		}
	}
	r.finish()
	return nil
}

// prefixed is a line's text and what its prefix says.
type prefixed struct {
	pid     int32
	stamped bool
	at      time.Duration // since the process started, where stamped
	text    []byte
}

// cutPrefix finds "==PID== " or "==DD:HH:MM:SS.mmm PID== " anywhere in the line,
// because the program's own output may stand before it without a newline.
func cutPrefix(line []byte) (before []byte, p prefixed, ok bool) {
	for from := 0; ; {
		i := bytes.Index(line[from:], prefixMark)
		if i < 0 {
			return line, prefixed{}, false
		}
		from += i
		if p, ok := parsePrefix(line[from+2:]); ok {
			return line[:from], p, true
		}
		from++
	}
}

// parsePrefix reads what follows the first "==" of a prefix.
func parsePrefix(s []byte) (p prefixed, ok bool) {
	n, rest, ok := leadingDigits(s)
	if !ok {
		return p, false
	}
	if len(rest) > 0 && rest[0] == ':' {
		if p.at, s, ok = parseStamp(n, rest); !ok {
			return p, false
		}
		p.stamped = true
		if n, rest, ok = leadingDigits(s); !ok {
			return p, false
		}
	}
	if n > math.MaxInt32 || !bytes.HasPrefix(rest, prefixMark) {
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

// parseStamp reads ":HH:MM:SS.mmm " behind the days.
func parseStamp(days int64, s []byte) (at time.Duration, rest []byte, ok bool) {
	const shape = ":00:00:00.000 "
	if len(s) < len(shape) || days > 36500 {
		return 0, nil, false
	}
	for i, c := range []byte(shape) {
		if isDigit(s[i]) != (c == '0') || c != '0' && s[i] != c {
			return 0, nil, false
		}
	}
	two := func(i int) time.Duration { return time.Duration(s[i]-'0')*10 + time.Duration(s[i+1]-'0') }
	at = (time.Duration(days)*24+two(1))*time.Hour + two(4)*time.Minute + two(7)*time.Second +
		(two(10)*10+time.Duration(s[12]-'0'))*time.Millisecond
	return at, s[len(shape):], true
}

func (r *memcheckText) proc(pid int32) *leakProc {
	if r.last != nil && r.last.pid == pid {
		return r.last
	}
	p := r.procs[pid]
	if p == nil {
		p = &leakProc{leakChecks: leakChecks{report: &r.report, pid: pid}}
		r.procs[pid] = p
		r.order = append(r.order, p)
	}
	r.last = p
	return p
}

// line takes one line of one process; it returns false when nobody listens.
func (r *memcheckText) line(l prefixed) bool {
	text := bytes.TrimSpace(l.text)
	p := r.last
	if p == nil || p.pid != l.pid {
		p = r.procs[l.pid]
	}
	if p != nil && p.open {
		if isFrame(text) {
			return r.frame(p, text)
		}
		if r.d.lines.partial && (len(text) > 0 || len(p.stack) == 0) {
			r.cut = true
			return true
		}
		if !r.flush(p) {
			return false
		}
	}
	if len(text) == 0 {
		return true
	}
	switch text[0] {
	case '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if isLoss(text) {
			return r.begin(l, text)
		}
	case 'A':
		if bytes.HasPrefix(text, allFreed) {
			r.d.process(l.pid)
			p = r.proc(l.pid)
			p.unfinished = false
			p.freed()
		}
	case 'M':
		if bytes.Equal(text, bannerText) {
			r.d.process(l.pid)
		}
	case 'U':
		if v, ok := bytes.CutPrefix(text, []byte("Using Valgrind-")); ok && r.d.report.Tool == "" {
			v, _, _ = bytes.Cut(v, []byte(" "))
			r.d.report.Tool = "valgrind " + string(v)
		}
	case 'C':
		if c, ok := bytes.CutPrefix(text, []byte("Command: ")); ok && r.d.report.Command == "" {
			r.d.report.Command = string(c)
		}
	case 'H':
		if bytes.Equal(text, heapSummary) {
			r.proc(l.pid).unfinished = true
		}
	case 'L':
		if bytes.Equal(text, leakSummary) {
			p = r.proc(l.pid)
			p.summing, p.unfinished = true, true
		}
	case 'F', 'R':
		// "For a detailed leak analysis, rerun with: --leak-check=full" and
		// "Rerun with --leak-check=full to see details of leaked memory".
		if bytes.Contains(text, []byte("--leak-check=full")) && !bytes.Contains(text, []byte("--show-leak-kinds")) {
			r.report.unlisted = true
			if text[0] == 'F' && p != nil {
				p.unfinished = false
			}
		}
	}
	if p != nil && p.summing {
		r.summaryLine(p, text)
	}
	return true
}

// summaryLine takes a line of a LEAK SUMMARY.
func (r *memcheckText) summaryLine(p *leakProc, text []byte) {
	name, rest, ok := bytes.Cut(text, []byte(": "))
	if !ok {
		return
	}
	if string(name) == "suppressed" {
		p.summing, p.unfinished = false, false
		return
	}
	kind, ok := lossKind(name)
	if !ok {
		return
	}
	s := scan{rest: rest}
	bytesLost := s.number()
	delta := s.delta()
	s.lit(" bytes in ")
	blocks := s.number()
	if s.bad {
		return
	}
	p.summary(kind, Amount{Blocks: blocks, Bytes: bytesLost}, delta)
}

// isLoss reports whether a text looks like the head of a loss record.
func isLoss(text []byte) bool {
	return len(text) > 0 && isDigit(text[0]) && bytes.Contains(text, lossMark)
}

// isFrame reports whether a text looks like a line of a call stack.
func isFrame(text []byte) bool {
	return len(text) > 5 && (text[0] == 'a' && text[1] == 't' || text[0] == 'b' && text[1] == 'y') &&
		text[2] == ' ' && text[3] == '0' && text[4] == 'x'
}

// begin opens a loss record.
func (r *memcheckText) begin(l prefixed, text []byte) bool {
	rec, ok := parseLoss(text)
	if !ok && r.d.lines.partial {
		r.cut = true
		return true
	}
	if !ok {
		return r.d.bad(r.d.lines.n, "loss record not understood: %q", clip(text))
	}
	p := r.proc(l.pid)
	p.open, p.loss, p.stack = true, rec, p.stack[:0]
	p.event = Event{Line: r.d.lines.n}
	if l.stamped {
		p.event.Time = l.at
		r.d.report.Clock = Stamps
	}
	return true
}

// frame adds a line "at 0xADDR: WHERE" to the open record.
func (r *memcheckText) frame(p *leakProc, text []byte) bool {
	if len(p.stack) >= maxFrames {
		return true
	}
	if r.d.lines.partial && text[len(text)-1] != ')' && text[len(text)-1] != '?' {
		r.cut = true
		return true
	}
	text = text[len("at 0x"):]
	f, ok := r.frames[string(text)]
	if !ok {
		addr, where, found := bytes.Cut(text, []byte(": "))
		a, err := strconv.ParseUint(string(addr), 16, 64)
		if !found || err != nil {
			return r.d.bad(r.d.lines.n, "call stack entry not understood: %q", clip(text))
		}
		f = parseWhere(string(where))
		f.Address = a
		if len(r.frames) >= maxCached {
			clear(r.frames)
		}
		r.frames[string(text)] = f
	}
	p.stack = append(p.stack, f)
	return true
}

// flush emits the open record of a process.
func (r *memcheckText) flush(p *leakProc) bool {
	p.open = false
	if len(p.stack) == 0 {
		return r.d.bad(p.event.Line, "loss record without a call stack")
	}
	return p.emit(p.event, p.loss, p.stack)
}

// finish emits what is still open and says how complete the log was.
func (r *memcheckText) finish() {
	var cut string
	for _, p := range r.order {
		if p.open {
			if len(p.stack) == 0 {
				cut = fmt.Sprintf("the last loss record of process %d is incomplete", p.pid)
			}
			if len(p.stack) > 0 && !r.flush(p) {
				return
			}
		}
		if p.unfinished && cut == "" {
			cut = fmt.Sprintf("the leak report of process %d has no end", p.pid)
		}
	}
	if r.cut {
		cut = "the last line is incomplete"
	}
	if cut != "" {
		r.d.truncated("%s", cut)
	}
	r.report.finish()
}

// parseWhere reads what a frame says about its place:
//
//	SYM (FILE:LINE)   SYM (in OBJ)   SYM (in ???)   ??? (in OBJ)   ???
//
// A symbol holds blanks, parentheses and "::", and so may a path.
func parseWhere(s string) Frame {
	var f Frame
	sym := s
	if i := placeStart(s); i >= 0 {
		sym = s[:i]
		place := s[i+2 : len(s)-1]
		if obj, ok := strings.CutPrefix(place, "in "); ok {
			if obj != "???" {
				f.Module = obj
			}
		} else if j := strings.LastIndexByte(place, ':'); j >= 0 {
			if n, err := strconv.Atoi(place[j+1:]); err == nil && n >= 0 {
				f.File, f.Line = place[:j], n
			} else {
				sym = s
			}
		} else {
			sym = s
		}
	}
	if sym != "???" {
		f.Function = NormalizeSymbol(trimDecimalOffset(sym))
	}
	return f
}

// placeStart returns the index of the " (" that opens the final "(...)" of s, or
// -1 where there is none.
func placeStart(s string) int {
	if !strings.HasSuffix(s, ")") {
		return -1
	}
	depth := 0
	for i := len(s) - 1; i > 0; i-- {
		switch s[i] {
		case ')':
			depth++
		case '(':
			if depth--; depth <= 0 && s[i-1] == ' ' {
				return i - 1
			}
		}
	}
	return -1
}

// trimDecimalOffset drops the "+60" that --sym-offsets=yes appends.
func trimDecimalOffset(s string) string {
	i := len(s)
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	if i < len(s) && i > 1 && s[i-1] == '+' {
		return s[:i-1]
	}
	return s
}

// markInlined sets Inlined in a stack, innermost first, whose inlined calls share
// the address of the code that holds them. Of frames with one address the
// outermost is the real one; equal frames under it are recursion.
func markInlined(stack []Frame) {
	for i := 0; i < len(stack); {
		j := i + 1
		for j < len(stack) && stack[j].Address == stack[i].Address {
			j++
		}
		outer := stack[j-1]
		for k := i; k < j-1; k++ {
			stack[k].Inlined = stack[k] != outer
		}
		i = j
	}
}

// loss is the head of a loss record. Its bytes are the direct ones only: the
// bytes below a lost block are in loss records of their own (kind "indirectly
// lost"), so that no byte counts twice.
type loss struct {
	kind          Loss
	bytes, blocks int64
	index         int64 // n of "loss record n of m"
	delta         bool  // it tells changes since an earlier check
}

func lossKind(s []byte) (Loss, bool) {
	switch string(s) {
	case "definitely lost":
		return Definite, true
	case "indirectly lost":
		return Indirect, true
	case "possibly lost":
		return Possible, true
	case "still reachable":
		return Reachable, true
	}
	return NotJudged, false
}

// parseLoss reads, where D is " (+N)" or " (-N)" or nothing:
//
//	N[D] bytes in N[D] blocks are KIND in [new ]loss record N of N
//	N[D] (N[D] direct, N[D] indirect) bytes in N[D] blocks are KIND in ...
func parseLoss(text []byte) (loss, bool) {
	var l loss
	s := scan{rest: text}
	l.bytes = s.number()
	l.delta = s.delta()
	if s.has(" (") {
		l.bytes = s.number()
		l.delta = s.delta() || l.delta
		s.lit(" direct, ")
		s.number()
		l.delta = s.delta() || l.delta
		s.lit(" indirect)")
	}
	s.lit(" bytes in ")
	l.blocks = s.number()
	l.delta = s.delta() || l.delta
	s.lit(" blocks are ")
	name, rest, ok := bytes.Cut(s.rest, []byte(" in "))
	s.rest = rest
	kind, known := lossKind(name)
	l.kind = kind
	s.has("new ")
	s.lit("loss record ")
	l.index = s.number()
	s.lit(" of ")
	s.number()
	return l, ok && known && !s.bad && (l.blocks > 0 || l.delta)
}

// scan reads a line from left to right; bad says that it was not as expected.
type scan struct {
	rest []byte
	bad  bool
}

func (s *scan) has(lit string) bool {
	if len(s.rest) < len(lit) || string(s.rest[:len(lit)]) != lit {
		return false
	}
	s.rest = s.rest[len(lit):]
	return true
}

func (s *scan) lit(lit string) {
	if !s.has(lit) {
		s.bad = true
	}
}

// number reads a decimal number with thousands commas.
func (s *scan) number() int64 {
	var n int64
	i := 0
	for ; i < len(s.rest); i++ {
		c := s.rest[i]
		if c == ',' && i > 0 && i+1 < len(s.rest) && isDigit(s.rest[i+1]) {
			continue
		}
		if !isDigit(c) {
			break
		}
		if n > (math.MaxInt64-9)/10 {
			s.bad = true
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	if i == 0 {
		s.bad = true
	}
	s.rest = s.rest[i:]
	return n
}

// delta reads " (+N)" or " (-N)" if it stands there.
func (s *scan) delta() bool {
	if !s.has(" (+") && !s.has(" (-") {
		return false
	}
	s.number()
	s.lit(")")
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// leadingDigits reads a decimal number without commas.
func leadingDigits(s []byte) (n int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(s) && i < 18 && isDigit(s[i]); i++ {
		n = n*10 + int64(s[i]-'0')
	}
	return n, s[i:], i > 0
}

// clip shortens a text for a message.
func clip(s []byte) []byte {
	if len(s) > 120 {
		return append(append([]byte(nil), s[:120]...), "..."...)
	}
	return s
}

// leakChecks follows the leak checks of one process. A program may ask for
// several (client requests, gdb); each full check lists everything again and
// becomes a scan of its own.
type leakChecks struct {
	report *leakReport
	pid    int32
	scan   int32
	// begun: a check was seen; ended: its summary was seen; compared: it has a
	// part in the oracle.
	begun, ended, compared bool
	// partial: the check lists only what changed since an earlier one.
	partial bool
	index   int64                 // of its latest loss record
	shown   [Reachable + 1]Amount // of its loss records
}

// next makes room for another check, if the one before is over.
func (c *leakChecks) next(over, partial bool) {
	if c.begun && !over {
		return
	}
	if c.begun {
		c.shown = [Reachable + 1]Amount{}
		if c.partial = partial; !partial {
			c.report.scans++
		}
	}
	if !c.partial {
		c.scan = c.report.scans
	}
	c.begun, c.ended, c.compared, c.index = true, false, false, 0
}

// emit hands out a loss record. In a later check that lists only changes the
// records are left out: such a list does not say what else is still lost.
func (c *leakChecks) emit(e Event, l loss, stack []Frame) bool {
	c.next(c.ended || l.index <= c.index, l.delta)
	c.index = l.index
	if c.partial || l.blocks == 0 {
		c.report.skipped++
		return true
	}
	c.shown[l.kind].Blocks += l.blocks
	c.shown[l.kind].Bytes += l.bytes
	d := c.report.d
	markInlined(stack)
	ids := make([]FrameID, len(stack))
	for i, f := range stack {
		ids[i] = d.stacks.Frame(f)
	}
	e.Loss, e.Size, e.Count, e.Scan, e.PID = l.kind, l.bytes, l.blocks, c.scan, c.pid
	e.Stack = d.stacks.Stack(ids)
	return d.outstanding(e)
}

// summary compares a line of the check's summary with the records.
func (c *leakChecks) summary(kind Loss, want Amount, delta bool) {
	if kind == Definite {
		c.next(c.ended, delta)
	}
	c.ended = true
	c.report.summed = c.report.summed || want.Blocks > 0
	if got := c.shown[kind]; got.Blocks > 0 && !c.partial {
		c.report.compare(c, kind, want, got)
	}
}

// freed notes the line that says that nothing is left.
func (c *leakChecks) freed() {
	c.next(c.ended, false)
	c.ended = true
	for kind := Definite; kind <= Reachable; kind++ {
		c.report.compare(c, kind, Amount{}, c.shown[kind])
	}
}

// leakReport is what the checks of all processes add up to. It compares the LEAK
// SUMMARY of each check with the sums over its loss records, kind by kind. A kind
// of which no record is shown (--show-leak-kinds) is not compared.
type leakReport struct {
	d       *decoder
	scans   int32 // number of the latest scan
	checks  int   // compared with their summaries
	skipped int64 // loss records of partial checks
	summed  bool  // a summary names lost blocks
	// unlisted: the log says that it was made without a list of leaks; asked:
	// that it was made with one.
	unlisted, asked bool

	want, got  [Reachable + 1]Amount
	firstWrong [2]string
}

func (r *leakReport) compare(c *leakChecks, kind Loss, want, got Amount) {
	if !c.compared {
		c.compared = true
		r.checks++
	}
	r.want[kind].Blocks += want.Blocks
	r.want[kind].Bytes += want.Bytes
	r.got[kind].Blocks += got.Blocks
	r.got[kind].Bytes += got.Bytes
	if want != got && r.firstWrong[0] == "" {
		say := func(a Amount) string {
			return fmt.Sprintf("%s: %d bytes in %d blocks (process %d)", kind, a.Bytes, a.Blocks, c.pid)
		}
		r.firstWrong = [2]string{say(want), say(got)}
	}
}

// finish fills in the parse report.
func (r *leakReport) finish() {
	d := r.d
	if r.scans > 0 {
		d.report.Class = Snapshots
	}
	if r.skipped > 0 {
		d.report.Warn("%s: %d loss records left out: they list only what changed since an earlier leak check "+
			"(full checks are asked for with VALGRIND_DO_LEAK_CHECK or gdb's leak_check full any)", d.report.Name, r.skipped)
	}
	switch {
	case r.firstWrong[0] != "":
		d.oracle("leak summary", r.firstWrong[0], r.firstWrong[1])
	case r.checks > 1:
		name := fmt.Sprintf("leak summaries of %d checks", r.checks)
		d.oracle(name, sums(r.want), sums(r.got))
	case r.checks == 1:
		d.oracle("leak summary", sums(r.want), sums(r.got))
	case d.report.Records > 0 || r.asked && !d.report.Truncated:
	case r.summed || r.unlisted:
		d.report.Warn("%s: no list of leaks in it: run valgrind with --leak-check=full --show-leak-kinds=all", d.report.Name)
	default:
		d.report.Warn("%s: no leak report in it: run valgrind with --leak-check=full --show-leak-kinds=all, "+
			"and let the program end by itself", d.report.Name)
	}
}

// sums gives the amounts of all kinds that have any.
func sums(by [Reachable + 1]Amount) string {
	var parts []string
	for kind := Definite; kind <= Reachable; kind++ {
		if a := by[kind]; a != (Amount{}) {
			parts = append(parts, fmt.Sprintf("%s: %d bytes in %d blocks", kind, a.Bytes, a.Blocks))
		}
	}
	if parts == nil {
		return "no leaks"
	}
	return strings.Join(parts, ", ")
}
