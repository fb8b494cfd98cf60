package monitor

// Growth is the classic rule of leak hunters: what grew by a share again and again
// is a leak. It knows nothing of what the memory is for, and a cache that fills up
// looks the same to it.
type Growth struct {
	// Threshold is the share by which a value has to be above the one before it,
	// for example 0.02.
	Threshold float64
	// Consecutive is how many times in a row; 0 is taken as 1.
	Consecutive int
	// MinSize is the bytes below which a value is not looked at.
	MinSize int64
}

// Trend is what the rule remembers of one value.
type Trend struct {
	// Seen says that there is a value.
	Seen bool `json:"seen,omitempty"`
	// Baseline is the value that the growth began with, Last the latest one.
	Baseline int64 `json:"baseline"`
	Last     int64 `json:"last"`
	// Streak is how many times in a row the value has grown enough.
	Streak int `json:"streak,omitempty"`
}

// Step takes the next value, and reports whether it has grown often enough.
func (g Growth) Step(t *Trend, value int64) bool {
	grew := t.Seen && value >= g.MinSize && value > t.Last && float64(value) >= float64(t.Last)*(1+g.Threshold)
	switch {
	case !grew:
		t.Streak, t.Baseline = 0, value
	case t.Streak == 0:
		t.Baseline = t.Last
		fallthrough
	default:
		t.Streak++
	}
	t.Seen, t.Last = true, value
	return t.Streak >= max(g.Consecutive, 1)
}
