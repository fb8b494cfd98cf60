package tokenize

import "math/bits"

// Lifetimes and ages are counted in events of the run, which any program's log
// has, at any speed, and put into half-octave bins.
const lifeBins = 64

// lifeBin is the half-octave that holds n events: 0, 1, 2, 3, 4-5, 6-7, 8-11, ...
func lifeBin(n uint32) int {
	if n < 4 {
		return int(n)
	}
	k := bits.Len32(n) // 3..32
	return 2*k - 2 + int(n>>(k-2)&1)
}

// Ages at which the outstanding blocks are counted: 16 events, and four times as
// much each time, up to 16 million.
const ages = 11

func age(k int) uint32 { return 16 << (2 * k) }

// moments are the numbers of events at which a profile notes what was live:
// 16, 32, 64, ... 2^27.
const moments = 24

func moment(j int) uint32 { return 16 << j }

// Lives counts lifetimes that were seen to end, and ages of what was still alive
// when the watching ended (censored lifetimes), by lifeBin.
type Lives struct {
	Ended, Open [lifeBins]float32
}

func (l *Lives) add(n uint32, ended bool) {
	if ended {
		l.Ended[lifeBin(n)]++
	} else {
		l.Open[lifeBin(n)]++
	}
}

// survival is the Kaplan-Meier estimate of the share of blocks that live to the
// start of each bin. It never falls below 1/(n+2), as n blocks cannot prove more.
func (l *Lives) survival() (s [lifeBins]float64, n float64) {
	for b := range l.Ended {
		n += float64(l.Ended[b] + l.Open[b])
	}
	atRisk, alive, floor := n, 1.0, 1/(n+2)
	for b := range l.Ended {
		s[b] = max(alive, floor)
		if atRisk > 0 {
			alive *= 1 - float64(l.Ended[b])/atRisk
		}
		atRisk -= float64(l.Ended[b] + l.Open[b])
	}
	return s, n
}

// Profile is what one allocation site did in one or more clean runs. Counts are
// sums over the runs, except where a maximum is named.
type Profile struct {
	// Runs in which the site allocated.
	Runs float32
	// Allocs and Freed count blocks; Exit is the part of Freed that died only
	// in the teardown at the run's end.
	Allocs, Freed, Exit float32
	// Left is the largest number of blocks that one run left unfreed; MaxLive
	// the largest number live at once.
	Left, MaxLive float32
	// MaxBytes is the largest number of bytes live at once.
	MaxBytes float32
	// MaxLife is the longest lifetime that ended before teardown, MaxAge the
	// longest of all, in events; MinSize and MaxSize are bytes.
	MaxLife, MaxAge  uint32
	MinSize, MaxSize int64
	// Old is, for each age, the largest number of blocks of at least that age
	// that were live at once.
	Old [ages]float32
	// Live is the largest number of blocks live at each moment.
	Live [moments]float32
	// Lives are the lifetimes; a death in teardown counts as open.
	Lives Lives
	// Outlived is how long blocks lived on after the first of their two
	// neighbours in birth order had died.
	Outlived Lives
	// Longest is the largest survival of any one run with at least five blocks.
	Longest [lifeBins]float32
	// Partners are the sites whose blocks are born beside this one's.
	Partners []Partner
}

// join adds another run's profile of the same site.
func (p *Profile) join(o *Profile) {
	if p.Runs == 0 {
		*p = *o
		return
	}
	p.Runs += o.Runs
	p.combine(o, func(a, b float32) float32 { return max(a, b) })
}

// fuse adds the profile of another site of the same run, so that p speaks of
// both together.
func (p *Profile) fuse(o *Profile) {
	if p.Runs == 0 {
		*p = *o
		return
	}
	p.Runs = max(p.Runs, o.Runs)
	p.combine(o, func(a, b float32) float32 { return a + b })
}

func (p *Profile) combine(o *Profile, levels func(a, b float32) float32) {
	p.Allocs += o.Allocs
	p.Freed += o.Freed
	p.Exit += o.Exit
	p.Left = levels(p.Left, o.Left)
	p.MaxLive = levels(p.MaxLive, o.MaxLive)
	p.MaxBytes = levels(p.MaxBytes, o.MaxBytes)
	p.MaxLife = max(p.MaxLife, o.MaxLife)
	p.MaxAge = max(p.MaxAge, o.MaxAge)
	p.MinSize = min(p.MinSize, o.MinSize)
	p.MaxSize = max(p.MaxSize, o.MaxSize)
	for k := range p.Old {
		p.Old[k] = levels(p.Old[k], o.Old[k])
	}
	for j := range p.Live {
		p.Live[j] = levels(p.Live[j], o.Live[j])
	}
	for b := range p.Lives.Ended {
		p.Lives.Ended[b] += o.Lives.Ended[b]
		p.Lives.Open[b] += o.Lives.Open[b]
		p.Outlived.Ended[b] += o.Outlived.Ended[b]
		p.Outlived.Open[b] += o.Outlived.Open[b]
		p.Longest[b] = max(p.Longest[b], o.Longest[b])
	}
	p.Partners = addPartners(p.Partners, o.Partners)
}

// teardown is the event from which on a run does little but free what it has
// left: the longest end of the run in which fewer than one event in ten allocates.
func teardown(r *Run) uint32 {
	start := r.Events
	allocs := uint32(0)
	for i := int32(r.Blocks.Len()) - 1; i >= 0; i-- {
		allocs++
		if born := r.Blocks.Born(i); allocs*10 < r.Events-born {
			start = born
		}
	}
	return start
}

// firstDeath is when the first of a block's two neighbours in birth order died;
// Alive if neither has.
func firstDeath(s *Scene, i int32) uint32 {
	d := uint32(Alive)
	if i > 0 {
		d = s.died(i - 1)
	}
	if int(i)+1 < s.Run.Blocks.Len() {
		d = min(d, s.died(i+1))
	}
	return d
}

// profile measures one site of a clean run.
func profile(s *Scene, index []int32, end uint32) *Profile {
	p := &Profile{Runs: 1, MinSize: s.Run.Blocks.Size(index[0])}
	for _, i := range index {
		b := s.Run.Blocks.At(i)
		size := b.Size / int64(max(b.Count, 1))
		p.MinSize, p.MaxSize = min(p.MinSize, size), max(p.MaxSize, size)
		n := float32(b.Count)
		p.Allocs += n
		if b.Died == Alive {
			p.Left += n
		} else {
			p.Freed += n
			if b.Died >= end {
				p.Exit += n
			}
		}
		life := min(b.Died, s.Run.Events) - b.Born
		p.MaxAge = max(p.MaxAge, life)
		ended := b.Died < end
		if ended {
			p.MaxLife = max(p.MaxLife, life)
		}
		p.Lives.add(life, ended)
		if d := firstDeath(s, i); d < min(b.Died, s.Run.Events) {
			p.Outlived.add(min(b.Died, s.Run.Events)-max(d, b.Born), ended)
		}
	}
	p.levels(s, index)
	if s.IsSeries() {
		p.shown(s.Run.Series[s.Run.Blocks.Site(index[0])])
	}
	p.Partners = s.pairs(index, end)
	if len(index) >= 5 {
		longest, _ := p.Lives.survival()
		for b := range longest {
			p.Longest[b] = float32(longest[b])
		}
	}
	return p
}

// shown puts what the snapshots of a series show in the place of what was counted
// from single blocks.
func (p *Profile) shown(points []Point) {
	p.MaxLive, p.MaxBytes = 0, 0
	for _, at := range points {
		p.MaxLive, p.MaxBytes = max(p.MaxLive, float32(at.Blocks)), max(p.MaxBytes, float32(at.Bytes))
	}
}

// levels fills in MaxLive, MaxBytes, Old and Live by one sweep over births and deaths.
func (p *Profile) levels(s *Scene, index []int32) {
	deaths := deathsOf(s, index)
	born := func(i int) uint32 { return s.Run.Blocks.Born(index[i]) }
	p.MaxLive = s.peak(index, deaths, 0)
	p.MaxBytes = s.peakBytes(index)
	for k := range p.Old {
		if p.Old[k] = s.peak(index, deaths, age(k)); p.Old[k] == 0 {
			break
		}
	}
	b, d := 0, 0
	for j := range p.Live {
		at := min(moment(j), s.Run.Events)
		for b < len(index) && born(b) < at {
			b++
		}
		for d < len(deaths) && deaths[d].at < at {
			d++
		}
		p.Live[j] = float32(b - d)
	}
}
