package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"leakformer/detect/monitor"
	"leakformer/detect/report"
)

func (sh *shell) checkGrowth() *cli.Command {
	return &cli.Command{
		Name:  "check-growth",
		Usage: "see once whether the memory of a process or of the machine grows",
		Description: "Measures the resident memory of a process, or what the machine uses and could not reclaim, --repeat times after\n" +
			"the first. Exits with status 3 if it grew each time by --threshold.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "pid", Usage: "`PID` of the process"},
			&cli.BoolFlag{Name: "system", Usage: "the whole machine"},
			&cli.IntFlag{Name: "repeat", Value: 3, Usage: "`NUMBER` of times to measure again"},
			&cli.DurationFlag{Name: "interval", Value: 10 * time.Second, Usage: "`TIME` between two measurements"},
			growthFlag(), minSizeFlag(),
		},
		Action: sh.checkGrowthAction,
	}
}

func growthFlag() cli.Flag {
	return &cli.Float64Flag{Name: "threshold", Value: 2, Usage: "growth from one look to the next that counts, in `PERCENT`"}
}

func minSizeFlag() cli.Flag {
	return sizeFlag("min-size", "1MB", "`BYTES` below which growth does not count")
}

func (sh *shell) checkGrowthAction(c *cli.Context) error {
	probe, err := sh.growing(c)
	if err != nil {
		return err
	}
	rule := monitor.Growth{Threshold: c.Float64("threshold") / 100, Consecutive: c.Int("repeat"), MinSize: sizeOf(c, "min-size")}
	var trend monitor.Trend
	for n := 0; ; n++ {
		if n > 0 {
			if err := sleep(c.Context, c.Duration("interval")); err != nil {
				return err
			}
		}
		text, err := probe.Take(c.Context)
		if err != nil {
			return fmt.Errorf("%s %w", probe.Name, err)
		}
		gauge := probe.Gauge(text)
		if gauge == nil {
			return fmt.Errorf("%s does not tell its memory", probe.Name)
		}
		grown := rule.Step(&trend, gauge.Bytes)
		fmt.Fprintf(sh.stdout, "%s: %s %s\n", probe.Name, gauge.Name, report.Bytes(gauge.Bytes))
		switch {
		case grown:
			fmt.Fprintf(sh.stdout, "%s: grew %d times in a row, from %s\n", probe.Name, trend.Streak, report.Bytes(trend.Baseline))
			return errLeaks
		case n > 0 && trend.Streak < n:
			fmt.Fprintf(sh.stdout, "%s: does not grow by %v %% each time\n", probe.Name, c.Float64("threshold"))
			return nil
		}
	}
}

// growing is what check-growth measures.
func (sh *shell) growing(c *cli.Context) (*monitor.Probe, error) {
	switch {
	case c.Args().Present():
		return nil, usagef("check-growth: what is %q for? Name a process with --pid", c.Args().First())
	case c.IsSet("pid") == c.Bool("system"):
		return nil, usagef("check-growth: want --pid PID or --system")
	case c.Int("repeat") < 1:
		return nil, usagef("check-growth: --repeat %d: want at least 1", c.Int("repeat"))
	case c.Duration("interval") < 0 || !(c.Float64("threshold") >= 0):
		return nil, usagef("check-growth: --interval and --threshold: want no negative number")
	case c.IsSet("pid"):
		return monitor.Process(c.Int("pid"))
	}
	probes, why := monitor.System()
	for _, p := range probes {
		if p.Gauge != nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("the machine does not tell its memory: %v", why)
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
