package dashboard_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leakformer/detect"
	"leakformer/detect/dashboard"
)

// load is what a server has to bear: requests at a steady rate, whether or not those
// before are answered, beside clients that read its stream of changes.
type load struct {
	rate    int // requests a second
	clients int // that read the stream
	time    time.Duration
	changes time.Duration // between two changes of what is served
}

// outcome is how it did.
type outcome struct {
	took   []time.Duration // from when a request was due until all of it was read, in order
	failed int
	events int64 // read by all clients
	early  uint64
	late   uint64 // bytes on the heap, after a fifth of the time and at the end
}

func (o *outcome) percentile(p float64) time.Duration {
	return o.took[min(len(o.took)-1, int(p*float64(len(o.took))))]
}

// many is a store of 20 runs with 25 findings each, as whole as a log's.
func many(tb testing.TB) *dashboard.Memory {
	tb.Helper()
	store := &dashboard.Memory{}
	course := &detect.Course{Unit: "events"}
	for i := range int64(120) {
		course.Events, course.Live, course.Leaked = append(course.Events, 1000*i), append(course.Live, 4096*i), append(course.Leaked, 1024*i)
	}
	for r := range 20 {
		run := dashboard.Run{Log: fmt.Sprintf("logs/run-%02d.raw", r), Program: fmt.Sprintf("program-%d", r%4), Class: "events", Course: course, Warnings: []string{}}
		if err := store.Put(tb.Context(), run, findings(&run, 0)); err != nil {
			tb.Fatal(err)
		}
	}
	return store
}

// findings of a run, when it was judged for the n-th time.
func findings(run *dashboard.Run, n int) (all []dashboard.Finding) {
	for i := range 25 {
		f := dashboard.Finding{ID: fmt.Sprintf("%s-%d", run.Log[5:11], i), Log: run.Log, Program: run.Program, Key: detect.SiteKey{Exact: 1}, Timestamp: time.Now().UTC(),
			Site: fmt.Sprintf("allocate_%d < handle_request < main_loop", i), Level: "INFO", Probability: 0.9, Leak: true, Bytes: int64(4096 * (i + n)), Blocks: int64(i + n),
			Why: []string{"none of the 1,000 blocks allocated here was freed"}, Course: run.Course}
		for _, function := range []string{f.Site[:11], "handle_request", "worker", "main_loop", "main"} {
			f.Frames = append(f.Frames, dashboard.Frame{Function: function, Module: "/usr/bin/server", Address: "0x1234"})
			f.StackTrace = append(f.StackTrace, function+" in /usr/bin/server")
		}
		all = append(all, f)
	}
	return all
}

// paths are what the page asks for, as often as it does.
var paths = []string{
	"/api/memory-leaks", "/api/runs", "/api/memory-leaks/run-07-3", "/api/history?log=logs/run-07.raw", "/api/memory-leaks?program=program-2&limit=50",
	"/api/flame?log=logs/run-03.raw", "/api/compare?a=log:logs/run-01.raw&b=program:program-3", "/metrics", "/", "/page.js", "/healthz",
}

// bear lets a server bear a load.
func bear(tb testing.TB, l load) *outcome {
	tb.Helper()
	store := many(tb)
	server := httptest.NewServer(dashboard.New(dashboard.Config{Store: store, Quiet: 100 * time.Millisecond}))
	defer server.Close()
	ctx, stop := context.WithTimeout(tb.Context(), l.time)
	defer stop()
	o := &outcome{}
	var streams, rest sync.WaitGroup
	for range l.clients {
		streams.Go(func() { follow(ctx, server.URL, &o.events) })
	}
	rest.Go(func() { change(ctx, store, l.changes) })
	rest.Go(func() { o.early, o.late = heaps(ctx, l.time) })
	o.request(ctx, server.URL, l.rate)
	<-ctx.Done()
	rest.Wait()
	streams.Wait()
	slices.Sort(o.took)
	return o
}

// follow counts the events of a stream.
func follow(ctx context.Context, url string, events *int64) {
	r, _ := http.NewRequestWithContext(ctx, "GET", url+"/api/events", nil)
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(r)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: ") {
			atomic.AddInt64(events, 1)
		}
	}
}

// change judges one log anew, time and again.
func change(ctx context.Context, store *dashboard.Memory, every time.Duration) {
	runs, _ := store.Runs(ctx)
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
			run := runs[n%len(runs)]
			store.Put(ctx, run, findings(&run, n))
		}
	}
}

// heaps measures the heap after a fifth of a time and shortly before its end.
func heaps(ctx context.Context, whole time.Duration) (early, late uint64) {
	measure := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	time.Sleep(whole / 5)
	early = measure()
	time.Sleep(whole * 7 / 10)
	return early, measure()
}

// request asks at the rate until the context ends.
func (o *outcome) request(ctx context.Context, url string, rate int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: rate, DialContext: (&net.Dialer{}).DialContext}, Timeout: 10 * time.Second}
	var mu sync.Mutex
	var open sync.WaitGroup
	start := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		due := start.Add(time.Duration(n) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		open.Go(func() {
			resp, err := client.Get(url + paths[n%len(paths)])
			ok := err == nil && resp.StatusCode == http.StatusOK
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			mu.Lock()
			defer mu.Unlock()
			o.took = append(o.took, time.Since(due))
			if !ok || err != nil {
				o.failed++
			}
		})
	}
	open.Wait()
}

// All requests are answered, and all clients told of changes. With LOAD=1 it takes 30
// seconds, says how long answers took, and holds that against what is promised.
func TestLoad(t *testing.T) {
	l := load{rate: 200, clients: 50, time: 2 * time.Second, changes: 200 * time.Millisecond}
	long := os.Getenv("LOAD") != ""
	if long {
		l.time, l.changes = 30*time.Second, time.Second
	}
	o := bear(t, l)
	if o.failed > 0 || len(o.took) < l.rate || o.events < int64(l.clients) {
		t.Errorf("%d of %d requests failed; %d events", o.failed, len(o.took), o.events)
	}
	t.Logf("%d requests in %v beside %d streams with %d events: p50 %v, p99 %v, most %v; heap %d kB, then %d kB", len(o.took), l.time, l.clients, o.events,
		o.percentile(0.5), o.percentile(0.99), o.took[len(o.took)-1], o.early/1000, o.late/1000)
	if long && (len(o.took) < l.rate*29 || o.percentile(0.99) > 100*time.Millisecond || o.late > o.early+o.early/4) {
		t.Error("that is too few, too slow or too much")
	}
}

// The figures of such a load, on this machine.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		o := bear(b, load{rate: 200, clients: 50, time: 5 * time.Second, changes: time.Second})
		b.ReportMetric(float64(o.percentile(0.5).Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(o.percentile(0.99).Microseconds())/1000, "p99-ms")
		b.ReportMetric(float64(o.late)/float64(o.early), "heap-ratio")
	}
}
