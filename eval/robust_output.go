package eval

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

var robustColumns = []string{"perturbation", "scorer", "runs", "changed", "F1 before", "F1 after", "change", "flipped sites", "flipped runs"}

// WriteRobustnessText writes the rows as a table for a terminal. What cannot be
// measured is "~".
func WriteRobustnessText(w io.Writer, rows []Robustness) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(robustColumns, "\t"))
	for i := range rows {
		fmt.Fprintln(tw, strings.Join(rows[i].cells(), "\t"))
	}
	return tw.Flush()
}

// WriteRobustnessMarkdown writes the same table in Markdown.
func WriteRobustnessMarkdown(w io.Writer, rows []Robustness) error {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(robustColumns, " | "), strings.Repeat(" --- |", len(robustColumns)))
	for i := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(rows[i].cells(), " | "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteRobustnessJSON writes the rows as one JSON array.
func WriteRobustnessJSON(w io.Writer, rows []Robustness) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(rows)
}

func (r *Robustness) cells() []string {
	before, after := r.Before.F1(), r.After.F1()
	change := figure(after-before, 3)
	if after >= before {
		change = "+" + change
	}
	return []string{r.Perturbation, r.Scorer, strconv.FormatInt(r.Runs, 10), strconv.FormatInt(r.Changed, 10),
		figure(before, 3), figure(after, 3), change, part(r.Flipped, r.Flagged), part(r.Verdicts, r.Runs)}
}

// part writes a number and its share: "3 of 12 (25.0 %)".
func part(n, of int64) string {
	if of == 0 {
		return "0 of 0"
	}
	return fmt.Sprintf("%d of %d (%.1f %%)", n, of, 100*float64(n)/float64(of))
}
