package columnar

import (
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"leakformer/ingest"
)

// columns are the arrays of one record batch.
type columns struct {
	n                int
	op, loss, flags  []uint8
	seq, count, line []int64
	time             []arrow.Duration
	age, addr, size  wideValues
	stack            []uint32
	scan, pid, tid   []int32
	comm, report     *array.String
	frames, stacks   *array.List
	frame            frameValues
	stackFrames      *array.List
	stackFrameIDs    []uint32

	// In layout 1 seq, time and line are in full, and these are in place of age, addr
	// and size.
	layout1           bool
	block, signedSize []int64
	wholeAddr         []uint64
}

// wideValues are the two halves of a column of 64-bit numbers.
type wideValues struct{ low, high []uint32 }

func (v *wideValues) at(i int) uint64 { return uint64(v.high[i])<<32 | uint64(v.low[i]) }

// frameValues are the entries of the column frames.
type frameValues struct {
	function, module, file *array.String
	line                   []int64
	address                []uint64
	inlined                *array.Boolean
}

// newColumns takes a record batch apart; the schema has been checked.
func newColumns(rec arrow.Record) *columns {
	col := func(name string) arrow.Array { return rec.Column(rec.Schema().FieldIndices(name)[0]) }
	bytes := func(name string) []uint8 { return col(name).(*array.Uint8).Uint8Values() }
	signed := func(name string) []int32 { return col(name).(*array.Int32).Int32Values() }
	words := func(name string) []uint32 { return col(name).(*array.Uint32).Uint32Values() }
	longs := func(name string) []int64 { return col(name).(*array.Int64).Int64Values() }
	wide := func(name string) wideValues { return wideValues{words(name), words(name + "_high")} }
	c := &columns{
		n:  int(rec.NumRows()),
		op: bytes("op"), loss: bytes("loss"), flags: bytes("flags"),
		count: longs("count"), stack: words("stack"), scan: signed("scan"), pid: signed("pid"), tid: signed("tid"),
		comm: col("comm").(*array.String), report: col("report").(*array.String),
		frames: col("frames").(*array.List), stacks: col("stacks").(*array.List),
	}
	if c.layout1 = rec.Schema().HasField("block"); c.layout1 {
		c.seq, c.time, c.line = longs("seq"), col("time").(*array.Duration).DurationValues(), longs("line")
		c.block, c.signedSize, c.wholeAddr = longs("block"), longs("size"), col("addr").(*array.Uint64).Uint64Values()
	} else {
		c.seq, c.time, c.line = longs("seq_step"), col("time_step").(*array.Duration).DurationValues(), longs("line_step")
		c.age, c.addr, c.size = wide("age"), wide("addr"), wide("size")
	}
	f := c.frames.ListValues().(*array.Struct)
	c.frame = frameValues{
		function: f.Field(0).(*array.String), module: f.Field(1).(*array.String), file: f.Field(2).(*array.String),
		line: f.Field(3).(*array.Int64).Int64Values(), address: f.Field(4).(*array.Uint64).Uint64Values(),
		inlined: f.Field(5).(*array.Boolean),
	}
	c.stackFrames = c.stacks.ListValues().(*array.List)
	c.stackFrameIDs = c.stackFrames.ListValues().(*array.Uint32).Uint32Values()
	c.checkOffsets()
	return c
}

// event is row i, less its task, where born blocks and the event last are before it.
func (c *columns) event(i int, born int64, last *ingest.Event) (e ingest.Event, err error) {
	e = ingest.Event{
		Op: ingest.Op(c.op[i]), Loss: ingest.Loss(c.loss[i]), Flags: ingest.Flags(c.flags[i]),
		Seq: c.seq[i], Time: time.Duration(c.time[i]), Line: c.line[i], Block: born, Count: c.count[i],
		Stack: ingest.StackID(c.stack[i]), Scan: c.scan[i], PID: c.pid[i], TID: c.tid[i],
	}
	if c.layout1 {
		e.Block, e.Addr, e.Size = c.block[i], c.wholeAddr[i], c.signedSize[i]
		return e, nil
	}
	e.Seq, e.Time, e.Line = last.Seq+e.Seq, last.Time+e.Time, last.Line+e.Line
	last.Seq, last.Time, last.Line = e.Seq, e.Time, e.Line
	e.Addr, e.Size = c.addr.at(i), int64(c.size.at(i))
	age := c.age.at(i)
	switch {
	case age > 0 && e.Op != ingest.Free:
		return e, fmt.Errorf("an %v has an age of %d blocks", e.Op, age)
	case age > uint64(born):
		return e, fmt.Errorf("a block is freed that was born %d blocks ago, of %d born", age, born)
	case age > 0:
		e.Block = born - int64(age)
	case e.Op == ingest.Free:
		e.Block = -1
	}
	return e, nil
}

// checkOffsets panics where entries of variable length overlap: a small file could
// name the same bytes again and again, and so ask for any amount of memory.
func (c *columns) checkOffsets() {
	for _, a := range []interface {
		arrow.Array
		ValueOffsets() []int32
	}{c.comm, c.report, c.frame.function, c.frame.module, c.frame.file} {
		if a.Len() > 0 && !slices.IsSorted(a.ValueOffsets()) {
			panic("strings overlap")
		}
	}
	for _, a := range []*array.List{c.frames, c.stacks, c.stackFrames} {
		if a.Len() > 0 && !slices.IsSorted(a.Offsets()) {
			panic("lists overlap")
		}
	}
}

// at copies frame j of the batch: the table outlives the buffers.
func (f *frameValues) at(j int) ingest.Frame {
	return ingest.Frame{
		Function: string([]byte(f.function.Value(j))),
		Module:   string([]byte(f.module.Value(j))),
		File:     string([]byte(f.file.Value(j))),
		Line:     int(f.line[j]),
		Address:  f.address[j],
		Inlined:  f.inlined.Value(j),
	}
}

// budget is an allocator that bounds what the buffers of a batch may take when
// they are unpacked; their sizes come from the file.
type budget struct {
	memory.GoAllocator
	left int
}

// Allocate panics when the budget is spent, as make does on a bad length; the
// package's readers turn panics of arrow into errors.
func (b *budget) Allocate(size int) []byte {
	if size < 0 || size > b.left {
		panic(fmt.Sprintf("a record batch of more than %d MB", maxBatch>>20))
	}
	b.left -= size
	return b.GoAllocator.Allocate(size)
}

// Reallocate serves the first allocation of a buffer too.
func (b *budget) Reallocate(size int, old []byte) []byte {
	if cap(old) >= size {
		return old[:size]
	}
	next := b.Allocate(size)
	copy(next, old)
	return next
}
