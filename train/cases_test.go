package train

import (
	"context"
	"errors"
	"math"
	"testing"

	"leakformer/tokenize"
)

func TestCases(t *testing.T) {
	data := Data{Clean: servers(t, 4).Clean}
	draw := func(seed uint64) (cases []Case, held int) {
		err := Cases(context.Background(), data, CasesConfig{Seed: seed, Scenes: 5}, func(c Case) error {
			cases = append(cases, c)
			leaked := false
			for _, i := range c.View.Live {
				leaked = leaked || c.View.Scene.Leaked(i)
			}
			if leaked != c.Leak || len(c.View.Live) == 0 || c.Weight < 1 {
				t.Fatalf("case %+v: leaked is %v", c, leaked)
			}
			if c.Held {
				held++
			} else if held > 0 {
				t.Fatal("a case to learn from after one held out")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return cases, held
	}
	a, held := draw(1)
	runs := map[bool]map[string]bool{true: {}, false: {}}
	for _, c := range a {
		runs[c.Held][c.View.Scene.Run.Name] = true
	}
	for name := range runs[true] {
		if runs[false][name] {
			t.Errorf("%s is learned from and held out", name)
		}
	}
	if held == 0 || held == len(a) {
		t.Errorf("%d of %d cases held out", held, len(a))
	}
	same := func(b []Case) bool {
		for i := range min(len(a), len(b)) {
			if a[i].View.Site != b[i].View.Site || a[i].Leak != b[i].Leak || a[i].View.Scene.Cut != b[i].View.Scene.Cut {
				return false
			}
		}
		return len(a) == len(b)
	}
	if b, _ := draw(1); !same(b) {
		t.Error("one seed gives different cases")
	}
	if b, _ := draw(2); same(b) {
		t.Error("two seeds give the same cases")
	}
}

func TestCasesErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	data := Data{Clean: servers(t, 3).Clean}
	broken := errors.New("broken")
	if err := Cases(ctx, data, CasesConfig{}, func(Case) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want the callback's", err)
	}
	cancel()
	never := func(Case) error { t.Error("called"); return nil }
	if err := Cases(ctx, data, CasesConfig{}, never); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, c := range []struct {
		data Data
		cfg  CasesConfig
	}{{Data{}, CasesConfig{}}, {Data{Clean: []*tokenize.Run{}}, CasesConfig{}}, {data, CasesConfig{Scenes: -1}}, {data, CasesConfig{Holdout: math.NaN()}}} {
		if err := Cases(context.Background(), c.data, c.cfg, never); err == nil {
			t.Errorf("%+v: no error", c.cfg)
		}
	}
}

func TestCalibrateChooses(t *testing.T) {
	// Logits from 0 to 9, all from 6 on leak: the threshold lies between 5 and 6.
	var logits, weights []float64
	var leak []bool
	for i := range 10 {
		logits, weights, leak = append(logits, float64(i)), append(weights, 1), append(leak, i >= 6)
	}
	c, at := Calibrate(logits, leak, weights)
	if c.Probability(5) >= at || c.Probability(6) < at {
		t.Errorf("threshold %v is not between %v and %v", at, c.Probability(5), c.Probability(6))
	}
	if c.Probability(2) > 0.1 || c.Probability(9) < 0.9 {
		t.Errorf("probabilities %v and %v", c.Probability(2), c.Probability(9))
	}
}
