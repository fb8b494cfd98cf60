package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"leakformer/cmd/leakformer/internal/learn"
	"leakformer/eval"
	"leakformer/model"
	"leakformer/tokenize"
	"leakformer/train"
)

// peer is the logs that the trees learn from, which stand beside a model in an
// evaluation.
type peer struct{ clean, labels []string }

func (p *peer) named() bool { return len(p.clean)+len(p.labels) > 0 }

// forest is trees as a training's second judge.
type forest struct {
	trees *model.Trees // once they are grown
	// drawn is told how many sites there are to learn from so far; nil: nobody.
	drawn func(n int)
}

// Learn implements train.Second. Trees that came with a model stay as they are: what
// they know of real leaks is not to be unlearned on planted ones.
func (f *forest) Learn(ctx context.Context, cases func(func(train.Case) error) error) error {
	if f.trees != nil {
		return nil
	}
	examples, err := learn.ForTrees(cases, f.drawn)
	if err != nil {
		return err
	}
	f.trees, err = model.FitTrees(ctx, examples, model.TreesConfig{})
	return err
}

// Logit implements train.Second.
func (f *forest) Logit(v *tokenize.View) float64 { return f.trees.Logit(v) }

// trees grows boosted trees on the same sort of scenes that train draws, and
// chooses their thresholds on the runs held out, as it does.
func (sh *shell) trees(c *cli.Context, data train.Data) (*eval.Entrant, error) {
	var f forest
	res, err := train.Alone(c.Context, train.Config{Seed: c.Uint64("seed")}, data, &f)
	if err != nil {
		return nil, err
	}
	f.trees.Judgings = judgings(res)
	sh.log.Info("trees", "AP", res.Best.AveragePrecision, "threshold", res.Threshold)
	return &eval.Entrant{Name: "boosted trees", Scorer: f.trees, Probabilities: true,
		Thresholds: func(s *tokenize.Scene) float64 { return f.trees.Judgings.Of(s).Threshold }}, nil
}
