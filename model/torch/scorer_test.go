package torch

import (
	"bytes"
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"leakformer/ingest"
	"leakformer/model"
	"leakformer/tokenize"
	"leakformer/train"
)

// randomCheckpoint is a small network with random weights.
func randomCheckpoint(t *testing.T) *model.Checkpoint {
	t.Helper()
	c := model.Config{Vocab: tokenize.VocabSize, Fields: tokenize.Fields, Dim: 16, Heads: 2, Layers: 1, FeedForward: 32, MaxLen: tokenize.MaxLen}
	net, err := New(c, Options{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer net.Close()
	var w bytes.Buffer
	if err := net.SaveWeights(&w); err != nil {
		t.Fatal(err)
	}
	plain := model.Judging{Calibration: model.Calibration{A: 1}, Threshold: 0.5}
	return &model.Checkpoint{Weights: w.Bytes(), Manifest: model.Manifest{Architecture: net.Config(),
		Judgings: model.Judgings{Judging: plain, Report: plain, Blind: plain}, BlockCalibration: plain.Calibration}}
}

// listed is a Source of events in memory.
type listed struct {
	events []ingest.Event
	stacks *ingest.Stacks
	report ingest.Report
}

func (l *listed) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		for _, e := range l.events {
			if !yield(e, nil) {
				return
			}
		}
	}
}
func (l *listed) Stacks() *ingest.Stacks { return l.stacks }
func (l *listed) Report() *ingest.Report { return &l.report }
func (l *listed) Close() error           { return nil }

func (l *listed) site(name string) ingest.StackID {
	return l.stacks.Stack([]ingest.FrameID{l.stacks.Frame(ingest.Frame{Function: name})})
}

func views(t *testing.T, l *listed) []*tokenize.View {
	t.Helper()
	run, err := tokenize.Load(context.Background(), l)
	if err != nil {
		t.Fatal(err)
	}
	var out []*tokenize.View
	(&tokenize.Scene{Run: run, Cut: run.Events}).Views(func(v *tokenize.View) bool {
		out = append(out, v)
		return true
	})
	return out
}

// A site's score does not depend on which others it is scored with, and there is
// one for each of its live blocks.
func TestScorer(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	l := &listed{stacks: ingest.NewStacks(), report: ingest.Report{Class: ingest.Events}}
	for i := range int64(3000) {
		l.events = append(l.events, ingest.Event{Op: ingest.Alloc, Seq: i, Block: i, Addr: uint64(i + 1), Size: 8, Count: 1,
			Stack: l.site(string(rune('a' + rng.IntN(20))))})
	}
	vs := views(t, l)
	s, err := NewScorer(randomCheckpoint(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sites, blocks, err := s.Score(context.Background(), vs)
	if err != nil || len(sites) != len(vs) || len(vs) != 20 {
		t.Fatalf("%d scores of %d sites: %v", len(sites), len(vs), err)
	}
	for i, v := range vs {
		if len(blocks[i]) != len(v.Live) || !(sites[i] > 0 && sites[i] < 1) {
			t.Errorf("site %d: probability %v, %d scores of %d blocks", i, sites[i], len(blocks[i]), len(v.Live))
		}
	}
	slices.Reverse(vs)
	for i, v := range vs[:3] {
		one, _, err := s.Score(context.Background(), []*tokenize.View{v})
		if d := one[0] - sites[len(sites)-1-i]; err != nil || d > 1e-5 || d < -1e-5 {
			t.Errorf("site %d alone scores %v, among others %v (%v)", i, one[0], sites[len(sites)-1-i], err)
		}
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if _, _, err := s.Score(stopped, vs); err != context.Canceled {
		t.Errorf("a stopped scoring returns %v", err)
	}
}

// What is judged without clean runs, and what is left of a sequence, has the
// probability that the checkpoint says.
func TestScorerCalibration(t *testing.T) {
	l := &listed{stacks: ingest.NewStacks(), report: ingest.Report{Class: ingest.Events}}
	for i := range int64(300) {
		l.events = append(l.events, ingest.Event{Op: ingest.Alloc, Seq: i, Block: i, Addr: uint64(i + 1), Size: 8, Count: 1, Stack: l.site("a")})
	}
	v := views(t, l)[0]
	known := *v.Scene
	known.Reference = tokenize.Reference{tokenize.NewHistory(known.Run)}
	score := func(c *model.Checkpoint, v *tokenize.View) (p, odds float64) {
		s, err := NewScorer(c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ps, _, err := s.Score(context.Background(), []*tokenize.View{v})
		if err != nil {
			t.Fatal(err)
		}
		zs, err := s.LogOdds(context.Background(), []*tokenize.View{v, v}, []*tokenize.Sequence{tokenize.Tokenize(v), tokenize.Tokenize(v).Without(0, 1, 2)})
		if err != nil || len(zs) != 2 || zs[0] == zs[1] {
			t.Fatalf("log-odds %v: %v", zs, err)
		}
		return ps[0], zs[0]
	}
	old, both := randomCheckpoint(t), randomCheckpoint(t)
	both.Manifest.Blind.Calibration = model.Calibration{A: 0.5, B: -1}
	for _, c := range []struct {
		view *tokenize.View
		a, b float64
	}{{v, 0.5, -1}, {known.View(0), 1, 0}} {
		_, z := score(old, c.view)
		p, odds := score(both, c.view)
		if want := c.a*z + c.b; math.Abs(odds-want) > 1e-5 || math.Abs(p-1/(1+math.Exp(-want))) > 1e-5 {
			t.Errorf("log-odds %v, probability %v of the logit %v: want %v", odds, p, z, want)
		}
	}
}

// everySecond are trees that learned that every second site leaks.
func everySecond(t *testing.T, vs []*tokenize.View) *model.Trees {
	t.Helper()
	var examples []model.TreeExample
	var features model.Features
	for i, v := range vs {
		examples = append(examples, model.TreeExample{Features: features.Of(v), Leak: i%2 == 0, Weight: 100})
	}
	trees, err := model.FitTrees(context.Background(), map[tokenize.Kind][]model.TreeExample{tokenize.KindEvents: examples}, model.TreesConfig{Trees: 10})
	if err != nil {
		t.Fatal(err)
	}
	return trees
}

// With trees in the checkpoint it is both that judge.
func TestScorerAsksTheTrees(t *testing.T) {
	l := &listed{stacks: ingest.NewStacks(), report: ingest.Report{Class: ingest.Events}}
	for i := range int64(200) {
		l.events = append(l.events, ingest.Event{Op: ingest.Alloc, Seq: i, Block: i, Addr: uint64(i + 1), Size: 8, Count: 1, Stack: l.site(string(rune('a' + min(i, 9))))})
	}
	vs := views(t, l)
	c := randomCheckpoint(t)
	logits := func() (out []float64) {
		s, err := NewScorer(c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sites, _, err := s.Score(context.Background(), vs)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range sites {
			out = append(out, math.Log(p/(1-p)))
		}
		return out
	}
	network := logits()
	c.Trees = everySecond(t, vs)
	told := false
	for i, z := range logits() {
		tree := c.Trees.Logit(vs[i])
		told = told || math.Abs(tree) > 0.1
		if want := train.Joint(network[i], tree); math.Abs(z-want) > 1e-6 {
			t.Errorf("site %d: logit %v, want %v of %v and %v", i, z, want, network[i], tree)
		}
	}
	if !told {
		t.Error("the trees say nothing")
	}
}

// What memcheck calls lost is a leak whatever the network thinks.
func TestScorerBelievesTheChecker(t *testing.T) {
	l := &listed{stacks: ingest.NewStacks(), report: ingest.Report{Class: ingest.EndReport}}
	for i, loss := range []ingest.Loss{ingest.Definite, ingest.Indirect, ingest.Possible, ingest.Reachable} {
		l.events = append(l.events, ingest.Event{Op: ingest.Outstanding, Seq: int64(i), Block: int64(i), Loss: loss, Size: 8, Count: 1, Stack: l.site(loss.String())})
	}
	s, err := NewScorer(randomCheckpoint(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sites, blocks, err := s.Score(context.Background(), views(t, l))
	if err != nil {
		t.Fatal(err)
	}
	for i, lost := range []bool{true, true, false, false} {
		if (sites[i] >= certain) != lost || (blocks[i][0] >= certain) != lost {
			t.Errorf("%v: probability %v, of its block %v", l.events[i].Loss, sites[i], blocks[i][0])
		}
	}
}

// Of reports the trees are asked alone.
func TestScorerAsksTheTreesAlone(t *testing.T) {
	l := &listed{stacks: ingest.NewStacks(), report: ingest.Report{Class: ingest.EndReport}}
	for i, loss := range []ingest.Loss{ingest.Definite, ingest.Unreferenced, ingest.Unreferenced} {
		l.events = append(l.events, ingest.Event{Op: ingest.Outstanding, Seq: int64(i), Block: int64(i), Addr: uint64(i + 1), Loss: loss, Size: 8, Count: 1, Stack: l.site(loss.String())})
	}
	vs := views(t, l)
	c := randomCheckpoint(t)
	c.Trees = everySecond(t, vs)
	s, err := NewScorer(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sites, blocks, err := s.Score(context.Background(), vs)
	if err != nil {
		t.Fatal(err)
	}
	odds, err := s.LogOdds(context.Background(), vs, make([]*tokenize.Sequence, len(vs)))
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range vs {
		want := s.manifest.Report.Calibration.LogOdds(c.Trees.Logit(v))
		lost := v.Scene.Lost(v.Live[0])
		if odds[i] != want || !lost && (math.Abs(sites[i]-1/(1+math.Exp(-want))) > 1e-9 || blocks[i] != nil) || lost && (sites[i] < certain || blocks[i][0] < certain) {
			t.Errorf("site %d: log-odds %v, want %v; probability %v, of its blocks %v", i, odds[i], want, sites[i], blocks[i])
		}
	}
}

func TestScorerRefusesOtherWeights(t *testing.T) {
	c := randomCheckpoint(t)
	c.Manifest.Architecture.Layers = 2
	if _, err := NewScorer(c, Options{}); err == nil {
		t.Error("weights of one layer were taken for two")
	}
}
