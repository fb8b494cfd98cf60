package eval

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// Recall is how many of the leaking sites of one kind an entrant flags, at all cuts
// together: what limits it.
type Recall struct {
	Setting string
	Scorer  string
	// By names a property of the sites, and Kind those values of it that these have.
	By   string
	Kind string
	// Found are those of Sites that were flagged, each at every cut at which it leaks.
	Found int64
	Sites int64
}

// trait is a property of a leaking site, and its kinds in the order of tables.
type trait struct {
	name  string
	kinds []string
	// of is the kind of a site with so many leaked blocks.
	of func(t *Truth, v *tokenize.View, leaked int64) int
}

var traits = []trait{
	{"leaked blocks", []string{"1", "2 to 4", "5 to 19", "20 to 99", "100 and more"}, func(_ *Truth, _ *tokenize.View, leaked int64) int {
		return under(float64(leaked), 2, 5, 20, 100)
	}},
	{"leaked, of the outstanding", []string{"under 1 %", "1 to 10 %", "10 to 50 %", "half and more", "all"}, func(_ *Truth, v *tokenize.View, leaked int64) int {
		live, _ := v.Outstanding()
		return under(float64(leaked)/float64(live), 0.01, 0.1, 0.5, 1)
	}},
	{"oldest leaked, over the longest life in clean runs", []string{"under 1/4", "1/4 to 1", "1 to 4", "4 and more", "freed in none", "site not known"}, staleness},
}

// under is the number of the first limit that x is under.
func under(x float64, limits ...float64) int {
	n := slices.IndexFunc(limits, func(limit float64) bool { return x < limit })
	if n < 0 {
		return len(limits)
	}
	return n
}

// staleness compares the age of the oldest leaked block with clean runs.
func staleness(t *Truth, v *tokenize.View, _ int64) int {
	switch {
	case v.Ref == nil:
		return 5
	case v.Ref.MaxLife == 0:
		return 4
	}
	i := slices.IndexFunc(v.Live, func(i int32) bool { return t.Leaked(i, v.Scene.Cut) })
	if i < 0 {
		return 5 // of a label that names no blocks
	}
	born := v.Scene.Run.Blocks.Born(v.Live[i])
	return under(float64(v.Scene.Cut-born)/float64(v.Ref.MaxLife), 0.25, 1, 4)
}

// kindsOf are the kinds of a site by the traits; nil where it does not leak, or the
// log has no events.
func kindsOf(t *Truth, v *tokenize.View, leaked int64) []int {
	if leaked == 0 || v.Scene.Run.Class != ingest.Events {
		return nil
	}
	kinds := make([]int, len(traits))
	for k := range traits {
		kinds[k] = traits[k].of(t, v, leaked)
	}
	return kinds
}

// Recalls tells which leaks the entrants find that give probabilities. Kinds that no
// leaking site is of are left out.
func (r *Result) Recalls() []Recall {
	type key struct{ setting, entrant, trait, kind int }
	var settings []string
	rows := map[key]*Recall{}
	for i, s := range r.sites {
		sample := &r.samples[s.sample]
		if sample.Between {
			continue
		}
		at := slices.Index(settings, sample.Setting)
		if at < 0 {
			at = len(settings)
			settings = append(settings, sample.Setting)
		}
		for t, kind := range s.kinds {
			for e, entrant := range r.entrants {
				if !entrant.Probabilities {
					continue
				}
				k := key{at, e, t, kind}
				if rows[k] == nil {
					rows[k] = &Recall{Setting: sample.Setting, Scorer: entrant.Name, By: traits[t].name, Kind: traits[t].kinds[kind]}
				}
				rows[k].Sites++
				if r.scores[e][i] >= r.thresholds[e][s.sample] {
					rows[k].Found++
				}
			}
		}
	}
	keys := make([]key, 0, len(rows))
	for k := range rows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(a.setting-b.setting, a.entrant-b.entrant, a.trait-b.trait, a.kind-b.kind)
	})
	out := make([]Recall, len(keys))
	for i, k := range keys {
		out[i] = *rows[k]
	}
	return out
}

// WriteRecalls writes the rows as a table for a terminal.
func WriteRecalls(w io.Writer, rows []Recall) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for i, r := range rows {
		if i == 0 || r.Setting != rows[i-1].Setting || r.Scorer != rows[i-1].Scorer || r.By != rows[i-1].By {
			fmt.Fprintf(tw, "%s, %s: %s\tleaks\tfound\trecall\n", r.Setting, r.Scorer, r.By)
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", r.Kind, strconv.FormatInt(r.Sites, 10), strconv.FormatInt(r.Found, 10), figure(share(r.Found, r.Sites), 3))
	}
	return tw.Flush()
}
