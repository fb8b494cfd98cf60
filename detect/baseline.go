package detect

import (
	"slices"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// SiteKey is what an allocation site is called across runs, see [tokenize.Site].
type SiteKey struct {
	Exact tokenize.Key `json:"exact,string"`
	Names tokenize.Key `json:"names,string"`
}

// Key of the finding's site.
func (f *Finding) Key() SiteKey {
	s := f.Run.Sites[f.Run.Blocks.Site(f.Blocks[0])]
	return SiteKey{s.Exact, s.Names}
}

// Baseline is the leaks that a program is known to have. The zero value has none.
type Baseline struct {
	leaks map[SiteKey]bool
}

// Add adds a leak.
func (b *Baseline) Add(k SiteKey) {
	if b.leaks == nil {
		b.leaks = map[SiteKey]bool{}
	}
	b.leaks[k] = true
}

// Len is the number of sites that leak.
func (b *Baseline) Len() int { return len(b.leaks) }

// Known tells which of a run's leaks are those of the baseline: first the sites that
// are exactly the same. Of the others each takes a leak of the baseline that was not
// found again and whose functions have the same names, as when lines have moved. So a
// second leak in a function is new.
func (b *Baseline) Known(leaks []SiteKey) []bool {
	known := make([]bool, len(leaks))
	exact := map[tokenize.Key]bool{}
	for k := range b.leaks {
		exact[k.Exact] = true
	}
	found := map[tokenize.Key]bool{}
	for i, k := range leaks {
		if known[i] = exact[k.Exact]; known[i] {
			found[k.Exact] = true
		}
	}
	spare := map[tokenize.Key]int{}
	for k := range b.leaks {
		if k.Names != 0 && !found[k.Exact] {
			spare[k.Names]++
		}
	}
	for i, k := range leaks {
		if !known[i] && spare[k.Names] > 0 {
			known[i] = true
			spare[k.Names]--
		}
	}
	return known
}

// LeftOut is a leak that is not among the findings.
type LeftOut struct {
	Site   string        `json:"site"`
	Leaked ingest.Amount `json:"leaked"`
	// By is the suppression; empty for one of the baseline.
	By string `json:"by,omitempty"`
}

// leaveOut takes suppressed and known leaks out of what is listed.
func (d *Detector) leaveOut(listed []*candidate, sum *Summary) []*candidate {
	if d.Suppressions == nil && d.Baseline == nil {
		return listed
	}
	out := map[*candidate]bool{}
	var rest []*candidate
	var findings []*Finding
	var keys []SiteKey
	for _, c := range listed {
		if !c.leak {
			continue
		}
		f := c.finding(sum.Threshold)
		if s := d.Suppressions.find(f); s != nil {
			out[c] = true
			sum.Suppressed = append(sum.Suppressed, sum.leaveOut(f, s.String()))
			continue
		}
		rest, findings, keys = append(rest, c), append(findings, f), append(keys, f.Key())
	}
	if d.Baseline != nil {
		for i, known := range d.Baseline.Known(keys) {
			if known {
				out[rest[i]] = true
				sum.Known = append(sum.Known, sum.leaveOut(findings[i], ""))
			}
		}
	}
	return slices.DeleteFunc(listed, func(c *candidate) bool { return out[c] })
}

// leaveOut takes a leak out of the sums.
func (s *Summary) leaveOut(f *Finding, by string) LeftOut {
	s.Leaks--
	s.FalseAlarms = max(0, s.FalseAlarms-(1-f.Probability))
	s.Leaked.Blocks -= f.Leaked.Blocks
	s.Leaked.Bytes -= f.Leaked.Bytes
	return LeftOut{Site: f.Site, Leaked: f.Leaked, By: by}
}
