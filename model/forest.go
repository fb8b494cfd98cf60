package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Forest is gradient-boosted decision trees (Friedman 2001) of logistic loss.
type Forest struct {
	prior float64
	trees [][]treeNode
}

// treeNode is a leaf, with right 0, or sends a site to the next node if its feature is
// at most the limit, and else to the one on the right.
type treeNode struct {
	feature int
	limit   float64
	right   int
	value   float64
}

// TreesConfig says how trees are grown. The zero value works.
type TreesConfig struct {
	Trees int     // number of trees; 0: 400
	Depth int     // of each, in splits; 0: 5
	Rate  float64 // share of each tree's correction that is taken; 0: 0.05
	// Pull draws leaves towards 0, as if they held so much more second
	// derivative of the loss; 0: 30.
	Pull float64
	// MinLeaf is the least second derivative that a leaf holds, which is at most
	// a quarter of the weight of its sites; 0: 10.
	MinLeaf float64
	// Rows is the share of the sites that each tree is grown on (Friedman 2002), and
	// Columns the share of the features, both more than 0 and at most 1; 0: 0.3.
	Rows, Columns float64
	// Seed of what each tree is grown on.
	Seed uint64
}

func (c TreesConfig) withDefaults() TreesConfig {
	c.Trees, c.Depth, c.Rate = cmp.Or(c.Trees, 400), cmp.Or(c.Depth, 5), cmp.Or(c.Rate, 0.05)
	c.Pull, c.MinLeaf = cmp.Or(c.Pull, 30), cmp.Or(c.MinLeaf, 10)
	c.Rows, c.Columns = cmp.Or(c.Rows, 0.3), cmp.Or(c.Columns, 0.3)
	return c
}

func (c TreesConfig) validate() error {
	share := func(x float64) bool { return x > 0 && x <= 1 }
	if c.Trees < 0 || c.Depth < 0 || !(c.Rate > 0) || c.Pull < 0 || c.MinLeaf < 0 || !share(c.Rows) || !share(c.Columns) {
		return fmt.Errorf("%+v: nothing in a configuration of trees may be negative, and no share more than 1", c)
	}
	return nil
}

// TreeExample is one site to learn from.
type TreeExample struct {
	Features []float64 // any number of them, the same for all
	Leak     bool
	Weight   float64 // how many such sites it stands for, more than 0
}

// FitForest grows a forest on the examples. The same examples in the same order give
// the same one.
func FitForest(ctx context.Context, examples []TreeExample, cfg TreesConfig) (*Forest, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	leaks, all := 0.0, 0.0
	for i, e := range examples {
		if len(e.Features) != len(examples[0].Features) || !(e.Weight > 0) || slices.ContainsFunc(e.Features, math.IsNaN) {
			return nil, fmt.Errorf("example %d: want %d features that are numbers, and a weight of more than 0", i, len(examples[0].Features))
		}
		all += e.Weight
		if e.Leak {
			leaks += e.Weight
		}
	}
	if leaks == 0 || leaks == all {
		return nil, errOneSided
	}
	t := &Forest{prior: math.Log(leaks / (all - leaks))}
	g := newGrower(examples, cfg, t.prior)
	for range cfg.Trees {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t.trees = append(t.trees, g.grow())
	}
	return t, nil
}

var errOneSided = errors.New("trees need sites that leak and sites that do not to learn from")

// sum is the logit of what has the features.
func (t *Forest) sum(features []float64) float64 {
	z := t.prior
	for _, nodes := range t.trees {
		z += leaf(nodes, features)
	}
	return z
}

// leaf is the value of the leaf of a tree that a site falls into.
func leaf(nodes []treeNode, features []float64) float64 {
	i := 0
	for nodes[i].right > 0 {
		if features[nodes[i].feature] <= nodes[i].limit {
			i++
		} else {
			i = nodes[i].right
		}
	}
	return nodes[i].value
}

// treeBins is the largest number of intervals that a feature's values are put
// into: splits are looked for between these alone.
const treeBins = 64

// grower grows one tree after the other.
type grower struct {
	cfg      TreesConfig
	examples []TreeExample
	rng      *rand.Rand
	// limits are the upper ends of each feature's bins but the last; bins has
	// the bin by feature and example.
	limits [][]float64
	bins   [][]uint8
	// logits so far, and the loss's first and second derivatives there.
	logits, first, second []float64
	nodes                 []treeNode
	columns               []bool // those that the tree may split at
}

func newGrower(examples []TreeExample, cfg TreesConfig, prior float64) *grower {
	n := len(examples)
	g := &grower{cfg: cfg, examples: examples, rng: rand.New(rand.NewPCG(cfg.Seed, 0)), logits: make([]float64, n), first: make([]float64, n), second: make([]float64, n)}
	for i := range g.logits {
		g.logits[i] = prior
	}
	values := make([]float64, n)
	for f := range examples[0].Features {
		for i, e := range examples {
			values[i] = e.Features[f]
		}
		limits := binLimits(values)
		bins := make([]uint8, n)
		for i, e := range examples {
			b, _ := slices.BinarySearch(limits, e.Features[f])
			bins[i] = uint8(b)
		}
		g.limits, g.bins = append(g.limits, limits), append(g.bins, bins)
	}
	return g
}

// binLimits divides values into bins of about equal numbers, half-way between two
// of them. It sorts the values.
func binLimits(values []float64) []float64 {
	slices.Sort(values)
	least := 1 // values in a bin
	if len(slices.Compact(slices.Clone(values))) > treeBins {
		least = len(values)/treeBins + 1
	}
	var limits []float64
	last := 0 // where the bin began
	for i := 1; i < len(values); i++ {
		if values[i] > values[i-1] && i-last >= least {
			limits = append(limits, values[i-1]+(values[i]-values[i-1])/2)
			last = i
		}
	}
	return limits
}

// grow makes a tree that corrects those before it.
func (g *grower) grow() []treeNode {
	g.columns = make([]bool, len(g.bins))
	for f := range g.columns {
		g.columns[f] = g.rng.Float64() < g.cfg.Columns
	}
	var index []int32
	for i, e := range g.examples {
		if g.rng.Float64() >= g.cfg.Rows {
			continue
		}
		index = append(index, int32(i))
		p := 1 / (1 + math.Exp(-g.logits[i]))
		y := 0.0
		if e.Leak {
			y = 1
		}
		g.first[i], g.second[i] = e.Weight*(p-y), e.Weight*p*(1-p)
	}
	g.nodes = nil
	g.node(index, g.cfg.Depth)
	for i, e := range g.examples {
		g.logits[i] += leaf(g.nodes, e.Features)
	}
	return g.nodes
}

// sums of the loss's derivatives over some examples.
type sums struct{ first, second float64 }

func (s sums) less(o sums) sums { return sums{s.first - o.first, s.second - o.second} }

// gain is by how much the best value of a leaf lowers the loss, times two.
func (s sums) gain(pull float64) float64 { return s.first * s.first / (s.second + pull) }

// node appends the tree over the examples at index and returns its number.
func (g *grower) node(index []int32, depth int) int {
	var total sums
	for _, i := range index {
		total.first += g.first[i]
		total.second += g.second[i]
	}
	at := len(g.nodes)
	g.nodes = append(g.nodes, treeNode{})
	feature, bin := -1, 0
	if depth > 0 {
		feature, bin = g.split(index, total)
	}
	if feature < 0 {
		g.nodes[at].value = -g.cfg.Rate * total.first / (total.second + g.cfg.Pull)
		return at
	}
	var left, right []int32
	for _, i := range index {
		if int(g.bins[feature][i]) <= bin {
			left = append(left, i)
		} else {
			right = append(right, i)
		}
	}
	n := treeNode{feature: feature, limit: g.limits[feature][bin]}
	g.node(left, depth-1)
	n.right = g.node(right, depth-1)
	g.nodes[at] = n
	return at
}

// split finds the feature and its last bin on the left that lower the loss most;
// the feature is -1 where nothing does.
func (g *grower) split(index []int32, total sums) (feature, bin int) {
	feature = -1
	best := total.gain(g.cfg.Pull) + 1e-9
	for f, bins := range g.bins {
		if !g.columns[f] {
			continue
		}
		var histogram [treeBins]sums
		for _, i := range index {
			h := &histogram[bins[i]]
			h.first += g.first[i]
			h.second += g.second[i]
		}
		var left sums
		for b := range g.limits[f] {
			left.first += histogram[b].first
			left.second += histogram[b].second
			right := total.less(left)
			if left.second < g.cfg.MinLeaf || right.second < g.cfg.MinLeaf {
				continue
			}
			if gain := left.gain(g.cfg.Pull) + right.gain(g.cfg.Pull); gain > best {
				feature, bin, best = f, b, gain
			}
		}
	}
	return feature, bin
}
