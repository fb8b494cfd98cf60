package main

import (
	"github.com/urfave/cli/v2"

	"leakformer/eval"
	"leakformer/model"
	"leakformer/train"
)

// peer is the logs that the trees learn from, which stand beside a model in an
// evaluation.
type peer struct{ clean, labels []string }

func (p *peer) named() bool { return len(p.clean)+len(p.labels) > 0 }

// trees grows boosted trees on the same sort of scenes that train draws, and
// chooses their threshold on the runs held out, as it does.
func (sh *shell) trees(c *cli.Context, data train.Data) (*eval.Entrant, error) {
	var learn, held []model.TreeExample
	err := train.Cases(c.Context, data, train.CasesConfig{Seed: c.Uint64("seed")}, func(k train.Case) error {
		e := model.TreeExample{Features: model.Features(k.View), Leak: k.Leak, Weight: k.Weight}
		if k.Held {
			held = append(held, e)
		} else {
			learn = append(learn, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t, err := model.FitTrees(c.Context, learn, model.TreesConfig{})
	if err != nil {
		return nil, err
	}
	var logits, weights []float64
	var leak []bool
	for _, e := range held {
		logits, weights, leak = append(logits, t.Logit(e.Features)), append(weights, e.Weight), append(leak, e.Leak)
	}
	calibration, threshold := train.Calibrate(logits, leak, weights)
	t.Calibration = model.Calibration(calibration)
	sh.log.Info("trees", "sites", len(learn), "held out", len(held), "threshold", threshold)
	return &eval.Entrant{Name: "boosted trees", Scorer: t, Threshold: threshold, Probabilities: true}, nil
}
