package train

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"

	"leakformer/tokenize"
)

// alterations show scenes as other tools would have logged the same run, so that the
// model does not lean on what one tool tells.
var alterations = []alteration{
	{of: func(rng *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
		salt := rng.Uint64()
		return sc.Sampled(func(i int32) bool { return mix(salt+uint64(i))&1 == 0 })
	}, compared: true},
	{of: func(_ *rand.Rand, sc *tokenize.Scene) *tokenize.Scene { return sc.Unaddressed() }, compared: true},
	{of: func(_ *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
		return changed(sc, func(run *tokenize.Run) *tokenize.Run { return run.Shallow(1) })
	}},
	{of: asNamed, same: true},
	{of: asResized},
}

// An alteration shows a scene in another way.
type alteration struct {
	of func(*rand.Rand, *tokenize.Scene) *tokenize.Scene
	// compared says that clean runs can be altered likewise, and that those that are
	// not are of use too; same, that the scene compares with clean runs as before. An
	// altered scene of neither kind is compared with none.
	compared, same bool
}

// altered are the clean runs that altered scenes of a program are compared with, by
// alteration.
type altered [][]*tokenize.History

// alter shows a scene of the sample in one of the ways that there are. Of clean runs
// that were logged in the usual way, and of those that were altered likewise, it is
// compared with either.
func (s *sample) alter(rng *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
	k := rng.IntN(len(alterations))
	a := &alterations[k]
	out := a.of(rng, sc)
	switch {
	case a.same || a.compared && rng.IntN(2) == 0:
	case a.compared && s.altered != nil && sc.Reference.Runs() > 0:
		out.Reference = s.altered[k]
	default:
		out.Reference = nil
	}
	return out
}

// maxAltered is how many clean runs of a program are altered to compare with.
const maxAltered = 2

// prepareAltered alters clean runs of each program for its other runs to be compared
// with. Those that are altered themselves, and those without call stacks, have none.
func prepareAltered(samples []*sample, seed uint64) {
	var work sync.WaitGroup
	for n, group := range groups(samples, func(s *sample) string { return s.run.Program }) {
		var clean []*sample
		known := make(altered, len(alterations))
		for _, s := range group {
			if s.planter != nil && !s.bare && len(clean) < maxAltered {
				clean = append(clean, s)
			}
		}
		for _, s := range group {
			if !s.bare && !slices.Contains(clean, s) && len(clean) > 0 {
				s.altered = known
			}
		}
		work.Go(func() {
			rng := generator(seed, 100+uint64(n))
			for k, a := range alterations {
				for _, s := range clean {
					if a.compared {
						sc := a.of(rng, &tokenize.Scene{Run: s.run, Cut: s.run.Events})
						known[k] = append(known[k], tokenize.NewHistory(sc.Run))
					}
				}
			}
		})
	}
	work.Wait()
}

// mix spreads a number over all bits (the finalizer of SplitMix64).
func mix(n uint64) uint64 {
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// changed is a scene whose run has the same blocks and events, told in another way.
func changed(sc *tokenize.Scene, change func(*tokenize.Run) *tokenize.Run) *tokenize.Scene {
	out := *sc
	out.Run = change(sc.Run)
	return &out
}

// asResized shows a scene with sizes as an allocator hands them out, and of a program
// whose structures are larger.
func asResized(rng *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
	grain, factor := int64(16)<<rng.IntN(2), int64(1+rng.IntN(3))
	return changed(sc, func(run *tokenize.Run) *tokenize.Run {
		out := *run
		out.Blocks = run.Blocks.Altered(func(site uint32, size int64) (uint32, int64) { return site, (size*factor + grain - 1) / grain * grain })
		return &out
	})
}

// asNamed gives functions without a name one that says nothing, so that the words of
// names that are known in other logs mean nothing either.
func asNamed(_ *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
	return changed(sc, func(run *tokenize.Run) *tokenize.Run {
		out := *run
		out.Sites = slices.Clone(run.Sites)
		for i := range out.Sites {
			frames := slices.Clone(out.Sites[i].Frames)
			for j := range frames {
				if f := &frames[j]; f.Function == "" {
					f.Function = madeUp(f.Module, f.Address)
				}
			}
			out.Sites[i].Frames = frames
		}
		return &out
	})
}

// madeUp is a name of one to four words for the function at a place.
func madeUp(module string, address uint64) string {
	h := fnv.New64a()
	h.Write([]byte(module))
	rng := rand.New(rand.NewPCG(h.Sum64(), address))
	var name []byte
	for range 1 + rng.IntN(4) {
		for range 2 + rng.IntN(5) {
			name = append(name, byte('a'+rng.IntN(26)))
		}
		name = append(name, '_')
	}
	return string(name)
}
