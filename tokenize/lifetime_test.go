package tokenize

import (
	"math"
	"testing"
)

// A sequence tells of each block how long it lived, and of those outstanding how
// old they are.
func TestLifetime(t *testing.T) {
	run := mustLoad(t, randomLog(3, 30000))
	sc := &Scene{Run: run, Cut: 20000}
	open, ended := 0, 0
	sc.Views(func(v *View) bool {
		s := Tokenize(v)
		for pos, b := range s.Blocks {
			bin, live := s.Lifetime(pos)
			if b < 0 {
				if bin != -1 || live {
					t.Fatalf("position %d has no block, but a lifetime in bin %d", pos, bin)
				}
				continue
			}
			want := lifeBin(min(run.Blocks.Died(b), sc.Cut) - run.Blocks.Born(b))
			if int(bin) != want || live != sc.Live(b) {
				t.Fatalf("block %d: bin %d, open %v; want %d, %v", b, bin, live, want, sc.Live(b))
			}
			if live {
				open++
			} else {
				ended++
			}
		}
		return true
	})
	if open == 0 || ended == 0 {
		t.Errorf("%d open lifetimes and %d that ended", open, ended)
	}
}

// Of four blocks two die young, one is in use until the teardown and one is never
// freed; then the program frees what is left.
func TestLifetimes(t *testing.T) {
	r := &Run{Events: 1000, BySite: [][]int32{{0, 1, 2, 3}}, Blocks: BlocksOf(
		Block{Born: 0, Died: 2, Count: 1}, Block{Born: 10, Died: 13, Count: 1}, Block{Born: 20, Died: 999, Count: 1}, Block{Born: 30, Died: Alive, Count: 1},
	)}
	l := &Lifetimes{r, 500}
	got := l.Of(0)
	// Never is more than 1/(n+2).
	want := map[int]float64{lifeBin(2): 0.25, lifeBin(3): 0.25, NextClasses - 1: 0.5}
	sum := 0.0
	for class, p := range got {
		sum += float64(p)
		if math.Abs(float64(p)-want[class]) > 1e-6 {
			t.Errorf("class %d: %v, want %v", class, p, want[class])
		}
	}
	if math.Abs(sum-1) > 1e-6 {
		t.Errorf("the distribution adds up to %v", sum)
	}
	run := mustLoad(t, randomLog(3, 3000))
	for site := range run.BySite {
		sum := 0.0
		for _, p := range NewLifetimes(run).Of(site) {
			if p < 0 {
				t.Fatalf("site %d: a share of %v", site, p)
			}
			sum += float64(p)
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Fatalf("site %d: the distribution adds up to %v", site, sum)
		}
	}
}
