package datasets

import (
	"errors"
	"fmt"

	"leakformer/ingest"
)

// VerifyEvents reads the log and refuses labels that do not fit it: another
// number of events, a block that is not live where it is said to be leaked, has
// another size, is freed later on, or is not in the last scan of a series. It
// uses up the source's events.
func (l *LogLabels) VerifyEvents(src ingest.Source) error {
	v := verifier{labels: l, live: map[uint64]int64{}, leaked: map[uint64]bool{}, seen: map[uint64]int32{}}
	for e, err := range src.Events() {
		var syntax *ingest.SyntaxError
		if errors.As(err, &syntax) {
			continue // counted in the source's report
		}
		if err != nil {
			return fmt.Errorf("labels: %w", err)
		}
		if err := v.event(e); err != nil {
			return fmt.Errorf("labels: log %s line %d: %w", l.Log, e.Line, err)
		}
	}
	if err := v.leaksBefore(v.events); err != nil {
		return fmt.Errorf("labels: log %s: %w", l.Log, err)
	}
	if err := v.inLastScan(); err != nil {
		return fmt.Errorf("labels: log %s: %w", l.Log, err)
	}
	if v.next < len(l.Leaks) || l.Events != 0 && l.Events != v.events {
		return fmt.Errorf("labels: log %s has %d events, the labels are for one with %d", l.Log, v.events, l.Events)
	}
	return nil
}

// verifier replays a log beside its labels.
type verifier struct {
	labels *LogLabels
	live   map[uint64]int64 // sizes by address
	leaked map[uint64]bool
	seen   map[uint64]int32 // last scan with a suspect, by its address
	scan   int32
	next   int // first leak not met
	events int64
}

func (v *verifier) event(e ingest.Event) error {
	if e.Op == ingest.Outstanding {
		// A record of a report is the block: the leak does not stand before it.
		v.live[e.Addr], v.seen[e.Addr], v.scan = e.Size, e.Scan, e.Scan
		v.events = e.Seq + 1
		return v.leaksBefore(e.Seq)
	}
	if err := v.leaksBefore(e.Seq); err != nil {
		return err
	}
	v.events = e.Seq + 1
	switch e.Op {
	case ingest.Alloc:
		v.live[e.Addr] = e.Size
	case ingest.Free:
		if v.leaked[e.Addr] {
			return fmt.Errorf("block %#x is freed, the labels have it leaked", e.Addr)
		}
		delete(v.live, e.Addr)
	}
	return nil
}

// leaksBefore checks the leaks that stand before the event or earlier.
func (v *verifier) leaksBefore(event int64) error {
	for ; v.next < len(v.labels.Leaks) && v.labels.Leaks[v.next].Event <= event; v.next++ {
		l := v.labels.Leaks[v.next]
		size, ok := v.live[uint64(l.Address)]
		if !ok || size != l.Size {
			return fmt.Errorf("leak %d: no live block of %d bytes at %s at event %d", v.next, l.Size, l.Address, l.Event)
		}
		v.leaked[uint64(l.Address)] = true
	}
	return nil
}

// inLastScan checks that the last scan of a series has every leaked block: one that
// it does not have was freed, as far as the log says.
func (v *verifier) inLastScan() error {
	for i, l := range v.labels.Leaks {
		if scan, ok := v.seen[uint64(l.Address)]; ok && scan != v.scan {
			return fmt.Errorf("leak %d: the block at %s is in scan %d for the last time, and %d is the last one", i, l.Address, scan, v.scan)
		}
	}
	return nil
}
