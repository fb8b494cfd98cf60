package dashboard

import (
	"cmp"
	"context"
	"path"
	"time"

	"leakformer/detect"
	"leakformer/detect/report"
	"leakformer/ingest"
)

// Run is the summary of one run that was judged.
type Run struct {
	Log string `json:"log"`
	// Program that made the log, or the log's name where that is not known.
	Program   string    `json:"program"`
	Timestamp time.Time `json:"timestamp"`
	// Class is what the log tells of: "events", "snapshots" or "report".
	Class     ingest.Class `json:"class"`
	Model     string       `json:"model"`
	Threshold float64      `json:"threshold"`
	Events    int64        `json:"events"`
	// Sites that have outstanding blocks, Leaks how many of them are called leaks.
	Sites             int   `json:"sites"`
	Leaks             int   `json:"leaks"`
	LeakedBlocks      int64 `json:"leaked_blocks"`
	LeakedBytes       int64 `json:"leaked_bytes"`
	OutstandingBlocks int64 `json:"outstanding_blocks"`
	OutstandingBytes  int64 `json:"outstanding_bytes"`
	// FalseAlarms is how many of the leaks are to be expected to be none; ReferenceRuns
	// is the number of clean runs that the run was compared with.
	FalseAlarms   float64 `json:"expected_false_alarms"`
	ReferenceRuns int     `json:"reference_runs"`
	// Warnings are reasons to trust the findings less.
	Warnings []string `json:"warnings"`
	// Course is the live bytes over the run; nil where the log does not show them, or
	// is not at hand.
	Course *detect.Course `json:"course,omitempty"`
}

// Collector is a [detect.Handler] that puts findings into a store, those of a run all
// at once when its summary comes.
type Collector struct {
	Store Store
	Level Leveler
	// Decided is what was decided of a leak before, and whether people are asked of it
	// at all; nil: they are not.
	Decided func(*detect.Finding) (Decision, bool)

	found []*detect.Finding
}

// maxFindings bounds what is kept of a run: the most probable.
const maxFindings = 10000

// Finding keeps the finding for the summary, which knows where the run was cut.
func (c *Collector) Finding(f *detect.Finding) error {
	if len(c.found) < maxFindings {
		c.found = append(c.found, f)
	}
	return nil
}

// Summary puts the run into the store.
func (c *Collector) Summary(s *detect.Summary) error {
	now := time.Now().UTC()
	run := newRun(s, now)
	findings := make([]Finding, 0, len(c.found))
	for _, f := range c.found {
		findings = append(findings, c.finding(f, s.Cut, now))
		findings[len(findings)-1].Program = run.Program
	}
	c.found = nil
	return c.Store.Put(context.Background(), run, findings)
}

func newRun(s *detect.Summary, now time.Time) Run {
	r := Run{Log: s.Log, Timestamp: now, Program: path.Base(s.Log), Model: s.Model, Threshold: s.Threshold, Events: s.Cut, Sites: s.Sites, Leaks: s.Leaks,
		LeakedBlocks: s.Leaked.Blocks, LeakedBytes: s.Leaked.Bytes, OutstandingBlocks: s.Outstanding.Blocks, OutstandingBytes: s.Outstanding.Bytes,
		FalseAlarms: s.FalseAlarms, ReferenceRuns: s.ReferenceRuns, Warnings: append([]string{}, s.Warnings...), Course: s.Course}
	if s.Report != nil {
		r.Class = s.Report.Class
	}
	if s.Run != nil {
		r.Class, r.Program = s.Run.Class, cmp.Or(s.Run.Program, r.Program)
	}
	return r
}

func (c *Collector) finding(f *detect.Finding, cut int64, now time.Time) Finding {
	of := f.Outstanding
	if f.Leak {
		of = f.Leaked
	}
	loss := f.Run.Blocks.Loss(f.Blocks[0])
	out := Finding{
		ID: ID(f), Log: f.Log, Program: cmp.Or(f.Run.Program, path.Base(f.Log)), Key: f.Key(), Timestamp: now, Site: f.Site, Probability: f.Probability, Leak: f.Leak,
		SizeMB: float64(of.Bytes) / 1e6, Bytes: of.Bytes, Blocks: of.Blocks, Outstanding: f.Outstanding, Rate: f.Rate, First: f.First, Last: f.Last,
		Lost: loss == ingest.Definite || loss == ingest.Indirect, Why: f.Why, Attribution: f.Attribution, Course: f.Course(cut), Sequence: newSequence(f, cut),
	}
	if f.Group != nil {
		out.Group = f.Group.Number
	}
	for _, fr := range f.Frames {
		out.Frames = append(out.Frames, Frame(report.NewFrame(fr)))
	}
	out.StackTrace = stackTrace(out.Frames)
	out.Level = out.level(c.Level)
	if c.Decided != nil && f.Leak {
		out.Decision, out.Decidable = c.Decided(f)
	}
	return out
}
