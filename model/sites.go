package model

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"leakformer/tokenize"
)

// FeatureNames says what [Features] are, in their order: the figures of a site, and
// where each stands among those of all sites of the run, as what is old or large is
// so in one program and not in another.
var FeatureNames = func() []string {
	names := slices.Clone(measures)
	for _, m := range measures {
		names = append(names, m+", rank in the run")
	}
	return names
}()

// Features measures sites by hand-made figures, see [FeatureNames]. The zero value is
// ready. The sites of a scene are measured all at once, when it is first asked for
// one of them: asking scene by scene is quick. It is for one goroutine at a time, and
// the scene must not change meanwhile.
type Features struct {
	scene weak.Pointer[tokenize.Scene] // a memory of it, not a claim to it
	// figures by site, nil of those with nothing outstanding; sorted by measure.
	figures [][]float32
	sorted  [][]float32
}

// Of are the features of a site that has outstanding blocks.
func (f *Features) Of(v *tokenize.View) []float64 {
	if key := weak.Make(v.Scene); f.figures == nil || f.scene != key {
		f.measure(v.Scene)
		f.scene = key
	}
	x := make([]float64, len(FeatureNames))
	for m, value := range f.figures[v.Site] {
		x[m] = float64(value)
		x[len(measures)+m] = rank(f.sorted[m], value)
	}
	return x
}

// measure takes the figures of all sites of a scene.
func (f *Features) measure(s *tokenize.Scene) {
	f.figures = make([][]float32, len(s.Run.BySite))
	var next atomic.Int64
	together(func() {
		for site := int(next.Add(1)) - 1; site < len(f.figures); site = int(next.Add(1)) - 1 {
			if v := s.View(site); len(v.Live) > 0 {
				f.figures[site] = single(measure(v))
			}
		}
	})
	f.sorted = make([][]float32, len(measures))
	next.Store(0)
	together(func() {
		for m := int(next.Add(1)) - 1; m < len(measures); m = int(next.Add(1)) - 1 {
			for _, row := range f.figures {
				if row != nil {
					f.sorted[m] = append(f.sorted[m], row[m])
				}
			}
			slices.Sort(f.sorted[m])
		}
	})
}

// together has every processor do the same work.
func together(work func()) {
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(work)
	}
	wg.Wait()
}

func single(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

// rank is the share of the values that lie below one of them, with half of its equals.
func rank(sorted []float32, value float32) float64 {
	below, _ := slices.BinarySearch(sorted, value)
	equal, _ := slices.BinarySearchFunc(sorted[below:], value, func(x, value float32) int {
		if x <= value {
			return -1
		}
		return 1
	})
	return (float64(below) + float64(equal)/2) / float64(len(sorted))
}
