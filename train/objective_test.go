package train

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"leakformer/tokenize"
)

// pools draws n pools with objectives and returns their batches by kind.
func pools(t *testing.T, o Objectives, n int) (labelled, next []*Batch) {
	t.Helper()
	sp, err := newSplit(servers(t, 4), 0.15, 1)
	if err != nil {
		t.Fatal(err)
	}
	cfg := quick
	cfg.Objectives = o
	if cfg, err = cfg.withDefaults(); err != nil {
		t.Fatal(err)
	}
	s := newSampler(sp.train, cfg)
	for k := range n {
		for _, b := range s.pool(k) {
			if err := b.Validate(); err != nil {
				t.Fatal(err)
			}
			if b.Weights != cfg.Objectives {
				t.Fatalf("a batch with the weights %+v, want %+v", b.Weights, cfg.Objectives)
			}
			if b.Causal {
				next = append(next, b)
			} else {
				labelled = append(labelled, b)
			}
		}
	}
	return labelled, next
}

// lifetimes counts the sequences of batches that ask for their site's lifetimes.
func lifetimes(t *testing.T, batches []*Batch) (n, of int) {
	t.Helper()
	for _, b := range batches {
		of += b.B
		for row := range slices.Chunk(b.Lifetimes, tokenize.NextClasses) {
			sum := float32(0)
			for _, share := range row {
				sum += share
			}
			if sum > 0 {
				n++
				if math.Abs(float64(sum)-1) > 1e-5 {
					t.Fatalf("the shares of a site's lifetimes add up to %v", sum)
				}
			}
		}
	}
	return n, of
}

func TestObjectives(t *testing.T) {
	const n = 12
	labelled, next := pools(t, Objectives{}, n)
	if len(next) != n/6*poolBatches || len(labelled) != (n-n/6)*poolBatches {
		t.Errorf("%d labelled batches and %d for the next event", len(labelled), len(next))
	}
	if with, of := lifetimes(t, next); with != of {
		t.Errorf("%d of %d sites of next-event batches have lifetimes", with, of)
	}
	// One scene in ten is a report.
	if with, of := lifetimes(t, labelled); with < of*8/10 || with == of {
		t.Errorf("%d of %d sites of labelled batches have lifetimes", with, of)
	}
	if _, next := pools(t, Objectives{Leaks: 1, Lifetimes: 1}, n); len(next) > 0 {
		t.Errorf("%d next-event batches, though survival has no weight", len(next))
	}
	labelled, next = pools(t, Objectives{Leaks: 1, Survival: 1}, n)
	if with, _ := lifetimes(t, slices.Concat(labelled, next)); with > 0 {
		t.Errorf("%d sites with lifetimes, though these have no weight", with)
	}
	for want, o := range map[string]Objectives{"survival is -1": {Leaks: 1, Survival: -1}, "lifetimes is NaN": {Leaks: 1, Lifetimes: math.NaN()},
		"leaks is +Inf": {Leaks: math.Inf(1)}, "leaks has no weight": {Survival: 1}} {
		_, err := Run(context.Background(), Config{Objectives: o}, servers(t, 3), newBag(), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("objectives %+v: %v, want an error with %q", o, err, want)
		}
	}
}

// A block that is freed after the scene's end is open in it, with its age.
func TestNextIsCensoredAtTheCut(t *testing.T) {
	run := server(t, 1, 200)
	sc := &tokenize.Scene{Run: run, Cut: run.Events / 2}
	open, ended, later := 0, 0, 0
	for _, e := range draw(generator(1, 1), sc, perScene, nil) {
		if !e.hasNext() {
			continue
		}
		b := nextBatch([]example{e})
		for pos := 0; pos+1 < e.seq.Len(); pos++ {
			next := e.seq.Blocks[pos+1]
			if e.seq.Blocks[pos] < 0 {
				if b.Next[pos] != -1 {
					t.Fatalf("position %d is no block but has a target", pos)
				}
				continue
			}
			if b.Open[pos] != (run.Blocks.Died(next) >= sc.Cut) {
				t.Fatalf("block %d: open is %v", next, b.Open[pos])
			}
			switch {
			case !b.Open[pos]:
				ended++
			case run.Blocks.Died(next) != tokenize.Alive:
				later++
				fallthrough
			default:
				open++
			}
		}
		if last := b.Next[e.seq.Len()-1]; last != -1 {
			t.Fatalf("the last position has the target %d", last)
		}
	}
	if open == 0 || ended == 0 || later == 0 {
		t.Errorf("%d open lifetimes, %d of them with a free after the cut, %d that ended", open, later, ended)
	}
}
