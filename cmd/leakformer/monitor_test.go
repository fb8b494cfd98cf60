package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"leakformer/detect/dashboard"
	"leakformer/detect/monitor"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// background runs a command until it is stopped, or the test ends.
func background(t *testing.T, args ...string) (stdout, stderr *output, end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	stdout, stderr = &output{}, &output{}
	var running sync.WaitGroup
	running.Go(func() {
		sh := &shell{stdin: strings.NewReader(""), stdout: stdout, stderr: stderr}
		if status := sh.main(ctx, append([]string{"leakformer"}, args...)); status != 0 && status != exitLeaks {
			t.Errorf("%v ended with status %d: %s", args, status, stderr)
		}
	})
	end = func() { stop(); running.Wait() }
	t.Cleanup(end)
	return stdout, stderr, end
}

// pageOf waits until a monitor tells where its page is.
func pageOf(t *testing.T, stderr *output) string {
	t.Helper()
	stderr.waitFor(t, "the page is http://")
	return regexp.MustCompile(`http://\S+/`).FindString(stderr.String())
}

// One who knows nothing starts simulate, and monitor --serve in another terminal: the
// leak is in an alert and on the page, with its course and the alert.
func TestMonitorServe(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	_, simulated, end := background(t, "simulate", "--interval", "20ms", "--size", "100kB")
	simulated.waitFor(t, "leaks 100000 bytes every 20ms")
	stdout, stderr, _ := background(t, "monitor", "--serve", "--addr", "127.0.0.1:0", "--interval", "300ms", "--steady")
	page := pageOf(t, stderr)
	stdout.waitFor(t, "at malloc(100000), says ")
	var leak *dashboard.Finding
	for _, f := range until(t, page) {
		if f.Site == "malloc(100000)" {
			leak = &f
		}
	}
	if leak == nil || !leak.Leak || leak.Level == "NONE" || leak.Bytes < 1e6 || !strings.Contains(leak.Log, "simulate") || len(leak.Why) < 2 {
		t.Fatalf("%+v", leak)
	}
	var whole dashboard.Finding
	get(t, page+"api/memory-leaks/"+leak.ID, &whole)
	if whole.Course == nil || whole.Course.Leaked[len(whole.Course.Leaked)-1] < 1e6 {
		t.Errorf("course %+v", whole.Course)
	}
	var h dashboard.History
	for end := time.Now().Add(time.Minute); len(h.Alerts) == 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		get(t, page+"api/history?log="+url.QueryEscape(leak.Log)+"&id="+leak.ID, &h)
	}
	if len(h.Alerts) == 0 || h.Alerts[0].Finding != leak.ID || h.Alerts[0].Message == "" || len(h.Snapshots) == 0 || h.Snapshots[len(h.Snapshots)-1].Leaked < 1e6 {
		t.Errorf("history %+v", h)
	}
	// It goes on: the page shows more when there is more.
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		var later dashboard.Finding
		if get(t, page+"api/memory-leaks/"+leak.ID, &later); later.Bytes > leak.Bytes {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the page stands still")
		}
	}
	end()
	stdout.waitFor(t, "no longer suspected: malloc(100000)")
}

// Without a model the growth rule alone is on the page, of a source as a whole too.
func TestMonitorServeGrowth(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	_, simulated, _ := background(t, "simulate", "--interval", "20ms", "--size", "1MB", "--log", dir+"/sim.log")
	simulated.waitFor(t, "leaks 1000000 bytes")
	stdout, stderr, _ := background(t, "monitor", dir+"/sim.log", "--model", "none", "--serve", "--addr", "127.0.0.1:0", "--interval", "300ms", "--steady",
		"--warning", "1kB", "--critical", "1GB", "--critical-shallow", "1GB", "--silence", "*=1ms")
	page := pageOf(t, stderr)
	stdout.waitFor(t, "  WARNING  ")
	found := until(t, page)
	if f := found[0]; len(found) != 1 || f.Level != "WARNING" || !f.Leak || f.Probability != 0 || len(f.Why) != 1 || !strings.HasPrefix(f.Why[0], "growth (") {
		t.Errorf("%+v", found)
	}
	var runs []dashboard.Run
	get(t, page+"api/runs", &runs)
	if len(runs) != 1 || runs[0].Leaks != 1 || runs[0].LeakedBytes == 0 || runs[0].Model != noModel {
		t.Errorf("%+v", runs)
	}
}

// What the kernel and a program lose together is one story on the page, on both sides;
// of a source as a whole too.
func TestMonitorPageLinks(t *testing.T) {
	store := &dashboard.Memory{}
	p := &page{sh: &shell{stderr: t.Output()}, c: cli.NewContext(nil, flag.NewFlagSet("", 0), nil), store: store, model: noModel}
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { now = now.Add(time.Millisecond); return now }
	m, err := monitor.New(monitor.Config{Growth: monitor.Growth{Consecutive: 1}, Looked: p.look, Now: clock}, p)
	if err != nil {
		t.Fatal(err)
	}
	look := func(s monitor.Source, text string, gauge *monitor.Gauge) {
		src, err := ingest.NewSource(s.Name, strings.NewReader(text), ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		run, err := tokenize.Load(t.Context(), src)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Look(t.Context(), s, run, run.Events, gauge); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		user := &monitor.Gauge{Name: "RSS", Bytes: int64(1+i) * 5e6}
		look(monitor.Source{Name: "pid 5"}, "0-1 ---p 0 00:00 0 [rollup]\nRss: 9 kB\nAnonymous: 7 kB\n", user)
		look(monitor.Source{Name: "slabinfo", Kernel: true}, fmt.Sprintf("slabinfo - version: 2.1\n"+
			"# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n"+
			"dentry %d %d 1000 21 1 : tunables 0 0 0 : slabdata 9 9 0\n", (1+i)*5000, (1+i)*5000), nil)
	}
	if err := m.Outboxes()[0].Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for log, other := range map[string]string{"pid 5": "together with slabinfo: ", "slabinfo": "together with pid 5: "} {
		found, err := store.List(t.Context(), dashboard.Query{Log: log})
		if err != nil || len(found) != 1 || !found[0].Leak || found[0].Bytes != 10e6 || !strings.Contains(strings.Join(found[0].Why, "\n"), other) {
			t.Errorf("%s: %+v, %v", log, found, err)
		}
	}
	h, err := store.History(t.Context(), dashboard.Window{Log: "slabinfo"})
	if err != nil || len(h.Snapshots) != 3 || len(h.Alerts) != 1 || !strings.Contains(h.Alerts[0].Message, "; together with pid 5: 5000000 bytes at RSS") {
		t.Errorf("%+v, %v", h, err)
	}
}

// A process that grows is told, and resolved when it has ended, while the machine is
// watched on.
func TestMonitorProcessEnds(t *testing.T) {
	leaky := exec.Command("leakformer", "simulate", "--interval", "20ms", "--count", "2000", "--log", os.DevNull)
	if err := leaky.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- leaky.Wait() }()
	stdout, stderr, _ := background(t, "monitor", "--pid", fmt.Sprint(leaky.Process.Pid), "--system", "--model", "none", "--interval", "100ms", "--steady",
		"--threshold", "1", "--state", "none", "--min-size", "5MB")
	stdout.waitFor(t, fmt.Sprintf("pid %d: ", leaky.Process.Pid))
	leaky.Process.Signal(os.Interrupt)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	stderr.waitFor(t, fmt.Sprintf("pid %d is gone", leaky.Process.Pid))
	stdout.waitFor(t, fmt.Sprintf("pid %d: no longer suspected: RSS", leaky.Process.Pid))
}

func get(t *testing.T, url string, to any) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(body, to)
	}
	if err != nil {
		t.Fatalf("%s: %s: %v", url, body, err)
	}
}
