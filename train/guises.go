package train

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// A guise shows a scene as a log of another kind would, for a [Second] to learn from.
type guise struct {
	kind tokenize.Kind
	as   func(*rand.Rand, *tokenize.Scene) *tokenize.Scene
	rng  *rand.Rand // of its own, that one can change without the others
}

func newGuises(seed uint64) []guise {
	return []guise{
		{tokenize.KindSeries, asSeries, generator(seed, 4)},
		{tokenize.KindReport, asListing, generator(seed, 5)},
		{tokenize.KindSuspects, asScans, generator(seed, 6)},
	}
}

// emptyReport is a report of the scene's program without entries.
func emptyReport(rng *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
	run := &tokenize.Run{Name: sc.Run.Name, Program: sc.Run.Program, Class: ingest.EndReport,
		Sites: sc.Run.Sites, BySite: make([][]int32, len(sc.Run.Sites)), Report: sc.Run.Report}
	out := &tokenize.Scene{Run: run}
	if rng.IntN(2) == 0 {
		out.Reference = atMoment(sc.Reference, sc.Cut)
	}
	return out
}

// enter adds an entry to a report, of block i of the scene that it is made of, and
// returns its index.
func enter(report *tokenize.Scene, b tokenize.Block, leaked bool, sc *tokenize.Scene, i int32) int32 {
	if leaked {
		b.Died = b.Born // see Scene.Leaked
	}
	run := report.Run
	at := run.Blocks.Add(b, sc.Run.Blocks.Addr(i), sc.Run.Blocks.Line(i))
	run.BySite[b.Site] = append(run.BySite[b.Site], at)
	report.Forgotten = append(report.Forgotten, leaked)
	return at
}

// joined makes a report whose entries stand for all blocks of a site that are judged
// alike.
type joined struct {
	report, from *tokenize.Scene
	entries      map[alike]int32
}

type alike struct {
	site uint32
	loss ingest.Loss
}

// add adds block i, which is from the scene that the report is made of.
func (j *joined) add(b tokenize.Block, leaked bool, i int32) {
	run := j.report.Run
	at, ok := j.entries[alike{b.Site, b.Loss}]
	if !ok {
		b.Born, b.Died = uint32(run.Blocks.Len()), tokenize.Alive
		if j.entries == nil {
			j.entries = map[alike]int32{}
		}
		j.entries[alike{b.Site, b.Loss}] = enter(j.report, b, leaked, j.from, i)
		return
	}
	same := run.Blocks.At(at)
	same.Count++
	same.Size += b.Size
	if leaked {
		same.Died = same.Born // see Scene.Leaked
		j.report.Forgotten[at] = true
	}
	run.Blocks.Set(at, same)
}

// asListing is a report of all that is outstanding, most by a leak checker that judges
// it, as memcheck does, some by a tool that does not.
func asListing(rng *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
	out := emptyReport(rng, sc)
	list := joined{report: out, from: sc}
	judges := rng.IntN(4) > 0
	for i, b := range sc.Run.Blocks.All() {
		if !sc.Live(i) {
			continue
		}
		leaked := sc.Leaked(i)
		b.Scans, b.Count, b.Loss = 1, 1, ingest.NotJudged
		if judges {
			b.Loss = judged(rng, leaked)
		}
		list.add(b, leaked, i)
	}
	out.Run.Events = uint32(out.Run.Blocks.Len())
	out.Cut = out.Run.Events
	return out
}

// suspect is a block of a scene that the scans list from one on to before another.
type suspect struct {
	block    int32
	leaked   bool
	from, to int
	record   uint32 // the number of the record that lists it first
}

// asScans is what kmemleak, which does not judge, lists in one or more scans up to the
// cut, each scan's records behind those of the one before: nearly every lost block from
// its loss on, and what a scan sees no pointer to though there is one.
func asScans(rng *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
	scans := scansUpTo(rng, sc.Cut)
	suspects := suspected(rng, sc, scans)
	starts := make([]uint32, len(scans)) // numbers of the scans' first records
	records := uint32(0)
	for s := range scans {
		starts[s] = records
		for k := range suspects {
			if u := &suspects[k]; u.from <= s && s < u.to {
				if s == u.from {
					u.record = records
				}
				records++
			}
		}
	}
	slices.SortFunc(suspects, func(a, b suspect) int { return cmp.Compare(a.record, b.record) })
	out := emptyReport(rng, sc)
	for _, u := range suspects {
		b := sc.Run.Blocks.At(u.block)
		b.Loss, b.Count, b.Scans = ingest.Unreferenced, 1, uint8(u.to-u.from)
		b.Born, b.Died = u.record, tokenize.Alive
		if u.to < len(scans) {
			b.Died = starts[u.to]
		}
		enter(out, b, u.leaked, sc, u.block)
	}
	out.Run.Events, out.Cut, out.Run.Scans = records, records, len(scans)
	return out
}

// maxScans is how many scans a report is of at most; a third are of one.
const maxScans = 20

// scansUpTo draws the events after which is scanned, at even distances; the last scan is
// at the cut.
func scansUpTo(rng *rand.Rand, cut uint32) []uint32 {
	n := 1
	if rng.IntN(3) > 0 {
		n += rng.IntN(maxScans)
	}
	first := (0.05 + 0.9*rng.Float64()) * float64(cut)
	at := make([]uint32, n)
	for k := range at {
		at[k] = uint32(first + (float64(cut)-first)*float64(k+1)/float64(n))
	}
	at[n-1] = cut
	return at
}

// suspected draws the blocks that scans list, which is an assumption, too: nineteen lost
// ones in twenty, and some of the sites that hide theirs.
func suspected(rng *rand.Rand, sc *tokenize.Scene, scans []uint32) []suspect {
	hiding := hidingSites(rng, sc)
	// since is the first scan after an event.
	since := func(event uint32) int {
		k, _ := slices.BinarySearch(scans, event+1)
		return k
	}
	var out []suspect
	for i, b := range sc.Run.Blocks.All() {
		if b.Born >= sc.Cut {
			break
		}
		u := suspect{block: i, leaked: sc.Leaked(i), from: since(b.Born), to: len(scans)}
		h, hides := hiding[b.Site]
		switch {
		case u.leaked:
			if rng.IntN(20) == 0 {
				continue
			}
			u.from = since(b.Died)
		case !hides:
			continue
		default:
			if !sc.Live(i) {
				u.to = since(b.Died)
			}
			h.seen(rng, &u)
		}
		if u.from < u.to {
			out = append(out, u)
		}
	}
	return out
}

// hiding is why a scan finds no pointer to a site's blocks, though there is one: it is
// kept where no scan looks, as long as the block lives, or it is just being moved and
// the next scan finds it.
type hiding struct {
	moving bool
	// share of the site's blocks that are hidden, or of those live that one scan misses.
	share float64
}

// seen says in which scans a suspect that lives from one to another is listed.
func (h hiding) seen(rng *rand.Rand, u *suspect) {
	if !h.moving {
		if rng.Float64() >= h.share {
			u.to = u.from
		}
		return
	}
	for u.from < u.to && rng.Float64() >= h.share {
		u.from++
	}
	u.to = min(u.to, u.from+1)
}

// hidingSites draws the sites of which scans list blocks that are not leaked, with 1 to
// 128 hidden ones or 1 to 4 that are missed at a time: a quarter of those that leak,
// and up to three times as many that do not, and a few more.
func hidingSites(rng *rand.Rand, sc *tokenize.Scene) map[uint32]hiding {
	leaky, clean := outstanding(rng, sc)
	n := 1 + rng.IntN(3*len(leaky)+4)
	sites := map[uint32]hiding{}
	for _, site := range slices.Concat(leaky[:rng.IntN(len(leaky)/2+1)], clean[:min(n, len(clean))]) {
		h := hiding{moving: rng.IntN(2) == 0}
		most := 1 << rng.IntN(8)
		if h.moving {
			most = 1 << rng.IntN(3)
		}
		h.share = float64(most) / float64(len(sc.Run.BySite[site]))
		sites[uint32(site)] = h
	}
	return sites
}
