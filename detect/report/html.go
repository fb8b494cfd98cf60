package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"path"
	"strconv"

	"leakformer/detect"
	"leakformer/ingest"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// HTML is a handler that writes one page that needs nothing but itself: for each run
// the verdicts, a flame graph of the leaked bytes, and the live bytes over the run. It
// writes when it is closed.
type HTML struct {
	w    io.Writer
	runs []*pageRun
	run  *pageRun // that findings come of
}

// NewHTML returns a handler that writes to w.
func NewHTML(w io.Writer) *HTML { return &HTML{w: w, run: &pageRun{}} }

// shownRows is how many findings a page lists of a run.
const shownRows = 500

type pageRun struct {
	Name     string
	Facts    [][2]string
	Warnings []string
	Leaks    []pageRow
	Others   []pageRow
	More     int // findings that are not listed
	Flame    *Flame
	Course   *course
	Left     []detect.LeftOut
}

type pageRow struct {
	Rank                                      int
	Verdict, Probability, Leaked, Outstanding string
	Since, Rate, Site, Group, RestsOn         string
	Why, Stack                                []string
}

// Finding keeps what the page says of it.
func (h *HTML) Finding(f *detect.Finding) error {
	r := h.run
	if f.Leak {
		if r.Flame == nil {
			r.Flame = NewFlame()
		}
		r.Flame.Add(Calls(f), f.Leaked.Bytes)
	}
	rank := len(r.Leaks) + len(r.Others) + 1
	if rank > shownRows {
		r.More++
		return nil
	}
	row := pageRow{
		Rank: rank, Verdict: "normal", Probability: strconv.FormatFloat(f.Probability, 'f', 3, 64), Leaked: "–",
		Outstanding: Amount(f.Outstanding), Since: since(f), Rate: cmp.Or(speed(f.Rate), "~"), Site: printable(f.Site), RestsOn: mattered(f.Attribution),
	}
	if g := f.Group; g != nil && g.Findings > 1 {
		row.Group = fmt.Sprintf("group %d: %s", g.Number, members(g))
	}
	for _, why := range f.Why {
		row.Why = append(row.Why, printable(why))
	}
	for _, frame := range f.Frames {
		row.Stack = append(row.Stack, stackLine(frame))
	}
	if f.Leak {
		row.Verdict, row.Leaked = "leak", Amount(f.Leaked)
		r.Leaks = append(r.Leaks, row)
	} else {
		r.Others = append(r.Others, row)
	}
	return nil
}

// stackLine is a frame with its whole path.
func stackLine(f ingest.Frame) string {
	s := frameName(f)
	switch {
	case f.File != "" && f.Line > 0:
		s += fmt.Sprintf(" (%s:%d)", f.File, f.Line)
	case f.File != "":
		s += " (" + f.File + ")"
	case f.Module != "":
		s += " in " + f.Module
	}
	return printable(s)
}

// Summary ends a run.
func (h *HTML) Summary(s *detect.Summary) error {
	r := h.run
	h.run = &pageRun{}
	h.runs = append(h.runs, r)
	r.Name = printable(path.Base(s.Log))
	r.Facts = [][2]string{
		{"leaking sites", fmt.Sprintf("%d of %d", s.Leaks, s.Sites)},
		{"leaked", Amount(s.Leaked)},
		{"outstanding", Amount(s.Outstanding)},
		{"events", fmt.Sprintf("%d of %d", s.Cut, s.Events)},
		{"threshold", strconv.FormatFloat(s.Threshold, 'f', 3, 64)},
		{"expected false alarms", strconv.FormatFloat(s.FalseAlarms, 'f', 1, 64)},
		{"clean runs compared with", strconv.Itoa(s.ReferenceRuns)},
		{"model", printable(s.Model)},
	}
	for _, warning := range s.Warnings {
		r.Warnings = append(r.Warnings, printable(warning))
	}
	r.Left = append(append(r.Left, s.Suppressed...), s.Known...)
	if r.Flame != nil {
		r.Flame.Finish()
	}
	if s.Course != nil {
		r.Course = newCourse(s.Course)
	}
	return nil
}

// Close writes the page.
func (h *HTML) Close() error { return pageTemplate.Execute(h.w, h.runs) }
