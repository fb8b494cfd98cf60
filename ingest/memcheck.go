package ingest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
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
	banner bool             // some process wrote one
	frames map[string]Frame // by the text behind "at 0x" or "by 0x"
}

// leakProc is what one process has said so far.
type leakProc struct {
	leakChecks
	// The loss record being read.
	open   bool
	event  Event
	loss   loss
	stack  []Frame
	banner bool // it wrote its own
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

// find is the process, nil where it has not said anything of interest.
func (r *memcheckText) find(pid int32) *leakProc {
	if r.last != nil && r.last.pid == pid {
		return r.last
	}
	p := r.procs[pid]
	if p != nil {
		r.last = p
	}
	return p
}

// proc is the process, which is entered at first sight.
func (r *memcheckText) proc(pid int32) *leakProc {
	if p := r.find(pid); p != nil {
		return p
	}
	p := &leakProc{leakChecks: leakChecks{report: &r.report, pid: pid}}
	r.procs[pid] = p
	r.order = append(r.order, p)
	return p
}

// line takes one line of one process; it returns false when nobody listens.
func (r *memcheckText) line(l prefixed) bool {
	text := bytes.TrimSpace(l.text)
	p := r.find(l.pid)
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
	if isLoss(text) {
		return r.begin(l, text)
	}
	r.statement(l.pid, text)
	if p := r.find(l.pid); p != nil && p.summing {
		r.summaryLine(p, text)
	}
	return true
}

// statement takes a line that is not part of a loss record.
func (r *memcheckText) statement(pid int32, text []byte) {
	report := r.d.report
	switch {
	case bytes.Equal(text, bannerText):
		r.d.process(pid)
		r.proc(pid).banner, r.banner = true, true
	case bytes.HasPrefix(text, []byte("Using Valgrind-")) && report.Tool == "":
		version, _, _ := bytes.Cut(text[len("Using Valgrind-"):], []byte(" "))
		report.Tool = "valgrind " + string(version)
	case bytes.HasPrefix(text, []byte("Command: ")):
		r.d.command(pid, text[len("Command: "):])
	case bytes.Equal(text, heapSummary):
		r.proc(pid).unfinished = true
	case bytes.Equal(text, leakSummary):
		p := r.proc(pid)
		p.summing, p.unfinished = true, true
	case bytes.HasPrefix(text, allFreed):
		r.d.process(pid)
		p := r.proc(pid)
		p.unfinished = false
		p.freed()
	case bytes.HasPrefix(text, []byte("For a detailed leak analysis, rerun")):
		r.report.unlisted = true
		r.proc(pid).unfinished = false
	case bytes.HasPrefix(text, []byte("Rerun with --leak-check=full")):
		r.report.unlisted = true
	}
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
		if r.banner && !p.banner && p.begun {
			r.d.report.Warn("%s: process %d began as a copy of another: what it inherited is listed for both", r.d.report.Name, p.pid)
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
