package eval

import (
	"context"
	"fmt"
	"slices"

	"leakformer/datasets"
	"leakformer/detect"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// Beside is other logs of the runs that are judged, or of runs that differ from them in
// one thing: another tool, another allocator, another length.
type Beside struct {
	// Name of the row in tables.
	Name string
	// Of returns the log beside a run; ok is false where there is none. A log without
	// labels tells of the very same run, block for block.
	Of func(l *datasets.LogLabels) (log Log, ok bool)
	// References opens the clean runs that these logs are compared with; none are
	// those of the runs that they stand beside.
	References []func() (ingest.Source, error)
}

// beside judges the log beside a run and compares.
func (m *robustness) beside(ctx context.Context, number int, labels *datasets.LogLabels, plain *altered, was *tokenize.Run, truth *Truth, before []*judgement) error {
	log, ok := m.cfg.Beside[number].Of(labels)
	if !ok {
		return nil
	}
	number += len(m.perturbations)
	a, run, err := load(ctx, log.Open, &Perturbation{})
	if err != nil {
		return err
	}
	same := log.Labels == nil
	var of *Truth
	switch {
	case same && run.Blocks.Len() != was.Blocks.Len():
		return fmt.Errorf("%s: %d blocks, and %s has %d: name the labels of what is another run", run.Name, run.Blocks.Len(), was.Name, was.Blocks.Len())
	case !same:
		if of, err = Match(run, log.Labels); err != nil {
			return err
		}
	}
	for k, share := range m.cuts(was) {
		scene := &tokenize.Scene{Run: run, Cut: detect.CutAt(run, share), Reference: tokenize.Choose(m.references[number], run)}
		var leaky map[int]bool
		if same {
			scene.Cut = sameMoment(was, before[k].scene.Cut, run)
			leaky = truth.at(was, before[k].scene.Cut, plain, run)
		} else {
			leaky = of.at(run, scene.Cut, a, run)
		}
		after, err := m.judge(ctx, scene, leaky)
		if err != nil {
			return err
		}
		sites := likeSites(was, run)
		if same {
			sites = plain.sameSites(was, run, before[k].scene.Cut)
		}
		for e := range m.cfg.Entrants {
			row := &m.rows[number*len(m.cfg.Entrants)+e]
			row.add(before[k], after, e, sites)
			row.Changed++
		}
	}
	return nil
}

// sameMoment is the cut of a run before which as many blocks were born and died as before
// a cut of another that has the same blocks.
func sameMoment(was *tokenize.Run, cut uint32, run *tokenize.Run) uint32 {
	if cut == was.Events {
		return run.Events
	}
	n, _ := slices.BinarySearch(happenings(was), cut)
	there := happenings(run)
	if n = min(n, len(there)); n == 0 {
		return 0
	}
	return there[n-1] + 1
}

// happenings are the events in which blocks are born and die.
func happenings(run *tokenize.Run) []uint32 {
	var at []uint32
	for _, b := range run.Blocks.All() {
		at = append(at, b.Born)
		if b.Died != tokenize.Alive {
			at = append(at, b.Died)
		}
	}
	slices.Sort(at)
	return at
}

// likeSites lists for each site of a run the one of another run that has its call stack.
func likeSites(was, run *tokenize.Run) map[int]map[int]bool {
	there := map[tokenize.Key]int{}
	for i := range run.Sites {
		there[run.Sites[i].Exact] = i
	}
	like := map[int]map[int]bool{}
	for i := range was.Sites {
		if j, ok := there[was.Sites[i].Exact]; ok {
			like[i] = map[int]bool{j: true}
		}
	}
	return like
}
