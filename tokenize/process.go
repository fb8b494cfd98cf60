package tokenize

import (
	"context"
	"errors"
	"fmt"

	"leakformer/ingest"
)

// maxProcesses bounds the runs that one log becomes; the processes beyond are one
// run together.
const maxProcesses = 1024

// A Loader makes runs of the events of a log as they come. A log that holds the heaps
// of several processes (see [ingest.Report.PerProcess]) becomes a run for each: what
// a forked process has from its parent is no part of its run in a trace, and in a
// report is listed for both.
type Loader struct {
	src ingest.Source
	// split: the processes of the log are told apart.
	split bool
	procs map[int32]*process
	order []*process // by first sight
	last  *process
	// blocks tells a block's number within its process by that within the log.
	blocks []int64
}

// process is what the log has of one process.
type process struct {
	loader
	pid    int32
	name   string
	counts ingest.Report
	latest int64 // number within the log of the latest event
	events int64
	births int64
	scan   int32
}

// NewLoader returns a loader for all events of a source.
func NewLoader(src ingest.Source) *Loader {
	return &Loader{src: src, split: src.Report().PerProcess(), procs: map[int32]*process{}}
}

// LoadEach is [Load] with a run for each process, in the order of their first events.
// There is at least one.
func LoadEach(ctx context.Context, src ingest.Source) ([]*Run, error) {
	l := NewLoader(src)
	if err := l.Read(ctx); err != nil {
		return nil, err
	}
	return l.Runs(), nil
}

// Read reads the source to its end. Damaged records are counted in the report; any
// other error is returned.
func (l *Loader) Read(ctx context.Context) error {
	n := 0
	for e, err := range l.src.Events() {
		if err != nil {
			if _, damaged := errors.AsType[*ingest.SyntaxError](err); damaged {
				continue // counted in the report
			}
			return err
		}
		if n++; n%65536 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := l.add(e); err != nil {
			return err
		}
	}
	return nil
}

// Runs returns the runs as they stand after the events read so far: it may be called
// while the source is still being read, by the goroutine that reads. They are good
// until more is read.
func (l *Loader) Runs() []*Run {
	report := l.src.Report()
	if len(l.order) == 0 {
		l.process(0)
	}
	runs := make([]*Run, len(l.order))
	for i, p := range l.order {
		own := report
		if len(l.order) > 1 {
			own = p.report(report)
		}
		p.finish(own)
		runs[i] = p.run
	}
	return runs
}

func (l *Loader) add(e ingest.Event) error {
	if !l.split {
		return l.process(0).add(e)
	}
	p := l.process(e.PID)
	l.renumber(p, &e)
	p.count(&e)
	return p.add(e)
}

func (l *Loader) process(pid int32) *process {
	if l.last != nil && l.last.pid == pid {
		return l.last
	}
	p := l.procs[pid]
	switch {
	case p == nil && len(l.order) == maxProcesses:
		p = l.order[maxProcesses-1]
		p.name = "other processes"
		return p
	case p == nil:
		p = &process{loader: newLoader(l.src), pid: pid, name: fmt.Sprintf("pid %d", pid), latest: -1}
		l.procs[pid] = p
		l.order = append(l.order, p)
	}
	l.last = p
	return p
}

// renumber numbers an event and its block within their process.
func (l *Loader) renumber(p *process, e *ingest.Event) {
	if e.Seq != p.latest { // An inferred free has the number of its alloc.
		p.latest = e.Seq
		p.events++
	}
	e.Seq = p.events - 1
	switch {
	case e.Op == ingest.Alloc:
		for int64(len(l.blocks)) <= e.Block {
			l.blocks = append(l.blocks, -1)
		}
		l.blocks[e.Block] = p.births
		e.Block = p.births
		p.births++
	case e.Op == ingest.Free && e.Block >= 0 && e.Block < int64(len(l.blocks)):
		e.Block = l.blocks[e.Block]
	}
}

// count keeps the figures of the process's own report.
func (p *process) count(e *ingest.Event) {
	r := &p.counts
	switch e.Op {
	case ingest.Alloc:
		r.Allocs++
		r.AllocatedBytes += e.Size
		r.Outstanding.Blocks++
		r.Outstanding.Bytes += e.Size
	case ingest.Free:
		switch {
		case e.Flags&ingest.Inferred != 0:
			r.LostFrees++
		case e.Block < 0:
			r.OrphanFrees++
			fallthrough
		default:
			r.Frees++
		}
		if e.Block >= 0 {
			r.Outstanding.Blocks--
			r.Outstanding.Bytes -= e.Size
		}
	case ingest.Outstanding:
		if e.Scan != p.scan {
			p.scan, r.Outstanding = e.Scan, ingest.Amount{}
		}
		r.Records++
		r.Outstanding.Blocks += e.Count
		r.Outstanding.Bytes += e.Size
	}
}

// report is that of the log with the program and the figures of the process in place
// of the log's.
// Lines, damage and the oracle are still the log's.
func (p *process) report(log *ingest.Report) *ingest.Report {
	r := *log
	r.Name = fmt.Sprintf("%s [%s]", log.Name, p.name)
	r.Processes, r.InheritedFrees, r.Sites = 1, 0, len(p.sites)
	if command, ok := log.Commands[p.pid]; ok {
		r.Command = command
	}
	r.Commands = nil
	c := &p.counts
	r.Events, r.Records, r.Allocs, r.Frees = p.events, c.Records, c.Allocs, c.Frees
	r.OrphanFrees, r.LostFrees, r.AllocatedBytes, r.Outstanding = c.OrphanFrees, c.LostFrees, c.AllocatedBytes, c.Outstanding
	return &r
}
