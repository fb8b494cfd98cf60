// Speed measures leakformer beside what else does the same work: the network beside
// PyTorch, the learning beside scikit-learn, the reading beside heaptrack's own programs. It writes what it measured to a
// file and, as a table, into the README.
//
//	go run ./cmd/leakformer/internal/speed -program bin/leakformer [-only WORDS] [-long]
//
// All is measured in one run: each round does a task on our side and then on the other,
// so that what else the machine does hits both. make bench-peers installs the peers and
// calls it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == ourSide {
		err = serve(os.Stdin, os.Stdout)
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		os.Exit(1)
	}
}

// A measurer carries out comparisons.
type measurer struct {
	ctx context.Context
	// program is leakformer, python one that has PyTorch and scikit-learn.
	program, python string
	// corpus is the folder of the runs whose sequences the network is given, logs
	// that of a log with a leak and a clean one.
	corpus, logs string
	// budget is the time that a comparison may take; none has fewer than
	// minRounds rounds for it.
	budget time.Duration
	// dir is for files; it is removed in the end.
	dir string
	// long has what takes many minutes measured, too.
	long bool
	log  io.Writer
	rows []row
}

// file is a path in the folder for files.
func (m *measurer) file(name string) string { return filepath.Join(m.dir, name) }

// comparisons are what there is to measure, in the order of the table. Programs that are
// started come first: what the system says of a program's memory is never less than what
// its parent had when it was started.
var comparisons = []struct {
	name    string
	measure func(*measurer) error
}{
	{"reading", (*measurer).reading},
	{"score", (*measurer).score},
	{"stream", (*measurer).stream},
	{"size", (*measurer).size},
	{"start", (*measurer).start},
	{"build", (*measurer).build},
	{"network", (*measurer).network},
	{"linear", (*measurer).linear},
	{"learning", (*measurer).learning},
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("speed", flag.ContinueOnError)
	flags.SetOutput(stderr)
	m := &measurer{ctx: ctx, log: stderr}
	flags.StringVar(&m.program, "program", "bin/leakformer", "leakformer")
	flags.StringVar(&m.python, "python", "python3", "a Python that has PyTorch and scikit-learn")
	flags.StringVar(&m.corpus, "corpus", "datasets/corpus", "folder of runs whose sequences the network is given")
	flags.StringVar(&m.logs, "logs", "cmd/leakformer/testdata/readme", "folder of the logs leaky.zst and clean.1.zst")
	flags.DurationVar(&m.budget, "budget", 6*time.Second, "time for each comparison")
	flags.BoolVar(&m.long, "long", false, "measure what takes many minutes, too")
	only := flags.String("only", "", "measure only what has a name that this regular expression matches, and write no file")
	results := flags.String("o", "eval/SPEED.json", "file for the results")
	readme := flags.String("readme", "README.md", "file for the table")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	chosen, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if *only == "" {
		if _, _, err := around(*readme); err != nil {
			return err
		}
	}
	if m.dir, err = os.MkdirTemp("", "leakformer-speed-"); err != nil {
		return err
	}
	defer os.RemoveAll(m.dir)
	for _, c := range comparisons {
		if !chosen.MatchString(c.name) {
			continue
		}
		if err := c.measure(m); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	t := table{Machine: machine(), Rows: m.rows}
	if *only != "" {
		return t.write(stdout)
	}
	if err := t.save(*results); err != nil {
		return err
	}
	return t.insert(*readme)
}
