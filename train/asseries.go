package train

import (
	"math/rand/v2"
	"slices"

	"leakformer/tokenize"
)

// asSeries shows a scene the way a tool would that looks at the live blocks now and
// then, as bcc's memleak, massif or a heap profiler do: 3 to 40 looks, in most
// series evenly spaced; some list only the sites with the most bytes, some count
// no blocks.
func asSeries(rng *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
	l := tokenize.Looks{At: looksUpTo(rng, sc.Cut), BytesOnly: rng.IntN(4) == 0}
	if rng.IntN(3) == 0 {
		l.Top = 10 << rng.IntN(4)
	}
	run, of := sc.AsSeries(l)
	out := &tokenize.Scene{Run: run, Cut: run.Events, Reference: sc.Reference, Forgotten: make([]bool, run.Blocks.Len())}
	for i, j := range of {
		if j >= 0 && sc.Leaked(int32(i)) {
			run.Blocks.Die(j, run.Blocks.Born(j)) // see Scene.Leaked
			out.Forgotten[j] = true
		}
	}
	return out
}

// asBlindSeries is asSeries for a program of which no clean run is known.
func asBlindSeries(rng *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
	return asSeries(rng, asBlind(rng, sc))
}

// looksUpTo draws when a run is looked at; the last time is at the cut.
func looksUpTo(rng *rand.Rand, cut uint32) []uint32 {
	n := 3 + rng.IntN(38)
	even := rng.IntN(4) > 0
	at := make([]uint32, 0, n)
	for k := 1; k < n; k++ {
		share := float64(k) / float64(n)
		if !even {
			share = rng.Float64()
		}
		at = append(at, max(1, uint32(share*float64(cut))))
	}
	at = append(at, cut)
	slices.Sort(at)
	return slices.Compact(at)
}

// atMoment is what reports of the clean runs would hold, had they been made after
// so many events: no lifetimes, and of each site what was live then.
func atMoment(ref tokenize.Reference, cut uint32) tokenize.Reference {
	out := make(tokenize.Reference, len(ref))
	for i, h := range ref {
		out[i] = h.At(cut)
	}
	return out
}
