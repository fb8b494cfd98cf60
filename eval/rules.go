package eval

import (
	"context"
	"math"

	"gonum.org/v1/gonum/stat"

	"leakformer/detect"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// Rule is a simple way to look for leaks that every user already has. Its
// threshold was fixed beforehand, by those who published or use it.
//
// As a [detect.Scorer] it turns its measure m and its threshold t into m/(m+t),
// so that it ranks sites and flags them from one half on. That is no probability.
type Rule struct {
	// Name stands in tables.
	Name string
	// Clean says that the rule compares with clean runs.
	Clean bool
	// Class of the logs that it is for.
	Class ingest.Class
	// Series says that it is for snapshots, too.
	Series bool
	// Scans says that it is for repeated scans of a leak checker only.
	Scans bool

	threshold float64
	// measure is the larger the more suspicious the site is; a rule flags it
	// where it reaches the threshold.
	measure func(v *tokenize.View) float64
}

var _ detect.Scorer = (*Rule)(nil)

// Rules lists all rules. Those that count in time do so in events of the run.
func Rules() []*Rule {
	const events, report = ingest.Events, ingest.EndReport
	return []*Rule{
		{Name: "not freed", Class: events, Series: true, threshold: 1, measure: notFreed},
		{Name: "age > 10 %", Class: events, threshold: 0.10, measure: age},
		{Name: "age > 25 %", Class: events, threshold: 0.25, measure: age},
		{Name: "bytes +2 % three times", Class: events, Series: true, threshold: 0.02, measure: growth},
		{Name: "bytes +2 % three times, over 1 MB", Class: events, Series: true, threshold: 0.02, measure: bigGrowth},
		{Name: "more than 3 live", Class: events, Series: true, threshold: 4, measure: live},
		{Name: "bytes on a line, R² ≥ 0.8", Class: events, Series: true, threshold: 0.8, measure: linear},
		{Name: "10 of 20 ages", Class: events, threshold: 10, measure: generations},
		{Name: "under 5 % freed", Class: events, threshold: 0.95, measure: kept},
		{Name: "staler than freed siblings", Class: events, threshold: 1, measure: staler},
		{Name: "bytehound", Class: events, threshold: 0.02, measure: age},
		{Name: "more live than in clean runs", Class: events, Series: true, Clean: true, threshold: 1, measure: moreThanClean},
		{Name: "older than in clean runs", Class: events, Clean: true, threshold: 1, measure: olderThanClean},
		{Name: "more than left in clean runs, and staler", Class: events, Clean: true, threshold: 1, measure: leftAndStaler},
		{Name: "reported", Class: report, threshold: 1, measure: notFreed},
		{Name: "more than 3 reported", Class: report, threshold: 4, measure: live},
		{Name: "more than vanished", Class: report, Scans: true, threshold: 1, measure: overVanished},
		{Name: "more than 3, and than vanished", Class: report, Scans: true, threshold: 4, measure: liveOverVanished},
		{Name: "definitely lost", Class: report, threshold: 1, measure: definite},
		{Name: "more than left in clean runs", Class: report, Clean: true, threshold: 1, measure: moreThanLeft},
	}
}

// Applies reports whether the rule has what it needs in a scene.
func (r *Rule) Applies(s *tokenize.Scene) bool {
	class := s.Run.Class
	if s.IsReport() {
		class = ingest.EndReport // repeated scans are one, too
	}
	return (class == r.Class || s.IsSeries() && r.Series) && (!r.Clean || s.Reference.Runs() > 0) && (!r.Scans || s.Rescanned())
}

// Score judges sites alone: a rule says nothing about single blocks.
func (r *Rule) Score(_ context.Context, views []*tokenize.View) (sites []float64, blocks [][]float64, err error) {
	sites = make([]float64, len(views))
	for i, v := range views {
		sites[i] = 1
		if m := r.measure(v); !math.IsInf(m, 1) {
			sites[i] = m / (m + r.threshold)
		}
	}
	return sites, nil, nil
}

// notFreed: whatever is outstanding is a leak (Valgrind's "still reachable"
// counted in, or any list of allocations without a free).
func notFreed(*tokenize.View) float64 { return 1 }

// age of the oldest outstanding block, as a share of the run: bcc's memleak -o
// shows allocations older than a limit; bytehound's leak script those that lived
// for 2 % of the run and were not freed before its end.
func age(v *tokenize.View) float64 {
	return float64(oldest(v)) / float64(v.Scene.Cut)
}

func oldest(v *tokenize.View) uint32 { return v.Scene.Cut - v.Scene.Run.Blocks.Born(v.Live[0]) }

// snapshots of a site in a log of events are taken at so many evenly spaced moments.
const snapshots = 20

// liveBytes are the site's live bytes in each snapshot; the last is at the cut.
func liveBytes(v *tokenize.View) []float64 {
	if v.Scene.IsSeries() {
		return shownBytes(v)
	}
	var change [snapshots + 1]float64
	// A block counts from the first snapshot behind its birth on.
	at := func(event uint32) int { return int(uint64(event) * snapshots / uint64(v.Scene.Cut)) }
	for _, i := range v.Blocks {
		b := v.Scene.Run.Blocks.At(i)
		change[at(b.Born)] += float64(b.Size)
		if !v.Scene.Live(i) {
			change[at(b.Died)] -= float64(b.Size)
		}
	}
	bytes := make([]float64, snapshots)
	sum := 0.0
	for k := range bytes {
		sum += change[k]
		bytes[k] = sum
	}
	return bytes
}

// shownBytes are what the snapshots of a series show.
func shownBytes(v *tokenize.View) []float64 {
	var bytes []float64
	for _, p := range v.Scene.Run.Course(v.Site) {
		bytes = append(bytes, float64(p.Bytes))
	}
	return bytes
}

// growth is the classic check on snapshots: the smallest growth of live bytes in
// the last three steps.
func growth(v *tokenize.View) float64 {
	b := liveBytes(v)
	if len(b) < 4 {
		return 0
	}
	least := math.Inf(1)
	for k := len(b) - 3; k < len(b); k++ {
		step := b[k] - b[k-1]
		if step <= 0 {
			return 0
		}
		least = min(least, step/b[k-1])
	}
	return least
}

// bigGrowth is growth that has come to a megabyte.
func bigGrowth(v *tokenize.View) float64 {
	if b := liveBytes(v); b[len(b)-1] < 1e6 {
		return 0
	}
	return growth(v)
}

// live is the number of outstanding blocks with the same call stack: those who
// read kmemleak's lists look at what occurs more than three times.
func live(v *tokenize.View) float64 {
	n, _ := v.Outstanding()
	return float64(n)
}

// linear is R² of the straight line through the live bytes, 0 if it does not rise.
func linear(v *tokenize.View) float64 {
	b := liveBytes(v)
	x := make([]float64, len(b))
	for k := range x {
		x[k] = float64(k)
	}
	if r := stat.Correlation(x, b, nil); r > 0 {
		return r * r
	}
	return 0 // falls, or does not change (NaN)
}

// generations is GenCount (Andrzejak 2017): the number of different ages, of 20,
// among the outstanding blocks.
func generations(v *tokenize.View) float64 {
	var seen [20]bool
	n := 0.0
	for _, i := range v.Live {
		g := int(uint64(v.Scene.Run.Blocks.Born(i)) * uint64(len(seen)) / uint64(v.Scene.Cut))
		if !seen[g] {
			seen[g] = true
			n++
		}
	}
	return n
}

// kept is the share of the site's blocks that were not freed.
func kept(v *tokenize.View) float64 {
	return float64(len(v.Live)) / float64(len(v.Blocks))
}

// staler compares as SWAT does (Hauswirth 2004), by lifetime: the oldest
// outstanding block with the longest life of a freed one. A site without freed
// blocks is not judged.
func staler(v *tokenize.View) float64 {
	longest, freed := uint32(0), false
	for _, i := range v.Blocks {
		if b := v.Scene.Run.Blocks.At(i); !v.Scene.Live(i) {
			longest, freed = max(longest, b.Died-b.Born), true
		}
	}
	if !freed {
		return 0
	}
	return over(float64(oldest(v)), float64(longest))
}

// over is 1 or more where whole number a is greater than b.
func over(a, b float64) float64 { return a / (b + 1) }

// moreThanClean compares the live blocks with the most that were live at once in
// any clean run.
func moreThanClean(v *tokenize.View) float64 {
	if v.Ref == nil {
		return live(v)
	}
	return over(live(v), float64(v.Ref.MaxLive))
}

// olderThanClean compares the oldest block with the oldest that the site ever had
// in a clean run. A site that is new is not judged.
func olderThanClean(v *tokenize.View) float64 {
	if v.Ref == nil {
		return 0
	}
	return over(float64(oldest(v)), float64(v.Ref.MaxAge))
}

// moreThanLeft compares the live blocks with the most that a clean run ended with.
func moreThanLeft(v *tokenize.View) float64 {
	if v.Ref == nil {
		return live(v)
	}
	return over(live(v), float64(v.Ref.Left))
}

func leftAndStaler(v *tokenize.View) float64 { return min(moreThanLeft(v), staler(v)) }

// overVanished: of what scans list of a site, more stays than vanishes, which shows that
// it was no leak.
func overVanished(v *tokenize.View) float64 {
	return float64(len(v.Live)) / float64(v.Gone()+1)
}

// liveOverVanished is live where more stays than vanishes.
func liveOverVanished(v *tokenize.View) float64 {
	if overVanished(v) < 1 {
		return 0
	}
	return live(v)
}

// definite is the verdict of the tool that wrote a report: blocks that memcheck
// calls definitely lost, or kmemleak unreferenced.
func definite(v *tokenize.View) float64 {
	for _, i := range v.Live {
		if l := v.Scene.Run.Blocks.Loss(i); l == ingest.Definite || l == ingest.Unreferenced {
			return 1
		}
	}
	return 0
}
