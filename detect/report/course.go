package report

import (
	"fmt"
	"strconv"
	"strings"

	"leakformer/tokenize"
)

// course is a diagram of the live bytes over a run's events, drawn between (70, 210)
// and (690, 20), and the same as a table.
type course struct {
	Live, Leaked string // points
	Across, Up   []tick
	Rows         [][3]string // event, live, leaked
}

type tick struct{ At, Label string }

// coursePoints is the number of steps in the diagram, courseRows in the table.
const (
	coursePoints = 200
	courseRows   = 10
)

// newCourse draws a run up to a cut; leaked are the blocks judged leaked.
func newCourse(run *tokenize.Run, cut int64, leaked []int32) *course {
	at := func(event uint32) int64 { return int64(event) * coursePoints / cut }
	var live, lost [coursePoints]int64
	for i := range run.Blocks {
		b := &run.Blocks[i]
		if int64(b.Born) < cut {
			live[at(b.Born)] += b.Size
		}
		if int64(b.Died) < cut {
			live[at(b.Died)] -= b.Size
		}
	}
	for _, i := range leaked {
		if b := &run.Blocks[i]; int64(b.Born) < cut {
			lost[at(b.Born)] += b.Size
		}
	}
	top := int64(1)
	for i := range coursePoints {
		if i > 0 {
			live[i] += live[i-1]
			lost[i] += lost[i-1]
		}
		top = max(top, live[i])
	}
	c := &course{Live: points(live[:], top), Leaked: points(lost[:], top)}
	for k := range 5 {
		c.Up = append(c.Up, tick{up(top*int64(k)/4, top), Bytes(top * int64(k) / 4)})
		c.Across = append(c.Across, tick{across(k * coursePoints / 4), strconv.FormatInt(cut*int64(k)/4, 10)})
	}
	for k := 1; k <= courseRows; k++ {
		i := k*coursePoints/courseRows - 1
		c.Rows = append(c.Rows, [3]string{strconv.FormatInt(cut*int64(i+1)/coursePoints, 10), Bytes(live[i]), Bytes(lost[i])})
	}
	return c
}

func across(i int) string { return fmt.Sprintf("%.1f", 70+620*float64(i)/coursePoints) }

func up(bytes, top int64) string { return fmt.Sprintf("%.1f", 210-190*float64(bytes)/float64(top)) }

// points is a line from the origin through the values.
func points(values []int64, top int64) string {
	var b strings.Builder
	b.WriteString(across(0) + "," + up(0, top))
	for i, v := range values {
		b.WriteString(" " + across(i+1) + "," + up(v, top))
	}
	return b.String()
}
