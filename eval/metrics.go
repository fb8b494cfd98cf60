package eval

import (
	"cmp"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
)

// Rate is a measured share with its 95 % bootstrap interval over runs. What
// cannot be measured is NaN, in JSON null: the precision of a scorer that flags
// nothing, or the recall where nothing leaks.
type Rate struct{ Value, Low, High float64 }

// alone is a rate without an interval.
func alone(value float64) Rate { return Rate{value, math.NaN(), math.NaN()} }

// MarshalJSON writes {"value":…,"low":…,"high":…}.
func (r Rate) MarshalJSON() ([]byte, error) {
	number := func(f float64) *float64 {
		if math.IsNaN(f) {
			return nil
		}
		return &f
	}
	return json.Marshal(struct {
		Value *float64 `json:"value"`
		Low   *float64 `json:"low"`
		High  *float64 `json:"high"`
	}{number(r.Value), number(r.Low), number(r.High)})
}

// Confusion counts verdicts against the truth.
type Confusion struct {
	TP int64 `json:"tp"` // leaks that were flagged
	FP int64 `json:"fp"` // flagged, but normal
	FN int64 `json:"fn"` // leaks that were not flagged
	TN int64 `json:"tn"` // normal and not flagged
}

func (c *Confusion) count(flagged, leak bool, n int64) {
	switch {
	case flagged && leak:
		c.TP += n
	case flagged:
		c.FP += n
	case leak:
		c.FN += n
	default:
		c.TN += n
	}
}

func (c *Confusion) add(o Confusion, times int64) {
	c.TP += times * o.TP
	c.FP += times * o.FP
	c.FN += times * o.FN
	c.TN += times * o.TN
}

// Precision is the share of leaks among what was flagged.
func (c Confusion) Precision() float64 { return share(c.TP, c.TP+c.FP) }

// Recall is the share of flagged ones among the leaks.
func (c Confusion) Recall() float64 { return share(c.TP, c.TP+c.FN) }

// F1 is the harmonic mean of precision and recall; NaN where nothing leaks and
// nothing was flagged.
func (c Confusion) F1() float64 { return share(2*c.TP, 2*c.TP+c.FP+c.FN) }

// Accuracy is the share of right verdicts. Beside it belongs BaseRate.
func (c Confusion) Accuracy() float64 { return share(c.TP+c.TN, c.TP+c.TN+c.FP+c.FN) }

// BaseRate is the accuracy of flagging nothing: the share of what is normal.
func (c Confusion) BaseRate() float64 { return share(c.FP+c.TN, c.TP+c.TN+c.FP+c.FN) }

func share(n, of int64) float64 { return float64(n) / float64(of) } // 0/0 is NaN

// scored is one site as one entrant sees it.
type scored struct {
	score float64
	run   int32
	leak  bool
}

// averagePrecision is the area under the precision-recall curve, in steps of
// recall: the sum over thresholds of precision times the recall gained there.
// scores are in falling order; sites of one score count together, so that their
// order does not matter. Run r counts weight[r] times; nil is once each.
func averagePrecision(sorted []scored, weight []int64) float64 {
	hits, seen, area := 0.0, 0.0, 0.0
	for i := 0; i < len(sorted); {
		gained, j := 0.0, i
		for ; j < len(sorted) && sorted[j].score == sorted[i].score; j++ {
			w := 1.0
			if weight != nil {
				w = float64(weight[sorted[j].run])
			}
			seen += w
			if sorted[j].leak {
				gained += w
			}
		}
		if hits += gained; gained > 0 {
			area += gained * hits / seen
		}
		i = j
	}
	return area / hits // NaN without a leak
}

// upToLastLeak drops the end of the ranking, which average precision does not
// depend on: what is ranked below all leaks.
func upToLastLeak(sorted []scored) []scored {
	n := len(sorted)
	for n > 0 && !sorted[n-1].leak {
		n--
	}
	for n > 0 && n < len(sorted) && sorted[n].score == sorted[n-1].score {
		n++
	}
	return sorted[:n]
}

func sortScores(s []scored) {
	slices.SortFunc(s, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
}

// Bin is the sites with probabilities in one tenth of the range 0 to 1.
type Bin struct {
	Sites int64 `json:"sites"`
	// Mean probability of the sites, and the share of them that leak.
	Mean   float64 `json:"mean"`
	Leaked float64 `json:"leaked"`
}

const reliabilityBins = 10

// reliability compares probabilities with what came true, in ten bins of equal width.
func reliability(s []scored) []Bin {
	bins := make([]Bin, reliabilityBins)
	for _, x := range s {
		b := &bins[min(int(x.score*reliabilityBins), reliabilityBins-1)]
		b.Sites++
		b.Mean += x.score
		if x.leak {
			b.Leaked++
		}
	}
	for i := range bins {
		if n := float64(bins[i].Sites); n > 0 {
			bins[i].Mean /= n
			bins[i].Leaked /= n
		}
	}
	return bins
}

// calibrationError is the expected calibration error: the distance between mean
// probability and share of leaks, averaged over the sites (Naeini 2015).
func calibrationError(bins []Bin) float64 {
	sum, n := 0.0, 0.0
	for _, b := range bins {
		sum += float64(b.Sites) * math.Abs(b.Mean-b.Leaked)
		n += float64(b.Sites)
	}
	return sum / n
}

// bootstrap draws runs with replacement, over and over, and gives the interval
// that holds the middle 95 % of each measure's values. Draws in which a measure
// cannot be measured are left out of its interval; runs have to be independent,
// so that one run at several cuts must not be in one table row.
func bootstrap(runs, resamples int, seed uint64, measure func(weight []int64) []float64) (low, high []float64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	weight := make([]int64, runs)
	var values [][]float64
	for range resamples {
		clear(weight)
		for range runs {
			weight[rng.IntN(runs)]++
		}
		for k, x := range measure(weight) {
			if k == len(values) {
				values = append(values, nil)
			}
			if !math.IsNaN(x) {
				values[k] = append(values[k], x)
			}
		}
	}
	for _, v := range values {
		slices.Sort(v)
		low, high = append(low, quantile(v, 0.025)), append(high, quantile(v, 0.975))
	}
	return low, high
}

// quantile of sorted values; NaN of none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[int(math.Round(q*float64(len(sorted)-1)))]
}
