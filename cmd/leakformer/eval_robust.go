package main

import (
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
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
	var clean []string
	for _, f := range files {
		src, err := e.sh.openLog(f.path, e.c.String("log-format"))
		if err == nil {
			clean = append(clean, f.path)
			cfg.References = append(cfg.References, e.open(f.path))
			err = src.Close()
		} else if f.found {
			continue // the histories told of it
		}
		if err != nil {
			return err
		}
	}
	for _, named := range e.c.StringSlice("beside") {
		b, err := e.beside(named, clean)
		if err != nil {
			return err
		}
		cfg.Beside = append(cfg.Beside, b...)
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

// beside finds the logs in a folder that stand beside those that are judged: with the
// same name up to the number of the run. If it is a collection, its logs are of other
// runs and have labels of their own; else they tell of the same runs. Where it has
// some of the clean runs, too, there are two rows: with these, and with those as before.
func (e *evaluation) beside(named string, clean []string) ([]eval.Beside, error) {
	name, dir, ok := strings.Cut(named, "=")
	if !ok || name == "" {
		return nil, usagef("eval: --beside %s: want NAME=DIR", named)
	}
	logs, err := e.logsIn(dir)
	if err != nil {
		return nil, err
	}
	of := func(l *datasets.LogLabels) (eval.Log, bool) {
		log, ok := logs[runOf(l.Log)]
		return log, ok
	}
	b := eval.Beside{Name: name, Of: of}
	for _, f := range clean {
		if log, ok := logs[runOf(f)]; ok {
			b.References = append(b.References, log.Open)
		}
	}
	if b.References == nil {
		return []eval.Beside{b}, nil
	}
	return []eval.Beside{b, {Name: name + ", clean runs as before", Of: of}}, nil
}

// logsIn are the logs of a collection, or all that a folder and those in it hold, by the
// run that they tell of.
func (e *evaluation) logsIn(dir string) (map[string]eval.Log, error) {
	logs := map[string]eval.Log{}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil {
		labels, err := readLabels([]string{dir})
		if err != nil {
			return nil, err
		}
		for i := range labels.Logs {
			if l := &labels.Logs[i]; runOf(l.Log) != "" {
				logs[runOf(l.Log)] = eval.Log{Open: e.open(l.Log), Labels: l}
			}
		}
		return logs, nil
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && runOf(path) != "" {
			logs[runOf(path)] = eval.Log{Open: e.open(path)}
		}
		return err
	})
	if err == nil && len(logs) == 0 {
		err = fmt.Errorf("%s: no log named as collections name them, PROGRAM.CLASS.NUMBER.*", dir)
	}
	return logs, err
}

// runOf is what the name of a log says of its run: program, class and number; "" where
// it does not.
func runOf(log string) string {
	parts := strings.SplitN(filepath.Base(log), ".", 4)
	if len(parts) < 4 {
		return ""
	}
	return strings.Join(parts[:3], ".")
}
