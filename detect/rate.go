package detect

import (
	"slices"
	"time"

	"leakformer/tokenize"
)

// Rate is how fast a leak grows: the typical slope of its leaked bytes from the
// birth of the first leaked block to that of the last. It assumes that the leak is
// steady, and that what was judged leaked is; a burst does not count for much.
type Rate struct {
	// BytesPerMillionEvents is 0 in a series of snapshots, BytesPerSnapshot in a
	// log of events.
	BytesPerMillionEvents float64 `json:"bytes_per_million_events,omitempty"`
	BytesPerSnapshot      float64 `json:"bytes_per_snapshot,omitempty"`
	// BytesPerHour is 0 where the log has no clock, or the first and the last
	// block are less than a minute apart.
	BytesPerHour float64 `json:"bytes_per_hour,omitempty"`
}

const (
	// rateBlocks is how many blocks it takes to speak of a rate, and rateEvents and
	// rateTime how far apart the first and the last have to be.
	rateBlocks = 3
	rateEvents = 1000
	rateTime   = time.Minute
	// ratePoints bounds the points that a slope is fitted to.
	ratePoints = 33
)

// rate is the rate of a leak at a site, from its blocks in order of birth, or from
// what the snapshots show.
func rate(v *tokenize.View, blocks []int32) *Rate {
	if v.Scene.IsSeries() {
		return newCourse(v.Scene.Run, v.Site).rate()
	}
	return blockRate(v.Scene, blocks)
}

// blockRate is the rate of the blocks of a leak, in order of birth. It is nil in logs
// without events, for too few blocks or events, for blocks that came in a few
// bursts, and where the leak has paused for longer than it lasted.
func blockRate(s *tokenize.Scene, blocks []int32) *Rate {
	if s.IsReport() || len(blocks) < rateBlocks {
		return nil
	}
	run := s.Run
	first, last := run.Blocks.At(blocks[0]), run.Blocks.At(blocks[len(blocks)-1])
	if span := last.Born - first.Born; span < rateEvents || s.Cut-last.Born > span {
		return nil
	}
	r := &Rate{BytesPerMillionEvents: 1e6 * slope(run, blocks, func(b tokenize.Block) float64 { return float64(b.Born) })}
	if r.BytesPerMillionEvents == 0 {
		return nil
	}
	if run.Time(last.Born)-run.Time(first.Born) >= rateTime {
		r.BytesPerHour = slope(run, blocks, func(b tokenize.Block) float64 { return run.Time(b.Born).Hours() })
	}
	return r
}

// slope fits a line to the bytes of the blocks born up to some moments, spread
// evenly from the first birth to the last: the median of the slopes between all
// pairs (Theil 1950, Sen 1968), of which up to 29 % of the points may be anything.
func slope(run *tokenize.Run, blocks []int32, at func(tokenize.Block) float64) float64 {
	first, last := at(run.Blocks.At(blocks[0])), at(run.Blocks.At(blocks[len(blocks)-1]))
	n := min(len(blocks), ratePoints)
	var xs, ys []float64
	bytes, next := 0.0, 0
	for k := range n {
		x := first + (last-first)*float64(k)/float64(n-1)
		for next < len(blocks) && (k == n-1 || at(run.Blocks.At(blocks[next])) <= x) {
			bytes += float64(run.Blocks.Size(blocks[next]))
			next++
		}
		xs, ys = append(xs, x), append(ys, bytes)
	}
	return typicalSlope(xs, ys)
}

// typicalSlope is the median of the slopes between all pairs of points, x rising.
func typicalSlope(xs, ys []float64) float64 {
	var slopes []float64
	for j := range xs {
		for i := range j {
			if xs[i] < xs[j] {
				slopes = append(slopes, (ys[j]-ys[i])/(xs[j]-xs[i]))
			}
		}
	}
	m := len(slopes)
	if m == 0 {
		return 0
	}
	slices.Sort(slopes)
	return (slopes[(m-1)/2] + slopes[m/2]) / 2
}
