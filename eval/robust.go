package eval

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"leakformer/datasets"
	"leakformer/detect"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// Log is a labelled log that can be opened again and again.
type Log struct {
	Open   func() (ingest.Source, error)
	Labels *datasets.LogLabels
}

// Robustness says how what a scorer says changes with a perturbation.
type Robustness struct {
	Perturbation string `json:"perturbation"`
	Scorer       string `json:"scorer"`
	// Runs, each counted at every cut; Changed are those whose log looks other
	// than before. Where it does not, nothing can change.
	Runs    int64 `json:"runs"`
	Changed int64 `json:"changed"`
	// Before and After count sites.
	Before Confusion `json:"before"`
	After  Confusion `json:"after"`
	// Flagged are the sites that were flagged before or after, of those that have
	// outstanding blocks both times and leak both times or neither; Flipped those
	// flagged but once. A site that leaks no more, as its leaked blocks were not seen,
	// or does now, as it cannot be told from another, is to be judged otherwise.
	Flagged int64 `json:"flagged"`
	Flipped int64 `json:"flipped"`
	// Verdicts are the runs whose verdict changed between leaky and not.
	Verdicts int64 `json:"verdicts_flipped"`
}

// RobustnessConfig says what is judged.
type RobustnessConfig struct {
	// Entrants judge the runs; none is an error.
	Entrants []Entrant
	// Beside is other logs of the runs, judged beside the perturbations.
	Beside []Beside
	// Cuts are the shares of its events after which each run is looked at; nil is
	// 0.9 alone.
	Cuts []float64
	// References opens the clean runs that all runs are compared with, and
	// Histories are some that cannot be perturbed, such as those that a model
	// has learned. Of both those are chosen that fit a run.
	References []func() (ingest.Source, error)
	Histories  []*tokenize.History
}

// MeasureRobustness lets entrants judge event logs as they are and as each of the
// [Perturbations] shows them; reports as those that are for them do. Series of
// snapshots are passed over.
func MeasureRobustness(ctx context.Context, logs iter.Seq2[Log, error], cfg RobustnessConfig) ([]Robustness, error) {
	if len(cfg.Entrants) == 0 {
		return nil, errors.New("nothing to compare: name a model or a rule")
	}
	if cfg.Cuts == nil {
		cfg.Cuts = []float64{0.9}
	}
	m := &robustness{cfg: cfg, perturbations: Perturbations()}
	for i := range m.perturbations {
		p := &m.perturbations[i]
		h, err := m.histories(ctx, p)
		if err != nil {
			return nil, err
		}
		m.begin(p.Name, h)
	}
	for _, b := range cfg.Beside {
		h := m.references[0]
		if b.References != nil {
			var err error
			if h, err = measured(ctx, b.References, &Perturbation{}); err != nil {
				return nil, err
			}
		}
		m.begin(b.Name, h)
	}
	for log, err := range logs {
		if err == nil {
			err = m.add(ctx, log)
		}
		if err != nil {
			return nil, err
		}
	}
	rows := slices.DeleteFunc(m.rows, func(r Robustness) bool { return r.Before == Confusion{} })
	if len(rows) == 0 {
		return nil, errors.New("no log to perturb: of a series of snapshots nothing can be taken away")
	}
	return rows, nil
}

// robustness is a measurement in progress; rows are by perturbation, or by what stands
// beside, and entrant.
type robustness struct {
	cfg           RobustnessConfig
	perturbations []Perturbation
	references    [][]*tokenize.History
	rows          []Robustness
}

// begin adds the rows of a perturbation.
func (m *robustness) begin(name string, references []*tokenize.History) {
	for _, e := range m.cfg.Entrants {
		m.rows = append(m.rows, Robustness{Perturbation: name, Scorer: e.Name})
	}
	m.references = append(m.references, references)
}

// histories measures the clean runs as a perturbation shows them.
func (m *robustness) histories(ctx context.Context, p *Perturbation) ([]*tokenize.History, error) {
	if p.RunOnly || p.alter == nil {
		p = &Perturbation{}
		if len(m.references) > 0 {
			return m.references[0], nil // the first perturbation changes no events
		}
	}
	hs, err := measured(ctx, m.cfg.References, p)
	return slices.Concat(m.cfg.Histories, hs), err
}

// measured are the histories of clean runs as a perturbation shows them.
func measured(ctx context.Context, references []func() (ingest.Source, error), p *Perturbation) (hs []*tokenize.History, err error) {
	for _, open := range references {
		_, run, err := load(ctx, open, p)
		if err != nil {
			return nil, fmt.Errorf("reference: %w", err)
		}
		hs = append(hs, tokenize.NewHistory(run))
	}
	return hs, nil
}

func load(ctx context.Context, open func() (ingest.Source, error), p *Perturbation) (*altered, *tokenize.Run, error) {
	src, err := open()
	if err != nil {
		return nil, nil, err
	}
	a := p.apply(src)
	run, err := tokenize.Load(ctx, a)
	return a, run, errors.Join(err, src.Close())
}

func (m *robustness) add(ctx context.Context, log Log) error {
	plain, run, err := load(ctx, log.Open, &Perturbation{})
	if err != nil || run.Class == ingest.Snapshots {
		return err
	}
	truth, err := Match(run, log.Labels)
	if err != nil {
		return err
	}
	var before []*judgement
	for _, cut := range m.cuts(run) {
		scene := &tokenize.Scene{Run: run, Cut: detect.CutAt(run, cut), Reference: tokenize.Choose(m.references[0], run)}
		j, err := m.judge(ctx, scene, truth.at(run, scene.Cut, plain, run))
		if err != nil {
			return err
		}
		before = append(before, j)
	}
	for i, p := range m.perturbations {
		if run.Class != ingest.Events && !p.Reports {
			continue
		}
		if err := m.perturb(ctx, log, i, run, truth, before); err != nil {
			return fmt.Errorf("%s: %w", m.perturbations[i].Name, err)
		}
	}
	for i := range m.cfg.Beside {
		if err := m.beside(ctx, i, log.Labels, plain, run, truth, before); err != nil {
			return fmt.Errorf("%s: %w", m.cfg.Beside[i].Name, err)
		}
	}
	return nil
}

// cuts are the moments at which a run is looked at: a report has but one.
func (m *robustness) cuts(run *tokenize.Run) []float64 {
	if run.Class != ingest.Events {
		return []float64{1}
	}
	return m.cfg.Cuts
}

// perturb judges a log as a perturbation shows it and compares.
func (m *robustness) perturb(ctx context.Context, log Log, number int, was *tokenize.Run, truth *Truth, before []*judgement) error {
	p := &m.perturbations[number]
	a, run, err := load(ctx, log.Open, p)
	if err != nil {
		return err
	}
	for k, share := range m.cuts(was) {
		cut := detect.CutAt(was, share)
		cut -= uint32(p.Earlier * float64(cut))
		scene := &tokenize.Scene{Run: run, Cut: a.until(cut), Reference: tokenize.Choose(m.references[number], run)}
		after, err := m.judge(ctx, scene, truth.at(was, cut, a, run))
		if err != nil {
			return err
		}
		same := a.sameSites(was, run, before[k].scene.Cut)
		for e := range m.cfg.Entrants {
			row := &m.rows[number*len(m.cfg.Entrants)+e]
			row.add(before[k], after, e, same)
			if a.changed || p.Earlier > 0 {
				row.Changed++
			}
		}
	}
	return nil
}

// at is the sites of a run with a block that is leaked at a cut of the run as it
// was, by their index.
func (t *Truth) at(was *tokenize.Run, cut uint32, a *altered, run *tokenize.Run) map[int]bool {
	leaky := map[int]bool{}
	scene := &tokenize.Scene{Run: was, Cut: cut}
	for i := range t.since {
		if t.Leaked(i, cut) && scene.Live(i) && a.blocks[i] >= 0 {
			leaky[int(run.Blocks.Site(int32(a.blocks[i])))] = true
		}
	}
	for site := range t.sites {
		for _, i := range was.BySite[site] {
			if scene.Live(i) && a.blocks[i] >= 0 {
				leaky[int(run.Blocks.Site(int32(a.blocks[i])))] = true
			}
		}
	}
	return leaky
}

// sameSites lists for each site of the run as it was those that its blocks have now.
func (a *altered) sameSites(was, run *tokenize.Run, cut uint32) map[int]map[int]bool {
	same := map[int]map[int]bool{}
	for i, b := range was.Blocks.All() {
		if b.Born >= cut || a.blocks[i] < 0 {
			continue
		}
		if same[int(b.Site)] == nil {
			same[int(b.Site)] = map[int]bool{}
		}
		same[int(b.Site)][int(run.Blocks.Site(int32(a.blocks[i])))] = true
	}
	return same
}

// judgement is what the entrants say of a scene. By site: leaky is the truth, and
// flagged, by entrant, says what each site with outstanding blocks was called.
type judgement struct {
	scene   *tokenize.Scene
	leaky   map[int]bool
	flagged []map[int]bool
}

func (m *robustness) judge(ctx context.Context, scene *tokenize.Scene, leaky map[int]bool) (*judgement, error) {
	j := &judgement{scene: scene, leaky: leaky}
	for _, e := range m.cfg.Entrants {
		flagged := map[int]bool{}
		j.flagged = append(j.flagged, flagged)
		if a, ok := e.Scorer.(interface{ Applies(*tokenize.Scene) bool }); ok && !a.Applies(scene) {
			continue
		}
		err := detect.Each(ctx, e.Scorer, scene, func(v *tokenize.View, p float64, _ []float64) error {
			flagged[v.Site] = p >= e.threshold(v.Scene)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return j, nil
}

// confusion counts the sites, and tells whether any is flagged.
func (j *judgement) confusion(entrant int) (c Confusion, any bool) {
	for site, flagged := range j.flagged[entrant] {
		c.count(flagged, j.leaky[site], 1)
		any = any || flagged
	}
	return c, any
}

// add compares what an entrant says of a run before and after.
func (r *Robustness) add(before, after *judgement, entrant int, same map[int]map[int]bool) {
	was, leakedBefore := before.confusion(entrant)
	is, leakedAfter := after.confusion(entrant)
	r.Runs++
	r.Before.add(was, 1)
	r.After.add(is, 1)
	if leakedBefore != leakedAfter {
		r.Verdicts++
	}
	for site, flagged := range before.flagged[entrant] {
		there, again, leaks := false, false, false
		for now := range same[site] {
			f, outstanding := after.flagged[entrant][now]
			there, again, leaks = there || outstanding, again || f, leaks || after.leaky[now]
		}
		if !there || leaks != before.leaky[site] || !flagged && !again {
			continue
		}
		r.Flagged++
		if flagged != again {
			r.Flipped++
		}
	}
}
