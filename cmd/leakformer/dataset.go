package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"leakformer/datasets"
)

func (sh *shell) dataset() *cli.Command {
	return &cli.Command{
		Name:        "dataset",
		Usage:       "make labelled logs",
		Subcommands: []*cli.Command{sh.collect(), sh.programs()},
	}
}

func (sh *shell) collect() *cli.Command {
	return &cli.Command{
		Name:      "collect",
		Usage:     "run programs under heaptrack or valgrind, clean and with leaks",
		ArgsUsage: "[PROGRAM...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: ".", Usage: "`DIR` for logs, labels and the manifest"},
			&cli.IntFlag{Name: "clean", Value: 4, Usage: "clean runs of each program"},
			&cli.IntFlag{Name: "leaky", Value: 8, Usage: "leaky runs of each program"},
			&cli.Uint64Flag{Name: "seed", Usage: "of workloads and leaks"},
			&cli.StringFlag{Name: "tool", Value: "heaptrack", Usage: "heaptrack, or valgrind's trace-malloc, memcheck or memcheck-xml"},
			&cli.StringFlag{Name: "allocator", Usage: "`LIBRARY` with another malloc that heaptrack's runs preload, such as libjemalloc.so.2"},
			&cli.BoolFlag{Name: "arrow", Usage: "store runs in Arrow, not as the tool wrote them"},
			&cli.Int64Flag{Name: "events", Usage: "cut the work of each run down to about `N` events (default: do not)"},
			&cli.IntFlag{Name: "jobs", Aliases: []string{"j"}, Value: 1, Usage: "programs collected at a time"},
			&cli.Float64Flag{Name: "scale", Value: 1, Usage: "factor on the size of the workloads"},
			&cli.DurationFlag{Name: "timeout", Value: time.Minute, Usage: "for one run"},
		},
		Action: func(c *cli.Context) error {
			cfg := datasets.Config{Dir: c.String("output"), Seed: c.Uint64("seed"), Scale: c.Float64("scale"), Timeout: c.Duration("timeout"),
				Tool: c.String("tool"), Allocator: c.String("allocator"), Arrow: c.Bool("arrow"), Events: c.Int64("events"), Jobs: c.Int("jobs"),
				Clean: noneIsNegative(c.Int("clean")), Leaky: noneIsNegative(c.Int("leaky")), Progress: sh.collected}
			if c.Args().Present() {
				var unknown []string
				if cfg.Programs, unknown = datasets.FindPrograms(c.Args().Slice()...); len(unknown) > 0 {
					return usagef("dataset collect: unknown programs %q: see leakformer dataset programs", unknown)
				}
			}
			m, err := datasets.Collect(c.Context, cfg)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(sh.stdout, "%d runs, %d failed, in %s\n", len(m.Runs), len(m.Failed), cfg.Dir); err != nil {
				return err
			}
			if len(m.Runs) == 0 {
				return fmt.Errorf("no program could be run: %s has the reasons", "manifest.json")
			}
			return nil
		},
	}
}

// noneIsNegative says 0 in the words of [datasets.Config], where it means the default.
func noneIsNegative(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

func (sh *shell) collected(r datasets.Run, f *datasets.Failure) {
	if f != nil {
		sh.warn("%s %s %d failed: %s", f.Program, f.Class, f.Seed, f.Reason)
		return
	}
	if sh.terminal() {
		fmt.Fprintf(sh.stderr, "%s: %d events, %d outstanding, %d leaked\n", r.Log, r.Events, r.Outstanding, r.Leaked)
	}
}

func (sh *shell) programs() *cli.Command {
	return &cli.Command{
		Name:  "programs",
		Usage: "list the programs that can be collected",
		Action: func(c *cli.Context) error {
			for _, p := range datasets.Programs() {
				if _, err := fmt.Fprintf(sh.stdout, "%s\t%s\n", p.Name, p.Kind); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
