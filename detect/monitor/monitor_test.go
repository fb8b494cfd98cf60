package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// believer is a scorer that gives every site the same probability.
type believer float64

func (p believer) Score(_ context.Context, views []*tokenize.View) ([]float64, [][]float64, error) {
	if p < 0 {
		return nil, nil, errors.New("no idea")
	}
	ps := make([]float64, len(views))
	for i := range ps {
		ps[i] = float64(p)
	}
	return ps, make([][]float64, len(views)), nil
}

// recorder is a sink that remembers, and fails while it is told to.
type recorder struct {
	name string
	got  []Alert
	fail error
}

func (r *recorder) Name() string { return r.name }
func (r *recorder) Send(_ context.Context, a *Alert) error {
	if r.fail == nil {
		r.got = append(r.got, *a)
	}
	return r.fail
}

// heap is a run of one process with this much live in one place.
func heap(t *testing.T, megabytes int64) *tokenize.Run {
	t.Helper()
	text := fmt.Sprintf("00000000-ffffff000 ---p 00000000 00:00 0    [rollup]\nRss: 1 kB\nAnonymous: %d kB\nPss_Shmem: 0 kB\n", megabytes*1000000/1024)
	src, err := ingest.NewSource("test", strings.NewReader(text), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	run, err := tokenize.Load(context.Background(), src)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// told is what a sink has received, in short.
func told(alerts []Alert) (s []string) {
	for _, a := range alerts {
		what := a.Level.String()
		if a.Resolved {
			what = "resolved"
		}
		s = append(s, what+" "+strings.Join(a.FiredBy, "+"))
	}
	return s
}

func TestHysteresis(t *testing.T) {
	rule := Growth{Threshold: 0.02, Consecutive: 2, MinSize: 1e6}
	for _, c := range []struct {
		name   string
		scorer *believer
		sizes  []int64 // MB at each look; -1: the site is gone
		want   []string
	}{
		{"growth is told when its level rises, and resolved when it is given back", nil,
			[]int64{20, 22, 24, 26, 28, 40, 60, 90, 90, 90, 90, 89, 60, 60, 20, 20, 20, 20},
			[]string{"INFO growth", "WARNING growth", "CRITICAL growth", "resolved growth"}},
		{"what rests is not resolved", nil, []int64{20, 22, 24, 24, 24, 24, 24, 24, 24}, []string{"INFO growth"}},
		{"a site that has gone", nil, []int64{20, 22, 24, -1, -1, -1, -1}, []string{"INFO growth", "resolved growth"}},
		{"seen anew, it is told anew", nil, []int64{20, 22, 24, -1, -1, -1, 20, 22, 24}, []string{"INFO growth", "resolved growth", "INFO growth"}},
		{"the model alone, on what does not grow", ptr(0.9), []int64{20, 20, 20, 20}, []string{"WARNING model"}},
		{"its bytes are weighted", ptr(0.6), []int64{15, 15, 16, 17}, []string{"INFO model", "WARNING model+growth"}},
		{"both", ptr(0.9), []int64{20, 22, 24, 120}, []string{"WARNING model", "CRITICAL model+growth"}},
		{"growth that the model doubts counts half", ptr(0.01), []int64{20, 22, 24, 39, 42, 44}, []string{"INFO growth", "WARNING growth"}},
		{"nothing", ptr(0.1), []int64{20, 20, 20, 20}, nil},
	} {
		sink := &recorder{name: "log"}
		cfg := Config{Growth: rule, Threshold: 0.5}
		if c.scorer != nil {
			cfg.Scorer = *c.scorer
		}
		m, err := New(cfg, sink)
		if err != nil {
			t.Fatal(err)
		}
		for _, mb := range c.sizes {
			run := heap(t, max(mb, 1))
			cut := run.Events
			if mb < 0 {
				cut = 0
			}
			if err := m.Look(context.Background(), Source{Name: "test"}, run, cut, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Outboxes()[0].Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := told(sink.got); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func ptr(p believer) *believer { return &p }

// A monitor that is started again tells nothing twice and loses nothing, whatever the
// clock says meanwhile; one that was reset knows nothing.
func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "state.json")
	clock := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	sink := &recorder{name: "log", fail: errors.New("down")}
	scorer := believer(0.9)
	start := func() *Monitor {
		m, err := New(Config{Scorer: scorer, Threshold: 0.5, Growth: Growth{Threshold: 0.02, Consecutive: 3}, State: path, Now: func() time.Time { return clock }}, sink)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	look := func(m *Monitor, mb int64) {
		run := heap(t, mb)
		if err := m.Look(context.Background(), Source{Name: "test"}, run, run.Events, &Gauge{"RSS", mb * 1e6}); err != nil {
			t.Fatal(err)
		}
	}
	m := start()
	look(m, 20)
	look(m, 21)
	if err := m.Outboxes()[0].Flush(context.Background()); err == nil || !strings.Contains(err.Error(), "1 alerts are left undelivered: down") {
		t.Errorf("a sink that is down: %v", err)
	}
	clock = clock.AddDate(-20, 0, 0) // somebody sets the clock
	sink.fail = nil
	m = start()
	look(m, 22)
	look(m, 23) // Growth of RSS is seen across the restart: 20, 21, 22, 23.
	if n := m.Alerts(); n != 1 {
		t.Errorf("%d alerts of the second monitor, want 1", n)
	}
	if err := m.Outboxes()[0].Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, want := told(sink.got), []string{"WARNING model", "INFO growth"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if sink.got[0].ID == sink.got[1].ID || !sink.got[1].Time.Equal(clock) {
		t.Errorf("alerts %+v", sink.got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	m = start()
	look(m, 23)
	if n := m.Alerts(); n != 1 {
		t.Errorf("%d alerts after a reset, want that of the model", n)
	}
}

func TestBadState(t *testing.T) {
	dir := t.TempDir()
	look := func(m *Monitor) {
		run := heap(t, 20)
		if err := m.Look(context.Background(), Source{Name: "test"}, run, run.Events, nil); err != nil {
			t.Error(err)
		}
		m.Gone(Source{Name: "test"})
	}
	for _, c := range []struct{ text, want string }{
		{"", "state.json: no state of a monitor: unexpected end of JSON input; forget it with leakformer reset"},
		{"[]", "no state of a monitor"}, {`{"sites":{"a":5}}`, "no state of a monitor"}, {`{"sites":{"a":{"level":"LOUD"}}}`, "no level"},
		{"{}", ""}, {`{"sites":{"a":null,"test / 1":{"level":"INFO","grown":true}},"pending":null}`, ""},
	} {
		path := filepath.Join(dir, "state.json")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := New(Config{State: path})
		if m != nil {
			look(m)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
	// A disk that takes nothing keeps nobody from watching.
	m, err := New(Config{State: filepath.Join(dir, "state.json", "below", "a", "file"), Scorer: believer(0.9)})
	if err == nil {
		run := heap(t, 20)
		err = m.Look(context.Background(), Source{Name: "test"}, run, run.Events, nil)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) && !strings.Contains(err.Error(), "not a directory") {
		t.Error(err)
	}
}

func TestScorerFails(t *testing.T) {
	m, err := New(Config{Scorer: believer(-1)})
	if err != nil {
		t.Fatal(err)
	}
	run := heap(t, 20)
	if err := m.Look(context.Background(), Source{Name: "test"}, run, run.Events, nil); err == nil || !strings.Contains(err.Error(), "no idea") {
		t.Errorf("error %v", err)
	}
}

// The message says which rule fired, and the alert who is to blame.
func TestMessage(t *testing.T) {
	s := &sighting{source: Source{Name: "app.log"}, site: "f < main", frames: []ingest.Frame{{Function: "f", File: "a.c", Line: 7}, {Module: "/bin/app", Address: 16}},
		bytes: 3e6, leaked: 2e6, judged: true, model: true, p: 0.75, growth: true, trend: Trend{Baseline: 1e6, Last: 3e6, Streak: 4}}
	a := s.alert(Warning)
	if want := "app.log: 2000000 bytes at f < main, says the model (P 0.750) and growth (1000000 to 3000000 bytes in 4 steps)"; a.Message != want {
		t.Errorf("%q, want %q", a.Message, want)
	}
	if len(a.Stack) != 2 || !strings.Contains(a.Stack[0], "a.c:7") || *a.Probability != 0.75 || a.SizeMB != 2 {
		t.Errorf("alert %+v", a)
	}
}
