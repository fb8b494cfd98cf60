package tokenize

import (
	"slices"

	"leakformer/ingest"
)

// A Scene is a run as it stood when Cut events had happened, beside the clean
// runs it is compared with.
type Scene struct {
	Run *Run
	Cut uint32
	// Forgotten marks blocks, by their index in Run.Blocks, whose free is taken
	// as never made. Nil outside training.
	Forgotten []bool
	// Reference is the clean runs; nil where there are none.
	Reference Reference
}

// died is when block i died, as this scene has it.
func (s *Scene) died(i int32) uint32 {
	if s.Forgotten != nil && s.Forgotten[i] {
		return Alive
	}
	return s.Run.Blocks.Died(i)
}

// Live reports whether block i is outstanding at the cut.
func (s *Scene) Live(i int32) bool {
	return s.Run.Blocks.Born(i) < s.Cut && s.died(i) >= s.Cut
}

// minTeardown is the share of a run's events that its teardown has to have for the
// run to be taken as ended: one in so many.
const minTeardown = 100

// Ended reports whether the scene shows a run after its teardown, in which a program
// that cleans up frees nearly all that it has not leaked.
func (s *Scene) Ended() bool {
	r := s.Run
	return r.Class == ingest.Events && s.Cut == r.Events && uint64(r.Events-r.end)*minTeardown >= uint64(r.Events)
}

// Kind is what a log shows of a run: how its sites are judged depends on that.
type Kind string

const (
	// KindEvents is every alloc and free.
	KindEvents Kind = "events"
	// KindSeries is snapshots of how much was outstanding.
	KindSeries Kind = "snapshots"
	// KindReport is what was outstanding once, judged by a leak checker or not.
	KindReport Kind = "report"
	// KindSuspects is what a leak checker that cannot judge suspects, as kmemleak
	// does, in one scan or several: the same objects as long as they are suspected.
	KindSuspects Kind = "suspects"
)

// Kind of the scene's log.
func (s *Scene) Kind() Kind {
	switch b := &s.Run.Blocks; {
	case s.IsSeries():
		return KindSeries
	case !s.IsReport():
		return KindEvents
	case b.Len() > 0 && b.Loss(0) == ingest.Unreferenced:
		return KindSuspects
	}
	return KindReport
}

// IsReport says that the run's log lists only what is outstanding, or suspected.
func (s *Scene) IsReport() bool { return s.Run.Class != ingest.Events && !s.IsSeries() }

// Rescanned reports whether a leak checker looked more than once, so that objects it
// suspected can have vanished.
func (s *Scene) Rescanned() bool { return s.IsReport() && s.Run.Scans > 1 }

// IsSeries says that the run's log is snapshots of how much was outstanding.
func (s *Scene) IsSeries() bool { return s.Run.Snapshots != nil }

// Lost reports whether the log itself says that no pointer leads to block i.
func (s *Scene) Lost(i int32) bool {
	l := s.Run.Blocks.Loss(i)
	return l == ingest.Definite || l == ingest.Indirect
}

// Leaked reports whether block i is outstanding only because its free, made
// before the cut, was forgotten.
func (s *Scene) Leaked(i int32) bool {
	b := s.Run.Blocks.At(i)
	return s.Forgotten != nil && s.Forgotten[i] && b.Born < s.Cut && b.Died < s.Cut
}

// Views calls f for each site that has outstanding blocks, in the order of the
// run's sites, until it returns false.
func (s *Scene) Views(f func(*View) bool) {
	for site := range s.Run.BySite {
		if v := s.View(site); len(v.Live) > 0 && !f(v) {
			return
		}
	}
}

// View is one allocation site of a scene.
type View struct {
	Scene *Scene
	// Site indexes Run.Sites.
	Site int
	// Blocks are the indexes in Run.Blocks of the site's blocks that were born
	// before the cut; Live those of them that are outstanding.
	Blocks, Live []int32
	// Ref is what the site did in the clean runs; nil where it is not known.
	Ref   *Profile
	Match Match
	// Less says that the log tells more of it, see Without and Steady.
	Less   bool
	steady bool
}

// View looks at one site.
func (s *Scene) View(site int) *View {
	v := &View{Scene: s, Site: site, Blocks: s.Run.BySite[site]}
	n, _ := slices.BinarySearchFunc(v.Blocks, s.Cut, func(i int32, cut uint32) int {
		if s.Run.Blocks.Born(i) < cut {
			return -1
		}
		return 1
	})
	v.Blocks = v.Blocks[:n]
	for _, i := range v.Blocks {
		if s.Live(i) {
			v.Live = append(v.Live, i)
		}
	}
	if len(v.Live) > 0 {
		v.Ref, v.Match = s.Reference.Find(&s.Run.Sites[site])
	}
	return v
}

// Without is the view as it would be if some of its blocks had never been: but for the
// newest of the outstanding ones, where none would be left.
func (v *View) Without(gone func(block int32) bool) *View {
	less := *v
	less.Less = true
	if less.Live = slices.DeleteFunc(slices.Clone(v.Live), gone); len(less.Live) == 0 {
		newest, all := v.Live[len(v.Live)-1], gone
		gone = func(b int32) bool { return b != newest && all(b) }
		less.Live = []int32{newest}
	}
	less.Blocks = slices.DeleteFunc(slices.Clone(v.Blocks), gone)
	return &less
}

// Steady is the view of a series as it would be if the site had held all along what it
// holds now.
func (v *View) Steady() *View {
	steady := *v
	steady.Less, steady.steady = true, true
	return &steady
}

// Gone is the number of blocks that are not outstanding any more: freed, or, in repeated
// scans of a leak checker, vanished.
func (v *View) Gone() int { return len(v.Blocks) - len(v.Live) }

// Outstanding is the number and the bytes of the live blocks.
func (v *View) Outstanding() (blocks, bytes int64) {
	for _, i := range v.Live {
		b := v.Scene.Run.Blocks.At(i)
		blocks += int64(b.Count)
		bytes += b.Size
	}
	return blocks, bytes
}

// death is when a block, born at born, died.
type death struct{ at, born uint32 }

// deathsOf lists the deaths before the cut of the blocks at index, in order of time.
func deathsOf(s *Scene, index []int32) []death {
	ds := make([]death, 0, len(index))
	for _, i := range index {
		if d := s.died(i); d < s.Cut {
			ds = append(ds, death{d, s.Run.Blocks.Born(i)})
		}
	}
	slices.SortFunc(ds, func(a, b death) int { return int(int64(a.at) - int64(b.at)) })
	return ds
}

// peak is the largest number of blocks at least a events old that were live at
// once before the cut.
func (s *Scene) peak(index []int32, deaths []death, a uint32) float32 {
	live, most, d := 0, 0, 0
	for _, i := range index {
		ripe := s.Run.Blocks.Born(i) + a // when the block reaches the age
		if ripe >= s.Cut || s.died(i) < ripe {
			continue
		}
		for d < len(deaths) && deaths[d].at < ripe {
			if deaths[d].at-deaths[d].born >= a {
				live--
			}
			d++
		}
		live++
		most = max(most, live)
	}
	return float32(most)
}

// peakBytes is the largest number of bytes that were live at once before the cut.
func (s *Scene) peakBytes(index []int32) float32 {
	byDeath := make([]int32, 0, len(index))
	for _, i := range index {
		if s.died(i) < s.Cut {
			byDeath = append(byDeath, i)
		}
	}
	slices.SortFunc(byDeath, func(a, b int32) int { return int(int64(s.died(a)) - int64(s.died(b))) })
	live, most := int64(0), int64(0)
	for _, i := range index {
		b := s.Run.Blocks.At(i)
		if b.Born >= s.Cut {
			break
		}
		for len(byDeath) > 0 && s.died(byDeath[0]) < b.Born {
			live -= s.Run.Blocks.Size(byDeath[0])
			byDeath = byDeath[1:]
		}
		live += b.Size
		most = max(most, live)
	}
	return float32(most)
}
