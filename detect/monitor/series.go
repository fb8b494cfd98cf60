package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"leakformer/ingest"
)

// Probe is a source that shows what is live at this moment, and has to be asked again
// and again.
type Probe struct {
	Source
	// Format is what ingest calls its text, "" to find out.
	Format string
	// Take returns a copy of what the source shows. [ErrGone] says that there will
	// be nothing more, [ErrNoNews] that nothing has changed; after any other error it
	// is asked again.
	Take func(ctx context.Context) ([]byte, error)
	// Gauge reads the source's own sum from a copy; nil where it has none.
	Gauge func(copy []byte) *Gauge
	// Mark stands before each copy where copies are kept in one file; nil where each
	// needs a file of its own.
	Mark func(at time.Time) string
	// Scans: the entries are suspects by address, of which it is told which are new
	// and which have vanished.
	Scans bool
}

// Gauge is a value of a source as a whole.
type Gauge struct {
	Name  string
	Bytes int64
}

// ErrGone is the error of a probe whose source is no more: a process that has ended.
var ErrGone = errors.New("is gone")

// Scan tells how one copy differs from the one before.
type Scan struct {
	New, Persisting, Vanished int
}

// Series is the [ingest.Source] of the copies of a probe: each is a scan of one run.
// It takes a copy, hands on the entries, and waits; it ends with its context, with
// [ErrGone], or when Looked fails.
type Series struct {
	probe *Probe
	pace  *Pace
	ctx   context.Context
	// Looked is called by the goroutine that reads, after each copy, when all of its
	// entries were handed on.
	Looked func(*Gauge, Scan) error
	// Kept is called with each copy; nil: nobody keeps them.
	Kept func(copy []byte) error
	// Failed is told of a copy that could not be taken, kept, or read.
	Failed func(error)

	stacks *ingest.Stacks
	report ingest.Report
	begun  time.Time
	seq    int64
	scan   int32
	// known are the addresses of the latest scan with the time of their birth.
	known map[object]time.Duration
	ended bool
	// Took is how many copies were read.
	Took int
}

// object is a suspect of the kernel.
type object struct {
	addr uint64
	size int64
}

// Watch returns the series of a probe. Looked has to be set before it is read.
func Watch(ctx context.Context, p *Probe, pace *Pace) *Series {
	s := &Series{probe: p, pace: pace, ctx: ctx, stacks: ingest.NewStacks(), Failed: func(error) {}, begun: time.Now()}
	s.report = ingest.Report{Name: p.Name, Format: p.Format, Class: ingest.Snapshots, Clock: ingest.Stamps}
	return s
}

// Stacks is the one table of all copies.
func (s *Series) Stacks() *ingest.Stacks { return s.stacks }

// Report tells of all copies together.
func (s *Series) Report() *ingest.Report { return &s.report }

// Close does nothing: nothing is held open.
func (s *Series) Close() error { return nil }

// Events yields the entries of each copy.
func (s *Series) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		for first := true; first || s.pace.Wait(s.ctx); first = false {
			copy, err := s.probe.Take(s.ctx)
			switch {
			case errors.Is(err, ErrGone) || s.ctx.Err() != nil:
				return
			case errors.Is(err, ErrNoNews):
				continue
			case err == nil:
				err = s.read(copy, yield)
			}
			if s.ended {
				return
			}
			if err != nil {
				s.Failed(fmt.Errorf("%s: %w", s.probe.Name, err))
			}
		}
	}
}

// read hands on one copy.
func (s *Series) read(copy []byte, yield func(ingest.Event, error) bool) error {
	if s.Kept != nil {
		if err := s.Kept(copy); err != nil {
			s.Failed(fmt.Errorf("%s: %w", s.probe.Name, err))
		}
	}
	entries, stacks, err := s.parse(copy)
	if err != nil {
		return err
	}
	before := s.known
	s.known = map[object]time.Duration{}
	var diff Scan
	for _, e := range entries {
		if !yield(s.place(e, stacks, before, &diff), nil) {
			s.ended = true
			return nil
		}
	}
	diff.Vanished = len(before) - diff.Persisting
	s.scan++
	s.Took++
	var g *Gauge
	if s.probe.Gauge != nil {
		g = s.probe.Gauge(copy)
	}
	if err := s.Looked(g, diff); err != nil {
		s.ended = true
		yield(ingest.Event{}, err)
	}
	return nil
}

// parse reads the entries of a copy. A file that has shown entries before may be
// empty: then nothing is live any more.
func (s *Series) parse(copy []byte) ([]ingest.Event, *ingest.Stacks, error) {
	if s.probe.Scans && len(bytes.TrimSpace(copy)) == 0 {
		s.report.Outstanding, s.report.LastEmpty = ingest.Amount{}, true
		return nil, nil, nil
	}
	src, err := ingest.NewSource(s.probe.Name, bytes.NewReader(copy), ingest.Options{Format: s.probe.Format})
	if err != nil {
		return nil, nil, err
	}
	defer src.Close()
	var entries []ingest.Event
	for e, err := range src.Events() {
		if _, damaged := errors.AsType[*ingest.SyntaxError](err); damaged {
			continue // counted in the report
		}
		if err != nil {
			return nil, nil, err
		}
		if e.Op != ingest.Outstanding {
			return nil, nil, fmt.Errorf("%s is a log to be followed, not a snapshot", src.Report().Format)
		}
		entries = append(entries, e)
	}
	s.add(src.Report())
	return entries, src.Stacks(), nil
}

// add books the report of a copy.
func (s *Series) add(from *ingest.Report) {
	r := &s.report
	r.Format, r.Class, r.Tool, r.Command = from.Format, from.Class, from.Tool, from.Command
	r.Lines += from.Lines
	r.Recognised += from.Recognised
	r.Records += from.Records
	r.Events += from.Events
	r.Errors += from.Errors
	r.Outstanding, r.LastEmpty = from.Outstanding, from.Records == 0 || from.LastEmpty
	r.Truncated, r.Oracle = from.Truncated, from.Oracle
	if len(r.Messages) == 0 {
		r.Messages = from.Messages
	}
}

// place moves an entry of a copy behind those of the copies before. A suspect keeps
// the time of birth that was told first: the kernel's ages are rounded.
func (s *Series) place(e ingest.Event, stacks *ingest.Stacks, before map[object]time.Duration, diff *Scan) ingest.Event {
	var ids []ingest.FrameID
	for _, f := range stacks.Frames(e.Stack) {
		ids = append(ids, s.stacks.Frame(f))
	}
	e.Stack = s.stacks.Stack(ids)
	e.Seq, e.Scan = s.seq, s.scan
	s.seq++
	if !s.probe.Scans {
		e.Time = time.Since(s.begun)
		return e
	}
	o := object{e.Addr, e.Size}
	if born, ok := before[o]; ok {
		e.Time = born
		diff.Persisting++
	} else {
		diff.New++
	}
	s.known[o] = e.Time
	return e
}
