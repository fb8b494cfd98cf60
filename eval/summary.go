package eval

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteSummary writes one table for each setting and cut: precision, recall and F1
// of each scorer over all sites, and its F1 program by program, for which the rows
// have to be made with [TableConfig].Programs. What cannot be measured is "~", and
// "-" is a rule that does not apply.
func WriteSummary(w io.Writer, rows []Row) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	tables, programs := summaries(rows)
	for i, t := range tables {
		if i > 0 {
			fmt.Fprintln(tw)
		}
		m := &t[0].Metrics
		fmt.Fprintf(tw, "%s, cut at %g %%: %d runs, %d sites, %d leak; F1 of each program\n",
			t[0].Setting, math.Round(1000*t[0].Cut)/10, m.Runs, m.Sites, m.Positives)
		var head, leaks []string
		for _, p := range programs {
			if i := slices.IndexFunc(t, func(r Row) bool { return r.Program == p }); i >= 0 {
				head, leaks = append(head, p), append(leaks, strconv.FormatInt(t[i].Metrics.Positives, 10))
			}
		}
		fmt.Fprintln(tw, strings.Join(append([]string{"scorer", "precision", "recall", "F1"}, head...), "\t"))
		for _, r := range t {
			if r.Program != "" {
				continue
			}
			cells := []string{r.Scorer, figure(r.Metrics.Precision.Value, 3), figure(r.Metrics.Recall.Value, 3), figure(r.Metrics.F1.Value, 3)}
			for _, p := range head {
				cells = append(cells, t.f1(p, r.Scorer))
			}
			fmt.Fprintln(tw, strings.Join(cells, "\t"))
		}
		fmt.Fprintln(tw, strings.Join(append([]string{"(sites that leak)", "", "", strconv.FormatInt(m.Positives, 10)}, leaks...), "\t"))
	}
	return tw.Flush()
}

// summary is the rows over all sites of one setting and cut.
type summary []Row

// summaries sorts rows into tables and lists the programs. Rows of a setting and
// cut over all programs come before those of one.
func summaries(rows []Row) (tables []summary, programs []string) {
	at := map[group]int{}
	for _, r := range rows {
		if r.Subset != AllSites {
			continue
		}
		g := group{r.Setting, r.Cut, ""}
		if _, ok := at[g]; !ok {
			at[g] = len(tables)
			tables = append(tables, nil)
		}
		tables[at[g]] = append(tables[at[g]], r)
		if r.Program != "" && !slices.Contains(programs, r.Program) {
			programs = append(programs, r.Program)
		}
	}
	return tables, programs
}

func (t summary) find(program, scorer string) *Row {
	i := slices.IndexFunc(t, func(r Row) bool { return r.Program == program && r.Scorer == scorer })
	if i < 0 {
		return nil
	}
	return &t[i]
}

func (t summary) f1(program, scorer string) string {
	if r := t.find(program, scorer); r != nil {
		return figure(r.Metrics.F1.Value, 3)
	}
	return "-"
}
