package torch

import (
	"math"
	"slices"
	"testing"
)

// TestCut checks that parts have every sequence once, all of it, and little else.
func TestCut(t *testing.T) {
	for seed := range uint64(20) {
		r := random(seed)
		b := labelled(r, tiny, 1+r.IntN(60), 12)
		limit := 1 + r.IntN(60)
		site, block := make([]float32, b.B), make([]float32, b.B*b.L)
		var rows []int
		for _, p := range cut(b, limit) {
			rows = append(rows, p.rows...)
			if p.b > 1 && p.b*p.l > limit {
				t.Errorf("a part of %d×%d positions, want %d at most", p.b, p.l, limit)
			}
			if longest := slices.Max(p.lengths); p.l != int(longest) {
				t.Errorf("%d positions for sequences of %d", p.l, longest)
			}
			for i, row := range p.rows {
				for j := range int(b.Lengths[row]) {
					got := p.tokens[(i*p.l+j)*p.f:][:p.f]
					want := b.Tokens[(row*b.L+j)*b.F:][:b.F]
					if !slices.Equal(got, want) {
						t.Fatalf("sequence %d, position %d: ids %v, want %v", row, j, got, want)
					}
				}
			}
			p.put(site, 1, p.site, 1)
			p.put(block, b.L, p.block, p.l)
		}
		slices.Sort(rows)
		for i, row := range rows {
			if i != row {
				t.Fatalf("sequences %v", rows)
			}
		}
		if len(rows) != b.B || !slices.Equal(site, b.Site) || !slices.Equal(block, b.Block) {
			t.Error("taking a batch apart and together again changes it")
		}
	}
}

// TestDropout checks share, mean and repetition of the masks.
func TestDropout(t *testing.T) {
	const n = 1 << 18
	for _, share := range []float64{0.1, 0.5, 0.9} {
		mask, again, other := make([]float32, n), make([]float32, n), make([]float32, n)
		newDropout(share, 1, 2, 3).fill(mask)
		newDropout(share, 1, 2, 3).fill(again)
		newDropout(share, 1, 3, 2).fill(other)
		if !slices.Equal(mask, again) {
			t.Error("the same part of the same step has two masks")
		}
		if slices.Equal(mask, other) {
			t.Error("two steps have the same mask")
		}
		var sum, zeros, pairs float64
		for i, v := range mask {
			sum += float64(v)
			if v == 0 {
				zeros++
				if i > 0 && mask[i-1] == 0 {
					pairs++
				}
			}
		}
		// Five standard deviations of a fair draw.
		margin := 5 * math.Sqrt(share*(1-share)/n)
		if got := zeros / n; math.Abs(got-share) > margin {
			t.Errorf("share %g: %.4f are dropped", share, got)
		}
		if got := sum / n; math.Abs(got-1) > margin/(1-share) {
			t.Errorf("share %g: the mean factor is %.4f", share, got)
		}
		if got := pairs / n; math.Abs(got-share*share) > 3*margin {
			t.Errorf("share %g: %.4f of neighbours are dropped together, want %.4f", share, got, share*share)
		}
	}
	if newDropout(0, 1, 1, 1) != nil {
		t.Error("dropping nothing needs a mask")
	}
}
