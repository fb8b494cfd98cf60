package monitor

import (
	"iter"

	"leakformer/ingest"
)

// Tail is a log being read that knows how far it can be looked at already. Of a series
// of snapshots the latest may be there in part, and what is still missing would seem to
// have been freed.
type Tail struct {
	ingest.Source
	scan  int32
	begun int64 // event with which the latest scan began
	next  int64
	over  bool
}

// Events yields those of the source.
func (t *Tail) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		for e, err := range t.Source.Events() {
			if err == nil {
				if e.Scan != t.scan {
					t.scan, t.begun = e.Scan, e.Seq
				}
				t.next = e.Seq + 1
			}
			if !yield(e, err) {
				return
			}
		}
		t.over = true
	}
}

// Settled is how many events can be looked at.
func (t *Tail) Settled() int64 {
	if t.Report().Class == ingest.Snapshots && !t.over {
		return t.begun
	}
	return t.next
}
