package tokenize

import (
	"slices"
	"testing"

	"leakformer/ingest"
)

// A sequence without some positions has the others, and can be read as before.
func TestWithout(t *testing.T) {
	run := mustLoad(t, randomLog(3, 3000))
	scene := &Scene{Run: run, Cut: run.Events}
	scene.Views(func(v *View) bool {
		seq := Tokenize(v)
		count := map[Part]int{}
		last := Totals
		for pos := range seq.Len() {
			part := seq.Part(pos)
			count[part]++
			if part < last && part < LiveBlock || (part == LiveBlock) != seq.Live[pos] || (part == FreedBlock) != (seq.Blocks[pos] >= 0 && !seq.Live[pos]) {
				t.Errorf("position %d is part %d after %d, live %v", pos, part, last, seq.Live[pos])
			}
			last = part
		}
		if count[Totals] != 1 || count[CleanRuns] != 1 || count[Frame] != 1 || count[Age] != 4 || count[Entry]+count[Look] > 0 {
			t.Errorf("parts %v", count)
		}
		if same := seq.Without(); !slices.Equal(same.Tokens, seq.Tokens) || same.Len() != seq.Len() {
			t.Error("a sequence without nothing is another")
		}
		less := seq.Without(0, 2, seq.Len()-1)
		n := less.Len()
		if n != seq.Len()-2 || len(less.Tokens) != n*Fields || len(less.Places) != n || len(less.Times) != n || len(less.Live) != n {
			t.Fatalf("%d positions of %d, %d ids", n, seq.Len(), len(less.Tokens))
		}
		if less.Part(0) != Totals || less.Tokens[1] != seq.Tokens[1] || slices.Max(less.Tokens[2:Fields]) != 0 || seq.Tokens[2] == 0 {
			t.Errorf("position 0 keeps %v of %v", less.Tokens[:Fields], seq.Tokens[:Fields])
		}
		if !slices.Equal(less.Tokens[Fields:2*Fields], seq.Tokens[Fields:2*Fields]) || !slices.Equal(less.Tokens[2*Fields:], seq.Tokens[3*Fields:(seq.Len()-1)*Fields]) {
			t.Error("other positions changed")
		}
		return true
	})
}

func TestPartOfReports(t *testing.T) {
	f := &fakeLog{stacks: ingest.NewStacks(), report: ingest.Report{Class: ingest.EndReport}}
	stack := f.stacks.Stack([]ingest.FrameID{f.stacks.Frame(ingest.Frame{Function: "f"})})
	for l := ingest.NotJudged; l <= ingest.Unreferenced; l++ {
		f.events = append(f.events, ingest.Event{Op: ingest.Outstanding, Seq: int64(l), Block: int64(l), Loss: l, Size: 8, Count: 1, Stack: stack})
	}
	run := mustLoad(t, f)
	seq := Tokenize((&Scene{Run: run, Cut: run.Events}).View(0))
	for pos := 3; pos < seq.Len(); pos++ {
		if seq.Part(pos) != Entry {
			t.Errorf("position %d is part %d", pos, seq.Part(pos))
		}
	}
	if seq.Len() != 9 {
		t.Errorf("%d positions", seq.Len())
	}
}
