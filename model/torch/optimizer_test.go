package torch

import (
	"math"
	"testing"
)

// TestOptimizer compares steps with the same done in plain Go, in float64.
func TestOptimizer(t *testing.T) {
	const (
		size, decayed = 50, 30
		rate          = 0.01
	)
	if err := load(); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []Optimiser{AdamW, SGD} {
		for _, o := range []optimizer{{kind: kind}, {kind: kind, decay: 0.5}, {kind: kind, decay: 0.1, clip: 3}} {
			p := newPool(1, cpu)
			r := random(1)
			flat := make([]float32, size)
			want := make([]float64, size)
			for i := range flat {
				flat[i] = float32(r.NormFloat64())
				want[i] = float64(flat[i])
			}
			first, second := make([]float64, size), make([]float64, size)
			err := p.one(func(s *scope) {
				w := from(s, flat, size)
				moments, err := kind.moments()
				if err != nil {
					s.fail(err)
				}
				for range moments {
					o.moments = append(o.moments, s.zeros(size))
				}
				for n := range 4 {
					gradient := make([]float32, size)
					var square float64
					for i := range gradient {
						gradient[i] = float32(r.NormFloat64())
						square += float64(gradient[i]) * float64(gradient[i])
					}
					shrink := 1.0
					if length := math.Sqrt(square); o.clip > 0 && length > o.clip {
						shrink = o.clip / length
					}
					for i := range want {
						g := shrink * float64(gradient[i])
						if i < decayed {
							want[i] -= rate * o.decay * want[i]
						}
						if kind == SGD {
							first[i] = 0.9*first[i] + g
							want[i] -= rate * first[i]
							continue
						}
						first[i] = 0.9*first[i] + 0.1*g
						second[i] = 0.999*second[i] + 0.001*g*g
						mean := first[i] / (1 - math.Pow(0.9, float64(n+1)))
						variance := second[i] / (1 - math.Pow(0.999, float64(n+1)))
						want[i] -= rate * mean / (math.Sqrt(variance) + 1e-8)
					}
					o.step(s, w, from(s, gradient, size), decayed, rate)
				}
				flat = read[float32](s, w, size)
			})
			p.close()
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if math.Abs(want[i]-float64(flat[i])) > 1e-5 {
					t.Fatalf("%s, decay %g, clip %g: weight %d is %g, want %g", kind, o.decay, o.clip, i, flat[i], want[i])
				}
			}
		}
	}
}
