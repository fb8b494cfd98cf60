package train

import (
	"math/rand/v2"
	"testing"

	"leakformer/tokenize"
)

// TestAsSeries: of what leaks in a scene, and is still shown, the series leaks, and
// nothing else; and what clean reports hold is what was live at that moment.
func TestAsSeries(t *testing.T) {
	s := &sample{run: server(t, 1, 400)}
	s.planter = newPlanter(s.run)
	history := tokenize.NewHistory(s.run)
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		sc := &tokenize.Scene{Run: s.run, Cut: s.run.Events * 3 / 4, Reference: tokenize.Reference{history}}
		sc.Forgotten = s.planter.plant(rng, sc.Cut, 4)
		want := map[int]bool{}
		sc.Views(func(v *tokenize.View) bool {
			for _, i := range v.Live {
				want[v.Site] = want[v.Site] || sc.Leaked(i)
			}
			return true
		})
		series := asSeries(rng, sc)
		if !series.IsSeries() || series.Cut != series.Run.Events {
			t.Fatalf("a %s at %d of %d", series.Run.Class, series.Cut, series.Run.Events)
		}
		n := 0
		series.Views(func(v *tokenize.View) bool {
			e := newExample(v)
			if e.leak != want[v.Site] {
				t.Errorf("seed %d: site %d leaks: %v, want %v", seed, v.Site, e.leak, want[v.Site])
			}
			if v.Ref == nil {
				t.Errorf("seed %d: site %d has no reference", seed, v.Site)
			}
			n++
			return true
		})
		if n == 0 {
			t.Errorf("seed %d: nothing outstanding", seed)
		}
	}
	cut := s.run.Events / 2
	then := history.At(cut)
	sc := &tokenize.Scene{Run: s.run, Cut: s.run.Events, Reference: tokenize.Reference{then}}
	sc.Views(func(v *tokenize.View) bool {
		if v.Ref != nil && (v.Ref.Left != v.Ref.MaxLive || v.Ref.Left <= 0 || v.Ref.MaxLife != 0) {
			t.Errorf("site %d in a clean report: %v left, %v at most, lifetime %v", v.Site, v.Ref.Left, v.Ref.MaxLive, v.Ref.MaxLife)
		}
		return true
	})
}
