package detect

import (
	"fmt"
	"slices"
)

// Cost says what errors a run's findings may hold; of the sites, the likeliest are
// called leaks, as many as that allows. The zero value allows any.
//
// No site is called a leak, whatever is allowed, that most likely is none by far:
// else a run without leaks would always use up what may be wrong.
//
// It goes by the probabilities alone, so it is as right as they are: among sites of
// probability p, the share p has to leak. Of a scorer's probabilities that were
// fitted on runs with leaks, too much is expected in a run that has none.
type Cost struct {
	// Precision is the lowest share of the findings that is to be expected to be
	// leaks, 0 to 1.
	Precision float64
	// FalseAlarms is the largest number of findings in the run that is to be
	// expected to be none; 0 means any.
	FalseAlarms float64
}

func (c Cost) validate() error {
	switch {
	case !(c.Precision >= 0 && c.Precision <= 1):
		return fmt.Errorf("precision %v: want a share, 0 to 1", c.Precision)
	case !(c.FalseAlarms >= 0):
		return fmt.Errorf("%v false alarms: want a number of at least 0", c.FalseAlarms)
	}
	return nil
}

// worthwhile is the lowest probability to call a leak.
const worthwhile = 0.05

// threshold is the lowest that keeps to the cost among these probabilities; 1 where
// none does.
func (c Cost) threshold(probabilities []float64) float64 {
	const slack = 1e-9 // of sums that do not come out even
	ps := slices.Sorted(slices.Values(probabilities))
	slices.Reverse(ps)
	threshold, wrong := 1.0, 0.0
	for i, p := range ps {
		wrong += 1 - p
		if p < worthwhile || wrong > (1-c.Precision)*float64(i+1)+slack || c.FalseAlarms > 0 && wrong > c.FalseAlarms+slack {
			break
		}
		if i+1 == len(ps) || ps[i+1] < p {
			threshold = p
		}
	}
	return threshold
}
