package tokenize

import (
	"testing"

	"leakformer/ingest"
)

// Blocks stay where they are while more come, and are joined, now and then.
func TestBlockList(t *testing.T) {
	var l blockList
	n := int32(0)
	for _, upTo := range []int32{0, 3, 3, 10, chunkBlocks + 5, 2*chunkBlocks + 5, 40 * chunkBlocks} {
		for ; n < upTo; n++ {
			if at := l.add(Block{Addr: uint64(n)}); at != n {
				t.Fatalf("block %d is at %d", n, at)
			}
			if n%1000 == 0 {
				l.at(n/2).Died++
			}
		}
		if k := l.len(); k != int(n) {
			t.Fatalf("%d blocks of %d", k, n)
		}
		all := l.join()
		if len(all) != int(n) {
			t.Fatalf("%d of %d blocks joined", len(all), n)
		}
		for i := range all {
			died := uint32(0)
			if i%500 == 0 && 2*int32(i) < n {
				died = 1
			}
			if b := &all[i]; b.Addr != uint64(i) || b.Died != died || *l.at(int32(i)) != *b {
				t.Fatalf("block %d is %+v", i, *b)
			}
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
			l.place(number, l.blocks.add(Block{Addr: uint64(number)}))
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
