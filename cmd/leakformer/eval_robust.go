package main

import (
	"io"
	"iter"
	"slices"
	"strings"

	"leakformer/datasets"
	"leakformer/eval"
	"leakformer/ingest"
)

// robustness judges the runs as they are and as perturbations show them. Without a
// model or trees it is the rules that are measured.
func (e *evaluation) robustness(entrants []eval.Entrant) error {
	write, err := robustnessOutput(e.c.String("format"))
	if err != nil {
		return err
	}
	if slices.Contains(e.logs, "-") {
		return usagef("eval: --robustness reads each log several times: name files, not -")
	}
	if len(entrants) == 0 {
		entrants = eval.RuleEntrants()
	}
	cfg := eval.RobustnessConfig{Entrants: entrants, Cuts: e.cuts}
	if e.references == nil {
		cfg.Histories = e.known
	}
	files, err := expand(e.c.StringSlice("reference"))
	if err != nil {
		return err
	}
	for _, f := range files {
		src, err := e.sh.openLog(f.path, e.c.String("log-format"))
		if err == nil {
			cfg.References = append(cfg.References, e.open(f.path))
			err = src.Close()
		} else if f.found {
			continue // the histories told of it
		}
		if err != nil {
			return err
		}
	}
	rows, err := eval.MeasureRobustness(e.c.Context, e.again(), cfg)
	if err != nil {
		return err
	}
	return write(e.sh.stdout, rows)
}

func robustnessOutput(format string) (func(io.Writer, []eval.Robustness) error, error) {
	switch format {
	case "text":
		return eval.WriteRobustnessText, nil
	case "markdown", "md":
		return eval.WriteRobustnessMarkdown, nil
	case "json":
		return eval.WriteRobustnessJSON, nil
	}
	return nil, usagef("eval: --robustness --format %s: want text, markdown or json", format)
}

func (e *evaluation) open(log string) func() (ingest.Source, error) {
	return func() (ingest.Source, error) { return e.sh.openLog(log, e.c.String("log-format")) }
}

// again lists the logs that may be evaluated, so that they can be read once more
// for each perturbation.
func (e *evaluation) again() iter.Seq2[eval.Log, error] {
	return func(yield func(eval.Log, error) bool) {
		last := ""
		for s, err := range e.samples() {
			var label *datasets.LogLabels
			if err == nil {
				if s.Log == last {
					continue // the same run at another cut
				}
				last = s.Log
				if label, err = e.labels.Find(s.Log); err != nil {
					label, err = e.labels.Find(strings.TrimSuffix(s.Log, arrowSuffix))
				}
			}
			if err != nil {
				yield(eval.Log{}, err)
				return
			}
			if !yield(eval.Log{Open: e.open(s.Log), Labels: label}, nil) {
				return
			}
		}
	}
}
