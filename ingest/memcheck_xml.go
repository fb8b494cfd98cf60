package ingest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// memcheck's XML report, protocols 4 to 6, as docs/internals/xml-output-protocol*.txt
// of Valgrind describes them. A loss record's numbers are taken from its <text>,
// which tells direct from indirect bytes; <leakedbytes> is the sum of both.

// maxElements bounds how deep elements may stand in one another; Valgrind's own
// stand five deep.
const maxElements = 32

func sniffMemcheckXML(head []byte) string {
	start := bytes.Index(head, []byte("<valgrindoutput"))
	if start < 0 {
		return "no <valgrindoutput> element"
	}
	before := bytes.TrimSpace(bytes.TrimPrefix(head[:start], []byte("\xef\xbb\xbf")))
	if len(before) > 0 && before[0] != '<' {
		return "text before <valgrindoutput>"
	}
	return ""
}

// memcheckXML reads the document element by element and keeps only the error
// that it is in.
type memcheckXML struct {
	d      *decoder
	in     *xmlReader
	report leakReport
	checks *leakChecks // of the document's process

	path   []string // names of the open elements
	deeper int      // those that stand too deep
	text   []byte   // of the innermost one
	// start is the line on which the document begins, 0 outside of one.
	start int64

	// The error being read.
	errorLine int64
	kind      string
	what      []byte
	stacks    int
	stack     []Frame
	frame     Frame
	// A line of the leak summary.
	amount Amount
}

func readMemcheckXML(d *decoder) error {
	r := &memcheckXML{d: d, in: &xmlReader{l: d.lines, names: map[string]string{}}, report: leakReport{d: d}}
	r.checks = &leakChecks{report: &r.report}
	for {
		token, err := r.in.next()
		if err != nil {
			if r.in.l.err != nil {
				break
			}
			if !d.bad(d.lines.n, "damaged XML (%v); reading goes on at the next <error>", err) {
				return nil
			}
			if !r.in.skipTo("<error>") {
				break
			}
			r.path, r.deeper = append(r.path[:0], "valgrindoutput"), 0
			continue
		}
		more := true
		switch {
		case token.name == "":
			if len(r.text)+len(token.text) <= maxLine {
				r.text = append(r.text, token.text...)
			}
		case token.closes:
			more, err = r.close(token.name)
		default:
			r.open(token.name)
		}
		if err != nil || !more {
			return err
		}
	}
	if r.start > 0 {
		d.report.Recognised += d.lines.n - r.start + 1
		d.truncated("the XML document is not closed: the program was killed or the file is cut off")
	}
	r.report.finish()
	return nil
}

// open begins an element.
func (r *memcheckXML) open(name string) {
	r.text = r.text[:0]
	if len(r.path) == maxElements {
		r.deeper++
		return
	}
	r.path = append(r.path, name)
	switch name {
	case "valgrindoutput":
		r.start = r.d.lines.n
		r.path, r.deeper = append(r.path[:0], name), 0
		r.checks = &leakChecks{report: &r.report}
	case "usercomment":
		// Valgrind writes the comment as the user gave it, unescaped.
		r.in.skipTo("</usercomment>")
	case "error":
		r.errorLine, r.kind, r.what, r.stacks, r.stack = r.d.lines.n, "", r.what[:0], 0, r.stack[:0]
	case "stack":
		r.stacks++
	case "frame":
		r.frame = Frame{}
	}
}

// close ends an element; more is false when nobody listens any more.
func (r *memcheckXML) close(name string) (more bool, err error) {
	if r.deeper > 0 {
		r.deeper--
		return true, nil
	}
	text := bytes.TrimSpace(r.text)
	more = true
	switch r.parent(1) {
	case "valgrindoutput":
		err = r.header(name, text)
	case "preamble":
		r.preamble(text)
	case "vargv":
		if s := string(text); s == "--leak-check=full" || s == "--leak-check=yes" {
			r.report.asked = true
		}
	case "frame":
		r.place(name, text)
	case "xwhat":
		if name == "text" {
			r.what = append(r.what[:0], text...)
		}
	case "stack":
		// An error may have more stacks: of the block that it is about.
		if name == "frame" && r.stacks == 1 && len(r.stack) < maxFrames {
			r.stack = append(r.stack, r.frame)
		}
	case "error":
		if name == "kind" {
			r.kind = string(text)
		}
	default:
		r.summary(name, text)
	}
	if name == "error" && r.parent(1) == "valgrindoutput" {
		more = r.loss()
	}
	if name == "valgrindoutput" && r.start > 0 {
		r.d.report.Recognised += r.d.lines.n - r.start + 1
		r.start = 0
	}
	r.text = r.text[:0]
	if n := len(r.path); n > 0 {
		r.path = r.path[:n-1]
	}
	return more, err
}

// parent is the name of the element that holds the current one, n levels up.
func (r *memcheckXML) parent(n int) string {
	if i := len(r.path) - 1 - n; i >= 0 {
		return r.path[i]
	}
	return ""
}

// header takes an element of the document itself.
func (r *memcheckXML) header(name string, text []byte) error {
	switch name {
	case "protocolversion":
		v, err := strconv.Atoi(string(text))
		if err != nil || v < 4 {
			return fmt.Errorf("%s:%d: XML protocol %q is not supported (it is of Valgrind 3.4 or older): "+
				"use Valgrind 3.5 or later, or the text report (without --xml=yes)", r.d.report.Name, r.d.lines.n, text)
		}
		if v > 6 {
			r.d.report.Warn("%s:%d: XML protocol %d is newer than what this program knows (6)", r.d.report.Name, r.d.lines.n, v)
		}
	case "protocoltool":
		if string(text) != "memcheck" {
			return fmt.Errorf("%s:%d: the report is of Valgrind's tool %q, which does not look for leaks: "+
				"use --tool=memcheck", r.d.report.Name, r.d.lines.n, text)
		}
	case "pid":
		if pid, err := strconv.ParseInt(string(text), 10, 32); err == nil && pid > 0 {
			r.checks.pid = int32(pid)
			r.d.process(int32(pid))
		}
	case "all_heap_blocks_freed":
		if string(text) == "true" {
			r.checks.freed()
		}
	}
	return nil
}

// preamble takes a line of the banner.
func (r *memcheckXML) preamble(text []byte) {
	report := r.d.report
	if v, ok := bytes.CutPrefix(text, []byte("Using Valgrind-")); ok && report.Tool == "" {
		v, _, _ = bytes.Cut(v, []byte(" "))
		report.Tool = "valgrind " + string(v)
	}
	if c, ok := bytes.CutPrefix(text, []byte("Command: ")); ok && report.Command == "" {
		report.Command = string(c)
	}
}

// place takes an element of a frame; only <ip> is always there.
func (r *memcheckXML) place(name string, text []byte) {
	switch name {
	case "ip":
		hex, _ := bytes.CutPrefix(text, []byte("0x"))
		r.frame.Address, _ = strconv.ParseUint(string(hex), 16, 64)
	case "obj":
		r.frame.Module = string(text)
	case "fn":
		r.frame.Function = NormalizeSymbol(trimDecimalOffset(string(text)))
	case "dir":
		r.frame.File = string(text) + "/" + r.frame.File
	case "file":
		r.frame.File += string(text)
	case "line":
		if n, err := strconv.Atoi(string(text)); err == nil && n > 0 {
			r.frame.Line = n
		}
	}
}

// loss ends an error and emits it if it is a loss record.
func (r *memcheckXML) loss() bool {
	if !strings.HasPrefix(r.kind, "Leak_") {
		return true
	}
	l, ok := parseLoss(r.what)
	switch {
	case !ok:
		return r.d.bad(r.errorLine, "loss record not understood: %q", clip(r.what))
	case len(r.stack) == 0:
		return r.d.bad(r.errorLine, "loss record without a call stack")
	}
	return r.checks.emit(Event{Line: r.errorLine}, l, r.stack)
}

// summary takes an element of the leak summary (protocol 6). Its numbers have
// thousands commas.
func (r *memcheckXML) summary(name string, text []byte) {
	s := scan{rest: text}
	switch {
	case r.parent(2) == "leak_summary" && name == "bytes":
		r.amount.Bytes = s.number()
	case r.parent(2) == "leak_summary" && name == "blocks":
		r.amount.Blocks = s.number()
	case r.parent(1) == "leak_summary":
		if kind, ok := lossKind([]byte(strings.ReplaceAll(name, "_", " "))); ok {
			r.checks.summary(kind, r.amount, false)
		}
		r.amount = Amount{}
	}
}
