package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"leakformer/datasets"
	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/tokenize"
)

// planted is a run with sites s0 to s9: s0 has 8 leaked blocks, s1 has 2 beside 2
// that are not leaked, the others are normal with one block each.
func planted(t *testing.T, name string) (*tokenize.Run, *Truth) {
	t.Helper()
	l := detecttest.NewLog(name, "app")
	var leaks []datasets.Leak
	lost := func(site string) {
		b := l.Alloc(site, 10)
		leaks = append(leaks, datasets.Leak{Event: b + 1, Address: datasets.Address(0x1000 + 16*b), Size: 10, Kind: datasets.Forgotten})
	}
	for range 8 {
		lost("s0")
	}
	lost("s1")
	lost("s1")
	l.Alloc("s1", 10)
	l.Alloc("s1", 30)
	for i := range 8 {
		l.Alloc(fmt.Sprint("s", i+2), 10)
	}
	run := l.Run(t)
	truth, err := Match(run, &datasets.LogLabels{Events: int64(run.Events), Leaks: leaks})
	if err != nil {
		t.Fatal(err)
	}
	return run, truth
}

func samples(t *testing.T, runs int, cuts ...float64) iter.Seq2[*Sample, error] {
	return func(yield func(*Sample, error) bool) {
		for i := range runs {
			name := fmt.Sprint("run", i)
			run, truth := planted(t, name)
			for _, cut := range cuts {
				s := &Sample{Program: fmt.Sprint("p", i%2), Log: name, Setting: "known", Cut: cut, Truth: truth,
					Scene: &tokenize.Scene{Run: run, Cut: detect.CutAt(run, cut)}}
				if !yield(s, nil) {
					return
				}
			}
		}
	}
}

func find(t *testing.T, rows []Row, cut float64, subset Subset, scorer string) Metrics {
	t.Helper()
	i := slices.IndexFunc(rows, func(r Row) bool {
		return r.Cut == cut && r.Subset == subset && r.Scorer == scorer && r.Program == ""
	})
	if i < 0 {
		t.Fatalf("no row for %v %s %s", cut, subset, scorer)
	}
	return rows[i].Metrics
}

func TestCompare(t *testing.T) {
	perfect := &detecttest.Scorer{Sites: map[string]float64{"s0": 0.9, "s1": 0.9}, Blocks: map[uint64]float64{}}
	for b := range 10 {
		perfect.Blocks[0x1000+16*uint64(b)] = 0.9
	}
	half := &detecttest.Scorer{Sites: map[string]float64{"s1": 0.7, "s2": 0.6, "s0": 0.4}}
	entrants := append([]Entrant{{Name: "perfect", Scorer: perfect, Threshold: 0.5, Probabilities: true}, {Name: "half", Scorer: half, Threshold: 0.5}}, RuleEntrants()...)
	res, err := Compare(context.Background(), samples(t, 4, 0.4, 1), entrants)
	if err != nil {
		t.Fatal(err)
	}
	rows := res.Rows(TableConfig{})

	m := find(t, rows, 1, AllSites, "perfect")
	if m.Confusion != (Confusion{TP: 8, TN: 32}) || m.F1 != (Rate{1, 1, 1}) || m.AveragePrecision != (Rate{1, 1, 1}) || m.Runs != 4 || m.Sites != 40 || m.Positives != 8 {
		t.Errorf("perfect: %+v", m)
	}
	if m.Blocks.Precision.Value != 1 || m.Blocks.Recall.Value != 1 || m.Bytes.Recall.Value != 1 {
		t.Errorf("perfect by blocks: %+v", m)
	}
	// Scores 0.9 for what always leaks, 0 for what never does.
	if got := m.CalibrationError.Value; !near(got, 0.1*8/40) {
		t.Errorf("calibration error %v", got)
	}

	m = find(t, rows, 1, AllSites, "half")
	if m.Confusion != (Confusion{TP: 4, FP: 4, FN: 4, TN: 28}) || m.F1.Value != 0.5 {
		t.Errorf("half: %+v", m.Confusion)
	}
	if want := (1 + 2./3) / 2; !near(m.AveragePrecision.Value, want) { // ranks 1 and 3
		t.Errorf("half: average precision %v, want %v", m.AveragePrecision.Value, want)
	}
	// It flags s1 whole, 2 of 4 blocks leaked, 20 of 60 bytes, and s2 with 1 block.
	if got := m.Blocks; got.Precision.Value != 2./5 || got.Recall.Value != 2./10 {
		t.Errorf("half by blocks: %+v", got)
	}
	if got := m.Bytes; !near(got.Precision.Value, 20./70) || !near(got.Recall.Value, 20./100) {
		t.Errorf("half by bytes: %+v", got)
	}

	// Without the sites of one to four leaked blocks s1 is gone, not a negative.
	m = find(t, rows, 1, FiveLeaked, "half")
	if m.Confusion != (Confusion{FP: 4, FN: 4, TN: 28}) || m.Sites != 36 {
		t.Errorf("half, five leaked blocks: %+v", m.Confusion)
	}
	m = find(t, rows, 1, AllSites, "not freed")
	if m.Confusion != (Confusion{TP: 8, FP: 32}) || m.AveragePrecision.Value != 0.2 {
		t.Errorf("not freed: %+v, average precision %v", m.Confusion, m.AveragePrecision)
	}
	// After 8 of 20 events there is only s0.
	m = find(t, rows, 0.4, AllSites, "perfect")
	if m.Confusion != (Confusion{TP: 4}) {
		t.Errorf("cut: %+v", m.Confusion)
	}
	for _, r := range rows {
		if strings.Contains(r.Scorer, "clean runs") || strings.Contains(r.Scorer, "reported") {
			t.Errorf("rule %q needs what no run here has", r.Scorer)
		}
	}
}

func TestComparePrograms(t *testing.T) {
	res, err := Compare(context.Background(), samples(t, 4, 1), RuleEntrants()[:1])
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range res.Rows(TableConfig{Programs: true}) {
		got = append(got, fmt.Sprint(r.Program, " ", r.Subset, " ", r.Metrics.Runs))
	}
	if want := []string{" all 4", " >=5 4", "p0 all 2", "p0 >=5 2", "p1 all 2", "p1 >=5 2"}; !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
}

func TestCompareErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		samples  iter.Seq2[*Sample, error]
		entrants []Entrant
		want     string
	}{
		"no entrant":    {samples(t, 1, 1), nil, "nothing to compare"},
		"no sample":     {samples(t, 0), RuleEntrants(), "no run"},
		"broken sample": {func(yield func(*Sample, error) bool) { yield(nil, broken) }, RuleEntrants(), "broken"},
		"broken scorer": {samples(t, 1, 1), []Entrant{{Scorer: &detecttest.Scorer{Err: broken}}}, "scoring run0: broken"},
	} {
		if _, err := Compare(context.Background(), c.samples, c.entrants); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestOutputs(t *testing.T) {
	res, err := Compare(context.Background(), samples(t, 2, 1), RuleEntrants()[:2])
	if err != nil {
		t.Fatal(err)
	}
	rows := res.Rows(TableConfig{})
	var text, markdown, js bytes.Buffer
	if err := errors.Join(WriteText(&text, rows), WriteMarkdown(&markdown, rows), WriteJSON(&js, rows)); err != nil {
		t.Fatal(err)
	}
	const title = "known, cut at 100 %, all sites: 2 runs, 20 sites, 4 leak (flagging nothing is right for 0.8000)"
	if !strings.Contains(text.String(), title+"\nscorer ") || !strings.Contains(text.String(), "\nnot freed ") {
		t.Errorf("text:\n%s", text.String())
	}
	if !strings.Contains(markdown.String(), "**"+title+"**\n\n| scorer |") || !strings.Contains(markdown.String(), "| not freed | 4 | 16 | 0 | 0.200 [0.20 0.20] |") {
		t.Errorf("markdown:\n%s", markdown.String())
	}
	var back []struct {
		Setting, Scorer string
		Cut             float64
		Metrics         struct {
			Confusion map[string]int64
			F1        struct{ Value, Low, High *float64 }
		}
	}
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || len(back) != 4 || back[0].Metrics.Confusion["tp"] != 4 || back[0].Metrics.F1.Value == nil {
		t.Errorf("JSON %v:\n%s", err, js.String())
	}
}
