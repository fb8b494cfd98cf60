package ingest

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// The kernel's page_owner: each group of pages that is in use, with its stack.
//
//	Page allocated via order 0, mask 0x1(GFP), pid 1, tgid 1 (swapper/0), ts 165564237 ns
//	PFN 0x400 type Movable Block 2 type Movable Flags 0x8(uptodate|...)
//	 prep_new_page+0xac/0xe0
//	 ...
//	Charged to memcg user.slice
//
// Blank lines end a record. Older kernels say less in the first line, and put
// [<ADDRESS>] before a symbol. Two other files have the same stacks: that of the
// tool page_owner_sort puts "N times, M pages:" before each, and show_stacks
// "nr_base_pages: N" ("stack_count: N" at first) behind it.
//
// A page's block has its physical address, which the log gives in pages.
// The size of a page does not stand in the log; it is taken to be 4096 bytes.

const pageSize = 4096

func sniffPageOwner(head []byte) string {
	if headLines(head, func(line []byte) bool {
		line = bytes.TrimSpace(line)
		_, _, sorted := parseTimes(line)
		_, counted := parsePageCount(line)
		return bytes.HasPrefix(line, viaOrder) || sorted || counted
	}) {
		return ""
	}
	return `no line "Page allocated via order N", "N times, M pages" or "nr_base_pages: N"`
}

var viaOrder = []byte("Page allocated via order ")

// pageOwner is the reader.
type pageOwner struct {
	d      *decoder
	frames map[string]kmemFrame // by their text

	rec   pageRecord // being read
	stack []FrameID

	scan, records int32 // of the scan
	at            time.Duration
	clock         seriesClock
	first         pageKey // of the scan
	timed         bool    // times stand between the copies
	// told are the pages of sorted records, sum what their orders make of them.
	told, sum int64
}

// pageRecord is a group of pages, or several equal ones.
type pageRecord struct {
	event Event // Line 0: there is no record
	// order of the group, -1 where it is not told; times and pages of a sorted
	// record, pages of a record of show_stacks.
	order, times, pages int64
	pageKey
	placed bool
	broken bool // and is left out
}

// pageKey is one group of pages.
type pageKey struct {
	pfn  uint64
	born time.Duration
}

func readPageOwner(d *decoder) error {
	r := &pageOwner{d: d, frames: map[string]kmemFrame{}, rec: pageRecord{order: -1}}
	d.report.Tool = "page_owner"
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		line = bytes.TrimSpace(line)
		if d.lines.partial && len(line) > 0 {
			d.truncated("the last line has no end and is left out")
			break
		}
		known, more := r.line(line)
		if known {
			d.report.Recognised++
		}
		if !more {
			return nil
		}
	}
	r.finish()
	return nil
}

// line takes one line; more is false when nobody listens any more.
func (r *pageOwner) line(line []byte) (known, more bool) {
	if len(line) == 0 {
		return true, r.flush()
	}
	if rest, ok := bytes.CutPrefix(line, viaOrder); ok {
		return true, (r.rec.order < 0 && !r.rec.broken || r.flush()) && r.page(rest)
	}
	if times, pages, ok := parseTimes(line); ok {
		if !r.flush() {
			return true, false
		}
		r.open()
		r.rec.times, r.rec.pages = times, pages
		return true, true
	}
	if pages, ok := parsePageCount(line); ok {
		r.open()
		r.rec.times, r.rec.pages = pages, pages
		return true, r.flush()
	}
	if rest, ok := bytes.CutPrefix(line, []byte("PFN ")); ok && r.rec.order >= 0 {
		return true, r.place(rest)
	}
	if f, ok := r.frame(line); ok {
		r.open()
		if !f.skip && len(r.stack) < maxFrames {
			r.stack = append(r.stack, f.id)
		}
		return true, true
	}
	if at, ok := parseInstant(line); ok {
		if !r.flush() {
			return true, false
		}
		r.next()
		r.at, r.timed = r.clock.since(at), true
		r.d.report.Clock = Stamps
		return true, true
	}
	return r.rec.event.Line > 0, true
}

// open begins a record, unless one is open.
func (r *pageOwner) open() {
	if r.rec.event.Line == 0 {
		r.rec = pageRecord{order: -1, event: Event{Line: r.d.lines.n}}
		r.stack = r.stack[:0]
	}
}

// page reads what follows "Page allocated via order ": N, mask 0xHEX(FLAGS), pid N,
// tgid N (COMM), ts N ns, free_ts N ns; what older kernels do not know is missing.
func (r *pageOwner) page(text []byte) bool {
	r.open()
	s := scan{rest: text}
	order := s.number()
	if i := bytes.Index(s.rest, []byte(", pid ")); i >= 0 {
		s.rest = s.rest[i+len(", pid "):]
		r.task(&s)
		// page_owner_sort leaves the number out.
		if s.has(", ts ") && !s.has(" ns") {
			r.rec.born = time.Duration(s.number())
			r.d.report.Clock = Stamps
		}
	}
	if s.bad || order > maxPageOrder {
		r.rec.broken = true
		return r.d.bad(r.d.lines.n, "page not understood: %q", clip(text))
	}
	r.rec.order = order
	return true
}

// task reads "N, tgid N (COMM)" or "N (COMM)" or "N". The name may hold anything.
func (r *pageOwner) task(s *scan) {
	e := &r.rec.event
	pid := s.number()
	if s.has(", tgid ") {
		e.TID = int32(min(pid, math.MaxInt32))
		pid = s.number()
	}
	e.PID = int32(min(pid, math.MaxInt32))
	if !s.has(" (") {
		return
	}
	end := bytes.LastIndex(s.rest, []byte("), ts "))
	if end < 0 {
		end = bytes.LastIndexByte(s.rest, ')')
	}
	if end < 0 {
		s.bad = true
		return
	}
	e.Comm = r.d.text(s.rest[:min(end, maxComm)])
	s.rest = s.rest[end+1:]
}

// maxPageOrder bounds the pages of a group, as a power of two.
const maxPageOrder = 16

// place reads what follows "PFN ": 0xHEX or N, and more.
func (r *pageOwner) place(text []byte) bool {
	field, _ := cutField(text)
	digits, base := field, 10
	if rest, ok := bytes.CutPrefix(field, []byte("0x")); ok {
		digits, base = rest, 16
	}
	pfn, err := strconv.ParseUint(string(digits), base, 52)
	if err != nil {
		return r.d.bad(r.d.lines.n, "page number not understood: %q", clip(text))
	}
	r.rec.pfn, r.rec.placed = pfn, true
	return true
}

// frame reads a line of a call stack.
func (r *pageOwner) frame(text []byte) (kmemFrame, bool) {
	if f, ok := r.frames[string(text)]; ok {
		return f, true
	}
	where, ok := cutCodeAddress(text)
	if !ok || len(text) > maxMangled {
		return kmemFrame{}, false
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
	r.frames[string(text)] = f
	return f, true
}

// flush ends a record.
func (r *pageOwner) flush() bool {
	rec := r.rec
	r.rec = pageRecord{order: -1}
	e := rec.event
	if e.Line == 0 || rec.broken {
		return true
	}
	e.Count = 1
	pages := rec.pages
	switch {
	case rec.times > 0 && rec.order >= 0:
		e.Count = rec.times
		if pages > 0 {
			r.told += pages
			r.sum += rec.times << rec.order
		} else {
			pages = rec.times << rec.order
		}
		rec.placed, rec.born = false, 0 // of one of several
	case rec.times > 0:
		e.Count = rec.times
		if pages == 0 {
			return r.d.bad(e.Line, "%d times an unknown number of pages", rec.times)
		}
	case rec.order >= 0:
		pages = 1 << rec.order
	default:
		return r.d.bad(e.Line, "call stack without pages")
	}
	if pages > maxBlock/pageSize {
		return r.d.bad(e.Line, "%d pages", pages)
	}
	e.Size = pages * pageSize
	e.Stack = r.d.stacks.Stack(r.stack)
	r.identify(&e, rec)
	return r.d.outstanding(&e)
}

// identify gives an entry its place in time and memory. The first page that comes
// again begins another scan.
func (r *pageOwner) identify(e *Event, rec pageRecord) {
	e.Time = r.at
	if rec.born > 0 {
		e.Time = rec.born
	}
	if rec.placed {
		e.Addr = rec.pfn * pageSize
		if r.records > 0 && !r.timed && rec.pageKey == r.first {
			r.next()
		}
		if r.records == 0 {
			r.first = rec.pageKey
		}
	}
	r.records++
	e.Scan = r.scan
}

// next begins another scan, if the present one has records.
func (r *pageOwner) next() {
	if r.records > 0 {
		r.scan, r.records = r.scan+1, 0
	}
}

func (r *pageOwner) finish() {
	if r.rec.event.Line > 0 && len(r.stack) == 0 {
		r.d.truncated("the last record has no call stack")
	}
	if !r.flush() {
		return
	}
	if r.scan > 0 {
		r.d.report.Class = Snapshots
	}
	if r.told > 0 {
		r.d.oracle("pages of sorted records", strconv.FormatInt(r.told, 10), strconv.FormatInt(r.sum, 10))
	}
}

// maxTimes bounds the numbers of sorted records.
const maxTimes = 1 << 32

// parseTimes reads "N times:", "N times, M pages:" and "N times, M pages, ...".
func parseTimes(line []byte) (times, pages int64, ok bool) {
	if len(line) == 0 || !isDigit(line[0]) {
		return 0, 0, false
	}
	s := scan{rest: line}
	times = s.number()
	s.lit(" times")
	if s.bad || times == 0 || times > maxTimes {
		return 0, 0, false
	}
	if string(s.rest) == ":" {
		return times, 0, true
	}
	s.lit(", ")
	pages = s.number()
	s.lit(" pages")
	return times, pages, !s.bad && pages <= maxTimes
}

// parsePageCount reads "nr_base_pages: N" and "stack_count: N".
func parsePageCount(line []byte) (pages int64, ok bool) {
	s := scan{rest: line}
	if !s.has("nr_base_pages: ") && !s.has("stack_count: ") {
		return 0, false
	}
	pages = s.number()
	return pages, !s.bad && len(s.rest) == 0 && pages > 0 && pages <= maxTimes
}
