// Package detecttest holds what tests of detection need: logs written down event
// by event, and a scorer that can be read back.
package detecttest

import (
	"context"
	"iter"
	"strings"
	"testing"
	"time"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// Log is an event log in the making. It is an [ingest.Source] of what was put
// into it.
type Log struct {
	report ingest.Report
	stacks *ingest.Stacks
	events []ingest.Event
	live   map[int64]ingest.Event
	born   int64
}

// NewLog starts an empty event log of a program.
func NewLog(name, program string) *Log {
	return &Log{
		report: ingest.Report{Name: name, Format: "test", Class: ingest.Events, Command: program, Clock: ingest.Ticks},
		stacks: ingest.NewStacks(), live: map[int64]ingest.Event{},
	}
}

// NewReport starts an empty report of what is outstanding.
func NewReport(name, program string) *Log {
	l := NewLog(name, program)
	l.report.Class = ingest.EndReport
	return l
}

// NewScans starts an empty log of a leak checker that looks again and again.
func NewScans(name, program string) *Log {
	l := NewLog(name, program)
	l.report.Class = ingest.Snapshots
	return l
}

// stack makes a call stack of function names, as "inner<outer<main".
func (l *Log) stack(functions string) ingest.StackID {
	var frames []ingest.FrameID
	for f := range strings.SplitSeq(functions, "<") {
		frames = append(frames, l.stacks.Frame(ingest.Frame{Function: f, Module: "/bin/test"}))
	}
	return l.stacks.Stack(frames)
}

// Alloc adds the birth of a block of so many bytes at a site, given by its
// functions from the innermost out as "inner<outer<main", and returns the block's
// number. Its address is 0x1000 plus 16 times the number.
func (l *Log) Alloc(site string, size int64) int64 {
	return l.AllocAt(site, size, 0x1000+16*uint64(l.born))
}

// AllocAt is Alloc at an address.
func (l *Log) AllocAt(site string, size int64, addr uint64) int64 {
	e := ingest.Event{Op: ingest.Alloc, Block: l.born, Addr: addr, Size: size, Count: 1, Stack: l.stack(site)}
	l.live[l.born] = e
	l.born++
	l.add(e)
	return e.Block
}

// Free adds the death of a block.
func (l *Log) Free(block int64) {
	e := l.live[block]
	delete(l.live, block)
	e.Op = ingest.Free
	l.add(e)
}

// Outstanding adds an entry of a report: so many blocks, and their bytes in all.
func (l *Log) Outstanding(site string, blocks, size int64, loss ingest.Loss) {
	l.add(ingest.Event{Op: ingest.Outstanding, Loss: loss, Block: l.born, Size: size, Count: blocks, Stack: l.stack(site)})
	l.born += blocks
}

// Suspect adds an object of 8 bytes that a scan lists; scans count from 0, in order.
func (l *Log) Suspect(scan int32, site string, addr uint64) {
	l.add(ingest.Event{Op: ingest.Outstanding, Loss: ingest.Unreferenced, Scan: scan, Block: l.born, Addr: addr, Size: 8, Count: 1, Stack: l.stack(site)})
	l.born++
}

func (l *Log) add(e ingest.Event) {
	e.Seq = int64(len(l.events))
	e.Line = e.Seq + 1
	if l.report.Class == ingest.Events {
		e.Time = time.Duration(e.Seq) * time.Millisecond
	}
	l.events = append(l.events, e)
}

// Events implements [ingest.Source].
func (l *Log) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		for _, e := range l.events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Stacks implements [ingest.Source].
func (l *Log) Stacks() *ingest.Stacks { return l.stacks }

// Report implements [ingest.Source].
func (l *Log) Report() *ingest.Report { return &l.report }

// Close implements [ingest.Source].
func (l *Log) Close() error { return nil }

// Run loads the log.
func (l *Log) Run(t testing.TB) *tokenize.Run {
	t.Helper()
	run, err := tokenize.Load(context.Background(), l)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// Scene is the whole run of the log, compared with these clean runs.
func (l *Log) Scene(t testing.TB, clean ...*Log) *tokenize.Scene {
	t.Helper()
	run := l.Run(t)
	scene := &tokenize.Scene{Run: run, Cut: run.Events}
	for _, c := range clean {
		scene.Reference = append(scene.Reference, tokenize.NewHistory(c.Run(t)))
	}
	return scene
}

// Scorer is a scorer whose answers are written down beforehand.
type Scorer struct {
	// Sites has the probability by the innermost function of the site's stack;
	// sites that are missing get 0.
	Sites map[string]float64
	// Blocks has the probability by address; nil judges sites alone.
	Blocks map[uint64]float64
	// Odds are the log-odds of a sequence; nil says 0 of each.
	Odds func(*tokenize.Sequence) float64
	// Err is what Score and LogOdds return, if it is not nil.
	Err error
	// Calls has the number of views of each call.
	Calls []int
}

// Score implements detect.Scorer.
func (s *Scorer) Score(_ context.Context, views []*tokenize.View) (sites []float64, blocks [][]float64, err error) {
	s.Calls = append(s.Calls, len(views))
	for _, v := range views {
		run := v.Scene.Run
		sites = append(sites, s.Sites[run.Sites[v.Site].Frames[0].Function])
		if s.Blocks == nil {
			continue
		}
		var b []float64
		for _, i := range v.Live {
			b = append(b, s.Blocks[run.Blocks.Addr(i)])
		}
		blocks = append(blocks, b)
	}
	return sites, blocks, s.Err
}

// LogOdds implements detect.Explainer.
func (s *Scorer) LogOdds(_ context.Context, _ []*tokenize.View, seqs []*tokenize.Sequence) ([]float64, error) {
	odds := make([]float64, len(seqs))
	for i := range seqs {
		if s.Odds != nil {
			odds[i] = s.Odds(seqs[i])
		}
	}
	return odds, s.Err
}
