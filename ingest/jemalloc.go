package ingest

import (
	"bytes"
	"strconv"
)

// Heap profiles of jemalloc since version 4 (MALLOC_CONF=prof:true,...): a row for
// each call stack, with a line for all threads together and one for each thread.
//
//	heap_v2/SAMPLE
//	  t*: BLOCKS: BYTES [BLOCKS: BYTES]
//	  t0: BLOCKS: BYTES [BLOCKS: BYTES] THREAD
//	@ 0xADDRESS 0xADDRESS ...
//	  t*: BLOCKS: BYTES [BLOCKS: BYTES]
//	  t0: BLOCKS: BYTES [BLOCKS: BYTES]
//
//	MAPPED_LIBRARIES:
//
// The first pair counts what is live, in whole size classes. SAMPLE is the average
// number of bytes from one sample to the next.

var jemallocMark = []byte("heap_v2/")

func sniffJemalloc(head []byte) string {
	found := headLines(head, func(line []byte) bool {
		rest, ok := bytes.CutPrefix(line, jemallocMark)
		return ok && isDecimal(rest)
	})
	if found {
		return ""
	}
	return `no line "heap_v2/BYTES"`
}

// jemalloc is the reader.
type jemalloc struct {
	d     *decoder
	rows  heapRows
	begun bool
	stack []byte // of the row being read, from its "@" on
	line  int64  // on which it stands; 0 in the totals
	head  heapRow
	got   heapRow
}

func readJemalloc(d *decoder) error {
	d.report.Tool = "jemalloc"
	r := &jemalloc{d: d, rows: heapRows{d: d}}
	mapped := false
	for !mapped {
		line, ok := d.lines.next()
		if !ok || d.lines.partial {
			break
		}
		if mapped = isMappedMark(line); mapped {
			d.report.Recognised++
			r.rows.mappings()
		} else if !r.take(line) {
			return nil
		}
	}
	if !mapped {
		d.truncated("there is no MAPPED_LIBRARIES: behind the rows")
	}
	// What a sample says of all is no sum: jemalloc corrects each row by its average.
	if r.rows.emit() && r.rows.rate <= 1 {
		d.oracle("all call stacks", r.head.text(), r.got.text())
	}
	return nil
}

// take reads a line before the mappings; it returns false when nobody listens any
// more.
func (r *jemalloc) take(line []byte) bool {
	d := r.d
	text := bytes.TrimSpace(line)
	d.report.Recognised++
	switch {
	case !r.begun:
		rest, ok := bytes.CutPrefix(text, jemallocMark)
		if !ok || !isDecimal(rest) {
			d.report.Recognised-- // What jemalloc or the program print may stand before.
			return true
		}
		r.begun = true
		var err error
		if r.rows.rate, err = strconv.ParseInt(string(rest), 10, 64); err != nil {
			return d.bad(d.lines.n, "sample rate not understood: %q", clip(rest))
		}
	case len(text) == 0:
	case text[0] == '@':
		r.stack, r.line = append(r.stack[:0], text[1:]...), d.lines.n
	case bytes.HasPrefix(text, []byte("t*:")):
		return r.sum(text)
	case text[0] == 't':
		// One of the threads that "t*" sums up.
	default:
		d.report.Recognised--
		return d.bad(d.lines.n, "not a line of a jemalloc profile: %q", clip(text))
	}
	return true
}

// sum takes "t*: BLOCKS: BYTES [BLOCKS: BYTES]" of a row or of all of them.
func (r *jemalloc) sum(text []byte) bool {
	s := scan{rest: text[len("t*:"):]}
	row := heapRow{line: r.line}
	row.count, row.size = s.pair()
	switch {
	case s.bad || row.count > maxBlock || row.size > maxBlock:
		return r.d.bad(r.d.lines.n, "row not understood: %q", clip(text))
	case r.line == 0:
		r.head = row
		return true
	case !r.rows.add(row, r.stack):
		return r.d.bad(r.line, "call stack not understood: %q", clip(r.stack))
	}
	r.got.count = min(r.got.count+row.count, maxBlock)
	r.got.size = min(r.got.size+row.size, maxBlock)
	return true
}
