package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"leakformer/tokenize"
)

// Trees judges sites by their [Features] with a [Forest] for each kind of log, as a leak
// does not look in a report as it does in a log of events: beside a network, whose
// mistakes are others, and alone, as what a network has to be better than. It is a
// detect.Scorer that says nothing about single blocks.
type Trees struct {
	// Judgings are for trees that judge alone.
	Judgings Judgings

	forests  map[tokenize.Kind]*Forest
	features Features
	file     []byte // that they were read from, nil if they were grown
}

// FitTrees grows a forest on the examples of each kind of log. There have to be some of
// logs of events that leak, and some that do not; where another kind lacks either, the
// forest for events judges it.
func FitTrees(ctx context.Context, examples map[tokenize.Kind][]TreeExample, cfg TreesConfig) (*Trees, error) {
	var grown [len(kinds)]*Forest
	var errs [len(kinds)]error
	together(len(kinds), func(i int) {
		f, err := FitForest(ctx, examples[kinds[i]], cfg)
		switch {
		case err == nil:
			grown[i] = f
		case kinds[i] == tokenize.KindEvents || !errors.Is(err, errOneSided):
			errs[i] = fmt.Errorf("%s: %w", kinds[i], err)
		}
	})
	if err := cmp.Or(errs[:]...); err != nil {
		return nil, err
	}
	t := &Trees{forests: map[tokenize.Kind]*Forest{}}
	for i, f := range grown {
		if f != nil {
			t.forests[kinds[i]] = f
		}
	}
	return t, nil
}

// kinds of logs that have forests.
var kinds = [...]tokenize.Kind{tokenize.KindEvents, tokenize.KindSeries, tokenize.KindReport, tokenize.KindSuspects}

// Len is the number of trees for a kind of log.
func (t *Trees) Len(kind tokenize.Kind) int { return len(t.of(kind).trees) }

// Logit is the trees' answer for a site, before calibration. It is for one goroutine
// at a time.
func (t *Trees) Logit(v *tokenize.View) float64 {
	return t.of(v.Scene.Kind()).sum(t.features.Of(v))
}

// of is the forest for a kind of log.
func (t *Trees) of(kind tokenize.Kind) *Forest {
	return cmp.Or(t.forests[kind], t.forests[tokenize.KindEvents])
}

// Score implements detect.Scorer.
func (t *Trees) Score(_ context.Context, views []*tokenize.View) (sites []float64, blocks [][]float64, err error) {
	sites = make([]float64, len(views))
	for i, v := range views {
		sites[i] = t.Judgings.Of(v.Scene).Calibration.Probability(t.Logit(v))
	}
	return sites, nil, nil
}
