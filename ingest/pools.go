package ingest

import (
	"bytes"
	"io"
	"strconv"
	"time"
)

// Files of /proc that tell how much memory each of some named pools holds. One copy
// is a snapshot; who wants a series copies the file again and again, with the time
// before each copy:
//
//	while date +%s.%N && cat /proc/FILE; do sleep 10; done > LOG
//
// A snapshot ends at such a time (parseInstant knows other forms), and where the
// first line of the file comes again, so that a log without times is a series too.
// Other lines between the copies are passed over.

const (
	// maxPools bounds the pools of a log: the largest kernels have some
	// thousands of caches and call sites.
	maxPools = 1 << 17
	// maxPoolName bounds one name.
	maxPoolName = 1024
	// maxNumber bounds the numbers of a row, so that products can be checked.
	maxNumber = 1 << 48
)

// poolFile is what makes the files of /proc differ.
type poolFile struct {
	// begins reports whether a line is the first of a copy; nil: the line
	// whose first word is that of the very first row.
	begins func(line []byte) bool
	// row reads a line that has no blanks at its ends.
	row func(line []byte) poolRow
	// frame says what a name stands for.
	frame func(d *decoder, name []byte) Frame
	// check names the sums that rows tell twice, "" if none do.
	check string
}

// poolRow is what a line says.
type poolRow struct {
	kind rowKind
	// name of the pool; nil where the row is about something else. It is valid
	// until the next line.
	name         []byte
	bytes, count int64
	// told and sum are what the row adds to a figure of the file's and to what
	// should make up that figure.
	told, sum int64
}

type rowKind uint8

const (
	noRow rowKind = iota
	badRow
	goodRow
)

// poolReader reads a series.
type poolReader struct {
	d     *decoder
	file  *poolFile
	first []byte // first word of the first row

	scan int32
	at   time.Duration
	// clock turns the times before the copies into times since the first.
	clock seriesClock
	pools map[string]StackID // by name
	shown snapshot
	// rows of the snapshot and of the one before.
	rows, before int64
	left         int64 // rows of pools that there was no room for

	// told and sum are of the snapshot, all what those before add up to.
	told, sum       int64
	allTold, allSum int64
}

// readPools makes the reader of a file of /proc.
func readPools(file *poolFile) func(d *decoder) error {
	return func(d *decoder) error {
		r := &poolReader{d: d, file: file, pools: map[string]StackID{}}
		cut := false
		for {
			line, ok := d.lines.next()
			if !ok {
				break
			}
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			if cut = d.lines.partial; cut {
				d.truncated("the last line has no end and is left out")
				break
			}
			if !r.line(line) {
				return nil
			}
		}
		r.finish(cut || d.lines.err != nil && d.lines.err != io.EOF)
		return nil
	}
}

// line returns false when nobody listens any more.
func (r *poolReader) line(line []byte) bool {
	if at, ok := parseInstant(line); ok {
		r.d.report.Recognised++
		if !r.next() {
			return false
		}
		r.at = r.clock.since(at)
		r.d.report.Clock = Stamps
		return true
	}
	row := r.file.row(line)
	if r.begins(line, row) && !r.next() {
		return false
	}
	switch {
	case row.kind == noRow:
		return true
	case row.kind == badRow || len(row.name) > maxPoolName:
		return r.d.bad(r.d.lines.n, "row not understood: %q", clip(line))
	}
	r.d.report.Recognised++
	r.rows++
	r.told += row.told
	r.sum += row.sum
	if row.name != nil && (row.bytes > 0 || row.count > 0) {
		r.add(row)
	}
	return true
}

func (r *poolReader) begins(line []byte, row poolRow) bool {
	if r.file.begins != nil {
		return r.file.begins(line)
	}
	if row.kind != goodRow {
		return false
	}
	word, _, _ := bytes.Cut(line, []byte(" "))
	if r.first == nil {
		r.first = bytes.Clone(word)
	}
	return bytes.Equal(word, r.first)
}

// add books a row. The rows of one pool add up, and so do pools whose names differ
// only in what no frame holds, such as the offset in a function.
func (r *poolReader) add(row poolRow) {
	stack, ok := r.pools[string(row.name)]
	if !ok {
		if len(r.pools) >= maxPools {
			r.left++
			return
		}
		frame := r.d.stacks.Frame(r.file.frame(r.d, row.name))
		stack = r.d.stacks.Stack([]FrameID{frame})
		r.pools[string(row.name)] = stack
	}
	r.shown.add(Event{Stack: stack, Size: row.bytes, Count: row.count, Time: r.at, Line: r.d.lines.n})
}

// next ends a snapshot, if it has rows, and emits its pools.
func (r *poolReader) next() bool {
	if r.rows == 0 {
		return true
	}
	if !r.shown.emit(r.d, r.scan) {
		return false
	}
	if r.told > 0 {
		r.allTold += r.told
		r.allSum += r.sum
	}
	r.drop()
	r.scan++
	return true
}

// drop forgets the snapshot's rows.
func (r *poolReader) drop() {
	r.before, r.rows = r.rows, 0
	r.told, r.sum = 0, 0
}

// finish takes the end of the log. In a snapshot that is not whole pools seem to
// have been freed: unless it is the only one, it is left out.
func (r *poolReader) finish(cut bool) {
	if r.before > 0 && r.rows > 0 && (cut || 4*r.rows < 3*r.before) {
		r.d.truncated("the last snapshot is left out: it has %d rows, the one before %d", r.rows, r.before)
		r.shown = snapshot{}
		r.drop()
	}
	if !r.next() {
		return
	}
	if r.left > 0 {
		r.d.report.Warn("%s: %d rows are left out: more than %d pools", r.d.report.Name, r.left, maxPools)
	}
	if r.allTold > 0 && r.file.check != "" {
		r.d.oracle(r.file.check, strconv.FormatInt(r.allTold, 10), strconv.FormatInt(r.allSum, 10))
	}
}

// poolNumber reads a decimal number of a row.
func poolNumber(field []byte) (int64, bool) {
	n, rest, ok := leadingDigits(field)
	return n, ok && len(rest) == 0 && n <= maxNumber
}

// cutField cuts the first word off a line.
func cutField(line []byte) (field, rest []byte) {
	line = bytes.TrimLeft(line, " \t")
	i := bytes.IndexAny(line, " \t")
	if i < 0 {
		return line, nil
	}
	return line[:i], bytes.TrimLeft(line[i:], " \t")
}
