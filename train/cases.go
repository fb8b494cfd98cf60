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
	// Kind of log that it is to be learned for. Those for logs of events are drawn like
	// what a [Learner] sees: some of them are shown otherwise.
	Kind tokenize.Kind
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

// BothJudge reports whether a [Learner] has a say beside a [Second] about a kind
// of log: about those of events alone. Of snapshots and reports, which show a site in a
// few numbers, the second's verdicts are better than those of both.
func BothJudge(kind tokenize.Kind) bool { return kind == tokenize.KindEvents }

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

// toLearn gives the cases of n scenes that the sampler might draw, and of the same ones
// as each other kind of log would show them, each a second time without the clean runs.
func toLearn(ctx context.Context, s *sampler, n int, f func(Case) error) error {
	rng := generator(s.cfg.Seed, 3)
	guises := newGuises(s.cfg.Seed)
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		one := s.samples[rng.IntN(len(s.samples))]
		sc := one.scene(rng, s.plants)
		if err := casesBoth(rng, tokenize.KindEvents, s.cfg.Mix.show(rng, one, sc), f); err != nil {
			return err
		}
		for _, g := range guises {
			if err := casesBoth(g.rng, g.kind, g.as(g.rng, sc), f); err != nil {
				return err
			}
		}
	}
	return nil
}

// casesBoth gives the cases of a scene, and those without the clean runs.
func casesBoth(rng *rand.Rand, kind tokenize.Kind, sc *tokenize.Scene, f func(Case) error) error {
	of := func(c Case) error {
		c.Kind = kind
		return f(c)
	}
	if err := cases(rng, sc, perScene, of); err != nil || sc.Reference.Runs() == 0 {
		return err
	}
	blind := *sc
	blind.Reference = nil
	return cases(rng, &blind, perScene, of)
}

// cases gives the sites of a scene: all that leak, and up to n that do not.
func cases(rng *rand.Rand, sc *tokenize.Scene, n int, f func(Case) error) error {
	leaky, clean := outstanding(rng, sc)
	for _, site := range leaky {
		if err := f(Case{View: sc.View(site), Leak: true, Weight: 1}); err != nil {
			return err
		}
	}
	some := clean[:min(len(clean), n)]
	for _, site := range some {
		if err := f(Case{View: sc.View(site), Weight: float64(len(clean)) / float64(len(some))}); err != nil {
			return err
		}
	}
	return nil
}
