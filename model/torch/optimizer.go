package torch

import (
	"fmt"
	"math"

	"github.com/sugarme/gotch/libtch"
)

// Optimiser names a way to turn gradients into steps.
type Optimiser string

const (
	// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter, 2019),
	// with decay rates 0.9 and 0.999 of its two moments.
	AdamW Optimiser = "adamw"
	// SGD is stochastic gradient descent with momentum 0.9 and decoupled
	// weight decay.
	SGD Optimiser = "sgd"
)

const (
	momentum     = 0.9   // also the rate of AdamW's first moment
	secondMoment = 0.999 // rate of AdamW's second moment
	adamEpsilon  = 1e-8
)

// moments is how many tensors an optimiser keeps beside the weights.
func (o Optimiser) moments() (int, error) {
	switch o {
	case AdamW:
		return 2, nil
	case SGD:
		return 1, nil
	}
	return 0, fmt.Errorf("torch: no optimiser %q; there are %q and %q", o, AdamW, SGD)
}

// An optimizer changes the flat weights.
//
// Note: libtorch's own optimisers would do the same, but gotch can neither save
// nor restore their moments, so training could not resume exactly.
type optimizer struct {
	kind    Optimiser
	decay   float64
	clip    float64
	moments []tensor // flat, like the weights
	steps   int64    // made so far
}

// step changes flat, whose first decayed elements decay, by gradient, which it
// uses up. It changes nothing if the gradient is not finite.
func (o *optimizer) step(s *scope, flat, gradient tensor, decayed int64, rate float64) {
	length := s.number(s.do("norm", func(out *tensor) { libtch.AtgNorm(out, gradient) }))
	if math.IsNaN(length) || math.IsInf(length, 0) {
		s.fail(fmt.Errorf("torch: the gradient is not finite; a lower learning rate may help"))
	}
	if s.err != nil {
		return
	}
	if o.clip > 0 && length > o.clip {
		s.scale(gradient, o.clip/length)
	}
	if o.decay > 0 {
		s.scale(s.narrow(flat, 0, 0, decayed), 1-rate*o.decay)
	}
	o.steps++
	switch o.kind {
	case SGD:
		velocity := o.moments[0]
		s.scale(velocity, momentum)
		s.addTo(velocity, gradient)
		s.addTo(flat, s.times(velocity, -rate))
	default:
		first, second := o.moments[0], o.moments[1]
		s.lerp(first, gradient, 1-momentum)
		s.lerp(second, s.mul(gradient, gradient), 1-secondMoment)
		// Both started from zero and are too small at first by known factors.
		n := float64(o.steps)
		firstBias, secondBias := 1-math.Pow(momentum, n), 1-math.Pow(secondMoment, n)
		deviation := s.sqrt(second)
		s.scale(deviation, 1/math.Sqrt(secondBias))
		s.addNumber(deviation, adamEpsilon)
		update := s.div(first, deviation)
		s.scale(update, -rate/firstBias)
		s.addTo(flat, update)
	}
}
