package columnar

import (
	"fmt"

	"leakformer/ingest"
)

// batch turns events into rows, and hands on full batches of them.
type batch struct {
	*rows     // being filled
	most  int // rows of a full batch
	out   *writer
	laws  laws
	last  ingest.Event // from which seq, time and line are counted on

	table        *ingest.Stacks
	storedFrames int // of the table
	storedStacks int // likewise, the empty one included
}

func newBatch(out *writer, most int, table *ingest.Stacks) *batch {
	return &batch{rows: &rows{}, out: out, most: most, table: table, storedStacks: 1}
}

// event appends one event, and before it the call stacks that it needs.
func (b *batch) event(e *ingest.Event) error {
	born := b.laws.born
	if err := b.laws.check(e, b.table.Len()); err != nil {
		return err
	}
	if int(e.Stack) >= b.storedStacks {
		if err := b.carry(int(e.Stack) + 1); err != nil {
			return err
		}
	}
	b.rows.event(e, born, &b.last)
	return b.next()
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
	b.rows.end(text)
	return b.flush()
}

// next ends a row.
func (b *batch) next() error {
	if b.n >= b.most || b.bytes >= flushBytes {
		return b.flush()
	}
	return nil
}

// carry appends to the row being built the call stacks below number upTo that no
// row holds, in order, so that the file numbers them as the table does.
func (b *batch) carry(upTo int) error {
	for ; b.storedStacks < upTo; b.storedStacks++ {
		ids := b.table.FrameIDs(ingest.StackID(b.storedStacks))
		for _, id := range ids {
			for ; b.storedFrames <= int(id); b.storedFrames++ {
				if err := b.storeFrame(b.table.FrameAt(ingest.FrameID(b.storedFrames))); err != nil {
					return err
				}
			}
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
	b.none()
	return b.next()
}

func (b *batch) storeStack(ids []ingest.FrameID) error {
	if err := b.room(); err != nil {
		return err
	}
	b.newStack(ids)
	return b.laws.stack(len(ids))
}

func (b *batch) storeFrame(f ingest.Frame) error {
	if err := b.room(); err != nil {
		return err
	}
	f.Function, f.Module, f.File = clean(f.Function), clean(f.Module), clean(f.File)
	b.newFrame(&f)
	return b.laws.frame(&f)
}

// flush writes the rows so far as one record batch.
func (b *batch) flush() error {
	if b.bytes > maxBatch/2 {
		return fmt.Errorf("strings and call stacks of one row take %d MB, more than a run can hold", b.bytes>>20)
	}
	next, err := b.out.write(b.rows)
	b.rows = next
	return err
}
