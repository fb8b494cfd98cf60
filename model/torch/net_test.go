package torch

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"leakformer/model"
	"leakformer/train"
)

// tiny is an architecture that exercises everything in little time.
var tiny = model.Config{Vocab: 20, Fields: 3, Dim: 8, Heads: 2, Layers: 2, FeedForward: 16, MaxLen: 12, NextClasses: 5}

func newNet(t testing.TB, c model.Config, o Options) *Net {
	t.Helper()
	n, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// labelled makes a batch of b sequences of up to l positions whose site leaks if
// its first id is odd and whose blocks leak if theirs is.
func labelled(random *rand.Rand, c model.Config, b, l int) *train.Batch {
	batch := &train.Batch{B: b, L: l, F: c.Fields, Weights: train.Objectives{Leaks: 1, Survival: 1, Lifetimes: 1},
		Tokens: make([]int32, b*l*c.Fields), Lengths: make([]int32, b),
		Site: make([]float32, b), SiteWeight: make([]float32, b),
		Block: make([]float32, b*l), BlockWeight: make([]float32, b*l)}
	for i := range b {
		batch.Lengths[i] = int32(1 + random.IntN(l))
		batch.SiteWeight[i] = 0.5 + random.Float32()
		for j := range int(batch.Lengths[i]) {
			ids := batch.Tokens[(i*l+j)*c.Fields:][:c.Fields]
			for f := range ids {
				ids[f] = int32(random.IntN(c.Vocab))
			}
			batch.Block[i*l+j] = float32(ids[0] % 2)
			batch.BlockWeight[i*l+j] = float32(random.IntN(2)) // half of them have no target
		}
		batch.Site[i] = float32(batch.Tokens[i*l*c.Fields] % 2)
	}
	return batch
}

// following makes a next-event batch: the class is a function of the position's
// first id.
func following(random *rand.Rand, c model.Config, b, l int) *train.Batch {
	batch := labelled(random, c, b, l)
	batch.Causal = true
	batch.Site, batch.SiteWeight, batch.Block, batch.BlockWeight = nil, nil, nil, nil
	batch.Next, batch.Open = make([]int32, b*l), make([]bool, b*l)
	for i := range batch.Next {
		batch.Next[i] = -1
		if i%l < int(batch.Lengths[i/l]) && random.IntN(4) > 0 {
			batch.Next[i] = batch.Tokens[i*c.Fields] % int32(c.NextClasses)
		}
	}
	batch.Next[0] = 0
	return batch
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func step(t testing.TB, n *Net, b *train.Batch, rate float64) float64 {
	t.Helper()
	loss, err := n.Step(b, rate)
	if err != nil {
		t.Fatal(err)
	}
	return loss
}

func predict(t testing.TB, n *Net, b *train.Batch) (site, block []float32) {
	t.Helper()
	site, block, err := n.Predict(b)
	if err != nil {
		t.Fatal(err)
	}
	return site, block
}

// flat returns the weights of n.
func (n *Net) weights(t testing.TB) []float32 {
	t.Helper()
	f, err := n.snapshot(false)
	if err != nil {
		t.Fatal(err)
	}
	return f.weights
}

// setWeights replaces the weights of n.
func (n *Net) setWeights(t testing.TB, values []float32) {
	t.Helper()
	if err := n.pool.one(func(s *scope) { s.copyTo(n.flat, from(s, values, n.layout.size)) }); err != nil {
		t.Fatal(err)
	}
}

// TestGradient compares the gradient with the slope of the loss along it, entry
// by entry of the layout.
func TestGradient(t *testing.T) {
	for name, batch := range map[string]*train.Batch{
		"labelled":   labelled(random(1), tiny, 9, 12),
		"next event": following(random(2), tiny, 9, 12),
		"lifetimes":  lifetimed(random(3), tiny, labelled(random(1), tiny, 9, 12)),
		"censored":   lifetimed(random(3), tiny, following(random(2), tiny, 9, 12)),
	} {
		t.Run(name, func(t *testing.T) {
			n := newNet(t, tiny, Options{Seed: 3, Threads: 2, BlockLoss: 0.7})
			n.part = 30 // several parts
			start := n.weights(t)
			// Away from the small weights of the start, where slopes drown in rounding.
			r := random(4)
			for i := range start {
				start[i] += 0.1 * float32(r.NormFloat64())
			}
			n.setWeights(t, start)
			loss := func(weights []float32) float64 {
				n.setWeights(t, weights)
				loss, g, err := n.gradient(batch)
				if err != nil {
					t.Fatal(err)
				}
				release(g)
				return loss
			}
			_, g, err := n.gradient(batch)
			if err != nil {
				t.Fatal(err)
			}
			defer release(g)
			var gradient []float32
			if err := n.pool.one(func(s *scope) { gradient = read[float32](s, g, len(start)) }); err != nil {
				t.Fatal(err)
			}
			var used int
			for _, e := range n.layout.entries {
				part := gradient[e.start : e.start+e.size()]
				var square float64
				for _, v := range part {
					square += float64(v) * float64(v)
				}
				length := math.Sqrt(square)
				if length < 1e-6 {
					continue // a head that this batch does not use
				}
				used++
				const h = 1e-2
				move := func(by float64) []float32 {
					moved := slices.Clone(start)
					for i, v := range part {
						moved[int(e.start)+i] += float32(by * float64(v) / length)
					}
					return moved
				}
				slope := (loss(move(h)) - loss(move(-h))) / (2 * h)
				if diff := math.Abs(slope - length); diff > 2e-4+0.01*length {
					t.Errorf("%s: gradient %.6f, slope %.6f", e.name, length, slope)
				}
			}
			// All but the heads of the other objective and, in both, a key's
			// bias does nothing but its entry is shared with queries and values.
			if want := len(n.layout.entries) - map[string]int{"labelled": 2, "next event": 4, "censored": 4}[name]; used != want {
				t.Errorf("%d entries have a gradient, want %d", used, want)
			}
		})
	}
}

// TestOverfit learns a batch by heart, with each optimiser and objective.
func TestOverfit(t *testing.T) {
	for _, test := range []struct {
		name      string
		optimiser Optimiser
		rate      float64
		batch     *train.Batch
	}{
		{"adamw labelled", AdamW, 0.01, labelled(random(1), tiny, 16, 8)},
		{"adamw next event", AdamW, 0.01, following(random(1), tiny, 16, 8)},
		{"sgd labelled", SGD, 0.1, labelled(random(1), tiny, 16, 8)},
		{"sgd next event", SGD, 0.1, following(random(1), tiny, 16, 8)},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNet(t, tiny, Options{Optimiser: test.optimiser, Clip: 1, Threads: 1})
			first := step(t, n, test.batch, test.rate)
			var last float64
			for range 200 {
				last = step(t, n, test.batch, test.rate)
			}
			if last > first/20 {
				t.Errorf("loss %.4f after 200 steps, %.4f at first", last, first)
			}
			if test.batch.Site == nil {
				return
			}
			site, block := predict(t, n, test.batch)
			for i, target := range test.batch.Site {
				if (site[i] > 0) != (target > 0.5) {
					t.Errorf("site %d: logit %.2f, target %g", i, site[i], target)
				}
			}
			for i, w := range test.batch.BlockWeight {
				if w > 0 && (block[i] > 0) != (test.batch.Block[i] > 0.5) {
					t.Errorf("block %d: logit %.2f, target %g", i, block[i], test.batch.Block[i])
				}
			}
		})
	}
}

// TestDeterminism trains twice, on one thread and on three, with dropout.
func TestDeterminism(t *testing.T) {
	c := tiny
	c.Dropout = 0.2
	c.MaxLen = 64
	run := func(threads int, seed uint64) []float32 {
		n := newNet(t, c, Options{Seed: seed, Threads: threads, WeightDecay: 0.1, Clip: 1})
		r := random(7)
		for range 3 {
			step(t, n, labelled(r, c, 150, 64), 0.01) // several parts
			step(t, n, following(r, c, 50, 64), 0.01)
		}
		return n.weights(t)
	}
	one := run(1, 1)
	if !slices.Equal(one, run(1, 1)) {
		t.Error("two runs differ")
	}
	if !slices.Equal(one, run(3, 1)) {
		t.Error("one thread and three differ")
	}
	if slices.Equal(one, run(1, 2)) {
		t.Error("another seed makes no difference")
	}
}

// TestDropoutInSteps learns nothing, twice: each step drops other values.
func TestDropoutInSteps(t *testing.T) {
	batch := labelled(random(1), tiny, 16, 12)
	for _, share := range []float64{0, 0.3} {
		c := tiny
		c.Dropout = share
		n := newNet(t, c, Options{Threads: 1})
		first, second := step(t, n, batch, 0), step(t, n, batch, 0)
		if (first != second) != (share > 0) {
			t.Errorf("dropping %g: loss %g and then %g", share, first, second)
		}
		a, _ := predict(t, n, batch)
		b, _ := predict(t, n, batch)
		if !slices.Equal(a, b) {
			t.Errorf("dropping %g: two predictions differ", share)
		}
	}
}

// TestPadding scores sequences alone, and in a batch padded far.
func TestPadding(t *testing.T) {
	n := newNet(t, tiny, Options{Seed: 1, Threads: 1})
	batch := labelled(random(5), tiny, 7, 12)
	for i := range batch.Tokens { // what is in the padding must not matter
		if position := i / batch.F; position%batch.L >= int(batch.Lengths[position/batch.L]) {
			batch.Tokens[i] = 9
		}
	}
	site, block := predict(t, n, batch)
	for i, length := range batch.Lengths {
		alone := &train.Batch{B: 1, L: int(length), F: batch.F, Lengths: []int32{length},
			Tokens: batch.Tokens[i*batch.L*batch.F:][:int(length)*batch.F]}
		s, b := predict(t, n, alone)
		if !near(s[0], site[i]) {
			t.Errorf("sequence %d: site %g alone, %g in the batch", i, s[0], site[i])
		}
		for j := range b {
			if !near(b[j], block[i*batch.L+j]) {
				t.Errorf("sequence %d: block %d is %g alone, %g in the batch", i, j, b[j], block[i*batch.L+j])
			}
		}
		for j := int(length); j < batch.L; j++ {
			if v := block[i*batch.L+j]; v != 0 {
				t.Errorf("sequence %d: block %d in the padding is %g", i, j, v)
			}
		}
	}
}

func near(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-5 }

// TestNothing changes the embedding of id 0, which must have no effect.
func TestNothing(t *testing.T) {
	n := newNet(t, tiny, Options{Seed: 1, Threads: 1})
	batch := labelled(random(5), tiny, 7, 12)
	before, _ := predict(t, n, batch)
	weights := n.weights(t)
	for _, e := range n.layout.entries {
		if e.name == "token" {
			for i := range weights[e.start:][:tiny.Dim] {
				weights[int(e.start)+i] = 5
			}
		}
	}
	n.setWeights(t, weights)
	if after, _ := predict(t, n, batch); !slices.Equal(before, after) {
		t.Errorf("logits with another embedding of nothing: %v, before %v", after, before)
	}
}

// TestCausal changes the last position, which must not change the loss of
// predictions before it.
func TestCausal(t *testing.T) {
	n := newNet(t, tiny, Options{Seed: 1, Threads: 1})
	batch := following(random(5), tiny, 1, 12)
	batch.Lengths[0] = 12
	for i := range batch.Next {
		batch.Next[i] = int32(i) % 5
	}
	loss := func() float64 {
		l, g, err := n.gradient(batch)
		if err != nil {
			t.Fatal(err)
		}
		release(g)
		return l
	}
	for changed := 11; changed > 0; changed-- {
		for i := changed; i < 12; i++ {
			batch.Next[i] = -1
		}
		before := loss()
		ids := batch.Tokens[changed*batch.F:][:batch.F]
		for i := range ids {
			ids[i] = (ids[i] + 7) % int32(tiny.Vocab)
		}
		if after := loss(); after != before {
			t.Errorf("changing position %d changes what comes before: loss %g, was %g", changed, after, before)
		}
		batch.Next[changed-1] = (batch.Next[changed-1] + 1) % 5
		if after := loss(); after == before {
			t.Errorf("changing the target of position %d changes nothing", changed-1)
		}
	}
}

// TestResume interrupts training by saving and loading.
func TestResume(t *testing.T) {
	c := tiny
	c.Dropout = 0.1
	for _, optimiser := range []Optimiser{AdamW, SGD} {
		t.Run(string(optimiser), func(t *testing.T) {
			o := Options{Seed: 5, Threads: 2, Optimiser: optimiser, WeightDecay: 0.01, Clip: 0.5}
			train := func(n *Net, from, to uint64) {
				for i := from; i < to; i++ {
					step(t, n, labelled(random(i), c, 8, 12), 0.01)
				}
			}
			through := newNet(t, c, o)
			train(through, 0, 10)

			first := newNet(t, c, o)
			train(first, 0, 5)
			var saved bytes.Buffer
			if err := first.Save(&saved); err != nil {
				t.Fatal(err)
			}
			o.Seed = 99 // the file's counts
			second := newNet(t, c, o)
			if err := second.Load(bytes.NewReader(saved.Bytes())); err != nil {
				t.Fatal(err)
			}
			if got := second.Steps(); got != 5 {
				t.Errorf("%d steps after loading, want 5", got)
			}
			train(second, 5, 10)
			if !slices.Equal(through.weights(t), second.weights(t)) {
				t.Error("training through and training resumed differ")
			}

			var again bytes.Buffer
			if err := newLoaded(t, c, o, saved.Bytes()).Save(&again); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(saved.Bytes(), again.Bytes()) {
				t.Error("loading and saving changes the file")
			}
		})
	}
}

func newLoaded(t *testing.T, c model.Config, o Options, file []byte) *Net {
	t.Helper()
	n := newNet(t, c, o)
	if err := n.Load(bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLoadWeights loads weights alone, with and without moments in the file.
func TestLoadWeights(t *testing.T) {
	n := newNet(t, tiny, Options{Seed: 1, Threads: 1})
	batch := labelled(random(1), tiny, 4, 6)
	step(t, n, batch, 0.01)
	want, _ := predict(t, n, batch)
	for _, save := range []func(*bytes.Buffer) error{
		func(b *bytes.Buffer) error { return n.Save(b) },
		func(b *bytes.Buffer) error { return n.SaveWeights(b) },
	} {
		var saved bytes.Buffer
		if err := save(&saved); err != nil {
			t.Fatal(err)
		}
		other := newNet(t, tiny, Options{Seed: 2, Threads: 1, Optimiser: SGD})
		before, _ := predict(t, other, batch)
		if err := other.Load(bytes.NewReader(saved.Bytes())); err == nil {
			t.Error("training resumed with another optimiser or none")
		}
		if after, _ := predict(t, other, batch); !slices.Equal(before, after) {
			t.Error("a failed Load changed the network")
		}
		if err := other.LoadWeights(&saved); err != nil {
			t.Fatal(err)
		}
		if got, _ := predict(t, other, batch); !slices.Equal(got, want) {
			t.Errorf("logits %v, want %v", got, want)
		}
		if got := other.Steps(); got != 0 {
			t.Errorf("%d steps, want 0", got)
		}
	}
}

// TestBadBatch gives Step and Predict what they must refuse, and checks that
// the weights are untouched.
func TestBadBatch(t *testing.T) {
	n := newNet(t, tiny, Options{Threads: 1})
	before := n.weights(t)
	for _, test := range []struct {
		name   string
		change func(*train.Batch)
		want   string
		step   bool // Predict does not look at it
	}{
		{"no sequences", func(b *train.Batch) { *b = train.Batch{} }, "0×0×0", false},
		{"huge", func(b *train.Batch) { b.B = 1 << 62 }, "token ids", false},
		{"too few ids", func(b *train.Batch) { b.Tokens = b.Tokens[1:] }, "token ids", false},
		{"negative id", func(b *train.Batch) { b.Tokens[5] = -1 }, "id -1 in position 1 of sequence 0", false},
		{"unknown id", func(b *train.Batch) { b.Tokens[0] = 20 }, "knows 0 to 19", false},
		{"length zero", func(b *train.Batch) { b.Lengths[2] = 0 }, "sequence 2", false},
		{"length too great", func(b *train.Batch) { b.Lengths[1] = 13 }, "sequence 1", false},
		{"other fields", func(b *train.Batch) { b.F, b.L = 12, 3; b.Lengths = []int32{1, 1, 1, 1} }, "targets", true},
		{"too long", func(b *train.Batch) { *b = *labelled(random(1), tiny, 30, 40) }, "at most", false},
		{"no targets", func(b *train.Batch) { b.Site, b.SiteWeight = nil, nil }, "must have", true},
		{"causal labels", func(b *train.Batch) { b.Causal = true }, "causal", true},
		{"negative weight", func(b *train.Batch) { b.SiteWeight[0] = -1 }, "weight -1", true},
		{"weight not a number", func(b *train.Batch) { b.BlockWeight[0] = float32(math.NaN()) }, "weight NaN", true},
		{"target beyond one", func(b *train.Batch) { b.Site[1] = 2 }, "target 2", true},
		{"no weight", func(b *train.Batch) { clear(b.SiteWeight); clear(b.BlockWeight) }, "any weight", true},
		{"target in the padding", func(b *train.Batch) { b.Lengths[0], b.BlockWeight[11] = 3, 1 }, "padding", true},
		{"sees the future", func(b *train.Batch) { *b = *following(random(1), tiny, 2, 12); b.Causal = false }, "causal", true},
		{"unknown class", func(b *train.Batch) { *b = *following(random(1), tiny, 2, 12); b.Next[0] = 5 }, "class 5", true},
		{"class in the padding", func(b *train.Batch) {
			*b = *following(random(1), tiny, 2, 12)
			b.Lengths[1], b.Next[23] = 3, 1
		}, "padding", true},
		{"no classes", func(b *train.Batch) {
			*b = *following(random(1), tiny, 1, 1)
			b.Next[0] = -1
		}, "without targets", true},
		{"no objective", func(b *train.Batch) { b.Weights = train.Objectives{} }, "no objective a weight", true},
		{"not said what is open", func(b *train.Batch) { *b = *following(random(1), tiny, 2, 12); b.Open = nil }, "open lifetimes", true},
		{"lifetimes of other classes", func(b *train.Batch) { b.Lifetimes = make([]float32, 4*4) }, "16 shares of lifetimes, want 5", true},
		{"negative lifetimes", func(b *train.Batch) { lifetimed(random(1), tiny, b).Lifetimes[7] = -1 }, "lifetimes of -1 in sequence 1", true},
		{"lifetimes that are no shares", func(b *train.Batch) { lifetimed(random(1), tiny, b).Lifetimes[9] = 1 }, "sequence 1 add up to 2", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			batch := labelled(random(1), tiny, 4, 12)
			test.change(batch)
			_, err := n.Step(batch, 0.01)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Step: error %v, want one that says %q", err, test.want)
			}
			if _, _, err := n.Predict(batch); !test.step && err == nil {
				t.Error("Predict: no error")
			}
		})
	}
	if _, err := n.Step(labelled(random(1), tiny, 4, 12), math.NaN()); err == nil {
		t.Error("learning rate NaN: no error")
	}
	if !slices.Equal(before, n.weights(t)) {
		t.Error("a refused batch changed the weights")
	}
}

// TestNotFinite makes the loss overflow: an error, and weights as they were.
func TestNotFinite(t *testing.T) {
	n := newNet(t, tiny, Options{Threads: 1})
	weights := n.weights(t)
	for i := range weights {
		weights[i] = 1e38
	}
	n.setWeights(t, weights)
	if _, err := n.Step(labelled(random(1), tiny, 4, 12), 0.01); err == nil || !strings.Contains(err.Error(), "learning rate") {
		t.Errorf("error %v, want one about the learning rate", err)
	}
	if !slices.Equal(weights, n.weights(t)) {
		t.Error("the weights changed")
	}
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"optimiser":    {Optimiser: "adam"},
		"device":       {Device: "tpu"},
		"threads":      {Threads: -1},
		"weight decay": {WeightDecay: math.NaN()},
		"clip":         {Clip: -1},
	} {
		if n, err := New(tiny, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: network %v and error %v, want an error about the %s", o, n, err, name)
		}
	}
	if _, err := New(model.Config{}, Options{}); err == nil {
		t.Error("no error without a vocabulary")
	}
}

// Without a CUDA device it is said that there is none; with one it computes what the
// processor does.
func TestCUDA(t *testing.T) {
	n, err := New(tiny, Options{Seed: 1, Device: "cuda"})
	if err != nil {
		if !strings.Contains(err.Error(), `device "cuda": this libtorch finds no CUDA device`) {
			t.Error(err)
		}
		return
	}
	t.Cleanup(n.Close)
	batch := labelled(random(1), tiny, 5, 12)
	there, _ := predict(t, n, batch)
	here, _ := predict(t, newNet(t, tiny, Options{Seed: 1}), batch)
	for i := range here {
		if math.Abs(float64(here[i]-there[i])) > 1e-4 {
			t.Errorf("sequence %d: %g, on the processor %g", i, there[i], here[i])
		}
	}
	if _, err := New(tiny, Options{Device: "cuda:1000"}); err == nil {
		t.Error("no error for a device that is not there")
	}
}

func TestClosed(t *testing.T) {
	n := newNet(t, tiny, Options{Threads: 1})
	n.Close()
	n.Close()
	batch := labelled(random(1), tiny, 2, 3)
	_, stepErr := n.Step(batch, 0.1)
	_, _, predictErr := n.Predict(batch)
	for _, err := range []error{stepErr, predictErr, n.Save(&bytes.Buffer{})} {
		if err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("error %v, want that it is closed", err)
		}
	}
}

// TestMemory makes 200 steps: memory must not grow with their number.
func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads the memory in use from /proc")
	}
	c := tiny
	c.Dropout = 0.1
	c.Vocab = 20_000 // a gradient of 640 kB
	n := newNet(t, c, Options{Threads: 2})
	n.part = 100
	a, b := labelled(random(1), c, 40, 12), following(random(2), c, 40, 12)
	both := func(times int) {
		for range times {
			step(t, n, a, 1e-3)
			step(t, n, b, 1e-3)
			predict(t, n, a)
		}
	}
	both(20) // fills the allocators' caches
	before := residentBytes(t)
	both(100)
	// One gradient or mask of each step left over would be 100 MiB.
	if grown := residentBytes(t) - before; grown > 16<<20 {
		t.Errorf("memory grew by %d MiB in 200 steps", grown>>20)
	}
}

func residentBytes(t *testing.T) int {
	runtime.GC()
	text, err := os.ReadFile(filepath.Join("/proc", "self", "statm"))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
