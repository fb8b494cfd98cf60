package dashboard

import (
	"context"
	"time"

	"leakformer/detect"
)

// Run is the summary of one run that was judged.
type Run struct {
	Log       string    `json:"log"`
	Timestamp time.Time `json:"timestamp"`
	Model     string    `json:"model"`
	Threshold float64   `json:"threshold"`
	Events    int64     `json:"events"`
	// Sites that have outstanding blocks, Leaks how many of them are called leaks.
	Sites            int   `json:"sites"`
	Leaks            int   `json:"leaks"`
	LeakedBytes      int64 `json:"leaked_bytes"`
	OutstandingBytes int64 `json:"outstanding_bytes"`
	// Warnings are reasons to trust the findings less.
	Warnings []string `json:"warnings"`
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
	findings := make([]Finding, 0, len(c.found))
	for _, f := range c.found {
		findings = append(findings, c.finding(f, s.Cut, now))
	}
	c.found = nil
	return c.Store.Put(context.Background(), newRun(s, now), findings)
}

func newRun(s *detect.Summary, now time.Time) Run {
	return Run{Log: s.Log, Timestamp: now, Model: s.Model, Threshold: s.Threshold, Events: s.Cut, Sites: s.Sites, Leaks: s.Leaks,
		LeakedBytes: s.Leaked.Bytes, OutstandingBytes: s.Outstanding.Bytes, Warnings: append([]string{}, s.Warnings...)}
}

func (c *Collector) finding(f *detect.Finding, cut int64, now time.Time) Finding {
	of := f.Outstanding
	if f.Leak {
		of = f.Leaked
	}
	out := Finding{
		ID: ID(f), Log: f.Log, Timestamp: now, Site: f.Site, StackTrace: []string{}, Probability: f.Probability, Leak: f.Leak,
		SizeMB: float64(of.Bytes) / 1e6, Bytes: of.Bytes, Blocks: of.Blocks, Rate: f.Rate, First: f.First, Last: f.Last,
		Why: f.Why, Attribution: f.Attribution, Course: newCourse(f, cut),
	}
	for _, fr := range f.Frames {
		out.StackTrace = append(out.StackTrace, frameLine(fr.Function, fr.Module, fr.File, fr.Line, fr.Address))
	}
	out.Level = out.level(c.Level)
	if c.Decided != nil && f.Leak {
		out.Decision, out.Decidable = c.Decided(f)
	}
	return out
}
