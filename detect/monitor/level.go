package monitor

import (
	"fmt"
	"strings"
)

// Level says how bad an alert is.
type Level int

const (
	// Silent: nothing to tell.
	Silent Level = iota
	// Info: there is a leak.
	Info
	// Warning: it has cost much.
	Warning
	// Critical: it has cost so much that it wants somebody to act.
	Critical
)

var levelNames = [...]string{"NONE", "INFO", "WARNING", "CRITICAL"}

func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return "INVALID"
	}
	return levelNames[l]
}

// MarshalText gives the level's name.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a level's name, in any case.
func (l *Level) UnmarshalText(text []byte) error {
	for i, name := range levelNames {
		if strings.EqualFold(name, string(text)) {
			*l = Level(i)
			return nil
		}
	}
	return fmt.Errorf("no level %q: want one of %s", text, strings.Join(levelNames[:], ", "))
}

// Limits say from how many bytes on a leak is of which level. The bytes are weighted:
// those that leaked, times the probability that it is a leak.
type Limits struct {
	// Critical and Warning are bytes; 0: 100 MB and 10 MB.
	Critical, Warning int64
	// Shallow is the limit in place of Critical where the call stack has fewer than
	// ShallowFrames frames, so that nobody can say who is to blame; 0: 50 MB and 3.
	Shallow       int64
	ShallowFrames int
}

func (l Limits) filled() Limits {
	const mb = 1e6
	fill := func(to *int64, value int64) {
		if *to == 0 {
			*to = value
		}
	}
	fill(&l.Critical, 100*mb)
	fill(&l.Warning, 10*mb)
	fill(&l.Shallow, min(50*mb, l.Critical))
	if l.ShallowFrames == 0 {
		l.ShallowFrames = 3
	}
	return l
}

// Level of a leak of that many weighted bytes at a call stack of that many frames.
func (l Limits) Level(weighted float64, frames int) Level {
	l = l.filled()
	switch {
	case weighted > float64(l.Critical), frames < l.ShallowFrames && weighted > float64(l.Shallow):
		return Critical
	case weighted > float64(l.Warning):
		return Warning
	}
	return Info
}
