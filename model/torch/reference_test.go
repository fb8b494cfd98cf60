package torch

import (
	"fmt"
	"math"
	"testing"

	"github.com/sugarme/gotch/libtch"

	"leakformer/model"
)

// TestReference compares the encoder with libtorch's own, which computes a layer
// without gradients in one call.
func TestReference(t *testing.T) {
	c := model.Config{Vocab: 50, Fields: 4}.WithDefaults()
	n := newNet(t, c, Options{Seed: 1, Threads: 1})
	for i, p := range n.cut(labelled(random(1), c, 25, 96)) {
		var got, want []float32
		err := n.pool.one(func(s *scope) {
			w := n.layout.views(s, n.flat)
			got = read[float32](s, encode(s, c, w, p, nil), p.b*p.l*c.Dim)
			want = read[float32](s, reference(s, c, w, p), p.b*p.l*c.Dim)
		})
		if err != nil {
			t.Fatal(err)
		}
		for j := range got {
			position := j / c.Dim
			if position%p.l >= int(p.lengths[position/p.l]) {
				continue // padding
			}
			if !near(got[j], want[j]) {
				t.Fatalf("part %d, value %d: %g, libtorch's %g", i, j, got[j], want[j])
			}
		}
	}
}

// reference is encode with the layers of libtorch.
func reference(s *scope, c model.Config, w weights, p *part) tensor {
	const (
		kindBool   = 11
		keyPadding = 1 // kind of the mask: [B, L], true in the padding
	)
	b, l, d := int64(p.b), int64(p.l), int64(c.Dim)
	padding := make([]int32, b*l)
	for i, n := range p.lengths {
		for k := int64(n); k < l; k++ {
			padding[int64(i)*l+k] = 1
		}
	}
	mask := from(s, padding, b, l)
	mask = s.do("to", func(out *tensor) { libtch.AtgToDtype(out, mask, kindBool, 0, 0) })
	x := s.view(embed(s, c, w, p), b, l, d)
	for i := range c.Layers {
		at := func(name string) tensor { return w[fmt.Sprintf("layers.%d.%s", i, name)] }
		x = s.do("_transformer_encoder_layer_fwd", func(out *tensor) {
			libtch.Atg_TransformerEncoderLayerFwd(out, x, d, int64(c.Heads),
				at("attention.in.weight"), at("attention.in.bias"), at("attention.out.weight"), at("attention.out.bias"),
				1, 1, normEpsilon,
				at("norm1.weight"), at("norm1.bias"), at("norm2.weight"), at("norm2.bias"),
				at("forward.in.weight"), at("forward.in.bias"), at("forward.out.weight"), at("forward.out.bias"),
				mask, keyPadding, 0)
		})
	}
	return s.layerNorm(s.view(x, b*l, d), w["norm.weight"], w["norm.bias"], d)
}

// TestPositions checks what the reference shares with encode: the sum of the
// embeddings of a position.
func TestPositions(t *testing.T) {
	n := newNet(t, tiny, Options{Seed: 1, Threads: 1})
	p := n.cut(labelled(random(3), tiny, 5, 12))[0]
	flat := n.weights(t)
	entryOf := func(name string) []float32 {
		for _, e := range n.layout.entries {
			if e.name == name {
				return flat[e.start : e.start+e.size()]
			}
		}
		t.Fatalf("no entry %q", name)
		return nil
	}
	token, position := entryOf("token"), entryOf("position")
	var got []float32
	err := n.pool.one(func(s *scope) {
		got = read[float32](s, embed(s, tiny, n.layout.views(s, n.flat), p), p.b*p.l*tiny.Dim)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.b * p.l {
		for d := range tiny.Dim {
			want := float64(position[i%p.l*tiny.Dim+d])
			for _, id := range p.tokens[i*p.f:][:p.f] {
				if id != 0 {
					want += float64(token[int(id)*tiny.Dim+d])
				}
			}
			if math.Abs(want-float64(got[i*tiny.Dim+d])) > 1e-5 {
				t.Fatalf("position %d, value %d: %g, want %g", i, d, got[i*tiny.Dim+d], want)
			}
		}
	}
}
