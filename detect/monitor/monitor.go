// Package monitor watches memory while it is used.
//
// What is watched becomes a run of [tokenize]: a log that grows is read on, and what
// can only be asked for (a file of /proc, a profile by HTTP) is copied again and again
// by a [Series]. Now and then a [Monitor] looks at the run: the classic rule of
// [Growth] and the model judge each site side by side, and what they find becomes an
// [Alert] where it is news. Sinks receive the alerts, each by an [Outbox] of its own.
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
}

// New reads the state and returns a monitor with these sinks.
func New(cfg Config, sinks ...Sink) (*Monitor, error) {
	if cfg.Clear == 0 {
		cfg.Clear = 3
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Monitor{cfg: cfg, file: stateFile{path: cfg.State}, state: &State{Sites: map[string]*Record{}, Pending: map[string][]Alert{}}}
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

// Look judges a run as it was after cut events. The gauge, if it is not nil, is one
// more value for the growth rule: the whole of what the source holds. An error is the
// scorer's.
func (m *Monitor) Look(ctx context.Context, source string, run *tokenize.Run, cut uint32, gauge *Gauge) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen, err := m.sightings(ctx, source, run, cut)
	if err != nil {
		return err
	}
	if gauge != nil {
		seen = append(seen, &sighting{key: source + " / " + gauge.Name, source: source, site: gauge.Name, bytes: gauge.Bytes})
	}
	present := map[string]bool{}
	for _, s := range seen {
		present[s.key] = true
		m.judge(s)
	}
	for _, key := range slices.Sorted(maps.Keys(m.state.Sites)) {
		if r := m.state.Sites[key]; !present[key] && r.Last != nil && r.Last.Source == source {
			m.judge(&sighting{key: key, source: source, site: r.Last.Site})
		}
	}
	m.forget(source, present)
	m.save()
	return nil
}

// sightings are the sites of a run that have outstanding blocks.
func (m *Monitor) sightings(ctx context.Context, source string, run *tokenize.Run, cut uint32) ([]*sighting, error) {
	scene := &tokenize.Scene{Run: run, Cut: cut}
	if m.cfg.Reference != nil {
		scene.Reference = m.cfg.Reference(run)
	}
	var seen []*sighting
	add := func(v *tokenize.View) *sighting {
		site := &run.Sites[v.Site]
		s := &sighting{key: fmt.Sprintf("%s / %016x", source, uint64(site.Exact)), source: source, site: site.Label, frames: site.Frames}
		_, s.bytes = v.Outstanding()
		seen = append(seen, s)
		return s
	}
	if m.cfg.Scorer == nil || m.cfg.Judges != nil && !m.cfg.Judges(run) {
		scene.Views(func(v *tokenize.View) bool { add(v); return true })
		return seen, nil
	}
	threshold := m.cfg.Threshold
	if m.cfg.Thresholds != nil {
		threshold = m.cfg.Thresholds(scene)
	}
	err := detect.Each(ctx, m.cfg.Scorer, scene, func(v *tokenize.View, p float64, blocks []float64) error {
		s := add(v)
		s.judged, s.p, s.model = true, p, p >= threshold
		if s.model {
			for _, i := range detect.Suspects(v.Live, blocks) {
				s.leaked += run.Blocks[i].Size
			}
		}
		return nil
	})
	return seen, err
}

// judge takes a sighting to the record of its site, and tells what is new.
func (m *Monitor) judge(s *sighting) {
	r := m.state.Sites[s.key]
	if r == nil {
		r = &Record{}
		m.state.Sites[s.key] = r
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

// fired tells a site whose level has risen. The level falls, and says nothing, when
// the bytes are well below its limit.
func (m *Monitor) fired(r *Record, s *sighting) {
	if s.growth && !r.Grown {
		r.Grown, r.Floor = true, s.trend.Baseline
	}
	if r.Level == Silent {
		r.Peak = s.bytes
	}
	r.Quiet = 0
	level := m.cfg.Limits.Level(s.weighted(), len(s.frames))
	switch {
	case level > r.Level:
		r.Level = level
		a := s.alert(level)
		m.tell(r, a)
		m.alerts++
	case m.cfg.Limits.Level(s.weighted()*1.25, len(s.frames)) < r.Level:
		r.Level = level
	}
}

func (m *Monitor) resolve(r *Record) {
	a := *r.Last
	a.Resolved, a.Level = true, r.Level
	a.Message = fmt.Sprintf("%s: no longer suspected: %s", a.Source, a.Site)
	m.tell(r, a)
	*r = Record{Trend: r.Trend}
}

// tell puts an alert into every outbox.
func (m *Monitor) tell(r *Record, a Alert) {
	m.state.Serial++
	a.ID = fmt.Sprintf("%s-%d", m.state.Run, m.state.Serial)
	a.Time = m.cfg.Now()
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
