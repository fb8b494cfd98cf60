package eval

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"testing"

	"leakformer/datasets"
	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/tokenize"
)

// stepwise gives each site of a run one of two scores: the low one until so many
// events have happened.
type stepwise map[string]uint32

func (s stepwise) Score(_ context.Context, views []*tokenize.View) (sites []float64, blocks [][]float64, err error) {
	for _, v := range views {
		p := 0.1
		if from, ok := s[v.Scene.Run.Sites[v.Site].Frames[0].Function]; ok && v.Scene.Cut >= from {
			p = 0.9
		}
		sites = append(sites, p)
	}
	return sites, nil, nil
}

// leaking is a run of 100 events in which "few" leaks 2 blocks, "many" 10 and
// "ok" none; or, of a clean run, there is "ok" alone. The first blocks of few and
// many are leaked from event 12 and 21 on.
func leaking(t *testing.T, name string, few, many bool) (*tokenize.Run, *Truth) {
	t.Helper()
	l := detecttest.NewLog(name, "app")
	var leaks []datasets.Leak
	for i := range 100 {
		site := "ok"
		switch {
		case few && (i == 11 || i == 30):
			site = "few"
		case many && i >= 20 && i%5 == 0 && i < 70:
			site = "many"
		}
		b := l.Alloc(site, 8)
		if site != "ok" {
			leaks = append(leaks, datasets.Leak{Event: int64(i + 1), Address: datasets.Address(0x1000 + 16*b), Size: 8, Kind: datasets.Forgotten})
		}
	}
	run := l.Run(t)
	truth, err := Match(run, &datasets.LogLabels{Events: 100, Leaks: leaks})
	if err != nil {
		t.Fatal(err)
	}
	return run, truth
}

func leakingSamples(t *testing.T, cuts []float64, between ...float64) iter.Seq2[*Sample, error] {
	return func(yield func(*Sample, error) bool) {
		for i, c := range []struct{ few, many bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
			name := fmt.Sprint("run", i)
			run, truth := leaking(t, name, c.few, c.many)
			for k, cut := range slices.Concat(cuts, between) {
				s := &Sample{Program: "app", Log: name, Cut: cut, Truth: truth, Between: k >= len(cuts),
					Scene: &tokenize.Scene{Run: run, Cut: detect.CutAt(run, cut)}}
				if !yield(s, nil) {
					return
				}
			}
		}
	}
}

func TestVerdictsAndDetection(t *testing.T) {
	entrants := []Entrant{
		{Name: "late", Scorer: stepwise{"few": 60, "many": 40}, Threshold: 0.5},
		{Name: "many alone", Scorer: stepwise{"many": 100}, Threshold: 0.5},
		{Name: "anything", Scorer: stepwise{"ok": 0}, Threshold: 0.5},
		{Name: "nothing", Scorer: stepwise{}, Threshold: 0.5},
	}
	result := func(cuts []float64, between ...float64) []Row {
		res, err := Compare(context.Background(), leakingSamples(t, cuts, between...), entrants)
		if err != nil {
			t.Fatal(err)
		}
		return res.Rows(TableConfig{Curves: true})
	}
	rows := result([]float64{0.3, 0.5, 1})
	for _, c := range []struct {
		scorer   string
		cut      float64
		subset   Subset
		verdicts Confusion
		sites    int64
		found    int64
		events   float64
	}{
		// Two sites leak few blocks, found at 100 after event 12; two many, found
		// at 50 after event 21.
		{"late", 1, AllSites, Confusion{TP: 3, TN: 1}, 4, 4, (29 + 88) / 2.},
		{"late", 0.5, AllSites, Confusion{TP: 2, FN: 1, TN: 1}, 4, 2, 29},
		{"late", 0.3, AllSites, Confusion{FN: 3, TN: 1}, 4, 0, math.NaN()},
		// Run 1 leaks few blocks alone: it is left out.
		{"late", 1, FiveLeaked, Confusion{TP: 2, TN: 1}, 2, 2, 29},
		{"many alone", 1, AllSites, Confusion{TP: 2, FN: 1, TN: 1}, 4, 2, 79},
		{"anything", 1, AllSites, Confusion{TP: 3, FP: 1}, 4, 0, math.NaN()},
		{"anything", 1, FiveLeaked, Confusion{TP: 2, FP: 1}, 2, 0, math.NaN()},
		{"nothing", 1, AllSites, Confusion{FN: 3, TN: 1}, 4, 0, math.NaN()},
	} {
		m := find(t, rows, c.cut, c.subset, c.scorer)
		same := m.Detection.Events.Value == c.events || math.IsNaN(c.events) && math.IsNaN(m.Detection.Events.Value)
		if m.Verdicts.Confusion != c.verdicts || m.Detection.Sites != c.sites || m.Detection.Found != c.found || !same {
			t.Errorf("%s at %v, %s: verdicts %+v, detection %+v, want %+v", c.scorer, c.cut, c.subset, m.Verdicts, m.Detection, c)
		}
	}
	m := find(t, rows, 1, AllSites, "anything")
	if m.Verdicts.Precision.Value != 0.75 || m.Verdicts.Recall.Value != 1 || m.Detection.String() != "~ (0 of 4)" {
		t.Errorf("anything: %+v, %s", m.Verdicts, m.Detection)
	}
	m = find(t, rows, 1, FiveLeaked, "late")
	if m.Detection.Part.Value != 0.29 || m.Detection.String() != "29 events (2 of 2)" {
		t.Errorf("late: %+v", m.Detection)
	}

	// Looking more often finds leaks sooner, and changes nothing else.
	often := result([]float64{0.3, 0.5, 1}, 0.42, 0.61, 0.9)
	if len(often) != len(rows) {
		t.Errorf("%d rows, %d where more was looked at", len(rows), len(often))
	}
	m = find(t, often, 1, AllSites, "late")
	if got, want := m.Detection.Events.Value, (21.+49)/2; got != want {
		t.Errorf("looked at more often: %v events, want %v", got, want)
	}
	if was := find(t, rows, 1, AllSites, "late"); m.Confusion != was.Confusion || m.Runs != was.Runs {
		t.Errorf("looked at more often: %+v, was %+v", m.Confusion, was.Confusion)
	}
}

func TestCurve(t *testing.T) {
	s := func(score float64, leak bool) scored { return scored{score, 0, leak} }
	got := curve([]scored{s(0.9, true), s(0.8, false), s(0.8, true), s(0.5, false), s(0.1, true), s(0, false)})
	want := []Point{{1. / 3, 1}, {2. / 3, 2. / 3}, {1, 3. / 5}}
	if !slices.Equal(got, want) {
		t.Errorf("curve %v, want %v", got, want)
	}
	if got := curve([]scored{s(1, false)}); got != nil {
		t.Errorf("curve without leaks: %v", got)
	}
	var many []scored
	for i := range 5000 {
		many = append(many, s(1-float64(i)/5000, i%2 == 0))
	}
	if got := curve(many); len(got) > curvePoints+1 || got[len(got)-1].Recall != 1 {
		t.Errorf("%d points to %v", len(got), got[len(got)-1])
	}
}
