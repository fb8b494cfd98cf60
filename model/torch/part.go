package torch

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"leakformer/model"
	"leakformer/train"
)

// partPositions is about how many positions a part has: enough for large
// matrices, few enough for a batch to have a part for each thread. Within that
// BenchmarkTrain sees no difference: 512 to 6144 were equal but for noise.
const partPositions = 2048

// A part is some sequences of a batch, of like length and without the padding
// that only longer ones need.
type part struct {
	b, l, f     int
	causal      bool
	rows        []int // of the batch
	tokens      []int32
	lengths     []int32
	site        []float32
	siteWeight  []float32
	block       []float32
	blockWeight []float32
	next        []int32
	open        []bool
	lifetimes   []float32
}

// cut cuts a valid batch into parts, the longest sequences first.
func cut(b *train.Batch, positions int) []*part {
	rows := make([]int, b.B)
	for i := range rows {
		rows[i] = i
	}
	slices.SortStableFunc(rows, func(i, j int) int { return cmp.Compare(b.Lengths[j], b.Lengths[i]) })
	var parts []*part
	for len(rows) > 0 {
		n := min(len(rows), max(1, positions/int(b.Lengths[rows[0]])))
		parts = append(parts, newPart(b, rows[:n]))
		rows = rows[n:]
	}
	return parts
}

// newPart takes rows, the longest first, out of b.
func newPart(b *train.Batch, rows []int) *part {
	p := &part{b: len(rows), l: int(b.Lengths[rows[0]]), f: b.F, causal: b.Causal, rows: rows}
	p.lengths = pick(b.Lengths, rows, 1, 1)
	p.tokens = pick(b.Tokens, rows, b.L*b.F, p.l*b.F)
	p.site = pick(b.Site, rows, 1, 1)
	p.siteWeight = pick(b.SiteWeight, rows, 1, 1)
	p.block = pick(b.Block, rows, b.L, p.l)
	p.blockWeight = pick(b.BlockWeight, rows, b.L, p.l)
	p.next = pick(b.Next, rows, b.L, p.l)
	p.open = pick(b.Open, rows, b.L, p.l)
	classes := len(b.Lifetimes) / b.B
	p.lifetimes = pick(b.Lifetimes, rows, classes, classes)
	return p
}

// pick returns the first n values of the rows of values, which are width apart.
// No values stay none.
func pick[E any](values []E, rows []int, width, n int) []E {
	if len(values) == 0 {
		return nil
	}
	picked := make([]E, 0, len(rows)*n)
	for _, row := range rows {
		picked = append(picked, values[row*width:][:n]...)
	}
	return picked
}

// offsets are where the ids of each position begin.
func (p *part) offsets() []int32 {
	offsets := make([]int32, p.b*p.l)
	for i := range offsets {
		offsets[i] = int32(i * p.f)
	}
	return offsets
}

// put spreads the values of the part, n a sequence, over those of its batch,
// width a sequence.
func (p *part) put(values []float32, width int, part []float32, n int) {
	for i, row := range p.rows {
		copy(values[row*width:][:n], part[i*n:][:n])
	}
}

// checkInput says whether the network of c can read b.
func checkInput(c model.Config, b *train.Batch) error {
	if err := b.Validate(); err != nil {
		return err
	}
	if b.F != c.Fields {
		return fmt.Errorf("torch: a batch has %d ids a position, the network reads %d", b.F, c.Fields)
	}
	if longest := slices.Max(b.Lengths); int(longest) > c.MaxLen {
		return fmt.Errorf("torch: a sequence has %d positions, the network reads %d at most", longest, c.MaxLen)
	}
	for i, id := range b.Tokens {
		if id < 0 || int(id) >= c.Vocab {
			return fmt.Errorf("torch: id %d in position %d of sequence %d, the network knows 0 to %d",
				id, i/b.F%b.L, i/(b.F*b.L), c.Vocab-1)
		}
	}
	return nil
}

// A norm is the sums of weights by which those of a batch's losses are divided, so
// that the loss is a mean whatever the parts.
type norm struct{ site, block, next, lifetimes float64 }

// newNorm checks the targets of b for the network of c and sums their weights.
func newNorm(c model.Config, b *train.Batch) (n norm, err error) {
	if (len(b.Site) > 0) == (len(b.Next) > 0) {
		return n, fmt.Errorf("torch: a batch to learn from must have either site targets or next-event targets")
	}
	if b.Weights == (train.Objectives{}) {
		return n, fmt.Errorf("torch: a batch to learn from gives no objective a weight")
	}
	if n.next, n.lifetimes, err = countLifetimes(c, b); err != nil || len(b.Next) > 0 {
		return n, err
	}
	if b.Causal {
		return n, fmt.Errorf("torch: a labelled batch must not be causal: a site is judged by all of its sequence")
	}
	if n.site, err = sumWeights("site", b.Site, b.SiteWeight); err != nil {
		return n, err
	}
	if n.block, err = sumWeights("block", b.Block, b.BlockWeight); err != nil {
		return n, err
	}
	for i, w := range b.BlockWeight {
		if w != 0 && i%b.L >= int(b.Lengths[i/b.L]) {
			return n, fmt.Errorf("torch: a block target in the padding of sequence %d", i/b.L)
		}
	}
	if n.site == 0 && n.block == 0 {
		return n, fmt.Errorf("torch: a batch to learn from has no target of any weight")
	}
	return n, nil
}

func sumWeights(name string, targets, weights []float32) (sum float64, err error) {
	for i, w := range weights {
		if !(w >= 0 && w < math.MaxFloat32) || !(targets[i] >= 0 && targets[i] <= 1) {
			return 0, fmt.Errorf("torch: %s target %g of weight %g; want 0 to 1 and a finite weight of at least 0", name, targets[i], w)
		}
		sum += float64(w)
	}
	return sum, nil
}

// divide returns weights divided by total, nothing if there is no weight.
func divide(weights []float32, total float64) []float32 {
	if total == 0 {
		return nil
	}
	shares := make([]float32, len(weights))
	for i, w := range weights {
		shares[i] = float32(float64(w) / total)
	}
	return shares
}
