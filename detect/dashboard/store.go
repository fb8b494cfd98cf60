package dashboard

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
)

// A Store keeps runs and their findings. Its methods may be called by several
// goroutines at once. The slices that they return are the caller's; what findings point
// to is shared, and not changed by anybody.
type Store interface {
	// Put adds a run and its findings, in place of what is known of the same log.
	Put(ctx context.Context, run Run, findings []Finding) error
	// Runs lists the runs in the order in which they were first put.
	Runs(ctx context.Context) ([]Run, error)
	// List returns the findings that a query means: leaks before others, and the most
	// probable first, among equals that with more bytes.
	List(ctx context.Context, q Query) ([]Finding, error)
	// Get returns a finding, or ErrNotFound.
	Get(ctx context.Context, id string) (Finding, error)
	// Decide sets the decision on a finding, or returns ErrNotFound.
	Decide(ctx context.Context, id string, d Decision) error
	// Version counts the changes; the channel is closed at the next one.
	Version() (uint64, <-chan struct{})
}

// ErrNotFound says that there is no such finding.
var ErrNotFound = errors.New("no such finding")

// Query chooses findings. The zero value chooses all.
type Query struct {
	// Text has to be in the site, the stack or the log's name, in any case.
	Text string
	// Level and Log have to be equal.
	Level, Log string
	// Limit is how many are returned; 0: all.
	Limit int
}

// Match reports whether a query means a finding, whatever its limit.
func (q Query) Match(f *Finding) bool {
	if q.Level != "" && f.Level != q.Level || q.Log != "" && f.Log != q.Log {
		return false
	}
	text := strings.ToLower(q.Text)
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	return text == "" || has(f.Site) || has(f.Log) || slices.ContainsFunc(f.StackTrace, has)
}

// Memory is a Store that forgets everything when the program ends. The zero value is
// empty.
type Memory struct {
	mu       sync.RWMutex
	runs     []Run
	findings []Finding // in the order of List
	version  uint64
	changed  chan struct{}
}

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
	m.findings = append(m.findings, findings...)
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
			out = append(out, m.findings[i])
		}
	}
	return out, nil
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
	m.change()
	return nil
}

func (m *Memory) find(id string) int {
	return slices.IndexFunc(m.findings, func(f Finding) bool { return f.ID == id })
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
