package tokenize

import (
	"math/rand/v2"
	"testing"

	"leakformer/ingest"
)

// Blocks are what was added, whatever came after them, and what they were set to.
func TestBlocks(t *testing.T) {
	var l Blocks
	rng := rand.New(rand.NewPCG(1, 2))
	type entry struct {
		Block
		addr uint64
		line uint32
	}
	var want []entry
	for range 2*chunkLen + 5 {
		born := uint32(3 * len(want))
		e := entry{Block{Size: rng.Int64N(3) << (20 * rng.IntN(3)), Born: born, Died: Alive, Site: rng.Uint32N(5), Count: 1, Scans: 1},
			rng.Uint64() >> (8 * rng.IntN(9)), max(2*born, 1)}
		if at := l.Add(e.Block, e.addr, e.line); int(at) != len(want) {
			t.Fatalf("block %d is at %d", len(want), at)
		}
		want = append(want, e)
		i := rng.IntN(len(want))
		switch b := &want[i]; rng.IntN(3) {
		case 0:
			b.Died = born
			l.Die(int32(i), born)
		case 1:
			b.Size, b.Site, b.Count, b.Loss, b.Scans = b.Size+1, 7, b.Count+1, ingest.Possible, b.Scans+1
			l.Set(int32(i), b.Block)
		}
	}
	c := l.Altered(func(site uint32, size int64) (uint32, int64) { return site, size })
	for i := range want {
		l.Die(int32(i), 1) // The copy is of before.
	}
	if l.Len() != len(want) || c.Len() != len(want) {
		t.Fatalf("%d blocks, and %d copied, of %d", l.Len(), c.Len(), len(want))
	}
	for i, b := range c.All() {
		if w := want[i]; b != w.Block || c.Addr(i) != w.addr || c.Line(i) != w.line {
			t.Fatalf("block %d is %+v at %x on line %d, want %+v", i, b, c.Addr(i), c.Line(i), w)
		}
		one := Block{c.Size(i), c.Born(i), c.Died(i), c.Site(i), c.Count(i), c.Loss(i), c.Scans(i)}
		if b != one {
			t.Fatalf("block %d is %+v, its fields are %+v", i, b, one)
		}
	}
}

// Blocks that are alike share what they have in common, and one that is changed does
// so once.
func TestBlocksShare(t *testing.T) {
	var l Blocks
	for i := range uint32(1000) {
		l.Add(Block{Size: int64(i % 10), Site: i % 5, Born: i, Died: Alive, Count: 1, Scans: 1}, 0, i+1)
	}
	if n := l.traits.len(); n != 10 {
		t.Errorf("%d traits of blocks of 10 kinds", n)
	}
	for i := range uint8(100) {
		b := l.At(3)
		b.Scans = i
		l.Set(3, b)
	}
	if n := l.traits.len(); n != 11 || l.Scans(3) != 99 || l.Scans(13) != 1 {
		t.Errorf("%d traits, block 3 in %d scans and its like in %d", n, l.Scans(3), l.Scans(13))
	}
}

// Blocks that share nothing do not have what finds what they share grow without end.
func TestBlocksShareNothing(t *testing.T) {
	var l Blocks
	const n = maxTraits + 1000
	for i := range int64(n) {
		l.Add(Block{Size: i}, 0, 0)
	}
	if k := len(l.byTraits); k > maxTraits || l.Len() != n {
		t.Errorf("%d of %d traits can be found", k, n)
	}
	for i, b := range l.All() {
		if b.Size != int64(i) {
			t.Fatalf("block %d is %+v", i, b)
		}
	}
}

// A free finds its block whether or not blocks stand at their own numbers.
func TestNumbers(t *testing.T) {
	for name, numbers := range map[string][]int64{
		"own":        {0, 1, 2, 3},
		"with gaps":  {0, 1, 4, 5, 9},
		"from later": {2, 3},
	} {
		l := loader{run: &Run{}}
		for i, number := range numbers {
			l.place(number, l.run.Blocks.Add(Block{}, 0, 0))
			if at := l.find(number); at != int32(i) {
				t.Errorf("%s: block %d is at %d, want %d", name, number, at, i)
			}
		}
		for i, number := range numbers {
			if at := l.find(number); at != int32(i) {
				t.Errorf("%s: block %d is at %d in the end, want %d", name, number, at, i)
			}
		}
		if at := max(l.find(-1), l.find(numbers[len(numbers)-1]+1)); at != -1 {
			t.Errorf("%s: a block that is not there is at %d", name, at)
		}
	}
}

// BenchmarkLoad is what a Run costs once its events are there.
func BenchmarkLoad(b *testing.B) {
	const n = 1 << 20
	stacks := ingest.NewStacks()
	s := stacks.Stack([]ingest.FrameID{stacks.Frame(ingest.Frame{Function: "f"})})
	f := &fakeLog{stacks: stacks, report: ingest.Report{Class: ingest.Events}}
	for i := range int64(n) {
		f.events = append(f.events, ingest.Event{Op: ingest.Alloc, Seq: 2 * i, Block: i, Size: 8, Count: 1, Stack: s},
			ingest.Event{Op: ingest.Free, Seq: 2*i + 1, Block: i, Size: 8, Count: 1, Stack: s})
	}
	b.ReportAllocs()
	for b.Loop() {
		mustLoad(b, f)
	}
	b.ReportMetric(2*n*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
