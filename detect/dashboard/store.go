package dashboard

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// A Store keeps runs and their findings, and what was seen and told of them over time.
// Its methods may be called by several goroutines at once. What is written is there
// whole or, after an error, not at all. The slices that are returned are the caller's;
// what findings point to is shared, and not changed by anybody.
//
// [leakformer/detect/store/storetest] is what every store has to pass.
type Store interface {
	// Put adds a run and its findings, in place of what is known of the same log. IDs
	// differ. A finding that comes undecided keeps what was decided of it before.
	Put(ctx context.Context, run Run, findings []Finding) error
	// Add adds to the history.
	Add(ctx context.Context, h History) error
	// Runs lists the runs in the order in which they were first put.
	Runs(ctx context.Context) ([]Run, error)
	// List returns the findings that a query means: leaks before others, and the most
	// probable first, among equals that with more bytes. They come [Finding.Short].
	List(ctx context.Context, q Query) ([]Finding, error)
	// Count is how many findings a query means, whatever its limit.
	Count(ctx context.Context, q Query) (int, error)
	// Get returns a finding, or ErrNotFound.
	Get(ctx context.Context, id string) (Finding, error)
	// History returns what was seen and told in a window.
	History(ctx context.Context, w Window) (History, error)
	// Decide sets the decision on a finding, or returns ErrNotFound.
	Decide(ctx context.Context, id string, d Decision) error
	// Version counts the changes; the channel is closed at the next one.
	Version() (uint64, <-chan struct{})
}

// Short is a finding without what only one of them alone shows.
func (f Finding) Short() Finding {
	f.Course, f.Sequence, f.Attribution = nil, nil, nil
	return f
}

// ErrNotFound says that there is no such finding.
var ErrNotFound = errors.New("no such finding")

// Query chooses findings. The zero value chooses all.
type Query struct {
	// Text has to be in the site, the stack or the log's name, in any case.
	Text string
	// Level, Log, Program and Decision have to be equal, where they are not "".
	Level, Log, Program string
	Decision            Decision
	// Limit is how many are returned; 0: all.
	Limit int
}

// Match reports whether a query means a finding, whatever its limit.
func (q Query) Match(f *Finding) bool {
	if q.Level != "" && f.Level != q.Level || q.Log != "" && f.Log != q.Log ||
		q.Program != "" && f.Program != q.Program || q.Decision != "" && f.Decision != q.Decision {
		return false
	}
	text := strings.ToLower(q.Text)
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	return text == "" || has(f.Site) || has(f.Log) || slices.ContainsFunc(f.StackTrace, has)
}
