package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"leakformer/detect"
	"leakformer/detect/report"
	"leakformer/tokenize"
)

func (sh *shell) score() *cli.Command {
	return &cli.Command{
		Name:      "score",
		Usage:     "find the leaks in logs",
		ArgsUsage: "LOG...",
		Description: "A LOG is a file, a folder of such, a pattern in quotes, or - for standard input; each\n" +
			"process in it is judged by itself. Exits with status 3 if leaks were found. Logs of clean runs of the same program, named\n" +
			"with --reference, make the findings better unless the model was trained on such.",
		Flags: append(append(followFlags(),
			&cli.DurationFlag{Name: "every", Value: 10 * time.Second, Usage: "with --follow, look for new leaks when this `TIME` has passed, and sooner at first"},
			findingsFlag(), allFlag(),
			&cli.StringFlag{Name: "picture", Usage: "`FILE` for a picture of the first findings' outstanding blocks over the run, SVG"},
		), scoringFlags()...),
		Action: sh.scoreAction,
	}
}

// scoringFlags are for commands that score logs.
func scoringFlags() []cli.Flag {
	return []cli.Flag{
		modelFlag(), &listFlag{referenceFlag()},
		&cli.StringSliceFlag{Name: "suppressions", Usage: "`FILE` of leaks to leave out, in the syntax of Valgrind or of LeakSanitizer; may be repeated"},
		&cli.Float64Flag{Name: "threshold", Usage: "`P` from which on a site is called a leak (default: the model's own)"},
		&cli.Float64Flag{Name: "precision", Usage: "call as many sites leaks as this `SHARE` of them is expected to be; in place of --threshold"},
		&cli.Float64Flag{Name: "max-false-alarms-per-run", Usage: "call as many sites leaks as this `NUMBER` of them is expected to be none; in place of --threshold"},
		&cli.IntFlag{Name: "explain", Value: 10, Usage: "find out of the first `N` leaks what the verdicts rest on, by taking it away"},
		&cli.Float64Flag{Name: "cut", Value: 1, Usage: "look at the run after this `SHARE` of its events"},
		threadsFlag(), deviceFlag(), logFormatFlag(),
	}
}

func findingsFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Value: "text", Usage: "of the findings: text, html, jsonl with one object a line, sarif, csv, collapsed stacks, or pprof"}
}

func allFlag() cli.Flag {
	return &cli.BoolFlag{Name: "all", Usage: "list every site with outstanding blocks, not the leaks alone"}
}

func referenceFlag() *cli.StringSliceFlag {
	return &cli.StringSliceFlag{Name: "reference", Aliases: []string{"r"}, Usage: "`LOG` of a clean run of the same program, or a folder of such; may be repeated"}
}

func (sh *shell) scoreAction(c *cli.Context) error {
	if err := checkFollow(c); err != nil {
		return err
	}
	format := c.String("format")
	if c.Bool("follow") && format != "text" && format != "jsonl" && format != "json" {
		return usagef("score: --format %s is not written bit by bit: with --follow, use text or jsonl", format)
	}
	out, err := findingsOutput(format, sh.stdout)
	if err != nil {
		return err
	}
	s, err := sh.newScoring(c, out)
	if err != nil {
		return err
	}
	defer s.model.Close()
	if c.Bool("follow") {
		return s.follow(c.Args().First())
	}
	return s.arguments()
}

// checkThreshold checks the flags that say when a site is called a leak.
func checkThreshold(c *cli.Context) error {
	var set []string
	for _, name := range []string{"threshold", "precision", "max-false-alarms-per-run"} {
		if c.IsSet(name) {
			set = append(set, "--"+name)
		}
	}
	if len(set) > 1 {
		return usagef("%s: %s exclude each other", c.Command.Name, strings.Join(set, " and "))
	}
	if p := c.Float64("threshold"); !(p >= 0 && p <= 1) {
		return usagef("%s: --threshold %v: want a probability, 0 to 1", c.Command.Name, p)
	}
	if p := c.Float64("precision"); c.IsSet("precision") && !(p > 0 && p <= 1) {
		return usagef("%s: --precision %v: want a share, more than 0 and at most 1", c.Command.Name, p)
	}
	if n := c.Float64("max-false-alarms-per-run"); c.IsSet("max-false-alarms-per-run") && !(n > 0) {
		return usagef("%s: --max-false-alarms-per-run %v: want a number of more than 0; 0.1 is one in ten runs", c.Command.Name, n)
	}
	if n := c.Int("explain"); n < 0 {
		return usagef("%s: --explain %d: want a number of findings", c.Command.Name, n)
	}
	return nil
}

func findingsOutput(format string, w io.Writer) (detect.Handler, error) {
	if format == "json" { // as other commands call it
		format = "jsonl"
	}
	f, ok := report.FindFormat(format)
	if !ok {
		return nil, usagef("--format %s: want %s", format, report.FormatNames())
	}
	return f.New(w, version())
}

// histories measures clean runs, each process by itself as in the logs that are judged.
func (sh *shell) histories(c *cli.Context, logs []string) (tokenize.Reference, error) {
	files, err := expandSeries(logs)
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	var ref tokenize.Reference
	for _, file := range files {
		runs, err := sh.loadEach(c.Context, file, c.String("log-format"))
		if sh.passOver(file, err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reference: %w", err)
		}
		for _, run := range runs {
			ref = append(ref, tokenize.NewHistory(run))
		}
	}
	if len(ref) == 0 {
		return nil, errors.New("reference: no log in " + strings.Join(logs, ", "))
	}
	return ref, nil
}

// referenceWarnings tells when clean runs are missing or do not fit.
func (s *scoring) referenceWarnings(scene *tokenize.Scene) []string {
	if !s.named {
		if scene.Reference.Runs() == 0 {
			return []string{"no clean run of this program is known: name some with --reference for better findings"}
		}
		return nil
	}
	known := s.reference.Covers(scene.Run)
	switch {
	case scene.Reference == nil:
		return []string{fmt.Sprintf("the reference logs know only %.0f %% of this run's allocations and are not used: make them with the same build of the program and the same tool", 100*known)}
	case known < tokenize.MinCover:
		return []string{fmt.Sprintf("the reference logs know only %.0f %% of this run's allocations: are they of the same build of the program?", 100*known)}
	}
	return nil
}

// sitesDone shows progress to somebody who watches.
func (sh *shell) sitesDone() func(int) {
	if !sh.terminal() {
		return nil
	}
	return func(n int) { fmt.Fprintf(sh.stderr, "\r%d sites scored ", n) }
}
