package train

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// bag is a learner that can be read: the logit of a site is the mean, over the
// positions of its sequence, of the sum of one weight for each token there; that
// of a block is the sum at its position.
type bag struct {
	W, B  []float64
	steps int
}

func newBag() *bag {
	return &bag{W: make([]float64, tokenize.VocabSize), B: make([]float64, tokenize.VocabSize)}
}

func (g *bag) Predict(b *Batch) (site, block []float32, err error) {
	if err := b.Validate(); err != nil {
		return nil, nil, err
	}
	site, block = make([]float32, b.B), make([]float32, b.B*b.L)
	for i := range b.B {
		for pos := range int(b.Lengths[i]) {
			for _, id := range b.at(i, pos) {
				site[i] += float32(g.W[id]) / float32(b.Lengths[i])
				block[i*b.L+pos] += float32(g.B[id])
			}
		}
	}
	return site, block, nil
}

func (b *Batch) at(i, pos int) []int32 {
	n := (i*b.L + pos) * b.F
	return b.Tokens[n : n+b.F]
}

func (g *bag) Step(b *Batch, rate float64) (float64, error) {
	g.steps++
	if b.Causal {
		return 1, b.Validate()
	}
	site, _, err := g.Predict(b)
	if err != nil {
		return 0, err
	}
	loss := 0.0
	for i := range b.B {
		z, y := float64(site[i]), float64(b.Site[i])
		loss += softplus(z) - y*z
		d := 20 * rate / float64(b.Lengths[i]) * (1/(1+math.Exp(-z)) - y)
		for pos := range int(b.Lengths[i]) {
			for _, id := range b.at(i, pos) {
				if id > 0 {
					g.W[id] -= d
				}
			}
		}
	}
	return loss / float64(b.B), nil
}

func (g *bag) Save(w io.Writer) error { return gob.NewEncoder(w).Encode(g) }
func (g *bag) Load(r io.Reader) error { return gob.NewDecoder(r).Decode(g) }

// memory is a Source of events in memory.
type memory struct {
	events []ingest.Event
	stacks *ingest.Stacks
	report ingest.Report
}

func (m *memory) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		for _, e := range m.events {
			if !yield(e, nil) {
				return
			}
		}
	}
}
func (m *memory) Stacks() *ingest.Stacks { return m.stacks }
func (m *memory) Report() *ingest.Report { return &m.report }
func (m *memory) Close() error           { return nil }

// server is the log of a program that answers requests: each allocates and frees
// some blocks, a cache keeps a few, tables are made once.
func server(t testing.TB, seed uint64, requests int) *tokenize.Run {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	m := &memory{stacks: ingest.NewStacks(), report: ingest.Report{Name: fmt.Sprintf("server.%d", seed), Class: ingest.Events, Command: "server"}}
	stack := func(name string) ingest.StackID {
		return m.stacks.Stack([]ingest.FrameID{m.stacks.Frame(ingest.Frame{Function: name, Module: "server"})})
	}
	type block struct {
		n, size int64
		s       ingest.StackID
	}
	born := int64(0)
	alloc := func(s ingest.StackID, size int64) block {
		b := block{born, size, s}
		m.events = append(m.events, ingest.Event{Op: ingest.Alloc, Seq: int64(len(m.events)), Block: born, Addr: uint64(0x1000 + 16*born), Size: size, Count: 1, Stack: s})
		born++
		return b
	}
	free := func(b block) {
		m.events = append(m.events, ingest.Event{Op: ingest.Free, Seq: int64(len(m.events)), Block: b.n, Size: b.size, Count: 1, Stack: b.s})
	}
	for range 50 {
		alloc(stack("init_table"), 64)
	}
	var cache []block
	for range requests {
		var mine []block
		for i := range 12 {
			mine = append(mine, alloc(stack(fmt.Sprintf("step%d", i)), int64(16+rng.IntN(3)*16)))
		}
		if rng.IntN(4) == 0 {
			cache = append(cache, alloc(stack("cache_put"), 256))
			if len(cache) > 40 {
				free(cache[0])
				cache = cache[1:]
			}
		}
		rng.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		for _, b := range mine {
			free(b)
		}
	}
	run, err := tokenize.Load(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func servers(t testing.TB, n int) Data {
	var d Data
	for i := range n {
		d.Clean = append(d.Clean, server(t, uint64(i), 150+10*i))
	}
	return d
}

var quick = Config{Steps: 60, BatchSize: 32, Rate: 0.02, ValidateEvery: 20}

func TestRunLearnsFromCleanRuns(t *testing.T) {
	g := newBag()
	var last Progress
	res, err := Run(context.Background(), quick, servers(t, 5), g, func(p Progress) { last = p })
	if err != nil {
		t.Fatal(err)
	}
	if last.Step != 60 || res.Steps != 60 || len(res.Judgements) != 3 {
		t.Errorf("%d steps, %d judgements", res.Steps, len(res.Judgements))
	}
	if res.Best.AveragePrecision < 0.8 {
		t.Errorf("average precision %v: nothing learned", res.Best.AveragePrecision)
	}
	if res.Threshold <= 0 || res.Threshold >= 1 {
		t.Errorf("threshold %v", res.Threshold)
	}
	if len(res.Histories) != 1 || res.Histories[0].Runs != 5 || res.Train+res.Valid != 5 {
		t.Errorf("%d histories, %d + %d runs", len(res.Histories), res.Train, res.Valid)
	}
}

// Sites with nothing to compare with have probabilities of their own: as many leak
// as they say.
func TestBlindCalibration(t *testing.T) {
	cfg, err := quick.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	sp, err := newSplit(servers(t, 5), cfg.Holdout, cfg.Seed)
	if err != nil {
		t.Fatal(err)
	}
	g := newBag()
	res, err := Run(context.Background(), quick, servers(t, 5), g, nil)
	if err != nil {
		t.Fatal(err)
	}
	compared := func(x *exam) (n int) {
		for _, e := range x.examples {
			for pos := range e.seq.Len() {
				// Of a program without clean runs it says only that there are none.
				if e.seq.Part(pos) == tokenize.CleanRuns && e.seq.Tokens[pos*tokenize.Fields+2] != 0 {
					n++
				}
			}
		}
		return n
	}
	blind, known := newExam(sp.valid, cfg.Seed, asBlind, nil), newExam(sp.valid, cfg.Seed, asEvents, nil)
	if n, all := compared(blind), compared(known); n > 0 || all != len(known.examples) {
		t.Errorf("%d of %d sites are compared with clean runs, and %d of %d", n, len(blind.examples), all, len(known.examples))
	}
	a, err := blind.predict(g, cfg.BatchSize)
	if err != nil {
		t.Fatal(err)
	}
	said, leak := 0.0, 0.0
	for i, e := range blind.examples {
		said += blind.weights[i] * res.Blind.Calibration.Probability(a.sites[i])
		if e.leak {
			leak += blind.weights[i]
		}
	}
	if leak < 50 || math.Abs(said/leak-1) > 0.02 || res.Blind.Calibration == res.Calibration {
		t.Errorf("%.1f sites are said to leak, %v do", said, leak)
	}
}

// With labels that mean nothing, the precision falls to the share of positives.
func TestShuffledLabelsTeachNothing(t *testing.T) {
	sp, err := newSplit(servers(t, 5), 0.15, 1)
	if err != nil {
		t.Fatal(err)
	}
	x := newExam(sp.valid, 1, asEvents, nil)
	cfg, _ := quick.withDefaults()
	s := newSampler(sp.train, cfg)
	precision := func(shuffle bool, seed uint64) float64 {
		g := newBag()
		rng := generator(seed, 3)
		for k := range 15 {
			pool := s.pool(k)
			if shuffle {
				// Over the whole pool: its batches are sorted by length, which tells of leaks.
				var labels []*float32
				for _, b := range pool {
					for i := range b.Site {
						labels = append(labels, &b.Site[i])
					}
				}
				rng.Shuffle(len(labels), func(i, j int) { *labels[i], *labels[j] = *labels[j], *labels[i] })
			}
			for _, b := range pool {
				if _, err := g.Step(b, 0.02); err != nil {
					t.Fatal(err)
				}
			}
		}
		j, err := x.judge(g, 64)
		if err != nil {
			t.Fatal(err)
		}
		return j.AveragePrecision
	}
	base := float64(x.positives) / sum(x.weights)
	honest, shuffled := precision(false, 0), 0.0
	const tries = 6 // the ranking by chance of one try may be a good one
	for seed := range uint64(tries) {
		shuffled += precision(true, seed) / tries
	}
	if honest < 0.8 || shuffled > base+0.35 {
		t.Errorf("average precision %v with labels, %v with shuffled ones; base rate %v", honest, shuffled, base)
	}
}

func sum(xs []float64) (s float64) {
	for _, x := range xs {
		s += x
	}
	return s
}

func TestRunRepeatsAndResumes(t *testing.T) {
	data := servers(t, 4)
	whole := newBag()
	var states [][]byte
	cfg := quick
	cfg.Save = func(s *State) error {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(s); err != nil {
			return err
		}
		states = append(states, b.Bytes())
		return nil
	}
	want, err := Run(context.Background(), cfg, data, whole, nil)
	if err != nil {
		t.Fatal(err)
	}
	again := newBag()
	if got, err := Run(context.Background(), quick, data, again, nil); err != nil || !reflect.DeepEqual(got, want) || !slices.Equal(again.W, whole.W) {
		t.Errorf("the same training gave another result (%v)", err)
	}
	for i, saved := range states[:len(states)-1] {
		var st State
		if err := gob.NewDecoder(bytes.NewReader(saved)).Decode(&st); err != nil {
			t.Fatal(err)
		}
		cfg := quick
		cfg.Resume = &st
		g := newBag()
		got, err := Run(context.Background(), cfg, data, g, nil)
		if err != nil || !reflect.DeepEqual(got, want) || !slices.Equal(g.W, whole.W) {
			t.Errorf("resumed after judgement %d, the training gave another result (%v)", i, err)
		}
		if g.steps >= whole.steps {
			t.Errorf("resumed after judgement %d, the training made all %d steps again", i, g.steps)
		}
	}
}

func TestLabelledRuns(t *testing.T) {
	run := server(t, 1, 100)
	sites := map[string]int32{}
	for i, b := range run.Blocks.All() {
		if b.Died == tokenize.Alive {
			sites[run.Sites[b.Site].Label] = i
		}
	}
	kept := sites["cache_put"]
	s, err := newLabelled(Labelled{run, []Leak{{Block: kept, Event: run.Blocks.Born(kept) + 10}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cut  uint32
		want bool
	}{{run.Blocks.Born(kept) + 5, false}, {run.Blocks.Born(kept) + 9, false}, {run.Blocks.Born(kept) + 10, true}} {
		sc := &tokenize.Scene{Run: run, Cut: c.cut, Forgotten: s.forgotten}
		if sc.Leaked(kept) != c.want || !sc.Live(kept) {
			t.Errorf("at event %d: leaked is %v, live is %v", c.cut, sc.Leaked(kept), sc.Live(kept))
		}
	}
	freed := run.BySite[run.Blocks.Site(60)][0]
	if _, err := newLabelled(Labelled{run, []Leak{{Block: freed}}}); err == nil || !strings.Contains(err.Error(), "frees it") {
		t.Errorf("a label for a freed block: %v", err)
	}
	if _, err := newLabelled(Labelled{run, []Leak{{Block: int32(run.Blocks.Len())}}}); err == nil {
		t.Error("a label for a block that is not there was taken")
	}
}

// Only blocks that the run freed before the cut can be forgotten.
func TestPlantedLeaks(t *testing.T) {
	run := server(t, 2, 200)
	p := newPlanter(run)
	planted := 0
	for seed := range uint64(200) {
		rng := generator(seed, 0)
		cut := 1 + uint32(rng.IntN(int(run.Events)))
		for i, lost := range p.plant(rng, cut, 3) {
			if !lost {
				continue
			}
			planted++
			if b := run.Blocks.At(int32(i)); b.Died >= cut || b.Born >= cut {
				t.Fatalf("cut %d: forgot the free of a block that lived from %d to %d", cut, b.Born, b.Died)
			}
		}
	}
	if planted < 1000 {
		t.Errorf("%d leaks planted in 200 tries", planted)
	}
}

func TestAsReport(t *testing.T) {
	run := server(t, 3, 200)
	for seed := range uint64(50) {
		rng := generator(seed, 0)
		sc := &tokenize.Scene{Run: run, Cut: run.Events * 3 / 4}
		sc.Forgotten = newPlanter(run).plant(rng, sc.Cut, 4)
		rep := asReport(rng, sc)
		rep.Views(func(v *tokenize.View) bool {
			e := newExample(v)
			if n := len(e.seq.Tokens); n != e.seq.Len()*tokenize.Fields || e.seq.Len() > tokenize.MaxLen {
				t.Fatalf("%d tokens, %d positions", n, e.seq.Len())
			}
			return true
		})
	}
}

// Scans list what is lost until the end, and what is not for a while; each of their
// records is one scan's sight of one block.
func TestAsScans(t *testing.T) {
	run := server(t, 3, 200)
	single, vanished, leaked := 0, 0, 0
	for seed := range uint64(100) {
		rng := generator(seed, 0)
		sc := &tokenize.Scene{Run: run, Cut: run.Events * 3 / 4}
		sc.Forgotten = newPlanter(run).plant(rng, sc.Cut, 4)
		rep := asScans(rng, sc)
		if rep.Run.Events > 0 && rep.Kind() != tokenize.KindSuspects || rep.Rescanned() != (rep.Run.Scans > 1) || rep.Run.Scans > maxScans {
			t.Fatalf("%s of %d scans", rep.Kind(), rep.Run.Scans)
		}
		if rep.Run.Scans == 1 {
			single++
		}
		records, last := uint32(0), int64(-1)
		for i, b := range rep.Run.Blocks.All() {
			records += uint32(b.Scans)
			if int64(b.Born) <= last || b.Scans == 0 || int(b.Scans) > rep.Run.Scans || b.Loss != ingest.Unreferenced {
				t.Fatalf("seed %d: block %d is %+v, behind record %d", seed, i, b, last)
			}
			last = int64(b.Born)
			switch {
			case !rep.Live(i):
				vanished++
			case rep.Leaked(i):
				leaked++
			}
			if rep.Leaked(i) && !rep.Live(i) {
				t.Fatalf("seed %d: a leak vanishes", seed)
			}
		}
		if records != rep.Cut {
			t.Fatalf("seed %d: %d records, %d sights", seed, rep.Cut, records)
		}
	}
	if single < 20 || single > 60 || vanished < 100 || leaked < 100 {
		t.Errorf("%d of 100 have one scan; %d objects vanished, %d are leaked", single, vanished, leaked)
	}
}

func TestRunRefuses(t *testing.T) {
	ctx := context.Background()
	bad := func(want string, cfg Config, d Data) {
		t.Helper()
		if _, err := Run(ctx, cfg, d, newBag(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	bad("no runs", quick, Data{})
	bad("at least 3 clean logs", quick, servers(t, 1))
	bad("learning rate", Config{Rate: -1}, servers(t, 3))
	bad("batch size", Config{BatchSize: -1}, servers(t, 3))
	report := server(t, 1, 10)
	report.Class = ingest.EndReport
	bad("no frees to learn from", quick, Data{Clean: []*tokenize.Run{report}})
	stopped, stop := context.WithCancel(ctx)
	stop()
	if _, err := Run(stopped, quick, servers(t, 3), newBag(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped training returns %v", err)
	}
}

func TestAveragePrecision(t *testing.T) {
	x := &exam{}
	for _, leak := range []bool{true, false, true, false, false} {
		x.add(example{leak: leak}, 1)
	}
	c := x.curve([]float64{5, 4, 3, 2, 1})
	if got, want := averagePrecision(c), (1+2./3)/2; math.Abs(got-want) > 1e-12 {
		t.Errorf("average precision %v, want %v", got, want)
	}
	if b := bestF1(c); b.Threshold != 2.5 || math.Abs(b.f1()-0.8) > 1e-12 {
		t.Errorf("best F1 %v at %v, want 0.8 at 2.5", b.f1(), b.Threshold)
	}
	if c := x.curve([]float64{1, 1, 1, 1, 1}); len(c) != 1 || c[0].Precision != 0.4 || c[0].Recall != 1 {
		t.Errorf("equal scores give %v", c)
	}
}

// Calibrated probabilities of a known model are the true ones.
func TestCalibrate(t *testing.T) {
	rng := generator(1, 1)
	var z, w []float64
	var y []bool
	for range 40000 {
		x := rng.NormFloat64() * 2
		z = append(z, x)
		w = append(w, 1)
		y = append(y, rng.Float64() < Calibration{A: 0.5, B: -1}.Probability(x))
	}
	if c := calibrate(z, y, w); math.Abs(c.A-0.5) > 0.03 || math.Abs(c.B+1) > 0.05 {
		t.Errorf("calibration %+v, want 0.5 and -1", c)
	}
	for i := range y {
		y[i] = z[i] > 0
	}
	if c := calibrate(z, y, w); math.IsNaN(c.A) || c.A < 1 {
		t.Errorf("separable classes give %+v", c)
	}
}

func TestSplitKeepsRunsApart(t *testing.T) {
	d := servers(t, 7)
	for i := range 4 {
		r := server(t, uint64(50+i), 60)
		r.Program = "other"
		d.Clean = append(d.Clean, r)
	}
	sp, err := newSplit(d, 0.3, 5)
	if err != nil {
		t.Fatal(err)
	}
	// Two runs of each program are there without their stacks, too.
	if len(sp.train)+len(sp.valid) != 11+4 || len(sp.valid) != 3 {
		t.Errorf("%d runs to learn from, %d held out", len(sp.train), len(sp.valid))
	}
	held := map[string]bool{}
	for _, s := range sp.valid {
		held[s.run.Name+s.run.Program] = true
	}
	for _, s := range sp.train {
		if held[s.run.Name+s.run.Program] {
			t.Errorf("%s is held out and learned from", s.run.Name)
		}
	}
	seen := map[*tokenize.Run]bool{}
	for _, s := range slices.Concat(sp.train, sp.valid) {
		if seen[s.run] {
			t.Error("a run is in twice")
		}
		seen[s.run] = true
		for _, h := range s.others {
			if h.Program != s.run.Program {
				t.Errorf("a run of %s is compared with one of %s", s.run.Program, h.Program)
			}
			if own := tokenize.NewHistory(s.run); reflect.DeepEqual(h, own) {
				t.Error("a run is compared with itself")
			}
		}
	}
}

// Where probabilities are right, calling a site a leak from half of the best F1 on
// gives the best F1.
func TestThresholdIsHalfOfBestF1(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	x := &exam{}
	var p []float64
	for range 50_000 {
		p = append(p, math.Pow(rng.Float64(), 4))
		x.add(example{leak: rng.Float64() < p[len(p)-1]}, 1)
	}
	curve := x.curve(p)
	f1 := func(threshold float64) float64 {
		var at CurvePoint
		for _, c := range curve {
			if c.Threshold >= threshold {
				at = c
			}
		}
		return at.f1()
	}
	chosen := threshold(curve)
	if best := bestF1(curve).f1(); f1(chosen) < 0.995*best || f1(0.9) > 0.8*best {
		t.Errorf("threshold %.3f gives F1 %.3f, the best is %.3f; 0.9 gives %.3f", chosen, f1(chosen), best, f1(0.9))
	}
	if got := threshold(nil); got != 1 {
		t.Errorf("without answers the threshold is %v", got)
	}
}
