// Lab collects labelled logs of kmemleak: make kernel-lab calls it.
//
//	lab -kernel DIR [-o DIR] [-clean N] [-leaky N] [-scans N] [-seed N] [MODULE...]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"

	"leakformer/datasets"
	"leakformer/datasets/kernel"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var c kernel.Config
	flags.StringVar(&c.Kernel, "kernel", "", "`folder` that build.sh filled")
	flags.StringVar(&c.Dir, "o", ".", "`folder` for logs, labels and the manifest")
	flags.IntVar(&c.Clean, "clean", 2, "clean runs of each module; negative: none")
	flags.IntVar(&c.Leaky, "leaky", 6, "leaky runs of each module; negative: none")
	flags.IntVar(&c.Scans, "scans", 20, "scans of a run at most")
	flags.Uint64Var(&c.Seed, "seed", 0, "of everything drawn")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	for _, m := range flags.Args() {
		if !slices.Contains(kernel.Modules(), m) {
			return fmt.Errorf("no module %s: there are %s", m, strings.Join(kernel.Modules(), ", "))
		}
	}
	if flags.NArg() > 0 {
		c.Modules = flags.Args()
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "log\tscans\trecords\tleaked\tin the last scan\tbenign: freed later\tkept\tforeign\tseconds")
	c.Progress = func(r datasets.Run, t *kernel.Truth, f *datasets.Failure) {
		if f != nil {
			fmt.Fprintf(stderr, "%s %s %d failed: %s\n", f.Program, f.Class, f.Seed, f.Reason)
			return
		}
		foreign := 0
		for _, s := range t.Scans {
			foreign += s.Foreign
		}
		freed, kept := t.Benign()
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\n", r.Log, len(t.Scans), r.Events, t.Lost(), r.Leaked, freed, kept, foreign, r.Seconds)
	}
	_, err := kernel.Collect(ctx, c)
	return errors.Join(err, table.Flush())
}
