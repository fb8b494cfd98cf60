package eval

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteText writes the rows as tables for a terminal, one for each setting, cut
// and subset. What cannot be measured is "~".
func WriteText(w io.Writer, rows []Row) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for i, r := range rows {
		if i == 0 || !r.alike(rows[i-1]) {
			if i > 0 {
				fmt.Fprintln(tw)
			}
			fmt.Fprintln(tw, r.title())
			fmt.Fprintln(tw, strings.Join(columns, "\t"))
		}
		fmt.Fprintln(tw, strings.Join(r.cells(), "\t"))
	}
	return tw.Flush()
}

// WriteMarkdown writes the same tables in Markdown.
func WriteMarkdown(w io.Writer, rows []Row) error {
	var b strings.Builder
	for i, r := range rows {
		if i == 0 || !r.alike(rows[i-1]) {
			if i > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "**%s**\n\n| %s |\n|%s\n", r.title(), strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)))
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r.cells(), " | "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes the rows as one JSON array.
func WriteJSON(w io.Writer, rows []Row) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	if rows == nil {
		rows = []Row{}
	}
	return e.Encode(rows)
}

var columns = []string{"scorer", "TP", "FP", "FN", "precision", "recall", "F1", "AP", "accuracy", "ECE", "block P", "block R", "run P", "run R", "found after"}

// alike reports whether two rows stand in one table.
func (r Row) alike(o Row) bool {
	return r.Setting == o.Setting && r.Cut == o.Cut && r.Subset == o.Subset && r.Program == o.Program
}

func (r Row) title() string {
	var parts []string
	if r.Program != "" {
		parts = append(parts, r.Program)
	}
	if r.Setting != "" {
		parts = append(parts, r.Setting)
	}
	subset := "all sites"
	if r.Subset == FiveLeaked {
		subset = "sites with 5 leaked blocks or more"
	}
	m := &r.Metrics
	parts = append(parts, fmt.Sprintf("cut at %g %%", math.Round(1000*r.Cut)/10), subset)
	title := fmt.Sprintf("%s: %d runs, %d sites, %d leak (flagging nothing is right for %s)",
		strings.Join(parts, ", "), m.Runs, m.Sites, m.Positives, figure(m.BaseRate.Value, 4))
	if g := m.Grouping; !g.IsZero() {
		title += fmt.Sprintf("; %d leaked entries of %d causes in %d groups: purity %s, completeness %s, adjusted Rand index %s",
			g.Entries, g.Causes, g.Groups, figure(g.Purity(), 3), figure(g.Completeness(), 3), figure(g.AdjustedRand(), 3))
	}
	return title
}

func (r Row) cells() []string {
	m := &r.Metrics
	return []string{r.Scorer, strconv.FormatInt(m.Confusion.TP, 10), strconv.FormatInt(m.Confusion.FP, 10), strconv.FormatInt(m.Confusion.FN, 10),
		m.Precision.String(), m.Recall.String(), m.F1.String(), m.AveragePrecision.String(),
		figure(m.Accuracy.Value, 4), figure(m.CalibrationError.Value, 3),
		figure(m.Blocks.Precision.Value, 3), figure(m.Blocks.Recall.Value, 3),
		figure(m.Verdicts.Precision.Value, 3), figure(m.Verdicts.Recall.Value, 3), m.Detection.String()}
}

// String writes the median number of events, and how many sites were found:
// "1520 events (7 of 9)".
func (d Detection) String() string {
	if d.Sites == 0 {
		return "~"
	}
	if d.Found == 0 {
		return fmt.Sprintf("~ (0 of %d)", d.Sites)
	}
	return fmt.Sprintf("%.0f events (%d of %d)", d.Events.Value, d.Found, d.Sites)
}

// String writes a rate with its interval: "0.912 [0.85 0.96]".
func (r Rate) String() string {
	if math.IsNaN(r.Value) {
		return "~"
	}
	s := figure(r.Value, 3)
	if !math.IsNaN(r.Low) {
		s += fmt.Sprintf(" [%s %s]", figure(r.Low, 2), figure(r.High, 2))
	}
	return s
}

func figure(x float64, digits int) string {
	if math.IsNaN(x) {
		return "~"
	}
	return strconv.FormatFloat(x, 'f', digits, 64)
}
