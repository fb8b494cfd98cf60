package dashboard

import "time"

// History is what was seen and told over time, the oldest first.
type History struct {
	Snapshots []Snapshot `json:"snapshots"`
	Alerts    []Alert    `json:"alerts"`
}

// Snapshot is the live bytes of a log, or of one of its sites, at a time.
type Snapshot struct {
	Log string `json:"log"`
	// ID is the finding's; "" where the snapshot is of the whole log.
	ID string `json:"id,omitempty"`
	// Timestamp by the machine's clock, in milliseconds.
	Timestamp time.Time `json:"timestamp"`
	// Live is all bytes, Leaked those judged leaked.
	Live   int64 `json:"live"`
	Leaked int64 `json:"leaked"`
}

// Alert is a message about a site that was sent to somebody.
type Alert struct {
	// ID is of no other alert.
	ID        string    `json:"id"`
	Timestamp time.Time `json:"timestamp"`
	Level     string    `json:"level"`
	// Resolved: the site is no longer suspected.
	Resolved bool   `json:"resolved"`
	Log      string `json:"log"`
	// Finding is the ID of the finding that it is about.
	Finding     string   `json:"finding"`
	Site        string   `json:"site"`
	StackTrace  []string `json:"stack_trace"`
	SizeMB      float64  `json:"size_mb"`
	Bytes       int64    `json:"bytes"`
	Probability *float64 `json:"probability,omitempty"`
	FiredBy     []string `json:"fired_by"`
	Message     string   `json:"message"`
}

// Window chooses from the history. The zero value chooses all alerts, and no snapshots.
type Window struct {
	// Log has to be equal, for alerts where it is not ""; ID is that of the finding
	// whose snapshots are meant, "" for those of the whole log.
	Log, ID string
	// Since and Until bound the time, where they are not zero: from Since on, and
	// before Until.
	Since, Until time.Time
	// Points is how many snapshots are returned at most, 0: all; Limit the same of
	// alerts, the latest.
	Points, Limit int
}

func (w Window) holds(t time.Time) bool {
	return (w.Since.IsZero() || !t.Before(w.Since)) && (w.Until.IsZero() || t.Before(w.Until))
}

func (w Window) means(a *Alert) bool {
	return (w.Log == "" || a.Log == w.Log) && (w.ID == "" || a.Finding == w.ID) && w.holds(a.Timestamp)
}

// thin leaves at most so many snapshots as are wanted: the first, the last, and others
// evenly between.
func (w Window) thin(s []Snapshot) []Snapshot {
	if w.Points < 2 || len(s) <= w.Points {
		return s
	}
	out := make([]Snapshot, w.Points)
	for i := range out {
		out[i] = s[i*(len(s)-1)/(w.Points-1)]
	}
	return out
}
