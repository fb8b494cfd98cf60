package tokenize

import (
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"leakformer/ingest"
)

// fakeLog is a Source of events in memory.
type fakeLog struct {
	events []ingest.Event
	stacks *ingest.Stacks
	report ingest.Report
}

func (f *fakeLog) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		for _, e := range f.events {
			if !yield(e, nil) {
				return
			}
		}
	}
}
func (f *fakeLog) Stacks() *ingest.Stacks { return f.stacks }
func (f *fakeLog) Report() *ingest.Report { return &f.report }
func (f *fakeLog) Close() error           { return nil }

// randomLog is n events at some sites of different habits.
func randomLog(seed uint64, n int) *fakeLog {
	rng := rand.New(rand.NewPCG(seed, 0))
	f := &fakeLog{stacks: ingest.NewStacks(), report: ingest.Report{Name: "fake", Class: ingest.Events, Command: "/usr/bin/fake1.2 -x"}}
	var stacks []ingest.StackID
	for _, name := range []string{"cache_put", "parseNode", "readLine", "initTable", "main"} {
		malloc := f.stacks.Frame(ingest.Frame{Function: "malloc", Module: "/lib/libc.so.6"})
		fn := f.stacks.Frame(ingest.Frame{Function: name, Module: "/usr/bin/fake", Line: 7})
		stacks = append(stacks, f.stacks.Stack([]ingest.FrameID{malloc, fn}))
	}
	type live struct {
		block int64
		size  int64
		stack ingest.StackID
	}
	var blocks []live
	born := int64(0)
	for seq := range int64(n) {
		e := ingest.Event{Seq: seq, Time: time.Duration(seq) * 300 * time.Microsecond, Count: 1, Line: seq + 1}
		if len(blocks) > 0 && rng.IntN(100) < 46 {
			i := len(blocks) - 1 - min(int(rng.ExpFloat64()*20), len(blocks)-1)
			b := blocks[i]
			blocks = slices.Delete(blocks, i, i+1)
			e.Op, e.Block, e.Size, e.Stack = ingest.Free, b.block, b.size, b.stack
		} else {
			s := stacks[rng.IntN(len(stacks))]
			e.Op, e.Block, e.Size, e.Stack = ingest.Alloc, born, int64(rng.IntN(4)+1)*16, s
			e.Addr = uint64(0x1000 + 64*born)
			blocks = append(blocks, live{born, e.Size, s})
			born++
		}
		f.events = append(f.events, e)
	}
	return f
}

func mustLoad(t testing.TB, src ingest.Source) *Run {
	t.Helper()
	r, err := Load(context.Background(), src)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What a model sees of a run at a cut must not depend on what comes after it.
func TestNothingOfTheFuture(t *testing.T) {
	for seed := range uint64(20) {
		full := randomLog(seed, 4000)
		reference := Reference{NewHistory(mustLoad(t, randomLog(seed+100, 5000)))}
		cut := uint32(200 + 150*seed)
		head := &fakeLog{events: full.events[:cut], stacks: full.stacks, report: full.report}
		whole := &Scene{Run: mustLoad(t, full), Cut: cut, Reference: reference}
		start := &Scene{Run: mustLoad(t, head), Cut: cut, Reference: reference}
		seen := map[Key]*Sequence{}
		start.Views(func(v *View) bool {
			seen[start.Run.Sites[v.Site].Exact] = Tokenize(v)
			return true
		})
		whole.Views(func(v *View) bool {
			k := whole.Run.Sites[v.Site].Exact
			want := seen[k]
			if want == nil {
				t.Fatalf("seed %d: site %s is outstanding only when the future is known", seed, whole.Run.Sites[v.Site].Label)
			}
			got := Tokenize(v)
			if !slices.Equal(got.Tokens, want.Tokens) || !slices.Equal(got.Times, want.Times) {
				t.Errorf("seed %d: site %s reads otherwise when the future is known", seed, whole.Run.Sites[v.Site].Label)
			}
			delete(seen, k)
			return true
		})
		if len(seen) > 0 {
			t.Errorf("seed %d: %d sites are missing when the future is known", seed, len(seen))
		}
	}
}

func TestSequenceLaws(t *testing.T) {
	run := mustLoad(t, randomLog(3, 30000))
	sc := &Scene{Run: run, Cut: 20000, Reference: Reference{NewHistory(mustLoad(t, randomLog(4, 9000)))}}
	n := 0
	sc.Views(func(v *View) bool {
		n++
		s := Tokenize(v)
		if s.Len() > MaxLen || len(s.Tokens) != s.Len()*Fields || len(s.Times) != s.Len() || len(s.Places) != s.Len() {
			t.Fatalf("%d positions, %d tokens, %d times, %d places", s.Len(), len(s.Tokens), len(s.Times), len(s.Places))
		}
		for i, id := range s.Tokens {
			if id < 0 || int(id) >= VocabSize {
				t.Fatalf("token %d at position %d", id, i/Fields)
			}
		}
		for pos, b := range s.Blocks {
			if b >= 0 && s.Live[pos] != sc.Live(b) {
				t.Fatalf("position %d: live is %v", pos, s.Live[pos])
			}
		}
		again := Tokenize(v)
		if !slices.Equal(s.Tokens, again.Tokens) {
			t.Fatal("the same view reads differently the second time")
		}
		return true
	})
	if n < 5 {
		t.Fatalf("%d sites, want 5", n)
	}
}

// No position may have more properties than it has room for: they would be lost
// in silence.
func TestFieldsSuffice(t *testing.T) {
	run := mustLoad(t, randomLog(5, 6000))
	sc := &Scene{Run: run, Cut: 6000, Reference: Reference{NewHistory(mustLoad(t, randomLog(6, 9000)))}}
	sc.Views(func(v *View) bool {
		w := &writer{v: v, m: measure(v), seq: &Sequence{}}
		for nth, b := range v.Blocks {
			if n := len(w.block(int32(nth), b, sc.Live(b))); n > Fields {
				t.Fatalf("a block has %d properties, there is room for %d", n, Fields)
			}
		}
		return true
	})
}

func TestSpread(t *testing.T) {
	run := mustLoad(t, randomLog(7, 60000))
	sc := &Scene{Run: run, Cut: 60000}
	sc.Views(func(v *View) bool {
		s := Tokenize(v)
		scores := make([]float64, s.Len())
		at := map[int32]float64{}
		for pos, b := range s.Blocks {
			scores[pos] = float64(pos)
			at[b] = float64(pos)
		}
		spread := s.Spread(scores)
		if len(spread) != len(v.Live) {
			t.Fatalf("%d scores for %d live blocks", len(spread), len(v.Live))
		}
		for i, b := range v.Live {
			want, shown := at[b]
			if shown && spread[i] != want {
				t.Fatalf("block %d is shown with score %v but has %v", b, want, spread[i])
			}
			if !shown && !(spread[i] > 0) {
				t.Fatalf("block %d has no score", b)
			}
		}
		return true
	})
}

func TestBins(t *testing.T) {
	last := 0
	for _, n := range []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 1 << 20, 3 << 20, math.MaxUint32} {
		b := lifeBin(n)
		if b < last || b >= lifeBins {
			t.Errorf("lifeBin(%d) = %d after %d", n, b, last)
		}
		last = b
	}
	if lifeBin(5) != lifeBin(4) || lifeBin(6) != lifeBin(7) || lifeBin(5) == lifeBin(6) || lifeBin(7) == lifeBin(8) {
		t.Error("lifeBin has not two bins to an octave")
	}
	for _, c := range []struct {
		n, d float64
		want int
	}{{0, 5, 0}, {1, 0, ratioBins - 1}, {1, 1, 9}, {2, 1, 11}, {1, 2, 7}, {1000, 1, ratioBins - 2}, {1, 1000, 1}} {
		if got := ratioBin(c.n, c.d); got != c.want {
			t.Errorf("ratioBin(%v, %v) = %d, want %d", c.n, c.d, got, c.want)
		}
	}
	for _, c := range []struct {
		n, d float64
		want int
	}{{0, 5, 0}, {5, 5, 8}, {1, 2, 4}, {999, 1000, 7}, {1, 1000, 1}, {3, 0, 0}} {
		if got := shareBin(c.n, c.d); got != c.want {
			t.Errorf("shareBin(%v, %v) = %d, want %d", c.n, c.d, got, c.want)
		}
	}
	if zBin(10, 10) != 3 || zBin(0, 100) != 0 || zBin(1e6, 0) != zBins-1 {
		t.Error("zBin", zBin(10, 10), zBin(0, 100), zBin(1e6, 0))
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"xmlNewNode_2", []string{"xml", "new", "node"}},
		{"std::vector<int>::push_back(int const&)", []string{"std", "vector", "int", "push", "back", "int", "const"}},
		{"HTTPServer", []string{"httpserver"}},
		{"", nil}, {"__", nil},
	} {
		if got := words(c.in); !slices.Equal(got, c.want) {
			t.Errorf("words(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// The survival of lifetimes without censoring is the share of longer ones.
func TestSurvival(t *testing.T) {
	var l Lives
	for _, n := range []uint32{1, 1, 2, 2, 3, 3, 3, 3} {
		l.add(n, true)
	}
	s, n := l.survival()
	if n != 8 {
		t.Fatalf("%v lifetimes", n)
	}
	for b, want := range []float64{1, 1, 0.75, 0.5, 0.1} {
		if math.Abs(s[b]-want) > 1e-9 {
			t.Errorf("survival to bin %d is %v, want %v", b, s[b], want)
		}
	}
	// A censored age counts as at risk until then, and never as a death.
	var c Lives
	c.add(1, true)
	c.add(8, false)
	s, _ = c.survival()
	if s[2] != 0.5 || s[30] != 0.5 {
		t.Errorf("survival with a censored age is %v and %v, want 0.5", s[2], s[30])
	}
}

// peak agrees with counting at every event.
func TestPeak(t *testing.T) {
	run := mustLoad(t, randomLog(8, 1500))
	sc := &Scene{Run: run, Cut: 1400}
	for site := range run.BySite {
		index := sc.View(site).Blocks
		for _, a := range []uint32{0, 16, 64, 256} {
			most := 0
			for now := uint32(0); now < sc.Cut; now++ {
				n := 0
				for _, i := range index {
					if b := run.Blocks.At(i); b.Born+a <= now && sc.died(i) >= now && b.Born <= now {
						n++
					}
				}
				most = max(most, n)
			}
			if got := sc.peak(index, deathsOf(sc, index), a); got != float32(most) {
				t.Errorf("site %d: peak of age %d is %v, counting gives %d", site, a, got, most)
			}
		}
	}
}

func TestHistoryMatch(t *testing.T) {
	a, b := mustLoad(t, randomLog(9, 3000)), mustLoad(t, randomLog(10, 3000))
	if a.Program != "fake" {
		t.Errorf("program %q", a.Program)
	}
	h := NewHistory(a)
	ref := Choose([]*History{h}, b)
	if ref == nil || ref.Covers(b) != 1 {
		t.Fatalf("the history of the same program covers %v", ref.Covers(b))
	}
	p, m := ref.Find(&b.Sites[0])
	if m != Exactly || p == nil {
		t.Fatalf("match %v", m)
	}
	both := Join(h, NewHistory(b))
	q, _ := Reference{both}.Find(&b.Sites[0])
	r, _ := Reference{h, NewHistory(b)}.Find(&b.Sites[0])
	if !reflect.DeepEqual(q, r) {
		t.Error("joining histories first or last differs")
	}
	other := b.Sites[0]
	other.Exact++
	if _, m := ref.Find(&other); m != ByNames {
		t.Errorf("a site with equal names matches %v", m)
	}
	other.Names++
	if _, m := ref.Find(&other); m != NewSite {
		t.Errorf("an unknown site matches %v", m)
	}
	b.Program = "other"
	for i := range b.Sites {
		b.Sites[i].Exact++
		b.Sites[i].Names++
	}
	if Choose([]*History{h}, b) != nil {
		t.Error("a history of another program was chosen")
	}
	if ref.For(b) != nil || ref.For(a) == nil {
		t.Error("a history of another program is used, or one of the same is not")
	}
	if b.Class = ingest.EndReport; ref.For(b) == nil {
		t.Error("a report that knows nothing of the clean runs is not compared with them")
	}
}

func TestViewWithout(t *testing.T) {
	run := mustLoad(t, randomLog(9, 3000))
	(&Scene{Run: run, Cut: 2000}).Views(func(v *View) bool {
		blocks, live := slices.Clone(v.Blocks), slices.Clone(v.Live)
		freed := v.Without(func(b int32) bool { return !v.Scene.Live(b) })
		if !slices.Equal(freed.Blocks, live) || !slices.Equal(freed.Live, live) || !freed.Less || v.Less {
			t.Errorf("site %d: %v outstanding of %v without the freed blocks, want %v", v.Site, freed.Live, freed.Blocks, live)
		}
		none := v.Without(func(int32) bool { return true })
		if newest := live[len(live)-1:]; !slices.Equal(none.Live, newest) || !slices.Equal(none.Blocks, newest) {
			t.Errorf("site %d: %v outstanding of %v where all are taken away, want %v", v.Site, none.Live, none.Blocks, newest)
		}
		if !slices.Equal(v.Blocks, blocks) || !slices.Equal(v.Live, live) {
			t.Errorf("site %d: the view itself has changed", v.Site)
		}
		return true
	})
}

// A clean run compared with itself has as many survivors as expected.
func TestExpectation(t *testing.T) {
	run := mustLoad(t, randomLog(11, 20000))
	sc := &Scene{Run: run, Cut: 10000, Reference: Reference{NewHistory(mustLoad(t, randomLog(12, 20000)))}}
	sc.Views(func(v *View) bool {
		m := measure(v)
		if m.expected < m.live/2 || m.expected > m.live*2 {
			t.Errorf("%s: %v live, %v expected", run.Sites[v.Site].Label, m.live, m.expected)
		}
		return true
	})
}

func BenchmarkTokenize(b *testing.B) {
	run := mustLoad(b, randomLog(1, 200000))
	sc := &Scene{Run: run, Cut: 190000, Reference: Reference{NewHistory(mustLoad(b, randomLog(2, 200000)))}}
	var views []*View
	sc.Views(func(v *View) bool { views = append(views, v); return true })
	b.ReportAllocs()
	for b.Loop() {
		for _, v := range views {
			Tokenize(v)
		}
	}
	b.ReportMetric(float64(run.Blocks.Len())*float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
}

// An object that was listed before tells which site a stack is of whose names have gone
// with their kernel module.
func TestScansWithoutNames(t *testing.T) {
	f := &fakeLog{stacks: ingest.NewStacks(), report: ingest.Report{Class: ingest.Snapshots}}
	stack := func(frame ingest.Frame) ingest.StackID {
		return f.stacks.Stack([]ingest.FrameID{f.stacks.Frame(frame)})
	}
	named, nameless, other := stack(ingest.Frame{Function: "probe", Module: "lab"}), stack(ingest.Frame{Address: 0xffff1}), stack(ingest.Frame{Address: 0xffff2})
	for i, o := range []struct {
		scan  int32
		addr  uint64
		stack ingest.StackID
	}{{0, 1, named}, {0, 2, named}, {1, 1, nameless}, {1, 3, nameless}, {1, 4, other}} {
		f.events = append(f.events, ingest.Event{Op: ingest.Outstanding, Seq: int64(i), Block: int64(i),
			Addr: o.addr, Size: 32, Count: 1, Stack: o.stack, Scan: o.scan, Loss: ingest.Unreferenced})
	}
	run := mustLoad(t, f)
	var got []uint32
	for i := range int32(run.Blocks.Len()) {
		got = append(got, run.Blocks.Site(i))
	}
	if want := []uint32{0, 0, 0, 1}; !slices.Equal(got, want) || run.Scans != 2 {
		t.Errorf("the objects are of the sites %v in %d scans, want %v in 2", got, run.Scans, want)
	}
}

// An object of a series of scans lives until the first scan that lacks it.
func TestScans(t *testing.T) {
	f := &fakeLog{stacks: ingest.NewStacks(), report: ingest.Report{Class: ingest.Snapshots}}
	s := f.stacks.Stack([]ingest.FrameID{f.stacks.Frame(ingest.Frame{Function: "probe"})})
	see := func(scan int32, addr uint64) {
		f.events = append(f.events, ingest.Event{Op: ingest.Outstanding, Seq: int64(len(f.events)), Block: int64(len(f.events)),
			Addr: addr, Size: 32, Count: 1, Stack: s, Scan: scan, Loss: ingest.Unreferenced})
	}
	for _, o := range [][2]uint64{{0, 1}, {0, 2}, {0, 3}, {1, 1}, {1, 3}, {2, 1}, {2, 4}} {
		see(int32(o[0]), o[1])
	}
	run := mustLoad(t, f)
	for _, c := range []struct {
		cut  uint32
		want []uint64
	}{{3, []uint64{1, 2, 3}}, {5, []uint64{1, 3}}, {7, []uint64{1, 4}}} {
		var got []uint64
		sc := &Scene{Run: run, Cut: c.cut}
		sc.Views(func(v *View) bool {
			for _, b := range v.Live {
				got = append(got, run.Blocks.Addr(b))
			}
			return true
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("after %d entries %v are live, want %v", c.cut, got, c.want)
		}
	}
	if b := run.Blocks.At(0); b.Scans != 3 || b.Died != Alive {
		t.Errorf("an object of all three scans has %d, died at %d", b.Scans, b.Died)
	}
	f.report.LastEmpty = true
	run = mustLoad(t, f)
	(&Scene{Run: run, Cut: run.Events}).Views(func(v *View) bool {
		t.Errorf("%d objects are live though the last scan shows none", len(v.Live))
		return false
	})
}
