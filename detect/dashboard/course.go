package dashboard

import "leakformer/detect"

// Course is the live bytes of a site over a run.
type Course struct {
	// Events is after how many events the values were as they are; Seconds the same
	// on the log's clock, nil where it has none.
	Events  []int64   `json:"events"`
	Seconds []float64 `json:"seconds,omitempty"`
	// Live is all bytes of the site, Leaked those judged leaked.
	Live   []int64 `json:"live"`
	Leaked []int64 `json:"leaked"`
}

// coursePoints is how many values a course has.
const coursePoints = 120

// newCourse follows a finding's site up to a cut. It is nil for runs that are no series
// of events.
func newCourse(f *detect.Finding, cut int64) *Course {
	run := f.Run
	if run.Class != "events" || cut < 2 {
		return nil
	}
	c := &Course{Events: make([]int64, coursePoints), Live: make([]int64, coursePoints), Leaked: make([]int64, coursePoints)}
	at := func(event uint32) int64 { return int64(event) * coursePoints / cut }
	for _, i := range run.BySite[run.Blocks[f.Blocks[0]].Site] {
		b := &run.Blocks[i]
		if int64(b.Born) >= cut {
			continue
		}
		c.Live[at(b.Born)] += b.Size
		if int64(b.Died) < cut {
			c.Live[at(b.Died)] -= b.Size
		}
	}
	if f.Leak {
		for _, i := range f.Blocks {
			b := &run.Blocks[i]
			c.Leaked[at(b.Born)] += b.Size
		}
	}
	for i := range coursePoints {
		c.Events[i] = (int64(i+1)*cut + coursePoints - 1) / coursePoints
		if run.HasClock() {
			c.Seconds = append(c.Seconds, run.Time(uint32(c.Events[i]-1)).Seconds())
		}
		if i > 0 {
			c.Live[i] += c.Live[i-1]
			c.Leaked[i] += c.Leaked[i-1]
		}
	}
	return c
}
