package columnar

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A column gives back what its rows were set to, however many runs that is.
func TestColumn(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	kinds := map[string]func(i int) uint32{
		"the same":    func(int) uint32 { return 7 },
		"zeros":       func(int) uint32 { return 0 },
		"steps":       func(i int) uint32 { return uint32(i) },
		"noise":       func(int) uint32 { return r.Uint32() },
		"rare change": func(i int) uint32 { return uint32(i / 300) },
		"late change": func(i int) uint32 { return uint32(i / 900) },
		"late noise":  func(i int) uint32 { return r.Uint32N(1+uint32(i)) &^ 1023 },
	}
	var c column[uint32]
	for name, at := range kinds {
		for _, n := range []int{1, 2, 3, 100, maxRuns - 1, maxRuns, maxRuns + 1, 1000, 5000, 200_000} {
			var want []uint32
			for i := range n {
				want = append(want, at(i))
				if !c.set(i, want[i]) {
					c.keep(i)
				}
			}
			same := !slices.ContainsFunc(want, func(v uint32) bool { return v != want[0] })
			if c.constant() && (!same || c.last != want[0]) {
				t.Errorf("%s: %d rows are taken as one value, %d", name, n, c.last)
			}
			if c.fill(n); !slices.Equal(c.values[:n], want) {
				t.Errorf("%s: %d rows come back as others", name, n)
			}
			c.clear()
		}
	}
}
