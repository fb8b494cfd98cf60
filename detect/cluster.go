package detect

import (
	"cmp"
	"path"
	"slices"
	"strconv"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// Grouping puts sites together that are likely one leak: sites with the same
// function that allocates, whoever called it, from whichever of its lines, and
// however deep a recursion went.
//
// A function that many call allocates for others, as a wrapper of malloc or an
// insertion into a table does. There the caller counts too.
type Grouping struct {
	// Callers is how many different functions may call one that allocates for
	// itself; 0: 2.
	Callers int
	// Frames is how many frames at most tell groups apart; 0: 2.
	Frames int
}

func (g Grouping) withDefaults() Grouping {
	if g.Callers == 0 {
		g.Callers = 2
	}
	if g.Frames == 0 {
		g.Frames = 2
	}
	return g
}

// Groups returns for each of a run's sites the number of its group, from 0 in the
// order of their first sites.
func (g Grouping) Groups(sites []*tokenize.Site) []int {
	g = g.withDefaults()
	paths := make([][]string, len(sites))
	callers := map[string]map[string]bool{}
	for i, s := range sites {
		paths[i] = callPath(s, g.Frames+1)
		for n := 1; n < len(paths[i]); n++ {
			from, to := paths[i][n-1], paths[i][n]
			if callers[from] == nil {
				callers[from] = map[string]bool{}
			}
			callers[from][to] = true
		}
	}
	numbers := map[string]int{}
	out := make([]int, len(sites))
	for i, p := range paths {
		n := 1
		for n < min(g.Frames, len(p)) && len(callers[p[n-1]]) > g.Callers {
			n++
		}
		key := p[n-1]
		number, ok := numbers[key]
		if !ok {
			number = len(numbers)
			numbers[key] = number
		}
		out[i] = number
	}
	return out
}

// Group is the findings that are likely one leak: see [Grouping].
type Group struct {
	// Number counts the groups from 1, in the order of their first findings.
	Number int
	// Findings of the group, and the entries of the log that they mean: blocks,
	// or records of a report.
	Findings, Entries int
	// Outstanding and Leaked are those of the findings together.
	Outstanding, Leaked ingest.Amount
}

// intoGroups puts candidates into groups, in the order of their rank. All sites of the
// run take part, so that a group does not depend on what is listed. Entries of a
// report follow the first of their group: there it is the group that counts.
func intoGroups(run *tokenize.Run, ranked []*candidate) {
	sites := make([]*tokenize.Site, len(run.Sites))
	for i := range sites {
		sites[i] = &run.Sites[i]
	}
	numbers := Grouping{}.Groups(sites)
	groups := map[int]*Group{}
	for _, c := range ranked {
		n := numbers[c.view.Site]
		if groups[n] == nil {
			groups[n] = &Group{Number: len(groups) + 1}
		}
		c.group = groups[n]
		c.group.add(c)
	}
	if run.Class != ingest.Events {
		slices.SortStableFunc(ranked, func(a, b *candidate) int { return cmp.Compare(a.group.Number, b.group.Number) })
	}
}

func (g *Group) add(c *candidate) {
	run := c.view.Scene.Run
	g.Findings++
	g.Entries += len(c.blocks)
	g.Outstanding = plus(g.Outstanding, amount(run, c.view.Live))
	if c.leak {
		g.Leaked = plus(g.Leaked, amount(run, c.blocks))
	}
}

func plus(a, b ingest.Amount) ingest.Amount {
	return ingest.Amount{Blocks: a.Blocks + b.Blocks, Bytes: a.Bytes + b.Bytes}
}

// callPath is what the innermost frames of a site are called, at most so many. Each
// name has those of the frames inside it in front. Frames that have no code of
// their own and repetitions are left out. Sites without a caller stand for
// themselves.
func callPath(s *tokenize.Site, most int) (names []string) {
	if len(s.Frames) == 0 || ingest.IsAllocator(s.Frames[0]) {
		return []string{"\n" + s.Label}
	}
	last, inside := "", ""
	for i, f := range s.Frames {
		name := frameName(f)
		if f.Inlined && i+1 < len(s.Frames) || name == last {
			continue
		}
		last, inside = name, inside+name+"\n"
		if names = append(names, inside); len(names) == most {
			break
		}
	}
	return names
}

// frameName is a function's name, without its line or its place; where it has
// none, the place of the call.
func frameName(f ingest.Frame) string {
	if f.Function != "" {
		return f.Function
	}
	return path.Base(f.Module) + "+" + strconv.FormatUint(f.Address, 16)
}
