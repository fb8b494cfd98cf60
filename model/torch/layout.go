package torch

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"leakformer/model"
)

// All weights lie in one flat tensor, so that a step of the optimiser is a
// handful of operations, the gradient is one tensor to clip and to sum, and
// saving needs no list of tensors. A layout says what lies where.

// An entry is one named tensor in the flat one.
type entry struct {
	name  string
	shape []int64
	start int64 // in elements from the beginning
	// initial draws the entry's first values: standard deviation of a normal
	// distribution, or a constant where it is 0.
	deviation, constant float64
}

func (e entry) size() int64 {
	n := int64(1)
	for _, d := range e.shape {
		n *= d
	}
	return n
}

// A layout is the entries of an architecture, first those that weight decay
// applies to: matrices, but not embeddings, norms and biases.
type layout struct {
	entries []entry
	decayed int64 // elements that decay
	size    int64 // elements
}

// newLayout lays out the weights of a valid c with its defaults.
func newLayout(c model.Config) layout {
	d, ff := int64(c.Dim), int64(c.FeedForward)
	var matrices, rest []entry
	matrix := func(name string, rows, columns int64, shrink float64) {
		// Glorot's: keeps the variance on the way there and back.
		deviation := shrink * math.Sqrt(2/float64(rows+columns))
		matrices = append(matrices, entry{name: name + ".weight", shape: []int64{rows, columns}, deviation: deviation})
		rest = append(rest, entry{name: name + ".bias", shape: []int64{rows}})
	}
	norm := func(name string) {
		rest = append(rest,
			entry{name: name + ".weight", shape: []int64{d}, constant: 1},
			entry{name: name + ".bias", shape: []int64{d}})
	}
	// The sum of the ids of a position starts with about unit variance.
	rest = append(rest,
		entry{name: "token", shape: []int64{int64(c.Vocab), d}, deviation: 1 / math.Sqrt(float64(c.Fields))},
		entry{name: "position", shape: []int64{int64(c.MaxLen), d}, deviation: 0.1})
	// What the branches of the layers add to the sum does not grow with their number.
	shrink := 1 / math.Sqrt(2*float64(c.Layers))
	for i := range c.Layers {
		layer := fmt.Sprintf("layers.%d.", i)
		norm(layer + "norm1")
		matrix(layer+"attention.in", 3*d, d, 1)
		matrix(layer+"attention.out", d, d, shrink)
		norm(layer + "norm2")
		matrix(layer+"forward.in", ff, d, 1)
		matrix(layer+"forward.out", d, ff, shrink)
	}
	norm("norm")
	matrix("site", 1, d, 0.1) // an untrained network says "even chances"
	matrix("block", 1, d, 0.1)
	if c.NextClasses > 0 {
		matrix("next", int64(c.NextClasses), d, 0.1)
	}
	var l layout
	for _, e := range append(matrices, rest...) {
		e.start = l.size
		l.size += e.size()
		if len(l.entries) < len(matrices) {
			l.decayed = l.size
		}
		l.entries = append(l.entries, e)
	}
	return l
}

// initial draws the first weights. Each entry's depend on the seed and its name
// alone.
func (l layout) initial(seed uint64) []float32 {
	flat := make([]float32, l.size)
	for _, e := range l.entries {
		h := fnv.New64a()
		h.Write([]byte(e.name))
		random := rand.New(rand.NewPCG(seed, h.Sum64()))
		values := flat[e.start : e.start+e.size()]
		for i := range values {
			values[i] = float32(e.constant + e.deviation*random.NormFloat64())
		}
		if e.name == "token" {
			clear(values[:e.shape[1]]) // id 0 is "nothing"
		}
	}
	return flat
}

// weights are the entries of a layout as tensors of a scope.
type weights map[string]tensor

// views cuts the flat tensor into its entries.
func (l layout) views(s *scope, flat tensor) weights {
	sizes := make([]int64, len(l.entries))
	for i, e := range l.entries {
		sizes[i] = e.size()
	}
	pieces := s.split(flat, sizes)
	w := make(weights, len(pieces))
	for i, e := range l.entries {
		w[e.name] = pieces[i]
		if len(e.shape) > 1 {
			w[e.name] = s.view(pieces[i], e.shape...)
		}
	}
	return w
}
