package eval

import (
	"strings"
	"testing"

	"leakformer/datasets"
	"leakformer/detect/detecttest"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// reused is a log in which one address holds three blocks, the last for ever.
func reused() *detecttest.Log {
	l := detecttest.NewLog("reused.log", "app")
	l.Free(l.AllocAt("a<main", 8, 0x10)) // events 0 and 1
	l.Free(l.AllocAt("a<main", 8, 0x10))
	l.AllocAt("a<main", 8, 0x10) // event 4
	l.AllocAt("b<main", 8, 0x20)
	l.AllocAt("b<main", 8, 0x30)
	return l
}

func leak(event int64, address datasets.Address) datasets.Leak {
	return datasets.Leak{Event: event, Address: address, Size: 8, Kind: datasets.Forgotten}
}

func TestMatch(t *testing.T) {
	run := reused().Run(t)
	truth, err := Match(run, &datasets.LogLabels{Events: 7, Leaks: []datasets.Leak{leak(5, 0x10), leak(7, 0x30)}})
	if err != nil {
		t.Fatal(err)
	}
	if !truth.ByBlock() {
		t.Error("truth by site")
	}
	for _, c := range []struct {
		block int32
		cut   uint32
		want  bool
	}{{2, 4, false}, {2, 5, true}, {2, 7, true}, {0, 7, false}, {1, 7, false}, {3, 7, false}, {4, 6, false}, {4, 7, true}} {
		if got := truth.Leaked(c.block, c.cut); got != c.want {
			t.Errorf("block %d leaked after %d events: %v", c.block, c.cut, got)
		}
	}
	for cut, want := range map[uint32][]int64{5: {1}, 6: {1, 0}, 7: {1, 1}} {
		scene := &tokenize.Scene{Run: run, Cut: cut}
		scene.Views(func(v *tokenize.View) bool {
			if got := truth.Count(v); got != want[v.Site] {
				t.Errorf("cut %d: site %d has %d leaked blocks, want %d", cut, v.Site, got, want[v.Site])
			}
			return true
		})
	}
}

func TestMatchRefuses(t *testing.T) {
	run := reused().Run(t)
	for _, c := range []struct {
		name   string
		labels datasets.LogLabels
		want   string
	}{
		{"events", datasets.LogLabels{Events: 6}, "of a log with 6 events, this one has 7"},
		{"address", datasets.LogLabels{Events: 7, Leaks: []datasets.Leak{leak(5, 0x40)}}, "label 0: no block at 0x40"},
		{"too early", datasets.LogLabels{Events: 7, Leaks: []datasets.Leak{leak(4, 0x10)}}, "label 0: no block at 0x10 is allocated before event 4"},
		{"site", datasets.LogLabels{Sites: []datasets.Site{{Frames: []datasets.Frame{{Function: "c"}}}}}, "labelled site 0 (c ...)"},
	} {
		if _, err := Match(run, &c.labels); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	// A log that was cut off does not have the later leaks yet.
	if _, err := Match(run, &datasets.LogLabels{Events: 9, Leaks: []datasets.Leak{leak(5, 0x10), leak(9, 0x90)}}); err != nil {
		t.Errorf("a log that was cut off: %v", err)
	}
}

// A leak that only an earlier scan shows is left out; one that none shows is of
// another run.
func TestMatchSnapshots(t *testing.T) {
	run := &tokenize.Run{Class: ingest.Snapshots, Events: 3, Sites: make([]tokenize.Site, 1), BySite: [][]int32{{0, 1}}}
	run.Blocks.Add(tokenize.Block{Count: 1, Died: 2}, 0x10, 1)
	run.Blocks.Add(tokenize.Block{Born: 1, Count: 1, Died: tokenize.Alive}, 0x20, 2)
	truth, err := Match(run, &datasets.LogLabels{Events: 3, Leaks: []datasets.Leak{leak(0, 0x10), leak(1, 0x20)}})
	if err != nil {
		t.Fatal(err)
	}
	if truth.Leaked(0, 3) || !truth.Leaked(1, 3) {
		t.Error("the wrong object is leaked")
	}
	if _, err := Match(run, &datasets.LogLabels{Events: 3, Leaks: []datasets.Leak{leak(0, 0x30)}}); err == nil {
		t.Error("an object that no scan shows is accepted")
	}
}

func TestMatchSites(t *testing.T) {
	l := detecttest.NewReport("memcheck.log", "app")
	l.Outstanding("a<f<main", 3, 24, ingest.Definite)
	l.Outstanding("a<g<main", 2, 16, ingest.Definite)
	l.Outstanding("b<g<main", 4, 32, ingest.Reachable)
	run := l.Run(t)
	truth, err := Match(run, &datasets.LogLabels{Sites: []datasets.Site{
		{Frames: []datasets.Frame{{Function: "a", Module: "test"}, {Function: "g", Module: "/usr/bin/test"}}},
		{Frames: []datasets.Frame{{Function: "b"}, {Function: "g"}, {Function: "main"}, {Function: "_start"}}, Blocks: 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	scene := &tokenize.Scene{Run: run, Cut: run.Events}
	want := []int64{0, 2, 1}
	scene.Views(func(v *tokenize.View) bool {
		if got := truth.Count(v); got != want[v.Site] {
			t.Errorf("site %d has %d leaked blocks, want %d", v.Site, got, want[v.Site])
		}
		return true
	})
	if truth.ByBlock() {
		t.Error("truth by block")
	}
}
