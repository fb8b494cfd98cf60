package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// manager answers as Alertmanager does: alerts with the same labels are one, which
// lasts until its end.
type manager struct {
	mu     sync.Mutex
	answer int
	alerts map[string]postable
	posts  int
	fired  []string // each time that one began
}

func (h *manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.posts++
	if h.answer >= 300 {
		http.Error(w, "no", h.answer)
		return
	}
	var alerts []postable
	err := json.NewDecoder(r.Body).Decode(&alerts)
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/v2/alerts" || len(alerts) == 0 {
		http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
		return
	}
	for _, a := range alerts {
		if a.Labels["alertname"] == "" || a.StartsAt.IsZero() || a.EndsAt.Before(a.StartsAt) {
			http.Error(w, "start time must be before end time", http.StatusBadRequest)
			return
		}
		key := fmt.Sprint(slices.Sorted(maps.Values(a.Labels)))
		was, known := h.alerts[key]
		if now := time.Now(); a.EndsAt.After(now) && (!known || !was.EndsAt.After(now)) {
			h.fired = append(h.fired, a.Labels["severity"])
		}
		h.alerts[key] = a
	}
}

func (h *manager) do(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// firing are the levels of the alerts that last.
func (h *manager) firing() (levels []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.alerts {
		if a.EndsAt.After(time.Now()) {
			levels = append(levels, a.Labels["severity"])
		}
	}
	return levels
}

// A server that fails, and comes back without its memory: what lasts is there, at its
// latest level alone, until it is resolved.
func TestAlertmanager(t *testing.T) {
	h := &manager{answer: http.StatusServiceUnavailable, alerts: map[string]postable{}}
	server := httptest.NewServer(h)
	defer server.Close()
	sink := &Alertmanager{URL: server.URL + "/", Instance: "here", Every: 200 * time.Millisecond}
	m, err := New(Config{Growth: Growth{Consecutive: 1}, Clear: 1, State: filepath.Join(t.TempDir(), "state.json")}, sink)
	if err != nil {
		t.Fatal(err)
	}
	o := m.Outboxes()[0]
	o.First, o.Longest = 5*time.Millisecond, 20*time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { o.Run(ctx) })
	look := func(mb int64) {
		run := heap(t, mb)
		if err := m.Look(ctx, Source{Name: "app\xff"}, run, run.Events, nil); err != nil {
			t.Fatal(err)
		}
	}
	firing := func(level string) func() bool {
		return func() bool { return fmt.Sprint(h.firing()) == "["+level+"]" && o.Len() == 0 }
	}
	look(20)
	look(22)
	until(t, "attempts", func() bool { n := 0; h.do(func() { n = h.posts }); return n > 3 })
	h.do(func() { h.answer = http.StatusOK })
	until(t, "the alert", firing("info"))
	look(60)
	until(t, "a higher level, and it alone", firing("warning"))
	h.do(func() { h.alerts = map[string]postable{} })
	until(t, "the alert again, after a loss", firing("warning"))
	time.Sleep(1200 * time.Millisecond) // longer than one that is not renewed lasts
	if got := h.firing(); fmt.Sprint(got) != "[warning]" {
		t.Errorf("after a while %v fire", got)
	}
	look(20)
	until(t, "its end", firing(""))
	look(22)
	until(t, "a new one", firing("info"))
	m.Gone(Source{Name: "app\xff"})
	until(t, "the end of what is gone", firing(""))
	stop()
	wg.Wait()
	if got := fmt.Sprint(h.fired); got != "[info warning warning info]" {
		t.Errorf("began: %s", got)
	}
	for _, a := range h.alerts {
		if a.Labels["source"] != "app\uFFFD" || a.Labels["instance"] != "here" || a.Annotations["summary"] == "" || a.Labels["site"] == "" || a.Labels["site_id"] == "" {
			t.Errorf("%+v", a)
		}
	}
}

// A clock that is set back does not make an end before the beginning.
func TestAlertmanagerClock(t *testing.T) {
	h := &manager{alerts: map[string]postable{}}
	server := httptest.NewServer(h)
	defer server.Close()
	now := time.Now()
	s := &Alertmanager{URL: server.URL, Now: func() time.Time { return now.AddDate(-1, 0, 0) }}
	for _, a := range []Alert{{Level: Info, Since: now}, {Level: Info, Since: now, Resolved: true, Previous: Info}} {
		if err := s.Send(context.Background(), &a); err != nil {
			t.Errorf("%+v: %v", a, err)
		}
	}
	h.answer = http.StatusBadRequest
	if err := s.Send(context.Background(), &Alert{Since: now}); !errors.Is(err, ErrRefused) {
		t.Errorf("refused: %v", err)
	}
	if name := (&Alertmanager{URL: "http://me:secret@host"}).Name(); strings.Contains(name, "secret") {
		t.Errorf("the name tells the password: %s", name)
	}
}

// The real one, where it is installed.
func TestRealAlertmanager(t *testing.T) {
	program, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Skip("prometheus-alertmanager is not installed")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	config := filepath.Join(t.TempDir(), "config.yml")
	if err := AppendWhole(config, []byte("route:\n  receiver: none\nreceivers:\n- name: none\n")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+config, "--storage.path="+t.TempDir(), "--web.listen-address="+address, "--cluster.listen-address=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	s := &Alertmanager{URL: "http://" + address, Instance: "here"}
	p := 0.5
	a := &Alert{Since: time.Now().Add(-time.Minute), Level: Critical, Previous: Info, Source: "app.log", Site: "f < main \"<\\", SiteID: "5", Probability: &p, Stack: []string{"f", "main"}}
	until(t, "a receipt", func() bool { return s.Send(context.Background(), a) == nil })
	active := func() (found []struct{ Labels map[string]string }) {
		resp, err := http.Get("http://" + address + "/api/v2/alerts?active=true")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	until(t, "the alert", func() bool {
		f := active()
		return len(f) == 1 && f[0].Labels["severity"] == "critical" && f[0].Labels["site"] == a.Site
	})
	a.Resolved, a.Previous = true, Critical
	if err := s.Send(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	until(t, "its end", func() bool { return len(active()) == 0 })
}
