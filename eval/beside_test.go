package eval

import (
	"strings"
	"testing"

	"leakformer/datasets"
	"leakformer/detect/detecttest"
	"leakformer/ingest"
)

// opened is a log that a test has in memory.
func opened(l *detecttest.Log) func() (ingest.Source, error) {
	return func() (ingest.Source, error) { return l, nil }
}

// A log without labels tells of the same run, whatever its sites are called; one with
// labels is another run, of whose sites those are compared that leak in both or neither.
func TestBeside(t *testing.T) {
	log, labels := losing(0)
	named, longer := detecttest.NewLog("named.0.log", "app"), detecttest.NewLog("longer.0.log", "app")
	var all []datasets.Leak
	for i := range 100 {
		// The same blocks, all from one site.
		b := named.Alloc("new<main", 24)
		named.Free(named.Alloc("new<main", 24))
		// Three times as many, and all of them leak, from a site that is new, too.
		for range 3 {
			n := longer.Alloc("leak<main", 24)
			all = append(all, datasets.Leak{Event: int64(len(all)) + 1, Address: datasets.Address(0x1000 + 16*uint64(n)), Size: 24, Kind: datasets.Lost})
		}
		if i%4 > 0 {
			named.Free(b)
		}
	}
	for range 20 {
		longer.Alloc("new<main", 8)
	}
	beside := func(l *detecttest.Log, labels *datasets.LogLabels) Beside {
		return Beside{Name: l.Report().Name, Of: func(*datasets.LogLabels) (Log, bool) { return Log{opened(l), labels}, true }}
	}
	cfg := RobustnessConfig{
		Entrants: []Entrant{{Name: "more than 15 live", Scorer: liveBlocks(15), Threshold: 0.5}},
		Cuts:     []float64{1},
		Beside: []Beside{beside(named, nil), beside(longer, &datasets.LogLabels{Program: "app", Leaks: all}),
			{Name: "nowhere", Of: func(*datasets.LogLabels) (Log, bool) { return Log{}, false }}},
	}
	rows, err := MeasureRobustness(t.Context(), one(Log{opened(log), labels}), cfg)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Robustness{}
	for _, r := range rows {
		got[r.Perturbation] = r
	}
	// A moment of the teardown, in which nothing is born, is not the end.
	was, ended := log.Run(t), detecttest.NewLog("ended", "app")
	for range 3 {
		ended.Alloc("a", 1)
	}
	for b := range int64(3) {
		ended.Free(b)
	}
	if run := ended.Run(t); sameMoment(run, 4, run) != 4 || sameMoment(run, 6, run) != 6 || sameMoment(was, was.Events/2, was) != was.Events/2 {
		t.Error("the same run has other moments")
	}
	if r := got["named.0.log"]; r.Before.TP != 1 || r.After != (Confusion{TP: 1}) || r.Flagged != 1 || r.Flipped != 0 {
		t.Errorf("the same run: %+v", r)
	}
	if r := got["longer.0.log"]; r.After != (Confusion{TP: 1, FP: 1}) || r.Flagged != 1 || r.Flipped != 0 || r.Verdicts != 0 {
		t.Errorf("another run: %+v", r)
	}
	if _, ok := got["nowhere"]; ok {
		t.Error("a row of nothing")
	}
	cfg.Beside = []Beside{beside(longer, nil)}
	if _, err := MeasureRobustness(t.Context(), one(Log{opened(log), labels}), cfg); err == nil || !strings.Contains(err.Error(), "320 blocks, and leaking.0.log has 200") {
		t.Errorf("another run without labels: error %v", err)
	}
}
