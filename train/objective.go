package train

import (
	"fmt"
	"math"
)

// Objectives weighs what a model learns, each as a mean over a batch; the zero
// value is DefaultObjectives. An objective of no weight is left out.
type Objectives struct {
	// Leaks is the cross-entropy of whether sites and their blocks leak. It has to
	// have a weight.
	Leaks float64 `json:"leaks"`
	// Survival is the negative log-likelihood of the time to free of a site's next
	// block, where a block that is still outstanding has a time that is censored at
	// its age. It has the steps that Config.NextEvery gives it to itself.
	Survival float64 `json:"survival"`
	// Lifetimes is the divergence, of Kullback and Leibler, of the distribution of
	// a site's lifetimes in the whole run from what the model makes of its sequence.
	Lifetimes float64 `json:"lifetimes"`
}

// DefaultObjectives are the weights of a training that is given none.
var DefaultObjectives = Objectives{Leaks: 1, Survival: 1, Lifetimes: 0.1}

// Validate says what is wrong with weights of which not all are zero.
func (o Objectives) Validate() error {
	for name, w := range map[string]float64{"leaks": o.Leaks, "survival": o.Survival, "lifetimes": o.Lifetimes} {
		if !(w >= 0) || math.IsInf(w, 0) {
			return fmt.Errorf("the weight of the objective %s is %g; it has to be at least 0", name, w)
		}
	}
	if o.Leaks == 0 {
		return fmt.Errorf("the objective leaks has no weight: a model that learns without it finds none")
	}
	return nil
}
