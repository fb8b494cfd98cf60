package tokenize

// Sampled shows a scene of an event log the way a tool would that follows only some
// of the blocks: the whole life of those that keep names by their index, and nothing
// of the others. Events are numbered anew.
func (s *Scene) Sampled(keep func(block int32) bool) *Scene {
	run := *s.Run
	run.Blocks, run.clock = Blocks{}, nil
	out := &Scene{Run: &run, Reference: s.Reference}
	// left counts the events that stay, before each.
	left := make([]uint32, s.Run.Events+1)
	var kept []int32
	for i := range int32(s.Run.Blocks.Len()) {
		if keep(i) {
			kept = append(kept, i)
			if s.Forgotten != nil {
				out.Forgotten = append(out.Forgotten, s.Forgotten[i])
			}
			continue
		}
		left[s.Run.Blocks.Born(i)] = 1
		if s.died(i) != Alive {
			left[s.Run.Blocks.Died(i)] = 1
		}
	}
	gone := uint32(0)
	for e, is := range left {
		left[e] = uint32(e) - gone
		gone += is
	}
	for _, i := range kept {
		b := s.Run.Blocks.At(i)
		b.Born = left[b.Born]
		if b.Died != Alive {
			b.Died = left[b.Died]
		}
		run.Blocks.Add(b, s.Run.Blocks.Addr(i), s.Run.Blocks.Line(i))
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
	run.Blocks = Blocks{}
	of := func(i int32) class { return class{run.Blocks.Site(i), run.Blocks.Size(i)} }
	freed := make([]int32, s.Cut) // by event, -1 where it frees no block
	leaked := map[class]int{}
	for e := range freed {
		freed[e] = -1
	}
	for i, b := range s.Run.Blocks.All() {
		if b.Born >= s.Cut {
			break
		}
		b.Died = Alive
		run.Blocks.Add(b, s.Run.Blocks.Addr(i), s.Run.Blocks.Line(i))
		if d := s.died(i); d < s.Cut {
			freed[d] = i
		} else if s.Leaked(i) {
			leaked[of(i)]++
		}
	}
	n := run.Blocks.Len()
	live, next := map[class][]int32{}, int32(0)
	for e, i := range freed {
		for ; int(next) < n && run.Blocks.Born(next) <= uint32(e); next++ {
			live[of(next)] = append(live[of(next)], next)
		}
		if i < 0 {
			continue
		}
		c := of(i)
		run.Blocks.Die(live[c][0], uint32(e))
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
			run.Blocks.Die(i, run.Blocks.Born(i)) // see Scene.Leaked
		}
	}
	return out
}

// Shallow returns the run as a log whose call stacks end after so many frames would
// show it.
func (r *Run) Shallow(frames int) *Run {
	out := *r
	out.Sites = nil
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
	out.Blocks = r.Blocks.Altered(func(site uint32, size int64) (uint32, int64) { return to[site], size })
	out.index()
	return &out
}
