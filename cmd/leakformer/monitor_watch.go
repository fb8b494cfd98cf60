package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"leakformer/detect/monitor"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// watching is one monitor command: what its sources share.
type watching struct {
	sh *shell
	c  *cli.Context
	m  *monitor.Monitor
	// page shows what is found; nil: nobody looks.
	page *page
}

// flushTime is how long the end waits for sinks.
const flushTime = 5 * time.Second

// all watches the sources until each has ended, or the context has; then it delivers
// what is left. A page stays until the context ends.
func (w *watching) all(probes []*monitor.Probe, logs []string) error {
	deliver, stop := context.WithCancel(context.WithoutCancel(w.c.Context))
	var delivering sync.WaitGroup
	for _, o := range w.m.Outboxes() {
		delivering.Go(func() { o.Run(deliver) })
	}
	var err error
	if w.page == nil {
		err = w.sources(probes, logs)
	} else {
		err = w.page.during(w.c.Context, func() error { return w.sources(probes, logs) })
	}
	stop()
	delivering.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(w.c.Context), flushTime)
	defer cancel()
	for _, o := range w.m.Outboxes() {
		if err := o.Flush(last); err != nil {
			w.sh.warn("%v", err)
		}
	}
	return err
}

// sources watches until each source has ended.
func (w *watching) sources(probes []*monitor.Probe, logs []string) error {
	var sources sync.WaitGroup
	errs := make([]error, len(probes)+len(logs))
	ended := func(i int, err error) {
		if errs[i] = err; err != nil && len(errs) > 1 {
			w.sh.warn("%v", err) // The others may go on for long.
		}
	}
	for i, p := range probes {
		sources.Go(func() { ended(i, w.probe(p)) })
	}
	for i, path := range logs {
		sources.Go(func() { ended(len(probes)+i, w.log(path)) })
	}
	if unnamed(w.c) {
		sources.Go(w.simulations)
	}
	sources.Wait()
	return errors.Join(errs...)
}

// simulations watches each leakformer simulate while it runs.
func (w *watching) simulations() {
	var watched sync.WaitGroup
	defer watched.Wait()
	running := map[string]context.CancelFunc{}
	for w.c.Context.Err() == nil {
		logs := simulations()
		for path, stop := range running {
			if !slices.Contains(logs, path) {
				stop()
				delete(running, path)
			}
		}
		for _, path := range logs {
			if running[path] == nil {
				ctx, stop := context.WithCancel(w.c.Context)
				running[path] = stop
				watched.Go(func() { w.simulation(ctx, path) })
			}
		}
		sleep(w.c.Context, time.Second)
	}
}

// simulation watches one, until the context ends.
func (w *watching) simulation(ctx context.Context, path string) {
	w.sh.warn("watching %s", path)
	own, c := *w, *w.c
	own.c, c.Context = &c, ctx
	if err := own.log(path); err != nil {
		w.sh.warn("%v", err)
	}
	if w.c.Context.Err() == nil {
		w.m.Gone(monitor.Source{Name: path})
		w.sh.warn("%s is gone", path)
	}
}

// pace is that of one source.
func (w *watching) pace() *monitor.Pace {
	p := &monitor.Pace{Interval: w.c.Duration("interval")}
	if !w.c.Bool("steady") {
		p.Load = monitor.CPULoad()
	}
	return p
}

// probe watches a source that has to be asked.
func (w *watching) probe(p *monitor.Probe) error {
	ctx := context.WithoutCancel(w.c.Context)
	s := monitor.Watch(w.c.Context, p, w.pace())
	if dir := w.c.String("log-dir"); dir != "" {
		keep := &monitor.Keeper{Dir: dir}
		s.Kept = func(data []byte) error { return keep.Keep(p, data) }
	}
	said := ""
	s.Failed = func(err error) {
		if err.Error() != said { // A server that is down stays so for a while.
			said = err.Error()
			w.sh.warn("%v", err)
		}
	}
	loader := tokenize.NewLoader(s)
	s.Looked = func(g *monitor.Gauge, scan monitor.Scan) error {
		said = ""
		if p.Scans && scan.New+scan.Vanished > 0 {
			w.sh.warn("%s: %d new, %d persisting, %d vanished", p.Name, scan.New, scan.Persisting, scan.Vanished)
		}
		w.sh.log.Debug("looked", "source", p.Name, "entries", s.Report().Records)
		run := loader.Runs()[0]
		return w.m.Look(ctx, p.Source, run, run.Events, g)
	}
	if err := loader.Read(ctx); err != nil {
		return err
	}
	if w.c.Context.Err() == nil {
		w.m.Gone(p.Source)
		w.sh.warn("%s is gone", p.Name)
	}
	return nil
}

// log watches a source that is read to its end.
func (w *watching) log(path string) error {
	st, err := os.Stat(path)
	if path != "-" && err != nil {
		return err
	}
	if path != "-" && st.Mode().IsRegular() {
		return w.sh.follow(w.c, path, w.c.String("log-format"), func(ctx context.Context, src ingest.Source, f *ingest.Follower) error {
			return w.read(ctx, src, func(quiet func()) { f.Quiet = quiet })
		})
	}
	pipe := monitor.ReadPipe(w.c.Context, func() (io.ReadCloser, error) {
		if path == "-" {
			return io.NopCloser(w.sh.stdin), nil
		}
		return os.Open(path)
	})
	name := path
	if path == "-" {
		name = stdinName
	}
	src, err := ingest.NewSource(name, pipe, ingest.Options{Format: w.c.String("log-format")})
	if err != nil && w.c.Context.Err() != nil {
		return nil // Nothing ever came.
	}
	if err != nil {
		return err
	}
	err = w.read(context.WithoutCancel(w.c.Context), src, func(quiet func()) { pipe.Quiet = quiet })
	return errors.Join(err, src.Close())
}

// read looks at each process of a log now and then while it is read, and at its end.
func (w *watching) read(ctx context.Context, src ingest.Source, onQuiet func(func())) error {
	tail := &monitor.Tail{Source: src}
	loader := tokenize.NewLoader(tail)
	snapshots := src.Report().Class == ingest.Snapshots
	var failed error
	seen := int64(0)
	look := func() {
		settled := tail.Settled()
		if failed != nil || snapshots && settled == seen {
			return // The growth rule counts snapshots.
		}
		seen = settled
		runs := loader.Runs()
		for _, run := range runs {
			cut := run.Events
			if len(runs) == 1 {
				cut = min(cut, uint32(settled))
			}
			failed = errors.Join(failed, w.m.Look(ctx, monitor.Source{Name: run.Name}, run, cut, nil))
		}
	}
	pace := w.pace()
	next := time.Now().Add(pace.Next())
	onQuiet(func() {
		if time.Now().After(next) {
			look()
			next = time.Now().Add(pace.Next())
		}
	})
	err := loader.Read(ctx)
	if err == nil {
		look()
	}
	w.sh.warnings(src.Report())
	return errors.Join(err, failed)
}
