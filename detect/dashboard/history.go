package dashboard

import "time"

// History is what was seen of memory over time, and what was told of it. Times are kept
// to the millisecond.
type History struct {
	// Snapshots of one course in the order of time. Of two at the same time the later
	// one holds.
	Snapshots []Snapshot `json:"snapshots"`
	// Alerts in the order of time. One whose ID is known changes nothing: who tells of
	// it twice does no harm.
	Alerts []Alert `json:"alerts"`
}

// Snapshot is the live bytes at one moment, of a site or of a log as a whole.
type Snapshot struct {
	Log string `json:"log"`
	// ID is the finding's; "" means the log as a whole.
	ID        string    `json:"id"`
	Timestamp time.Time `json:"timestamp"`
	// Live is all bytes, Leaked those judged leaked.
	Live   int64 `json:"live"`
	Leaked int64 `json:"leaked"`
}

// Alert is what a monitor told of a site, as the page and the API tell it.
type Alert struct {
	ID        string    `json:"id"`
	Timestamp time.Time `json:"timestamp"`
	Level     string    `json:"level"`
	// Resolved: the site is no longer suspected; Level is what it was.
	Resolved bool `json:"resolved"`
	// Log is what was watched, Finding the ID of what was found there.
	Log     string `json:"log"`
	Finding string `json:"finding"`
	Site    string `json:"site"`
	// StackTrace is the call stack, innermost first.
	StackTrace []string `json:"stack_trace"`
	SizeMB     float64  `json:"size_mb"`
	Bytes      int64    `json:"bytes"`
	// Probability is nil where no model was asked.
	Probability *float64 `json:"probability,omitempty"`
	// FiredBy names the rules that say so.
	FiredBy []string `json:"fired_by"`
	Message string   `json:"message"`
}

// Window chooses from the history. The zero value chooses all alerts, and no snapshots.
type Window struct {
	// Log and ID choose the course that snapshots are of; there are none without a Log.
	// Alerts have to agree with each of the two that is not "".
	Log, ID string
	// Since and Until bound the times, Until itself left out; a zero time does not.
	Since, Until time.Time
	// Points bounds the snapshots: of each of so many equal parts of the time between
	// the first and the last there is the last one. 0: all.
	Points int
	// Limit bounds the alerts: the latest. 0: all.
	Limit int
}

// holds reports whether a time is in the window.
func (w *Window) holds(t time.Time) bool {
	return !t.Before(w.Since) && (w.Until.IsZero() || t.Before(w.Until))
}

// means reports whether an alert is in the window.
func (w *Window) means(a *Alert) bool {
	return w.holds(a.Timestamp) && (w.Log == "" || w.Log == a.Log) && (w.ID == "" || w.ID == a.Finding)
}

// Thin leaves of the snapshots in the window as many as Points says.
func (w *Window) Thin(s []Snapshot) []Snapshot {
	if w.Points == 0 || len(s) == 0 {
		return s
	}
	first := s[0].Timestamp
	part := s[len(s)-1].Timestamp.Sub(first).Milliseconds()/int64(w.Points) + 1
	of := func(i int) int64 { return s[i].Timestamp.Sub(first).Milliseconds() / part }
	var out []Snapshot
	for i := range s {
		if i == len(s)-1 || of(i) != of(i+1) {
			out = append(out, s[i])
		}
	}
	return out
}
