package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"leakformer/cmd/leakformer/internal/attach"
)

// recordAttached records a process that runs already, until one of the two ends.
func (sh *shell) recordAttached(c *cli.Context) error {
	pid := c.Int("pid")
	switch {
	case c.Args().Present():
		return usagef("record: --pid %d runs already: what is %q for?", pid, c.Args().First())
	case c.IsSet("tool"):
		return usagef("record: --tool is for programs that are started, and --pid for one that runs")
	case c.Int("sample") < 1:
		return usagef("record: --sample %d: want at least 1", c.Int("sample"))
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("record: no process %d runs a program", pid)
	}
	if err != nil {
		return fmt.Errorf("record: process %d: %w", pid, err)
	}
	log := cmp.Or(c.String("output"), fmt.Sprintf("%s.%d.heaptrack.log", filepath.Base(program), pid))
	f, err := os.Create(log)
	if err != nil {
		return err
	}
	attached := false
	sum, err := attach.Run(c.Context, attach.Config{PID: pid, Sample: c.Int("sample"), Log: f, Attached: func(allocator string) {
		attached = true
		sh.warn("recording what process %d asks of %s, until it ends or this is interrupted", pid, allocator)
	}})
	if err = errors.Join(err, f.Close()); err != nil && !attached {
		return fmt.Errorf("record: %w. Without: memleak -p %d 10 | leakformer monitor - (apt-get install bpfcc-tools; there it is memleak-bpfcc), "+
			"heaptrack --raw --pid %d (stops the process for a moment, with gdb), or leakformer monitor --pid %d", errors.Join(err, os.Remove(log)), pid, pid, pid)
	}
	if err != nil {
		return err
	}
	if sum.Lost > 0 {
		sh.warn("warning: %d calls came too fast to be recorded: blocks may seem to stay that were freed (--sample records fewer)", sum.Lost)
	}
	sh.warn("%d allocations and %d frees; the log is %s: leakformer score %s", sum.Allocs, sum.Frees, log, log)
	return nil
}
