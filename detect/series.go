package detect

import (
	"fmt"
	"slices"
	"time"

	"leakformer/tokenize"
)

// course is what the snapshots of a series show of one site, one by one.
type course struct {
	looks []tokenize.Snapshot
	bytes []int64
}

func newCourse(run *tokenize.Run, site int) *course {
	c := &course{looks: run.Snapshots}
	for _, p := range run.Course(site) {
		c.bytes = append(c.bytes, p.Bytes)
	}
	return c
}

// reasons tells how the site's bytes went.
func (c *course) reasons() []reason {
	n := len(c.bytes)
	if n == 1 {
		return []reason{{2, "there is one snapshot only: whether it grows cannot be seen"}}
	}
	rose, fell, most := 0, 0, slices.Max(c.bytes)
	for i := 1; i < n; i++ {
		switch {
		case c.bytes[i] > c.bytes[i-1]:
			rose++
		case c.bytes[i] < c.bytes[i-1]:
			fell++
		}
	}
	rs := []reason{{2 + float64(rose-fell)/float64(n), fmt.Sprintf("%s in the first of %s, %s in the last; it rose %d and fell %d times",
		count(c.bytes[0], "byte"), count(int64(n), "snapshot"), count(c.bytes[n-1], "byte"), rose, fell)}}
	if last := c.bytes[n-1]; last < most {
		rs = append(rs, reason{1, fmt.Sprintf("it had %s at its height", count(most, "byte"))})
	}
	return rs
}

// rate is the typical slope of the bytes; nil where they do not rise.
func (c *course) rate() *Rate {
	n := min(len(c.bytes), ratePoints)
	if n < rateBlocks {
		return nil
	}
	var looks, hours, bytes []float64
	for k := range n {
		i := k * (len(c.bytes) - 1) / (n - 1)
		looks, hours = append(looks, float64(c.looks[i].Scan)), append(hours, c.looks[i].Time.Hours())
		bytes = append(bytes, float64(c.bytes[i]))
	}
	r := &Rate{BytesPerSnapshot: typicalSlope(looks, bytes)}
	if r.BytesPerSnapshot <= 0 {
		return nil
	}
	if last, first := c.looks[len(c.looks)-1].Time, c.looks[0].Time; last-first >= rateTime/time.Duration(rateBlocks) {
		r.BytesPerHour = typicalSlope(hours, bytes)
	}
	return r
}
