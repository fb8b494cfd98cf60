package detect

import (
	"leakformer/ingest"
	"leakformer/tokenize"
)

// Course is the live bytes over a run, of all its sites or of one, in steps of like
// length, or at the snapshots of a series.
type Course struct {
	// Unit is what Events counts: "events" or "snapshots".
	Unit string `json:"unit"`
	// Events is after how many events the values were as they are, or the numbers of
	// the snapshots; Seconds the same on the log's clock, nil where it has none.
	Events  []int64   `json:"events"`
	Seconds []float64 `json:"seconds,omitempty"`
	// Live is all bytes. Leaked is those judged leaked; in a series, all at the sites
	// that are called leaks.
	Live   []int64 `json:"live"`
	Leaked []int64 `json:"leaked"`
}

// courseSteps is how many values the course of an event log has.
const courseSteps = 120

// Course follows the finding's site up to a cut. It is nil where the log shows no
// course, as a report does not.
func (f *Finding) Course(cut int64) *Course {
	run, c := f.Run, emptyCourse(f.Run, cut)
	if c == nil {
		return nil
	}
	site := int(run.Blocks.Site(f.Blocks[0]))
	if run.Class == ingest.Snapshots {
		c.addSeries(c.Live, run, site)
		if f.Leak {
			c.addSeries(c.Leaked, run, site)
		}
		return c
	}
	for _, i := range run.BySite[site] {
		c.add(c.Live, run.Blocks.At(i), cut)
	}
	for _, i := range f.Blocks {
		if f.Leak {
			c.add(c.Leaked, run.Blocks.At(i), cut)
		}
	}
	return c.summed()
}

// runCourse follows all sites of a run up to a cut, of which some are called leaks.
func runCourse(run *tokenize.Run, cut int64, found []*candidate) *Course {
	c := emptyCourse(run, cut)
	if c == nil {
		return nil
	}
	if run.Class == ingest.Snapshots {
		for i, look := range run.Snapshots {
			c.Live[i] = look.Bytes
		}
		for _, x := range found {
			if x.leak {
				c.addSeries(c.Leaked, run, x.view.Site)
			}
		}
		return c
	}
	for _, b := range run.Blocks.All() {
		c.add(c.Live, b, cut)
	}
	for _, x := range found {
		for _, i := range x.blocks {
			if x.leak {
				c.add(c.Leaked, run.Blocks.At(i), cut)
			}
		}
	}
	return c.summed()
}

// emptyCourse is a course without bytes; nil where a run has none.
func emptyCourse(run *tokenize.Run, cut int64) *Course {
	c := &Course{Unit: string(run.Class)}
	switch {
	case run.Class == ingest.Snapshots && len(run.Snapshots) > 1:
		for _, look := range run.Snapshots {
			c.Events = append(c.Events, int64(look.Scan))
			c.Seconds = append(c.Seconds, look.Time.Seconds())
		}
		if c.Seconds[len(c.Seconds)-1] == 0 {
			c.Seconds = nil
		}
	case run.Class == ingest.Events && cut > 1:
		for i := range int64(courseSteps) {
			c.Events = append(c.Events, ((i+1)*cut+courseSteps-1)/courseSteps)
			if run.HasClock() {
				c.Seconds = append(c.Seconds, run.Time(uint32(c.Events[i]-1)).Seconds())
			}
		}
	default:
		return nil
	}
	c.Live, c.Leaked = make([]int64, len(c.Events)), make([]int64, len(c.Events))
	return c
}

// add books the birth and the death of a block, as changes.
func (c *Course) add(to []int64, b tokenize.Block, cut int64) {
	if int64(b.Born) >= cut {
		return
	}
	to[int64(b.Born)*courseSteps/cut] += b.Size
	if int64(b.Died) < cut {
		to[int64(b.Died)*courseSteps/cut] -= b.Size
	}
}

// summed turns changes into values.
func (c *Course) summed() *Course {
	for i := 1; i < len(c.Events); i++ {
		c.Live[i] += c.Live[i-1]
		c.Leaked[i] += c.Leaked[i-1]
	}
	return c
}

// addSeries adds what the snapshots show of a site.
func (c *Course) addSeries(to []int64, run *tokenize.Run, site int) {
	for i, bytes := range newCourse(run, site).bytes {
		to[i] += bytes
	}
}
