package train

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"leakformer/tokenize"
)

// sampler makes batches. What batch k holds depends on the seed and k alone, so
// training can be resumed anywhere.
type sampler struct {
	samples []*sample
	// lifetimes are of the runs of the samples, nil where the model is not to learn
	// them.
	lifetimes []*tokenize.Lifetimes
	cfg       Config
	plants    int
}

func newSampler(samples []*sample, cfg Config) *sampler {
	s := &sampler{samples, make([]*tokenize.Lifetimes, len(samples)), cfg, plants}
	if cfg.Mix.AlteredEvery > 0 {
		prepareAltered(samples, cfg.Seed)
	}
	for i, l := range samples {
		if cfg.Objectives.Lifetimes > 0 {
			s.lifetimes[i] = tokenize.NewLifetimes(l.run)
		}
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
	causal := s.cfg.Objectives.Survival > 0 && k%s.cfg.NextEvery == s.cfg.NextEvery-1
	var examples []example
	for tries := 0; len(examples) < poolBatches*s.cfg.BatchSize && tries < 1000; tries++ {
		which := rng.IntN(len(s.samples))
		sc, lifetimes := s.samples[which].scene(rng, s.plants), s.lifetimes[which]
		if causal {
			sc.Forgotten = nil
		} else if shown := s.cfg.Mix.show(rng, s.samples[which], sc); shown != sc {
			sc, lifetimes = shown, nil // those are of the run as it is
		}
		for _, e := range draw(rng, sc, perScene, lifetimes) {
			if !causal || e.hasNext() {
				examples = append(examples, e)
			}
		}
	}
	examples = examples[:min(len(examples), poolBatches*s.cfg.BatchSize)]
	slices.SortStableFunc(examples, func(a, b example) int { return a.seq.Len() - b.seq.Len() })
	var out []*Batch
	for chunk := range slices.Chunk(examples, s.cfg.BatchSize) {
		b := leakBatch
		if causal {
			b = nextBatch
		}
		out = append(out, b(chunk).weighed(s.cfg.Objectives, chunk))
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// Mix says as what scenes are shown beside as logs of events: each number is one scene
// in so many, of those that the ones before have left. The zero value is DefaultMix.
type Mix struct {
	// ReportEvery is for reports of a leak checker, SeriesEvery for snapshots of what
	// was live, AlteredEvery for logs as other tools would have written them; 0: none.
	ReportEvery  int `json:"reports"`
	SeriesEvery  int `json:"series"`
	AlteredEvery int `json:"altered"`
	// BlindSeries takes the clean runs away from one series in so many; 0: from none
	// but those that have none anyhow.
	BlindSeries int `json:"blind_series"`
}

// DefaultMix is that of a training that is given none.
var DefaultMix = Mix{ReportEvery: 10, SeriesEvery: 10}

// Validate says what is wrong with a mix.
func (m Mix) Validate() error {
	if min(m.ReportEvery, m.SeriesEvery, m.AlteredEvery, m.BlindSeries) < 0 {
		return fmt.Errorf("one scene in %d, %d, %d, %d: none of these may be negative", m.ReportEvery, m.SeriesEvery, m.AlteredEvery, m.BlindSeries)
	}
	return nil
}

// show draws as what a scene of a sample is shown.
func (m Mix) show(rng *rand.Rand, s *sample, sc *tokenize.Scene) *tokenize.Scene {
	one := func(in int) bool { return in > 0 && rng.IntN(in) == 0 }
	switch {
	case one(m.ReportEvery):
		return asReport(rng, sc)
	case one(m.SeriesEvery):
		if one(m.BlindSeries) {
			sc.Reference = nil
		}
		return asSeries(rng, sc)
	case one(m.AlteredEvery):
		return s.alter(rng, sc)
	}
	return sc
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
	if n < 2 || e.seq.Blocks[n-2] < 0 {
		return false
	}
	bin, _ := e.seq.Lifetime(n - 1)
	return bin >= 0
}

// nextBatch asks at each block how long the next one lives. What the run would
// show after the scene's end is not used: a block outstanding there is one whose
// lifetime is known to be no shorter than its age, as in a log of today.
func nextBatch(examples []example) *Batch {
	b := newBatch(examples)
	b.Causal = true
	b.Next, b.Open = make([]int32, b.B*b.L), make([]bool, b.B*b.L)
	for i := range b.Next {
		b.Next[i] = -1
	}
	for i, e := range examples {
		for pos := 0; pos+1 < e.seq.Len(); pos++ {
			if at := i*b.L + pos; e.seq.Blocks[pos] >= 0 {
				b.Next[at], b.Open[at] = e.seq.Lifetime(pos + 1)
			}
		}
	}
	return b
}

// weighed adds the weights of the objectives and the lifetimes of the examples, if
// any has some.
func (b *Batch) weighed(o Objectives, examples []example) *Batch {
	b.Weights = o
	for i, e := range examples {
		if e.lifetimes == nil {
			continue
		}
		n := len(e.lifetimes)
		if b.Lifetimes == nil {
			b.Lifetimes = make([]float32, b.B*n)
		}
		copy(b.Lifetimes[i*n:], e.lifetimes)
	}
	return b
}
