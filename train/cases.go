package train

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"

	"leakformer/tokenize"
)

// Case is a site for a model of another kind than [Learner] to learn from or to
// be judged by.
type Case struct {
	// View is valid until the call returns that it is given to.
	View *tokenize.View
	Leak bool
	// Weight is how many sites it stands for: not all that do not leak are given.
	Weight float64
	// Held says that the site is of a run held out, by which the model is to be
	// calibrated.
	Held bool
}

// CasesConfig says which cases are drawn. The zero value works.
type CasesConfig struct {
	// Seed of all that is drawn. The runs that are held out with it are those that
	// [Run] holds out.
	Seed uint64
	// Scenes to draw of the runs to learn from; 0: 400.
	Scenes int
	// Holdout is the share of the runs held out; 0: 0.15.
	Holdout float64
}

// Cases splits the data as [Run] does, draws scenes as it does, and calls f for
// their sites: first those to learn from, then those held out. It changes labelled
// runs: do not use them for anything else.
func Cases(ctx context.Context, data Data, cfg CasesConfig, f func(Case) error) error {
	if cfg.Scenes < 0 || !(cfg.Holdout >= 0 && cfg.Holdout <= 0.9) {
		return errors.New("cases: want scenes, and a share of the runs to hold out of at most 0.9")
	}
	sp, err := newSplit(data, cmp.Or(cfg.Holdout, 0.15), cfg.Seed)
	if err != nil {
		return err
	}
	s := newSampler(sp.train, Config{Seed: cfg.Seed})
	rng := generator(cfg.Seed, 3)
	for range cmp.Or(cfg.Scenes, 400) {
		if err := ctx.Err(); err != nil {
			return err
		}
		sc := s.samples[rng.IntN(len(s.samples))].scene(rng, s.plants)
		if rng.IntN(10) == 0 {
			sc = asReport(rng, sc)
		}
		if err := cases(rng, sc, perScene, false, f); err != nil {
			return err
		}
	}
	return examine(sp.valid, cfg.Seed, func(sc *tokenize.Scene, rng *rand.Rand) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return cases(rng, sc, examSites, true, f)
	})
}

// cases gives the sites of a scene: all that leak, and up to n that do not.
func cases(rng *rand.Rand, sc *tokenize.Scene, n int, held bool, f func(Case) error) error {
	leaky, clean := outstanding(rng, sc)
	for _, site := range leaky {
		if err := f(Case{sc.View(site), true, 1, held}); err != nil {
			return err
		}
	}
	some := clean[:min(len(clean), n)]
	for _, site := range some {
		if err := f(Case{sc.View(site), false, float64(len(clean)) / float64(len(some)), held}); err != nil {
			return err
		}
	}
	return nil
}

// Calibrate fits what turns logits into probabilities, and chooses the threshold
// for these, as [Run] does for a network: on held out sites, which stand for so
// many of their kind as their weight says.
func Calibrate(logits []float64, leak []bool, weights []float64) (Calibration, float64) {
	x := &exam{weights: weights}
	c := calibrate(logits, leak, weights)
	probabilities := make([]float64, len(logits))
	for i, z := range logits {
		probabilities[i] = c.Probability(z)
		x.examples = append(x.examples, example{leak: leak[i]})
		if leak[i] {
			x.positives++
		}
	}
	return c, threshold(x.curve(probabilities))
}
