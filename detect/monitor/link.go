package monitor

import (
	"maps"
	"time"
)

// Linked is the other half of a story: what grew on the other side of the system calls
// while an alert's site did.
type Linked struct {
	Source string   `json:"source"`
	Site   string   `json:"site"`
	SiteID string   `json:"site_id"`
	Stack  []string `json:"stack_trace"`
	Bytes  int64    `json:"bytes"`
}

// links pairs what the kernel and what programs lose at about the same time, and alike:
// a program that forgets to close what it opened leaks on both sides.
type links struct {
	window time.Duration
	seen   map[string]sightingAt // the latest of each site that fired
}

type sightingAt struct {
	*sighting
	at time.Time
}

// alike is the least that the smaller of two linked amounts is of the larger.
const alike = 0.5

// add remembers a sighting for those that follow, and forgets what is too old.
func (l *links) add(s *sighting, now time.Time) {
	if l.seen == nil {
		l.seen = map[string]sightingAt{}
	}
	maps.DeleteFunc(l.seen, func(_ string, o sightingAt) bool { return now.Sub(o.at).Abs() > l.window })
	alone := *s
	alone.linked = nil // else each would hold on to all before it
	l.seen[s.key()] = sightingAt{&alone, now}
}

// of returns what a sighting is to be linked with: of what fits, the one whose amount
// comes nearest; nil where nothing does.
func (l *links) of(s *sighting, now time.Time) (best *sighting) {
	nearest := 0.0
	for key, o := range l.seen {
		if o.source.Kernel == s.source.Kernel || now.Sub(o.at).Abs() > l.window {
			continue
		}
		a, b := float64(s.amount()), float64(o.amount())
		share := min(a, b) / max(a, b, 1)
		if share >= alike && (best == nil || share > nearest || share == nearest && key < best.key()) {
			best, nearest = o.sighting, share
		}
	}
	return best
}
