package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A log that is cut short and one that is moved away: the monitor goes on with what
// takes their place, resolves what is gone, and says what it found.
func TestMonitorRotation(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "app.log")
	var lines atomic.Int64
	next := 1
	write := func(flags, blocks int) {
		t.Helper()
		f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|flags, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for range blocks {
			fmt.Fprintf(f, "--31-- malloc(2000000) = 0x%X\n", 0x5000000+next*0x1000)
			next++
			lines.Add(1)
		}
	}
	write(os.O_TRUNC, 1)
	ctx, interrupt := context.WithCancel(t.Context())
	var stdout, stderr output
	sh := &shell{stdout: &stdout, stderr: &stderr}
	status := make(chan int, 1)
	go func() {
		status <- sh.main(ctx, []string{"leakformer", "monitor", log, "--model", "none", "--interval", "50ms", "--steady", "--consecutive", "2",
			"--warning", "1GB", "--critical", "1GB", "--critical-shallow", "1GB", "--state", filepath.Join(dir, "state.json"), "--log-format", "trace-malloc"})
	}()
	grow := func(until func() bool) {
		t.Helper()
		blocks := 1
		for end := time.Now().Add(time.Minute); !until(); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("stdout: %s\nstderr: %s", &stdout, &stderr)
			}
			write(os.O_APPEND, blocks)
			blocks = min(blocks*3/2+1, 5000)
		}
	}
	count := func(text string, n int) func() bool {
		return func() bool { return strings.Count(stdout.String(), text) >= n }
	}
	grow(count("  INFO  ", 1))
	write(os.O_TRUNC, 1)
	stderr.waitFor(t, "was replaced or cut short: a new log begins")
	stdout.waitFor(t, "resolved")
	grow(count("  INFO  ", 2))
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	write(os.O_TRUNC, 1)
	for end := time.Now().Add(time.Minute); !count("resolved", 2)() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	interrupt()
	if got := <-status; got != exitLeaks {
		t.Errorf("status %d: %s", got, stderr.String())
	}
	if out := stdout.String(); strings.Count(out, "resolved") != 2 || !strings.Contains(out, "says growth (") {
		t.Errorf("%s", out)
	}
}

// Sizes are read as people write them.
func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"1500": 1500, "10k": 10000, "1.5MB": 1500000, "64MiB": 64 << 20, "2 GB": 2e9, "0": 0, "1tb": 1e12, "7b": 7} {
		var s size
		if err := s.Set(text); err != nil || int64(s) != want {
			t.Errorf("%q: %d, %v, want %d", text, s, err, want)
		}
		var back size
		if err := back.Set(s.String()); err != nil || back != s {
			t.Errorf("%q is %s, and back %d, %v", text, &s, back, err)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1e30", "NaN", "Inf", "1 x", "5MBMB", "1bk"} {
		if err := new(size).Set(text); err == nil {
			t.Errorf("%q is a size", text)
		}
	}
}

func TestLiveUsage(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"monitor a --link-window 0s", 2, "--link-window 0s: want more than 0"},
		{"monitor a --silence =5m", 2, "an empty pattern fits nothing"},
		{"monitor a --allow-remedies", 2, "--allow-remedies needs --remedies"},
		{"monitor a --model none --alertmanager localhost", 2, "--alertmanager localhost: want a URL"},
		{"monitor a --model none --remedies /no/such/file", 1, "no such file"},
		{"monitor a --model none --serve --addr 0.0.0.0:0", 2, "monitor: --addr 0.0.0.0:0 can be reached from other machines"},
		{"monitor a --model none --serve --addr nowhere", 1, "missing port in address"},
		{"monitor a --interval 0s", 2, "--interval 0s: want more than 0"},
		{"monitor a --duration=-1s", 2, "want no negative number"},
		{"monitor a --consecutive 0", 2, "--consecutive 0: want at least 1"},
		{"monitor a --clear", 2, "--clear needs --kmemleak"},
		{"monitor a --format xml", 2, "--format xml: want text or jsonl"},
		{"monitor a --model-threshold 2", 2, "want a probability"},
		{"monitor a --min-size lots", 2, "is no number of bytes"},
		{"monitor a --model none --webhook localhost", 2, "--webhook localhost: want a URL"},
		{"monitor --model none /no/such/log", 1, "no such file"},
		{"monitor --model none --pid 1073741824", 1, "process 1073741824"},
		{"monitor --model none --kmemleak /no/such/file", 1, "no such file"},
		{"monitor --model none --kmemleak /dev/null --clear", 2, "--clear writes to /sys/kernel/debug/kmemleak alone"},
		{"monitor --model none http://", 1, "want a URL such as"},
		{"check-growth", 2, "want --pid PID or --system"},
		{"check-growth --pid 1 --system", 2, "want --pid PID or --system"},
		{"check-growth --system --repeat 0", 2, "--repeat 0: want at least 1"},
		{"check-growth x", 2, "what is \"x\" for?"},
		{"simulate --size 0", 2, "--size 0: want 1 byte"},
		{"simulate --count=-1", 2, "no negative number"},
		{"simulate x", 2, "what is \"x\" for?"},
		{"record", 2, "record: name a program"},
		{"record --tool strace -- ls", 2, "--tool strace: want heaptrack, valgrind or mtrace"},
		{"record -- no-such-program-anywhere", 1, "executable file not found"},
		{"record --pid 1073741824", 1, "no process 1073741824 runs a program"},
		{"record -o /no/such/folder/log -- true", 1, "no such file"},
		{"reset x", 2, "what is \"x\" for?"},
	} {
		status, stdout, stderr := command(nil, strings.Fields(c.args)...)
		if status != c.status || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: status %d, want %d, %q on stdout, %q on stderr, want %q", c.args, status, c.status, stdout, stderr, c.want)
		}
	}
}
