package train

import (
	"math/rand/v2"
	"slices"

	"leakformer/tokenize"
)

// sampler makes batches. What batch k holds depends on the seed and k alone, so
// training can be resumed anywhere.
type sampler struct {
	samples []*sample
	cfg     Config
	plants  int
}

func newSampler(samples []*sample, cfg Config) *sampler {
	s := &sampler{samples, cfg, plants}
	for _, l := range samples {
		if l.planter == nil {
			s.plants = plantsBeside
		}
	}
	return s
}

// poolBatches is how many batches are drawn together: sorted by length, they
// waste little padding.
const poolBatches = 4

// perScene is how many sites of one scene go into a pool.
const perScene = 48

// How many sites of a clean run leak in one training scene: more than in life, so
// that there is something to learn from each. Where real leaks are known, planted
// ones are to stand beside them, not to drown them.
const (
	plants       = 24
	plantsBeside = 8
)

// pool draws the examples of poolBatches batches.
func (s *sampler) pool(k int) []*Batch {
	rng := rand.New(rand.NewPCG(s.cfg.Seed, uint64(k)+1000))
	causal := s.cfg.NextEvery > 0 && k%s.cfg.NextEvery == s.cfg.NextEvery-1
	var examples []example
	for tries := 0; len(examples) < poolBatches*s.cfg.BatchSize && tries < 1000; tries++ {
		sc := s.samples[rng.IntN(len(s.samples))].scene(rng, s.plants)
		if causal {
			sc.Forgotten = nil
		}
		switch {
		case causal:
		case rng.IntN(10) == 0:
			sc = asReport(rng, sc)
		case rng.IntN(10) == 0:
			sc = asSeries(rng, sc)
		}
		for _, e := range draw(rng, sc, perScene) {
			if !causal || e.hasNext() {
				examples = append(examples, e)
			}
		}
	}
	examples = examples[:min(len(examples), poolBatches*s.cfg.BatchSize)]
	slices.SortStableFunc(examples, func(a, b example) int { return a.seq.Len() - b.seq.Len() })
	var out []*Batch
	for chunk := range slices.Chunk(examples, s.cfg.BatchSize) {
		if causal {
			out = append(out, nextBatch(chunk))
		} else {
			out = append(out, leakBatch(chunk))
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// NewBatch lays sequences out side by side, without targets.
func NewBatch(seqs []*tokenize.Sequence) *Batch {
	b := &Batch{B: len(seqs), F: tokenize.Fields, Lengths: make([]int32, len(seqs))}
	for i, s := range seqs {
		b.Lengths[i] = int32(s.Len())
		b.L = max(b.L, s.Len())
	}
	b.Tokens = make([]int32, b.B*b.L*b.F)
	for i, s := range seqs {
		copy(b.Tokens[i*b.L*b.F:], s.Tokens)
	}
	return b
}

func newBatch(examples []example) *Batch {
	seqs := make([]*tokenize.Sequence, len(examples))
	for i, e := range examples {
		seqs[i] = e.seq
	}
	return NewBatch(seqs)
}

// leakBatch asks whether each site leaks, and which of its outstanding blocks do.
func leakBatch(examples []example) *Batch {
	b := newBatch(examples)
	b.Site, b.SiteWeight = make([]float32, b.B), make([]float32, b.B)
	b.Block, b.BlockWeight = make([]float32, b.B*b.L), make([]float32, b.B*b.L)
	for i, e := range examples {
		b.SiteWeight[i] = 1
		if e.leak {
			b.Site[i] = 1
		}
		for pos, live := range e.seq.Live {
			if !live {
				continue
			}
			b.BlockWeight[i*b.L+pos] = 1
			if e.blocks[pos] {
				b.Block[i*b.L+pos] = 1
			}
		}
	}
	return b
}

// hasNext reports whether any block of the sequence is followed by another.
func (e *example) hasNext() bool {
	n := e.seq.Len()
	return n > 1 && e.seq.Blocks[n-2] >= 0 && e.seq.Fate(n-1) >= 0
}

// nextBatch asks at each block what becomes of the next.
func nextBatch(examples []example) *Batch {
	b := newBatch(examples)
	b.Causal = true
	b.Next = make([]int32, b.B*b.L)
	for i := range b.Next {
		b.Next[i] = -1
	}
	for i, e := range examples {
		for pos := 0; pos+1 < e.seq.Len(); pos++ {
			if e.seq.Blocks[pos] >= 0 {
				b.Next[i*b.L+pos] = e.seq.Fate(pos + 1)
			}
		}
	}
	return b
}
