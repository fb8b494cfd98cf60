package dashboard

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Memory is a Store that forgets everything when the program ends. The zero value is
// empty.
type Memory struct {
	// Retention is how long the history is kept, before its latest time; 0: 24 hours.
	Retention time.Duration

	mu        sync.RWMutex
	runs      []Run
	findings  []Finding // in the order of List
	decisions map[string]Decision
	courses   map[course][]Snapshot
	alerts    []Alert
	known     map[string]bool // the IDs of the alerts
	latest    time.Time
	version   uint64
	changed   chan struct{}
}

// course names a sequence of snapshots.
type course struct{ log, id string }

// Put implements [Store].
func (m *Memory) Put(_ context.Context, run Run, findings []Finding) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.IndexFunc(m.runs, func(r Run) bool { return r.Log == run.Log }); i >= 0 {
		m.runs[i] = run
	} else {
		m.runs = append(m.runs, run)
	}
	m.findings = slices.DeleteFunc(m.findings, func(f Finding) bool { return f.Log == run.Log })
	for _, f := range findings {
		if f.Decision == Undecided {
			f.Decision = m.decisions[f.ID]
		}
		m.decided(f.ID, f.Decision)
		m.findings = append(m.findings, f)
	}
	slices.SortStableFunc(m.findings, rank)
	m.change()
	return nil
}

func rank(a, b Finding) int {
	if a.Leak != b.Leak {
		if a.Leak {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.Probability, a.Probability), cmp.Compare(b.Bytes, a.Bytes))
}

func (m *Memory) decided(id string, d Decision) {
	if d == Undecided {
		delete(m.decisions, id)
		return
	}
	if m.decisions == nil {
		m.decisions = map[string]Decision{}
	}
	m.decisions[id] = d
}

// Add implements [Store].
func (m *Memory) Add(_ context.Context, h History) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.courses == nil {
		m.courses, m.known = map[course][]Snapshot{}, map[string]bool{}
	}
	for _, s := range h.Snapshots {
		s.Timestamp = m.seen(s.Timestamp)
		at := course{s.Log, s.ID}
		i, same := slices.BinarySearchFunc(m.courses[at], s.Timestamp, func(s Snapshot, t time.Time) int { return s.Timestamp.Compare(t) })
		if same {
			m.courses[at][i] = s
		} else {
			m.courses[at] = slices.Insert(m.courses[at], i, s)
		}
	}
	for _, a := range h.Alerts {
		if m.known[a.ID] {
			continue
		}
		m.known[a.ID] = true
		a.Timestamp = m.seen(a.Timestamp)
		m.alerts = append(m.alerts, a)
	}
	slices.SortStableFunc(m.alerts, func(a, b Alert) int { return a.Timestamp.Compare(b.Timestamp) })
	m.expire()
	m.change()
	return nil
}

// seen is a time as it is kept.
func (m *Memory) seen(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Millisecond)
	if t.After(m.latest) {
		m.latest = t
	}
	return t
}

// expire forgets what is too old.
func (m *Memory) expire() {
	since := m.latest.Add(-cmp.Or(m.Retention, 24*time.Hour))
	for at, s := range m.courses {
		n := slices.IndexFunc(s, func(s Snapshot) bool { return !s.Timestamp.Before(since) })
		if n < 0 {
			delete(m.courses, at)
		} else if n > 0 {
			m.courses[at] = s[n:]
		}
	}
	m.alerts = slices.DeleteFunc(m.alerts, func(a Alert) bool {
		old := a.Timestamp.Before(since)
		if old {
			delete(m.known, a.ID)
		}
		return old
	})
}

// Runs implements [Store].
func (m *Memory) Runs(context.Context) ([]Run, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Clone(m.runs), nil
}

// List implements [Store].
func (m *Memory) List(_ context.Context, q Query) ([]Finding, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := []Finding{}
	for i := range m.findings {
		if q.Limit > 0 && len(out) == q.Limit {
			break
		}
		if q.Match(&m.findings[i]) {
			out = append(out, m.findings[i].Short())
		}
	}
	return out, nil
}

// Count implements [Store].
func (m *Memory) Count(_ context.Context, q Query) (n int, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for i := range m.findings {
		if q.Match(&m.findings[i]) {
			n++
		}
	}
	return n, nil
}

// Get implements [Store].
func (m *Memory) Get(_ context.Context, id string) (Finding, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if i := m.find(id); i >= 0 {
		return m.findings[i], nil
	}
	return Finding{}, ErrNotFound
}

// Decide implements [Store].
func (m *Memory) Decide(_ context.Context, id string, d Decision) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	if i < 0 {
		return ErrNotFound
	}
	m.findings[i].Decision = d
	m.decided(id, d)
	m.change()
	return nil
}

func (m *Memory) find(id string) int {
	return slices.IndexFunc(m.findings, func(f Finding) bool { return f.ID == id })
}

// History implements [Store].
func (m *Memory) History(_ context.Context, w Window) (History, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	h := History{Snapshots: []Snapshot{}, Alerts: []Alert{}}
	for _, s := range m.courses[course{w.Log, w.ID}] {
		if w.Log != "" && w.holds(s.Timestamp) {
			h.Snapshots = append(h.Snapshots, s)
		}
	}
	h.Snapshots = w.Thin(h.Snapshots)
	for i := range m.alerts {
		if w.means(&m.alerts[i]) {
			h.Alerts = append(h.Alerts, m.alerts[i])
		}
	}
	if w.Limit > 0 && len(h.Alerts) > w.Limit {
		h.Alerts = h.Alerts[len(h.Alerts)-w.Limit:]
	}
	return h, nil
}

// Version implements [Store].
func (m *Memory) Version() (uint64, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return m.version, m.changed
}

// change tells who waits; m.mu is held.
func (m *Memory) change() {
	m.version++
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}
