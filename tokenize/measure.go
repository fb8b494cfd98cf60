package tokenize

import (
	"math"

	"leakformer/ingest"
)

// measures is what Tokenize needs to know of a view before it writes it.
type measures struct {
	v *View

	allocs, live, peak  float64
	bytes               float64 // live
	earlyBorn, lateBorn float64 // births in the earlier and the later half of the run
	earlyLive, lateLive float64
	bornAfterOldest     float64 // births after that of the oldest live block
	deadAfterOldest     float64
	maxLife             uint32 // longest lifetime of a freed block
	freedSizes          map[int64]struct{}
	sizeNovelty         int // 0 in the clean range, 1 above, 2 below
	// own, ref and out are survivals by lifeBin: of this view's blocks, of the
	// clean runs', and of those of them that outlived a neighbour.
	own, ref, out [lifeBins]float64
	// expected is how many blocks would be live if they died as in the clean
	// runs; longest, as in the clean run where they lived longest.
	expected, longest float64
	curve             [ages]curvePoint
	// partners are what the clean runs, and kin what the site's own blocks tell of
	// partners, by their site in this run.
	partners, kinPartners map[uint32]*Partner
	// widows is the number of live blocks that a partner is dead beside, expected
	// how many there would be if they fared as in the clean runs; widow and
	// ownWidow are the smallest chances of any.
	widows, expectedWidows float64
	widow, ownWidow        float64
	// suspicion tells, for each of View.Live, how unusual its age is, in bits.
	suspicion []float64
	// deadFrom[i] is how many of View.Blocks[i:] are dead at the cut.
	deadFrom []int32
}

// curvePoint speaks of the blocks that have reached some age.
type curvePoint struct {
	born, live, freed, expected float64
}

func measure(v *View) *measures {
	m := &measures{v: v, freedSizes: map[int64]struct{}{}}
	s := v.Scene
	blocks := &s.Run.Blocks
	var own Lives
	m.deadFrom = make([]int32, len(v.Blocks)+1)
	freed := int64(-1) // size of the last one, as many follow that are as large
	oldest := blocks.Born(v.Live[0])
	for n := len(v.Blocks) - 1; n >= 0; n-- {
		i := v.Blocks[n]
		b := blocks.At(i)
		count := float64(b.Count)
		m.allocs += count
		alive := s.Live(i)
		m.deadFrom[n] = m.deadFrom[n+1]
		if !alive {
			m.deadFrom[n]++
			life := s.died(i) - b.Born
			m.maxLife = max(m.maxLife, life)
			if b.Size != freed {
				freed = b.Size
				m.freedSizes[freed] = struct{}{}
			}
			own.add(life, true)
		} else {
			m.live += count
			m.bytes += float64(b.Size)
			own.add(s.Cut-b.Born, false)
		}
		if b.Born > oldest {
			m.bornAfterOldest++
			if !alive {
				m.deadAfterOldest++
			}
		}
		m.half(b.Born, alive)
	}
	m.own, _ = own.survival()
	m.peak = float64(s.peak(v.Blocks, deathsOf(s, v.Blocks), 0))
	if v.Ref != nil {
		m.ref, _ = v.Ref.Lives.survival()
		m.out, _ = v.Ref.Outlived.survival()
		m.sizeNovelty = m.novelty()
	}
	m.ages()
	m.pair()
	m.suspect()
	return m
}

func (m *measures) half(born uint32, alive bool) {
	births, live := &m.earlyBorn, &m.earlyLive
	if born >= m.v.Scene.Cut/2 {
		births, live = &m.lateBorn, &m.lateLive
	}
	*births++
	if alive {
		*live++
	}
}

func (m *measures) novelty() int {
	novelty := 0
	for _, i := range m.v.Live {
		b := m.v.Scene.Run.Blocks.At(i)
		switch size := b.Size / int64(max(b.Count, 1)); {
		case size > m.v.Ref.MaxSize:
			return 1
		case size < m.v.Ref.MinSize:
			novelty = 2
		}
	}
	return novelty
}

// ages fills in the curve and what was to be expected.
func (m *measures) ages() {
	v, s := m.v, m.v.Scene
	for _, i := range v.Blocks {
		born := s.Run.Blocks.Born(i)
		reached := min(s.died(i), s.Cut) - born
		alive := s.Live(i)
		since := s.Cut - born
		survives := 0.0
		if v.Ref != nil {
			survives = m.ref[lifeBin(since)]
			m.expected += survives
			m.longest += max(survives, float64(v.Ref.Longest[lifeBin(since)]))
		}
		for k := 0; k < len(m.curve) && age(k) <= since; k++ {
			c := &m.curve[k]
			c.born++
			c.expected += survives
			switch {
			case alive:
				c.live++
			case reached >= age(k):
				c.freed++
			}
		}
	}
}

// kinBlocks is how many of a site's own blocks are asked about partners.
const kinBlocks = 512

// pair finds what is known of partners.
func (m *measures) pair() {
	v := m.v
	m.widow, m.ownWidow = 1, 1
	if v.Scene.Run.Class != ingest.Events {
		return
	}
	if v.Ref != nil {
		m.partners = m.known(v.Ref.Partners)
	}
	some := v.Blocks
	if n := len(some); n > kinBlocks {
		some = make([]int32, kinBlocks)
		for k := range some {
			some[k] = v.Blocks[k*n/kinBlocks]
		}
	}
	m.kinPartners = m.known(v.Scene.pairs(some, v.Scene.Cut))
	for _, i := range v.Live {
		chance, exposed := v.Scene.widowhood(i, m.partners, v.Scene.Cut)
		for w := range waits {
			m.widow = min(m.widow, chance[w])
		}
		if exposed[0] {
			m.widows++
		}
		own, _ := v.Scene.widowhood(i, m.kinPartners, v.Scene.Cut)
		m.ownWidow = min(m.ownWidow, own[0])
	}
	if v.Ref != nil && v.Ref.Allocs > 0 {
		// Widowed blocks that live on, of all blocks, in the clean runs.
		most := 0.0
		for i := range v.Ref.Partners {
			p := &v.Ref.Partners[i]
			most = max(most, float64(p.Widowed[0])/float64(v.Ref.Allocs))
		}
		m.expectedWidows = min(most, 1) * m.allocs
	}
}

// known finds partner sites in this run.
func (m *measures) known(ps []Partner) map[uint32]*Partner {
	out := make(map[uint32]*Partner, len(ps))
	for i := range ps {
		if site, ok := m.v.Scene.Run.byKey[ps[i].Site]; ok {
			out[site] = &ps[i]
		}
	}
	return out
}

func (m *measures) suspect() {
	v, s := m.v, m.v.Scene
	m.suspicion = make([]float64, len(v.Live))
	for n, i := range v.Live {
		age := s.Cut - s.Run.Blocks.Born(i)
		bin := lifeBin(age)
		bits := -math.Log2(m.own[bin])
		if v.Ref != nil {
			bits = -math.Log2(m.ref[bin])
			if out, ok := m.outlived(i, s.Cut); ok {
				bits -= math.Log2(m.out[lifeBin(out)])
			}
		}
		for _, known := range []map[uint32]*Partner{m.partners, m.kinPartners} {
			chance, _ := s.widowhood(i, known, s.Cut)
			bits -= math.Log2(min(chance[0], chance[1]))
		}
		// Among equals the older one comes first.
		m.suspicion[n] = bits + float64(age)/float64(s.Cut+1)
	}
}

// kin says whether a block of this size was freed at the site: 2 yes, 1 only
// others were, 0 none at all.
func (m *measures) kin(size int64) int {
	if _, ok := m.freedSizes[size]; ok {
		return 2
	}
	return min(len(m.freedSizes), 1)
}

// mates says which of the two neighbours in birth order had died at the time end:
// bit 0 the one before, bit 1 the one after.
func (m *measures) mates(i int32, end uint32) int {
	s := m.v.Scene
	bits := 0
	if i > 0 && s.died(i-1) < end {
		bits |= 1
	}
	if int(i)+1 < s.Run.Blocks.Len() && s.died(i+1) < end {
		bits |= 2
	}
	return bits
}

// around is the share of the sixteen nearest blocks in birth order that were
// alive at the time end.
func (m *measures) around(i int32, end uint32) int {
	s := m.v.Scene
	n, alive := 0.0, 0.0
	for j := max(i-8, 0); j <= i+8 && int(j) < s.Run.Blocks.Len(); j++ {
		if j == i || s.Run.Blocks.Born(j) >= end {
			continue
		}
		n++
		if s.died(j) >= end {
			alive++
		}
	}
	return shareBin(alive, n)
}

// outlived is for how long, up to the time end, the block has lived on after the
// first of its neighbours died.
func (m *measures) outlived(i int32, end uint32) (uint32, bool) {
	d := firstDeath(m.v.Scene, i)
	if d >= end {
		return 0, false
	}
	return end - max(d, m.v.Scene.Run.Blocks.Born(i)), true
}

// laterDead is the share of the siblings born after the nth that have died.
func (m *measures) laterDead(nth int, end uint32) int {
	later := len(m.v.Blocks) - nth - 1
	return shareBin(float64(m.deadFrom[nth+1]), float64(later))
}
