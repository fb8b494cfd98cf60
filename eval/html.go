package eval

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// WriteHTML writes one page that needs nothing but itself: for each setting and cut
// the tables of [WriteText], precision-recall curves, a reliability diagram and F1
// program by program. The rows have to be made with [TableConfig].Curves and
// Programs for all of that to be there.
func WriteHTML(w io.Writer, title string, rows []Row) error {
	p := page{Title: title, Columns: columns}
	tables, programs := summaries(rows)
	for _, t := range tables {
		p.Sections = append(p.Sections, newSection(t, programs, rows))
	}
	return pageTemplate.Execute(w, &p)
}

type page struct {
	Title    string
	Columns  []string
	Sections []section
}

type section struct {
	Title    string
	Tables   []pageTable
	Plots    []diagram
	Programs [][]string // the first row is the head
}

type pageTable struct {
	Title string
	Rows  []pageRow
}

type pageRow struct {
	Probabilities bool
	Cells         []string
}

func newSection(t summary, programs []string, rows []Row) section {
	s := section{Title: fmt.Sprintf("%s, cut at %g %%", t[0].Setting, math.Round(1000*t[0].Cut)/10)}
	var last Row
	for _, r := range rows {
		if r.Setting != t[0].Setting || r.Cut != t[0].Cut || r.Program != "" {
			continue
		}
		if len(s.Tables) == 0 || !r.alike(last) {
			s.Tables = append(s.Tables, pageTable{Title: r.title()})
		}
		at := &s.Tables[len(s.Tables)-1]
		at.Rows = append(at.Rows, pageRow{len(r.Metrics.Reliability) > 0, r.cells()})
		last = r
	}
	for _, d := range []diagram{curves(t), reliabilities(t)} {
		if len(d.Lines) > 0 {
			s.Plots = append(s.Plots, d)
		}
	}
	s.Programs = t.byProgram(programs)
	return s
}

// byProgram is a table of F1: a row for each scorer, a column for each program.
func (t summary) byProgram(programs []string) [][]string {
	head := []string{"scorer"}
	for _, p := range programs {
		if slices.ContainsFunc(t, func(r Row) bool { return r.Program == p }) {
			head = append(head, p)
		}
	}
	if len(head) == 1 {
		return nil
	}
	out := [][]string{head}
	for _, r := range t {
		if r.Program != "" {
			continue
		}
		cells := []string{r.Scorer}
		for _, p := range head[1:] {
			cells = append(cells, t.f1(p, r.Scorer))
		}
		out = append(out, cells)
	}
	return out
}

// diagram is a square from 0 to 1 on both axes, drawn between (50, 260) and
// (410, 20).
type diagram struct {
	Title, XAxis, YAxis string
	Ticks               []dot
	Even                bool // with the diagonal
	Lines               []line
}

type line struct {
	Name   string
	Colour int
	Points string
	Dots   []dot
}

type dot struct{ X, Y, R, Label string }

func coordinate(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func spot(x, y, radius float64, label string) dot {
	return dot{coordinate(50 + 360*x), coordinate(260 - 240*y), coordinate(radius), label}
}

func newDiagram(title, x, y string) diagram {
	d := diagram{Title: title, XAxis: x, YAxis: y}
	for k := range 6 {
		v := float64(k) / 5
		d.Ticks = append(d.Ticks, spot(v, v, 0, strconv.FormatFloat(v, 'f', 1, 64)))
	}
	return d
}

func (l *line) to(x, y float64) {
	p := spot(x, y, 0, "")
	l.Points = strings.TrimSpace(l.Points + " " + p.X + "," + p.Y)
}

// shownCurves is how many curves can be told apart: one a colour of the page.
const shownCurves = 6

// curves draws precision over recall of those scorers that are best by average
// precision, and where their thresholds lie.
func curves(t summary) diagram {
	d := newDiagram("Precision over recall, all sites; the dot is at the scorer's threshold", "recall", "precision")
	var drawn []Row
	for _, r := range t {
		if r.Program == "" && len(r.Metrics.Curve) > 0 {
			drawn = append(drawn, r)
		}
	}
	slices.SortStableFunc(drawn, func(a, b Row) int {
		return -compareRates(a.Metrics.AveragePrecision, b.Metrics.AveragePrecision)
	})
	for k, r := range drawn[:min(len(drawn), shownCurves)] {
		m := &r.Metrics
		l := line{Name: r.Scorer, Colour: k}
		for _, p := range m.Curve {
			l.to(p.Recall, p.Precision)
		}
		if x, y := m.Recall.Value, m.Precision.Value; !math.IsNaN(x) && !math.IsNaN(y) {
			l.Dots = append(l.Dots, spot(x, y, 4, fmt.Sprintf("%s: precision %s, recall %s", r.Scorer, figure(y, 3), figure(x, 3))))
		}
		d.Lines = append(d.Lines, l)
	}
	return d
}

// compareRates puts what cannot be measured below all else.
func compareRates(a, b Rate) int {
	switch x, y := a.Value, b.Value; {
	case x < y, math.IsNaN(x) && !math.IsNaN(y):
		return -1
	case x > y, math.IsNaN(y) && !math.IsNaN(x):
		return 1
	}
	return 0
}

// reliabilities draws the share of leaks over the mean probability, bin by bin, of
// scorers whose scores are probabilities. A dot's area grows with its sites.
func reliabilities(t summary) diagram {
	d := newDiagram("Reliability, all sites: what of a probability comes true", "probability", "share of leaks")
	d.Even = true
	for _, r := range t {
		if r.Program != "" || len(r.Metrics.Reliability) == 0 {
			continue
		}
		l := line{Name: r.Scorer, Colour: len(d.Lines) % shownCurves}
		for _, b := range r.Metrics.Reliability {
			if b.Sites == 0 {
				continue
			}
			l.to(b.Mean, b.Leaked)
			l.Dots = append(l.Dots, spot(b.Mean, b.Leaked, 2+math.Log10(float64(b.Sites)),
				fmt.Sprintf("%d sites: probability %s, %s leak", b.Sites, figure(b.Mean, 3), figure(b.Leaked, 3))))
		}
		d.Lines = append(d.Lines, l)
	}
	return d
}
