package ingest

import (
	"bytes"
	"fmt"
	"strconv"
)

// Heap profiles as text: those of gperftools (HEAPPROFILE=prefix writes
// prefix.0001.heap and so on) and those of Go's net/http/pprof with ?debug=1:
//
//	heap profile: BLOCKS: BYTES [BLOCKS: BYTES] @ heapprofile
//	  BLOCKS: BYTES [BLOCKS: BYTES] @ 0xADDRESS 0xADDRESS ...
//
//	MAPPED_LIBRARIES:
//
// The first pair counts what is live, the second all that was allocated. Go's have
// lines "#	0xADDRESS	FUNCTION+0xOFFSET	FILE:LINE" behind a row, and no mappings.
// A row of jemalloc before version 4 looks the same.
//
// Note: the profile package of pprof reads these files too, but gives up a whole
// file for one damaged row, knows no line numbers, and passes over Go's names.

var pprofTextMark = []byte("heap profile: ")

func sniffPprofText(head []byte) string {
	if headLines(head, isPprofTextHeader) {
		return ""
	}
	return `no line "heap profile: BLOCKS: BYTES [BLOCKS: BYTES] @ KIND"`
}

func isPprofTextHeader(line []byte) bool {
	return bytes.HasPrefix(line, pprofTextMark) && bytes.Contains(line, []byte("] @ "))
}

// pprofText is the reader.
type pprofText struct {
	d      *decoder
	rows   heapRows
	head   heapRow // what the header says
	begun  bool
	inRow  bool      // names may follow
	frames []FrameID // of the names behind the row read last
	got    heapRow   // sum of the rows
}

func readPprofText(d *decoder) error {
	r := &pprofText{d: d, rows: heapRows{d: d}}
	mapped, partial := false, false
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		if partial = d.lines.partial; partial {
			break // a row that lost its end looks like another
		}
		if mapped = isMappedMark(line); mapped {
			d.report.Recognised++
			r.rows.mappings()
			break
		}
		more, err := r.line(line)
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	r.name()
	switch {
	case partial:
		d.truncated("the last line has no end and is left out")
	case !mapped && d.report.Tool != "Go":
		d.truncated("there is no MAPPED_LIBRARIES: behind the rows")
	}
	if r.rows.emit() && r.begun {
		d.oracle("heap profile", r.head.text(), r.got.text())
	}
	return nil
}

func (r heapRow) text() string {
	return fmt.Sprintf("%s bytes in %s blocks", commas(r.size), commas(r.count))
}

// line takes a line before the mappings.
func (r *pprofText) line(line []byte) (more bool, err error) {
	d := r.d
	d.report.Recognised++
	switch {
	case !r.begun && isPprofTextHeader(line):
		r.begun = true
		return r.header(line[len(pprofTextMark):])
	case len(line) > 2 && line[0] == '#':
		if !r.symbol(line[1:]) {
			d.report.Recognised--
		}
		return true, nil
	case !r.begun || len(bytes.TrimSpace(line)) == 0:
		d.report.Recognised--
		return true, nil
	}
	r.name()
	row, stack, ok := parseHeapRow(line)
	row.line = d.lines.n
	r.inRow = ok && r.rows.add(row, stack)
	if !r.inRow {
		return d.bad(d.lines.n, "row not understood: %q", clip(line)), nil
	}
	r.got.count = min(r.got.count+row.count, maxBlock)
	r.got.size = min(r.got.size+row.size, maxBlock)
	return true, nil
}

// header takes what follows "heap profile: ": the sum of the rows and the kind.
func (r *pprofText) header(text []byte) (more bool, err error) {
	d := r.d
	var kind []byte
	var ok bool
	if r.head, kind, ok = parseHeapRow(text); !ok {
		return d.bad(d.lines.n, "header not understood: %q", clip(text)), nil
	}
	name, rate, _ := bytes.Cut(bytes.TrimSpace(kind), []byte("/"))
	period, _ := strconv.ParseInt(string(rate), 10, 64)
	d.report.Tool = "gperftools"
	switch string(name) {
	case "heapprofile":
	case "heap":
		// Go writes twice the rate.
		d.report.Tool, r.rows.rate = "Go", period/2
	case "heap_v2", "heapz_v2":
		r.rows.rate = period
	default:
		return false, &FormatError{File: d.report.Name, Msg: fmt.Sprintf(
			"is a profile of kind %q, which does not say what is live: record a heap profile", clip(name))}
	}
	return true, nil
}

// symbol takes what follows "#" in "#	0xADDRESS	FUNCTION+0xOFFSET	FILE:LINE".
func (r *pprofText) symbol(line []byte) bool {
	fields := bytes.Split(bytes.Trim(line, "\t "), []byte("\t"))
	if len(fields) < 3 || !r.inRow || r.rows.dropped > 0 || len(r.frames) >= maxDepth {
		return false
	}
	addr, ok := bytes.CutPrefix(fields[0], []byte("0x"))
	pc, err := strconv.ParseUint(string(addr), 16, 64)
	file, n, hasLine := cutLast(bytes.TrimSpace(fields[len(fields)-1]), ':')
	at, err2 := strconv.Atoi(string(n))
	if !ok || err != nil || !hasLine || err2 != nil || at < 0 {
		return false
	}
	f := Frame{Function: r.d.symbol(bytes.TrimSpace(fields[1])), File: r.d.text(file), Line: at, Address: pc}
	r.frames = append(r.frames, r.d.stacks.Frame(f))
	return true
}

// name gives the row read last the names that followed it.
func (r *pprofText) name() {
	if len(r.frames) > 0 {
		r.rows.rows[len(r.rows.rows)-1].named = r.d.stacks.Stack(r.frames)
		r.frames = r.frames[:0]
	}
}

// parseHeapRow reads "BLOCKS: BYTES [BLOCKS: BYTES] @ " and returns what follows.
func parseHeapRow(line []byte) (row heapRow, rest []byte, ok bool) {
	s := scan{rest: line}
	row.count, row.size = s.pair()
	s.blanks()
	s.lit("[")
	s.pair()
	s.blanks()
	s.lit("]")
	s.blanks()
	s.lit("@")
	ok = !s.bad && row.count <= maxBlock && row.size <= maxBlock && (row.count > 0 || row.size == 0)
	return row, s.rest, ok
}

// pair reads "N: N" with blanks before each number.
func (s *scan) pair() (a, b int64) {
	s.blanks()
	a = s.number()
	s.lit(":")
	s.blanks()
	return a, s.number()
}

func (s *scan) blanks() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t') {
		s.rest = s.rest[1:]
	}
}

// cutLast cuts s around the last c.
func cutLast(s []byte, c byte) (before, after []byte, found bool) {
	if i := bytes.LastIndexByte(s, c); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, nil, false
}
