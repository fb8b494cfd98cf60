// Package detect says which allocation sites of a run leak, and why.
//
// A [Detector] looks at each site that has outstanding blocks, has a [Scorer]
// judge it, and hands [Finding] messages and one [Summary] to a [Handler]. Score
// and threshold are different things: the scorer knows nothing of the threshold,
// and every finding carries its probability.
package detect

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// A Scorer judges allocation sites.
type Scorer interface {
	// Score returns for each view the probability, 0 to 1, that its site leaks,
	// and for each of the site's outstanding blocks, in the order of View.Live,
	// the probability that it is leaked; more is more suspicious. blocks, or
	// blocks[i], is nil where the scorer judges sites alone. Every view has at
	// least one live block. The scorer neither changes nor keeps the views, and
	// does not keep what it returned. It is called by one goroutine at a time.
	Score(ctx context.Context, views []*tokenize.View) (sites []float64, blocks [][]float64, err error)
}

// chunk is how many views are given to a scorer at once: enough to fill its
// batches, and few enough to bound what it needs of memory.
const chunk = 1024

// Each scores all sites of a scene that have outstanding blocks, in the order of
// the run's sites, a bounded number at a time, and calls f for each. blocks is nil
// or in the order of v.Live, and valid until f returns. It checks what the scorer
// returns.
func Each(ctx context.Context, s Scorer, scene *tokenize.Scene, f func(v *tokenize.View, site float64, blocks []float64) error) error {
	var views []*tokenize.View
	var err error
	flush := func() bool {
		if err = ctx.Err(); err == nil {
			err = score(ctx, s, views, f)
		}
		views = views[:0]
		return err == nil
	}
	scene.Views(func(v *tokenize.View) bool {
		views = append(views, v)
		return len(views) < chunk || flush()
	})
	if err == nil && len(views) > 0 {
		flush()
	}
	return err
}

func score(ctx context.Context, s Scorer, views []*tokenize.View, f func(*tokenize.View, float64, []float64) error) error {
	sites, blocks, err := s.Score(ctx, views)
	if err != nil {
		return fmt.Errorf("scoring %s: %w", views[0].Scene.Run.Name, err)
	}
	if len(sites) != len(views) || blocks != nil && len(blocks) != len(views) {
		return fmt.Errorf("the scorer judged %d sites and the blocks of %d, not %d", len(sites), len(blocks), len(views))
	}
	for i, v := range views {
		if p := sites[i]; !(p >= 0 && p <= 1) {
			return fmt.Errorf("the scorer gave site %q the probability %v", v.Scene.Run.Sites[v.Site].Label, p)
		}
		var b []float64
		if blocks != nil && blocks[i] != nil {
			if b = blocks[i]; len(b) != len(v.Live) {
				return fmt.Errorf("the scorer judged %d blocks of site %q, not %d", len(b), v.Scene.Run.Sites[v.Site].Label, len(v.Live))
			}
		}
		if err := f(v, sites[i], b); err != nil {
			return err
		}
	}
	return nil
}

// Suspects returns those of a leaking site's outstanding blocks that are judged
// leaked: each with a probability of at least one half, or, if there is none, the
// likeliest. Without probabilities it is all of them.
func Suspects(live []int32, probabilities []float64) []int32 {
	if probabilities == nil {
		return live
	}
	var out []int32
	best := 0
	for i, p := range probabilities {
		if p >= 0.5 {
			out = append(out, live[i])
		}
		if p > probabilities[best] {
			best = i
		}
	}
	if out == nil {
		out = append(out, live[best])
	}
	return out
}

// CutAt is the number of events in the given share of a run, at least 1. A report
// or a series of snapshots has no middle: it is always taken whole.
func CutAt(run *tokenize.Run, share float64) uint32 {
	if run.Class != ingest.Events || share >= 1 || share <= 0 {
		return run.Events
	}
	return max(1, uint32(math.Round(share*float64(run.Events))))
}

// A Detector finds the leaks of a run.
type Detector struct {
	// Scorer judges the sites; it has to be set.
	Scorer Scorer
	// Threshold is the probability from which on a site is called a leak, 0 to 1.
	Threshold float64
	// Cost chooses the threshold in place of Threshold, if it is not zero.
	Cost Cost
	// Model names the scorer in the summary.
	Model string
	// All has every site with outstanding blocks listed, not the leaks alone.
	All bool
	// Explain is of how many of the first leaks it is found out what they rest on,
	// if the scorer is an [Explainer].
	Explain int
	// Suppressions and Baseline have leaks that are counted, but not listed.
	Suppressions Suppressions
	Baseline     *Baseline
	// Warnings go into the summary, before those of the detector itself.
	Warnings []string
	// Progress, if it is not nil, is told now and then how many sites are done.
	Progress func(sites int)
}

// Detect scores the sites of a scene and hands the findings to h, the most
// probable first and among equals the one with more bytes, and then the summary,
// which it returns too. Findings on a report come group by group.
func (d *Detector) Detect(ctx context.Context, scene *tokenize.Scene, h Handler) (*Summary, error) {
	if !(d.Threshold >= 0 && d.Threshold <= 1) {
		return nil, fmt.Errorf("threshold %v: want a probability, 0 to 1", d.Threshold)
	}
	if err := d.Cost.validate(); err != nil {
		return nil, err
	}
	sum := d.summary(scene)
	found, err := d.judge(ctx, scene, sum)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(b.probability, a.probability), cmp.Compare(b.bytes(), a.bytes()))
	})
	found = d.leaveOut(found, sum)
	sum.Course = runCourse(scene.Run, sum.Cut, found)
	intoGroups(scene.Run, found)
	explainer, _ := d.Scorer.(Explainer)
	alone := *scene
	alone.Reference = nil
	for i, c := range found {
		f := c.finding(sum.Threshold)
		if c.leak && explainer != nil && i < d.Explain {
			if f.Attribution, err = attribute(ctx, explainer, c, &alone); err != nil {
				return nil, err
			}
		}
		if err := h.Finding(f); err != nil {
			return nil, err
		}
	}
	return sum, h.Summary(sum)
}

// judge scores the sites, sets the threshold, and returns the sites to be listed.
func (d *Detector) judge(ctx context.Context, scene *tokenize.Scene, sum *Summary) ([]*candidate, error) {
	var listed []*candidate
	var probabilities []float64
	err := Each(ctx, d.Scorer, scene, func(v *tokenize.View, p float64, blocks []float64) error {
		c := &candidate{view: v, probability: p, blocks: v.Live}
		sum.add(c)
		if d.All || d.Cost != (Cost{}) || p >= d.Threshold {
			c.suspects = Suspects(v.Live, blocks)
			listed, probabilities = append(listed, c), append(probabilities, p)
		}
		if d.Progress != nil && sum.Sites%chunk == 0 {
			d.Progress(sum.Sites)
		}
		return nil
	})
	if d.Cost != (Cost{}) {
		sum.Threshold = d.Cost.threshold(probabilities)
	}
	return slices.DeleteFunc(listed, func(c *candidate) bool {
		if c.probability >= sum.Threshold {
			c.leak, c.blocks = true, c.suspects
			sum.call(c)
		}
		return !c.leak && !d.All
	}), err
}

func (d *Detector) summary(scene *tokenize.Scene) *Summary {
	run := scene.Run
	s := &Summary{
		Log: run.Name, Run: run, Model: d.Model, Threshold: d.Threshold,
		Events: int64(run.Events), Cut: int64(scene.Cut), ReferenceRuns: scene.Reference.Runs(),
		Report: run.Report, Warnings: slices.Clone(d.Warnings),
	}
	r := run.Report
	if r == nil {
		return s
	}
	if r.Truncated {
		s.Warnings = append(s.Warnings, "the log ends too early: what it does not show cannot be judged")
	}
	if r.Errors > 0 {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s could not be read: see `leakformer check`", count(r.Errors, "record")))
	}
	if r.Oracle != nil && !r.Oracle.OK {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s says %s, but the records add up to %s", r.Oracle.Name, r.Oracle.Expected, r.Oracle.Got))
	}
	if r.Class == ingest.Events && r.Allocs > 0 && r.OrphanFrees*2 > r.Frees {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s of %s free what the log does not show allocated: it starts too late, or belongs to several processes",
			comma(r.OrphanFrees), count(r.Frees, "free")))
	}
	return s
}

// candidate is a site on its way to becoming a finding.
type candidate struct {
	view        *tokenize.View
	probability float64
	leak        bool
	// blocks index Run.Blocks: those judged leaked, or all outstanding ones;
	// suspects are those that would be judged leaked.
	blocks, suspects []int32
	group            *Group
}

func (c *candidate) bytes() int64 { return amount(c.view.Scene.Run, c.blocks).Bytes }

func amount(run *tokenize.Run, blocks []int32) ingest.Amount {
	var a ingest.Amount
	for _, i := range blocks {
		a.Blocks += int64(run.Blocks.Count(i))
		a.Bytes += run.Blocks.Size(i)
	}
	return a
}
