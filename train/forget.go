package train

import (
	"math"
	"math/rand/v2"
	"slices"

	"leakformer/tokenize"
)

// A planter forgets frees in the log of a clean run, so that blocks which the
// program did free look like blocks that it leaked. That makes a labelled run
// from one that nobody has labelled.
//
// What one forgotten free in a program's text would lose is the blocks that one
// call path frees. A log of allocs and frees does not name that path, so the
// planter takes sets of blocks that tend to share one: all of a site, one size,
// lifetimes of one length, or those that die right behind a block of the same
// other site, as the members of a structure do.
type planter struct {
	run *tokenize.Run
	// before[i] is the site of the block that died right before block i.
	before []int32
	// freed are the sites with at least one freed block.
	freed []int32
}

func newPlanter(run *tokenize.Run) *planter {
	p := &planter{run: run, before: make([]int32, run.Blocks.Len())}
	order := make([]int32, 0, run.Blocks.Len())
	for i := range int32(run.Blocks.Len()) {
		if run.Blocks.Died(i) != tokenize.Alive {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		return int(int64(run.Blocks.Died(a)) - int64(run.Blocks.Died(b)))
	})
	last, seen := int32(-1), make([]bool, len(run.Sites))
	for _, i := range order {
		p.before[i] = last
		last = int32(run.Blocks.Site(i))
		if !seen[last] {
			seen[last] = true
			p.freed = append(p.freed, last)
		}
	}
	slices.Sort(p.freed)
	return p
}

// plant forgets frees of up to n sites that were made before the cut, and returns
// them as marks on the run's blocks.
func (p *planter) plant(rng *rand.Rand, cut uint32, n int) []bool {
	lost := make([]bool, p.run.Blocks.Len())
	if len(p.freed) == 0 {
		return lost
	}
	for range n {
		p.forget(rng, cut, p.freed[rng.IntN(len(p.freed))], lost)
	}
	return lost
}

// forget marks blocks of one site.
func (p *planter) forget(rng *rand.Rand, cut uint32, site int32, lost []bool) {
	var from uint32
	if rng.IntN(2) == 0 {
		from = uint32(rng.Float64() * float64(cut))
	}
	var mine []int32
	for _, i := range p.run.BySite[site] {
		if b := p.run.Blocks.At(i); b.Died < cut && b.Died >= from {
			mine = append(mine, i)
		}
	}
	if len(mine) == 0 {
		return
	}
	like := p.likeness(rng, mine[rng.IntN(len(mine))])
	share := 1.0
	if rng.IntN(5) < 3 {
		share = math.Exp(rng.Float64() * math.Log(0.01))
	}
	var alike []int32
	for _, i := range mine {
		if like(i) {
			alike = append(alike, i)
		}
	}
	n := 0
	for _, i := range alike {
		if rng.Float64() < share {
			lost[i] = true
			n++
		}
	}
	if n == 0 {
		lost[alike[rng.IntN(len(alike))]] = true
	}
}

// likeness returns a guess at which blocks the same call path frees as block x.
func (p *planter) likeness(rng *rand.Rand, x int32) func(i int32) bool {
	b := &p.run.Blocks
	switch rng.IntN(10) {
	case 0, 1, 2:
		return func(i int32) bool { return true }
	case 3, 4:
		return func(i int32) bool { return b.Size(i) == b.Size(x) }
	case 5, 6:
		life := func(i int32) float64 { return math.Log2(float64(b.Died(i)-b.Born(i)) + 1) }
		width := 0.25 + rng.Float64()
		return func(i int32) bool { return math.Abs(life(i)-life(x)) <= width }
	}
	return func(i int32) bool { return p.before[i] == p.before[x] }
}
