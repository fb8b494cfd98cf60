package tokenize

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"leakformer/ingest"
)

// snapshotLog is a series: snapshot k shows bytes[site][k] of each site, unless
// that is 0, in blocks of 8.
func snapshotLog(bytes map[string][]int64) *fakeLog {
	f := &fakeLog{stacks: ingest.NewStacks(), report: ingest.Report{Name: "series", Class: ingest.Snapshots}}
	names := []string{}
	looks := 0
	for name, b := range bytes {
		names = append(names, name)
		looks = max(looks, len(b))
	}
	slices.Sort(names)
	born := int64(0)
	for k := range looks {
		for _, name := range names {
			n := bytes[name][k]
			if n == 0 {
				continue
			}
			stack := f.stacks.Stack([]ingest.FrameID{f.stacks.Frame(ingest.Frame{Function: name})})
			f.events = append(f.events, ingest.Event{Op: ingest.Outstanding, Seq: int64(len(f.events)), Block: born, Count: n / 8, Size: n,
				Stack: stack, Scan: int32(k), Time: time.Duration(k) * time.Second, Line: int64(len(f.events)) + 1})
			born += n / 8
		}
	}
	return f
}

func load(t *testing.T, f *fakeLog) *Run {
	t.Helper()
	r, err := Load(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func siteNamed(t *testing.T, r *Run, name string) int {
	t.Helper()
	for i := range r.Sites {
		if r.Sites[i].Label == name {
			return i
		}
	}
	t.Fatalf("no site %s", name)
	return -1
}

func TestSeriesOfSnapshots(t *testing.T) {
	r := load(t, snapshotLog(map[string][]int64{
		"grows": {800, 1600, 2400, 3200},
		"gone":  {0, 80, 80, 0},
		"flat":  {8000, 8000, 8000, 8000},
	}))
	want := []Point{{0, 100, 800}, {1, 200, 1600}, {2, 300, 2400}, {3, 400, 3200}}
	if got := r.Series[siteNamed(t, r, "grows")]; !slices.Equal(got, want) {
		t.Errorf("points %v, want %v", got, want)
	}
	if got := r.Series[siteNamed(t, r, "gone")]; !slices.Equal(got, []Point{{1, 10, 80}, {2, 10, 80}}) {
		t.Errorf("points %v", got)
	}
	if got := r.Snapshots[2]; got != (Snapshot{2, 2 * time.Second, 10480}) {
		t.Errorf("snapshot %v", got)
	}
	sc := &Scene{Run: r, Cut: r.Events}
	var live []string
	sc.Views(func(v *View) bool {
		live = append(live, r.Sites[v.Site].Label)
		return true
	})
	slices.Sort(live)
	if !slices.Equal(live, []string{"flat", "grows"}) {
		t.Errorf("outstanding in the last snapshot: %v", live)
	}
	v := sc.View(siteNamed(t, r, "grows"))
	if len(v.Blocks) != 1 || r.Blocks.Scans(v.Live[0]) != 4 {
		t.Errorf("%d blocks, seen in %d scans", len(v.Blocks), r.Blocks.Scans(v.Live[0]))
	}
	if blocks, bytes := v.Outstanding(); blocks != 400 || bytes != 3200 {
		t.Errorf("%d blocks, %d bytes outstanding", blocks, bytes)
	}
	grows, flat := Tokenize(v), Tokenize(sc.View(siteNamed(t, r, "flat")))
	for _, c := range []struct {
		seq  *Sequence
		want int32
		has  bool
	}{
		{grows, token(fRose, shareBin(3, 3)), true}, {flat, token(fRose, shareBin(0, 3)), true},
		{grows, token(fLine, shareBin(1, 1)), true}, {flat, token(fLine, 0), true},
		{grows, token(fChange, changeBin(800, 1600)), true}, {flat, token(fChange, changeBin(800, 1600)), false},
	} {
		if slices.Contains(c.seq.Tokens, c.want) != c.has {
			t.Errorf("token %s: want %v", Describe(c.want), c.has)
		}
	}
	if grows.Len() > MaxLen {
		t.Errorf("%d positions", grows.Len())
	}
}

func TestLongSeriesIsBounded(t *testing.T) {
	s := series{stride: 1}
	const looks = 100_000
	for k := range int32(looks) {
		s.add(0, k, 0, 1, int64(k)+1)
		if k%1000 == 999 {
			s.add(1, k, 0, 1, 7)
		}
	}
	r := &Run{Sites: make([]Site, 3)}
	s.finish(r)
	if n := len(r.Snapshots); n > maxSnapshots+1 || n < maxSnapshots/2 {
		t.Errorf("%d snapshots kept", n)
	}
	if n := len(r.Series[0]); n != len(r.Snapshots) {
		t.Errorf("%d points of %d snapshots", n, len(r.Snapshots))
	}
	if last := r.Series[0][len(r.Series[0])-1]; last != (Point{looks - 1, 1, looks}) {
		t.Errorf("last point %v", last)
	}
	if len(r.Series) != 3 || r.Series[1][len(r.Series[1])-1].Scan != looks-1 {
		t.Errorf("series of the sites: %v", r.Series[1:])
	}
	for i, p := range r.Series[0] {
		if p.Scan != r.Snapshots[i].Scan || p.Bytes != r.Snapshots[i].Bytes-int64(i/(len(r.Series[0])-1))*7 {
			t.Fatalf("point %d is %v, snapshot %v", i, p, r.Snapshots[i])
		}
	}
}

// TestAsSeries counts anew, block by block, what each look has to show.
func TestAsSeries(t *testing.T) {
	r := load(t, randomLog(4, 3000))
	rng := rand.New(rand.NewPCG(5, 0))
	sc := &Scene{Run: r, Cut: 2500, Forgotten: make([]bool, r.Blocks.Len())}
	for i := range sc.Forgotten {
		sc.Forgotten[i] = rng.IntN(10) == 0
	}
	at := []uint32{100, 900, 901, 2000, 2500}
	got, of := sc.AsSeries(Looks{At: at})
	for site := range r.Sites {
		var want []Point
		for j, cut := range at {
			p := Point{Scan: int32(j)}
			early := &Scene{Run: r, Cut: cut}
			for _, i := range r.BySite[site] {
				died := sc.died(i)
				if died >= sc.Cut {
					died = Alive
				}
				if b := r.Blocks.At(i); b.Born < early.Cut && died >= early.Cut {
					p.Blocks++
					p.Bytes += b.Size
				}
			}
			if p.Bytes > 0 {
				want = append(want, p)
			}
		}
		if !slices.Equal(got.Series[site], want) {
			t.Errorf("site %d: %v, want %v", site, got.Series[site], want)
		}
	}
	end := &Scene{Run: got, Cut: got.Events}
	for i := range int32(r.Blocks.Len()) {
		if live := sc.Live(int32(i)); live != (of[i] >= 0) || live && !end.Live(of[i]) {
			t.Fatalf("block %d: live %v, shown as %d", i, live, of[i])
		}
	}
	end.Views(func(v *View) bool {
		blocks, bytes := v.Outstanding()
		last := got.Series[v.Site][len(got.Series[v.Site])-1]
		if blocks != last.Blocks || bytes != last.Bytes || last.Scan != int32(len(at)-1) {
			t.Errorf("site %d: %d blocks, %d bytes outstanding; last point %v", v.Site, blocks, bytes, last)
		}
		if n := Tokenize(v).Len(); n > MaxLen {
			t.Errorf("%d positions", n)
		}
		return true
	})
	top, _ := sc.AsSeries(Looks{At: at, Top: 2, BytesOnly: true})
	for j := range at {
		n := 0
		for site := range top.Series {
			for _, p := range top.Series[site] {
				if p.Scan == int32(j) {
					n++
					if p.Blocks != 1 {
						t.Errorf("%d blocks, where only bytes are known", p.Blocks)
					}
				}
			}
		}
		if n != 2 {
			t.Errorf("look %d lists %d sites, want 2", j, n)
		}
	}
}

func TestChangeBin(t *testing.T) {
	for _, c := range []struct {
		from, to float64
		want     int
	}{
		{0, 0, 6}, {100, 100, 6}, {0, 5, 13}, {100, 0, 0}, {100, 99.8, 5}, {100, 99, 4}, {100, 97, 3}, {100, 50, 0},
		{100, 100.2, 7}, {100, 101, 8}, {100, 102.5, 9}, {100, 110, 10}, {100, 150, 11}, {100, 500, 12},
	} {
		if got := changeBin(c.from, c.to); got != c.want {
			t.Errorf("changeBin(%v, %v) = %d, want %d", c.from, c.to, got, c.want)
		}
	}
}

// TestEnded: a run has ended where it does little but free at its end, and is looked
// at whole.
func TestEnded(t *testing.T) {
	l := randomLog(7, 4000)
	running := load(t, l)
	if (&Scene{Run: running, Cut: running.Events}).Ended() {
		t.Error("a run that still allocates is taken as ended")
	}
	free := map[int64]ingest.Event{}
	for _, e := range l.events {
		if e.Op == ingest.Alloc {
			free[e.Block] = e
		} else {
			delete(free, e.Block)
		}
	}
	for block := range int64(4000) {
		if e, ok := free[block]; ok {
			e.Op, e.Seq = ingest.Free, int64(len(l.events))
			l.events = append(l.events, e)
		}
	}
	ended := load(t, l)
	if !(&Scene{Run: ended, Cut: ended.Events}).Ended() {
		t.Errorf("a run that frees %d blocks at its end is not taken as ended", len(free))
	}
	if (&Scene{Run: ended, Cut: ended.Events - 1}).Ended() {
		t.Error("a run is taken as ended before its end")
	}
}

// Objects that are the same in each scan, as kmemleak's are, are entries of a report,
// whether the class is known from the start, as in an Arrow file, or at the end only.
func TestScansOfObjects(t *testing.T) {
	for _, early := range []bool{true, false} {
		l := snapshotLog(map[string][]int64{"leak": {8, 8, 8}, "gone": {8, 8, 0}})
		for i := range l.events {
			l.events[i].Addr = uint64(l.events[i].Stack)
			l.events[i].Time = 5
		}
		if !early {
			l.report.Class = ingest.EndReport
		}
		loader := NewLoader(l)
		if err := loader.Read(context.Background()); err != nil {
			t.Fatal(err)
		}
		l.report.Class = ingest.Snapshots
		r := loader.Runs()[0]
		sc := &Scene{Run: r, Cut: r.Events}
		if sc.IsSeries() || !sc.IsReport() || r.Blocks.Len() != 2 {
			t.Errorf("series %v, report %v, %d blocks", sc.IsSeries(), sc.IsReport(), r.Blocks.Len())
		}
		sc.Views(func(v *View) bool {
			if n := r.Blocks.Scans(v.Live[0]); n != 3 || r.Sites[v.Site].Label != "leak" || Tokenize(v).Len() == 0 {
				t.Errorf("%s outstanding, seen in %d scans", r.Sites[v.Site].Label, n)
			}
			return true
		})
	}
}
