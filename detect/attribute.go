package detect

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"leakformer/tokenize"
)

// An Explainer is a [Scorer] that also judges what is left of a site's sequence
// when parts of it are taken away.
type Explainer interface {
	// LogOdds returns for each sequence the log of p/(1-p), where p is the
	// probability that its site leaks. Sequence i is what is left of that of
	// views[i]; what a scorer sees in the view itself stays as it is. Neither is
	// changed or kept. It is called by one goroutine at a time.
	LogOdds(ctx context.Context, views []*tokenize.View, seqs []*tokenize.Sequence) ([]float64, error)
}

// An Effect says how much a verdict rests on one thing that the scorer read: what
// it would be without it. Things that say the same stand in for each other, so
// that effects do not add up.
type Effect struct {
	// What was taken away, in words.
	What string `json:"what"`
	// Block is where the block was allocated, if it is a single one.
	Block *Place `json:"block,omitempty"`
	// Effect is by how much the log-odds of a leak were lower without it; negative
	// where it spoke against a leak.
	Effect float64 `json:"effect"`
	// Without is the probability without it.
	Without float64 `json:"probability_without"`
	// Parts are the single things that have the largest effects by themselves.
	Parts []Effect `json:"parts,omitempty"`
}

// maxParts is how many parts of an effect are kept.
const maxParts = 8

// attribute finds out what the verdict on a site rests on, largest effect first; alone is
// its scene without the clean runs. It is nil where the log itself says that blocks are
// lost: the verdict is the log's.
//
// Note: attention weights would cost nothing, but say what was looked at, not what
// it changed.
func attribute(ctx context.Context, e Explainer, c *candidate, alone *tokenize.Scene) ([]Effect, error) {
	if slices.ContainsFunc(c.view.Live, c.view.Scene.Lost) {
		return nil, nil
	}
	seq := tokenize.Tokenize(c.view)
	groups := c.groups(seq, alone)
	views, seqs := []*tokenize.View{c.view}, []*tokenize.Sequence{seq}
	for _, g := range groups {
		views, seqs = append(views, g.view), append(seqs, g.without)
		// Of single parts the view stays whole: to go through a site's blocks for each
		// of them would take long, and changes little.
		for _, pos := range g.positions {
			views, seqs = append(views, c.view), append(seqs, seq.Without(pos))
		}
	}
	odds, err := e.LogOdds(ctx, views, seqs)
	if err != nil {
		return nil, fmt.Errorf("explaining %s: %w", c.view.Scene.Run.Name, err)
	}
	if len(odds) != len(seqs) {
		return nil, fmt.Errorf("the scorer judged %d sequences, not %d", len(odds), len(seqs))
	}
	all, rest := odds[0], odds[1:]
	out := make([]Effect, 0, len(groups))
	for _, g := range groups {
		whole, parts := newEffect(g.what, all, rest[0]), rest[1:][:len(g.positions)]
		rest = rest[1+len(g.positions):]
		if whole.Effect == 0 {
			continue // the scorer did not look at it
		}
		for i, pos := range g.positions {
			part := newEffect(g.names[i], all, parts[i])
			if part.Effect == 0 {
				continue
			}
			if b := seq.Blocks[pos]; b >= 0 {
				at := place(c.view.Scene.Run, b)
				part.Block = &at
			}
			whole.Parts = append(whole.Parts, part)
		}
		slices.SortStableFunc(whole.Parts, func(a, b Effect) int { return cmp.Compare(math.Abs(b.Effect), math.Abs(a.Effect)) })
		whole.Parts = whole.Parts[:min(len(whole.Parts), maxParts)]
		out = append(out, whole)
	}
	slices.SortStableFunc(out, func(a, b Effect) int { return cmp.Compare(b.Effect, a.Effect) })
	return out, nil
}

func newEffect(what string, all, without float64) Effect {
	return Effect{What: what, Effect: all - without, Without: 1 / (1 + math.Exp(-without))}
}

// group is something that a sequence tells at one or more positions.
type group struct {
	what string
	// blocks are those of the site that it is, nil where it is something else.
	blocks func(block int32) bool
	// without is the sequence that does not tell it, and view the site without it.
	without *tokenize.Sequence
	view    *tokenize.View
	// positions that are worth a look one by one, and their names.
	positions []int
	names     []string
}

// theSnapshots are those before the last one: without them a site was always as it is.
const theSnapshots = "the snapshots"

// groups are the things that the sequence of a site tells.
func (c *candidate) groups(seq *tokenize.Sequence, alone *tokenize.Scene) []group {
	named := map[string]int{}
	var out []group
	add := func(what, name string, pos int, blocks func(int32) bool) {
		i, ok := named[what]
		if !ok {
			i = len(out)
			named[what] = i
			out = append(out, group{what: what, blocks: blocks})
		}
		out[i].positions, out[i].names = append(out[i].positions, pos), append(out[i].names, name)
	}
	meant := func(b int32) bool { _, found := slices.BinarySearch(c.blocks, b); return found }
	freed := func(b int32) bool { return !c.view.Scene.Live(b) }
	others := func(b int32) bool { return !freed(b) && !meant(b) }
	ages, frames := 0, 0
	for pos := range seq.Len() {
		switch part := seq.Part(pos); part {
		case tokenize.Totals:
			add("its totals", "", pos, nil)
		case tokenize.Frame:
			add("its call stack", c.view.Scene.Run.Sites[c.view.Site].Frames[frames].Function, pos, nil)
			frames++
		case tokenize.Age:
			add("the number of old blocks", fmt.Sprintf("blocks %d or more events old", tokenize.AgeAt(ages)), pos, nil)
			ages++
		case tokenize.FreedBlock:
			add("the freed blocks", "freed block", pos, freed)
		case tokenize.LiveBlock, tokenize.Entry:
			switch b := seq.Blocks[pos]; {
			case freed(b):
				add("the vanished objects", "vanished object", pos, freed)
			case meant(b):
				add("the leaked blocks", "leaked block", pos, meant)
			default:
				add("the other outstanding blocks", "outstanding block", pos, others)
			}
		case tokenize.Look:
			add(theSnapshots, "snapshot", pos, nil)
		}
	}
	for i := range out {
		g := &out[i]
		g.without, g.view = seq.Without(g.positions...), c.view
		switch {
		case g.blocks != nil:
			g.view = c.view.Without(g.blocks)
		case g.what == theSnapshots:
			g.view = c.view.Steady()
		}
		if len(g.positions) == 1 {
			g.positions, g.names = nil, nil
		}
	}
	if c.view.Scene.Reference.Runs() > 0 {
		v := alone.View(c.view.Site)
		out = append(out, group{what: "the clean runs", view: v, without: tokenize.Tokenize(v)})
	}
	return out
}
