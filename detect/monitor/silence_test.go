package monitor

import (
	"context"
	"reflect"
	"testing"
	"time"

	"leakformer/ingest"
)

func TestSilencePatterns(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	at := &sighting{source: Source{Name: "pid 5"}, site: "strdup < submit < main", frames: []ingest.Frame{{Function: "strdup", Module: "libc.so"}, {Function: "operator=="}}}
	for _, c := range []struct {
		text  string
		after time.Duration
		want  bool
	}{
		{"pid 5", 0, true}, {"pid*", 0, true}, {"pid", 0, false}, {"strdup", 0, true}, {"strdup < *", 0, true}, {"*submit*", 0, true}, {"submit", 0, false},
		{"operator==", time.Hour, true}, {"strdup=1h", time.Hour, true}, {"strdup=1h", time.Hour + 1, false}, {"strdup=-1h", 0, false},
		{"s.r.up", 0, false}, {"*", 0, true}, {"[a-z]*", 0, false}, {"*=5m", time.Minute, true},
	} {
		s, err := ParseSilence(c.text, now)
		if err != nil || s.covers(at, now.Add(c.after)) != c.want {
			t.Errorf("%q after %v: %v, %v", c.text, c.after, !c.want, err)
		}
	}
	for _, bad := range []string{"", "=5m", "\xff*"} {
		if _, err := ParseSilence(bad, now); err == nil {
			t.Errorf("%q is a pattern", bad)
		}
	}
}

// What is silenced is not told, and is told when the silence is over and it still
// leaks; also where the clock is set meanwhile, later than it should but once.
func TestSilence(t *testing.T) {
	clock := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	silence, err := ParseSilence("test=5m", clock)
	if err != nil {
		t.Fatal(err)
	}
	sink := &recorder{name: "log"}
	m, err := New(Config{Growth: Growth{Consecutive: 1}, Silences: []Silence{silence}, Now: func() time.Time { return clock }}, sink)
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []time.Duration{0, time.Minute, time.Minute, -time.Hour, time.Hour, 10 * time.Minute, time.Minute} {
		clock = clock.Add(step)
		run := heap(t, int64(20+i))
		if err := m.Look(context.Background(), Source{Name: "test"}, run, run.Events, nil); err != nil {
			t.Fatal(err)
		}
		if told := m.Alerts() == 1; told != (i >= 5) {
			t.Errorf("look %d: %d alerts", i, m.Alerts())
		}
	}
	if err := m.Outboxes()[0].Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, want := told(sink.got), []string{"INFO growth"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
