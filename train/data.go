package train

import (
	"fmt"
	"slices"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// Leak is a block that a labelled run is known to have leaked.
type Leak struct {
	// Block indexes Run.Blocks.
	Block int32
	// Event is the number of the event from which on the block is leaked: the
	// place where its free was missed.
	Event uint32
}

// Labelled is a run whose leaks are known.
type Labelled struct {
	Run   *tokenize.Run
	Leaks []Leak
}

// Data is what a model learns from.
type Data struct {
	// Clean runs have no leaks: leaks are planted in them.
	Clean []*tokenize.Run
	// Labelled runs are used as they are.
	Labelled []Labelled
}

// sample is one run to draw scenes from.
type sample struct {
	run *tokenize.Run
	// planter is nil for a labelled run, forgotten for a clean one.
	planter   *planter
	forgotten []bool
	// others are the histories of the clean runs of the same program, without
	// this run's own.
	others []*tokenize.History
	// altered are such histories for altered scenes; nil where there are none.
	altered altered
	// bare says that the run is shown without call stacks.
	bare bool
}

// newLabelled puts a run's known leaks in the form that planted ones have: the
// block died where its free was missed, but that free is forgotten.
func newLabelled(l Labelled) (*sample, error) {
	s := &sample{run: l.Run, forgotten: make([]bool, l.Run.Blocks.Len())}
	for _, k := range l.Leaks {
		if int(k.Block) >= l.Run.Blocks.Len() || k.Block < 0 {
			return nil, fmt.Errorf("%s: label names block %d of %d", l.Run.Name, k.Block, l.Run.Blocks.Len())
		}
		b := l.Run.Blocks.At(k.Block)
		if b.Died != tokenize.Alive && !s.forgotten[k.Block] {
			return nil, fmt.Errorf("%s: label says that block 0x%x leaks, but the log frees it at event %d", l.Run.Name, l.Run.Blocks.Addr(k.Block), b.Died)
		}
		// The free stands before event k.Event: as one with the event before it.
		l.Run.Blocks.Die(k.Block, max(k.Event, b.Born+1)-1)
		s.forgotten[k.Block] = true
	}
	return s, nil
}

// split is the samples that a model learns from, and those it is judged by.
type split struct {
	train, valid []*sample
	// runs is how many there are, each counted once.
	runs int
	// all are the histories of every clean run, of one program joined.
	all []*tokenize.History
}

// newSplit divides the data by run. Of each program with several clean runs some
// are held out; labelled runs likewise. Some of the runs to learn from are there a
// second time, without their call stacks, for logs that have none.
func newSplit(data Data, holdout float64, seed uint64) (*split, error) {
	if len(data.Clean)+len(data.Labelled) == 0 {
		return nil, fmt.Errorf("no runs to learn from")
	}
	sp := &split{runs: len(data.Clean) + len(data.Labelled)}
	if err := sp.divide(data, holdout, seed); err != nil {
		return nil, err
	}
	if len(sp.valid) == 0 {
		return nil, fmt.Errorf("%d runs are too few to hold one out for validation: at least 3 clean logs of one program are needed", len(sp.train))
	}
	sp.train = append(sp.train, withoutStacks(sp.train)...)
	return sp, nil
}

// bareEvery is how many labelled runs there are to each that is also shown without
// stacks; of clean runs, two of a program are, so that there is one to compare with.
const bareEvery = 6

// withoutStacks returns some of the samples as logs without call stacks.
func withoutStacks(samples []*sample) []*sample {
	var out []*sample
	for _, group := range groups(samples, func(s *sample) string { return s.run.Program }) {
		var clean, all []*sample
		var histories []*tokenize.History
		labelled := 0
		for _, s := range group {
			bare := &sample{forgotten: s.forgotten, bare: true}
			switch {
			case s.planter == nil:
				if labelled++; labelled%bareEvery != 1 {
					continue
				}
				bare.run = s.run.WithoutStacks()
			case len(clean) < 2:
				bare.run = s.run.WithoutStacks()
				bare.planter = newPlanter(bare.run)
				histories = append(histories, tokenize.NewHistory(bare.run))
				clean = append(clean, bare)
			default:
				continue
			}
			all = append(all, bare)
		}
		for _, s := range all {
			s.others = histories
		}
		for i, s := range clean {
			s.others = slices.Delete(slices.Clone(histories), i, i+1)
		}
		out = append(out, all...)
	}
	return out
}

// divide is newSplit for the runs as they are.
func (sp *split) divide(data Data, holdout float64, seed uint64) error {
	rng := generator(seed, 1)
	own := map[*sample]*tokenize.History{}
	// known are the clean runs of a program that the others are compared with.
	known := map[string][]*tokenize.History{}
	var held []*sample
	for _, group := range groups(data.Clean, func(r *tokenize.Run) string { return r.Program }) {
		rng.Shuffle(len(group), func(i, j int) { group[i], group[j] = group[j], group[i] })
		n := heldOut(len(group), 2, holdout)
		var all []*tokenize.History
		for i, run := range group {
			if run.Class != ingest.Events {
				return fmt.Errorf("%s: a %s has no frees to learn from; train on event logs (heaptrack, Valgrind --trace-malloc)", run.Name, run.Report.Format)
			}
			s := &sample{run: run, planter: newPlanter(run)}
			own[s] = tokenize.NewHistory(run)
			all = append(all, own[s])
			if i < n {
				held = append(held, s)
				continue
			}
			sp.train = append(sp.train, s)
			known[run.Program] = append(known[run.Program], own[s])
		}
		sp.all = append(sp.all, tokenize.Join(all...))
	}
	sp.valid = append(sp.valid, held...)
	for s, h := range own {
		for _, other := range known[s.run.Program] {
			if other != h {
				s.others = append(s.others, other)
			}
		}
	}
	for _, group := range groups(data.Labelled, func(l Labelled) string { return l.Run.Program }) {
		rng.Shuffle(len(group), func(i, j int) { group[i], group[j] = group[j], group[i] })
		n := heldOut(len(group), 1, holdout)
		for i, l := range group {
			s, err := newLabelled(l)
			if err != nil {
				return err
			}
			s.others = known[l.Run.Program]
			if i < n {
				sp.valid = append(sp.valid, s)
			} else {
				sp.train = append(sp.train, s)
			}
		}
	}
	return nil
}

// heldOut is how many of n runs are held out, so that at least so many stay: of
// clean ones two, or there would be none to compare the other with.
func heldOut(n, stay int, share float64) int {
	return max(0, min(max(1, int(float64(n)*share+0.5)), n-stay))
}

// groups sorts items into groups of the same key, in the order of first sight.
func groups[T any](items []T, key func(T) string) [][]T {
	var out [][]T
	at := map[string]int{}
	for _, it := range items {
		i, ok := at[key(it)]
		if !ok {
			i = len(out)
			at[key(it)] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], it)
	}
	return out
}
