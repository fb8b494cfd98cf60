package ingest

import (
	"fmt"
	"time"
)

// Validator checks the laws that every Source keeps and every later stage relies
// on. The zero value is ready; hand it each event, then the report.
type Validator struct {
	next  int64 // number of the next event
	born  int64
	live  map[int64]liveBlock // by block number
	now   time.Duration
	lost  *Event // an inferred free whose alloc must follow
	seen  map[StackID]struct{}
	scan  int32
	total Report
}

// Event checks the next event of a stream; stacks is the table of its source.
func (v *Validator) Event(e Event, stacks *Stacks) error {
	if err := v.shape(&e, stacks); err != nil {
		return fmt.Errorf("%w: %s", err, AppendText(nil, e))
	}
	if err := v.life(&e); err != nil {
		return fmt.Errorf("%w: %s", err, AppendText(nil, e))
	}
	v.count(&e)
	return nil
}

// shape checks what an event must be by itself.
func (v *Validator) shape(e *Event, stacks *Stacks) error {
	switch {
	case e.Op < Alloc || e.Op > Outstanding:
		return fmt.Errorf("op %d is unknown", e.Op)
	case e.Loss > Unreferenced:
		return fmt.Errorf("loss %d is unknown", e.Loss)
	case e.Op != Outstanding && e.Loss != NotJudged:
		return fmt.Errorf("loss %v outside a report", e.Loss)
	case e.Flags > Realloc|Inferred|Approximate:
		return fmt.Errorf("flags %#x are unknown", uint8(e.Flags))
	case e.Flags&(Inferred|Approximate) != 0 && e.Op != Free:
		return fmt.Errorf("flags %#x on what is no free", uint8(e.Flags))
	case e.Size < 0:
		return fmt.Errorf("size %d is negative", e.Size)
	case e.Count < 0 || e.Op != Outstanding && e.Count != 1:
		return fmt.Errorf("count %d", e.Count)
	case int64(e.Stack) >= int64(stacks.Len()):
		return fmt.Errorf("stack %d is not in the table of %d", e.Stack, stacks.Len())
	case e.Line < 1:
		return fmt.Errorf("line %d", e.Line)
	case e.Time < 0 || e.Op != Outstanding && e.Time < v.now:
		return fmt.Errorf("time %v after %v", e.Time, v.now)
	}
	return nil
}

// life checks what an event may be after all those before it.
func (v *Validator) life(e *Event) error {
	if e.Seq != v.next {
		return fmt.Errorf("event number %d, where %d comes next", e.Seq, v.next)
	}
	if v.lost != nil && (e.Op != Alloc || e.Addr != v.lost.Addr || e.PID != v.lost.PID) {
		return fmt.Errorf("an inferred free of %#x without its alloc", v.lost.Addr)
	}
	switch {
	case e.Op != Free && e.Block != v.born:
		return fmt.Errorf("block %d is born, where %d comes next", e.Block, v.born)
	case e.Op == Free && e.Block == -1:
		if e.Size != 0 {
			return fmt.Errorf("an orphan free of %d bytes", e.Size)
		}
		if e.Flags&Inferred != 0 {
			return fmt.Errorf("an inferred free of no block")
		}
	case e.Op == Free:
		b, ok := v.live[e.Block]
		if !ok {
			return fmt.Errorf("block %d is freed but not live", e.Block)
		}
		if b.size != e.Size || b.stack != e.Stack {
			return fmt.Errorf("block %d was born with %d bytes from stack %d", e.Block, b.size, b.stack)
		}
	}
	return nil
}

func (v *Validator) count(e *Event) {
	if v.live == nil {
		v.live, v.seen = map[int64]liveBlock{}, map[StackID]struct{}{}
	}
	inferred := e.Flags&Inferred != 0
	v.lost = nil
	if inferred {
		lost := *e
		v.lost = &lost
	} else {
		v.next++
		v.total.Events++
	}
	switch e.Op {
	case Alloc:
		v.live[e.Block] = liveBlock{block: e.Block, size: e.Size, stack: e.Stack}
		v.total.Allocs++
		v.total.AllocatedBytes += e.Size
		v.total.Outstanding.Blocks++
		v.total.Outstanding.Bytes += e.Size
	case Free:
		switch {
		case inferred:
			v.total.LostFrees++
		case e.Block < 0:
			v.total.OrphanFrees++
			fallthrough
		default:
			v.total.Frees++
		}
		if e.Block >= 0 {
			delete(v.live, e.Block)
			v.total.Outstanding.Blocks--
			v.total.Outstanding.Bytes -= e.Size
		}
	case Outstanding:
		v.total.Records++
		if e.Scan != v.scan {
			v.scan = e.Scan
			v.total.Outstanding = Amount{}
		}
		v.total.Outstanding.Blocks += e.Count
		v.total.Outstanding.Bytes += e.Size
	}
	if e.Op != Free {
		v.born += e.Count
		v.seen[e.Stack] = struct{}{}
	}
	if e.Op != Outstanding {
		v.now = e.Time
	}
}

// End checks that the report says what the events added up to.
func (v *Validator) End(r *Report) error {
	if v.lost != nil {
		return fmt.Errorf("an inferred free of %#x without its alloc", v.lost.Addr)
	}
	got, want := *r, v.total
	if got.LastEmpty {
		want.Outstanding = Amount{}
	}
	for _, c := range [...]struct {
		name      string
		got, want int64
	}{
		{"events", got.Events, want.Events},
		{"allocs", got.Allocs, want.Allocs},
		{"frees", got.Frees, want.Frees},
		{"records", got.Records, want.Records},
		{"orphan frees", got.OrphanFrees, want.OrphanFrees},
		{"lost frees", got.LostFrees, want.LostFrees},
		{"allocated bytes", got.AllocatedBytes, want.AllocatedBytes},
		{"outstanding blocks", got.Outstanding.Blocks, want.Outstanding.Blocks},
		{"outstanding bytes", got.Outstanding.Bytes, want.Outstanding.Bytes},
		{"sites", int64(got.Sites), int64(len(v.seen))},
	} {
		if c.got != c.want {
			return fmt.Errorf("the report says %d %s, the events add up to %d", c.got, c.name, c.want)
		}
	}
	if got.Recognised > got.Lines {
		return fmt.Errorf("the report says that %d of %d lines were recognised", got.Recognised, got.Lines)
	}
	return nil
}
