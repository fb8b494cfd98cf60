package ingest

import (
	"bytes"
	"strings"
)

// The dump of the debug heap of Microsoft's C runtime (_CrtDumpMemoryLeaks), as it
// stands in a debugger's output window or a log:
//
//	[FILE(LINE) : ]{N} KIND block at 0xADDRESS, [subtype HEX, ]N bytes long.
//	 Data: <text> hex
//
// FILE and LINE stand there where the program was built with _CRTDBG_MAP_ALLOC, and
// are all that is known of the call stack: its only frame has the file's name in
// place of a function's. A second dump lists everything again.

var (
	crtBegin = []byte("Detected memory leaks!")
	crtEnd   = []byte("Object dump complete.")
	crtBlock = []byte(" block at ")
	crtData  = []byte(" Data: <")
)

func sniffCRT(head []byte) string {
	found := headLines(head, func(line []byte) bool {
		_, ok := parseCRTBlock(line)
		return ok || bytes.Contains(line, crtBegin)
	})
	if found {
		return ""
	}
	return `no line "Detected memory leaks!" or "{N} normal block at 0xADDRESS, N bytes long."`
}

func readCRT(d *decoder) error {
	d.report.Tool = "Microsoft C runtime"
	var dumps int32
	var open bool // a dump has begun and not ended
	var carry []byte
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		if len(carry) > 0 {
			// The output window wraps a line behind the block's number.
			carry = append(append(carry, ' '), bytes.TrimLeft(line, " ")...)
			line, carry = carry, nil
		}
		d.report.Recognised++
		switch {
		case bytes.Contains(line, crtBlock) && bytes.Contains(line, []byte("} ")):
			if !emitCRTBlock(d, line, max(dumps-1, 0)) {
				return nil
			}
			dumps, open = max(dumps, 1), true
		case bytes.Contains(line, crtBegin):
			dumps++
			open = true
		case bytes.Contains(line, crtEnd):
			open = false
		case open && wrapsCRT(line):
			d.report.Recognised--
			carry = append([]byte(nil), line...)
		case bytes.HasPrefix(line, crtData), bytes.HasPrefix(line, []byte("Dumping objects ->")):
		default:
			d.report.Recognised--
		}
	}
	if open {
		d.truncated("the dump of leaks has no end")
	}
	if d.judged > 0 {
		d.report.Class = Snapshots
	}
	return nil
}

// wrapsCRT reports whether a line ends with the number of a block.
func wrapsCRT(line []byte) bool {
	line = bytes.TrimRight(line, " ")
	i := bytes.LastIndexByte(line, '{')
	if i < 0 || len(line) > 4096 || line[len(line)-1] != '}' {
		return false
	}
	_, rest, ok := leadingDigits(line[i+1:])
	return ok && len(rest) == 1
}

// emitCRTBlock hands out a block, unless it is a freed one or none of the program.
func emitCRTBlock(d *decoder, line []byte, scan int32) bool {
	b, ok := parseCRTBlock(line)
	switch {
	case !ok && d.lines.partial:
		d.truncated("the last line is incomplete")
		return true
	case !ok:
		return d.bad(d.lines.n, "block not understood: %q", clip(line))
	case b.kind == "free" || b.kind == "ignore":
		return true
	}
	var stack []FrameID
	if b.file != "" {
		name := b.file[strings.LastIndexAny(b.file, `/\`)+1:]
		stack = append(stack, d.stacks.Frame(Frame{Function: name, File: b.file, Line: b.line}))
	}
	return d.outstanding(&Event{Line: d.lines.n, Addr: b.addr, Size: b.size, Count: 1, Scan: scan, Stack: d.stacks.Stack(stack)})
}

// crtEntry is a block of a dump.
type crtEntry struct {
	file, kind string
	line       int
	addr       uint64
	size       int64
}

// parseCRTBlock reads the line of a block, whatever a debugger puts before it.
func parseCRTBlock(text []byte) (b crtEntry, ok bool) {
	i := bytes.Index(text, crtBlock)
	if i < 0 {
		return b, false
	}
	before, kind, ok := cutRight(text[:i], "} ")
	b.kind = string(kind)
	switch b.kind {
	case "normal", "client", "CRT", "crt", "free", "ignore":
	default:
		return b, false
	}
	place, number, braced := cutRight(before, "{")
	if _, rest, isNumber := leadingDigits(number); !ok || !braced || !isNumber || len(rest) > 0 {
		return b, false
	}
	b.file, b.line = parseCRTPlace(place)
	s := scan{rest: text[i+len(crtBlock):]}
	s.lit("0x")
	b.addr = s.hex()
	s.lit(", ")
	if s.has("subtype ") {
		s.hex()
		s.lit(", ")
	}
	b.size = s.number()
	s.lit(" bytes long")
	return b, !s.bad && b.size <= maxBlock
}

// parseCRTPlace reads "FILE(LINE) : ".
func parseCRTPlace(text []byte) (file string, line int) {
	text, ok := bytes.CutSuffix(bytes.TrimRight(text, " "), []byte(" :"))
	name, number, found := cutRight(text, "(")
	n, rest, isNumber := leadingDigits(number)
	if !ok || !found || !isNumber || string(rest) != ")" || n > 1<<31 {
		return "", 0
	}
	return string(bytes.TrimLeft(name, " ")), int(n)
}

// cutRight cuts a text at the last sep.
func cutRight(text []byte, sep string) (before, after []byte, found bool) {
	i := bytes.LastIndex(text, []byte(sep))
	if i < 0 {
		return text, nil, false
	}
	return text[:i], text[i+len(sep):], true
}
