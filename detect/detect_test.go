package detect_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// collect keeps what a detector says.
type collect struct {
	findings []*detect.Finding
	summary  *detect.Summary
}

func (c *collect) Finding(f *detect.Finding) error { c.findings = append(c.findings, f); return nil }
func (c *collect) Summary(s *detect.Summary) error { c.summary = s; return nil }

// sample is a log with a leak at "leak", a cache at "cache" and a busy site
// whose blocks are freed: 340 events in all.
func sample() *detecttest.Log {
	l := detecttest.NewLog("app.log", "app")
	for range 20 {
		l.Alloc("cache<init<main", 100)
	}
	var last int64
	for i := range 100 {
		b := l.Alloc("leak<request<main", 10)
		if i%2 == 0 {
			l.Free(b)
		}
		busy := l.Alloc("busy<request<main", 50)
		if i < 80 {
			l.Free(busy)
		}
		last = busy
	}
	l.Free(last)
	return l
}

func scorer() *detecttest.Scorer {
	return &detecttest.Scorer{Sites: map[string]float64{"leak": 0.9, "busy": 0.2, "cache": 0.1}}
}

func run(t *testing.T, d *detect.Detector, scene *tokenize.Scene) *collect {
	t.Helper()
	var c collect
	if _, err := d.Detect(context.Background(), scene, &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

func TestDetect(t *testing.T) {
	d := &detect.Detector{Scorer: scorer(), Threshold: 0.5, Model: "fake"}
	c := run(t, d, sample().Scene(t))
	if len(c.findings) != 1 {
		t.Fatalf("%d findings", len(c.findings))
	}
	f := c.findings[0]
	if f.Site != "leak < request < main" || !f.Leak || f.Probability != 0.9 || f.Log != "app.log" || len(f.Frames) != 3 {
		t.Errorf("finding %+v", f)
	}
	if want := (ingest.Amount{Blocks: 50, Bytes: 500}); f.Outstanding != want || f.Leaked != want {
		t.Errorf("outstanding %v, leaked %v", f.Outstanding, f.Leaked)
	}
	if addrs := slices.Collect(f.Addresses()); len(addrs) != 50 || addrs[0] != 0x1000+16*22 {
		t.Errorf("%d addresses from %#x", len(addrs), addrs[0])
	}
	// Block 22, the second of the site, is born at event 24: 20 of the cache,
	// alloc and free of the first, alloc and free of a busy one.
	if f.First.Event != 24 || f.First.Line != 25 || f.First.Time.Milliseconds() != 24 {
		t.Errorf("first %+v", f.First)
	}
	s := c.summary
	if s.Sites != 3 || s.Leaks != 1 || s.Leaked.Blocks != 50 || s.Outstanding != (ingest.Amount{Blocks: 89, Bytes: 2000 + 500 + 19*50}) || s.Events != s.Cut || s.Model != "fake" {
		t.Errorf("summary %+v", s)
	}
}

func TestDetectAllRanks(t *testing.T) {
	l := detecttest.NewLog("x", "x")
	for _, site := range []string{"a", "small", "large", "top"} {
		size := int64(10)
		if site == "large" {
			size = 1000
		}
		l.Alloc(site, size)
	}
	s := &detecttest.Scorer{Sites: map[string]float64{"a": 0.1, "small": 0.4, "large": 0.4, "top": 1}}
	c := run(t, &detect.Detector{Scorer: s, Threshold: 0.4, All: true}, l.Scene(t))
	var got []string
	for _, f := range c.findings {
		got = append(got, fmt.Sprint(f.Site, " ", f.Leak))
		if len(f.Why) == 0 {
			t.Errorf("%s: no reason", f.Site)
		}
	}
	if want := []string{"top true", "large true", "small true", "a false"}; !slices.Equal(got, want) {
		t.Errorf("ranked %v, want %v", got, want)
	}
	if c.findings[3].Leaked != (ingest.Amount{}) {
		t.Errorf("a normal site leaks %v", c.findings[3].Leaked)
	}
}

// Of a leaking site those blocks are named that are likelier leaked than not.
func TestDetectBlocks(t *testing.T) {
	l := detecttest.NewLog("x", "x")
	for range 5 {
		l.Alloc("s", 10)
	}
	for _, c := range []struct {
		blocks map[uint64]float64
		want   []uint64
	}{
		{map[uint64]float64{0x1010: 0.9, 0x1040: 0.5}, []uint64{0x1010, 0x1040}},
		{map[uint64]float64{0x1010: 0.1, 0x1020: 0.3}, []uint64{0x1020}},
		{nil, []uint64{0x1000, 0x1010, 0x1020, 0x1030, 0x1040}},
	} {
		s := &detecttest.Scorer{Sites: map[string]float64{"s": 1}, Blocks: c.blocks}
		f := run(t, &detect.Detector{Scorer: s, Threshold: 0.5}, l.Scene(t)).findings[0]
		if got := slices.Collect(f.Addresses()); !slices.Equal(got, c.want) || f.Leaked.Blocks != int64(len(c.want)) || f.Outstanding.Blocks != 5 {
			t.Errorf("blocks %v: addresses %#x, leaked %v", c.blocks, got, f.Leaked)
		}
	}
}

// A cut shows the run as it stood then.
func TestDetectCut(t *testing.T) {
	scene := sample().Scene(t)
	scene.Cut = detect.CutAt(scene.Run, 0.1)
	c := run(t, &detect.Detector{Scorer: scorer(), Threshold: 0.5, All: true}, scene)
	if c.summary.Cut != int64(math.Round(float64(scene.Run.Events)*0.1)) || c.summary.Events != int64(scene.Run.Events) {
		t.Errorf("cut %d of %d", c.summary.Cut, c.summary.Events)
	}
	for _, f := range c.findings {
		if f.Last.Event >= scene.Cut {
			t.Errorf("%s: block of event %d after the cut %d", f.Site, f.Last.Event, scene.Cut)
		}
	}
}

func TestCutAt(t *testing.T) {
	log := &tokenize.Run{Class: ingest.Events, Events: 10}
	report := &tokenize.Run{Class: ingest.EndReport, Events: 10}
	for _, c := range []struct {
		run   *tokenize.Run
		share float64
		want  uint32
	}{{log, 0.3, 3}, {log, 1, 10}, {log, 0.001, 1}, {log, 0, 10}, {report, 0.3, 10}} {
		if got := detect.CutAt(c.run, c.share); got != c.want {
			t.Errorf("%s cut at %v: %d, want %d", c.run.Class, c.share, got, c.want)
		}
	}
}

// Scorers get a bounded number of views at once, each exactly once.
func TestEachChunks(t *testing.T) {
	l := detecttest.NewLog("x", "x")
	for i := range 2500 {
		l.Alloc(fmt.Sprint("f", i), 8)
	}
	var s detecttest.Scorer
	n := 0
	err := detect.Each(context.Background(), &s, l.Scene(t), func(v *tokenize.View, _ float64, _ []float64) error {
		if v.Site != n {
			t.Fatalf("site %d comes at %d", v.Site, n)
		}
		n++
		return nil
	})
	if err != nil || n != 2500 || slices.Max(s.Calls) > 1024 {
		t.Errorf("%d views in calls of %v, %v", n, s.Calls, err)
	}
}

// bad is a scorer that breaks its contract.
type bad func(views []*tokenize.View) ([]float64, [][]float64, error)

func (b bad) Score(_ context.Context, views []*tokenize.View) ([]float64, [][]float64, error) {
	return b(views)
}

func TestDetectErrors(t *testing.T) {
	scene := sample().Scene(t)
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		d    detect.Detector
		want string
	}{
		"threshold":   {detect.Detector{Scorer: scorer(), Threshold: 1.5}, "threshold 1.5: want a probability"},
		"scorer":      {detect.Detector{Scorer: &detecttest.Scorer{Err: broken}}, "scoring app.log: broken"},
		"sites":       {detect.Detector{Scorer: bad(func([]*tokenize.View) ([]float64, [][]float64, error) { return []float64{1}, nil, nil })}, "judged 1 sites"},
		"probability": {detect.Detector{Scorer: bad(func([]*tokenize.View) ([]float64, [][]float64, error) { return []float64{0, math.NaN(), 0}, nil, nil })}, "the probability NaN"},
		"blocks": {detect.Detector{Scorer: bad(func([]*tokenize.View) ([]float64, [][]float64, error) {
			return []float64{0, 0, 0}, [][]float64{{1}, nil, nil}, nil
		})}, "judged 1 blocks of site"},
	} {
		if _, err := c.d.Detect(context.Background(), scene, &collect{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d := detect.Detector{Scorer: scorer()}
	if _, err := d.Detect(ctx, scene, &collect{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestEmptyRun(t *testing.T) {
	c := run(t, &detect.Detector{Scorer: scorer(), Threshold: 0.5}, detecttest.NewLog("empty", "x").Scene(t))
	if len(c.findings) != 0 || c.summary.Sites != 0 {
		t.Errorf("%d findings, %+v", len(c.findings), c.summary)
	}
}

func TestWarnings(t *testing.T) {
	l := sample()
	r := l.Report()
	r.Truncated, r.Errors, r.Allocs, r.Frees, r.OrphanFrees = true, 2, 10, 10, 9
	r.Oracle = &ingest.Oracle{Name: "heap summary", Expected: "1", Got: "2"}
	c := run(t, &detect.Detector{Scorer: scorer(), Threshold: 0.5, Warnings: []string{"first"}}, l.Scene(t))
	for i, want := range []string{"first", "ends too early", "2 records", "heap summary says 1", "9 of 10 frees"} {
		if i >= len(c.summary.Warnings) || !strings.Contains(c.summary.Warnings[i], want) {
			t.Fatalf("warnings %q, want %q at %d", c.summary.Warnings, want, i)
		}
	}
}
