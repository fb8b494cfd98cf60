package datasets

import (
	"math"
	"math/rand/v2"
	"sort"
)

// maxDropped bounds the blocks that one path may leak: beyond that a run only
// gets slower, not more instructive.
const maxDropped = 20000

// chooseDrops plans the leaks of a run: it marks paths of the counting run with
// what to drop. Frequency is drawn first and the path second, so that rare
// paths (errors, reloads) and hot ones (inner loops) have the same chance.
func chooseDrops(r *rand.Rand, counted []freePath, total uint64) []freePath {
	paths := duringRun(counted, total)
	sort.Slice(paths, func(i, j int) bool {
		if paths[i].Frees != paths[j].Frees {
			return paths[i].Frees < paths[j].Frees
		}
		return paths[i].Hash < paths[j].Hash
	})
	var chosen []freePath
	for n := drawPaths(r); n > 0 && len(paths) > 0; n-- {
		i := drawPath(r, paths)
		p := paths[i]
		paths = append(paths[:i], paths[i+1:]...)
		shapeDrop(r, &p, total)
		chosen = append(chosen, p)
	}
	return chosen
}

// duringRun returns the paths that the program takes before it tears itself
// down: a free forgotten at the very end harms nobody and shows nowhere.
func duringRun(counted []freePath, total uint64) []freePath {
	var paths []freePath
	for _, p := range counted {
		if p.First < total/20*19 {
			paths = append(paths, p)
		}
	}
	return paths
}

// drawPaths draws how many paths leak: most often one.
func drawPaths(r *rand.Rand) int {
	switch u := r.Float64(); {
	case u < 0.55:
		return 1
	case u < 0.85:
		return 2 + r.IntN(2)
	default:
		return 4 + r.IntN(4)
	}
}

// drawPath draws a frequency, uniform in its logarithm, and returns one of the
// paths nearest to it. The paths are sorted by frequency.
func drawPath(r *rand.Rand, paths []freePath) int {
	low, high := math.Log(float64(paths[0].Frees)), math.Log(float64(paths[len(paths)-1].Frees))
	if r.Float64() < 0.75 { // a leak of one or two blocks is worth a run now and then only
		low = min(max(low, math.Log(12)), high)
	}
	want := math.Exp(low + r.Float64()*(high-low))
	i := sort.Search(len(paths), func(i int) bool { return float64(paths[i].Frees) >= want })
	i = min(i, len(paths)-1)
	first := sort.Search(len(paths), func(j int) bool { return paths[j].Frees >= paths[i].Frees })
	end := sort.Search(len(paths), func(j int) bool { return paths[j].Frees > paths[i].Frees })
	return first + r.IntN(end-first)
}

// shapeDrop draws the share of frees that are forgotten and when it begins and
// ends. Shares are such that at least some frees are expected to be dropped.
func shapeDrop(r *rand.Rand, p *freePath, total uint64) {
	share := 1.0
	if r.Float64() < 0.55 {
		share = math.Exp(math.Log(0.01) + r.Float64()*math.Log(50)) // 0.01 to 0.5
	}
	frees := float64(p.Frees)
	share = min(max(share, 6/frees), 1, maxDropped/frees)
	p.Share = uint64(share * (1 << 32))
	p.From, p.Until, p.After, p.Dropped = 1, 0, 0, 0
	switch u := r.Float64(); {
	case u < 0.5: // from the start
	case u < 0.75 && frees >= 4: // from one of its own frees on
		p.From = 1 + uint64(r.Float64()*0.8*frees)
	case u < 0.9: // from some moment of the run on, often too late for a rare path
		p.After = uint64(r.Float64() * 0.6 * float64(total))
	case frees >= 20: // only for a while
		p.From = 1 + uint64(r.Float64()*0.5*frees)
		p.Until = p.From + uint64((0.1+0.3*r.Float64())*frees)
	}
}
