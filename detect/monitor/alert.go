package monitor

import (
	"fmt"
	"strings"
	"time"

	"leakformer/ingest"
)

// Alert is a message about one site. It is told when the site's level rises, and once
// more when there is nothing left to tell.
type Alert struct {
	// ID is the same each time that the alert is sent, and of no other alert: who
	// receives one twice can tell.
	ID string `json:"id"`
	// Time by the clock of the machine.
	Time  time.Time `json:"timestamp"`
	Level Level     `json:"level"`
	// Resolved: the site is no longer suspected; Level is what it was.
	Resolved bool `json:"resolved"`
	// Since is when the site was told first; Previous is the level that it was told
	// with last, and NONE at first.
	Since    time.Time `json:"since"`
	Previous Level     `json:"previous_level"`
	// Source is what is watched, Site the call stack in a line, and SiteID tells
	// sites apart that look the same.
	Source string `json:"source"`
	Site   string `json:"site"`
	SiteID string `json:"site_id"`
	// Process is the one that is watched; nil where it is none, or not known.
	Process *ProcessID `json:"process,omitempty"`
	// Stack is the call stack, innermost first; empty where there is none.
	Stack []string `json:"stack_trace"`
	// Bytes are those that are judged leaked, or have grown; SizeMB is the same.
	Bytes  int64   `json:"bytes"`
	SizeMB float64 `json:"size_mb"`
	// Probability that the site leaks, by the model; nil where none was asked.
	Probability *float64 `json:"probability,omitempty"`
	// FiredBy names the rules that say so: model, growth, or both.
	FiredBy []string `json:"fired_by"`
	// Linked is what grew at the same time and alike on the other side of the system
	// calls; nil where nothing did.
	Linked *Linked `json:"linked,omitempty"`
	// Message says it in a line.
	Message string `json:"message"`
}

// sighting is what a look found at one site.
type sighting struct {
	source   Source
	id, site string
	frames   []ingest.Frame
	// of indexes the run's sites; -1 for the source as a whole.
	of int
	// bytes are all that are outstanding, leaked those that the model means.
	bytes, leaked int64
	// judged: the model was asked; p is what it says, model whether that is a leak.
	judged, model bool
	p             float64
	growth        bool
	trend         Trend
	linked        *sighting
}

// key tells the sites of all sources apart.
func (s *sighting) key() string { return s.source.Name + " / " + s.id }

// doubted is the weight of growth that the model does not believe in: one rule says
// yes and one says no.
const doubted = 0.5

// amount is the bytes that are lost, as it seems.
func (s *sighting) amount() int64 {
	if s.model {
		return s.leaked
	}
	return s.trend.Last - s.trend.Baseline
}

// weighted is the amount times the probability that it is a leak.
func (s *sighting) weighted() float64 {
	switch {
	case !s.judged:
		return float64(s.amount())
	case s.growth:
		return float64(s.amount()) * max(s.p, doubted)
	}
	return float64(s.amount()) * s.p
}

func (s *sighting) firedBy() []string {
	var by []string
	if s.model {
		by = append(by, "model")
	}
	if s.growth {
		by = append(by, "growth")
	}
	return by
}

// reasons are the rules that fired, with their figures.
func (s *sighting) reasons() []string {
	var parts []string
	if s.model {
		parts = append(parts, fmt.Sprintf("the model (P %.3f)", s.p))
	}
	if s.growth {
		parts = append(parts, fmt.Sprintf("growth (%d to %d bytes in %d steps)", s.trend.Baseline, s.trend.Last, s.trend.Streak))
	}
	return parts
}

func (s *sighting) alert(level Level) Alert {
	a := Alert{Level: level, Source: s.source.Name, Process: s.source.Process, Site: s.site, SiteID: s.id, Bytes: s.amount(),
		FiredBy: s.firedBy(), Stack: stackTrace(s.frames)}
	a.SizeMB = float64(a.Bytes) / 1e6
	if s.judged {
		p := s.p
		a.Probability = &p
	}
	a.Message = s.message()
	if o := s.linked; o != nil {
		a.Linked = &Linked{Source: o.source.Name, Site: o.site, SiteID: o.id, Stack: stackTrace(o.frames), Bytes: o.amount()}
		a.Message += fmt.Sprintf("; together with %s: %d bytes at %s", o.source.Name, o.amount(), o.site)
	}
	return a
}

func stackTrace(frames []ingest.Frame) []string {
	lines := []string{}
	for _, f := range frames {
		lines = append(lines, f.String())
	}
	return lines
}

// message says which rule fired, and why.
func (s *sighting) message() string {
	text := fmt.Sprintf("%s: %d bytes at %s, says %s", s.source.Name, s.amount(), s.site, strings.Join(s.reasons(), " and "))
	if s.judged && !s.model {
		text += fmt.Sprintf("; the model does not (P %.3f)", s.p)
	}
	return text
}
