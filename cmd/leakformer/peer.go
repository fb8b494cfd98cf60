package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

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
	features model.Features
	trees    *model.Trees // once they are grown
	// say tells how far it is; nil: nobody.
	say func(text string)
}

// Learn implements train.Second. Trees that came with a model stay as they are: what
// they know of real leaks is not to be unlearned on planted ones.
func (f *forest) Learn(ctx context.Context, cases func(func(train.Case) error) error) error {
	if f.trees != nil {
		return nil
	}
	var learn []model.TreeExample
	err := cases(func(k train.Case) error {
		learn = append(learn, model.TreeExample{Features: f.features.Of(k.View), Leak: k.Leak, Weight: k.Weight})
		if f.say != nil && len(learn)%1000 == 0 {
			f.say(fmt.Sprintf("%d sites for the trees", len(learn)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.trees, err = model.FitTrees(ctx, learn, model.TreesConfig{})
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
