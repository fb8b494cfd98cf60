package plot

import (
	"fmt"
	"io"
	"path"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"leakformer/detect"
	"leakformer/tokenize"
)

// Findings passes findings on to a handler and can draw the first of them.
type Findings struct {
	Handler detect.Handler

	first []*detect.Finding
	cut   int64
}

// Finding implements [detect.Handler].
func (f *Findings) Finding(x *detect.Finding) error {
	if len(f.first) < len(palette) {
		f.first = append(f.first, x)
	}
	return f.Handler.Finding(x)
}

// Summary implements [detect.Handler].
func (f *Findings) Summary(s *detect.Summary) error {
	f.cut = s.Cut
	return f.Handler.Summary(s)
}

// Draw shows how many blocks were outstanding at the sites of the first findings,
// over the events of the run.
func (f *Findings) Draw(w io.Writer) error {
	title := "No findings"
	if len(f.first) > 0 {
		title = path.Base(f.first[0].Log)
	}
	p := newPlot(title, "events", "outstanding blocks")
	p.Legend.Left = true
	for i, x := range f.first {
		site := x.Run.BySite[x.Run.Blocks.Site(x.Blocks[0])]
		if err := addLine(p, fmt.Sprintf("%.2f  %s", x.Probability, shorten(x.Site)), i, outstanding(x.Run, site, f.cut)); err != nil {
			return err
		}
	}
	return write(w, 20*vg.Centimeter, p)
}

// outstanding counts the blocks that are live after each of some hundred shares of
// the events before the cut.
func outstanding(run *tokenize.Run, blocks []int32, cut int64) plotter.XYs {
	const points = 200
	at := func(event uint32) int64 { return int64(event) * points / max(cut, 1) }
	var change [points + 1]float64
	for _, i := range blocks {
		b := run.Blocks.At(i)
		if int64(b.Born) >= cut {
			continue
		}
		change[at(b.Born)] += float64(b.Count)
		if int64(b.Died) < cut {
			change[at(b.Died)] -= float64(b.Count)
		}
	}
	xys := plotter.XYs{{}}
	live := 0.0
	for i := range points {
		live += change[i]
		xys = append(xys, plotter.XY{X: float64(cut) * float64(i+1) / points, Y: live})
	}
	return xys
}

// shorten leaves of a site's name what has room in a legend.
func shorten(site string) string {
	const room = 80
	if r := []rune(site); len(r) > room {
		return string(r[:room-1]) + "…"
	}
	return site
}
