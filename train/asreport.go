package train

import (
	"math/rand/v2"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// asReport shows a scene to a [Learner] the way a leak checker would report it in short:
// only what is outstanding, without lifetimes, and no scan but the last. What a [Second]
// learns of reports is told by its guises.
//
// Half of them judge what they list, see judged; the others are like kmemleak's, which
// shows every lost object, and objects of up to three times as many sites that do not
// leak, most of which a second scan no longer shows.
func asReport(rng *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
	kernel := rng.IntN(2) == 0
	suspects := map[uint32]bool{}
	if kernel {
		suspects = falseSuspects(rng, sc)
	}
	scans := uint8(1 + rng.IntN(4))
	run := &tokenize.Run{Name: sc.Run.Name, Program: sc.Run.Program, Class: ingest.EndReport,
		Sites: sc.Run.Sites, BySite: make([][]int32, len(sc.Run.Sites)), Report: sc.Run.Report}
	out := &tokenize.Scene{Run: run}
	if rng.IntN(2) == 0 {
		out.Reference = atMoment(sc.Reference, sc.Cut)
	}
	list := joined{report: out, from: sc}
	for i, b := range sc.Run.Blocks.All() {
		if !sc.Live(i) {
			continue
		}
		leaked := sc.Leaked(i)
		b.Scans, b.Count = scans, 1
		if !kernel {
			b.Loss, b.Scans = judged(rng, leaked), 1
			list.add(b, leaked, i)
			continue
		}
		b.Loss = ingest.Unreferenced
		if !leaked {
			// A few objects of the site, not all that it has.
			if !suspects[b.Site] || rng.IntN(3) == 0 {
				continue
			}
			if rng.IntN(3) == 0 {
				delete(suspects, b.Site)
			}
			if rng.IntN(3) > 0 {
				b.Scans = 1
			}
		}
		b.Born, b.Died = uint32(run.Blocks.Len()), tokenize.Alive
		enter(out, b, leaked, sc, i)
	}
	run.Events = uint32(run.Blocks.Len())
	out.Cut = run.Events
	return out
}

// falseSuspects draws sites that do not leak but of which kmemleak finds no pointer.
func falseSuspects(rng *rand.Rand, sc *tokenize.Scene) map[uint32]bool {
	leaky, clean := outstanding(rng, sc)
	n := 1 + rng.IntN(3*len(leaky)+2)
	sites := map[uint32]bool{}
	for _, site := range clean[:min(n, len(clean))] {
		sites[uint32(site)] = true
	}
	return sites
}

// judged is what a leak checker says of a block. As a log of events holds no pointers,
// that is an assumption: nine in ten lost blocks are called lost, one outstanding block
// in a hundred is called so in error.
func judged(rng *rand.Rand, leaked bool) ingest.Loss {
	p := rng.Float64()
	switch {
	case leaked && p < 0.8, !leaked && p < 0.005:
		return ingest.Definite
	case leaked && p < 0.9, !leaked && p < 0.01:
		return ingest.Indirect
	case leaked && p < 0.95, !leaked && p < 0.03:
		return ingest.Possible
	}
	return ingest.Reachable
}
