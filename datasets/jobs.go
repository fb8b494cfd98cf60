package datasets

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// collection makes the runs of several programs, some of them at a time.
type collection struct {
	cfg     Config
	tracer  *tracer
	library string
	work    string // folder of everything temporary

	lock    sync.Mutex
	earlier *Manifest    // of programs that are not collected now
	done    []*collector // by program; nil: not done yet
	next    int          // program
	err     error        // the first
}

func (a *collection) run(ctx context.Context) (*Manifest, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var jobs sync.WaitGroup
	for n := range min(max(a.cfg.Jobs, 1), len(a.done)) {
		jobs.Go(func() {
			if a.job(ctx, filepath.Join(a.work, strconv.Itoa(n))) != nil {
				cancel()
			}
		})
	}
	jobs.Wait()
	if a.err != nil {
		return nil, a.err
	}
	return a.manifest(), nil
}

// job collects one program after another until none is left.
func (a *collection) job(ctx context.Context, dir string) error {
	err := os.Mkdir(dir, 0o755)
	for err == nil {
		i := a.take()
		if i >= len(a.done) {
			return nil
		}
		c := &collector{cfg: a.cfg, program: a.cfg.Programs[i], tracer: a.tracer, library: a.library, work: filepath.Join(dir, "run")}
		if err = c.collect(ctx); err == nil {
			err = a.finish(i, c)
		}
	}
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.err == nil {
		a.err = err
	}
	return err
}

// take gives out the number of the next program.
func (a *collection) take() int {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.next++
	return a.next - 1
}

// finish adds a program to the manifest.
func (a *collection) finish(i int, c *collector) error {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.done[i] = c
	return a.manifest().Write(filepath.Join(a.cfg.Dir, manifestName))
}

// manifest has the programs in the order of the config, whichever was done first.
func (a *collection) manifest() *Manifest {
	m := &Manifest{Version: Version, Runs: slices.Clone(a.earlier.Runs), Failed: slices.Clone(a.earlier.Failed)}
	for _, c := range a.done {
		if c != nil {
			m.Runs = append(m.Runs, c.runs...)
			m.Failed = append(m.Failed, c.failed...)
		}
	}
	return m
}
