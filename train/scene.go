package train

import (
	"math/rand/v2"

	"leakformer/tokenize"
)

// example is one sequence and what is true of it.
type example struct {
	seq *tokenize.Sequence
	// lifetimes is how those of the site's blocks are distributed in the whole run;
	// nil where that is not asked for.
	lifetimes []float32
	// leak says that the site has a leaked block; blocks says so of the block
	// at each position.
	leak   bool
	blocks []bool
	// leaked is the number of leaked blocks of the site.
	leaked int
}

func newExample(v *tokenize.View) example {
	e := example{seq: tokenize.Tokenize(v)}
	e.blocks = make([]bool, e.seq.Len())
	for pos, b := range e.seq.Blocks {
		e.blocks[pos] = b >= 0 && v.Scene.Leaked(b)
	}
	for _, i := range v.Live {
		if v.Scene.Leaked(i) {
			e.leaked++
		}
	}
	e.leak = e.leaked > 0
	return e
}

// cutAt draws the moment at which a run is looked at: mostly while it is still
// going on, sometimes at its end.
func cutAt(rng *rand.Rand, run *tokenize.Run) uint32 {
	if rng.IntN(8) == 0 {
		return run.Events
	}
	return max(1, uint32((0.1+0.9*rng.Float64())*float64(run.Events)))
}

// reference draws which clean runs are known: usually all or some, now and then
// none, so that the model learns to do without.
func reference(rng *rand.Rand, others []*tokenize.History) tokenize.Reference {
	switch rng.IntN(10) {
	case 0, 1:
		return nil
	case 2, 3, 4, 5:
		return others
	}
	var some tokenize.Reference
	for _, i := range rng.Perm(len(others))[:min(len(others), 1+rng.IntN(max(1, len(others))))] {
		some = append(some, others[i])
	}
	return some
}

// scene draws a scene of the sample with leaks at about n sites, where they are
// to be planted.
func (s *sample) scene(rng *rand.Rand, n int) *tokenize.Scene {
	sc := &tokenize.Scene{Run: s.run, Cut: cutAt(rng, s.run), Reference: reference(rng, s.others), Forgotten: s.forgotten}
	if s.planter != nil {
		sc.Forgotten = s.planter.plant(rng, sc.Cut, n)
	}
	return sc
}

// draw picks examples from a scene: up to n/3 sites that leak, filled up with
// sites that do not. lifetimes are of the scene's run, or nil.
func draw(rng *rand.Rand, sc *tokenize.Scene, n int, lifetimes *tokenize.Lifetimes) []example {
	leaky, clean := outstanding(rng, sc)
	leaky = leaky[:min(len(leaky), n/3)]
	clean = clean[:min(len(clean), n-len(leaky))]
	out := make([]example, 0, len(leaky)+len(clean))
	for _, site := range append(leaky, clean...) {
		e := newExample(sc.View(site))
		if lifetimes != nil {
			e.lifetimes = lifetimes.Of(site)
		}
		out = append(out, e)
	}
	return out
}

// outstanding returns the sites with outstanding blocks, those that leak and those
// that do not, each in a drawn order.
func outstanding(rng *rand.Rand, sc *tokenize.Scene) (leaky, clean []int) {
	for _, site := range rng.Perm(len(sc.Run.BySite)) {
		live, leaks := false, false
		for _, i := range sc.Run.BySite[site] {
			if sc.Run.Blocks.Born(i) >= sc.Cut {
				break
			}
			if sc.Live(i) {
				live = true
				if sc.Leaked(i) {
					leaks = true
					break
				}
			}
		}
		switch {
		case leaks:
			leaky = append(leaky, site)
		case live:
			clean = append(clean, site)
		}
	}
	return leaky, clean
}
