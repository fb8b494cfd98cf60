package tokenize

import (
	"slices"
	"sort"
)

// Sampled shows a scene of an event log the way a tool would that follows only some
// of the blocks: the whole life of those that keep names by their index, and nothing
// of the others. Events are numbered anew.
func (s *Scene) Sampled(keep func(block int32) bool) *Scene {
	run := *s.Run
	run.Blocks, run.clock = nil, nil
	out := &Scene{Run: &run, Reference: s.Reference}
	// left counts the events that stay, before each.
	left := make([]uint32, s.Run.Events+1)
	for i := range s.Run.Blocks {
		b := &s.Run.Blocks[i]
		if keep(int32(i)) {
			run.Blocks = append(run.Blocks, *b)
			if s.Forgotten != nil {
				out.Forgotten = append(out.Forgotten, s.Forgotten[i])
			}
			continue
		}
		left[b.Born] = 1
		if s.died(int32(i)) != Alive {
			left[b.Died] = 1
		}
	}
	gone := uint32(0)
	for e, is := range left {
		left[e] = uint32(e) - gone
		gone += is
	}
	for i := range run.Blocks {
		b := &run.Blocks[i]
		b.Born = left[b.Born]
		if b.Died != Alive {
			b.Died = left[b.Died]
		}
	}
	for _, t := range s.Run.clock {
		run.clock = append(run.clock, tick{left[t.seq], t.t})
	}
	run.Events, out.Cut = left[s.Run.Events], left[s.Cut]
	run.index()
	return out
}

// class is the blocks that a log without addresses cannot tell apart.
type class struct {
	site uint32
	size int64
}

// Unaddressed shows a scene of an event log the way a tool would that notes a free by
// the size and the call stack of its block alone, as heaptrack's interpreted files do:
// of the blocks that are alike the oldest is taken to be freed. How many of them are
// outstanding, and how many leaked, stays true; which of them is not known, and the
// oldest are said to be the leaked ones. What is behind the cut is left out.
func (s *Scene) Unaddressed() *Scene {
	run := *s.Run
	n := sort.Search(len(run.Blocks), func(i int) bool { return run.Blocks[i].Born >= s.Cut })
	run.Blocks = slices.Clone(run.Blocks[:n])
	of := func(i int32) class { return class{run.Blocks[i].Site, run.Blocks[i].Size} }
	freed := make([]int32, s.Cut) // by event, -1 where it frees no block
	leaked := map[class]int{}
	for e := range freed {
		freed[e] = -1
	}
	for i := range run.Blocks {
		if d := s.died(int32(i)); d < s.Cut {
			freed[d] = int32(i)
		} else if s.Leaked(int32(i)) {
			leaked[of(int32(i))]++
		}
		run.Blocks[i].Died = Alive
	}
	live, next := map[class][]int32{}, int32(0)
	for e, i := range freed {
		for ; int(next) < n && run.Blocks[next].Born <= uint32(e); next++ {
			live[of(next)] = append(live[of(next)], next)
		}
		if i < 0 {
			continue
		}
		c := of(i)
		run.Blocks[live[c][0]].Died = uint32(e)
		live[c] = live[c][1:]
	}
	out := &Scene{Run: &run, Cut: s.Cut, Reference: s.Reference}
	run.index()
	if s.Forgotten == nil {
		return out
	}
	out.Forgotten = make([]bool, n)
	for c, count := range leaked {
		for _, i := range live[c][:count] {
			out.Forgotten[i] = true
			run.Blocks[i].Died = run.Blocks[i].Born // see Scene.Leaked
		}
	}
	return out
}

// Shallow returns the run as a log whose call stacks end after so many frames would
// show it.
func (r *Run) Shallow(frames int) *Run {
	out := *r
	out.Sites, out.Blocks = nil, slices.Clone(r.Blocks)
	to, known := make([]uint32, len(r.Sites)), map[Key]uint32{}
	for i, s := range r.Sites {
		if len(s.Frames) > frames && !isBare(s.Frames) {
			s = siteOf(s.Frames[:frames], 0)
		}
		at, ok := known[s.Exact]
		if !ok {
			at = uint32(len(out.Sites))
			known[s.Exact] = at
			out.Sites = append(out.Sites, s)
		}
		to[i] = at
	}
	for i := range out.Blocks {
		out.Blocks[i].Site = to[out.Blocks[i].Site]
	}
	out.index()
	return &out
}
