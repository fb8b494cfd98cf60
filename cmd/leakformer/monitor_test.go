package main

import (
	"context"
	"encoding/json"
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

	"leakformer/detect/dashboard"
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
