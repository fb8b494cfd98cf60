package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"leakformer/datasets"
	"leakformer/detect"
	"leakformer/eval"
	"leakformer/tokenize"
)

func (sh *shell) eval() *cli.Command {
	return &cli.Command{
		Name:      "eval",
		Usage:     "measure a model, and simple rules beside it, on labelled logs",
		ArgsUsage: "[LOG...]",
		Description: "Without logs, all logs of the label files are measured; without a model, the simple\n" +
			"rules alone.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "labels", Aliases: []string{"l"}, Usage: "`FILE` with the truth about the logs; may be repeated"},
			modelFlag(), referenceFlag(),
			&cli.Float64SliceFlag{Name: "cut", Usage: "look at each run after this `SHARE` of its events; may be repeated (default: 0.3, 0.6, 0.9 and 1)"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "of the table: text, summary, markdown or json"},
			&cli.BoolFlag{Name: "programs", Usage: "add a table for each program"},
			&cli.Uint64Flag{Name: "seed", Usage: "of the bootstrap intervals"},
			threadsFlag(), logFormatFlag(),
		},
		Action: sh.evalAction,
	}
}

func (sh *shell) evalAction(c *cli.Context) error {
	write, err := tableOutput(c.String("format"))
	if err != nil {
		return err
	}
	cuts := c.Float64Slice("cut")
	if len(cuts) == 0 {
		cuts = []float64{0.3, 0.6, 0.9, 1}
	}
	if i := slices.IndexFunc(cuts, func(x float64) bool { return !(x > 0 && x <= 1) }); i >= 0 {
		return usagef("eval: --cut %v: want a share of the events, more than 0 and at most 1", cuts[i])
	}
	if len(c.StringSlice("labels")) == 0 {
		return usagef("eval: --labels has to name the file with the truth about the logs")
	}
	labels, err := readLabels(c.StringSlice("labels"))
	if err != nil {
		return err
	}
	e := &evaluation{sh: sh, c: c, labels: labels, cuts: cuts, learned: map[string]uint32{}}
	var entrants []eval.Entrant
	if path := c.String("model"); path != noModel {
		m, err := sh.loadModel(path, c.Int("threads"))
		if err != nil {
			return err
		}
		defer m.Close()
		e.known = m.checkpoint.Histories
		for _, d := range m.checkpoint.Manifest.Data {
			e.learned[d.Log] = d.Events
		}
		entrants = append(entrants, eval.Entrant{Name: "leakformer " + m.id, Scorer: m, Threshold: m.checkpoint.Manifest.Threshold, Probabilities: true})
	}
	if err := e.choose(c.StringSlice("reference")); err != nil {
		return err
	}
	res, err := eval.Compare(c.Context, e.samples(), append(entrants, eval.RuleEntrants()...))
	if err != nil {
		return err
	}
	return write(sh.stdout, res.Rows(eval.TableConfig{Programs: c.Bool("programs") || c.String("format") == "summary", Seed: c.Uint64("seed")}))
}

func tableOutput(format string) (func(io.Writer, []eval.Row) error, error) {
	switch format {
	case "text":
		return eval.WriteText, nil
	case "summary":
		return eval.WriteSummary, nil
	case "markdown", "md":
		return eval.WriteMarkdown, nil
	case "json":
		return eval.WriteJSON, nil
	}
	return nil, usagef("eval: --format %s: want text, summary, markdown or json", format)
}

// readLabels reads label files as one, in which each log is named as seen from
// here.
func readLabels(files []string) (*datasets.Labels, error) {
	all := &datasets.Labels{Version: datasets.Version}
	for _, file := range files {
		labels, err := datasets.ReadLabels(file)
		if err != nil {
			return nil, err
		}
		for _, l := range labels.Logs {
			l.Log = filepath.Join(filepath.Dir(file), l.Log)
			all.Logs = append(all.Logs, l)
		}
	}
	return all, nil
}

// evaluation loads the runs to evaluate, one at a time.
type evaluation struct {
	sh     *shell
	c      *cli.Context
	labels *datasets.Labels
	cuts   []float64
	// references were named for this evaluation; known came with the model,
	// which learned from the logs of these names and numbers of events.
	references, known []*tokenize.History
	learned           map[string]uint32
	logs              []string
}

// choose lists the logs to evaluate and reads the references. A log must not be
// compared with itself: of the logs of the label file those that are references
// or were learned from are left out, and named ones are refused.
func (e *evaluation) choose(references []string) error {
	files, err := expand(references)
	if err != nil {
		return err
	}
	taken := map[string]string{}
	for _, f := range files {
		if l, err := e.labels.Find(f.path); err == nil && l.Class == datasets.Leaky {
			return fmt.Errorf("%s cannot be a reference: it is labelled leaky", f.path)
		}
		taken[absolute(f.path)] = "is a reference"
	}
	e.logs = e.c.Args().Slice()
	all := len(e.logs) == 0
	if all {
		for _, l := range e.labels.Logs {
			e.logs = append(e.logs, l.Log)
		}
	}
	var logs []string
	for _, log := range e.logs {
		why := taken[absolute(log)]
		if e.wasLearned(log) {
			why = "was learned from"
		}
		switch {
		case why == "":
			logs = append(logs, log)
		case all:
			e.sh.log.Info("left out", "log", log, "why", why)
		default:
			return fmt.Errorf("%s cannot be evaluated: it %s", log, why)
		}
	}
	if e.logs = logs; len(logs) == 0 {
		return errors.New("no log is left to evaluate: all are references or were learned from")
	}
	if len(references) > 0 {
		e.references, err = e.sh.histories(e.c, references)
	}
	return err
}

// wasLearned reports whether the model learned from a log of this name and length.
func (e *evaluation) wasLearned(log string) bool {
	events, known := e.learned[filepath.Base(log)]
	l, err := e.labels.Find(log)
	return known && (err != nil || l.Events == 0 || l.Events == int64(events))
}

func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

func (e *evaluation) samples() iter.Seq2[*eval.Sample, error] {
	return func(yield func(*eval.Sample, error) bool) {
		for _, log := range e.logs {
			s, err := e.sample(log)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, cut := range e.cutsOf(s.Scene.Run) {
				one := *s
				one.Cut = cut
				one.Scene = &tokenize.Scene{Run: s.Scene.Run, Cut: detect.CutAt(s.Scene.Run, cut), Reference: s.Scene.Reference}
				if !yield(&one, nil) {
					return
				}
			}
		}
	}
}

// cutsOf is the whole of a report, which has no middle.
func (e *evaluation) cutsOf(run *tokenize.Run) []float64 {
	if detect.CutAt(run, 0.5) == run.Events {
		return []float64{1}
	}
	return e.cuts
}

// sample reads a log and what is known of it. The labels of an Arrow file are
// those of the log that it was made from.
func (e *evaluation) sample(log string) (*eval.Sample, error) {
	name, isArrow := strings.CutSuffix(log, arrowSuffix)
	label, err := e.labels.Find(log)
	if err != nil && isArrow {
		label, err = e.labels.Find(name)
	} else if err == nil && log != "-" {
		err = label.Verify(log)
	}
	if err != nil {
		return nil, err
	}
	run, err := e.sh.loadRun(e.c.Context, log, e.c.String("log-format"))
	if err != nil {
		return nil, err
	}
	truth, err := eval.Match(run, label)
	if err != nil {
		return nil, err
	}
	s := &eval.Sample{Program: label.Program, Log: log, Truth: truth, Scene: &tokenize.Scene{Run: run}}
	switch {
	case e.references != nil:
		s.Setting, s.Scene.Reference = "with reference", tokenize.Choose(e.references, run)
	default:
		s.Setting, s.Scene.Reference = "known program", tokenize.Choose(e.known, run)
	}
	if s.Scene.Reference.Runs() == 0 {
		s.Setting = "no clean run known"
	}
	return s, nil
}
