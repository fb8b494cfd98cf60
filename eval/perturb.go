package eval

import (
	"hash/fnv"
	"iter"
	"slices"
	"strconv"

	"leakformer/ingest"
)

// A Perturbation is another way in which a tool could have told of the same run:
// the verdict should not depend on it.
type Perturbation struct {
	Name string
	// RunOnly says that the clean runs stay as they were: they were made another
	// day, with another tool.
	RunOnly bool
	// Reports says that it is one of reports, too.
	Reports bool
	// Earlier is the share of the events by which the log is cut earlier.
	Earlier float64
	// alter returns what changes the events of one log, and the table of their
	// call stacks then; nil changes none.
	alter func(from *ingest.Stacks) (alteration, *ingest.Stacks)
}

// An alteration changes an event, or does not keep it; changed says whether it
// looks other than before.
type alteration func(e *ingest.Event) (keep, changed bool)

// changing is an alteration that keeps all events.
func changing(change func(*ingest.Event)) alteration {
	return func(e *ingest.Event) (keep, changed bool) {
		was := *e
		change(e)
		return true, *e != was
	}
}

// Perturbations are all there are, in the order of tables.
func Perturbations() []Perturbation {
	return []Perturbation{
		{Name: "cut 1 % earlier", Earlier: 0.01},
		{Name: "half of the blocks seen", alter: sampled},
		{Name: "half of the blocks seen, clean runs whole", alter: sampled, RunOnly: true},
		{Name: "processes and threads renamed", alter: renamed, Reports: true},
		{Name: "other addresses", alter: moved},
		{Name: "symbols stripped", alter: stripped, Reports: true},
		{Name: "symbols stripped, clean runs named", alter: stripped, RunOnly: true, Reports: true},
		{Name: "no addresses", alter: classes},
		{Name: "no addresses, clean runs with them", alter: classes, RunOnly: true},
		{Name: "no call stacks", alter: stackless},
	}
}

// sampled keeps the whole life of every second block, drawn by its number. Frees
// of blocks that nobody saw allocated stay.
func sampled(from *ingest.Stacks) (alteration, *ingest.Stacks) {
	return func(e *ingest.Event) (keep, changed bool) {
		keep = e.Block < 0 || hash(uint64(e.Block))&1 == 0
		return keep, !keep
	}, from
}

func hash(n uint64) uint64 {
	h := fnv.New64a()
	h.Write(strconv.AppendUint(nil, n, 10))
	return h.Sum64() >> 7
}

// renamed gives processes and threads other numbers, and tasks another name.
func renamed(from *ingest.Stacks) (alteration, *ingest.Stacks) {
	return changing(func(e *ingest.Event) {
		if e.PID > 0 {
			e.PID = 1 + e.PID%30000 + 777
		}
		if e.TID > 0 {
			e.TID = 1 + e.TID%30000 + 999
		}
		if e.Comm != "" {
			e.Comm += "/worker"
		}
	}), from
}

// moved is what another allocator does: no address is as it was, and none is used
// twice.
func moved(from *ingest.Stacks) (alteration, *ingest.Stacks) {
	return changing(func(e *ingest.Event) {
		if e.Addr != 0 && e.Block >= 0 {
			e.Addr = 1<<40 + 32*uint64(e.Block)
		}
	}), from
}

// restacked translates call stacks, each once; change is given a copy.
func restacked(from *ingest.Stacks, change func([]ingest.Frame) []ingest.Frame) (alteration, *ingest.Stacks) {
	type stack struct {
		id      ingest.StackID
		changed bool
	}
	to, known := ingest.NewStacks(), map[ingest.StackID]stack{}
	return func(e *ingest.Event) (keep, changed bool) {
		s, ok := known[e.Stack]
		if !ok {
			var ids []ingest.FrameID
			frames := change(from.Frames(e.Stack))
			for _, f := range frames {
				ids = append(ids, to.Frame(f))
			}
			s = stack{to.Stack(ids), !slices.Equal(frames, from.Frames(e.Stack))}
			known[e.Stack] = s
		}
		e.Stack = s.id
		return true, s.changed
	}, to
}

// stripped leaves the place in the module of what is not the allocator's. Frames
// without a place, such as inlined ones, are gone.
func stripped(from *ingest.Stacks) (alteration, *ingest.Stacks) {
	return restacked(from, func(frames []ingest.Frame) []ingest.Frame {
		var out []ingest.Frame
		for _, f := range frames {
			if !ingest.IsAllocator(f) {
				f = ingest.Frame{Module: f.Module, Address: f.Address, Inlined: f.Inlined}
			}
			if f.Function != "" || f.Address != 0 && !f.Inlined {
				out = append(out, f)
			}
		}
		return out
	})
}

// stackless leaves that memory was allocated.
func stackless(from *ingest.Stacks) (alteration, *ingest.Stacks) {
	return restacked(from, func([]ingest.Frame) []ingest.Frame { return []ingest.Frame{{Function: "malloc"}} })
}

// class is blocks that a log without addresses cannot tell apart.
type class struct {
	stack ingest.StackID
	size  int64
}

// classes takes away addresses, as heaptrack's interpreter does: a free names a
// class of equal blocks, of which the oldest is taken to die.
func classes(from *ingest.Stacks) (alteration, *ingest.Stacks) {
	live := map[class][]int64{}
	return changing(func(e *ingest.Event) {
		e.Addr = 0
		c := class{e.Stack, e.Size}
		switch {
		case e.Op == ingest.Alloc:
			live[c] = append(live[c], e.Block)
		case e.Op == ingest.Free && e.Block >= 0 && len(live[c]) > 0:
			e.Block, live[c] = live[c][0], live[c][1:]
			e.Flags |= ingest.Approximate
		}
	}), from
}

// altered is a log as a perturbation shows it. Blocks and events are numbered anew.
type altered struct {
	ingest.Source
	change alteration
	stacks *ingest.Stacks
	// blocks are the new indexes in Run.Blocks by the old ones, -1 for those left
	// out; seq is how many events are left before each of the old ones.
	blocks []int64
	seq    []uint32
	placed int64 // blocks that are left so far
	born   int64 // the same, each entry of a report with its count
	kept   uint32
	// changed says that the log looks other than it did.
	changed bool
}

func (p *Perturbation) apply(src ingest.Source) *altered {
	a := &altered{Source: src, change: changing(func(*ingest.Event) {}), stacks: src.Stacks()}
	if p.alter != nil {
		a.change, a.stacks = p.alter(src.Stacks())
	}
	return a
}

// Stacks implements [ingest.Source].
func (a *altered) Stacks() *ingest.Stacks { return a.stacks }

// Events implements [ingest.Source].
func (a *altered) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		for e, err := range a.Source.Events() {
			if err == nil && !a.renumber(&e) {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// renumber changes an event; false leaves it out.
func (a *altered) renumber(e *ingest.Event) bool {
	for int64(len(a.seq)) <= e.Seq {
		a.seq = append(a.seq, a.kept)
	}
	born := e.Op != ingest.Free
	keep, changed := a.change(e)
	a.changed = a.changed || changed
	switch {
	case born && keep:
		a.blocks = append(a.blocks, a.placed)
		e.Block = a.born
		a.placed++
		a.born += e.Count
	case born:
		a.blocks = append(a.blocks, -1)
	case e.Block >= 0 && keep && e.Block < int64(len(a.blocks)):
		e.Block = a.blocks[e.Block]
	}
	if !keep {
		return false
	}
	e.Seq = int64(a.kept)
	if e.Flags&ingest.Inferred == 0 {
		a.kept++
	}
	return true
}

// until is how many of the first events are left.
func (a *altered) until(cut uint32) uint32 {
	if int(cut) < len(a.seq) {
		return a.seq[cut]
	}
	return a.kept
}
