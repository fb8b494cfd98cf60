package model

import (
	"context"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"leakformer/detect/detecttest"
	"leakformer/tokenize"
)

// xor are points of a square, not too near its axes: two of its quarters, across
// from each other, leak.
func xor(n int, seed uint64) []TreeExample {
	rng := rand.New(rand.NewPCG(seed, 0))
	out := make([]TreeExample, n)
	for i := range out {
		x, y := 0.05+rng.Float64(), 0.05+rng.Float64()
		if rng.IntN(2) == 0 {
			x = -x
		}
		if rng.IntN(2) == 0 {
			y = -y
		}
		out[i] = TreeExample{Features: []float64{rng.Float64(), x, y}, Leak: x*y > 0, Weight: 1}
	}
	return out
}

func fit(t testing.TB, examples []TreeExample, cfg TreesConfig) *Forest {
	t.Helper()
	trees, err := FitForest(context.Background(), examples, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return trees
}

// Trees learn what no single feature tells.
func TestTreesXOR(t *testing.T) {
	examples := xor(2000, 1)
	trees := fit(t, examples, TreesConfig{Trees: 100, Depth: 4, Rate: 0.1, Pull: 1, MinLeaf: 0.5, Rows: 1, Columns: 1})
	for i, e := range examples {
		if trees.sum(e.Features) > 0 != e.Leak {
			t.Errorf("example %d, %v: logit %v, leak is %v", i, e.Features, trees.sum(e.Features), e.Leak)
		}
	}
	wrong := 0
	for _, e := range xor(1000, 2) {
		if trees.sum(e.Features) > 0 != e.Leak {
			wrong++
		}
	}
	if wrong > 20 {
		t.Errorf("%d of 1000 other examples are wrong", wrong)
	}
	if stumps := fit(t, examples, TreesConfig{Depth: 1, Trees: 20}); math.Abs(stumps.sum([]float64{0, 0.5, 0.5})) > 1 {
		t.Error("sums of single features cannot tell XOR, but seem to")
	}
}

func TestTreesRepeat(t *testing.T) {
	a, b := fit(t, xor(300, 1), TreesConfig{Trees: 10}), fit(t, xor(300, 1), TreesConfig{Trees: 10})
	if !reflect.DeepEqual(a, b) {
		t.Error("the same examples give other trees")
	}
	if c := fit(t, xor(300, 1), TreesConfig{Trees: 10, Seed: 1}); reflect.DeepEqual(a, c) {
		t.Error("another seed gives the same trees")
	}
}

// A first tree's leaves are what the formula says: one split, by hand.
func TestTreesByHand(t *testing.T) {
	var examples []TreeExample
	for i := range 8 {
		examples = append(examples, TreeExample{[]float64{float64(i)}, i >= 4, 1})
	}
	trees := fit(t, examples, TreesConfig{Trees: 1, Depth: 1, Rate: 1, Pull: 1, MinLeaf: 0.1, Rows: 1, Columns: 1})
	// Even odds: the prior is 0; each half has first derivatives ∓4·½, second 4·¼.
	for x, want := range map[float64]float64{0: -1, 3.5: -1, 3.6: 1, 100: 1} {
		if got := trees.sum([]float64{x}); math.Abs(got-want) > 1e-12 {
			t.Errorf("logit at %v: %v, want %v", x, got, want)
		}
	}
	// A site of weight 3 is as good as three of them.
	weighted := []TreeExample{{[]float64{0}, false, 3}, {[]float64{1}, true, 1}}
	listed := []TreeExample{{[]float64{0}, false, 1}, {[]float64{0}, false, 1}, {[]float64{0}, false, 1}, {[]float64{1}, true, 1}}
	cfg := TreesConfig{Trees: 3, MinLeaf: 0.01, Rows: 1, Columns: 1}
	for _, x := range []float64{0, 1} {
		a, b := fit(t, weighted, cfg).sum([]float64{x}), fit(t, listed, cfg).sum([]float64{x})
		if math.Abs(a-b) > 1e-9 {
			t.Errorf("weight: %v, listed: %v", a, b)
		}
	}
}

func TestTreesErrors(t *testing.T) {
	ok := xor(4, 1)
	nan := append(xor(4, 1), TreeExample{[]float64{0, math.NaN(), 0}, true, 1})
	for name, c := range map[string]struct {
		examples []TreeExample
		cfg      TreesConfig
	}{
		"none":     {},
		"no leak":  {examples: []TreeExample{{[]float64{1}, false, 1}}},
		"all leak": {examples: []TreeExample{{[]float64{1}, true, 1}}},
		"NaN":      {examples: nan},
		"ragged":   {examples: append(xor(4, 1), TreeExample{[]float64{0}, true, 1})},
		"weight":   {examples: append(xor(4, 1), TreeExample{[]float64{0, 0, 0}, true, 0})},
		"depth":    {ok, TreesConfig{Depth: -1}},
		"rate":     {ok, TreesConfig{Rate: math.NaN()}},
		"rows":     {ok, TreesConfig{Rows: 1.5}},
		"columns":  {ok, TreesConfig{Columns: -0.1}},
	} {
		if trees, err := FitForest(context.Background(), c.examples, c.cfg); err == nil {
			t.Errorf("%s: no error, but %+v", name, trees)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := FitForest(ctx, xor(50, 1), TreesConfig{}); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

// feature is the value of a feature of the site whose innermost function is s.
func feature(t *testing.T, scene *tokenize.Scene, name string) float64 {
	t.Helper()
	at := -1
	names := FeatureNames(scene.Kind())
	for i, n := range names {
		if n == name {
			at = i
		}
	}
	if at < 0 {
		t.Fatalf("no feature is called %q", name)
	}
	value := math.NaN()
	var features Features
	scene.Views(func(v *tokenize.View) bool {
		x := features.Of(v)
		if len(x) != len(names) {
			t.Fatalf("%d features, %d names", len(x), len(names))
		}
		for i, f := range x {
			if math.IsNaN(f) || math.IsInf(f, 0) {
				t.Errorf("feature %q is %v", names[i], f)
			}
		}
		if scene.Run.Sites[v.Site].Frames[0].Function == "s" {
			value = x[at]
		}
		return true
	})
	return value
}

func TestFeatures(t *testing.T) {
	l := detecttest.NewLog("run", "app")
	kept := l.Alloc("s<main", 8) // event 0
	a := l.Alloc("s<main", 8)    // 1
	l.Alloc("s<main", 24)        // 2
	l.Free(a)                    // 3: lived for 2
	for range 6 {                // 4 to 15
		l.Free(l.Alloc("other<main", 8))
	}
	_ = kept
	clean := detecttest.NewLog("clean", "app")
	b := clean.Alloc("s<main", 8)
	clean.Alloc("other<main", 8)
	clean.Free(b)
	for range 10 {
		clean.Free(clean.Alloc("other<main", 8))
	}
	with, without := l.Scene(t, clean), l.Scene(t)
	for _, c := range []struct {
		scene *tokenize.Scene
		name  string
		want  float64
	}{
		{without, "allocated", 2}, // log2(3+1)
		{without, "outstanding", math.Log2(3)},
		{without, "outstanding bytes", math.Log2(33)},
		{without, "share freed", 1. / 3},
		{without, "outstanding, share of the most ever", 2. / 3},
		{without, "oldest age, share of the run", 1},
		{without, "newest age", math.Log2(15)}, // born at 2 of 16
		{without, "longest life of a freed block", math.Log2(3)},
		{without, "oldest age to longest life, ratio", math.Log2(17. / 3)},
		{without, "share older than the longest life", 1},
		{without, "last free, share of the run", 3. / 16},
		{without, "last birth, share of the run", 2. / 16},
		{without, "outstanding at half, share", 1},
		{without, "fallback from the peak, share", 1. / 3},
		{without, "ages of twenty", 2},
		{without, "mean size", math.Log2(17)},
		{without, "share whose size was freed before", 0.5},
		{without, "share freed of those younger than the oldest", 0.5},
		{without, "outstanding, share of all events", 2. / 16},
		{without, "frames", 2},
		{without, "match with clean runs", 0},
		{without, "outstanding to most in clean runs, ratio", unknown},
		{with, "match with clean runs", float64(tokenize.Exactly)},
		{with, "clean runs", 1},
		{with, "outstanding to most in clean runs, ratio", math.Log2(3. / 2)},
		{with, "outstanding to most left in clean runs, ratio", math.Log2(3)},
		{with, "oldest to oldest in clean runs, ratio", math.Log2(17. / 3)},
		{with, "old blocks to those in clean runs, ratio", math.Log2(2)}, // one is 16 old
		{with, "allocated to clean runs, ratio", 1},
		{with, "share freed in clean runs", 1},
		{with, "size outside that of clean runs", 1},
		{without, "outstanding, rank in the run", 0.5}, // the only one
	} {
		if got := feature(t, c.scene, c.name); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	r := detecttest.NewReport("report", "app")
	r.Outstanding("s<main", 3, 24, 3)
	if got := feature(t, r.Scene(t), "loss as reported"); got != 3 {
		t.Errorf("loss as reported: %v", got)
	}
}

// What snapshots show of a site that grows by 100 bytes from look to look, but falls
// once, beside one that stays.
func TestFeaturesOfSeries(t *testing.T) {
	series := func(clean ...*detecttest.Log) *tokenize.Scene {
		l := detecttest.NewLog("run", "app")
		l.Alloc("other<main", 1000)
		var held []int64
		for i := range 8 { // looks behind each, and behind what is freed
			held = append(held, l.Alloc("s<main", 100))
			l.Free(l.Alloc("brief<main", 8))
			if i == 3 {
				l.Free(held[0])
				l.Free(held[1])
			}
		}
		events := l.Scene(t, clean...)
		looks := tokenize.Looks{}
		for i := range uint32(8) {
			at := 1 + 3*(i+1)
			if i >= 3 {
				at += 2
			}
			looks.At = append(looks.At, at)
		}
		run, _ := events.AsSeries(looks)
		return &tokenize.Scene{Run: run, Cut: run.Events, Reference: events.Reference}
	}
	clean := detecttest.NewLog("clean", "app")
	clean.Alloc("s<main", 250)
	clean.Alloc("other<main", 1000)
	alone, beside := series(), series(clean)
	// 100 200 300 200 300 400 500 600
	for _, c := range []struct {
		scene *tokenize.Scene
		name  string
		want  float64
	}{
		{alone, "snapshots", math.Log2(9)},
		{alone, "snapshots that show it, share", 1},
		{alone, "first snapshot that shows it, share", 0},
		{alone, "steps that rose, share", 6. / 7},
		{alone, "steps that fell, share", 1. / 7},
		{alone, "steps since the last fall, share", 4. / 8},
		{alone, "bytes to the first, ratio", math.Log2(601. / 101)},
		{alone, "bytes to half, ratio", math.Log2(601. / 301)},
		{alone, "blocks to half, ratio", math.Log2(7. / 4)},
		{alone, "bytes, share of the most ever", 1},
		{alone, "deepest fall, share", 1. / 3},
		{alone, "least growth in the last three steps, ratio", math.Log2(601. / 501)},
		{alone, "bytes, share of the whole", 600. / 1600},
		{alone, "growth, share of the whole's", 1},
		{alone, "whole to the first, ratio", math.Log2(1601. / 1101)},
		{alone, "bytes to most in clean runs, ratio", unknown},
		{beside, "bytes to most in clean runs, ratio", math.Log2(601. / 251)},
		{beside, "bytes at half to most in clean runs, ratio", math.Log2(301. / 251)},
		{beside, "snapshots with more than in clean runs, share", 5. / 8},
	} {
		if got := feature(t, c.scene, c.name); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if names, all := FeatureNames(tokenize.KindEvents), FeatureNames(tokenize.KindSeries); !slices.Equal(all[:len(names)], names) || len(all) == len(names) {
		t.Errorf("%d features of events do not begin the %d of snapshots", len(names), len(all))
	}
}

func TestRank(t *testing.T) {
	sorted := []float32{1, 2, 2, 3}
	for value, want := range map[float32]float64{1: 0.125, 2: 0.5, 3: 0.875} {
		if got := rank(sorted, value); got != want {
			t.Errorf("rank of %v: %v, want %v", value, got, want)
		}
	}
}

// Features of one scene are not taken for those of the next.
func TestFeaturesFollowTheScene(t *testing.T) {
	var f Features
	outstanding := func(blocks int) float64 {
		l := detecttest.NewLog("run", "app")
		for range blocks {
			l.Alloc("s<main", 8)
		}
		return f.Of(l.Scene(t).View(0))[1]
	}
	for _, n := range []int{1, 3, 7} {
		if got, want := outstanding(n), math.Log2(float64(n+1)); math.Abs(got-want) > 1e-6 {
			t.Errorf("%d outstanding: %v, want %v", n, got, want)
		}
	}
	l, clean := detecttest.NewLog("run", "app"), detecttest.NewLog("clean", "app")
	l.Alloc("s<main", 8)
	clean.Alloc("s<main", 8)
	with, without := l.Scene(t, clean).View(0), l.Scene(t).View(0)
	first, other := f.Of(with), f.Of(without)
	if slices.Equal(first, other) || !slices.Equal(f.Of(with), first) || !slices.Equal(f.Of(without), other) {
		t.Error("looked at in turn, two scenes are mixed up")
	}
}

// What happens after the cut does not show.
func TestFeaturesKnowNoFuture(t *testing.T) {
	features := func(future int) []float64 {
		l := detecttest.NewLog("run", "app")
		s := l.Alloc("s<main", 8)
		for range 50 {
			l.Free(l.Alloc("s<main", 8))
		}
		for range future {
			l.Alloc("s<main", 800)
			l.Alloc("s<main", 8)
		}
		l.Free(s)
		run := l.Run(t)
		return new(Features).Of((&tokenize.Scene{Run: run, Cut: 101}).View(0))
	}
	if a, b := features(0), features(30); !reflect.DeepEqual(a, b) {
		t.Errorf("features %v, and with another future %v", a, b)
	}
}
