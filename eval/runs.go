package eval

import (
	"math"
	"slices"
)

// verdict is what was said of a run as a whole, and what is true.
type verdict struct {
	flagged, leaks bool
	// leftOut says that a leak is not in the subset of the sites.
	leftOut bool
}

func (v *verdict) add(flagged, leak bool) {
	v.flagged = v.flagged || flagged
	v.leaks = v.leaks || leak
}

func (v *verdict) count(c *Confusion) {
	if v.leaks || !v.leftOut {
		c.count(v.flagged, v.leaks, 1)
	}
}

// flags reports whether an entrant flags a site.
func (r *Result) flags(entrant, site int) bool {
	sample := r.sites[site].sample
	return r.applies[entrant][sample] && r.scores[entrant][site] >= r.thresholds[entrant][sample]
}

// delay is how long a leak went unflagged, in events and as a share of the run's.
type delay struct{ events, part float64 }

// place is a site of a run in one setting.
type place struct {
	program, log, setting string
	number                int32
}

func (r *Result) place(s *site) place {
	at := &r.samples[s.sample]
	return place{at.Program, at.Log, at.Setting, s.number}
}

// detect finds when the leaking sites of the numbered samples were first flagged,
// there or at an earlier cut of the same run, and puts their delays into tallies.
func (r *Result) detect(entrant, subset int, samples []int32, tallies []tally) Detection {
	first := r.firstFlags(entrant)
	var d Detection
	for i := range r.sites {
		s := &r.sites[i]
		run := samples[s.sample]
		if run < 0 || s.since == 0 || s.leaked == 0 || !Subsets()[subset].holds(s.leaked) {
			continue
		}
		d.Sites++
		if at, ok := first[r.place(s)]; ok && at <= r.cuts[s.sample] {
			d.Found++
			events := float64(at - s.since)
			tallies[run].delays = append(tallies[run].delays, delay{events, events / float64(r.cuts[s.sample])})
		}
	}
	return d
}

// firstFlags finds the cut, in events, at which each site was first flagged while
// it leaked.
func (r *Result) firstFlags(entrant int) map[place]uint32 {
	if first := r.first[entrant]; first != nil {
		return first
	}
	first := map[place]uint32{}
	for i := range r.sites {
		s := &r.sites[i]
		if s.since == 0 || s.leaked == 0 || !r.flags(entrant, i) {
			continue
		}
		p, cut := r.place(s), r.cuts[s.sample]
		if at, ok := first[p]; !ok || cut < at {
			first[p] = cut
		}
	}
	r.first[entrant] = first
	return first
}

// delays are the medians over the sites found, with each run counted weight times;
// NaN where none was.
func delays(tallies []tally, weight []int64) (events, part float64) {
	var es, ps []float64
	for run, t := range tallies {
		for range weight[run] {
			for _, d := range t.delays {
				es, ps = append(es, d.events), append(ps, d.part)
			}
		}
	}
	return middle(es), middle(ps)
}

// middle is the median; it sorts the values.
func middle(x []float64) float64 {
	slices.Sort(x)
	n := len(x)
	if n == 0 {
		return math.NaN()
	}
	return (x[(n-1)/2] + x[n/2]) / 2
}

// curvePoints is about how many points a curve has.
const curvePoints = 60

// curve is precision over recall, by scores in falling order; of its points those
// are kept that lie apart in recall.
func curve(sorted []scored) []Point {
	positives := 0.0
	for _, s := range sorted {
		if s.leak {
			positives++
		}
	}
	if positives == 0 {
		return nil
	}
	var out []Point
	hits, last := 0.0, -1.0
	for i, s := range sorted {
		if s.leak {
			hits++
		}
		end := i+1 == len(sorted)
		if !end && sorted[i+1].score == s.score {
			continue
		}
		p := Point{hits / positives, hits / float64(i+1)}
		if p.Recall-last >= 1./curvePoints || p.Recall == 1 && last < 1 {
			out = append(out, p)
			last = p.Recall
		}
	}
	return out
}
