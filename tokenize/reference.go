package tokenize

import (
	"sort"

	"leakformer/ingest"
)

// History is the profiles of a program's allocation sites in one or more clean runs.
type History struct {
	// Program the runs are of; Runs how many there are.
	Program string
	Runs    int
	// Events of the longest of the runs.
	Events uint32
	Sites  map[Key]*Profile
	Names  map[Key]*Profile
}

// NewHistory measures a clean run.
func NewHistory(r *Run) *History {
	h := &History{Program: r.Program, Runs: 1, Events: r.Events, Sites: map[Key]*Profile{}, Names: map[Key]*Profile{}}
	scene := &Scene{Run: r, Cut: r.Events}
	end := r.end
	for i, index := range r.BySite {
		if len(index) == 0 {
			continue
		}
		p := profile(scene, index, end)
		h.Sites[r.Sites[i].Exact] = p
		if name := r.Sites[i].Names; name != 0 {
			fused := h.Names[name]
			if fused == nil {
				fused = &Profile{}
				h.Names[name] = fused
			}
			fused.fuse(p)
		}
	}
	return h
}

// Join returns one history of all the runs together.
func Join(hs ...*History) *History {
	all := &History{Sites: map[Key]*Profile{}, Names: map[Key]*Profile{}}
	for _, h := range hs {
		all.Program = h.Program
		all.Runs += h.Runs
		all.Events = max(all.Events, h.Events)
		joinAll(all.Sites, h.Sites)
		joinAll(all.Names, h.Names)
	}
	return all
}

// At is the history as reports tell it that were made when cut events had happened:
// of each site what was live then, and no lifetimes.
func (h *History) At(cut uint32) *History {
	j := momentOf(cut)
	then := func(from map[Key]*Profile) map[Key]*Profile {
		to := make(map[Key]*Profile, len(from))
		for k, p := range from {
			if n := p.Live[j]; n > 0 {
				to[k] = &Profile{Runs: p.Runs, Allocs: n, Left: n, MaxLive: n, MinSize: p.MinSize, MaxSize: p.MaxSize,
					MaxBytes: min(p.MaxBytes, n*float32(p.MaxSize))}
			}
		}
		return to
	}
	return &History{Program: h.Program, Runs: h.Runs, Sites: then(h.Sites), Names: then(h.Names)}
}

func joinAll(to, from map[Key]*Profile) {
	for k, p := range from {
		if to[k] == nil {
			to[k] = &Profile{}
		}
		to[k].join(p)
	}
}

// Match says how a site was found in a history.
type Match uint8

const (
	// Unmatched: there are no clean runs of this program.
	Unmatched Match = iota
	// NewSite: there are, but the site did not occur in them.
	NewSite
	// ByNames: a site with the same functions did.
	ByNames
	// Exactly: the same site did.
	Exactly
)

// A Reference is the clean runs that a new run is compared with; nil is none.
type Reference []*History

// Runs is the number of clean runs.
func (r Reference) Runs() int {
	n := 0
	for _, h := range r {
		n += h.Runs
	}
	return n
}

// Find returns what a site did in the clean runs. The profile is nil unless the
// match is ByNames or Exactly.
func (r Reference) Find(s *Site) (*Profile, Match) {
	if len(r) == 0 {
		return nil, Unmatched
	}
	if p := r.find(s.Exact, func(h *History) map[Key]*Profile { return h.Sites }); p != nil {
		return p, Exactly
	}
	if s.Names != 0 {
		if p := r.find(s.Names, func(h *History) map[Key]*Profile { return h.Names }); p != nil {
			return p, ByNames
		}
	}
	return nil, NewSite
}

func (r Reference) find(k Key, in func(*History) map[Key]*Profile) *Profile {
	if len(r) == 1 {
		return in(r[0])[k]
	}
	var all *Profile
	for _, h := range r {
		if p := in(h)[k]; p != nil {
			if all == nil {
				all = &Profile{}
			}
			all.join(p)
		}
	}
	return all
}

// Covers is the share of a run's allocations whose site the reference knows: near
// 0 for another program, near 1 for the same.
func (r Reference) Covers(run *Run) float64 {
	if len(r) == 0 || run.Blocks.Len() == 0 {
		return 0
	}
	known := 0
	for i, index := range run.BySite {
		if _, m := r.Find(&run.Sites[i]); m >= ByNames {
			known += len(index)
		}
	}
	return float64(known) / float64(run.Blocks.Len())
}

// For is the reference if it fits a run, and nil if it is of another program or build,
// or was logged in another way: to a log of all events that it knows little of, all
// that the run did would be new. Reports and snapshots list too little to tell.
func (r Reference) For(run *Run) Reference {
	if run.Class == ingest.Events && r.Covers(run) < MinCover {
		return nil
	}
	return r
}

// MinCover is how much of a run a reference has to know to be of the same program.
const MinCover = 0.3

// Choose returns the histories that fit a run: those of its program, if they know
// enough of it; else of all programs the one that knows most; else nil.
func Choose(hs []*History, run *Run) Reference {
	byProgram := map[string]Reference{}
	for _, h := range hs {
		byProgram[h.Program] = append(byProgram[h.Program], h)
	}
	if same := byProgram[run.Program]; same.Covers(run) >= MinCover {
		return same
	}
	names := make([]string, 0, len(byProgram))
	for name := range byProgram {
		names = append(names, name)
	}
	sort.Strings(names)
	var best Reference
	most := MinCover
	for _, name := range names {
		if c := byProgram[name].Covers(run); c > most {
			best, most = byProgram[name], c
		}
	}
	return best
}
