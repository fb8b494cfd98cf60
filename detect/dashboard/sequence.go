package dashboard

import (
	"slices"

	"leakformer/detect"
	"leakformer/ingest"
)

// Sequence is the blocks of a site in order of birth: what it allocated and freed.
type Sequence struct {
	// Blocks and Freed count all of them, of which Shown has at most 60.
	Blocks int    `json:"blocks"`
	Freed  int    `json:"freed"`
	Shown  []Life `json:"shown"`
}

// Life is that of one block.
type Life struct {
	Born detect.Place `json:"born"`
	// Died is when it was freed, without the line; nil while it is outstanding.
	Died    *detect.Place `json:"died,omitempty"`
	Size    int64         `json:"size"`
	Address string        `json:"address"`
	Leaked  bool          `json:"leaked"`
}

// shownLives is how many blocks a sequence shows of those that are meant, and as many
// of the others.
const shownLives = 30

// newSequence is nil for logs that do not show events.
func newSequence(f *detect.Finding, cut int64) *Sequence {
	run := f.Run
	if run.Class != ingest.Events {
		return nil
	}
	h := &Sequence{}
	meant := map[int32]bool{}
	for _, i := range f.Blocks {
		meant[i] = true
	}
	var others []int32
	for _, i := range run.BySite[run.Blocks.Site(f.Blocks[0])] {
		if b := run.Blocks.At(i); int64(b.Born) < cut {
			h.Blocks++
			if int64(b.Died) < cut {
				h.Freed++
			}
			if !meant[i] {
				others = append(others, i)
			}
		}
	}
	shown := append(some(f.Blocks, shownLives), some(others, shownLives)...)
	slices.Sort(shown)
	for _, i := range shown {
		b := run.Blocks.At(i)
		l := Life{Born: detect.Place{Event: b.Born, Line: run.Blocks.Line(i), Time: run.Time(b.Born)}, Size: b.Size, Address: address(run.Blocks.Addr(i)), Leaked: f.Leak && meant[i]}
		if int64(b.Died) < cut {
			l.Died = &detect.Place{Event: b.Died, Time: run.Time(b.Died)}
		}
		h.Shown = append(h.Shown, l)
	}
	return h
}

// some is at most n of the blocks: the first, the last, and others evenly between.
func some(blocks []int32, n int) []int32 {
	if len(blocks) <= n {
		return slices.Clone(blocks)
	}
	out := make([]int32, n)
	for i := range out {
		out[i] = blocks[i*(len(blocks)-1)/(n-1)]
	}
	return out
}
