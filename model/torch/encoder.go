package torch

import (
	"fmt"
	"math"

	"leakformer/model"
)

// normEpsilon is added to variances in layer norms.
const normEpsilon = 1e-5

// encode runs the encoder on part: it returns a vector of Dim for each of its
// B×L positions, [B·L, Dim]. drop is nil when the network does not learn.
func encode(s *scope, c model.Config, w weights, p *part, drop *dropout) tensor {
	b, l, d := int64(p.b), int64(p.l), int64(c.Dim)
	x := drop.apply(s, embed(s, c, w, p), b*l, d)
	mask := attentionMask(s, c, p)
	for i := range c.Layers {
		x = s.nest(func(s *scope) tensor { return encoderLayer(s, c, w, i, b, l, x, mask, drop) })
	}
	return s.layerNorm(x, w["norm.weight"], w["norm.bias"], d)
}

// embed is the sum of the embeddings of the ids and of the index of each
// position, [B·L, Dim].
func embed(s *scope, c model.Config, w weights, p *part) tensor {
	b, l, d := int64(p.b), int64(p.l), int64(c.Dim)
	ids := from(s, p.tokens, b*l*int64(p.f))
	offsets := from(s, p.offsets(), b*l)
	x := s.view(s.embeddingSums(w["token"], ids, offsets), b, l, d)
	return s.view(s.add(x, s.narrow(w["position"], 0, 0, l)), b*l, d)
}

// encoderLayer is one layer: attention and a feed-forward part, each added to
// what it read through a layer norm.
//
// Note: libtorch 1.13 has the whole layer in one call for when nothing is
// learned. It gives the same result and takes 1.4 times as long.
func encoderLayer(s *scope, c model.Config, w weights, i int, b, l int64, x, mask tensor, drop *dropout) tensor {
	d := int64(c.Dim)
	at := func(name string) tensor {
		t, ok := w[fmt.Sprintf("layers.%d.%s", i, name)]
		if !ok {
			s.fail(fmt.Errorf("torch: no weights %q in layer %d", name, i))
		}
		return t
	}
	y := s.layerNorm(x, at("norm1.weight"), at("norm1.bias"), d)
	y = s.linear(y, at("attention.in.weight"), at("attention.in.bias"))
	y = attend(s, c, y, b, l, mask)
	y = s.linear(y, at("attention.out.weight"), at("attention.out.bias"))
	x = s.add(x, drop.apply(s, y, b*l, d))
	y = s.layerNorm(x, at("norm2.weight"), at("norm2.bias"), d)
	y = s.gelu(s.linear(y, at("forward.in.weight"), at("forward.in.bias")))
	y = s.linear(y, at("forward.out.weight"), at("forward.out.bias"))
	return s.add(x, drop.apply(s, y, b*l, d))
}

// attend mixes the positions of each sequence: qkv is the queries, keys and
// values, [B·L, 3·Dim], and the result is [B·L, Dim].
//
// Note: libtorch multiplies the matrices of a batch one after the other, which takes
// longer to ask for than to do when sequences are short. To lay several side by side
// with a mask between them is no faster: what the calls take less, the masks and the
// exponentials of what they hide take more.
func attend(s *scope, c model.Config, qkv tensor, b, l int64, mask tensor) tensor {
	d, h := int64(c.Dim), int64(c.Heads)
	qkv = s.permute(s.view(qkv, b, l, 3, h, d/h), 2, 0, 3, 1, 4)
	parts := s.unbind(s.reshape(qkv, 3, b*h, l, d/h), 0, 3) // one copy for the three
	q, k, v := parts[0], parts[1], parts[2]
	scores := s.baddbmm(mask, q, s.transpose(k, 1, 2), 1/math.Sqrt(float64(d/h)))
	mixed := s.bmm(s.softmax(scores), v)
	return s.reshape(s.transpose(s.view(mixed, b, h, l, d/h), 1, 2), b*l, d)
}

// attentionMask is what to add to the scores of attention, [B·Heads, L, L], in a form
// that broadcasts to it: minus infinity where a key is padding or, in a causal part,
// later than the query. Every query sees at least the first position.
func attentionMask(s *scope, c model.Config, p *part) tensor {
	rows := 1 // queries see the same keys unless the part is causal
	if p.causal {
		rows = p.l
	}
	return filled(s, func(values []float32) {
		clear(values)
		for i := range p.b * c.Heads * rows {
			visible := int(p.lengths[i/(c.Heads*rows)])
			if p.causal {
				visible = min(visible, i%rows+1)
			}
			hidden := values[i*p.l:][visible:p.l]
			for k := range hidden {
				hidden[k] = float32(math.Inf(-1))
			}
		}
	}, int64(p.b*c.Heads), int64(rows), int64(p.l))
}
