package model

import (
	"math"
	"slices"
	"sort"

	"leakformer/tokenize"
)

// measures says what [measure] gives of every log, in its order. Counts and ages are
// logarithms (base 2, of one more); ages are in events, "share of the run" is of
// the events before the cut; "ratio" is the logarithm of one; -1 is not known.
var measures = []string{
	"allocated", "outstanding", "outstanding bytes", "share freed", "outstanding, share of the most ever",
	"oldest age", "median age", "newest age", "oldest age, share of the run", "median age, share of the run", "newest age, share of the run",
	"longest life of a freed block", "median life of the freed", "oldest age to longest life, ratio", "median age to longest life, ratio",
	"share older than the longest life", "last free, share of the run", "first birth, share of the run", "last birth, share of the run",
	"outstanding at a quarter, share", "outstanding at half, share", "outstanding at three quarters, share", "fallback from the peak, share",
	"ages of twenty", "mean size", "sizes", "share whose size was freed before", "share freed of those younger than the oldest",
	"share beside dead neighbours", "median time since a neighbour's death", "outstanding, share of all events", "events of the run", "frames",
	"match with clean runs", "clean runs", "outstanding to most in clean runs, ratio", "outstanding to most left in clean runs, ratio",
	"oldest to oldest in clean runs, ratio", "oldest to longest life in clean runs, ratio", "old blocks to those in clean runs, ratio",
	"outstanding to clean runs at this moment, ratio", "allocated to clean runs, ratio", "share freed in clean runs", "share freed at the end in clean runs", "size outside that of clean runs",
	"loss as reported", "scans",
}

// shownMeasures says what [blocks.shown] gives.
var shownMeasures = []string{
	"snapshots", "snapshots that show it, share", "first snapshot that shows it, share", "steps that rose, share", "steps that fell, share", "steps since the last fall, share",
	"straight line through the bytes", "bytes to the first, ratio", "bytes to a quarter, ratio", "bytes to half, ratio", "bytes to three quarters, ratio", "blocks to half, ratio",
	"bytes, share of the most ever", "deepest fall, share", "least growth in the last three steps, ratio",
	"bytes, share of the whole", "growth, share of the whole's", "whole to the first, ratio",
	"bytes to most in clean runs, ratio", "bytes at half to most in clean runs, ratio", "snapshots with more than in clean runs, share",
}

// measure takes hand-made figures of a site.
func measure(v *tokenize.View) []float64 {
	b := newBlocks(v)
	x := make([]float64, 0, len(measures))
	x = append(x, b.counts()...)
	x = append(x, b.lifetimes()...)
	x = append(x, b.course()...)
	x = append(x, b.company()...)
	x = append(x, b.clean()...)
	x = append(x, b.reported()...)
	if v.Scene.IsSeries() {
		x = append(x, b.shown()...)
	}
	return x
}

// blocks is what the features are made of. A site may have millions.
type blocks struct {
	v      *tokenize.View
	run    *tokenize.Run
	cut    float64
	lives  []uint32 // of the freed ones, in rising order
	deaths []uint32 // in order of time
	live   float64
	bytes  float64
	allocs float64
	sizes  map[int64]bool // of freed blocks
}

func newBlocks(v *tokenize.View) *blocks {
	freed := v.Gone()
	b := &blocks{v: v, run: v.Scene.Run, cut: float64(v.Scene.Cut), sizes: map[int64]bool{},
		lives: make([]uint32, 0, freed), deaths: make([]uint32, 0, freed)}
	last := int64(-1)
	for _, i := range v.Blocks {
		k := b.run.Blocks.At(i)
		b.allocs += float64(k.Count)
		if v.Scene.Live(i) {
			continue
		}
		b.lives, b.deaths = append(b.lives, k.Died-k.Born), append(b.deaths, k.Died)
		if k.Size != last {
			b.sizes[k.Size], last = true, k.Size
		}
	}
	slices.Sort(b.lives)
	slices.Sort(b.deaths)
	n, bytes := v.Outstanding()
	b.live, b.bytes = float64(max(n, 1)), float64(bytes)
	return b
}

// age of an outstanding block; block 0 is the oldest.
func (b *blocks) age(n int) float64 {
	return float64(b.v.Scene.Cut - b.run.Blocks.Born(b.v.Live[n]))
}

// asOld is how many outstanding blocks have at least an age.
func (b *blocks) asOld(age float64) int {
	return sort.Search(len(b.v.Live), func(n int) bool { return b.age(n) < age })
}

const unknown = -1

func logCount(n float64) float64 { return math.Log2(n + 1) }

func logRatio(a, b float64) float64 { return math.Log2((a + 1) / (b + 1)) }

func median[T any](sorted []T) T { return sorted[len(sorted)/2] }

func (b *blocks) counts() []float64 {
	return []float64{logCount(b.allocs), logCount(b.live), logCount(b.bytes), float64(len(b.lives)) / float64(len(b.v.Blocks)), b.live / b.peak()}
}

// peak is the most blocks that were outstanding at once.
func (b *blocks) peak() float64 {
	live, most, d := 0.0, b.live, 0
	for _, i := range b.v.Blocks {
		k := b.run.Blocks.At(i)
		for ; d < len(b.deaths) && b.deaths[d] < k.Born; d++ {
			live--
		}
		live += float64(k.Count)
		most = max(most, live)
	}
	return most
}

func (b *blocks) lifetimes() []float64 {
	live := len(b.v.Live)
	oldest, middle, newest := b.age(0), b.age(live/2), b.age(live-1)
	x := []float64{logCount(oldest), logCount(middle), logCount(newest), oldest / b.cut, middle / b.cut, newest / b.cut}
	if len(b.lives) == 0 {
		return append(x, unknown, unknown, 0, 0, unknown, unknown)
	}
	longest := float64(b.lives[len(b.lives)-1])
	return append(x, logCount(longest), logCount(float64(median(b.lives))), logRatio(oldest, longest), logRatio(middle, longest),
		float64(b.asOld(longest+1))/float64(live), float64(b.deaths[len(b.deaths)-1])/b.cut)
}

// course is how the number of outstanding blocks went.
func (b *blocks) course() []float64 {
	born := func(n int) float64 { return float64(b.run.Blocks.Born(b.v.Blocks[n])) }
	x := []float64{born(0) / b.cut, born(len(b.v.Blocks)-1) / b.cut}
	for _, share := range []float64{0.25, 0.5, 0.75} {
		at := uint32(share * b.cut)
		births, _ := slices.BinarySearchFunc(b.v.Blocks, at, func(i int32, at uint32) int { return int(int64(b.run.Blocks.Born(i)) - int64(at)) })
		deaths, _ := slices.BinarySearch(b.deaths, at)
		x = append(x, float64(births-deaths)/float64(len(b.v.Live)))
	}
	var seen [20]bool
	ages, sizes, known, after, freed := 0.0, map[int64]bool{}, 0.0, 0.0, 0.0
	for _, i := range b.v.Live {
		k := b.run.Blocks.At(i)
		if g := int(uint64(k.Born) * uint64(len(seen)) / uint64(b.v.Scene.Cut)); !seen[g] {
			seen[g] = true
			ages++
		}
		sizes[k.Size] = true
		if b.sizes[k.Size] {
			known++
		}
	}
	oldest := b.run.Blocks.Born(b.v.Live[0])
	for _, i := range b.v.Blocks {
		if b.run.Blocks.Born(i) > oldest {
			after++
			if !b.v.Scene.Live(i) {
				freed++
			}
		}
	}
	share := float64(unknown)
	if after > 0 {
		share = freed / after
	}
	return append(x, 1-b.fallback(), ages, logCount(b.bytes/b.live), logCount(float64(len(sizes))), known/float64(len(b.v.Live)), share)
}

// fallback is the smallest number of outstanding blocks after the peak, as a share
// of it.
func (b *blocks) fallback() float64 {
	live, most, least, d := 0, 0, 0, 0
	for _, i := range b.v.Blocks {
		for ; d < len(b.deaths) && b.deaths[d] < b.run.Blocks.Born(i); d++ {
			live--
			least = min(least, live)
		}
		if live++; live >= most {
			most, least = live, live
		}
	}
	return float64(min(least, len(b.v.Live))) / float64(most)
}

// company is what became of the blocks around.
func (b *blocks) company() []float64 {
	var since []float64
	widowed := 0.0
	for _, i := range b.v.Live {
		longest, dead := 0.0, 0
		for _, j := range [2]int32{i - 1, i + 1} {
			if j < 0 || int(j) >= b.run.Blocks.Len() || b.run.Blocks.Born(j) >= b.v.Scene.Cut || b.v.Scene.Live(j) {
				continue
			}
			dead++
			longest = max(longest, float64(b.v.Scene.Cut-max(b.run.Blocks.Died(j), b.run.Blocks.Born(i))))
		}
		if dead == 2 {
			widowed++
		}
		since = append(since, longest)
	}
	slices.Sort(since)
	return []float64{widowed / float64(len(since)), logCount(median(since)), float64(len(since)) / b.cut,
		logCount(b.cut), float64(len(b.run.Sites[b.v.Site].Frames))}
}

// clean compares with the clean runs.
func (b *blocks) clean() []float64 {
	v, ref := b.v, b.v.Ref
	runs := float64(v.Scene.Reference.Runs())
	x := []float64{float64(v.Match), runs}
	if ref == nil {
		// All that a site does which clean runs lack is new.
		fresh := func(n float64) float64 {
			if runs == 0 {
				return unknown
			}
			return logCount(n)
		}
		return append(x, fresh(b.live), fresh(b.live), fresh(b.age(0)), fresh(b.age(0)), fresh(b.live), fresh(b.live), fresh(b.allocs), unknown, unknown, unknown)
	}
	old := -20.0
	for k := range ref.Old { // at least 16 events old, 64, 256 ...
		n := b.asOld(float64(int(16) << (2 * k)))
		if n > 0 {
			old = max(old, logRatio(float64(n), float64(ref.Old[k])))
		}
	}
	now := 0 // the first of the moments 16, 32, 64 ... that is not before the cut
	for now+1 < len(ref.Live) && float64(int(16)<<now) < b.cut {
		now++
	}
	size, outside := int64(b.bytes/b.live), 0.0
	if size > ref.MaxSize || size < ref.MinSize {
		outside = 1
	}
	exit := 0.0
	if ref.Freed > 0 {
		exit = float64(ref.Exit / ref.Freed)
	}
	return append(x, logRatio(b.live, float64(ref.MaxLive)), logRatio(b.live, float64(ref.Left)), logRatio(b.age(0), float64(ref.MaxAge)),
		logRatio(b.age(0), float64(ref.MaxLife)), old, logRatio(b.live, float64(ref.Live[now])), logRatio(b.allocs, float64(ref.Allocs/ref.Runs)),
		float64(ref.Freed/ref.Allocs), exit, outside)
}

// reported is what the tool that wrote a report says.
func (b *blocks) reported() []float64 {
	loss, scans := 0.0, 0.0
	for _, i := range b.v.Live {
		loss, scans = max(loss, float64(b.run.Blocks.Loss(i))), max(scans, float64(b.run.Blocks.Scans(i)))
	}
	return []float64{loss, scans}
}

// shown is how the live bytes went from snapshot to snapshot of a series.
func (b *blocks) shown() []float64 {
	t := tokenize.NewTrend(b.v)
	n := len(t.Points)
	bytes, whole := make([]float64, n), make([]float64, n)
	first, seen := n-1, 0.0 // snapshots that show the site
	for i := n - 1; i >= 0; i-- {
		bytes[i], whole[i] = float64(t.Points[i].Bytes), float64(t.Looks[i].Bytes)
		if bytes[i] > 0 {
			first, seen = i, seen+1
		}
	}
	now := bytes[n-1]
	most, deepest, calm := 0.0, 0.0, 0.0
	for i, x := range bytes {
		most = max(most, x)
		deepest = max(deepest, 1-x/max(most, 1))
		if calm++; i > 0 && x < bytes[i-1] {
			calm = 0
		}
	}
	rose, fell, steps := t.Steps()
	steps = max(steps, 1)
	x := []float64{logCount(float64(n)), seen / float64(n), float64(first) / float64(n), rose / steps, fell / steps, calm / float64(n),
		t.Line(), logRatio(now, bytes[first]), logRatio(now, bytes[n/4]), logRatio(now, bytes[n/2]), logRatio(now, bytes[3*n/4]),
		logRatio(float64(t.Points[n-1].Blocks), float64(t.Points[n/2].Blocks)),
		now / max(most, 1), deepest, leastGrowth(bytes),
		now / max(whole[n-1], 1), growthShare(bytes, whole), logRatio(whole[n-1], whole[0])}
	return append(x, b.shownAndClean(bytes)...)
}

// leastGrowth is the smallest growth in the last three steps.
func leastGrowth(bytes []float64) float64 {
	least := math.Inf(1)
	for i := max(1, len(bytes)-3); i < len(bytes); i++ {
		least = min(least, logRatio(bytes[i], bytes[i-1]))
	}
	if math.IsInf(least, 1) {
		return 0 // there are no steps
	}
	return least
}

// growthShare is how much of the growth of all sites together is a site's, -1 to 2, as
// others may shrink.
func growthShare(bytes, whole []float64) float64 {
	last := len(bytes) - 1
	if whole[last] <= whole[0] {
		return 0
	}
	return max(-1, min((bytes[last]-bytes[0])/(whole[last]-whole[0]), 2))
}

// shownAndClean compares the snapshots with the most that clean runs had.
func (b *blocks) shownAndClean(bytes []float64) []float64 {
	if b.v.Scene.Reference.Runs() == 0 {
		return []float64{unknown, unknown, unknown}
	}
	clean, over := 0.0, 0.0
	if b.v.Ref != nil {
		clean = float64(b.v.Ref.MaxBytes)
	}
	for _, x := range bytes {
		if x > clean {
			over++
		}
	}
	n := len(bytes)
	return []float64{logRatio(bytes[n-1], clean), logRatio(bytes[n/2], clean), over / float64(n)}
}
