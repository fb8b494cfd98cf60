package detect

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// maxReasons is how many reasons a finding gives.
const maxReasons = 4

// A reason is a fact about a site that speaks for the verdict. Weights are rough
// amounts of surprise, in bits; only their order matters.
type reason struct {
	weight float64
	text   string
}

// why puts into words and numbers what speaks for the verdict on a site.
//
// The reasons come from the log and the clean runs, not from inside the model:
// they are what somebody can check, not a trace of how it decided.
func why(c *candidate, threshold float64) []string {
	var rs []reason
	switch {
	case c.view.Scene.Run.Class != ingest.Events:
		rs = reported(c)
	case c.leak:
		rs = measure(c).suspicious()
	default:
		rs = measure(c).harmless()
	}
	if !c.leak {
		rs = append(rs, reason{-1, fmt.Sprintf("the probability %.3f is below the threshold %.3f", c.probability, threshold)})
	}
	slices.SortStableFunc(rs, func(a, b reason) int { return cmp.Compare(b.weight, a.weight) })
	var out []string
	for _, r := range rs[:min(len(rs), maxReasons)] {
		out = append(out, r.text)
	}
	return out
}

// facts are the numbers of a site of an event log that reasons are made of. Ages
// and lifetimes are in events.
type facts struct {
	*candidate
	live, freed int
	// oldest and youngest ages of the blocks meant.
	oldest, youngest uint32
	// maxLife and medianLife of the freed siblings.
	maxLife, medianLife uint32
	// unfreed is the number of blocks born since lastFreed, the birth of the
	// youngest freed sibling.
	unfreed   int
	lastFreed uint32
	// quarters is the number of live blocks at the end of each quarter of the run.
	quarters [4]int
}

func measure(c *candidate) *facts {
	s := c.view.Scene
	f := &facts{candidate: c, live: len(c.view.Live), freed: c.view.Gone()}
	f.oldest = s.Cut - s.Run.Blocks.Born(c.blocks[0])
	f.youngest = s.Cut - s.Run.Blocks.Born(c.blocks[len(c.blocks)-1])
	var lives []uint32
	for _, i := range c.view.Blocks {
		b := s.Run.Blocks.At(i)
		if s.Live(i) {
			f.unfreed++
		} else {
			lives = append(lives, b.Died-b.Born)
			f.unfreed, f.lastFreed = 0, b.Born
		}
		for q := range f.quarters {
			if end := uint32(uint64(s.Cut) * uint64(q+1) / 4); b.Born < end && (b.Died >= end || s.Live(i)) {
				f.quarters[q]++
			}
		}
	}
	if len(lives) > 0 {
		slices.Sort(lives)
		f.maxLife, f.medianLife = lives[len(lives)-1], lives[len(lives)/2]
	}
	return f
}

// older counts the blocks meant that are older than a number of events.
func (f *facts) older(than uint32) int {
	n := 0
	for _, i := range f.blocks {
		if f.view.Scene.Cut-f.view.Scene.Run.Blocks.Born(i) > than {
			n++
		}
	}
	return n
}

// suspicious lists what speaks for a leak.
func (f *facts) suspicious() []reason {
	cut := f.view.Scene.Cut
	rs := []reason{{0, allocated(f.oldest, f.youngest, cut)}}
	add := func(weight float64, format string, args ...any) {
		rs = append(rs, reason{weight, fmt.Sprintf(format, args...)})
	}
	total := len(f.view.Blocks)
	switch {
	case f.freed == 0 && total > 1:
		add(bits(total), "none of the %s allocated here was freed", count(int64(total), "block"))
	case f.freed > 0 && f.freed*20 < total:
		add(bits(total)/2, "only %s of the %s allocated here were freed", comma(int64(f.freed)), count(int64(total), "block"))
	}
	if f.freed > 0 && f.unfreed > 2 {
		add(bits(f.unfreed), "none of the %s allocated since event %s was freed", count(int64(f.unfreed), "block"), comma(int64(f.lastFreed)))
	}
	if n := f.older(f.maxLife); f.freed > 0 && n > 0 {
		add(bits(f.freed)+ratio(f.oldest, f.maxLife), "%s older than any freed block of this site got: up to %s events, but the %s lived at most %s",
			f.some(n), comma(int64(f.oldest)), count(int64(f.freed), "freed block"), comma(int64(f.maxLife)))
	} else if f.freed > 0 && f.oldest > 4*f.medianLife {
		add(ratio(f.oldest, f.medianLife)/2, "the oldest is %s events old; half of the %s lived at most %s",
			comma(int64(f.oldest)), count(int64(f.freed), "freed block"), comma(int64(f.medianLife)))
	}
	if q := f.quarters; q[0] < q[1] && q[1] < q[2] && q[2] < q[3] && q[3] >= 5 {
		add(bits(q[3]-q[0])/2, "the number of live blocks rose in every quarter of the run: %s, %s, %s, %s (%.4g per 1,000 events)",
			comma(int64(q[0])), comma(int64(q[1])), comma(int64(q[2])), comma(int64(q[3])), 1000*float64(q[3])/float64(cut))
	}
	return append(rs, f.unlikeClean()...)
}

// unlikeClean lists in what a site exceeds the clean runs.
func (f *facts) unlikeClean() []reason {
	p := f.view.Ref
	if p == nil {
		if runs := f.view.Scene.Reference.Runs(); f.view.Match == tokenize.NewSite && runs > 0 {
			return []reason{{1, fmt.Sprintf("the site allocated nothing in %s", count(int64(runs), "clean run"))}}
		}
		return nil
	}
	var rs []reason
	runs := count(int64(p.Runs), "clean run")
	if most := int(p.MaxLive); f.live > most {
		rs = append(rs, reason{2 + 2*math.Log2(float64(f.live)/float64(max(most, 1))),
			fmt.Sprintf("%s outstanding here; in %s there were never more than %s", are(f.live, "block"), runs, comma(int64(most)))})
	}
	if n := f.older(p.MaxAge); n > 0 {
		rs = append(rs, reason{4 + ratio(f.oldest, p.MaxAge), fmt.Sprintf("%s older than any block of this site ever was in %s: up to %s events, then at most %s",
			f.some(n), runs, comma(int64(f.oldest)), comma(int64(p.MaxAge)))})
	} else if n := f.older(p.MaxLife); n > 0 && p.Freed > p.Exit {
		rs = append(rs, reason{2 + ratio(f.oldest, p.MaxLife), fmt.Sprintf("%s older than any that %s freed before the end: up to %s events, then at most %s",
			f.some(n), runs, comma(int64(f.oldest)), comma(int64(p.MaxLife)))})
	}
	return rs
}

// harmless lists what speaks against a leak.
func (f *facts) harmless() []reason {
	cut := f.view.Scene.Cut
	var rs []reason
	add := func(weight float64, format string, args ...any) {
		rs = append(rs, reason{weight, fmt.Sprintf(format, args...)})
	}
	total := len(f.view.Blocks)
	if p := f.view.Ref; p != nil {
		runs := count(int64(p.Runs), "clean run")
		if f.live <= int(p.MaxLive) {
			add(3, "%s outstanding here; %s had up to %s at once", are(f.live, "block"), runs, comma(int64(p.MaxLive)))
		}
		if p.Left > 0 {
			add(2, "up to %s of this site stayed unfreed in %s", count(int64(p.Left), "block"), runs)
		}
	}
	if f.freed > 0 && f.oldest <= f.maxLife {
		add(2, "no outstanding block is older than freed ones of this site got: %s events, freed ones up to %s", comma(int64(f.oldest)), comma(int64(f.maxLife)))
	}
	if share := percent(cut-f.youngest+1, cut); cut-f.youngest <= cut/10 {
		if later := f.later(); later > 0 {
			add(2, "all outstanding blocks are from the first %s of the run; the %s allocated since were freed", share, count(int64(later), "block"))
		} else {
			add(2, "all outstanding blocks are from the first %s of the run, and nothing was allocated here since", share)
		}
	} else if f.oldest <= cut/100 {
		add(2, "the oldest outstanding block is only %s events old, %s of the run", comma(int64(f.oldest)), percent(f.oldest, cut))
	}
	if f.freed*20 >= total*19 {
		add(1, "%s of the %s allocated here were freed", comma(int64(f.freed)), count(int64(total), "block"))
	}
	if f.live == 1 {
		add(0.5, "it is a single block")
	}
	return rs
}

// later is the number of blocks born after the youngest outstanding one.
func (f *facts) later() int {
	last := f.view.Live[len(f.view.Live)-1]
	n := 0
	for i := len(f.view.Blocks) - 1; i >= 0 && f.view.Blocks[i] != last; i-- {
		n++
	}
	return n
}

// reported gives the reasons for a site of a report or of snapshots, which are
// what the tool that made them says itself.
func reported(c *candidate) []reason {
	run := c.view.Scene.Run
	var by [ingest.Unreferenced + 1]ingest.Amount
	scans := uint8(0)
	for _, i := range c.blocks {
		b := run.Blocks.At(i)
		by[b.Loss].Blocks += int64(b.Count)
		by[b.Loss].Bytes += b.Size
		scans = max(scans, b.Scans)
	}
	meaning := [...]string{
		ingest.NotJudged:    "the log does not say whether anything points there",
		ingest.Definite:     "no pointer to the start or into it was found",
		ingest.Indirect:     "only lost blocks point there",
		ingest.Possible:     "only pointers into the middle were found",
		ingest.Reachable:    "a pointer to the start was found",
		ingest.Unreferenced: "kmemleak found no pointer there",
	}
	var rs []reason
	for loss, a := range by {
		if a.Blocks > 0 {
			rs = append(rs, reason{3 + bits(int(a.Blocks))/8, fmt.Sprintf("%s (%s) %s: %s",
				count(a.Blocks, "block"), count(a.Bytes, "byte"), ingest.Loss(loss), meaning[loss])})
		}
	}
	switch {
	case c.view.Scene.IsSeries():
		rs = append(newCourse(run, c.view.Site).reasons(), reason{1, fmt.Sprintf("%s now", count(by[ingest.NotJudged].Blocks, "block"))})
	case scans > 1:
		rs = append(rs, reason{2, fmt.Sprintf("seen in up to %s in a row", count(int64(scans), "scan"))})
	}
	if gone := c.view.Gone(); c.view.Scene.Rescanned() && gone > 0 {
		rs = append(rs, reason{2.5, fmt.Sprintf("%s of the %s suspected here vanished in a later scan, and %s no leak",
			comma(int64(gone)), count(int64(len(c.view.Blocks)), "object"), were(gone))})
	}
	if p := c.view.Ref; p != nil {
		rs = append(rs, reason{1, fmt.Sprintf("up to %s of this site outstanding in %s", count(int64(p.Left), "block"), count(int64(p.Runs), "clean run"))})
	} else if runs := c.view.Scene.Reference.Runs(); runs > 0 {
		rs = append(rs, reason{1, fmt.Sprintf("nothing of this site outstanding in %s", count(int64(runs), "clean run"))})
	}
	return rs
}

// bits is how surprising it is that none of n happened.
func bits(n int) float64 { return math.Log2(float64(n + 1)) }

// ratio is how many times a is b, in bits.
func ratio(a, b uint32) float64 { return math.Log2(float64(a+1) / float64(b+1)) }

// some names n of the blocks meant: "all 7 blocks are", "3 of the 7 blocks are".
func (f *facts) some(n int) string {
	switch all := len(f.blocks); {
	case all == 1:
		return "the block is"
	case n == all:
		return "all " + are(n, "block")
	default:
		return comma(int64(n)) + " of the " + are(all, "block")
	}
}

func are(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return count(int64(n), noun) + " are"
}

func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// allocated tells when blocks of these ages were.
func allocated(oldest, youngest, cut uint32) string {
	if oldest == youngest {
		return fmt.Sprintf("allocated at %s of the run, %s ago", percent(cut-oldest, cut), count(int64(oldest), "event"))
	}
	return fmt.Sprintf("allocated between %s and %s of the run, %s to %s ago",
		percent(cut-oldest, cut), percent(cut-youngest, cut), comma(int64(youngest)), count(int64(oldest), "event"))
}

func percent(n, of uint32) string {
	if n > 0 && uint64(n)*2000 < uint64(of) {
		return "less than 0.1 %"
	}
	return strconv.FormatFloat(100*float64(n)/float64(max(of, 1)), 'f', 1, 64) + " %"
}

// count writes a number of things.
func count(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return comma(n) + " " + noun
}

// comma writes a number with commas between thousands.
func comma(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
