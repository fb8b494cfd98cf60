package main

import (
	"fmt"
	"os"
	"slices"

	"leakformer/model"
	"leakformer/train"
)

// linear measures whether a step of training takes as much longer as it has more
// positions.
func (m *measurer) linear() error {
	base, err := model.Default()
	if err != nil {
		return err
	}
	c := base.Manifest.Architecture
	weights := m.file("weights")
	if err := saveWeights(weights, c); err != nil {
		return err
	}
	side, err := m.side(os.Args[0], ourSide)
	if err != nil {
		return err
	}
	defer side.close()
	var alone both = func(format string, args ...any) (a, b answer, err error) {
		a, err = side.do(format, args...)
		return a, b, err
	}
	if _, _, err := alone("start %s 1", weights); err != nil {
		return err
	}
	batch, _, err := m.batches(c)
	if err != nil {
		return err
	}
	first := 0.0
	for _, times := range []int{1, 2, 4} {
		b := repeat(batch, times)
		if err := m.give(alone, b); err != nil {
			return err
		}
		our, _, err := m.alternate(side.task("step 1e-5"), nil)
		if err != nil {
			return err
		}
		took := each(our, processor).Median
		if times == 1 {
			first = took
		}
		rate := func(s cost) float64 { return float64(positions(b)) / s.clock }
		r := row{Task: fmt.Sprintf("train, 1 thread, %d positions a step", positions(b)), Unit: "positions/s", Ours: each(our, rate)}
		if times > 1 {
			r.Note = fmt.Sprintf("%.2f × the processor time for %d × the positions", took/first, times)
		}
		m.add("linear", r)
	}
	return nil
}

// repeat is a batch of the same sequences several times over.
func repeat(b *train.Batch, times int) *train.Batch {
	r := *b
	r.B *= times
	r.Tokens, r.Lengths = slices.Repeat(b.Tokens, times), slices.Repeat(b.Lengths, times)
	r.Site, r.SiteWeight = slices.Repeat(b.Site, times), slices.Repeat(b.SiteWeight, times)
	r.Block, r.BlockWeight = slices.Repeat(b.Block, times), slices.Repeat(b.BlockWeight, times)
	return &r
}
