// Package ingest reads allocation logs of many formats into one stream of
// timestamped events.
//
// [Open] finds out how a file is compressed and which format it has, and
// returns a [Source]: events in the order of the log, the call stacks they name,
// and a parse report that is complete when the events have been read. [OpenSeries]
// reads the snapshots of a run that stand in a file each.
package ingest

import (
	"iter"
	"time"
)

// Op says what an event tells about its block or blocks.
type Op uint8

const (
	// Alloc is the birth of one block.
	Alloc Op = 1 + iota
	// Free is the death of one block.
	Free
	// Outstanding is an entry of a report or snapshot: Count blocks from one
	// stack were live when it was taken.
	Outstanding
)

func (o Op) String() string {
	switch o {
	case Alloc:
		return "alloc"
	case Free:
		return "free"
	case Outstanding:
		return "outstanding"
	}
	return "invalid"
}

// Loss is the judgement that a report itself passes on an outstanding entry.
type Loss uint8

const (
	// NotJudged: the log says nothing about reachability.
	NotJudged Loss = iota
	// Definite: no pointer to the block was found (memcheck "definitely lost").
	Definite
	// Indirect: only lost blocks point to the block.
	Indirect
	// Possible: only interior pointers were found.
	Possible
	// Reachable: a pointer to the start was found.
	Reachable
	// Unreferenced: a kmemleak suspect; many are false.
	Unreferenced
)

func (l Loss) String() string {
	switch l {
	case NotJudged:
		return "not judged"
	case Definite:
		return "definitely lost"
	case Indirect:
		return "indirectly lost"
	case Possible:
		return "possibly lost"
	case Reachable:
		return "still reachable"
	case Unreferenced:
		return "unreferenced"
	}
	return "invalid"
}

// Flags qualify an event.
type Flags uint8

const (
	// Realloc marks the free and the alloc that together are one realloc.
	Realloc Flags = 1 << iota
	// Inferred marks a free that the log does not show: the address was handed
	// out again, so the free of the earlier block was missed.
	Inferred
	// Approximate marks a free whose block was chosen among equals, because the
	// log names only a class of blocks (heaptrack's interpreted files).
	Approximate
)

// Event is one line of what happened to the heap.
//
// A realloc is two events: the free of the old block, then the alloc of the new.
type Event struct {
	Op    Op
	Loss  Loss
	Flags Flags
	// Seq numbers the events of the log from 0. An inferred free shares the
	// number of the alloc that gave it away.
	Seq int64
	// Time since the log's start; 0 throughout where the log has no clock
	// (see Report.Clock).
	Time time.Duration
	// Block numbers the run's blocks in order of birth, from 0. A Free names
	// the block that it frees, or -1 (an orphan: it frees none that is known).
	Block int64
	// Addr is the block's address; 0 where the format has none.
	Addr uint64
	// Size is the bytes of all Count blocks together; for a Free, of the block
	// it frees (0 for an orphan).
	Size int64
	// Count of blocks: 1 for Alloc and Free.
	Count int64
	// Stack of the allocation (for a Free: of the block that it frees); 0 where
	// it is not known.
	Stack StackID
	// Scan numbers the snapshots of a series from 0; 0 in other logs.
	Scan int32
	// PID and TID; 0 where the format has none.
	PID, TID int32
	// Comm is the name of the task that allocated; "" where not known.
	Comm string
	// Line of the log on which the event stands, from 1.
	Line int64
}

// Source is one log being read: a file in a line format, or a run in Arrow.
type Source interface {
	// Events yields the events in the order of the log, once. A pair whose
	// error is a *SyntaxError concerns one record, and reading goes on after
	// it; any other error is the last pair.
	Events() iter.Seq2[Event, error]
	// Stacks is the table that Event.Stack indexes. It grows while events are
	// read.
	Stacks() *Stacks
	// Report tells what was read; its counts are final once Events has ended.
	Report() *Report
	// Close releases the file.
	Close() error
}

// Each reads src as a loop over its Events does, but hands the events out by address:
// they are large. An event is valid until f returns; f returns false to end the reading.
func Each(src Source, f func(*Event, error) bool) {
	if log, ok := src.(*logSource); ok {
		log.each(f)
		return
	}
	var held Event
	for e, err := range src.Events() {
		if held = e; !f(&held, err) {
			return
		}
	}
}
