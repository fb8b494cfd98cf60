package datasets

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"leakformer/ingest"
	"leakformer/ingest/atomicfile"
	"leakformer/ingest/columnar"
)

// one makes a run, strips its log, checks it against its labels and stores it.
func (c *collector) one(ctx context.Context, class Class, seed uint64, log string) (*Run, *LogLabels, error) {
	ctl := newControl(modeCount, seed)
	var shape Shape
	if class == Leaky && c.forgets() {
		ctl.header[wMode] = modeDrop
		var err error
		if shape, err = c.plan(ctx, ctl, seed); err != nil {
			return nil, nil, err
		}
	}
	start := time.Now()
	raw, ctl, command, err := c.trace(ctx, class, seed, true, ctl)
	if err != nil {
		return nil, nil, err
	}
	seconds := time.Since(start).Seconds()
	plain := filepath.Join(filepath.Dir(c.work), "log.zst")
	s, err := c.strip(plain, raw, class, ctl)
	if err != nil {
		return nil, nil, err
	}
	labels := &LogLabels{Class: class, Program: c.program.Name, Command: command, Events: s.events, Leaks: s.leaks, Sites: s.sites}
	trace, err := c.store(ctx, plain, log, labels)
	if err != nil {
		return nil, nil, err
	}
	if class == Clean {
		c.count(ctl)
	}
	if labels.SHA256, err = HashFile(log); err != nil {
		return nil, nil, err
	}
	return &Run{
		SHA256: labels.SHA256, Trace: trace, Program: c.program.Name, Kind: c.program.Kind, Package: c.version, Command: command,
		Seed: seed, Scale: c.scale, Tool: s.tool, Format: c.tracer.format, Class: class, Shape: shape, Events: s.events, Outstanding: s.outstanding,
		Leaked: s.leaked(), Seconds: seconds, Drops: describe(ctl, &s.modules),
	}, labels, nil
}

// strip writes the log without marks to the file plain, compressed.
func (c *collector) strip(plain, raw string, class Class, ctl *control) (s *stripped, err error) {
	err = atomicfile.Write(plain, func(w io.Writer) error {
		if s, err = c.stripTo(w, raw, ctl); err != nil {
			return err
		}
		if class == Leaky && c.program.Grows {
			s.leaks = append(s.leaks, s.contents...)
		}
		return c.refuse(class, ctl, s)
	})
	return s, err
}

// store checks the labels against the events of the log, and moves the log to its
// place or writes it there in Arrow. It returns the hash of the trace.
func (c *collector) store(ctx context.Context, plain, log string, labels *LogLabels) (string, error) {
	read := func(use func(*Traced) error) (string, error) {
		f, err := os.Open(plain)
		if err != nil {
			return "", err
		}
		src, err := ingest.NewSource(filepath.Base(log), f, ingest.Options{Format: c.tracer.format})
		if err != nil {
			f.Close()
			return "", err
		}
		defer src.Close()
		t := HashTrace(&unmarked{src, filepath.Dir(c.work)})
		err = use(t)
		return t.Sum(), err
	}
	trace, err := read(func(t *Traced) error { return labels.VerifyEvents(t) })
	if err != nil {
		return "", err
	}
	if !c.cfg.Arrow {
		return trace, copyFile(log, plain)
	}
	return read(func(t *Traced) error { return columnar.Write(ctx, log, t, columnar.Options{}) })
}

// copyFile copies a file: a rename would not do from one file system to another.
func copyFile(to, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return atomicfile.Write(to, func(w io.Writer) error { _, err := io.Copy(w, f); return err })
}

// A run whose workload is cut down to [Config.Events] may have this many times as
// many events for starting the program, and this many times for the work itself.
const (
	maxStart = 4
	maxWork  = 2
)

// fit chooses the scale of the workloads. For [Config.Events] it tries two of them
// and draws a line: so many events for starting the program, so many for its work.
// A program that takes too many for its start is left out.
func (c *collector) fit(ctx context.Context) error {
	c.scale = c.cfg.Scale * c.tracer.scale
	if c.cfg.Events == 0 {
		return nil
	}
	const least, more = 0.02, 0.2 // of the workload
	full := c.scale
	low, _, err := c.eventsAt(ctx, full*least)
	if err != nil {
		return err
	}
	if low > maxStart*c.cfg.Events {
		return fmt.Errorf("%d events with the smallest workload: more than %d times the %d asked for", low, maxStart, c.cfg.Events)
	}
	_, high, err := c.eventsAt(ctx, full*more)
	if err != nil {
		return err
	}
	share := 1.0
	if high > low {
		share = least + (more-least)*float64(c.cfg.Events)/float64(high-low)
	}
	c.start, c.scale = low, full*min(share, 1)
	return nil
}

// fitted makes a run, and makes it again with less work if its seed drew so much
// that it has too many events.
func (c *collector) fitted(ctx context.Context, class Class, seed uint64, log string) (*Run, *LogLabels, error) {
	run, labels, err := c.one(ctx, class, seed, log)
	if err != nil || c.cfg.Events == 0 || run.Events <= c.start+maxWork*c.cfg.Events {
		return run, labels, err
	}
	if err := os.Remove(log); err != nil {
		return nil, nil, err
	}
	usual := c.scale
	defer func() { c.scale = usual }()
	c.scale *= float64(c.cfg.Events) / float64(run.Events-c.start)
	return c.one(ctx, class, seed, log)
}

// eventsAt is the least and the mean number of events of some runs at a scale.
func (c *collector) eventsAt(ctx context.Context, scale float64) (least, mean int64, err error) {
	const runs = 3
	c.scale = scale
	for i := range uint64(runs) {
		seed := c.cfg.Seed<<24 + leakySeeds - 2 - i
		raw, ctl, _, err := c.trace(ctx, Clean, seed, true, newControl(modeCount, seed))
		if err != nil {
			return 0, 0, err
		}
		s, err := c.stripTo(io.Discard, raw, ctl)
		if err != nil {
			return 0, 0, err
		}
		if mean += s.events / runs; i == 0 || s.events < least {
			least = s.events
		}
	}
	return least, mean, nil
}
