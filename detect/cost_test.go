package detect_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"leakformer/detect"
	"leakformer/detect/detecttest"
)

// The threshold that a cost allows, and what is to be expected at it.
func TestCost(t *testing.T) {
	probabilities := []float64{0.3, 0.9, 0.8, 1, 0.04, 0.8, 0.05}
	for _, c := range []struct {
		cost      detect.Cost
		threshold float64
		leaks     int
		wrong     float64
	}{
		{detect.Cost{Precision: 1}, 1, 1, 0},
		{detect.Cost{Precision: 0.96}, 1, 1, 0},
		{detect.Cost{Precision: 0.95}, 0.9, 2, 0.1},
		{detect.Cost{Precision: 0.9}, 0.9, 2, 0.1},    // one 0.8 more would do, but not both
		{detect.Cost{Precision: 0.875}, 0.8, 4, 0.5},  // just so
		{detect.Cost{Precision: 0.77}, 0.8, 4, 0.5},   // the fifth makes it 0.76
		{detect.Cost{Precision: 0.76}, 0.3, 5, 1.2},   // just so
		{detect.Cost{Precision: 0.01}, 0.05, 6, 2.15}, // all that are worth it
		{detect.Cost{FalseAlarms: 0.09}, 1, 1, 0},
		{detect.Cost{FalseAlarms: 0.1}, 0.9, 2, 0.1},
		{detect.Cost{FalseAlarms: 0.4}, 0.9, 2, 0.1},
		{detect.Cost{FalseAlarms: 1}, 0.8, 4, 0.5},
		{detect.Cost{FalseAlarms: 1.2}, 0.3, 5, 1.2},
		{detect.Cost{FalseAlarms: 7}, 0.05, 6, 2.15},
		{detect.Cost{Precision: 0.87, FalseAlarms: 0.3}, 0.9, 2, 0.1},
	} {
		l := detecttest.NewLog("x", "x")
		s := &detecttest.Scorer{Sites: map[string]float64{}}
		for i, p := range probabilities {
			site := fmt.Sprint("s", i)
			l.Alloc(site, 10)
			s.Sites[site] = p
		}
		got := run(t, &detect.Detector{Scorer: s, Threshold: 0.5, Cost: c.cost}, l.Scene(t))
		sum := got.summary
		if sum.Threshold != c.threshold || sum.Leaks != c.leaks || len(got.findings) != c.leaks || math.Abs(sum.FalseAlarms-c.wrong) > 1e-9 {
			t.Errorf("%+v: threshold %v, %d leaks, %d findings, %v expected to be none; want %v, %d, %v",
				c.cost, sum.Threshold, sum.Leaks, len(got.findings), sum.FalseAlarms, c.threshold, c.leaks, c.wrong)
		}
		all := run(t, &detect.Detector{Scorer: s, Cost: c.cost, All: true}, l.Scene(t)).findings
		leaks := slices.DeleteFunc(slices.Clone(all), func(f *detect.Finding) bool { return !f.Leak })
		if len(all) != len(probabilities) || len(leaks) != c.leaks || sum.Leaked.Blocks != int64(c.leaks) {
			t.Errorf("%+v: of all %d sites %d leak, with %v", c.cost, len(all), len(leaks), sum.Leaked)
		}
	}
}

// Where no site is likely enough, none is called a leak.
func TestCostOfNothing(t *testing.T) {
	l := detecttest.NewLog("x", "x")
	for i := range 3 {
		l.Alloc(fmt.Sprint("s", i), 10)
	}
	s := &detecttest.Scorer{Sites: map[string]float64{"s0": 0.5, "s1": 0.5}}
	for _, c := range []detect.Cost{{Precision: 0.6}, {FalseAlarms: 0.9}} {
		if sum := run(t, &detect.Detector{Scorer: s, Cost: c}, l.Scene(t)).summary; sum.Leaks != 0 || sum.Threshold != 1 || sum.FalseAlarms != 0 {
			t.Errorf("%+v: %d leaks at %v", c, sum.Leaks, sum.Threshold)
		}
	}
	for _, c := range []detect.Cost{{Precision: 1.1}, {Precision: -1}, {Precision: math.NaN()}, {FalseAlarms: -1}, {FalseAlarms: math.NaN()}} {
		_, err := (&detect.Detector{Scorer: s, Cost: c}).Detect(context.Background(), l.Scene(t), &collect{})
		if err == nil || !strings.Contains(err.Error(), "want a") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
