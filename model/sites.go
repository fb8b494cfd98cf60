package model

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"leakformer/tokenize"
)

// FeatureNames says what [Features] are of a kind of log, in their order: the figures of
// a site, and where each stands among those of all sites of the run, as what is old or
// large is so in one program and not in another. Those of snapshots begin with those of
// all other kinds.
func FeatureNames(kind tokenize.Kind) []string {
	if kind == tokenize.KindSeries {
		return seriesFeatures
	}
	return seriesFeatures[:2*len(measures)]
}

var seriesFeatures = slices.Concat(measures, ranked(measures), shownMeasures, ranked(shownMeasures))

func ranked(measures []string) (names []string) {
	for _, m := range measures {
		names = append(names, m+", rank in the run")
	}
	return names
}

// Features measures sites by hand-made figures, see [FeatureNames]. The zero value is
// ready. The sites of a scene are measured all at once, when it is first asked for one
// of them, and remembered for the last two scenes: an explanation looks at a scene and
// at the same one without clean runs in turn. It is for one goroutine at a time, and
// scenes must not change meanwhile.
type Features struct{ last, before sites }

// sites are the figures of a scene's sites.
type sites struct {
	scene weak.Pointer[tokenize.Scene] // a memory of it, not a claim to it
	// figures by site, nil of those with nothing outstanding; sorted by measure.
	figures [][]float32
	sorted  [][]float32
}

// Of are the features of a site that has outstanding blocks, those of its kind of log.
func (f *Features) Of(v *tokenize.View) []float64 {
	if key := weak.Make(v.Scene); f.last.scene != key {
		f.last, f.before = f.before, f.last
		if f.last.scene != key {
			f.last = measureSites(v.Scene)
		}
	}
	figures := f.last.figures[v.Site]
	if v.Less {
		figures = single(measure(v))
	}
	x := make([]float64, 0, len(seriesFeatures))
	add := func(figures []float32, sorted [][]float32) {
		for _, value := range figures {
			x = append(x, float64(value))
		}
		for m, value := range figures {
			x = append(x, rank(sorted[m], value))
		}
	}
	n := len(measures)
	add(figures[:n], f.last.sorted)
	add(figures[n:], f.last.sorted[n:])
	return x
}

func measureSites(scene *tokenize.Scene) sites {
	n := len(FeatureNames(scene.Kind())) / 2 // each has its rank
	s := sites{weak.Make(scene), make([][]float32, len(scene.Run.BySite)), make([][]float32, n)}
	together(len(s.figures), func(site int) {
		if v := scene.View(site); len(v.Live) > 0 {
			s.figures[site] = single(measure(v))
		}
	})
	together(n, func(m int) {
		for _, row := range s.figures {
			if row != nil {
				s.sorted[m] = append(s.sorted[m], row[m])
			}
		}
		slices.Sort(s.sorted[m])
	})
	return s
}

// together has every processor do some of n pieces of work.
func together(n int, work func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				work(i)
			}
		})
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

// rank is the share of the values that lie below a value, with half of its equals.
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
