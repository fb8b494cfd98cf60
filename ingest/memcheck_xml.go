package ingest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
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
	in     *xmlInput
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
	r := &memcheckXML{d: d, in: &xmlInput{l: d.lines}, report: leakReport{d: d}}
	r.checks = &leakChecks{report: &r.report}
	dec := r.in.decoder()
	for {
		token, err := dec.RawToken()
		r.in.size = 0
		if err != nil {
			if r.in.l.err != nil {
				break
			}
			if !d.bad(d.lines.n, "damaged XML (%s); reading goes on at the next <error>", xmlMessage(err)) {
				return nil
			}
			if !r.in.skipTo("<error>") {
				break
			}
			r.path, r.deeper = append(r.path[:0], "valgrindoutput"), 0
			dec = r.in.decoder()
			continue
		}
		switch t := token.(type) {
		case xml.StartElement:
			err = r.open(t.Name.Local)
		case xml.CharData:
			if len(r.text)+len(t) <= maxLine {
				r.text = append(r.text, t...)
			}
		case xml.EndElement:
			var more bool
			if more, err = r.close(t.Name.Local); !more {
				return nil
			}
		}
		if err != nil {
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
func (r *memcheckXML) open(name string) error {
	r.text = r.text[:0]
	if len(r.path) == maxElements {
		r.deeper++
		return nil
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
	return nil
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

func xmlMessage(err error) string {
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return syntax.Msg
	}
	return err.Error()
}

// xmlInput hands the log to the XML decoder byte by byte, so that the line of
// what was decoded is known exactly. It bounds the size of a token and replaces
// what XML does not allow: symbols hold any bytes.
type xmlInput struct {
	l       *lines
	size    int    // bytes of the token being read
	inLine  bool   // the line l.n has begun and not ended
	pending []byte // to be handed out next
	buf     [utf8.UTFMax]byte
}

var errLongToken = fmt.Errorf("an element or text longer than %d bytes", maxLine)

func (in *xmlInput) decoder() *xml.Decoder {
	in.size = 0
	dec := xml.NewDecoder(in)
	dec.Strict = false
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	return dec
}

// Read is what xml.NewDecoder asks for; the decoder then uses ReadByte.
func (in *xmlInput) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := in.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

func (in *xmlInput) ReadByte() (byte, error) {
	if in.size++; in.size > maxLine {
		return 0, errLongToken
	}
	if len(in.pending) > 0 {
		b := in.pending[0]
		in.pending = in.pending[1:]
		return b, nil
	}
	b, err := in.next()
	switch {
	case err != nil:
		return 0, err
	case b >= utf8.RuneSelf:
		return in.rune()
	case b < ' ' && b != '\n' && b != '\t' && b != '\r':
		return '?', nil
	}
	return b, nil
}

// next takes one byte from the log and counts lines.
func (in *xmlInput) next() (byte, error) {
	b, err := in.l.r.ReadByte()
	if err != nil {
		in.l.err = err
		return 0, err
	}
	if !in.inLine {
		in.l.n++
	}
	in.inLine = b != '\n'
	return b, nil
}

// rune takes the rest of the rune of which the first byte was just taken.
func (in *xmlInput) rune() (byte, error) {
	if err := in.l.r.UnreadByte(); err != nil {
		return 0, err
	}
	c, _, err := in.l.r.ReadRune()
	if err != nil {
		return 0, err
	}
	if c == '\ufffe' || c == '\uffff' {
		c = utf8.RuneError
	}
	n := utf8.EncodeRune(in.buf[:], c)
	in.pending = in.buf[1:n]
	return in.buf[0], nil
}

// skipTo drops bytes up to the tag, which is then handed out next.
func (in *xmlInput) skipTo(tag string) bool {
	in.pending = nil
	matched := 0
	for {
		b, err := in.next()
		if err != nil {
			return false
		}
		// A tag holds '<' only at its start, so a mismatch begins anew.
		switch {
		case b == tag[matched]:
			matched++
		case b == '<':
			matched = 1
		default:
			matched = 0
		}
		if matched == len(tag) {
			in.pending = []byte(tag)
			return true
		}
	}
}

var _ io.ByteReader = (*xmlInput)(nil)
