package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// hook is a server that can fail, and counts what it has taken.
type hook struct {
	mu     sync.Mutex
	answer int
	taken  []string
	tries  int
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tries++
	var a Alert
	err := json.NewDecoder(r.Body).Decode(&a)
	if h.answer >= 300 {
		http.Error(w, "no", h.answer)
		return
	}
	if err != nil || a.ID == "" || r.Header.Get("Idempotency-Key") != a.ID || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "what?", http.StatusBadRequest)
		return
	}
	h.taken = append(h.taken, a.ID)
	w.WriteHeader(http.StatusNoContent)
}

func (h *hook) set(answer int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

func (h *hook) count() (taken, tries int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.taken), h.tries
}

// queue puts an alert into the outboxes.
func queue(m *Monitor, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tell(&Record{}, Alert{Level: Info, Message: fmt.Sprint(n)})
	m.save()
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// A server that answers errors, then is not there at all, then comes back: each alert
// arrives once, in order, also over a restart of the monitor.
func TestWebhookRecovers(t *testing.T) {
	h := &hook{answer: http.StatusServiceUnavailable}
	server := httptest.NewServer(h)
	address := server.Listener.Addr().String()
	state := filepath.Join(t.TempDir(), "state.json")
	start := func() (m *Monitor, stop func()) {
		m, err := New(Config{State: state}, &Webhook{URL: "http://" + address, Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
		if err != nil {
			t.Fatal(err)
		}
		o := m.Outboxes()[0]
		o.First, o.Longest = 10*time.Millisecond, 40*time.Millisecond
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { o.Run(ctx) })
		return m, func() { cancel(); wg.Wait() }
	}
	m, stop := start()
	for n := range 10 {
		queue(m, n)
	}
	until(t, "some attempts", func() bool { _, tries := h.count(); return tries >= 3 })
	server.Close() // nobody listens
	for n := range 10 {
		queue(m, 10+n)
	}
	stop()
	if n := m.Outboxes()[0].Len(); n != 20 {
		t.Fatalf("%d alerts wait, want 20", n)
	}

	m, stop = start()
	queue(m, 20)
	h.set(http.StatusOK)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("the port is taken: %v", err)
	}
	again := &httptest.Server{Listener: listener, Config: &http.Server{Handler: h}}
	again.Start()
	defer again.Close()
	until(t, "all alerts", func() bool { taken, _ := h.count(); return taken >= 21 })
	until(t, "an empty outbox", func() bool { return m.Outboxes()[0].Len() == 0 })
	stop()
	seen := map[string]bool{}
	for i, id := range h.taken {
		if seen[id] || !strings.HasSuffix(id, fmt.Sprintf("-%d", i+1)) {
			t.Errorf("alert %d is %s: lost, doubled or out of order: %v", i, id, h.taken)
		}
		seen[id] = true
	}
	if s, err := ReadState(state); err != nil || len(s.Pending) != 0 {
		t.Errorf("left in the state: %v, %v", s.Pending, err)
	}
}

// An attempt with no end is given up, and what is refused for good is not sent again.
func TestWebhookHangs(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	w := &Webhook{URL: server.URL, Timeout: 50 * time.Millisecond}
	if err := w.Send(context.Background(), &Alert{ID: "1"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	h := &hook{answer: http.StatusUnprocessableEntity}
	refusing := httptest.NewServer(h)
	defer refusing.Close()
	m, err := New(Config{}, &Webhook{URL: refusing.URL})
	if err != nil {
		t.Fatal(err)
	}
	queue(m, 1)
	if err := m.Outboxes()[0].Flush(context.Background()); err != nil || m.Outboxes()[0].Len() != 0 || h.tries != 1 {
		t.Errorf("error %v, %d left, %d tries", err, m.Outboxes()[0].Len(), h.tries)
	}
}

// What waits is bounded: the oldest goes.
func TestPendingBounded(t *testing.T) {
	m, err := New(Config{}, &recorder{name: "log"})
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxPending + 5 {
		m.tell(&Record{}, Alert{Message: fmt.Sprint(n)})
	}
	if a := m.Outboxes()[0].front(); m.Outboxes()[0].Len() != maxPending || a.Message != "5" {
		t.Errorf("%d wait, first %q", m.Outboxes()[0].Len(), a.Message)
	}
}

// A command gets its arguments as they are: no shell looks at them.
func TestCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	a := &Alert{ID: "7", Level: Critical, Site: "$(touch " + out + ".site)\x00;x", Bytes: 5, Stack: []string{}}
	c := &Command{Argv: []string{"sh", "-c", `cat >"$0"; printf '%s|%s' "$1" "$LEAKFORMER_LEVEL" >>"$0"`, out, "$(touch " + out + ".pwned); *"}}
	if err := c.Send(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil || !strings.HasPrefix(string(data), `{"id":"7",`) || !strings.HasSuffix(string(data), "}\n$(touch "+out+".pwned); *|CRITICAL") {
		t.Errorf("%q, %v", data, err)
	}
	if found, _ := filepath.Glob(out + ".*"); len(found) != 0 {
		t.Errorf("a shell has run %v", found)
	}
	for _, bad := range []*Command{{Argv: []string{"sh", "-c", "echo broken >&2; exit 3"}}, {Argv: []string{"/no/such/program"}}, {Argv: []string{"sleep", "60"}, Timeout: 50 * time.Millisecond}} {
		if err := bad.Send(context.Background(), a); err == nil {
			t.Errorf("%v: no error", bad.Argv)
		}
	}
}
