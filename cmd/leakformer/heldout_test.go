package main

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"leakformer/datasets"
	"leakformer/detect"
	"leakformer/eval"
	"leakformer/model/torch"
	"leakformer/tokenize"
)

// heldOut are the programs of the corpus that the model which comes along has not
// learned from; see the Makefile.
var heldOut = []string{"nginx", "mosquitto", "gs", "qpdf", "cmake", "zsh"}

// look is a leaky run at one moment, beside the clean runs of its program.
type look struct {
	*tokenize.Scene
	truth *eval.Truth
}

// looks are the runs of the programs held out.
func looks(t *testing.T, sh *shell, cuts ...float64) (out []look) {
	t.Helper()
	for _, p := range heldOut {
		labels, err := readLabels([]string{filepath.Join("../../datasets/corpus", p, "labels.json")})
		if err != nil {
			t.Fatal(err)
		}
		var clean tokenize.Reference
		from := len(out)
		for i := range labels.Logs {
			l := &labels.Logs[i]
			run, err := sh.loadRun(t.Context(), l.Log, "")
			if err != nil {
				t.Fatal(err)
			}
			if l.Class == datasets.Clean {
				clean = append(clean, tokenize.NewHistory(run))
				continue
			}
			truth, err := eval.Match(run, l)
			if err != nil {
				t.Fatal(err)
			}
			for _, cut := range cuts {
				out = append(out, look{&tokenize.Scene{Run: run, Cut: detect.CutAt(run, cut)}, truth})
			}
		}
		for _, l := range out[from:] {
			l.Reference = clean
		}
	}
	return out
}

// leaks reports whether the site of a finding does leak.
func (l *look) leaks(f *detect.Finding) bool { return l.truth.Count(l.site(f)) > 0 }

func (l *look) site(f *detect.Finding) *tokenize.View {
	return l.View(int(l.Run.Blocks.Site(f.Blocks[0])))
}

// findings collects what a detector says.
type findings []*detect.Finding

func (f *findings) Finding(x *detect.Finding) error { *f = append(*f, x); return nil }
func (f *findings) Summary(*detect.Summary) error   { return nil }

func (l *look) detect(t *testing.T, d *detect.Detector) (all findings) {
	t.Helper()
	if _, err := d.Detect(t.Context(), l.Scene, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// quiet is a shell that nobody listens to, and the model that comes along.
func quiet(t *testing.T) (*shell, *trained) {
	t.Helper()
	sh := &shell{stdout: io.Discard, stderr: io.Discard, log: slog.New(slog.DiscardHandler)}
	m, err := sh.loadModel("", torch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return sh, m
}

// once is a scorer that scores each site of a scene once, and remembers.
type once struct {
	detect.Scorer
	known map[seen]float64
}

type seen struct {
	scene *tokenize.Scene
	site  int
}

func (o *once) Score(ctx context.Context, views []*tokenize.View) (sites []float64, _ [][]float64, err error) {
	if _, ok := o.known[seen{views[0].Scene, views[0].Site}]; !ok {
		sites, _, err = o.Scorer.Score(ctx, views)
		for i, p := range sites {
			o.known[seen{views[i].Scene, views[i].Site}] = p
		}
		return sites, nil, err
	}
	for _, v := range views {
		sites = append(sites, o.known[seen{v.Scene, v.Site}])
	}
	return sites, nil, nil
}

// On programs that the model has not seen, errors cost what they may.
func TestCostHeldOut(t *testing.T) {
	sh, m := quiet(t)
	scorer := &once{m, map[seen]float64{}}
	all := looks(t, sh, 0.6, 0.9)
	for _, blind := range []bool{false, true} {
		for _, cost := range []detect.Cost{{Precision: 0.8}, {Precision: 0.9}, {FalseAlarms: 1}, {FalseAlarms: 0.5}} {
			called, right := 0, 0
			for i := range all {
				l := &all[i]
				if blind && l.Reference != nil {
					l.Scene = &tokenize.Scene{Run: l.Run, Cut: l.Cut}
				}
				for _, f := range l.detect(t, &detect.Detector{Scorer: scorer, Cost: cost}) {
					called++
					if l.leaks(f) {
						right++
					}
				}
			}
			precision, alarms := float64(right)/float64(called), float64(called-right)/float64(len(all))
			t.Logf("clean runs known: %v, %+v: %d findings in %d looks at runs, precision %.3f, false alarms a look %.3f", !blind, cost, called, len(all), precision, alarms)
			// Without clean runs it may find nothing of which it is that sure.
			if !blind && called < 15 || precision < cost.Precision-0.15 || cost.FalseAlarms > 0 && alarms > 1.25*cost.FalseAlarms {
				t.Errorf("clean runs known: %v, %+v: %d findings, precision %.3f, false alarms a look %.3f", !blind, cost, called, precision, alarms)
			}
		}
	}
}

// What a verdict is said to rest on is what it rests on: without the blocks that
// are named first the probability falls by more than without as many others.
func TestAttributionHeldOut(t *testing.T) {
	const k, draws = 5, 10
	sh, m := quiet(t)
	rng := rand.New(rand.NewPCG(1, 1))
	n, more, named, chance := 0, 0, 0.0, 0.0
	all := looks(t, sh, 0.6, 0.9)
	for i := range all {
		l := &all[i]
		for _, f := range l.detect(t, &detect.Detector{Scorer: m, Threshold: m.checkpoint.Manifest.Threshold, Explain: 20}) {
			seq := tokenize.Tokenize(l.site(f))
			at, blocks := blockPositions(seq)
			first := firstBlocks(f, k)
			if !l.leaks(f) || len(first) < k || len(blocks) < 2*k {
				continue
			}
			view := l.site(f)
			views, seqs := []*tokenize.View{view}, []*tokenize.Sequence{seq}
			without := func(positions []int) {
				views = append(views, view.Without(func(b int32) bool {
					return slices.ContainsFunc(positions, func(pos int) bool { return seq.Blocks[pos] == b })
				}))
				seqs = append(seqs, seq.Without(positions...))
			}
			var positions []int
			for _, e := range first {
				positions = append(positions, at[int64(e.Block.Event)])
			}
			without(positions)
			for range draws {
				rng.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
				without(blocks[:k])
			}
			odds, err := m.LogOdds(t.Context(), views, seqs)
			if err != nil {
				t.Fatal(err)
			}
			n++
			fall, other := probability(odds[0])-probability(odds[1]), 0.0
			for _, z := range odds[2:] {
				other += (probability(odds[0]) - probability(z)) / draws
			}
			if named, chance = named+fall, chance+other; fall > other {
				more++
			}
		}
	}
	t.Logf("%d findings: without the %d blocks named first the probability falls by %.4f, without others by %.4f; by more in %d", n, k, named/float64(n), chance/float64(n), more)
	if n < 30 || named < 2*chance || named <= 0 || more*4 < n*3 {
		t.Errorf("%d findings: the probability falls by %.4f without the blocks named, by %.4f without others; by more in %d", n, named/float64(n), chance/float64(n), more)
	}
}

func probability(odds float64) float64 { return 1 / (1 + math.Exp(-odds)) }

// blockPositions are the positions that show a block, also by the event that
// allocated it.
func blockPositions(seq *tokenize.Sequence) (at map[int64]int, all []int) {
	at = map[int64]int{}
	for pos, b := range seq.Blocks {
		if b >= 0 {
			at[seq.Places[pos]] = pos
			all = append(all, pos)
		}
	}
	return at, all
}

// firstBlocks are the n single blocks that a finding rests on most.
func firstBlocks(f *detect.Finding, n int) []detect.Effect {
	var all []detect.Effect
	for _, e := range f.Attribution {
		for _, part := range e.Parts {
			if part.Block != nil {
				all = append(all, part)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b detect.Effect) int { return cmp.Compare(b.Effect, a.Effect) })
	return all[:min(n, len(all))]
}
