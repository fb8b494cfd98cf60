package train

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// leakedAt counts the leaked blocks of the sites of a scene by the size of their blocks.
func leakedAt(sc *tokenize.Scene) (live, leaked int) {
	sc.Views(func(v *tokenize.View) bool {
		live += len(v.Live)
		leaked += newExample(v).leaked
		return true
	})
	return live, leaked
}

// Each alteration leaves what it says to leave: a run that can be judged, of the same
// leaks where it leaves no blocks out.
func TestAlterations(t *testing.T) {
	s := &sample{run: server(t, 1, 400)}
	s.planter = newPlanter(s.run)
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		sc := &tokenize.Scene{Run: s.run, Cut: s.run.Events * 3 / 4}
		sc.Forgotten = s.planter.plant(rng, sc.Cut, 4)
		live, leaked := leakedAt(sc)
		for k, a := range alterations {
			out := a.of(rng, sc)
			nowLive, nowLeaked := leakedAt(out)
			switch {
			case k == 0 && (nowLive == 0 || nowLive >= live || nowLeaked > leaked || out.Cut >= sc.Cut):
				t.Errorf("seed %d: of %d live and %d leaked blocks a sample has %d and %d, %d of %d events", seed, live, leaked, nowLive, nowLeaked, out.Cut, sc.Cut)
			case k > 0 && (nowLive != live || nowLeaked != leaked):
				t.Errorf("seed %d, alteration %d: %d live and %d leaked blocks are %d and %d", seed, k, live, leaked, nowLive, nowLeaked)
			}
		}
		if now, leakedNow := leakedAt(sc); now != live || leakedNow != leaked {
			t.Fatal("the scene itself was changed")
		}
	}
}

// Of blocks that are alike the oldest is freed, at the same event.
func TestUnaddressed(t *testing.T) {
	run := server(t, 1, 50)
	out := (&tokenize.Scene{Run: run, Cut: run.Events}).Unaddressed().Run
	deaths := func(r *tokenize.Run) (all []uint32) {
		for _, b := range r.Blocks.All() {
			if b.Died != tokenize.Alive {
				all = append(all, b.Died)
			}
		}
		slices.Sort(all)
		return all
	}
	if !slices.Equal(deaths(run), deaths(out)) {
		t.Error("other events free blocks")
	}
	last := map[[2]int64]uint32{}
	for i, b := range out.Blocks.All() {
		c := [2]int64{int64(b.Site), b.Size}
		if b.Died < last[c] {
			t.Fatalf("block %d dies at %d, an older one like it at %d", i, b.Died, last[c])
		}
		last[c] = b.Died
	}
}

// The words of made-up names change tokens of frames, and nothing else.
func TestAsNamed(t *testing.T) {
	run := server(t, 1, 50)
	for i := range run.Sites {
		for j := range run.Sites[i].Frames {
			run.Sites[i].Frames[j] = ingest.Frame{Module: "server", Address: uint64(16 * (i + j + 1))}
		}
	}
	sc := &tokenize.Scene{Run: run, Cut: run.Events}
	named := asNamed(nil, sc)
	if named.Run.Sites[3].Frames[0].Function == "" || run.Sites[3].Frames[0].Function != "" {
		t.Fatalf("%+v, was %+v", named.Run.Sites[3], run.Sites[3])
	}
	if again := asNamed(nil, sc); !reflect.DeepEqual(again.Run.Sites, named.Run.Sites) {
		t.Error("names are others each time")
	}
}

// What batch k holds depends on the seed and k alone, with altered scenes too; and the
// mix decides what is shown.
func TestMix(t *testing.T) {
	sp, err := newSplit(servers(t, 5), 0.15, 1)
	if err != nil {
		t.Fatal(err)
	}
	shown := func(m Mix) (of [3]int) {
		rng := rand.New(rand.NewPCG(1, 1))
		for range 200 {
			sc := sp.train[0].scene(rng, 4)
			events := sc.Run
			switch out := m.show(rng, sp.train[0], sc); {
			case out.IsSeries():
				of[0]++
			case out.IsReport():
				of[1]++
			case out.Run != events || out != sc:
				of[2]++
			}
		}
		return of
	}
	if of := shown(Mix{}); of != [3]int{} {
		t.Errorf("with no mix %v", of)
	}
	if of := shown(Mix{SeriesEvery: 2, AlteredEvery: 1}); of[0] < 60 || of[1] != 0 || of[0]+of[2] != 200 {
		t.Errorf("series and altered logs %v of 200", of)
	}
	cfg := Config{BatchSize: 8, NextEvery: 100, Mix: Mix{SeriesEvery: 3, BlindSeries: 2, AlteredEvery: 1}, Objectives: DefaultObjectives}
	a, b := newSampler(sp.train, cfg).pool(3), newSampler(sp.train, cfg).pool(3)
	if len(a) == 0 || !reflect.DeepEqual(a, b) {
		t.Errorf("%d batches, and others the second time", len(a))
	}
	if (Mix{AlteredEvery: -1}).Validate() == nil {
		t.Error("a negative share is valid")
	}
}
