package tokenize

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Numbers come out as they went in, whatever bits they need, and in no more room than
// that.
func TestPacked(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, c := range map[string]struct {
		number func(i int) uint64
		words  int // of 64 groups
	}{
		"equal":       {func(int) uint64 { return math.MaxUint64 }, 0},
		"rising":      {func(i int) uint64 { return uint64(i) }, 64 * 6},
		"aligned":     {func(i int) uint64 { return 0x7fff_0000_0000 + uint64(rng.IntN(1000))<<4 }, 64 * 10},
		"any":         {func(int) uint64 { return rng.Uint64() }, 64 * 64},
		"one is far":  {func(i int) uint64 { return uint64(i%640) / 639 << 40 }, 7},
		"every width": {func(i int) uint64 { return rng.Uint64() >> (i / groupLen) }, 64 * 65 / 2},
	} {
		var p packed
		var want []uint64
		for i := range 64*groupLen + 3 {
			want = append(want, c.number(i))
			p.add(want[i])
			if at := rng.IntN(i + 1); p.at(int32(at)) != want[at] {
				t.Fatalf("%s: of %d numbers, %d is %x, want %x", name, i+1, at, p.at(int32(at)), want[at])
			}
		}
		clone := p.clone()
		for range 2 * chunkLen {
			p.add(rng.Uint64()) // The clone is of before.
		}
		words := 0
		for _, c := range clone.chunks {
			words += len(c.words)
		}
		for i, w := range want {
			if clone.at(int32(i)) != w || p.at(int32(i)) != w {
				t.Fatalf("%s: number %d is %x and %x, want %x", name, i, p.at(int32(i)), clone.at(int32(i)), w)
			}
		}
		if words > c.words+64 {
			t.Errorf("%s: %d words, want at most %d", name, words, c.words+64)
		}
	}
}
