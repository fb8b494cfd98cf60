package torch

import (
	"fmt"
	"math"

	"github.com/sugarme/gotch/libtch"

	"leakformer/model"
	"leakformer/train"
)

// The next-event head is a distribution over the classes of lifetimes. At a block's
// position it is that of the next block; at position 0, which is no block, that of
// all the site's blocks.

// survivalLoss is the sum over positions of minus the logarithm of the chance that
// the logits, [B·L, classes], give to the classes that a lifetime may be of.
func (s *scope) survivalLoss(logits tensor, p *part, classes int) tensor {
	possible := from(s, p.hidden(classes), int64(p.b*p.l), int64(classes))
	chance := s.sub(s.logSumExp(s.add(logits, possible)), s.logSumExp(logits))
	return s.times(s.sum(chance), -1)
}

// hidden is what to add to the logits of each position: minus infinity for the
// classes that the next block's lifetime is not of. A position without a target
// keeps all classes, whose chance is 1.
func (p *part) hidden(classes int) []float32 {
	values := make([]float32, len(p.next)*classes)
	for i, class := range p.next {
		row := values[i*classes:][:classes]
		for k := range row {
			if class >= 0 && (k < int(class) || k > int(class) && !p.open[i]) {
				row[k] = float32(math.Inf(-1))
			}
		}
	}
	return values
}

// divergence is the sum over sequences of the divergence of the distributions,
// [B, classes], from those that the logits stand for. A row of zeros counts nothing.
func (s *scope) divergence(logits, distributions tensor) tensor {
	return s.do("kl_div", func(out *tensor) {
		libtch.AtgKlDiv(out, s.logSoftmax(logits), distributions, reductionSum, 0)
	})
}

// countLifetimes checks the targets of the next-event head for the network of c
// and returns how many there are of each kind.
func countLifetimes(c model.Config, b *train.Batch) (next, sites float64, err error) {
	if c.NextClasses == 0 && len(b.Next)+len(b.Lifetimes) > 0 {
		return 0, 0, fmt.Errorf("torch: a batch asks for lifetimes, but the network has no classes of them")
	}
	if len(b.Next) > 0 {
		if next, err = countClasses(c, b); err != nil {
			return 0, 0, err
		}
	}
	if len(b.Lifetimes) > 0 {
		sites, err = countDistributions(c, b)
	}
	return next, sites, err
}

func countClasses(c model.Config, b *train.Batch) (count float64, err error) {
	if !b.Causal {
		return 0, fmt.Errorf("torch: a next-event batch must be causal, or the network sees what it is to predict")
	}
	for i, class := range b.Next {
		switch {
		case class < -1 || int(class) >= c.NextClasses:
			return 0, fmt.Errorf("torch: next-event class %d, the network knows 0 to %d", class, c.NextClasses-1)
		case class >= 0 && i%b.L >= int(b.Lengths[i/b.L]):
			return 0, fmt.Errorf("torch: a next-event target in the padding of sequence %d", i/b.L)
		case class >= 0:
			count++
		}
	}
	if count == 0 {
		return 0, fmt.Errorf("torch: a next-event batch without targets")
	}
	return count, nil
}

func countDistributions(c model.Config, b *train.Batch) (count float64, err error) {
	if len(b.Lifetimes) != b.B*c.NextClasses {
		return 0, fmt.Errorf("torch: %d shares of lifetimes, want %d for each of %d sequences", len(b.Lifetimes), c.NextClasses, b.B)
	}
	for i := range b.B {
		sum := 0.0
		for _, share := range b.Lifetimes[i*c.NextClasses:][:c.NextClasses] {
			if !(share >= 0) {
				return 0, fmt.Errorf("torch: a share of lifetimes of %g in sequence %d", share, i)
			}
			sum += float64(share)
		}
		switch {
		case sum == 0:
		case math.Abs(sum-1) > 1e-3:
			return 0, fmt.Errorf("torch: the shares of lifetimes in sequence %d add up to %g, want 1", i, sum)
		default:
			count++
		}
	}
	return count, nil
}
