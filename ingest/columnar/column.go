package columnar

import (
	"slices"
	"unsafe"
)

// value is what a column of fixed width holds.
type value interface {
	uint8 | int32 | uint32 | int64 | uint64
}

// column is a column of fixed width that is being filled. Many columns of most batches
// say the same in long runs of rows; as long as one does, it holds the runs, and takes
// hardly any time.
type column[T value] struct {
	runs []run[T] // the first is left out where it is of zeros
	// values are the rows themselves, where the runs are too many.
	values []T
	last   T // of all rows behind the runs or values
	next   T // of a row that is not kept yet
}

// run is rows from a number on that say the same.
type run[T value] struct {
	from  int32
	value T
}

// maxRuns bounds the runs of a column.
const maxRuns = 256

// set gives a row its value; rows are set in order. Where it returns false, keep has to
// be called.
// Note: it is small enough to be compiled into its callers, which is worth a fifth of
// the time of Encode.
func (c *column[T]) set(row int, v T) (kept bool) {
	if row < len(c.values) {
		c.values[row] = v
		return true
	}
	c.next = v
	return v == c.last
}

// keep keeps the value that row was set to, if that has not been done.
func (c *column[T]) keep(row int) {
	switch {
	case row < len(c.values) || c.next == c.last:
	case len(c.values) == 0 && len(c.runs) < maxRuns:
		c.runs, c.last = append(c.runs, run[T]{int32(row), c.next}), c.next
	default:
		c.fill(row + 1)
		c.values = c.values[:cap(c.values)]
		c.values[row] = c.next
	}
}

// constant reports whether all rows say the same.
func (c *column[T]) constant() bool {
	return len(c.values) == 0 && (len(c.runs) == 0 || len(c.runs) == 1 && c.runs[0].from == 0)
}

// fill makes values of so many rows at least.
func (c *column[T]) fill(n int) {
	at := len(c.values)
	if n <= at {
		return
	}
	c.values = slices.Grow(c.values, n-at)[:n]
	if at == 0 {
		var before T
		for _, r := range c.runs {
			repeat(c.values[at:r.from], before)
			at, before = int(r.from), r.value
		}
	}
	repeat(c.values[at:], c.last)
}

func repeat[T value](rows []T, v T) {
	for i := range rows {
		rows[i] = v
	}
}

func (c *column[T]) clear() {
	c.last, c.next, c.runs, c.values = 0, 0, c.runs[:0], c.values[:0]
}

// wide is a column of 64-bit numbers that is stored as two of 32 bits: the high
// halves are mostly all the same, and without them the low ones pack in half the
// time.
type wide struct{ low, high column[uint32] }

func (c *wide) set(row int, v uint64) (kept bool) {
	kept = c.low.set(row, uint32(v))
	return c.high.set(row, uint32(v>>32)) && kept
}

func (c *wide) keep(row int) {
	c.low.keep(row)
	c.high.keep(row)
}

func (c *wide) clear() {
	c.low.clear()
	c.high.clear()
}

// offsets are where the entries of a column begin among the values below it: a
// number for each row, the first 0, and one more for the end.
type offsets struct{ column[int32] }

// end says where the entry of a row ends.
func (c *offsets) end(row, at int) (kept bool) { return c.set(row+1, int32(at)) }

func (c *offsets) keep(row int) { c.column.keep(row + 1) }

// texts is a column of strings.
type texts struct {
	offsets offsets
	data    []byte
}

func (c *texts) set(row int, s string) (kept bool) {
	c.data = append(c.data, s...)
	return c.offsets.end(row, len(c.data))
}

func (c *texts) keep(row int) { c.offsets.keep(row) }

func (c *texts) clear() {
	c.offsets.clear()
	c.data = c.data[:0]
}

// entries is a column that is null on most rows. It lists those that are not, and
// where their entries end among the values below it.
type entries struct{ rows, ends []int32 }

// set says where the entry of a row ends; the latest word on a row counts.
func (c *entries) set(row, end int) {
	if last := len(c.rows) - 1; last >= 0 && int(c.rows[last]) == row {
		c.ends[last] = int32(end)
		return
	}
	c.rows, c.ends = append(c.rows, int32(row)), append(c.ends, int32(end))
}

func (c *entries) clear() { c.rows, c.ends = c.rows[:0], c.ends[:0] }

// bytesOf is the memory of numbers, in the byte order of this machine, which arrow
// notes in the schema.
func bytesOf[T value](v []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(*new(T))))
}
