package eval

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"leakformer/datasets"
	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// losing is a log with a site that loses every fourth of its blocks, and others.
// Its labels come with it.
func losing(seed int) (*detecttest.Log, *datasets.LogLabels) {
	l := detecttest.NewLog(fmt.Sprintf("leaking.%d.log", seed), "app")
	labels := &datasets.LogLabels{Program: "app"}
	event := int64(0)
	for i := range 100 {
		b := l.Alloc("leak<main", 24)
		l.Free(l.Alloc("busy<main", 24))
		event += 3
		if (i+seed)%4 > 0 {
			l.Free(b)
			event++
			continue
		}
		labels.Leaks = append(labels.Leaks, datasets.Leak{Event: event, Address: datasets.Address(0x1000 + 16*uint64(b)), Size: 24, Kind: datasets.Forgotten})
	}
	labels.Events = event
	return l, labels
}

func one(log Log) iter.Seq2[Log, error] {
	return func(yield func(Log, error) bool) { yield(log, nil) }
}

// threshold flags sites with more live blocks than so many: what half of the
// blocks seen and other sites change.
type liveBlocks int

func (n liveBlocks) Score(_ context.Context, views []*tokenize.View) (sites []float64, blocks [][]float64, err error) {
	for _, v := range views {
		p := 0.0
		if len(v.Live) > int(n) {
			p = 1
		}
		sites = append(sites, p)
	}
	return sites, nil, nil
}

func TestMeasureRobustness(t *testing.T) {
	log, labels := losing(0)
	clean, _ := losing(1)
	rows, err := MeasureRobustness(t.Context(), one(Log{func() (ingest.Source, error) { return log, nil }, labels}), RobustnessConfig{
		Entrants:   []Entrant{{Name: "more than 15 live", Scorer: liveBlocks(15), Threshold: 0.5}},
		Cuts:       []float64{0.9, 1},
		References: []func() (ingest.Source, error){func() (ingest.Source, error) { return clean, nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Robustness{}
	for _, r := range rows {
		if r.Runs != 2 || r.Before.TP != 2 || r.Before.FP+r.Before.FN != 0 {
			t.Errorf("%s: %+v", r.Perturbation, r)
		}
		got[r.Perturbation] = r
	}
	for _, same := range []string{"cut 1 % earlier", "processes and threads renamed", "other addresses", "symbols stripped", "no addresses", "no call stacks"} {
		if r := got[same]; r.Flipped != 0 || r.Flagged != 2 || r.Verdicts != 0 || r.After.TP != 2 {
			t.Errorf("%s: %+v", same, r)
		}
	}
	// Half of 22 and of 25 live blocks are not more than 15.
	for _, half := range []string{"half of the blocks seen", "half of the blocks seen, clean runs whole"} {
		if r := got[half]; r.Flipped != 2 || r.Flagged != 2 || r.Verdicts != 2 || r.After.FN != 2 || r.Changed != 2 {
			t.Errorf("%s: %+v", half, r)
		}
	}
	if r := got["processes and threads renamed"]; r.Changed != 0 {
		t.Errorf("a log without processes is changed by their names: %+v", r)
	}
	var text bytes.Buffer
	if err := errors.Join(WriteRobustnessText(&text, rows), WriteRobustnessMarkdown(&text, rows), WriteRobustnessJSON(&text, rows)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| half of the blocks seen | more than 15 live | 2 | 2 | 1.000 | 0.000 | -1.000 | 2 of 2 (100.0 %) | 2 of 2 (100.0 %) |", `"verdicts_flipped": 2`, "perturbation "} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
}

// Every perturbation makes a valid log of the same run, with the same truth where
// it leaves blocks out.
func TestPerturbationsAreLogs(t *testing.T) {
	log, labels := losing(0)
	was := log.Run(t)
	truth, err := Match(was, labels)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Perturbations() {
		a := p.apply(log)
		v := new(ingest.Validator)
		for e, err := range a.Events() {
			if err == nil {
				err = v.Event(e, a.Stacks())
			}
			if err != nil {
				t.Fatalf("%s: %v", p.Name, err)
			}
		}
		a = p.apply(log)
		run, err := tokenize.Load(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		leaky := truth.at(was, was.Events, a, run)
		scene := &tokenize.Scene{Run: run, Cut: a.until(was.Events)}
		live := 0
		for site := range leaky {
			live += len(scene.View(site).Live)
		}
		want := 25
		if strings.HasPrefix(p.Name, "half") {
			want = len(slices.DeleteFunc(slices.Clone(a.blocks), func(b int64) bool { return b < 0 || run.Blocks.Died(int32(b)) != tokenize.Alive }))
		}
		if len(leaky) != 1 || live != want || live == 0 {
			t.Errorf("%s: %d leaking sites with %d live blocks, want 1 and %d", p.Name, len(leaky), live, want)
		}
	}
}

func TestMeasureRobustnessRefuses(t *testing.T) {
	entrants := []Entrant{{Name: "live", Scorer: liveBlocks(1), Threshold: 0.5}}
	series := detecttest.NewReport("r", "app")
	series.Report().Class = ingest.Snapshots
	_, labels := losing(0)
	for _, c := range []struct {
		name string
		log  Log
		cfg  RobustnessConfig
		want string
	}{
		{"no entrant", Log{}, RobustnessConfig{}, "nothing to compare"},
		{"series", Log{func() (ingest.Source, error) { return series, nil }, labels}, RobustnessConfig{Entrants: entrants}, "no log to perturb"},
		{"labels of another run", Log{func() (ingest.Source, error) { return reused(), nil }, labels}, RobustnessConfig{Entrants: entrants}, "the labels are of another run"},
		{"no file", Log{func() (ingest.Source, error) { return nil, errors.New("no such file") }, labels}, RobustnessConfig{Entrants: entrants}, "no such file"},
	} {
		if _, err := MeasureRobustness(t.Context(), one(c.log), c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// Names can be taken from a report, which keeps its records.
func TestMeasureRobustnessOfReports(t *testing.T) {
	labels, dir, err := datasets.Open("../datasets/corpus/memcheck/lua/labels.json")
	if err != nil {
		t.Fatal(err)
	}
	l := &labels.Logs[1]
	rows, err := MeasureRobustness(t.Context(), one(Log{func() (ingest.Source, error) { return ingest.Open(filepath.Join(dir, l.Log), ingest.Options{}) }, l}),
		RobustnessConfig{Entrants: []Entrant{{Name: "all", Scorer: liveBlocks(0), Threshold: 0.5}}})
	if err != nil || len(rows) != 3 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if r := rows[1]; r.Perturbation != "symbols stripped" || r.Changed != 1 || r.Before.TP == 0 || r.After.TP < r.Before.TP || r.Before.FP+r.After.FP+r.Flipped != 0 {
		t.Errorf("%+v", r)
	}
}

// A score that is no probability is refused, not compared.
func TestScoreThatIsNone(t *testing.T) {
	log, labels := losing(0)
	for _, p := range []float64{math.NaN(), math.Inf(1), -0.1} {
		s := &detecttest.Scorer{Sites: map[string]float64{"leak": p}}
		_, err := MeasureRobustness(t.Context(), one(Log{func() (ingest.Source, error) { return log, nil }, labels}),
			RobustnessConfig{Entrants: []Entrant{{Name: "broken", Scorer: s, Threshold: 0.5}}})
		if err == nil || !strings.Contains(err.Error(), "the probability") {
			t.Errorf("%v: error %v", p, err)
		}
	}
}

// What is extreme is judged too: nothing at all, one event, and a site of ten
// million, in bounded time and memory.
func TestExtremeRuns(t *testing.T) {
	const most = 1 << 30 // bytes, for the run of ten million events
	single := detecttest.NewLog("single", "app")
	single.Alloc("a<main", 1)
	for _, c := range []struct {
		name  string
		run   *tokenize.Run
		sites int
	}{
		{"empty", detecttest.NewLog("empty", "app").Run(t), 0},
		{"one event", single.Run(t), 1},
		{"huge", huge(t, 10_000_000), 1},
	} {
		start := time.Now()
		scene := &tokenize.Scene{Run: c.run, Cut: c.run.Events}
		sites := 0
		for _, r := range Rules() {
			sites = 0
			if err := detect.Each(t.Context(), r, scene, func(v *tokenize.View, p float64, _ []float64) error { sites++; return nil }); err != nil {
				t.Errorf("%s: %s: %v", c.name, r.Name, err)
			}
		}
		seq := 0
		scene.Views(func(v *tokenize.View) bool {
			s := tokenize.Tokenize(v)
			seq = max(seq, s.Len())
			return true
		})
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t.Logf("%s: %d events, %d sites, a sequence of %d positions, %.1f s, %d MB", c.name, c.run.Events, sites, seq, time.Since(start).Seconds(), m.HeapAlloc>>20)
		if m.HeapAlloc > most {
			t.Errorf("%s: %d MB of memory", c.name, m.HeapAlloc>>20)
		}
		if sites != c.sites || seq > 1000 {
			t.Errorf("%s: %d sites, a sequence of %d positions", c.name, sites, seq)
		}
	}
}

// huge is a run of one site with n events: each block but every hundredth is freed
// at once.
func huge(t *testing.T, n int) *tokenize.Run {
	src := &endless{n: n, stacks: ingest.NewStacks()}
	src.stack = src.stacks.Stack([]ingest.FrameID{src.stacks.Frame(ingest.Frame{Function: "hot"})})
	run, err := tokenize.Load(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

type endless struct {
	ingest.Source
	n      int
	stacks *ingest.Stacks
	stack  ingest.StackID
}

func (s *endless) Stacks() *ingest.Stacks { return s.stacks }
func (s *endless) Report() *ingest.Report { return &ingest.Report{Class: ingest.Events} }
func (s *endless) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		seq, block := int64(0), int64(0)
		emit := func(op ingest.Op) bool {
			ok := yield(ingest.Event{Op: op, Seq: seq, Block: block, Addr: 1 << 20, Size: 32, Count: 1, Stack: s.stack, Line: seq + 1}, nil)
			seq++
			return ok
		}
		for seq < int64(s.n) {
			if !emit(ingest.Alloc) || block%100 > 0 && !emit(ingest.Free) {
				return
			}
			block++
		}
	}
}
