package ingest

import (
	"bytes"
	"path"
	"slices"
	"strconv"
)

// What Python's tracemalloc prints of a snapshot: its statistics, the difference
// between two snapshots, and statistics by traceback.
//
//	FILE:LINE: size=162 KiB, count=2002, average=83 B
//	FILE:LINE: size=162 KiB (+162 KiB), count=2002 (+2001), average=83 B
//	2001 memory blocks: 161.9 KiB
//	  File "FILE", line LINE
//	    source
//
// Sizes are rounded, numbers of blocks are not. There are no names of functions: a
// frame is named for its file.
//
// A log may hold the output for many snapshots, with anything between them. Nothing
// marks where one begins: it does where the kind of line changes, where an entry is
// larger than the one before, as each snapshot is sorted, and where it comes up
// again behind a line of another kind. A difference is two snapshots; of those that
// follow one another only the first gives the one that it starts from.

func sniffTracemalloc(head []byte) string {
	found := headLines(head, func(line []byte) bool {
		if _, ok := parsePyStatistic(line); ok {
			return true
		}
		_, ok := parsePyTraceback(line)
		return ok
	})
	if found {
		return ""
	}
	return `no line "FILE:LINE: size=N KiB, count=N" or "N memory blocks: N KiB"`
}

// pyKind is the kind of an entry.
type pyKind uint8

const (
	pyNone pyKind = iota
	pyStatistics
	pyDifference
	pyTraceback
)

// pyEntry is one entry. Its was amounts are those of the snapshot that a difference
// starts from.
type pyEntry struct {
	kind              pyKind
	file              []byte
	line              int
	size, count       int64
	wasSize, wasCount int64
	order             int64 // that decides its place in the list
}

// tracemalloc is the reader.
type tracemalloc struct {
	d      *decoder
	scan   int32
	kind   pyKind // of the snapshot being read
	last   int64  // order of the entry before
	gap    bool   // another line stood behind it
	now    snapshot
	was    snapshot
	based  bool // the last difference read went on from the snapshot before
	open   bool // a traceback is being read
	trace  pyEntry
	at     int64 // its line in the log
	frames []FrameID
}

func readTracemalloc(d *decoder) error {
	d.report.Tool = "tracemalloc"
	r := &tracemalloc{d: d}
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		if d.lines.partial && r.cut(line) {
			d.truncated("the last line has no end and is left out")
			break
		}
		if !r.line(line) {
			return nil
		}
	}
	if r.close() {
		r.flush()
	}
	return nil
}

// cut reports whether the last line, which has no newline, may have lost more. A
// statistic ends with an average, unless it has no blocks.
func (r *tracemalloc) cut(line []byte) bool {
	e, ok := parsePyStatistic(line)
	return r.open || ok && e.count > 0 && !bytes.HasSuffix(line, []byte("B")) || bytes.Contains(line, []byte(": size=")) && !ok
}

// line takes one line; it returns false when nobody listens any more.
func (r *tracemalloc) line(line []byte) bool {
	d := r.d
	d.report.Recognised++
	if r.open {
		if f, ok := parsePyFrame(line); ok {
			if len(r.frames) < maxDepth {
				r.frames = append(r.frames, r.frame(f))
			}
			return true
		}
		if bytes.HasPrefix(line, []byte("    ")) {
			return true // the source
		}
		if !r.close() {
			return false
		}
	}
	if e, ok := parsePyTraceback(line); ok {
		r.open, r.trace, r.at, r.frames = true, e, d.lines.n, r.frames[:0]
		return true
	}
	if e, ok := parsePyStatistic(line); ok {
		r.frames = append(r.frames[:0], r.frame(e))
		return r.add(e, d.lines.n)
	}
	r.gap = true
	d.report.Recognised--
	if bytes.Contains(line, []byte(": size=")) && bytes.Contains(line, []byte(", count=")) {
		return d.bad(d.lines.n, "statistic not understood: %q", clip(line))
	}
	return true
}

func (r *tracemalloc) frame(e pyEntry) FrameID {
	file := r.d.text(e.file)
	return r.d.stacks.Frame(Frame{Function: path.Base(file), File: file, Line: e.line})
}

// close ends the traceback being read.
func (r *tracemalloc) close() bool {
	if !r.open {
		return true
	}
	r.open = false
	if len(r.frames) == 0 {
		return r.d.bad(r.at, "memory blocks without a traceback")
	}
	// The most recent call is the last line.
	slices.Reverse(r.frames)
	return r.add(r.trace, r.at)
}

// add books an entry from r.frames, in the next snapshot if one begins with it.
func (r *tracemalloc) add(e pyEntry, line int64) bool {
	stack := r.d.stacks.Stack(r.frames)
	_, again := r.now.index[snapshotKey{stack: stack}]
	if e.kind != r.kind || e.order > r.last || again && r.gap {
		if !r.flush() {
			return false
		}
	}
	r.kind, r.last, r.gap = e.kind, e.order, false
	if e.size > 0 || e.count > 0 {
		r.now.add(Event{Line: line, Stack: stack, Size: e.size, Count: e.count})
	}
	if e.kind == pyDifference && !r.based && (e.wasSize > 0 || e.wasCount > 0) {
		r.was.add(Event{Line: line, Stack: stack, Size: e.wasSize, Count: e.wasCount})
	}
	return true
}

// flush ends the snapshot being read.
func (r *tracemalloc) flush() bool {
	if r.kind == pyNone {
		return true
	}
	if r.kind == pyDifference && !r.based {
		r.scan++
		if !r.was.emit(r.d, r.scan-1) {
			return false
		}
	}
	r.based = r.kind == pyDifference
	r.scan++
	return r.now.emit(r.d, r.scan-1)
}

// parsePyStatistic reads
//
//	FILE:LINE: size=SIZE[ (+SIZE)], count=N[ (+N)][, average=SIZE]
func parsePyStatistic(line []byte) (e pyEntry, ok bool) {
	i := bytes.LastIndex(line, []byte(": size="))
	if i < 0 {
		return e, false
	}
	var number []byte
	e.file, number, ok = cutLast(line[:i], ':')
	n, err := strconv.ParseInt(string(number), 10, 32)
	if !ok || err != nil || n < 0 || len(e.file) == 0 {
		return e, false
	}
	e.kind, e.line = pyStatistics, int(n)
	s := scan{rest: line[i+len(": size="):]}
	e.size = s.pySize()
	diff := s.has(" (")
	sign, change := int64(1), int64(0)
	if diff {
		sign = s.sign()
		change = s.pySize()
		s.lit(")")
	}
	e.order, e.wasSize = e.size, max(e.size-sign*change, 0)
	s.lit(", count=")
	e.count = s.number()
	if diff {
		e.kind, e.order = pyDifference, change
		s.lit(" (")
		sign = s.sign()
		e.wasCount = max(e.count-sign*s.number(), 0)
		s.lit(")")
	}
	return e, !s.bad && e.count <= maxBlock && e.wasCount <= maxBlock && e.wasSize <= maxBlock &&
		(len(s.rest) == 0 || bytes.HasPrefix(s.rest, []byte(", average=")))
}

// parsePyTraceback reads "N memory blocks: SIZE".
func parsePyTraceback(line []byte) (e pyEntry, ok bool) {
	if len(line) == 0 || !isDigit(line[0]) {
		return e, false
	}
	s := scan{rest: line}
	e.kind, e.count = pyTraceback, s.number()
	s.lit(" memory blocks: ")
	e.size = s.pySize()
	e.order = e.size
	return e, !s.bad && len(s.rest) == 0 && e.count <= maxBlock
}

// parsePyFrame reads `  File "FILE", line LINE`.
func parsePyFrame(line []byte) (e pyEntry, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`  File "`))
	i := bytes.LastIndex(rest, []byte(`", line `))
	if !ok || i < 0 {
		return e, false
	}
	n, err := strconv.ParseInt(string(rest[i+len(`", line `):]), 10, 32)
	e.file, e.line = rest[:i], int(n)
	return e, err == nil && n >= 0
}

// sign takes a plus or a minus.
func (s *scan) sign() int64 {
	if s.has("-") {
		return -1
	}
	s.lit("+")
	return 1
}

// pySize reads an amount such as "83 B" or "45.6 KiB".
func (s *scan) pySize() int64 {
	i := 0
	for i < len(s.rest) && (isDigit(s.rest[i]) || s.rest[i] == '.') {
		i++
	}
	n, err := strconv.ParseFloat(string(s.rest[:i]), 64)
	s.rest = s.rest[i:]
	unit := 1.0
	for _, name := range [...]string{" B", " KiB", " MiB", " GiB", " TiB"} {
		if s.has(name) {
			if n *= unit; err != nil || n > maxBlock {
				s.bad = true
				return 0
			}
			return int64(n + 0.5)
		}
		unit *= 1024
	}
	s.bad = true
	return 0
}
