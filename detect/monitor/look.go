package monitor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"leakformer/detect"
	"leakformer/tokenize"
)

// Look is what a monitor saw when it looked at a source. It is a [detect.Scorer] that
// says again what the model said then: so a [detect.Detector] can list the findings
// without asking the model twice.
type Look struct {
	Source Source
	Scene  *tokenize.Scene
	// Judged: the model was asked. Threshold is what its probabilities are held
	// against.
	Judged    bool
	Threshold float64
	// Suspects are the sites of which something is to be told, or was told and is not
	// resolved, in the order of the run's sites.
	Suspects []Suspect
	// Time by the clock of the machine.
	Time time.Time
	// Bytes is all that is outstanding, or what the source says that it is.
	Bytes int64

	sites  map[int]float64
	blocks map[int][]float64
}

// Suspect is a site as it is at this look. Its alert has no ID: it was not sent.
type Suspect struct {
	Alert
	// Of indexes the run's sites; -1 is the source as a whole.
	Of int
	// Live is all bytes that are outstanding there.
	Live int64
	// Model: it calls the site a leak. Reasons are the rules that fired.
	Model   bool
	Reasons []string
}

// Score returns what was said of these views.
func (l *Look) Score(_ context.Context, views []*tokenize.View) (sites []float64, blocks [][]float64, err error) {
	sites, blocks = make([]float64, len(views)), make([][]float64, len(views))
	for i, v := range views {
		sites[i], blocks[i] = l.sites[v.Site], l.blocks[v.Site]
	}
	return sites, blocks, nil
}

// Look judges a run as it was after cut events. The gauge, if it is not nil, is one
// more value for the growth rule: the whole of what the source holds. An error is the
// scorer's, or that of Config.Looked.
func (m *Monitor) Look(ctx context.Context, source Source, run *tokenize.Run, cut uint32, gauge *Gauge) error {
	l := &Look{Source: source, Scene: &tokenize.Scene{Run: run, Cut: cut}, sites: map[int]float64{}, blocks: map[int][]float64{}}
	if err := m.look(ctx, l, gauge); err != nil || m.cfg.Looked == nil {
		return err
	}
	return m.cfg.Looked(ctx, l)
}

func (m *Monitor) look(ctx context.Context, l *Look, gauge *Gauge) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.Time = m.cfg.Now()
	m.watched[l.Source.Name] = true
	seen, err := m.sightings(ctx, l)
	if err != nil {
		return err
	}
	if gauge != nil {
		l.Bytes = gauge.Bytes
		seen = append(seen, &sighting{source: l.Source, id: gauge.Name, site: gauge.Name, bytes: gauge.Bytes, of: -1})
	}
	present := map[string]bool{}
	for _, s := range seen {
		present[s.key()] = true
		m.judge(s)
		if r := m.state.Sites[s.key()]; r.Level > Silent || s.model || s.growth {
			l.Suspects = append(l.Suspects, m.suspect(s, r))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.state.Sites)) {
		if r := m.state.Sites[key]; !present[key] && r.Last != nil && r.Last.Source == l.Source.Name {
			m.judge(&sighting{source: l.Source, id: strings.TrimPrefix(key, l.Source.Name+" / "), site: r.Last.Site})
		}
	}
	m.forget(l.Source.Name, present)
	m.save()
	return nil
}

// suspect tells of a site as it is now.
func (m *Monitor) suspect(s *sighting, r *Record) Suspect {
	level := r.Level
	if s.model || s.growth {
		level = max(level, m.cfg.Limits.Level(s.weighted(), len(s.frames)))
	}
	out := Suspect{Alert: s.alert(level), Of: s.of, Live: s.bytes, Model: s.model, Reasons: s.reasons()}
	out.Time, out.Since = m.cfg.Now(), m.cfg.Now()
	if r.Last != nil {
		out.Since = r.Last.Since
	}
	if len(out.FiredBy) == 0 { // It rests at what it has grown to.
		out.FiredBy, out.Message = r.Last.FiredBy, r.Last.Message
		out.Reasons = []string{fmt.Sprintf("growth (%d to %d bytes, and at rest now)", r.Floor, s.bytes)}
	}
	return out
}

// sightings are the sites of a run that have outstanding blocks.
func (m *Monitor) sightings(ctx context.Context, l *Look) ([]*sighting, error) {
	run := l.Scene.Run
	if m.cfg.Reference != nil {
		l.Scene.Reference = m.cfg.Reference(run)
	}
	var seen []*sighting
	add := func(v *tokenize.View) *sighting {
		site := &run.Sites[v.Site]
		s := &sighting{source: l.Source, id: strconv.FormatUint(uint64(site.Exact), 10), site: site.Label, frames: site.Frames, of: v.Site}
		_, s.bytes = v.Outstanding()
		l.Bytes += s.bytes
		seen = append(seen, s)
		return s
	}
	if m.cfg.Scorer == nil || m.cfg.Judges != nil && !m.cfg.Judges(run) {
		l.Threshold = 1
		l.Scene.Views(func(v *tokenize.View) bool { add(v); return true })
		return seen, nil
	}
	l.Judged, l.Threshold = true, m.cfg.Threshold
	if m.cfg.Thresholds != nil {
		l.Threshold = m.cfg.Thresholds(l.Scene)
	}
	err := detect.Each(ctx, m.cfg.Scorer, l.Scene, func(v *tokenize.View, p float64, blocks []float64) error {
		s := add(v)
		s.judged, s.p, s.model = true, p, p >= l.Threshold
		l.sites[v.Site] = p
		if s.model {
			l.blocks[v.Site] = slices.Clone(blocks)
			for _, i := range detect.Suspects(v.Live, blocks) {
				s.leaked += run.Blocks.Size(i)
			}
		}
		return nil
	})
	return seen, err
}
