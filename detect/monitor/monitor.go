// Package monitor watches memory while it is used.
//
// What is watched becomes a run of [tokenize]: a log that grows is read on, and what
// can only be asked for (a file of /proc, a profile by HTTP) is copied again and again
// by a [Series]. Now and then a [Monitor] looks at the run: the classic rule of
// [Growth] and the model judge each site side by side, and what they find becomes an
// [Alert] where it is news; what the kernel and a program lose at the same time is one
// story. Sinks receive the alerts, each by an [Outbox] of its own: some tell people,
// [Remedies] act. Who wants to show more than alerts gets each [Look].
package monitor

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"leakformer/detect"
	"leakformer/tokenize"
)

// Config says how to judge what is seen.
type Config struct {
	// Scorer is the model, Threshold the probability from which on a site is called
	// a leak. A nil Scorer leaves everything to Growth.
	Scorer    detect.Scorer
	Threshold float64
	// Thresholds, if it is not nil, has in its place one for each scene.
	Thresholds func(*tokenize.Scene) float64
	// Judges reports whether the model knows runs of this kind; nil: all.
	Judges func(*tokenize.Run) bool
	// Reference finds the clean runs to compare a run with; nil: there are none.
	Reference func(*tokenize.Run) tokenize.Reference
	Growth    Growth
	Limits    Limits
	// Silences keep alerts back.
	Silences []Silence
	// Window is how far apart in time sightings of the kernel and of a program may be
	// to be linked; 0: 5 seconds.
	Window time.Duration
	// Looked, if it is not nil, is called after each look by the goroutine that
	// looked; its error is that of the look.
	Looked func(context.Context, *Look) error
	// Clear is after how many looks in a row with nothing to tell an alert is
	// resolved; 0 is taken as 3.
	Clear int
	// Now is the machine's clock; nil: time.Now.
	Now func() time.Time
	// State is the file that outlives the monitor; "" for none.
	State string
	// Log is told what goes wrong without being in the way; nil: nobody.
	Log *slog.Logger
}

// Monitor judges runs and hands on alerts. Its methods may be called by several
// goroutines.
type Monitor struct {
	cfg Config

	mu      sync.Mutex
	state   *State
	file    stateFile
	outlets []*Outbox
	alerts  int64
	links   links
	// watched are the sources that were looked at and are not gone.
	watched map[string]bool
}

// New reads the state and returns a monitor with these sinks.
func New(cfg Config, sinks ...Sink) (*Monitor, error) {
	if cfg.Clear == 0 {
		cfg.Clear = 3
	}
	if cfg.Window == 0 {
		cfg.Window = 5 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Monitor{cfg: cfg, links: links{window: cfg.Window}, watched: map[string]bool{}, file: stateFile{path: cfg.State}, state: &State{Sites: map[string]*Record{}, Pending: map[string][]Alert{}}}
	if cfg.State != "" {
		var err error
		if m.state, err = ReadState(cfg.State); err != nil {
			return nil, err
		}
	}
	if m.state.Run == "" {
		m.state.Run = rand.Text()[:12]
	}
	for _, s := range sinks {
		m.outlets = append(m.outlets, newOutbox(m, s))
	}
	return m, nil
}

// Alerts is the number of alerts that this monitor has told, without the resolved.
func (m *Monitor) Alerts() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.alerts
}

// judge takes a sighting to the record of its site, and tells what is new.
func (m *Monitor) judge(s *sighting) {
	r := m.state.Sites[s.key()]
	if r == nil {
		r = &Record{}
		m.state.Sites[s.key()] = r
	}
	s.growth = m.cfg.Growth.Step(&r.Trend, s.bytes)
	s.trend = r.Trend
	if r.Grown {
		s.trend.Baseline = r.Floor // What it has grown by since it was told first.
	}
	r.Peak = max(r.Peak, s.bytes)
	if s.model || s.growth {
		m.fired(r, s)
		return
	}
	// What only grew is still there, however long it rests, until it is given back.
	if r.Level == Silent || r.Grown && s.bytes*5 >= r.Peak*4 {
		r.Quiet = 0
		return
	}
	if r.Quiet++; r.Quiet >= m.cfg.Clear {
		m.resolve(r)
	}
}

// fired tells a site whose level has risen, or that is part of a story now. The level
// falls, and says nothing, when the bytes are well below its limit.
func (m *Monitor) fired(r *Record, s *sighting) {
	if s.growth && !r.Grown {
		r.Grown, r.Floor = true, s.trend.Baseline
	}
	if r.Level == Silent {
		r.Peak = s.bytes
	}
	r.Quiet = 0
	now := m.cfg.Now()
	if slices.ContainsFunc(m.cfg.Silences, func(q Silence) bool { return q.covers(s, now) }) {
		return
	}
	s.linked = m.links.of(s, now)
	m.links.add(s, now)
	level := m.cfg.Limits.Level(s.weighted(), len(s.frames))
	switch {
	case level > r.Level, s.linked != nil && r.Linked == "":
		r.Level = max(level, r.Level)
		m.link(r, s)
		m.tell(r, s.alert(r.Level))
		m.alerts++
	case m.cfg.Limits.Level(s.weighted()*1.25, len(s.frames)) < r.Level:
		r.Level = level
	}
}

// link notes down that a story was told, for both of its halves.
func (m *Monitor) link(r *Record, s *sighting) {
	if s.linked == nil {
		return
	}
	r.Linked = s.linked.key()
	if other := m.state.Sites[r.Linked]; other != nil {
		other.Linked = s.key()
	}
}

func (m *Monitor) resolve(r *Record) {
	a := *r.Last
	a.Resolved = true
	a.Message = fmt.Sprintf("%s: no longer suspected: %s", a.Source, a.Site)
	m.tell(r, a)
	*r = Record{Trend: r.Trend}
}

// Gone resolves what was told of a source that is no more, and forgets it.
func (m *Monitor) Gone(source Source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(m.state.Sites)) {
		if r := m.state.Sites[key]; r.Level > Silent && r.Last.Source == source.Name {
			m.resolve(r)
		}
	}
	delete(m.watched, source.Name)
	m.forget(source.Name, nil)
	m.save()
}

// tell puts an alert into every outbox.
func (m *Monitor) tell(r *Record, a Alert) {
	m.state.Serial++
	a.ID = fmt.Sprintf("%s-%d", m.state.Run, m.state.Serial)
	a.Time = m.cfg.Now()
	a.Since, a.Previous = a.Time, Silent
	if r.Last != nil {
		a.Since, a.Previous = r.Last.Since, r.Last.Level
	}
	r.Last = &a
	for _, o := range m.outlets {
		o.add(a)
	}
}

// forget drops the sites of a source that are gone and of which nothing was told.
func (m *Monitor) forget(source string, present map[string]bool) {
	prefix := source + " / "
	maps.DeleteFunc(m.state.Sites, func(key string, r *Record) bool {
		return len(key) > len(prefix) && key[:len(prefix)] == prefix && !present[key] && r.Level == Silent
	})
}

// save writes the state; a disk that is full does not keep anybody from watching.
func (m *Monitor) save() {
	if err := m.file.write(m.state); err != nil {
		m.cfg.Log.Warn("the state could not be written", "error", err)
	}
}
