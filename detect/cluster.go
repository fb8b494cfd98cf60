package detect

import (
	"path"
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
