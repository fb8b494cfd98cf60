package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"leakformer/eval"
	"leakformer/model"
	"leakformer/tokenize"
)

// folds are the models of a leave-programs-out cross-validation, each trained
// without some of the programs. Every run is judged by one that did not learn from
// its program.
type folds []*trained

// loadFolds starts the models named with --fold.
func (sh *shell) loadFolds(c *cli.Context) (folds, error) {
	var fs folds
	for _, path := range c.StringSlice("fold") {
		m, err := sh.loadModel(path, computing(c))
		if err != nil {
			fs.Close()
			return nil, err
		}
		fs = append(fs, m)
	}
	return fs, nil
}

func (fs folds) Close() {
	for _, m := range fs {
		m.Close()
	}
}

func (fs folds) entrant() eval.Entrant {
	return eval.Entrant{Name: fmt.Sprintf("leakformer, %d folds", len(fs)), Scorer: fs, Probabilities: true,
		Thresholds: func(s *tokenize.Scene) float64 {
			if m := fs.of(s.Run.Program); m != nil {
				return m.threshold(s)
			}
			return 1
		}}
}

// of is the first model that did not learn from a program; nil if all did.
func (fs folds) of(program string) *trained {
	for _, m := range fs {
		learned := func(data []model.Datum) bool {
			return slices.ContainsFunc(data, func(d model.Datum) bool { return d.Program == program })
		}
		if !learned(m.checkpoint.Manifest.Data) && !learned(m.checkpoint.Manifest.Before) {
			return m
		}
	}
	return nil
}

// Score has the views, which are of one run, judged by the model for its program.
func (fs folds) Score(ctx context.Context, views []*tokenize.View) ([]float64, [][]float64, error) {
	program := views[0].Scene.Run.Program
	m := fs.of(program)
	if m == nil {
		return nil, nil, fmt.Errorf("each of the models named with --fold learned from %s: one has to be trained without it", program)
	}
	return m.Score(ctx, views)
}
