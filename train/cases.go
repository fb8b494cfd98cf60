package train

import (
	"context"
	"math/rand/v2"

	"leakformer/tokenize"
)

// Case is a site for a [Second] to learn from.
type Case struct {
	// View is valid until the call returns that it is given to.
	View *tokenize.View
	Leak bool
	// Weight is how many sites it stands for: not all that do not leak are given.
	Weight float64
}

// A Second judges sites beside the [Learner], by other means: its mistakes are
// others.
type Second interface {
	// Learn is given a function that hands it cases, those to learn from only, one
	// after the other and always the same ones.
	Learn(ctx context.Context, cases func(f func(Case) error) error) error
	// Logit that the site leaks; more is more suspicious.
	Logit(v *tokenize.View) float64
}

// Joint is the logit of both together, their mean; it is the one to calibrate.
func Joint(learner, second float64) float64 { return (learner + second) / 2 }

// Alone has a Second learn from the data as beside a [Learner], and fits the judgings
// for it alone. Of the configuration the seed, the share held out and the mix count.
func Alone(ctx context.Context, cfg Config, data Data, s Second) (*Result, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	cfg.Second = s
	sp, err := newSplit(data, cfg.Holdout, cfg.Seed)
	if err != nil {
		return nil, err
	}
	exam, err := prepare(ctx, cfg, sp, newSampler(sp.train, cfg))
	if err != nil {
		return nil, err
	}
	return conclude(cfg, sp, exam, nil)
}

// casesScenes is how many scenes a Second learns from.
const casesScenes = 800

// toLearn gives the cases of n scenes that the sampler might draw, each a second time
// without the clean runs.
func toLearn(ctx context.Context, s *sampler, n int, f func(Case) error) error {
	rng := generator(s.cfg.Seed, 3)
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		one := s.samples[rng.IntN(len(s.samples))]
		sc := s.cfg.Mix.show(rng, one, one.scene(rng, s.plants))
		if err := cases(rng, sc, perScene, f); err != nil {
			return err
		}
		if sc.Reference.Runs() == 0 {
			continue
		}
		blind := *sc
		blind.Reference = nil
		if err := cases(rng, &blind, perScene, f); err != nil {
			return err
		}
	}
	return nil
}

// cases gives the sites of a scene: all that leak, and up to n that do not.
func cases(rng *rand.Rand, sc *tokenize.Scene, n int, f func(Case) error) error {
	leaky, clean := outstanding(rng, sc)
	for _, site := range leaky {
		if err := f(Case{sc.View(site), true, 1}); err != nil {
			return err
		}
	}
	some := clean[:min(len(clean), n)]
	for _, site := range some {
		if err := f(Case{sc.View(site), false, float64(len(clean)) / float64(len(some))}); err != nil {
			return err
		}
	}
	return nil
}
