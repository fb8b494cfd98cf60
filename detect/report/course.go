package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"leakformer/detect"
)

// course is a diagram of the live bytes over a run, drawn between (70, 210)
// and (690, 20), and the same as a table.
type course struct {
	Unit         string // events or snapshots
	Live, Leaked string // points
	Across, Up   []tick
	Rows         [][3]string // event, live, leaked
}

type tick struct{ At, Label string }

// courseRows is how many rows its table has.
const courseRows = 10

func newCourse(c *detect.Course) *course {
	n := len(c.Events)
	top := max(1, slices.Max(c.Live))
	d := &course{Unit: c.Unit, Live: points(c.Live, top), Leaked: points(c.Leaked, top)}
	for k := range 5 {
		d.Up = append(d.Up, tick{up(top*int64(k)/4, top), Bytes(top * int64(k) / 4)})
		d.Across = append(d.Across, tick{across(k, 4), strconv.FormatInt(c.Events[n-1]*int64(k)/4, 10)})
	}
	for k := range min(courseRows, n) {
		i := (k+1)*n/min(courseRows, n) - 1
		d.Rows = append(d.Rows, [3]string{strconv.FormatInt(c.Events[i], 10), Bytes(c.Live[i]), Bytes(c.Leaked[i])})
	}
	return d
}

// across is where the i-th of n steps ends.
func across(i, n int) string { return fmt.Sprintf("%.1f", 70+620*float64(i)/float64(n)) }

func up(bytes, top int64) string { return fmt.Sprintf("%.1f", 210-190*float64(bytes)/float64(top)) }

// points is a line from the origin through the values.
func points(values []int64, top int64) string {
	var b strings.Builder
	b.WriteString(across(0, 1) + "," + up(0, top))
	for i, v := range values {
		b.WriteString(" " + across(i+1, len(values)) + "," + up(v, top))
	}
	return b.String()
}
