package train

import (
	"context"
	"errors"
	"math"
	"testing"

	"leakformer/tokenize"
)

// ageJudge is a Second that goes by the oldest block of a site, and remembers what it
// was shown.
type ageJudge struct {
	cases []Case
	err   error
}

func (a *ageJudge) Learn(_ context.Context, cases func(func(Case) error) error) error {
	return cases(func(c Case) error {
		a.cases = append(a.cases, c)
		return a.err
	})
}

func (a *ageJudge) Logit(v *tokenize.View) float64 {
	return math.Log2(float64(v.Scene.Cut-v.Scene.Run.Blocks.Born(v.Live[0]))) - 10 - float64(v.Match)
}

func TestCases(t *testing.T) {
	draw := func(seed uint64) []Case {
		data := servers(t, 4)
		sp, err := newSplit(data, 0.15, seed)
		if err != nil {
			t.Fatal(err)
		}
		var cases []Case
		err = toLearn(context.Background(), newSampler(sp.train, Config{Seed: seed, Mix: DefaultMix}), 20, func(c Case) error {
			cases = append(cases, c)
			leaked := false
			for _, i := range c.View.Live {
				leaked = leaked || c.View.Scene.Leaked(i)
			}
			if leaked != c.Leak || len(c.View.Live) == 0 || c.Weight < 1 {
				t.Fatalf("case %+v: leaked is %v", c, leaked)
			}
			for _, held := range sp.valid {
				if held.run == c.View.Scene.Run {
					t.Fatalf("a case of %s, which is held out", held.run.Name)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return cases
	}
	a := draw(1)
	blind := 0
	for _, c := range a {
		if c.View.Scene.Reference.Runs() == 0 {
			blind++
		}
	}
	if blind < len(a)/3 || blind > len(a)*4/5 {
		t.Errorf("%d of %d cases have no clean run beside them", blind, len(a))
	}
	same := func(b []Case) bool {
		for i := range min(len(a), len(b)) {
			if a[i].View.Site != b[i].View.Site || a[i].Leak != b[i].Leak || a[i].View.Scene.Cut != b[i].View.Scene.Cut {
				return false
			}
		}
		return len(a) == len(b)
	}
	if !same(draw(1)) {
		t.Error("one seed gives different cases")
	}
	if same(draw(2)) {
		t.Error("two seeds give the same cases")
	}
}

// A second judge alone is calibrated.
func TestAlone(t *testing.T) {
	res, err := Alone(context.Background(), Config{}, servers(t, 4), &ageJudge{})
	if err != nil {
		t.Fatal(err)
	}
	if res.Best.AveragePrecision < 0.3 || res.Threshold <= 0 || res.Threshold >= 1 || res.Blind == res.Judging || len(res.Curve) == 0 {
		t.Errorf("AP %v, threshold %v, blind %+v", res.Best.AveragePrecision, res.Threshold, res.Blind)
	}
}

// idle is a Second that knows nothing.
type idle struct{}

func (idle) Learn(context.Context, func(func(Case) error) error) error { return nil }
func (idle) Logit(*tokenize.View) float64                              { return 0 }

// Beside one that knows nothing a learner ranks as before, and only the scale of its
// logits is another; beside one that knows something it does not.
func TestSecond(t *testing.T) {
	run := func(s Second) *Result {
		cfg := quick
		cfg.Second = s
		res, err := Run(context.Background(), cfg, servers(t, 5), newBag(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	alone, idle, aged := run(nil), run(idle{}), run(&ageJudge{})
	if idle.Best.AveragePrecision != alone.Best.AveragePrecision || math.Abs(idle.Calibration.A/alone.Calibration.A-2) > 0.01 {
		t.Errorf("AP %v, alone %v; calibration %+v, alone %+v", idle.Best.AveragePrecision, alone.Best.AveragePrecision, idle.Calibration, alone.Calibration)
	}
	if aged.Best.AveragePrecision == alone.Best.AveragePrecision {
		t.Error("what the second judge says changes nothing")
	}
}

func TestSecondErrors(t *testing.T) {
	broken := errors.New("broken")
	if _, err := Alone(context.Background(), Config{}, servers(t, 3), &ageJudge{err: broken}); !errors.Is(err, broken) {
		t.Errorf("error %v, want the second judge's", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Alone(ctx, Config{}, servers(t, 3), &ageJudge{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, c := range []struct {
		data Data
		cfg  Config
	}{{Data{}, Config{}}, {servers(t, 3), Config{Holdout: math.NaN()}}, {servers(t, 3), Config{Holdout: 0.95}}} {
		if _, err := Alone(context.Background(), c.cfg, c.data, &ageJudge{}); err == nil {
			t.Errorf("%+v: no error", c.cfg)
		}
	}
}
