package columnar

import "unsafe"

// value is what a column of fixed width holds.
type value interface {
	uint8 | int32 | uint32 | int64 | uint64
}

// column is a column of fixed width that is being filled. Most columns of most
// batches say the same in every row; as long as one does, it holds one value, and
// takes hardly any time.
type column[T value] struct {
	same   T
	varied bool
	values []T // of all rows, where varied
}

// set gives a row its value; rows are set in order.
func (c *column[T]) set(row int, v T) {
	if c.varied {
		c.values = append(c.values, v)
	} else if v != c.same {
		c.vary(row, v)
	}
}

func (c *column[T]) vary(row int, v T) {
	if row == 0 {
		c.same = v
		return
	}
	for range row {
		c.values = append(c.values, c.same)
	}
	c.values, c.varied = append(c.values, v), true
}

func (c *column[T]) clear() { c.values, c.varied = c.values[:0], false }

// wide is a column of 64-bit numbers that is stored as two of 32 bits: the high
// halves are mostly all the same, and without them the low ones pack in half the
// time.
type wide struct{ low, high column[uint32] }

func (c *wide) set(row int, v uint64) {
	c.low.set(row, uint32(v))
	c.high.set(row, uint32(v>>32))
}

func (c *wide) clear() {
	c.low.clear()
	c.high.clear()
}

// offsets are where the entries of a column begin among the values below it: a
// number for each row, the first 0, and one more for the end.
type offsets struct{ column[int32] }

// end says where the entry of a row ends.
func (c *offsets) end(row, at int) { c.set(row+1, int32(at)) }

func (c *offsets) clear() {
	c.column.clear()
	c.same = 0
}

// texts is a column of strings.
type texts struct {
	offsets offsets
	data    []byte
}

func (c *texts) set(row int, s string) {
	if s == "" && !c.offsets.varied {
		return // as all before it
	}
	c.data = append(c.data, s...)
	c.offsets.end(row, len(c.data))
}

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
