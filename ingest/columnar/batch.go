package columnar

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"leakformer/ingest"
)

// batch collects rows and hands them on as record batches.
type batch struct {
	out  *writer
	rec  *array.RecordBuilder
	rows int // of a full batch

	n     int // rows so far
	bytes int // of strings and call stacks so far

	laws          laws
	table         *ingest.Stacks
	frames        int // of the table, that are stored
	stacks        int // likewise, the empty one included
	op, loss      *array.Uint8Builder
	flags         *array.Uint8Builder
	seq, block    *array.Int64Builder
	size, count   *array.Int64Builder
	line          *array.Int64Builder
	time          *array.DurationBuilder
	addr          *array.Uint64Builder
	stack         *array.Uint32Builder
	scan          *array.Int32Builder
	pid, tid      *array.Int32Builder
	comm, report  *array.StringBuilder
	frameList     *array.ListBuilder
	frame         frameBuilder
	stackList     *array.ListBuilder
	stackFrames   *array.ListBuilder
	stackFrameIDs *array.Uint32Builder
}

// frameBuilder is the struct of the column frames.
type frameBuilder struct {
	frame                  *array.StructBuilder
	function, module, file *array.StringBuilder
	line                   *array.Int64Builder
	address                *array.Uint64Builder
	inlined                *array.BooleanBuilder
}

func newBatch(schema *arrow.Schema, rows int, table *ingest.Stacks) *batch {
	rec := array.NewRecordBuilder(memory.NewGoAllocator(), schema)
	b := &batch{
		rec: rec, rows: rows, table: table, stacks: 1,
		op: column[*array.Uint8Builder](rec, colOp), loss: column[*array.Uint8Builder](rec, colLoss),
		flags: column[*array.Uint8Builder](rec, colFlags),
		seq:   column[*array.Int64Builder](rec, colSeq), block: column[*array.Int64Builder](rec, colBlock),
		size: column[*array.Int64Builder](rec, colSize), count: column[*array.Int64Builder](rec, colCount),
		line:  column[*array.Int64Builder](rec, colLine),
		time:  column[*array.DurationBuilder](rec, colTime),
		addr:  column[*array.Uint64Builder](rec, colAddr),
		stack: column[*array.Uint32Builder](rec, colStack),
		scan:  column[*array.Int32Builder](rec, colScan),
		pid:   column[*array.Int32Builder](rec, colPID), tid: column[*array.Int32Builder](rec, colTID),
		comm: column[*array.StringBuilder](rec, colComm), report: column[*array.StringBuilder](rec, colReport),
		frameList: column[*array.ListBuilder](rec, colFrames),
		stackList: column[*array.ListBuilder](rec, colStacks),
	}
	f := b.frameList.ValueBuilder().(*array.StructBuilder)
	b.frame = frameBuilder{
		frame:    f,
		function: f.FieldBuilder(0).(*array.StringBuilder),
		module:   f.FieldBuilder(1).(*array.StringBuilder),
		file:     f.FieldBuilder(2).(*array.StringBuilder),
		line:     f.FieldBuilder(3).(*array.Int64Builder),
		address:  f.FieldBuilder(4).(*array.Uint64Builder),
		inlined:  f.FieldBuilder(5).(*array.BooleanBuilder),
	}
	b.stackFrames = b.stackList.ValueBuilder().(*array.ListBuilder)
	b.stackFrameIDs = b.stackFrames.ValueBuilder().(*array.Uint32Builder)
	return b
}

// column is the builder of a column; its type follows from the schema.
func column[B array.Builder](rec *array.RecordBuilder, i int) B { return rec.Field(i).(B) }

func (b *batch) release() { b.rec.Release() }

// event appends one event, and before it the call stacks that it needs.
func (b *batch) event(e *ingest.Event) error {
	if err := b.laws.check(e, b.table.Len()); err != nil {
		return err
	}
	if err := b.carry(int(e.Stack) + 1); err != nil {
		return err
	}
	b.comm.Append(clean(e.Comm))
	b.bytes += len(e.Comm)
	b.report.AppendNull()
	return b.row(e)
}

// end appends what is left of the table and the report, and writes the last batch.
func (b *batch) end(r *ingest.Report) error {
	text, err := reportJSON(r)
	if err != nil {
		return err
	}
	if err := b.carry(b.table.Len()); err != nil {
		return err
	}
	b.comm.Append("")
	b.report.Append(text)
	if err := b.row(&ingest.Event{}); err != nil {
		return err
	}
	return b.flush()
}

// reserveRows is for how many rows at a time room is made in all columns.
const reserveRows = 1024

// row appends the fixed columns; those of variable length have been appended.
func (b *batch) row(e *ingest.Event) error {
	if b.n%reserveRows == 0 {
		b.rec.Reserve(reserveRows)
	}
	b.op.UnsafeAppend(uint8(e.Op))
	b.loss.UnsafeAppend(uint8(e.Loss))
	b.flags.UnsafeAppend(uint8(e.Flags))
	b.seq.UnsafeAppend(e.Seq)
	b.time.UnsafeAppend(arrow.Duration(e.Time))
	b.block.UnsafeAppend(e.Block)
	b.addr.UnsafeAppend(e.Addr)
	b.size.UnsafeAppend(e.Size)
	b.count.UnsafeAppend(e.Count)
	b.stack.UnsafeAppend(uint32(e.Stack))
	b.scan.UnsafeAppend(e.Scan)
	b.pid.UnsafeAppend(e.PID)
	b.tid.UnsafeAppend(e.TID)
	b.line.UnsafeAppend(e.Line)
	b.n++
	if b.n >= b.rows || b.bytes >= flushBytes {
		return b.flush()
	}
	return nil
}

// carry appends to the row being built the call stacks below number upTo that no
// row holds, in order, so that the file numbers them as the table does.
func (b *batch) carry(upTo int) error {
	if upTo <= b.stacks {
		b.frameList.AppendNull()
		b.stackList.AppendNull()
		return nil
	}
	b.frameList.Append(true)
	b.stackList.Append(true)
	for ; b.stacks < upTo; b.stacks++ {
		ids := b.table.FrameIDs(ingest.StackID(b.stacks))
		for _, id := range ids {
			for ; b.frames <= int(id); b.frames++ {
				if err := b.room(); err != nil {
					return err
				}
				if err := b.storeFrame(b.table.FrameAt(ingest.FrameID(b.frames))); err != nil {
					return err
				}
			}
		}
		if err := b.room(); err != nil {
			return err
		}
		if err := b.storeStack(ids); err != nil {
			return err
		}
	}
	return nil
}

// room makes sure that frames and stacks fit the batch: where it is full, the row
// being built becomes a row that is no event, and another one is begun.
func (b *batch) room() error {
	if b.bytes < flushBytes {
		return nil
	}
	b.comm.Append("")
	b.report.AppendNull()
	if err := b.row(&ingest.Event{}); err != nil {
		return err
	}
	b.frameList.Append(true)
	b.stackList.Append(true)
	return nil
}

func (b *batch) storeStack(ids []ingest.FrameID) error {
	b.stackFrames.Append(true)
	for _, id := range ids {
		b.stackFrameIDs.Append(uint32(id))
	}
	b.bytes += 4 * (len(ids) + 1)
	return b.laws.stack(len(ids))
}

func (b *batch) storeFrame(f ingest.Frame) error {
	f.Function, f.Module, f.File = clean(f.Function), clean(f.Module), clean(f.File)
	b.frame.frame.Append(true)
	b.frame.function.Append(f.Function)
	b.frame.module.Append(f.Module)
	b.frame.file.Append(f.File)
	b.frame.line.Append(int64(f.Line))
	b.frame.address.Append(f.Address)
	b.frame.inlined.Append(f.Inlined)
	b.bytes += len(f.Function) + len(f.Module) + len(f.File) + 29
	return b.laws.frame(&f)
}

// flush writes the rows so far as one record batch.
func (b *batch) flush() error {
	if b.n == 0 {
		return nil
	}
	if b.bytes > maxBatch/2 {
		return fmt.Errorf("strings and call stacks of one row take %d MB, more than a run can hold", b.bytes>>20)
	}
	b.n, b.bytes = 0, 0
	return b.out.write(b.rec.NewRecord())
}
