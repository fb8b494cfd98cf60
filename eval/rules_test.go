package eval

import (
	"context"
	"slices"
	"testing"

	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// flags is the names of the rules that flag the site whose innermost function is "s".
func flags(t *testing.T, scene *tokenize.Scene) []string {
	t.Helper()
	var names []string
	for _, r := range Rules() {
		if !r.Applies(scene) {
			continue
		}
		err := detect.Each(context.Background(), r, scene, func(v *tokenize.View, p float64, _ []float64) error {
			if scene.Run.Sites[v.Site].Frames[0].Function == "s" && p >= 0.5 {
				names = append(names, r.Name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// pad fills a log with n events of a site that is of no interest.
func pad(l *detecttest.Log, n int) {
	for range n / 2 {
		l.Free(l.Alloc("other<main", 8))
	}
}

func TestRules(t *testing.T) {
	const s = "s<main"
	clean := func(l *detecttest.Log) { // never more than 2 live, none older than 4 events, none left
		for range 10 {
			a, b := l.Alloc(s, 8), l.Alloc(s, 8)
			pad(l, 2)
			l.Free(b)
			l.Free(a)
		}
	}
	for _, c := range []struct {
		name  string
		write func(l *detecttest.Log)
		clean func(l *detecttest.Log)
		want  []string
	}{
		// Two blocks live, one 199 events old, of a run of 1000.
		{"cache of two", func(l *detecttest.Log) {
			pad(l, 800)
			l.Alloc(s, 8)
			pad(l, 198)
			l.Alloc(s, 8)
		}, nil, []string{"not freed", "age > 10 %", "under 5 % freed", "bytehound"}},
		// Allocated and freed, but the last one, just born.
		{"busy", func(l *detecttest.Log) {
			for range 20 {
				b := l.Alloc(s, 8)
				pad(l, 48)
				l.Free(b)
			}
			l.Alloc(s, 8)
		}, nil, []string{"not freed"}},
		// Every second block is freed soon, from the beginning to the end.
		{"steady leak", func(l *detecttest.Log) {
			for range 200 {
				l.Alloc(s, 1000)
				b := l.Alloc(s, 1000)
				pad(l, 10)
				l.Free(b)
			}
		}, nil, []string{"not freed", "age > 10 %", "age > 25 %", "bytes +2 % three times", "more than 3 live",
			"bytes on a line, R² ≥ 0.8", "10 of 20 ages", "staler than freed siblings", "bytehound"}},
		// Never freed, 3 MB in all.
		{"big leak", func(l *detecttest.Log) {
			for range 30 {
				l.Alloc(s, 100000)
				pad(l, 10)
			}
		}, nil, []string{"not freed", "age > 10 %", "age > 25 %", "bytes +2 % three times", "bytes +2 % three times, over 1 MB", "more than 3 live",
			"bytes on a line, R² ≥ 0.8", "10 of 20 ages", "under 5 % freed", "bytehound"}},
		// Three are live where a clean run had two, for 3 events where it had 4.
		{"one more than clean", func(l *detecttest.Log) {
			pad(l, 1000)
			for range 5 {
				l.Free(l.Alloc(s, 8))
			}
			l.Alloc(s, 8)
			l.Alloc(s, 8)
			l.Alloc(s, 8)
		}, clean, []string{"not freed", "staler than freed siblings", "more live than in clean runs", "more than left in clean runs, and staler"}},
		{"older than clean", func(l *detecttest.Log) {
			pad(l, 1000)
			l.Alloc(s, 8)
			pad(l, 10)
		}, clean, []string{"not freed", "under 5 % freed", "older than in clean runs"}},
		{"as in clean runs", func(l *detecttest.Log) {
			clean(l)
			pad(l, 1000)
			b := l.Alloc(s, 8)
			pad(l, 4)
			l.Free(b)
			l.Alloc(s, 8)
			l.Alloc(s, 8)
		}, clean, []string{"not freed"}},
		{"new site", func(l *detecttest.Log) {
			pad(l, 1000)
			l.Alloc(s, 8)
		}, func(l *detecttest.Log) { pad(l, 10) }, []string{"not freed", "under 5 % freed", "more live than in clean runs"}},
	} {
		l := detecttest.NewLog(c.name, "app")
		c.write(l)
		var references []*detecttest.Log
		if c.clean != nil {
			r := detecttest.NewLog("clean", "app")
			c.clean(r)
			references = append(references, r)
		}
		if got := flags(t, l.Scene(t, references...)); !slices.Equal(got, c.want) {
			t.Errorf("%s: flagged by %q, want %q", c.name, got, c.want)
		}
	}
}

func TestRulesOfReports(t *testing.T) {
	for _, c := range []struct {
		loss   ingest.Loss
		blocks int64
		want   []string
	}{
		{ingest.Reachable, 3, []string{"reported"}},
		{ingest.Possible, 4, []string{"reported", "more than 3 reported"}},
		{ingest.Definite, 1, []string{"reported", "definitely lost"}},
		{ingest.Unreferenced, 1, []string{"reported", "definitely lost"}},
	} {
		l := detecttest.NewReport("report", "app")
		l.Outstanding("s<main", c.blocks, 8*c.blocks, c.loss)
		if got := flags(t, l.Scene(t)); !slices.Equal(got, c.want) {
			t.Errorf("%d blocks %v: flagged by %q, want %q", c.blocks, c.loss, got, c.want)
		}
	}
	l, r := detecttest.NewReport("report", "app"), detecttest.NewReport("clean", "app")
	l.Outstanding("s<main", 3, 8, ingest.Reachable)
	r.Outstanding("s<main", 2, 8, ingest.Reachable)
	if got, want := flags(t, l.Scene(t, r)), []string{"reported", "more than left in clean runs"}; !slices.Equal(got, want) {
		t.Errorf("more than in a clean run: flagged by %q, want %q", got, want)
	}
}

// Of what repeated scans list, those that vanished count against a site.
func TestRulesOfScans(t *testing.T) {
	for _, c := range []struct {
		stay, vanish int
		want         []string
	}{
		{3, 3, []string{"reported", "definitely lost"}},
		{3, 2, []string{"reported", "more than vanished", "definitely lost"}},
		{5, 5, []string{"reported", "more than 3 reported", "definitely lost"}},
		{5, 4, []string{"reported", "more than 3 reported", "more than vanished", "more than 3, and than vanished", "definitely lost"}},
	} {
		l := detecttest.NewScans("scans", "app")
		for i := range c.stay + c.vanish {
			l.Suspect(0, "s<main", uint64(i+1))
		}
		for i := range c.stay {
			l.Suspect(1, "s<main", uint64(i+1))
		}
		if got := flags(t, l.Scene(t)); !slices.Equal(got, c.want) {
			t.Errorf("%d stay and %d vanish: flagged by %q, want %q", c.stay, c.vanish, got, c.want)
		}
	}
}

// A rule's verdict does not depend on how its measure is turned into a score.
func TestRuleScore(t *testing.T) {
	for m, want := range map[float64]bool{0: false, 0.0999: false, 0.1: true, 3: true} {
		r := &Rule{threshold: 0.1, measure: func(*tokenize.View) float64 { return m }}
		got, _, _ := r.Score(context.Background(), make([]*tokenize.View, 1))
		if got[0] >= 0.5 != want {
			t.Errorf("measure %v at threshold 0.1: score %v", m, got[0])
		}
	}
}

// TestRulesOfSeries: the rules that only need snapshots judge a series as they
// judge the events it was made from.
func TestRulesOfSeries(t *testing.T) {
	l := detecttest.NewLog("run", "app")
	for range 10 {
		l.Alloc("s<main", 8)
		pad(l, 99)
	}
	run := l.Run(t)
	events := &tokenize.Scene{Run: run, Cut: run.Events}
	looks := tokenize.Looks{}
	for k := uint32(1); k <= snapshots; k++ {
		looks.At = append(looks.At, run.Events*k/snapshots)
	}
	series, _ := events.AsSeries(looks)
	got := flags(t, &tokenize.Scene{Run: series, Cut: series.Events})
	if want := []string{"not freed", "more than 3 live", "bytes on a line, R² ≥ 0.8"}; !slices.Equal(got, want) {
		t.Errorf("flagged by %q, want %q", got, want)
	}
	series, _ = events.AsSeries(tokenize.Looks{At: []uint32{200, 400, 600, 800}})
	got = flags(t, &tokenize.Scene{Run: series, Cut: series.Events})
	if !slices.Contains(got, "bytes +2 % three times") || slices.Contains(got, "bytes +2 % three times, over 1 MB") {
		t.Errorf("growth in three steps is flagged by %q", got)
	}
}

func TestTruthAsSeries(t *testing.T) {
	run, truth := planted(t, "run")
	scene := &tokenize.Scene{Run: run, Cut: run.Events}
	snaps, _ := scene.AsSeries(tokenize.Looks{At: []uint32{run.Events / 2, run.Events}})
	series := &tokenize.Scene{Run: snaps, Cut: snaps.Events}
	seen := truth.AsSeries(scene)
	leaks := 0
	for site := range run.BySite {
		want := truth.Count(scene.View(site))
		if got := seen.Count(series.View(site)); got != want {
			t.Errorf("site %d: %d leaked, want %d", site, got, want)
		}
		leaks += int(want)
	}
	if leaks == 0 {
		t.Error("nothing leaks")
	}
}
