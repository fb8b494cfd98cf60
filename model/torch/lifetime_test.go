package torch

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"leakformer/model"
	"leakformer/train"
)

// shares are what the network gives to the classes at each position of a
// hand-made sequence: their logarithms, and any constant added, are its logits.
var shares = []float64{0.5, 0.25, 0.125, 0.125}

func logits(constants ...float32) []float32 {
	var out []float32
	for _, c := range constants {
		for _, p := range shares {
			out = append(out, c+float32(math.Log(p)))
		}
	}
	return out
}

// TestSurvivalLoss compares losses and their gradients with those reckoned by hand.
func TestSurvivalLoss(t *testing.T) {
	n := newNet(t, tiny, Options{Threads: 1})
	for _, test := range []struct {
		name     string
		class    int32
		open     bool
		loss     float64
		gradient []float64 // by the logits
	}{
		{"freed at once", 0, false, math.Log(2), []float64{-0.5, 0.25, 0.125, 0.125}},
		{"freed late", 2, false, math.Log(8), []float64{0.5, 0.25, -0.875, 0.125}},
		{"just born", 0, true, 0, []float64{0, 0, 0, 0}},
		{"outstanding", 1, true, math.Log(2), []float64{0.5, -0.25, -0.125, -0.125}},
		{"outstanding for long", 2, true, math.Log(4), []float64{0.5, 0.25, -0.375, -0.375}},
		{"outstanding to the last", 3, true, math.Log(8), []float64{0.5, 0.25, 0.125, -0.875}},
		{"no target", -1, false, 0, []float64{0, 0, 0, 0}},
	} {
		for _, constant := range []float32{0, 80} {
			p := &part{b: 1, l: 1, next: []int32{test.class}, open: []bool{test.open}}
			var loss float64
			var gradient []float32
			err := n.pool.run(1, true, func(s *scope, _ int) {
				leaf := s.trainable(from(s, logits(constant), 1, 4))
				sum := s.survivalLoss(leaf, p, 4)
				loss = s.number(sum)
				gradient = read[float32](s, s.gradient(sum, leaf), 4)
			})
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(loss-test.loss) > 1e-5 {
				t.Errorf("%s: loss %v, want %v", test.name, loss, test.loss)
			}
			for k, g := range gradient {
				if math.Abs(float64(g)-test.gradient[k]) > 1e-5 {
					t.Errorf("%s: gradient %v, want %v", test.name, gradient, test.gradient)
					break
				}
			}
		}
	}
}

// TestDivergence does so for distributions of a whole site.
func TestDivergence(t *testing.T) {
	n := newNet(t, tiny, Options{Threads: 1})
	for _, test := range []struct {
		name   string
		target []float32
		loss   float64
	}{
		{"the same", []float32{0.5, 0.25, 0.125, 0.125}, 0},
		{"one lifetime", []float32{0, 0, 1, 0}, math.Log(8)},
		{"two lifetimes", []float32{0.5, 0, 0.5, 0}, 0.5 * math.Log(4)},
		{"even", []float32{0.25, 0.25, 0.25, 0.25}, 0.25 * math.Log(2)},
		{"none", []float32{0, 0, 0, 0}, 0},
	} {
		var loss float64
		err := n.pool.run(1, true, func(s *scope, _ int) {
			loss = s.number(s.divergence(from(s, logits(3), 1, 4), from(s, test.target, 1, 4)))
		})
		if err != nil || math.Abs(loss-test.loss) > 1e-5 {
			t.Errorf("%s: divergence %v (%v), want %v", test.name, loss, err, test.loss)
		}
	}
}

// lifetimed adds open lifetimes and distributions of sites to a batch.
func lifetimed(random *rand.Rand, c model.Config, b *train.Batch) *train.Batch {
	for i := range b.Open {
		b.Open[i] = random.IntN(2) == 0
	}
	b.Lifetimes = make([]float32, b.B*c.NextClasses)
	for i := 1; i < b.B; i++ { // the first sequence has none
		row := b.Lifetimes[i*c.NextClasses:][:c.NextClasses]
		sum := float32(0)
		for k := range row[1:] {
			row[k] = random.Float32()
			sum += row[k]
		}
		for k := range row {
			row[k] /= sum
		}
	}
	return b
}

// The loss of a batch is the same whatever its parts, and the sum of its
// objectives', each as often as it weighs.
func TestWeights(t *testing.T) {
	loss := func(b *train.Batch, positions int) float64 {
		t.Helper()
		n := newNet(t, tiny, Options{Seed: 1, Threads: 2})
		n.part = positions
		return step(t, n, b, 0)
	}
	for name, batch := range map[string]*train.Batch{
		"labelled":   lifetimed(random(1), tiny, labelled(random(1), tiny, 9, 12)),
		"next event": lifetimed(random(2), tiny, following(random(2), tiny, 9, 12)),
	} {
		whole := loss(batch, 1<<20)
		if parts := loss(batch, 20); math.Abs(parts-whole) > 1e-5 {
			t.Errorf("%s: loss %v in parts, %v as a whole", name, parts, whole)
		}
		sum := 0.0
		for _, w := range []train.Objectives{{Leaks: 0.5}, {Survival: 2}, {Lifetimes: 3}} {
			batch.Weights = w
			l := loss(batch, 1<<20)
			sum += l / max(w.Leaks, w.Survival, w.Lifetimes)
			if other := map[string]bool{"labelled": w.Survival > 0, "next event": w.Leaks > 0}[name]; other != (l == 0) {
				t.Errorf("%s, weights %+v: loss %v", name, w, l)
			}
		}
		if math.Abs(sum-whole) > 1e-5 {
			t.Errorf("%s: the objectives add up to %v, want %v", name, sum, whole)
		}
	}
}

// A site's blocks are freed early, late, or never, and half of them are seen only
// until some moment before.
type observed struct {
	class int32
	open  bool
}

func observe(random *rand.Rand) observed {
	life := []int32{0, 0, 0, 2, 2, 2, 2, 2, 4, 4}[random.IntN(10)]
	if age := []int32{1, 1, 1, 3, 3}[random.IntN(5)]; life > age {
		return observed{age, true}
	}
	return observed{life, false}
}

// kaplanMeier is the share of blocks that live to the start of each class.
func kaplanMeier(blocks []observed, classes int) []float64 {
	alive, out := 1.0, make([]float64, classes)
	for k := range out {
		out[k] = alive
		risk, died := 0.0, 0.0
		for _, b := range blocks {
			if b.class >= int32(k) {
				risk++
			}
			if b.class == int32(k) && !b.open {
				died++
			}
		}
		if risk > 0 {
			alive *= 1 - died/risk
		}
	}
	return out
}

// TestSurvivalCurve trains on such blocks: the likelihood of censored times leads to
// the curve that Kaplan and Meier estimate, a class for "not freed yet" does not.
func TestSurvivalCurve(t *testing.T) {
	const sequences, length = 32, 12
	r := random(1)
	batch := &train.Batch{B: sequences, L: length, F: tiny.Fields, Causal: true, Lengths: slices.Repeat([]int32{length}, sequences),
		Tokens:  slices.Repeat([]int32{1, 2, 3}, sequences*length),
		Weights: train.Objectives{Leaks: 1, Survival: 1}}
	var blocks []observed
	for range sequences * length {
		o := observe(r)
		blocks = append(blocks, o)
		batch.Next, batch.Open = append(batch.Next, o.class), append(batch.Open, o.open)
	}
	want := kaplanMeier(blocks, 4)
	distance := func() float64 {
		n := newNet(t, tiny, Options{Threads: 1})
		for range 300 {
			step(t, n, batch, 0.01)
		}
		got, worst := survival(t, n, batch), 0.0
		for k := range want {
			worst = max(worst, math.Abs(got[k]-want[k]))
		}
		return worst
	}
	censored := distance()
	for i, b := range blocks {
		if b.open {
			batch.Next[i], batch.Open[i] = int32(tiny.NextClasses-1), false
		}
	}
	if classed := distance(); censored > 0.04 || classed < 0.2 {
		t.Errorf("the curve is off by %.3f with censored times, by %.3f with a class of their own", censored, classed)
	}
}

// survival is the network's share of next blocks that live to the start of each
// class, the mean over the positions.
func survival(t *testing.T, n *Net, b *train.Batch) []float64 {
	t.Helper()
	p := n.cut(b)[0]
	out := make([]float64, n.config.NextClasses)
	err := n.pool.one(func(s *scope) {
		w := n.layout.views(s, n.flat)
		x := s.linear(encode(s, n.config, w, p, nil), w["next.weight"], w["next.bias"])
		values := read[float32](s, s.softmax(x), p.b*p.l*len(out))
		for i, v := range values {
			for k := range i%len(out) + 1 {
				out[k] += float64(v) / float64(p.b*p.l)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
