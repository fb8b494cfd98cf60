package columnar

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"leakformer/ingest"
)

// columns are the arrays of one record batch.
type columns struct {
	n                                     int
	op, loss, flags                       []uint8
	seq, block, size, count, line         []int64
	time                                  []arrow.Duration
	addr                                  []uint64
	stack                                 []uint32
	scan, pid, tid                        []int32
	comm, report                          *array.String
	frames                                *array.List
	frameFunction, frameModule, frameFile *array.String
	frameLine                             []int64
	frameAddress                          []uint64
	frameInlined                          *array.Boolean
	stacks, stackFrames                   *array.List
	stackFrameIDs                         []uint32
}

// newColumns takes a record batch apart; the schema has been checked.
func newColumns(rec arrow.Record) *columns {
	c := &columns{
		n:  int(rec.NumRows()),
		op: rec.Column(colOp).(*array.Uint8).Uint8Values(), loss: rec.Column(colLoss).(*array.Uint8).Uint8Values(),
		flags: rec.Column(colFlags).(*array.Uint8).Uint8Values(),
		seq:   rec.Column(colSeq).(*array.Int64).Int64Values(), block: rec.Column(colBlock).(*array.Int64).Int64Values(),
		size: rec.Column(colSize).(*array.Int64).Int64Values(), count: rec.Column(colCount).(*array.Int64).Int64Values(),
		line:  rec.Column(colLine).(*array.Int64).Int64Values(),
		time:  rec.Column(colTime).(*array.Duration).DurationValues(),
		addr:  rec.Column(colAddr).(*array.Uint64).Uint64Values(),
		stack: rec.Column(colStack).(*array.Uint32).Uint32Values(),
		scan:  rec.Column(colScan).(*array.Int32).Int32Values(),
		pid:   rec.Column(colPID).(*array.Int32).Int32Values(), tid: rec.Column(colTID).(*array.Int32).Int32Values(),
		comm: rec.Column(colComm).(*array.String), report: rec.Column(colReport).(*array.String),
		frames: rec.Column(colFrames).(*array.List), stacks: rec.Column(colStacks).(*array.List),
	}
	f := c.frames.ListValues().(*array.Struct)
	c.frameFunction, c.frameModule = f.Field(0).(*array.String), f.Field(1).(*array.String)
	c.frameFile = f.Field(2).(*array.String)
	c.frameLine = f.Field(3).(*array.Int64).Int64Values()
	c.frameAddress = f.Field(4).(*array.Uint64).Uint64Values()
	c.frameInlined = f.Field(5).(*array.Boolean)
	c.stackFrames = c.stacks.ListValues().(*array.List)
	c.stackFrameIDs = c.stackFrames.ListValues().(*array.Uint32).Uint32Values()
	c.checkOffsets()
	return c
}

// checkOffsets panics where entries of variable length overlap: a small file could
// name the same bytes again and again, and so ask for any amount of memory.
func (c *columns) checkOffsets() {
	for _, a := range []interface {
		arrow.Array
		ValueOffsets() []int32
	}{c.comm, c.report, c.frameFunction, c.frameModule, c.frameFile} {
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

// frame copies frame j of the batch: the table outlives the buffers.
func (c *columns) frame(j int) ingest.Frame {
	return ingest.Frame{
		Function: string([]byte(c.frameFunction.Value(j))),
		Module:   string([]byte(c.frameModule.Value(j))),
		File:     string([]byte(c.frameFile.Value(j))),
		Line:     int(c.frameLine[j]),
		Address:  c.frameAddress[j],
		Inlined:  c.frameInlined.Value(j),
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
