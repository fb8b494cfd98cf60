package dashboard

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// counts is how many requests were answered with which status.
type counts struct {
	mu sync.Mutex
	by map[int]int64
}

func (c *counts) add(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[int]int64{}
	}
	c.by[status]++
}

// metrics answers in the text format of Prometheus. A log is named by its whole name.
func (s *server) metrics(w http.ResponseWriter, r *http.Request) {
	runs, err := s.Store.Runs(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	levels, err := s.counted(r.Context(), []string{"CRITICAL", "WARNING", "INFO", "NONE"}, func(level string) Query { return Query{Level: level} })
	if err != nil {
		s.fail(w, err)
		return
	}
	decisions, err := s.counted(r.Context(), []string{string(Confirmed), string(Dismissed)}, func(d string) Query { return Query{Decision: Decision(d)} })
	if err != nil {
		s.fail(w, err)
		return
	}
	var b strings.Builder
	family(&b, "leakformer_findings", "gauge", "Findings by level.")
	labelled(&b, "leakformer_findings", "level", levels)
	family(&b, "leakformer_decisions", "gauge", "Findings that somebody confirmed or dismissed.")
	labelled(&b, "leakformer_decisions", "decision", decisions)
	leaked, outstanding, leaks := map[string]int64{}, map[string]int64{}, map[string]int64{}
	for _, run := range runs {
		leaked[run.Log], outstanding[run.Log], leaks[run.Log] = run.LeakedBytes, run.OutstandingBytes, int64(run.Leaks)
	}
	family(&b, "leakformer_leaks", "gauge", "Allocation sites that are called leaks.")
	labelled(&b, "leakformer_leaks", "log", leaks)
	family(&b, "leakformer_leaked_bytes", "gauge", "Bytes judged leaked.")
	labelled(&b, "leakformer_leaked_bytes", "log", leaked)
	family(&b, "leakformer_outstanding_bytes", "gauge", "Bytes outstanding at the end of the log.")
	labelled(&b, "leakformer_outstanding_bytes", "log", outstanding)
	family(&b, "leakformer_event_streams", "gauge", "Event streams that are open.")
	fmt.Fprintf(&b, "leakformer_event_streams %d\n", len(s.streams))
	family(&b, "leakformer_http_requests_total", "counter", "Requests answered, by status.")
	s.counts.mu.Lock()
	for _, status := range slices.Sorted(maps.Keys(s.counts.by)) {
		fmt.Fprintf(&b, "leakformer_http_requests_total{code=\"%d\"} %d\n", status, s.counts.by[status])
	}
	s.counts.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprint(w, b.String())
}

// counted is how many findings there are of each value, which a query chooses.
func (s *server) counted(ctx context.Context, values []string, chosen func(string) Query) (map[string]int64, error) {
	counts := map[string]int64{}
	for _, v := range values {
		n, err := s.Store.Count(ctx, chosen(v))
		if err != nil {
			return nil, err
		}
		counts[v] = int64(n)
	}
	return counts, nil
}

func family(b *strings.Builder, name, kind, help string) {
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// escapeLabel writes what a label's value may hold.
var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func labelled(b *strings.Builder, name, label string, values map[string]int64) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(b, "%s{%s=\"%s\"} %d\n", name, label, escapeLabel.Replace(strings.ToValidUTF8(key, "\uFFFD")), values[key])
	}
}
