// Package eval measures how well scorers tell leaks from what merely looks like
// them: it matches runs with their labels, scores them, and compares.
//
// A [Sample] is a run looked at at one moment, with the [Truth] about it. [Compare]
// lets several entrants, the simple [Rules] among them, judge the same samples;
// its [Result] gives rows of [Metrics] by setting, cut and subset of the sites:
// of sites, blocks and whole runs, and of the time until leaks are found.
package eval

import (
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"

	"leakformer/datasets"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// Truth is which of a run's blocks are leaked, and from when on.
type Truth struct {
	// since is the event from which on a block, by its index in Run.Blocks, is leaked.
	since map[int32]uint32
	// sites are the leaking sites of labels that name no blocks, by their index
	// in Run.Sites, with the number of leaked blocks; 0 is not known.
	sites map[int]int64
	// bySite says that single blocks cannot be judged, also where no site leaks.
	bySite bool
	// causes are those of a site's leaked entries that have a known one.
	causes map[int][]int
}

// Match finds the blocks and sites of a run that its labels name.
//
// A leak is the block at its address that is live at its event and is never
// freed; blocks that had the address before are not meant. Leaks behind the end
// of a log that was cut off are left out. A leak that fits no block is an error:
// the labels are of another run. Of a series of snapshots the last counts: what
// only an earlier one shows is left out.
func Match(run *tokenize.Run, l *datasets.LogLabels) (*Truth, error) {
	t := &Truth{since: make(map[int32]uint32, len(l.Leaks)), sites: map[int]int64{}, causes: map[int][]int{}}
	events := run.Class == ingest.Events
	if events && l.Events > 0 && int64(run.Events) > l.Events {
		return nil, fmt.Errorf("%s: the labels are of a log with %d events, this one has %d: they are of another run", run.Name, l.Events, run.Events)
	}
	last, seen := addresses(run)
	for n, leak := range l.Leaks {
		if events && leak.Event > int64(run.Events) {
			continue
		}
		i, ok := last[uint64(leak.Address)]
		if !events && !ok && seen[uint64(leak.Address)] {
			continue
		}
		if !ok || events && int64(run.Blocks.Born(i)) >= leak.Event {
			return nil, fmt.Errorf("%s: label %d: no block at %s is allocated before event %d and never freed: the labels are of another run",
				run.Name, n, leak.Address, leak.Event)
		}
		t.since[i] = uint32(leak.Event)
		t.because(int(run.Blocks.Site(i)), leak.Cause)
	}
	causes := entryCauses(l.Sites)
	for n := range l.Sites {
		if !t.matchSite(run, &l.Sites[n], causes[n]) {
			return nil, fmt.Errorf("%s: labelled site %d (%s ...): no outstanding block has this call stack: the labels are of another run",
				run.Name, n, l.Sites[n].Frames[0].Function)
		}
	}
	return t, nil
}

// addresses finds the block that is outstanding at each address at the run's end,
// and all addresses that the run shows.
func addresses(run *tokenize.Run) (last map[uint64]int32, seen map[uint64]bool) {
	last, seen = map[uint64]int32{}, map[uint64]bool{}
	for i, b := range run.Blocks.All() {
		addr := run.Blocks.Addr(i)
		if addr == 0 {
			continue
		}
		seen[addr] = true
		if b.Died == tokenize.Alive {
			last[addr] = i
		}
	}
	return last, seen
}

// matchSite marks the sites whose innermost frames are those of the label. Sites
// hold fewer frames than labels may: what both have is compared.
func (t *Truth) matchSite(run *tokenize.Run, label *datasets.Site, cause int) bool {
	found := false
	for i := range run.Sites {
		if len(run.BySite[i]) > 0 && sameFrames(run.Sites[i].Frames, label.Frames) {
			t.sites[i] += label.Blocks
			if !found {
				t.because(i, cause)
			}
			found = true
		}
	}
	return found
}

// because notes the cause of one leaked entry.
func (t *Truth) because(site, cause int) {
	if cause > 0 {
		t.causes[site] = append(t.causes[site], cause)
	}
}

func sameFrames(site []ingest.Frame, label []datasets.Frame) bool {
	if len(site) == 0 {
		return false
	}
	for i := range min(len(site), len(label)) {
		f, want := &site[i], &label[i]
		if want.Address != 0 && f.Address != uint64(want.Address) {
			return false
		}
		if f.Function != want.Function || want.Module != "" && f.Module != "" && path.Base(f.Module) != path.Base(want.Module) {
			return false
		}
	}
	return len(site) >= min(len(label), 2)
}

// ByBlock reports whether the truth is known for single blocks, not for sites alone.
func (t *Truth) ByBlock() bool { return len(t.sites) == 0 && !t.bySite }

// Leaked reports whether a block is leaked when cut events have happened: its free
// would have stood before the next event.
func (t *Truth) Leaked(block int32, cut uint32) bool {
	since, ok := t.since[block]
	return ok && since <= cut
}

// Count is the number of leaked blocks among the outstanding ones of a view.
func (t *Truth) Count(v *tokenize.View) int64 {
	n := int64(0)
	for _, i := range v.Live {
		if t.Leaked(i, v.Scene.Cut) {
			n += int64(v.Scene.Run.Blocks.Count(i))
		}
	}
	if known, ok := t.sites[v.Site]; ok {
		if known == 0 {
			known, _ = v.Outstanding()
		}
		n += known
	}
	return n
}

// first is the event from which on the first of a view's leaked blocks is leaked;
// 0 where none is, or that is not known, as in a report.
func (t *Truth) first(v *tokenize.View) uint32 {
	first := uint32(0)
	if v.Scene.Run.Class != ingest.Events {
		return 0
	}
	for _, i := range v.Live {
		if since, ok := t.since[i]; ok && since <= v.Scene.Cut && (first == 0 || since < first) {
			first = since
		}
	}
	return first
}

// AsSeries is the truth of a scene's sites, where snapshots of it are judged: see
// [tokenize.Scene.AsSeries].
func (t *Truth) AsSeries(s *tokenize.Scene) *Truth {
	out := &Truth{sites: map[int]int64{}, bySite: true}
	for i, since := range t.since {
		if b := s.Run.Blocks.At(i); since <= s.Cut && s.Live(i) {
			out.sites[int(b.Site)] += int64(b.Count)
		}
	}
	return out
}

// Leaks lists the leaked blocks, in order of birth, with the event from which on
// each is leaked.
func (t *Truth) Leaks() iter.Seq2[int32, uint32] {
	return func(yield func(int32, uint32) bool) {
		for _, i := range slices.Sorted(maps.Keys(t.since)) {
			if !yield(i, t.since[i]) {
				return
			}
		}
	}
}
