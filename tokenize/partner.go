package tokenize

import "slices"

// Blocks that are allocated one right after the other often belong together (a
// node, its name and its value) and die together. A block that lives on when its
// partner is long dead has likely been forgotten, however young it is: this is
// visible long before its age is unusual.

// near is how far apart in order of birth two partners may be.
const near = 8

// waits are how many events after its partner's death a block counts as widowed:
// at once, and after what a garbage collector's sweep may take.
var waits = [...]uint32{32, 1024}

// maxPartners bounds how many partner sites a profile keeps.
const maxPartners = 12

// Partner tells how blocks of a site fare beside those of another site.
type Partner struct {
	// Site is the Exact key of the other site.
	Site Key
	// N is how many blocks saw the nearest block of the other site die; Widowed
	// is how many of them were alive so long after (see waits).
	N       [len(waits)]float32
	Widowed [len(waits)]float32
}

// chance is the probability that a block is widowed so long, by Laplace's rule.
func (p *Partner) chance(wait int) float64 {
	return (float64(p.Widowed[wait]) + 1) / (float64(p.N[wait]) + 2)
}

// partners calls f with the nearest block of each other site around block i, and that
// site, the nearest first.
func (s *Scene) partners(i int32, f func(j int32, site uint32)) {
	var seen [2 * near]uint32
	n := 0
	for d := int32(1); d <= near; d++ {
		for _, j := range [2]int32{i - d, i + d} {
			if j < 0 || int(j) >= s.Run.Blocks.Len() || s.Run.Blocks.Born(j) >= s.Cut {
				continue
			}
			site := s.Run.Blocks.Site(j)
			if slices.Contains(seen[:n], site) {
				continue
			}
			seen[n] = site
			n++
			f(j, site)
		}
	}
}

// widowed reports whether block i was alive wait events after block j died; ok is
// false where that is not known before the end.
func (s *Scene) widowed(i, j int32, wait, end uint32) (widowed, ok bool) {
	dead := max(s.died(j), s.Run.Blocks.Born(i))
	switch mine := s.died(i); {
	case dead >= end:
		return false, false
	case mine < end:
		return mine > dead && mine-dead > wait, true
	case end-dead > wait:
		return true, true
	}
	return false, false
}

// pairs collects the partners of a site from some of its blocks.
func (s *Scene) pairs(index []int32, end uint32) []Partner {
	var out []Partner
	var sites []uint32
	for _, i := range index {
		s.partners(i, func(j int32, site uint32) {
			at := slices.Index(sites, site)
			for w, wait := range waits {
				widowed, ok := s.widowed(i, j, wait, end)
				if !ok {
					continue
				}
				if at < 0 {
					if len(sites) == 4*maxPartners {
						return
					}
					at = len(sites)
					sites = append(sites, site)
					out = append(out, Partner{Site: s.Run.Sites[site].Exact})
				}
				out[at].N[w]++
				if widowed {
					out[at].Widowed[w]++
				}
			}
		})
	}
	return trimPartners(out)
}

// trimPartners keeps the partners that were met most often.
func trimPartners(ps []Partner) []Partner {
	slices.SortFunc(ps, func(a, b Partner) int {
		switch {
		case a.N[0] > b.N[0], a.N[0] == b.N[0] && a.Site < b.Site:
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	return ps[:min(len(ps), maxPartners)]
}

// addPartners joins what two profiles know.
func addPartners(a, b []Partner) []Partner {
	out := slices.Clone(a)
	for _, p := range b {
		at := slices.IndexFunc(out, func(q Partner) bool { return q.Site == p.Site })
		if at < 0 {
			out = append(out, p)
			continue
		}
		for w := range waits {
			out[at].N[w] += p.N[w]
			out[at].Widowed[w] += p.Widowed[w]
		}
	}
	return trimPartners(out)
}

// widowhood is how improbable it is that a block lives on beside its dead
// partners: the smallest chance over them for each wait; 1 where none is dead for
// so long.
func (s *Scene) widowhood(i int32, known map[uint32]*Partner, end uint32) (chance [len(waits)]float64, exposed [len(waits)]bool) {
	for w := range waits {
		chance[w] = 1
	}
	if len(known) == 0 {
		return chance, exposed
	}
	s.partners(i, func(j int32, site uint32) {
		p := known[site]
		if p == nil {
			return
		}
		for w, wait := range waits {
			dead := max(s.died(j), s.Run.Blocks.Born(i))
			if p.N[w] > 0 && dead < end && end-dead > wait {
				exposed[w] = true
				chance[w] = min(chance[w], p.chance(w))
			}
		}
	})
	return chance, exposed
}
