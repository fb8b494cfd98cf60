package columnar

import (
	"fmt"
	"math"

	"leakformer/ingest"
)

// laws checks, event by event, what keeps a user of a run from going astray:
// numbers that index something, and order. Writer and reader share it, so that
// what was written can be read. It is the part of [ingest.Validator] that needs no
// memory for the live blocks.
type laws struct {
	seq   int64 // of the event before
	born  int64 // blocks so far
	table int64 // bytes of frames and call stacks so far
}

// maxTable bounds the frames and call stacks of a run, in bytes: they stay in
// memory, and a damaged file must not fill it.
const maxTable = 1 << 30

// frame and stack book what one of them takes.
func (l *laws) frame(f *ingest.Frame) error {
	return l.grow(len(f.Function) + len(f.Module) + len(f.File) + 32)
}

func (l *laws) stack(frames int) error { return l.grow(4 * (frames + 2)) }

func (l *laws) grow(n int) error {
	if l.table += int64(n); l.table > maxTable {
		return fmt.Errorf("call stacks take more than %d MB", maxTable>>20)
	}
	return nil
}

// check tells what is wrong with the next event, when stacks call stacks are
// known (the empty one included).
func (l *laws) check(e *ingest.Event, stacks int) error {
	switch {
	case e.Op < ingest.Alloc || e.Op > ingest.Outstanding:
		return fmt.Errorf("op %d is unknown", e.Op)
	case e.Loss > ingest.Unreferenced:
		return fmt.Errorf("loss %d is unknown", e.Loss)
	case e.Flags > ingest.Realloc|ingest.Inferred|ingest.Approximate:
		return fmt.Errorf("flags %#x are unknown", uint8(e.Flags))
	case e.Seq < l.seq:
		return fmt.Errorf("event number %d stands behind number %d", e.Seq, l.seq)
	case e.Size < 0:
		return fmt.Errorf("size %d is negative", e.Size)
	case int64(e.Stack) >= int64(stacks):
		return fmt.Errorf("call stack %d is used before it is stored (%d are)", e.Stack, stacks-1)
	case e.Op == ingest.Outstanding && (e.Count < 0 || e.Count > math.MaxInt64-l.born):
		return fmt.Errorf("count of %d blocks is out of range", e.Count)
	case e.Op != ingest.Outstanding && e.Count != 1:
		return fmt.Errorf("count of %d blocks in one %v", e.Count, e.Op)
	case e.Op == ingest.Free && (e.Block < -1 || e.Block >= l.born):
		return fmt.Errorf("block %d is freed, of %d born", e.Block, l.born)
	case e.Op != ingest.Free && e.Block != l.born:
		return fmt.Errorf("block %d is born, where %d comes next", e.Block, l.born)
	}
	l.seq = e.Seq
	if e.Op != ingest.Free {
		l.born += e.Count
	}
	return nil
}
