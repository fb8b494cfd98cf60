package tokenize

import (
	"path"
	"slices"
	"time"

	"leakformer/ingest"
)

// How many blocks of a site are shown one by one; of the rest only the site's
// summary and the curve of ages speak.
const (
	maxLive  = 32
	maxFreed = 16
)

// maxLooks is how many snapshots of a series are shown.
const maxLooks = 24

// MaxLen is the largest number of positions of a sequence. A series has looks in
// place of the ages and the freed blocks, and they are fewer.
const MaxLen = 2 + siteFrames + ages + maxLive + maxFreed

// NextClasses is the number of fates that the next block of a sequence can have:
// freed after a lifetime of some bin, or never.
const NextClasses = lifeBins + 1

// Sequence is what a model reads of one allocation site.
type Sequence struct {
	// Tokens has Fields ids for each position; 0 is none.
	Tokens []int32
	// Times and Places say, for each position, when the block there was
	// allocated: nanoseconds since the log's start (0 without a clock), and the
	// number of the event; -1 where the position is not a block.
	Times, Places []int64
	// Blocks is the index in Run.Blocks of the block at a position, or -1.
	Blocks []int32
	// Live says at which positions the block is outstanding.
	Live []bool
	// Rank orders all live blocks of the site by how old they are for their
	// kind; see Spread.
	rank []ranked
}

// ranked is one live block of the site (an index into View.Live) with its
// suspicion, and the position that shows it, or -1.
type ranked struct {
	live      int32
	position  int32
	suspicion float64
}

// Len is the number of positions.
func (s *Sequence) Len() int { return len(s.Blocks) }

// Spread gives every live block of the view a score, from the scores of the
// positions: a block that the sequence does not show takes that of the shown
// block whose age is as unusual as its own. The result is in the order of View.Live.
func (s *Sequence) Spread(scores []float64) []float64 {
	out := make([]float64, len(s.rank))
	last := -1
	for i, r := range s.rank {
		if r.position < 0 {
			continue
		}
		for j := last + 1; j <= i; j++ {
			near := r
			if last >= 0 && r.suspicion-s.rank[j].suspicion > s.rank[j].suspicion-s.rank[last].suspicion {
				near = s.rank[last]
			}
			out[s.rank[j].live] = scores[near.position]
		}
		last = i
	}
	for j := last + 1; j < len(s.rank) && last >= 0; j++ {
		out[s.rank[j].live] = scores[s.rank[last].position]
	}
	return out
}

// writer builds a sequence.
type writer struct {
	v   *View
	m   *measures
	seq *Sequence
}

// Tokenize writes a view as a sequence of at most MaxLen positions.
func Tokenize(v *View) *Sequence {
	w := writer{v: v, m: measure(v), seq: &Sequence{}}
	w.site()
	w.reference()
	w.stack()
	switch {
	case v.Scene.IsSeries():
		w.looks()
	case !v.Scene.IsReport():
		w.curve()
	}
	w.blocks()
	return w.seq
}

// add appends a position; block is -1 where it is none.
func (w *writer) add(block int32, live bool, ids ...int32) {
	s := w.seq
	n := len(s.Tokens)
	s.Tokens = append(s.Tokens, make([]int32, Fields)...)
	copy(s.Tokens[n:], ids)
	s.Blocks = append(s.Blocks, block)
	s.Live = append(s.Live, live)
	at, place := int64(0), int64(-1)
	if block >= 0 {
		born := w.v.Scene.Run.Blocks.Born(block)
		place = int64(born)
		at = int64(w.v.Scene.Run.Time(born) / time.Nanosecond)
	}
	s.Times, s.Places = append(s.Times, at), append(s.Places, place)
}

func classBin(s *Scene) int {
	switch {
	case s.IsSeries():
		return 1
	case s.IsReport():
		return 2
	}
	return 0
}

func (w *writer) site() {
	v, m := w.v, w.m
	run, cut := v.Scene.Run, v.Scene.Cut
	live, bytes := v.Outstanding()
	ids := []int32{
		token(fKind, int(kindSite)),
		token(fClass, classBin(v.Scene)),
		token(fLive, logBin(live)),
		token(fBytes, halfLogBin(bytes)),
	}
	if run.Class == ingest.Events {
		first, last := run.Blocks.Born(v.Blocks[0]), run.Blocks.Born(v.Blocks[len(v.Blocks)-1])
		oldest, newest := run.Blocks.Born(v.Live[0]), run.Blocks.Born(v.Live[len(v.Live)-1])
		ids = append(ids,
			token(fAllocs, logBin(int64(m.allocs))),
			token(fEvents, logBin(int64(cut))),
			token(fLiveShare, shareBin(m.live, m.allocs)),
			token(fLiveOfPeak, shareBin(m.live, m.peak)),
			token(fFirst, placeBin(first, cut)),
			token(fLast, placeBin(last, cut)),
			token(fOldest, placeBin(oldest, cut)),
			token(fNewest, placeBin(newest, cut)),
			token(fQuiet, shareBin(float64(cut-last), float64(cut))),
			token(fEarlyLive, shareBin(m.earlyLive, m.earlyBorn)),
			token(fLateLive, shareBin(m.lateLive, m.lateBorn)),
			token(fOldestDead, shareBin(m.deadAfterOldest, m.bornAfterOldest)),
			token(fOwnWidows, surpriseBin(m.ownWidow)))
	}
	if v.Scene.IsSeries() {
		ids = append(ids, NewTrend(v).tokens()...)
	}
	w.add(-1, false, ids...)
}

func (w *writer) reference() {
	v, m := w.v, w.m
	ids := []int32{token(fKind, int(kindReference)), token(fMatch, int(v.Match))}
	if runs := v.Scene.Reference.Runs(); runs > 0 {
		ids = append(ids, token(fRefRuns, logBin(int64(runs))))
		if v.Scene.Run.Class == ingest.Events {
			longest := uint32(0)
			for _, h := range v.Scene.Reference {
				longest = max(longest, h.Events)
			}
			ids = append(ids, token(fRefLength, ratioBin(float64(v.Scene.Cut), float64(longest))))
		}
	}
	if p := v.Ref; p != nil {
		runs := float64(p.Runs)
		ids = append(ids,
			token(fRefSeen, shareBin(runs, float64(v.Scene.Reference.Runs()))),
			token(fRefPeak, ratioBin(m.live, float64(p.MaxLive))),
			token(fRefLeft, ratioBin(m.live, float64(p.Left))),
			token(fRefBytes, ratioBin(m.bytes, float64(p.MaxBytes))),
			token(fRefSize, m.sizeNovelty))
		if v.Scene.Run.Class == ingest.Events {
			ids = append(ids,
				token(fRefAllocs, ratioBin(m.allocs, float64(p.Allocs)/runs)),
				token(fRefLeftShare, shareBin(float64(p.Allocs-p.Freed), float64(p.Allocs))),
				token(fRefExit, shareBin(float64(p.Exit), float64(p.Freed))),
				token(fRefMoment, ratioBin(m.live, float64(p.Live[momentOf(v.Scene.Cut)]))),
				token(fRefExpect, ratioBin(m.live, m.expected)),
				token(fRefZ, zBin(m.live, m.expected)),
				token(fRefLongZ, zBin(m.live, m.longest)),
				token(fRefWidows, zBin(m.widows, m.expectedWidows)),
				token(fRefWidow, surpriseBin(m.widow)))
		}
	}
	w.add(-1, false, ids...)
}

// momentOf is the last moment that the cut has reached, and the next one, since
// the profile's counts are maxima: of the two, the later.
func momentOf(cut uint32) int {
	j := 0
	for j < moments-1 && moment(j) < cut {
		j++
	}
	return j
}

func (w *writer) stack() {
	for i, f := range w.v.Scene.Run.Sites[w.v.Site].Frames {
		ids := []int32{token(fKind, int(kindFrame)), token(fDepth, i)}
		if f.Module != "" {
			ids = append(ids, token(fModule, hashBin(path.Base(f.Module), uint32(fields[fModule].bins))))
		}
		for _, word := range words(f.Function) {
			if len(ids) == Fields {
				break
			}
			ids = append(ids, token(fWord, hashBin(word, wordBins)))
		}
		w.add(-1, false, ids...)
	}
}

func (w *writer) curve() {
	v, m := w.v, w.m
	for k := range ages {
		if age(k) > v.Scene.Cut {
			return
		}
		c := &m.curve[k]
		ids := []int32{
			token(fKind, int(kindAge)),
			token(fAge, k),
			token(fOld, logBin(int64(c.live))),
			token(fOldShare, shareBin(c.live, c.born)),
			token(fOldFreed, logBin(int64(c.freed))),
		}
		if p := v.Ref; p != nil {
			ids = append(ids,
				token(fOldRefMax, logBin(int64(p.Old[k]))),
				token(fOldRef, ratioBin(c.live, float64(p.Old[k]))),
				token(fOldExpect, ratioBin(c.live, c.expected)),
				token(fOldZ, zBin(c.live, c.expected)))
		}
		w.add(-1, false, ids...)
	}
}

func (w *writer) blocks() {
	shown := w.choose()
	slices.Sort(shown)
	at := map[int32]int32{}
	for _, nth := range shown {
		b := w.v.Blocks[nth]
		live := w.v.Scene.Live(b)
		if live {
			at[b] = int32(w.seq.Len())
		}
		if w.v.Scene.Run.Class == ingest.Events {
			w.add(b, live, w.block(nth, b, live)...)
		} else {
			w.add(b, live, w.entry(b)...)
		}
	}
	for i, b := range w.v.Live {
		pos, ok := at[b]
		if !ok {
			pos = -1
		}
		w.seq.rank = append(w.seq.rank, ranked{int32(i), pos, w.m.suspicion[i]})
	}
	slices.SortStableFunc(w.seq.rank, func(a, b ranked) int {
		switch {
		case a.suspicion < b.suspicion:
			return -1
		case a.suspicion > b.suspicion:
			return 1
		}
		return 0
	})
}

// choose picks the blocks to show, as indexes into View.Blocks: of the live ones
// half by suspicion and half evenly in order of birth, of the freed ones those
// that lived longest and others evenly.
func (w *writer) choose() []int32 {
	v := w.v
	live, freed := make([]int32, 0, len(v.Live)), make([]int32, 0, v.Gone())
	next := 0
	for nth, b := range v.Blocks {
		if next < len(v.Live) && v.Live[next] == b {
			live = append(live, int32(nth))
			next++
		} else {
			freed = append(freed, int32(nth))
		}
	}
	suspicion := func(i int) float64 { return w.m.suspicion[i] }
	lifetime := func(i int) float64 {
		b := v.Blocks[freed[i]]
		return float64(v.Scene.died(b) - v.Scene.Run.Blocks.Born(b))
	}
	return append(pick(live, maxLive, suspicion), pick(freed, maxFreed, lifetime)...)
}

// pick takes n of the items: half of them those with the greatest weight, the
// others evenly over the rest.
func pick(items []int32, n int, weight func(i int) float64) []int32 {
	if len(items) <= n {
		return items
	}
	top, weights := make([]int, 0, n/2+1), make([]float64, 0, n/2+1)
	for i := range items {
		w, at := weight(i), len(top)
		for at > 0 && w > weights[at-1] {
			at--
		}
		if at < n/2 {
			if len(top) == n/2 {
				top, weights = top[:n/2-1], weights[:n/2-1]
			}
			top, weights = slices.Insert(top, at, i), slices.Insert(weights, at, w)
		}
	}
	taken := make(map[int]bool, n)
	out := make([]int32, 0, n)
	for _, i := range top {
		taken[i] = true
		out = append(out, items[i])
	}
	rest := len(items) - len(top)
	want, seen := n-len(top), 0
	for i := range items {
		if taken[i] {
			continue
		}
		if seen*want/rest != (seen+1)*want/rest {
			out = append(out, items[i])
		}
		seen++
	}
	return out
}

// block tells of one block of an event log.
func (w *writer) block(nth, i int32, live bool) []int32 {
	v, m := w.v, w.m
	s := v.Scene
	b := s.Run.Blocks.At(i)
	k := kindFreed
	if live {
		k = kindLive
	}
	end := min(s.died(i), s.Cut)
	life := end - b.Born
	ids := []int32{
		token(fKind, int(k)),
		token(fSize, halfLogBin(b.Size)),
		token(fKin, m.kin(b.Size)),
		token(fBorn, placeBin(b.Born, s.Cut)),
		token(fLife, lifeBin(life)),
		token(fOverOwn, ratioBin(float64(life), float64(m.maxLife))),
		token(fOwn, surpriseBin(m.own[lifeBin(life)])),
		token(fMates, m.mates(i, end)),
		token(fAround, m.around(i, end)),
		token(fLaterDead, m.laterDead(int(nth), end)),
		token(fGap, w.gap(nth)),
	}
	out, outlived := m.outlived(i, end)
	if outlived {
		ids = append(ids, token(fOutlived, lifeBin(out)))
	}
	own, _ := s.widowhood(i, m.kinPartners, end)
	ids = append(ids, token(fOwnWidow, surpriseBin(own[0])))
	if p := v.Ref; p != nil {
		widow, _ := s.widowhood(i, m.partners, end)
		ids = append(ids,
			token(fWidow, surpriseBin(widow[0])),
			token(fLongWidow, surpriseBin(widow[1])),
			token(fOverRef, ratioBin(float64(life), float64(p.MaxLife))),
			token(fOverAge, ratioBin(float64(life), float64(p.MaxAge))),
			token(fRef, surpriseBin(m.ref[lifeBin(life)])))
		if outlived {
			ids = append(ids, token(fOutRef, surpriseBin(m.out[lifeBin(out)])))
		}
	}
	return ids
}

// gap is the number of blocks born, anywhere, since the site's previous one.
func (w *writer) gap(nth int32) int {
	if nth == 0 {
		return logBins - 1
	}
	return logBin(int64(w.v.Blocks[nth] - w.v.Blocks[nth-1]))
}

// entry tells of one entry of a report or snapshot.
func (w *writer) entry(i int32) []int32 {
	s := w.v.Scene
	b := s.Run.Blocks.At(i)
	ids := []int32{
		token(fKind, int(kindReported)+int(b.Loss)),
		token(fSize, halfLogBin(b.Size/int64(max(b.Count, 1)))),
		token(fCount, logBin(int64(b.Count))),
		token(fScans, int(b.Scans)-1),
	}
	if s.Run.HasClock() {
		ids = append(ids, token(fBorn, placeBin(b.Born, s.Cut)))
	}
	return ids
}
