package detect_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// What a scorer adds up is what is found.
func TestAttribution(t *testing.T) {
	scene := sample().Scene(t, sample())
	weights := map[tokenize.Part]float64{tokenize.CleanRuns: 0.5, tokenize.Frame: -0.25, tokenize.Age: 0.125, tokenize.LiveBlock: 0.01, tokenize.FreedBlock: -0.02}
	var view *tokenize.View
	scene.Views(func(v *tokenize.View) bool {
		view = v
		return scene.Run.Sites[v.Site].Frames[0].Function != "leak"
	})
	seq := tokenize.Tokenize(view)
	special := seq.Places[slices.Index(seq.Live, true)] // the event of its first live block
	s := scorer()
	s.Blocks = map[uint64]float64{}
	for i := range 40 { // the blocks of "leak" that are judged leaked are born before event 80
		s.Blocks[0x1000+16*uint64(20+i)] = 1
	}
	s.Odds = func(seq *tokenize.Sequence) float64 {
		z := 0.0
		for pos := range seq.Len() {
			z += weights[seq.Part(pos)]
			if seq.Part(pos) == tokenize.CleanRuns { // the more is known of them
				for _, id := range seq.Tokens[pos*tokenize.Fields:][:tokenize.Fields] {
					z += 0.01 * float64(min(id, 1))
				}
			}
			if seq.Places[pos] == special {
				z += 3
			}
		}
		for pos, ids := 0, seq.Tokens; pos < tokenize.Fields; pos++ {
			if ids[pos] != 0 {
				z += 0.001
			}
		}
		return z
	}
	f := run(t, &detect.Detector{Scorer: s, Threshold: 0.5, Explain: 1}, scene).findings[0]
	all := s.Odds(seq)
	got := map[string]detect.Effect{}
	last := math.Inf(1)
	for _, e := range f.Attribution {
		got[e.What] = e
		if e.Effect > last {
			t.Errorf("%s is behind a smaller effect", e.What)
		}
		last = e.Effect
		if p := 1 / (1 + math.Exp(e.Effect-all)); math.Abs(p-e.Without) > 1e-9 {
			t.Errorf("%s: probability %v without, want %v", e.What, e.Without, p)
		}
	}
	count := map[tokenize.Part]int{}
	meant := 0
	for pos := range seq.Len() {
		count[seq.Part(pos)]++
		if b := seq.Blocks[pos]; slices.Contains(f.Blocks, b) {
			meant++
		}
	}
	for what, want := range map[string]float64{
		"its call stack":               -0.25 * 3,
		"the number of old blocks":     0.125 * float64(count[tokenize.Age]),
		"the freed blocks":             -0.02 * float64(count[tokenize.FreedBlock]),
		"the leaked blocks":            0.01*float64(meant) + 3,
		"the other outstanding blocks": 0.01 * float64(count[tokenize.LiveBlock]-meant),
	} {
		e, ok := got[what]
		if delete(got, what); !ok || math.Abs(e.Effect-want) > 1e-9 || len(e.Parts) == 0 || len(e.Parts) > 8 {
			t.Errorf("%s: %v with %d parts, want %v", what, e.Effect, len(e.Parts), want)
		}
		if what == "the leaked blocks" && (int64(e.Parts[0].Block.Event) != special || int64(e.Parts[0].Block.Line) != special+1 || math.Abs(e.Parts[0].Effect-3.01) > 1e-9) {
			t.Errorf("most is due to the block %+v", e.Parts[0])
		}
		if what == "the number of old blocks" && e.Parts[0].What != "blocks 16 or more events old" {
			t.Errorf("an age is called %q", e.Parts[0].What)
		}
		if what == "its call stack" && (len(e.Parts) != 3 || e.Parts[2].What != "main") {
			t.Errorf("the call stack is %+v", e.Parts)
		}
	}
	if e := got["its totals"]; !(e.Effect > 0 && e.Effect < 0.05) {
		t.Errorf("the totals: %v", e.Effect)
	}
	// Without the clean runs the sequence knows none, but is there.
	blind := *scene
	blind.Reference = nil
	if e, want := got["the clean runs"], all-s.Odds(tokenize.Tokenize(blind.View(view.Site))); math.Abs(e.Effect-want) > 1e-9 || want == 0 || len(got) != 2 {
		t.Errorf("the clean runs: %v, want %v; and %v", e.Effect, want, got)
	}
}

// viewed is an explainer that looks at views alone.
type viewed struct {
	*detecttest.Scorer
	odds func(*tokenize.View) float64
}

func (e viewed) LogOdds(_ context.Context, views []*tokenize.View, _ []*tokenize.Sequence) (odds []float64, err error) {
	for _, v := range views {
		odds = append(odds, e.odds(v))
	}
	return odds, nil
}

// Of a scorer that sees no sequences it is found out what it rests on in the site.
func TestAttributionOfViews(t *testing.T) {
	scans := detecttest.NewScans("kmemleak", "linux")
	for scan := range 3 {
		for i := range 4 - scan {
			scans.Suspect(int32(scan), "s", uint64(i+1))
		}
	}
	events := detecttest.NewLog("app.log", "app")
	for range 100 {
		events.Alloc("s", 10)
	}
	run1, _ := events.Scene(t).AsSeries(tokenize.Looks{At: []uint32{20, 50, 100}})
	series := &tokenize.Scene{Run: run1, Cut: run1.Events}
	vanished := func(v *tokenize.View) float64 { return float64(len(v.Live) - 10*v.Gone()) }
	grown := func(v *tokenize.View) float64 {
		p := tokenize.NewTrend(v).Points
		return float64(p[len(p)-1].Bytes - p[0].Bytes)
	}
	for _, c := range []struct {
		scene *tokenize.Scene
		odds  func(*tokenize.View) float64
		want  map[string]float64
	}{
		{scans.Scene(t), vanished, map[string]float64{"the vanished objects": -20, "the leaked blocks": 1}},
		{series, grown, map[string]float64{"the snapshots": 800}},
	} {
		d := &detect.Detector{Scorer: viewed{&detecttest.Scorer{Sites: map[string]float64{"s": 1}}, c.odds}, Threshold: 0.5, Explain: 1}
		got := map[string]float64{}
		for _, e := range run(t, d, c.scene).findings[0].Attribution {
			if got[e.What] = e.Effect; len(e.Parts) > 0 {
				t.Errorf("%s has parts: %+v", e.What, e.Parts)
			}
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
}

// Only what is asked for is explained, and never what the log says itself.
func TestAttributionOfFew(t *testing.T) {
	l := detecttest.NewLog("x", "x")
	s := &detecttest.Scorer{Sites: map[string]float64{}}
	for i := range 3 {
		l.Alloc(fmt.Sprint("s", i), 10)
		s.Sites[fmt.Sprint("s", i)] = 1 - float64(i)/4 // 1, 0.75, 0.5
	}
	for explain, want := range []int{0, 1, 2, 2} {
		n := 0
		for _, f := range run(t, &detect.Detector{Scorer: s, Threshold: 0.6, All: true, Explain: explain}, l.Scene(t)).findings {
			if f.Attribution != nil {
				n++
			}
		}
		if n != want {
			t.Errorf("%d findings are explained of %d", n, explain)
		}
	}
	r := detecttest.NewReport("memcheck", "app")
	r.Outstanding("lost", 3, 96, ingest.Definite)
	r.Outstanding("held", 3, 96, ingest.Reachable)
	s.Sites = map[string]float64{"lost": 1, "held": 0.9}
	for _, f := range run(t, &detect.Detector{Scorer: s, Threshold: 0.6, Explain: 5}, r.Scene(t)).findings {
		if (f.Attribution != nil) != (f.Site == "held") {
			t.Errorf("%s rests on %v", f.Site, f.Attribution)
		}
	}
	broken := errors.New("broken")
	d := &detect.Detector{Scorer: explainer{s, broken}, Threshold: 0.6, Explain: 5}
	if _, err := d.Detect(context.Background(), r.Scene(t), &collect{}); !errors.Is(err, broken) {
		t.Errorf("a broken explainer: %v", err)
	}
	d.Scorer = explainer{s, nil}
	if _, err := d.Detect(context.Background(), r.Scene(t), &collect{}); err == nil {
		t.Error("an explainer that says too little is believed")
	}
}

// explainer fails, or says nothing.
type explainer struct {
	detect.Scorer
	err error
}

func (e explainer) LogOdds(context.Context, []*tokenize.View, []*tokenize.Sequence) ([]float64, error) {
	return nil, e.err
}
