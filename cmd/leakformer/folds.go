package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"leakformer/eval"
	"leakformer/tokenize"
)

// folds are the models of a leave-programs-out cross-validation, each trained
// without some of the programs. Every run is judged by one that did not learn from
// its program, or, where the programs are to be known, from clean runs of it alone.
type folds struct {
	models []*trained
	known  bool
}

// loadFolds starts the models named with --fold.
func (sh *shell) loadFolds(c *cli.Context) (folds, error) {
	fs := folds{known: c.Bool("known")}
	for _, path := range c.StringSlice("fold") {
		m, err := sh.loadModel(path, computing(c))
		if err != nil {
			fs.Close()
			return folds{}, err
		}
		fs.models = append(fs.models, m)
	}
	return fs, nil
}

func (fs folds) Close() {
	for _, m := range fs.models {
		m.Close()
	}
}

// histories are the clean runs that the models remember.
func (fs folds) histories() (all []*tokenize.History) {
	for _, m := range fs.models {
		all = append(all, m.checkpoint.Histories...)
	}
	return all
}

// programs are those that one of the models may judge as known ones.
func (fs folds) programs() map[string]bool {
	known := map[string]bool{}
	for _, m := range fs.models {
		for _, d := range m.checkpoint.Manifest.Data {
			known[d.Program] = fs.of(d.Program) != nil
		}
	}
	return known
}

func (fs folds) entrant() eval.Entrant {
	return eval.Entrant{Name: fmt.Sprintf("leakformer, %d folds", len(fs.models)), Scorer: fs, Probabilities: true,
		Thresholds: func(s *tokenize.Scene) float64 {
			if m := fs.of(s.Run.Program); m != nil {
				return m.threshold(s)
			}
			return 1
		}}
}

// of is the first model that may judge a program; nil if none may.
func (fs folds) of(program string) *trained {
	for _, m := range fs.models {
		learned := false
		labelled := false
		for _, d := range slices.Concat(m.checkpoint.Manifest.Data, m.checkpoint.Manifest.Before) {
			learned = learned || d.Program == program
			labelled = labelled || d.Program == program && d.Labelled
		}
		if learned == fs.known && !labelled {
			return m
		}
	}
	return nil
}

// Score has the views, which are of one run, judged by the model for its program.
func (fs folds) Score(ctx context.Context, views []*tokenize.View) ([]float64, [][]float64, error) {
	program := views[0].Scene.Run.Program
	m := fs.of(program)
	switch {
	case m == nil && fs.known:
		return nil, nil, fmt.Errorf("none of the models named with --fold learned from clean runs of %s alone: train one of them on these with train --init FOLD --clean", program)
	case m == nil:
		return nil, nil, fmt.Errorf("each of the models named with --fold learned from %s: one has to be trained without it", program)
	}
	return m.Score(ctx, views)
}
