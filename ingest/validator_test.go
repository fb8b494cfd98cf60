package ingest_test

import (
	"strings"
	"testing"

	"leakformer/ingest"
)

// Each stream breaks one law, and the validator says which.
func TestValidator(t *testing.T) {
	stacks := ingest.NewStacks()
	at := stacks.Stack([]ingest.FrameID{stacks.Frame(ingest.Frame{Function: "f"})})
	born := func(seq, block int64) ingest.Event {
		return ingest.Event{Op: ingest.Alloc, Seq: seq, Block: block, Addr: 0x10, Size: 8, Count: 1, Stack: at, Line: 1}
	}
	died := func(seq, block int64) ingest.Event {
		return ingest.Event{Op: ingest.Free, Seq: seq, Block: block, Addr: 0x10, Size: 8, Count: 1, Stack: at, Line: 1}
	}
	with := func(e ingest.Event, change func(*ingest.Event)) ingest.Event { change(&e); return e }
	orphan := with(died(0, -1), func(e *ingest.Event) { e.Size, e.Stack = 0, 0 })
	inferred := with(died(1, 0), func(e *ingest.Event) { e.Flags = ingest.Inferred })
	entry := ingest.Event{Op: ingest.Outstanding, Loss: ingest.Definite, Count: 3, Size: 24, Stack: at, Line: 1}
	later := with(entry, func(e *ingest.Event) { e.Seq, e.Block, e.Scan = 1, 3, 1 })

	for _, c := range []struct {
		want   string // "" for a good stream
		stream []ingest.Event
	}{
		{"", nil},
		{"", []ingest.Event{born(0, 0), died(1, 0), born(2, 1)}},
		{"", []ingest.Event{orphan, born(1, 0)}},
		{"", []ingest.Event{born(0, 0), inferred, born(1, 1), died(2, 1)}},
		{"", []ingest.Event{entry, later}},
		{"op 0 is unknown", []ingest.Event{{}}},
		{"loss 9 is unknown", []ingest.Event{with(entry, func(e *ingest.Event) { e.Loss = 9 })}},
		{"loss definitely lost outside a report", []ingest.Event{with(born(0, 0), func(e *ingest.Event) { e.Loss = ingest.Definite })}},
		{"flags 0x40 are unknown", []ingest.Event{with(born(0, 0), func(e *ingest.Event) { e.Flags = 0x40 })}},
		{"flags 0x2 on what is no free", []ingest.Event{with(born(0, 0), func(e *ingest.Event) { e.Flags = ingest.Inferred })}},
		{"size -1 is negative", []ingest.Event{with(born(0, 0), func(e *ingest.Event) { e.Size = -1 })}},
		{"count 2", []ingest.Event{with(born(0, 0), func(e *ingest.Event) { e.Count = 2 })}},
		{"count -1", []ingest.Event{with(entry, func(e *ingest.Event) { e.Count = -1 })}},
		{"stack 2 is not in the table of 2", []ingest.Event{with(born(0, 0), func(e *ingest.Event) { e.Stack = 2 })}},
		{"line 0", []ingest.Event{with(born(0, 0), func(e *ingest.Event) { e.Line = 0 })}},
		{"time -1ns after 0s", []ingest.Event{with(born(0, 0), func(e *ingest.Event) { e.Time = -1 })}},
		{"time 1ns after 2ns", []ingest.Event{with(born(0, 0), func(e *ingest.Event) { e.Time = 2 }), with(died(1, 0), func(e *ingest.Event) { e.Time = 1 })}},
		{"event number 1, where 0 comes next", []ingest.Event{born(1, 0)}},
		{"event number 0, where 1 comes next", []ingest.Event{born(0, 0), born(0, 1)}},
		{"block 1 is born, where 0 comes next", []ingest.Event{born(0, 1)}},
		{"block 1 is born, where 3 comes next", []ingest.Event{entry, born(1, 1)}},
		{"block 0 is freed but not live", []ingest.Event{died(0, 0)}},
		{"block 0 is freed but not live", []ingest.Event{born(0, 0), died(1, 0), died(2, 0)}},
		{"block 0 is freed but not live", []ingest.Event{entry, died(1, 0)}},
		{"block 0 was born with 8 bytes from stack 1", []ingest.Event{born(0, 0), with(died(1, 0), func(e *ingest.Event) { e.Size = 9 })}},
		{"an orphan free of 8 bytes", []ingest.Event{died(0, -1)}},
		{"an inferred free of no block", []ingest.Event{with(orphan, func(e *ingest.Event) { e.Flags = ingest.Inferred })}},
		{"an inferred free of 0x10 without its alloc", []ingest.Event{born(0, 0), inferred, with(born(1, 1), func(e *ingest.Event) { e.Addr = 0x20 })}},
		{"an inferred free of 0x10 without its alloc", []ingest.Event{born(0, 0), inferred}},
	} {
		var v ingest.Validator
		var err error
		for _, e := range c.stream {
			if err = v.Event(e, stacks); err != nil {
				break
			}
		}
		if err == nil {
			err = v.End(reportOf(c.stream))
		}
		if err == nil && c.want != "" || err != nil && (c.want == "" || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%v\n\twant %q", err, c.want)
		}
	}
}

// reportOf counts events the simple way.
func reportOf(stream []ingest.Event) *ingest.Report {
	r := &ingest.Report{}
	sites := map[ingest.StackID]bool{}
	for _, e := range stream {
		if e.Op != ingest.Free {
			sites[e.Stack] = true
		}
		switch {
		case e.Op == ingest.Alloc:
			r.Events++
			r.Allocs++
			r.AllocatedBytes += e.Size
			r.Outstanding.Blocks++
			r.Outstanding.Bytes += e.Size
		case e.Op == ingest.Outstanding:
			r.Events++
			r.Records++
			r.Outstanding = ingest.Amount{Blocks: e.Count, Bytes: e.Size}
		case e.Flags&ingest.Inferred != 0:
			r.LostFrees++
			r.Outstanding.Blocks--
			r.Outstanding.Bytes -= e.Size
		default:
			r.Events++
			r.Frees++
			if e.Block < 0 {
				r.OrphanFrees++
				continue
			}
			r.Outstanding.Blocks--
			r.Outstanding.Bytes -= e.Size
		}
	}
	r.Sites = len(sites)
	return r
}

// A report that says anything else than the events is noticed.
func TestValidatorReport(t *testing.T) {
	stacks := ingest.NewStacks()
	stream := []ingest.Event{{Op: ingest.Alloc, Addr: 0x10, Size: 8, Count: 1, Line: 1}}
	for want, change := range map[string]func(*ingest.Report){
		"the report says 2 events, the events add up to 1":             func(r *ingest.Report) { r.Events++ },
		"the report says 0 allocs, the events add up to 1":             func(r *ingest.Report) { r.Allocs-- },
		"the report says 1 frees, the events add up to 0":              func(r *ingest.Report) { r.Frees++ },
		"the report says 1 records, the events add up to 0":            func(r *ingest.Report) { r.Records++ },
		"the report says 1 orphan frees, the events add up to 0":       func(r *ingest.Report) { r.OrphanFrees++ },
		"the report says 1 lost frees, the events add up to 0":         func(r *ingest.Report) { r.LostFrees++ },
		"the report says 9 allocated bytes, the events add up to 8":    func(r *ingest.Report) { r.AllocatedBytes++ },
		"the report says 2 outstanding blocks, the events add up to 1": func(r *ingest.Report) { r.Outstanding.Blocks++ },
		"the report says 9 outstanding bytes, the events add up to 8":  func(r *ingest.Report) { r.Outstanding.Bytes++ },
		"the report says 2 sites, the events add up to 1":              func(r *ingest.Report) { r.Sites++ },
		"the report says that 3 of 2 lines were recognised":            func(r *ingest.Report) { r.Recognised, r.Lines = 3, 2 },
	} {
		var v ingest.Validator
		if err := v.Event(stream[0], stacks); err != nil {
			t.Fatal(err)
		}
		r := reportOf(stream)
		change(r)
		if err := v.End(r); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
