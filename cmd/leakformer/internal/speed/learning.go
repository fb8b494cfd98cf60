package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"leakformer/cmd/leakformer/internal/learn"
	"leakformer/datasets"
	"leakformer/ingest/columnar"
	"leakformer/model"
	"leakformer/model/torch"
	"leakformer/tokenize"
	"leakformer/train"
)

// What learns from runs is compared by how long it takes to judge the sites of runs
// held out as well as scikit-learn's trees do.

//go:embed trees.py
var treesPy string

// seed of all that is drawn: that the same sites are held out.
const seed = 1

// learning compares scikit-learn's trees with ours and with the network.
func (m *measurer) learning() error {
	ours := &trees{}
	our, err := m.alone(ours)
	if err != nil {
		return err
	}
	side, err := m.side(m.python, "-c", treesPy)
	if err != nil {
		return err
	}
	defer side.close()
	answers, err := m.askTrees(side, ours)
	if err != nil {
		return err
	}
	their, err := m.alone(answers)
	if err != nil {
		return err
	}
	grow := func() (c cost, err error) {
		begun := stopwatch()
		_, err = model.FitForest(m.ctx, ours.events(), model.TreesConfig{})
		return begun(), err
	}
	grown, fitted, err := m.rounds(1, grow, side.task("fit "+m.file("cases")))
	if err != nil {
		return err
	}
	r := compared("grow boosted trees, beside scikit-learn's", "s", grown, fitted, clock, 1)
	r.Note = fmt.Sprintf("%d sites; F1 on those held out %.3f, theirs %.3f", len(ours.events()), our.F1, their.F1)
	m.add("learning", r)
	fit := cost{clock: each(fitted, clock).Median, processor: each(fitted, processor).Median}
	return m.reach(their.F1, cost{clock: ours.drawn.clock + fit.clock, processor: ours.drawn.processor + fit.processor})
}

// alone is how well somebody judges who learned from the corpus.
func (m *measurer) alone(s train.Second) (train.Judgement, error) {
	data, err := m.runs()
	if err != nil {
		return train.Judgement{}, err
	}
	res, err := train.Alone(m.ctx, train.Config{Seed: seed}, data, s)
	if err != nil {
		return train.Judgement{}, err
	}
	return res.Best, nil
}

// trees are ours. They keep what they learned from and were asked.
type trees struct {
	features model.Features
	cases    map[tokenize.Kind][]model.TreeExample
	drawn    cost // of the cases
	asked    [][]float64
	grown    *model.Trees
}

// Learn implements [train.Second].
func (t *trees) Learn(ctx context.Context, cases func(func(train.Case) error) error) (err error) {
	begun := stopwatch()
	if t.cases, err = learn.ForTrees(cases, nil); err != nil {
		return err
	}
	t.drawn = begun()
	t.grown, err = model.FitTrees(ctx, t.cases, model.TreesConfig{})
	return err
}

// events are the cases of logs of events, which are compared.
func (t *trees) events() []model.TreeExample { return t.cases[tokenize.KindEvents] }

// Logit implements [train.Second].
func (t *trees) Logit(v *tokenize.View) float64 {
	// Of snapshots there are more features, behind the others.
	t.asked = append(t.asked, t.features.Of(v)[:len(model.FeatureNames(tokenize.KindEvents))])
	return t.grown.Logit(v)
}

// answers are what somebody else says to the questions that [trees] were asked.
type answers struct{ next []float64 }

// Learn implements [train.Second].
func (*answers) Learn(context.Context, func(func(train.Case) error) error) error { return nil }

// Logit implements [train.Second].
func (a *answers) Logit(*tokenize.View) (z float64) {
	z, a.next = a.next[0], a.next[1:]
	return z
}

// stopwatch returns what tells the cost since.
func stopwatch() func() cost {
	start, busy := time.Now(), processorTime()
	return func() cost {
		return cost{clock: time.Since(start).Seconds(), processor: (processorTime() - busy).Seconds()}
	}
}

// reach trains the network from random weights until it judges the same sites as well
// as the trees, which took theirs with the drawing of the sites and their figures.
func (m *measurer) reach(goal float64, theirs cost) error {
	data, err := m.runs()
	if err != nil {
		return err
	}
	base, err := model.Default()
	if err != nil {
		return err
	}
	net, err := torch.New(base.Manifest.Architecture, torch.Options{Seed: seed, Clip: 1, WeightDecay: 0.01})
	if err != nil {
		return err
	}
	defer net.Close()
	ctx, stop := context.WithCancel(m.ctx)
	defer stop()
	var last train.Progress
	var took cost
	begun := stopwatch()
	cfg := train.Config{Seed: seed, Steps: 1000, ValidateEvery: 50, Patience: 1000}
	_, err = train.Run(ctx, cfg, data, net, func(p train.Progress) {
		if p.Judgement == nil || ctx.Err() != nil {
			return
		}
		if last, took = p, begun(); p.Judgement.F1 >= goal {
			stop()
		}
	})
	if err != nil && (m.ctx.Err() != nil || !errors.Is(err, context.Canceled)) {
		return err
	}
	r := compared("train the network until it is as good as those trees", "s", []cost{took}, []cost{theirs}, clock, 1)
	r.Note = fmt.Sprintf("F1 %.3f after %d steps, theirs %.3f", last.Judgement.F1, last.Step, goal)
	m.add("learning", r)
	return nil
}

// askTrees has the other side grow trees on the same cases, and asks them the same.
func (m *measurer) askTrees(side *side, ours *trees) (*answers, error) {
	asked := make([]model.TreeExample, len(ours.asked))
	for i, x := range ours.asked {
		asked[i] = model.TreeExample{Features: x}
	}
	for name, examples := range map[string][]model.TreeExample{"cases": ours.events(), "asked": asked} {
		if err := writeTable(m.file(name), examples); err != nil {
			return nil, err
		}
	}
	if _, err := side.do("fit %s", m.file("cases")); err != nil {
		return nil, err
	}
	if _, err := side.do("predict %s %s", m.file("asked"), m.file("answers")); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(m.file("answers"))
	if err != nil {
		return nil, err
	}
	a := &answers{make([]float64, len(asked))}
	_, err = binary.Decode(text, binary.LittleEndian, a.next)
	return a, err
}

// writeTable writes examples as trees.py reads them.
func writeTable(path string, examples []model.TreeExample) error {
	rows := []float64{float64(2 + len(examples[0].Features))}
	for _, e := range examples {
		leak := 0.0
		if e.Leak {
			leak = 1
		}
		rows = append(append(rows, leak, e.Weight), e.Features...)
	}
	b, err := binary.Append(nil, binary.LittleEndian, rows)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// runs reads those of the corpus anew, with their labels: who learns changes them.
func (m *measurer) runs() (data train.Data, err error) {
	paths, err := filepath.Glob(filepath.Join(m.corpus, "*", "labels.json"))
	if err != nil || len(paths) == 0 {
		return data, cmp.Or(err, fmt.Errorf("no labels in %s", m.corpus))
	}
	for _, path := range paths {
		labels, dir, err := datasets.Open(path)
		if err != nil {
			return data, err
		}
		for i := range labels.Logs {
			if err := m.learnFrom(&data, filepath.Join(dir, labels.Logs[i].Log), &labels.Logs[i]); err != nil {
				return data, err
			}
		}
	}
	return data, nil
}

// learnFrom adds the run in a file to the data.
func (m *measurer) learnFrom(data *train.Data, path string, l *datasets.LogLabels) error {
	src, err := columnar.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	run, err := tokenize.Load(m.ctx, src)
	if err != nil {
		return err
	}
	_, err = learn.Add(data, run, l)
	return err
}
