package detect

import (
	"iter"
	"time"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// A Handler receives what a detector has to say about one run: the findings in
// the order of their rank, then the summary. An error ends the detection.
type Handler interface {
	Finding(*Finding) error
	Summary(*Summary) error
}

// Finding is the verdict on one allocation site. It stays valid after it was
// handled.
type Finding struct {
	// Log is the name of the log.
	Log string
	// Site names the site in a line; Frames is its call stack, innermost first,
	// without the allocator's frames.
	Site   string
	Frames []ingest.Frame
	// Probability that the site leaks, and whether that reaches the threshold.
	Probability float64
	Leak        bool
	// Outstanding is all that is live; Leaked what of it is judged leaked, 0
	// where Leak is false.
	Outstanding, Leaked ingest.Amount
	// Blocks are those that the finding means, in order of birth: if it is a
	// leak those judged leaked, else all outstanding ones. They index Run.Blocks.
	Blocks []int32
	Run    *tokenize.Run
	// Group is the findings that are likely the same leak, this one among them.
	Group *Group
	// First and Last are the births of the first and the last of Blocks.
	First, Last Place
	// Rate is how fast the leak grows; nil where there is too little to tell.
	Rate *Rate
	// Why gives the reasons, the weightiest first; never empty.
	Why []string
	// Attribution is what the verdict rests on, as taking it away shows, the
	// largest effect first; nil where nobody asked, or it cannot be known.
	Attribution []Effect
}

// Place is a moment in a log.
type Place struct {
	// Event counts from 0, Line from 1.
	Event uint32 `json:"event"`
	Line  uint32 `json:"line"`
	// Time since the log's start, in JSON as nanoseconds; 0 without a clock.
	Time time.Duration `json:"time_ns"`
}

// Addresses of the blocks that the finding means, in order of birth. There are
// none where the format has none.
func (f *Finding) Addresses() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, i := range f.Blocks {
			if a := f.Run.Blocks.Addr(i); a != 0 && !yield(a) {
				return
			}
		}
	}
}

func (c *candidate) finding(threshold float64) *Finding {
	v := c.view
	run := v.Scene.Run
	f := &Finding{
		Log: run.Name, Site: run.Sites[v.Site].Label, Frames: run.Sites[v.Site].Frames,
		Probability: c.probability, Leak: c.leak,
		Outstanding: amount(run, v.Live), Blocks: c.blocks, Run: run, Group: c.group,
		First: place(run, c.blocks[0]), Last: place(run, c.blocks[len(c.blocks)-1]),
		Why: why(c, threshold),
	}
	if c.leak {
		f.Leaked = amount(run, c.blocks)
		f.Rate = rate(v, c.blocks)
	}
	return f
}

func place(run *tokenize.Run, block int32) Place {
	born := run.Blocks.Born(block)
	return Place{Event: born, Line: run.Blocks.Line(block), Time: run.Time(born)}
}

// Summary closes the findings of one run.
type Summary struct {
	Log string        `json:"log"`
	Run *tokenize.Run `json:"-"`
	// Model names the scorer; Threshold is the probability it was held against.
	Model     string  `json:"model"`
	Threshold float64 `json:"threshold"`
	// Events of the log, and after how many of them the run was looked at.
	Events int64 `json:"events"`
	Cut    int64 `json:"cut"`
	// Sites that have outstanding blocks, and what is outstanding.
	Sites       int           `json:"sites"`
	Outstanding ingest.Amount `json:"outstanding"`
	// Leaks is the number of sites called a leak, Leaked what is judged leaked there.
	Leaks  int           `json:"leaks"`
	Leaked ingest.Amount `json:"leaked"`
	// Suppressed and Known are the leaks that were left out, of which Leaks does not
	// count any.
	Suppressed []LeftOut `json:"suppressed,omitempty"`
	Known      []LeftOut `json:"known,omitempty"`
	// FalseAlarms is how many of the leaks are to be expected to be none, if the
	// probabilities are right.
	FalseAlarms float64 `json:"expected_false_alarms"`
	// ReferenceRuns is the number of clean runs that the run was compared with.
	ReferenceRuns int `json:"reference_runs"`
	// Course is the live bytes over the run; nil where the log shows none.
	Course *Course `json:"-"`
	// Report tells how the log was read.
	Report *ingest.Report `json:"report"`
	// Warnings are reasons to trust the findings less.
	Warnings []string `json:"warnings,omitempty"`
}

// add books a site.
func (s *Summary) add(c *candidate) {
	s.Sites++
	s.Outstanding = plus(s.Outstanding, amount(c.view.Scene.Run, c.view.Live))
}

// call books a leak.
func (s *Summary) call(c *candidate) {
	s.Leaks++
	s.FalseAlarms += 1 - c.probability
	s.Leaked = plus(s.Leaked, amount(c.view.Scene.Run, c.blocks))
}
