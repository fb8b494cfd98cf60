package ingest

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// AppendText appends e as one line of text without its newline:
//
//	alloc seq=0 line=7 block=0 addr=0x4a37040 size=24 stack=1 pid=31 time=10ms
//
// The op stands first, then fields by name; a field that is zero because the log
// does not have it is left out.
func AppendText(b []byte, e Event) []byte {
	b = append(b, e.Op.String()...)
	b = appendField(b, " seq=", e.Seq)
	b = appendField(b, " line=", e.Line)
	b = appendField(b, " block=", e.Block)
	if e.Addr != 0 {
		b = append(b, " addr=0x"...)
		b = strconv.AppendUint(b, e.Addr, 16)
	}
	b = appendField(b, " size=", e.Size)
	if e.Op == Outstanding {
		b = appendField(b, " count=", e.Count)
		b = append(b, " loss="...)
		b = strconv.AppendQuote(b, e.Loss.String())
		b = appendField(b, " scan=", int64(e.Scan))
	}
	b = appendField(b, " stack=", int64(e.Stack))
	if e.PID != 0 {
		b = appendField(b, " pid=", int64(e.PID))
	}
	if e.TID != 0 {
		b = appendField(b, " tid=", int64(e.TID))
	}
	if e.Comm != "" {
		b = append(b, " comm="...)
		b = strconv.AppendQuote(b, e.Comm)
	}
	if e.Time != 0 {
		b = append(b, " time="...)
		b = append(b, e.Time.String()...)
	}
	for i, name := range [...]string{"realloc", "inferred", "approximate"} {
		if e.Flags&(1<<i) != 0 {
			b = append(b, ' ')
			b = append(b, name...)
		}
	}
	return b
}

func appendField(b []byte, name string, v int64) []byte {
	return strconv.AppendInt(append(b, name...), v, 10)
}

// AppendStackText appends a call stack as a line "stack ID" and an indented line
// for each frame, innermost first, each with its newline.
func AppendStackText(b []byte, stacks *Stacks, id StackID) []byte {
	b = appendField(b, "stack ", int64(id))
	b = append(b, '\n')
	for _, f := range stacks.FrameIDs(id) {
		b = appendFrame(append(b, '\t'), stacks.FrameAt(f))
		b = append(b, '\n')
	}
	return b
}

// appendFrame writes all that is known of a frame; [Frame.String] is the short form.
func appendFrame(b []byte, f Frame) []byte {
	b = append(b, "0x"...)
	b = strconv.AppendUint(b, f.Address, 16)
	if f.Function != "" {
		b = appendName(append(b, ' '), f.Function)
	}
	if f.File != "" {
		b = appendName(append(b, " at "...), f.File)
		if f.Line != 0 {
			b = strconv.AppendInt(append(b, ':'), int64(f.Line), 10)
		}
	}
	if f.Module != "" {
		b = appendName(append(b, " in "...), f.Module)
	}
	if f.Inlined {
		b = append(b, " inlined"...)
	}
	return b
}

// appendName writes a name as it is, or quoted where it would break the line or
// is not text.
func appendName(b []byte, name string) []byte {
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return strconv.AppendQuote(b, name)
	}
	return append(b, name...)
}

// WriteText reads all of src and writes it as text: the events in order, one a
// line (see [AppendText]), each call stack before the first event that names it,
// a line "error: ..." for each record that could not be understood, and last the
// report as JSON. It does not close src.
func WriteText(w io.Writer, src Source) error {
	bw := bufio.NewWriter(w)
	var line []byte
	var shown []bool // by StackID
	for e, err := range src.Events() {
		if err != nil {
			if _, damaged := errors.AsType[*SyntaxError](err); !damaged {
				return errors.Join(err, bw.Flush())
			}
			line = append(append(line[:0], "error: "...), err.Error()...)
			if err := writeLine(bw, line); err != nil {
				return err
			}
			continue
		}
		line = line[:0]
		for int(e.Stack) >= len(shown) {
			shown = append(shown, false)
		}
		if e.Stack != 0 && !shown[e.Stack] {
			shown[e.Stack] = true
			line = AppendStackText(line, src.Stacks(), e.Stack)
		}
		if err := writeLine(bw, AppendText(line, e)); err != nil {
			return err
		}
	}
	report, err := json.MarshalIndent(src.Report(), "", "  ")
	if err != nil {
		return err
	}
	if err := writeLine(bw, append([]byte("report "), report...)); err != nil {
		return err
	}
	return bw.Flush()
}

func writeLine(w *bufio.Writer, line []byte) error {
	if _, err := w.Write(line); err != nil {
		return err
	}
	return w.WriteByte('\n')
}
