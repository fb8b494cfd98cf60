package torch

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"leakformer/model"
	"leakformer/tokenize"
	"leakformer/train"
)

// scoreBatch is how many sites are scored together.
const scoreBatch = 256

// Scorer judges allocation sites with a trained network, and the trees beside it if
// the checkpoint has some.
type Scorer struct {
	net      func() (*Net, error) // waits until it is there
	asked    atomic.Bool          // the network, at least once
	manifest model.Manifest
	trees    *model.Trees
}

// NewScorer makes a scorer of a checkpoint; Close it after use. Loading libtorch
// goes on in the background, while the caller reads what is to be scored: when it
// fails, scoring does.
func NewScorer(c *model.Checkpoint, o Options) (*Scorer, error) {
	n, err := prepare(c.Manifest.Architecture, o)
	if err != nil {
		return nil, err
	}
	f, err := readFile(bytes.NewReader(c.Weights), n.config)
	if err != nil {
		return nil, fmt.Errorf("the model's weights: %w", err)
	}
	net := sync.OnceValues(func() (*Net, error) { return n, n.start(f.weights) })
	go net()
	return &Scorer{net: net, manifest: c.Manifest, trees: c.Trees}, nil
}

// Close frees the network. Where nobody has asked it, loading libtorch may still go on:
// that is not waited for.
func (s *Scorer) Close() {
	free := func() {
		if net, err := s.net(); err == nil {
			net.Close()
		}
	}
	if s.asked.Load() {
		free()
	} else {
		go free()
	}
}

// predict is Net.Predict.
func (s *Scorer) predict(b *train.Batch) (site, block []float32, err error) {
	s.asked.Store(true)
	net, err := s.net()
	if err != nil {
		return nil, nil, err
	}
	return net.Predict(b)
}

// Score returns for each view the probability that its site leaks, and for each
// of its outstanding blocks, in the order of View.Live, that it is leaked; nil where
// the site alone is judged.
func (s *Scorer) Score(ctx context.Context, views []*tokenize.View) (sites []float64, blocks [][]float64, err error) {
	if len(views) > 0 && !s.asksNetwork(views[0]) {
		sites, blocks = s.byTrees(views)
		return sites, blocks, ctx.Err()
	}
	seqs := make([]*tokenize.Sequence, len(views))
	order := make([]int, len(views))
	for i, v := range views {
		seqs[i] = tokenize.Tokenize(v)
		order[i] = i
	}
	// Sequences of like length side by side need little padding.
	slices.SortStableFunc(order, func(a, b int) int { return seqs[a].Len() - seqs[b].Len() })
	sites, blocks = make([]float64, len(views)), make([][]float64, len(views))
	for chunk := range slices.Chunk(order, scoreBatch) {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		some := make([]*tokenize.Sequence, len(chunk))
		for i, j := range chunk {
			some[i] = seqs[j]
		}
		b := train.NewBatch(some)
		site, block, err := s.predict(b)
		if err != nil {
			return nil, nil, err
		}
		for i, j := range chunk {
			sites[j] = probability(s.odds(float64(site[i]), views[j]))
			shown := make([]float64, seqs[j].Len())
			for pos := range shown {
				shown[pos] = s.manifest.BlockCalibration.Probability(float64(block[i*b.L+pos]))
			}
			blocks[j] = seqs[j].Spread(shown)
			sites[j] = max(sites[j], lost(views[j], blocks[j]))
		}
	}
	return sites, blocks, nil
}

// byTrees is Score for logs of which the network is not asked.
func (s *Scorer) byTrees(views []*tokenize.View) (sites []float64, blocks [][]float64) {
	sites, blocks = make([]float64, len(views)), make([][]float64, len(views))
	for i, v := range views {
		sites[i] = probability(s.odds(0, v))
		if slices.ContainsFunc(v.Live, v.Scene.Lost) {
			blocks[i] = slices.Repeat(sites[i:i+1], len(v.Live))
			sites[i] = max(sites[i], lost(v, blocks[i]))
		}
	}
	return sites, blocks
}

// LogOdds returns for each sequence the log-odds that its site leaks: by the network,
// which sees the sequence, and the trees, which see the view. What the log itself calls
// lost is not looked at. It makes a Scorer one that can be explained.
func (s *Scorer) LogOdds(ctx context.Context, views []*tokenize.View, seqs []*tokenize.Sequence) ([]float64, error) {
	odds := make([]float64, 0, len(views))
	if len(views) > 0 && !s.asksNetwork(views[0]) {
		for _, v := range views {
			odds = append(odds, s.odds(0, v))
		}
		return odds, ctx.Err()
	}
	for chunk := range slices.Chunk(seqs, scoreBatch) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		site, _, err := s.predict(train.NewBatch(chunk))
		if err != nil {
			return nil, err
		}
		for _, z := range site {
			odds = append(odds, s.odds(float64(z), views[len(odds)]))
		}
	}
	return odds, nil
}

// asksNetwork reports whether the network has a say about logs like that of a view.
func (s *Scorer) asksNetwork(v *tokenize.View) bool {
	return s.trees == nil || train.BothJudge(v.Scene.Kind())
}

// odds are the log-odds that a site leaks, from the network's logit where that is asked.
func (s *Scorer) odds(network float64, v *tokenize.View) float64 {
	z := network
	if s.trees != nil {
		z = s.trees.Logit(v)
		if s.asksNetwork(v) {
			z = train.Joint(network, z)
		}
	}
	return s.manifest.Of(v.Scene).Calibration.LogOdds(z)
}

func probability(odds float64) float64 { return 1 / (1 + math.Exp(-odds)) }

// certain is the probability of what is a leak by definition.
const certain = 0.99

// lost raises the probabilities of blocks that the log itself calls lost, which is
// what a leak is, and returns the highest of these.
func lost(v *tokenize.View, blocks []float64) (highest float64) {
	for i, b := range v.Live {
		if v.Scene.Lost(b) {
			blocks[i] = max(blocks[i], certain)
			highest = certain
		}
	}
	return highest
}
