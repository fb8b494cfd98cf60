package eval

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-12 || math.IsNaN(a) && math.IsNaN(b) }

func TestConfusion(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		c                      Confusion
		p, r, f1, acc, baseAcc float64
	}{
		{Confusion{TP: 6, FP: 2, FN: 3, TN: 89}, 0.75, 6. / 9, 12. / 17, 0.95, 0.91},
		{Confusion{TN: 5}, nan, nan, nan, 1, 1},
		{Confusion{FN: 2, TN: 2}, nan, 0, 0, 0.5, 0.5},
		{Confusion{FP: 2}, 0, nan, 0, 0, 1},
		{Confusion{}, nan, nan, nan, nan, nan},
	} {
		if !near(c.c.Precision(), c.p) || !near(c.c.Recall(), c.r) || !near(c.c.F1(), c.f1) || !near(c.c.Accuracy(), c.acc) || !near(c.c.BaseRate(), c.baseAcc) {
			t.Errorf("%+v: P %v R %v F1 %v accuracy %v base %v", c.c, c.c.Precision(), c.c.Recall(), c.c.F1(), c.c.Accuracy(), c.c.BaseRate())
		}
	}
}

// ap is averagePrecision of sites written as score and truth.
func ap(weight []int64, s ...scored) float64 {
	sortScores(s)
	return averagePrecision(s, weight)
}

func TestAveragePrecision(t *testing.T) {
	for _, c := range []struct {
		name  string
		sites []scored
		want  float64
	}{
		{"perfect", []scored{{score: 0.9, leak: true}, {score: 0.8, leak: true}, {score: 0.1}}, 1},
		{"backwards", []scored{{score: 0.1, leak: true}, {score: 0.5}, {score: 0.9}}, 1. / 3},
		// Ranks 1 and 3 leak: (1/1 + 2/3) / 2.
		{"mixed", []scored{{score: 0.9, leak: true}, {score: 0.8}, {score: 0.7, leak: true}}, (1 + 2./3) / 2},
		// Both flagged together: one point with precision 1/2.
		{"tied", []scored{{score: 0.5, leak: true}, {score: 0.5}}, 0.5},
		{"no leak", []scored{{score: 0.5}}, math.NaN()},
	} {
		if got := ap(nil, c.sites...); !near(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A weight is as good as repetition.
func TestAveragePrecisionWeights(t *testing.T) {
	a, b := scored{0.9, 0, false}, scored{0.8, 1, true}
	if got, want := ap([]int64{2, 3}, a, b), ap(nil, a, a, b, b, b); !near(got, want) {
		t.Errorf("weighted %v, repeated %v", got, want)
	}
	if got := ap([]int64{0, 1}, a, b); got != 1 {
		t.Errorf("without the first run: %v", got)
	}
}

// What is ranked below all leaks does not matter.
func TestUpToLastLeak(t *testing.T) {
	sites := []scored{{score: 0.9}, {score: 0.8, leak: true}, {score: 0.8}, {score: 0.7}, {score: 0.1}}
	short := upToLastLeak(sites)
	if len(short) != 3 || ap(nil, short...) != ap(nil, sites...) {
		t.Errorf("%d of %d sites are left", len(short), len(sites))
	}
	if n := len(upToLastLeak(sites[3:])); n != 0 {
		t.Errorf("%d sites are left of a ranking without leaks", n)
	}
}

// Scores that know nothing have the base rate as their average precision.
func TestAveragePrecisionOfChance(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	sites := make([]scored, 200000)
	for i := range sites {
		sites[i] = scored{score: rng.Float64(), leak: rng.IntN(50) == 0}
	}
	if got := ap(nil, sites...); math.Abs(got-0.02) > 0.002 {
		t.Errorf("average precision %v of random scores at a base rate of 0.02", got)
	}
}

func TestReliability(t *testing.T) {
	var sites []scored
	for i := range 100 {
		sites = append(sites, scored{score: 0.25, leak: i < 25}, scored{score: 1, leak: i < 90})
	}
	bins := reliability(sites)
	if b := bins[2]; b.Sites != 100 || !near(b.Mean, 0.25) || !near(b.Leaked, 0.25) {
		t.Errorf("bin of 0.25: %+v", b)
	}
	if b := bins[9]; b.Sites != 100 || !near(b.Mean, 1) || !near(b.Leaked, 0.9) {
		t.Errorf("bin of 1: %+v", b)
	}
	if got := calibrationError(bins); !near(got, 0.05) {
		t.Errorf("calibration error %v, want 0.05", got)
	}
}

// The interval of a mean of n coin throws is about 1/sqrt(n) to each side.
func TestBootstrap(t *testing.T) {
	const runs = 400
	mean := func(weight []int64) []float64 {
		sum := int64(0)
		for i, w := range weight {
			sum += w * int64(i%2)
		}
		return []float64{float64(sum) / runs, math.NaN()}
	}
	low, high := bootstrap(runs, 1000, 7, mean)
	if math.Abs(low[0]-0.45) > 0.01 || math.Abs(high[0]-0.55) > 0.01 {
		t.Errorf("interval %v to %v, want 0.45 to 0.55", low[0], high[0])
	}
	if !math.IsNaN(low[1]) || !math.IsNaN(high[1]) {
		t.Errorf("interval of nothing: %v to %v", low[1], high[1])
	}
	again, _ := bootstrap(runs, 1000, 7, mean)
	if again[0] != low[0] {
		t.Error("the same seed gives another interval")
	}
}

func TestRateJSON(t *testing.T) {
	got, err := json.Marshal([]Rate{{0.5, 0.25, 1}, alone(math.NaN())})
	if want := `[{"value":0.5,"low":0.25,"high":1},{"value":null,"low":null,"high":null}]`; err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}
