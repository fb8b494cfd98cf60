package dashboard

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"leakformer/tokenize"
)

// Comparison is the leaks of two sides, each a run or all runs of a program.
type Comparison struct {
	A Side `json:"a"`
	B Side `json:"b"`
	// Sites that leak on a side at least, those that differ most first.
	Sites []*Compared `json:"sites"`
}

// Side is one side as a whole.
type Side struct {
	Runs  int   `json:"runs"`
	Leaks int   `json:"leaks"`
	Bytes int64 `json:"bytes"` // leaked in a run, on average
}

// Compared is a site. A or B is nil where it does not leak.
type Compared struct {
	Site       string     `json:"site"`
	StackTrace []string   `json:"stack_trace"`
	A          *SiteBytes `json:"a"`
	B          *SiteBytes `json:"b"`
	// Change is how many bytes more leak in B.
	Change int64 `json:"change"`

	names tokenize.Key
}

// SiteBytes is what leaks at a site on one side, in a run on average.
type SiteBytes struct {
	// ID is that of a finding on the site.
	ID          string  `json:"id"`
	Bytes       int64   `json:"bytes"`
	Blocks      int64   `json:"blocks"`
	Probability float64 `json:"probability"` // the highest
}

var errSide = errors.New("a and b: want log:NAME or program:NAME of a run that is there")

// compare answers with what sets two runs or programs apart.
func (s *server) compare(w http.ResponseWriter, r *http.Request) {
	var c Comparison
	byKey := map[string]*Compared{}
	v := r.URL.Query()
	for i, of := range []string{v.Get("a"), v.Get("b")} {
		runs, findings, err := s.side(r.Context(), of)
		if errors.Is(err, errSide) {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		if err != nil {
			s.fail(w, err)
			return
		}
		for j := range findings {
			c.add(byKey, &findings[j], i)
		}
		c.average(i, runs)
	}
	c.finish()
	answer(w, c)
}

// side is the runs and the leaks that are called "log:NAME" or "program:NAME".
func (s *server) side(ctx context.Context, called string) (runs int, leaks []Finding, err error) {
	kind, name, _ := strings.Cut(called, ":")
	q := Query{Log: name}
	if kind == "program" {
		q = Query{Program: name}
	}
	all, err := s.Store.Runs(ctx)
	if err != nil {
		return 0, nil, err
	}
	for i := range all {
		if q.meansRun(&all[i]) {
			runs++
		}
	}
	if runs == 0 || name == "" || kind != "log" && kind != "program" {
		return 0, nil, errSide
	}
	leaks, err = s.Store.List(ctx, q)
	return runs, slices.DeleteFunc(leaks, func(f Finding) bool { return !f.Leak }), err
}

// on is what leaks at the site on side 0 or 1.
func (c *Compared) on(side int) **SiteBytes {
	if side == 0 {
		return &c.A
	}
	return &c.B
}

func (c *Comparison) add(byKey map[string]*Compared, f *Finding, side int) {
	key := f.Site // of one whose key is not known
	if f.Key.Exact != 0 {
		key = "\x00" + strconv.FormatUint(uint64(f.Key.Exact), 16)
	}
	site := byKey[key]
	if site == nil {
		site = &Compared{Site: f.Site, StackTrace: f.StackTrace, names: f.Key.Names}
		byKey[key] = site
		c.Sites = append(c.Sites, site)
	}
	o := site.on(side)
	if *o == nil {
		*o = &SiteBytes{ID: f.ID}
	}
	(*o).Bytes += f.Bytes
	(*o).Blocks += f.Blocks
	(*o).Probability = max((*o).Probability, f.Probability)
}

// average divides what was added to a side by its runs.
func (c *Comparison) average(side, runs int) {
	sum := []*Side{&c.A, &c.B}[side]
	sum.Runs = runs
	for _, site := range c.Sites {
		if o := *site.on(side); o != nil {
			sum.Leaks++
			sum.Bytes += o.Bytes
			o.Bytes, o.Blocks = o.Bytes/int64(runs), o.Blocks/int64(runs)
		}
	}
	sum.Bytes /= int64(runs)
}

// finish joins sites whose functions have the same names, as when lines have moved
// between two builds, and puts the largest changes first.
func (c *Comparison) finish() {
	alone := map[tokenize.Key]*Compared{}
	for _, site := range c.Sites {
		if site.B == nil && site.names != 0 && alone[site.names] == nil {
			alone[site.names] = site
		}
	}
	c.Sites = slices.DeleteFunc(c.Sites, func(site *Compared) bool {
		twin := alone[site.names]
		if site.A != nil || twin == nil || twin.B != nil {
			return false
		}
		twin.B = site.B
		return true
	})
	for _, site := range c.Sites {
		if site.A != nil {
			site.Change -= site.A.Bytes
		}
		if site.B != nil {
			site.Change += site.B.Bytes
		}
	}
	slices.SortStableFunc(c.Sites, func(a, b *Compared) int { return cmp.Compare(max(b.Change, -b.Change), max(a.Change, -a.Change)) })
	c.Sites = append([]*Compared{}, c.Sites...)
}
