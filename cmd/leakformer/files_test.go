package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Several logs, folders, patterns and processes are each judged by themselves.
func TestScoreSeveral(t *testing.T) {
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app.model"), modelFile(t), 0o644); err != nil {
		t.Fatal(err)
	}
	fork := readFile(t, filepath.Join("..", "..", "ingest", "testdata", "memcheck", "fork.log"))
	if err := os.WriteFile(filepath.Join(dir, "fork.log"), fork, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "none"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LEAKFORMER_MODEL", filepath.Join(dir, "app.model"))
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"score @clean/0.raw @clean/1.raw", 0, `^\S+/clean/0.raw:\n0.raw: no leak found; .*\n\n\S+/clean/1.raw:\n1.raw: no leak found; .*\n$`},
		{"score @clean/0.raw @leaky/4.raw @clean/1.raw", 3, `clean/1.raw:\n1.raw: no leak found; .*\n$`},
		{"score @leaky", 3, `(?s)leaky/4.raw:\n.*\n4.raw: leaks at 1 of.*leaky/5.raw:\n.*\n5.raw: leaks at 1 of.*note: \S+labels.json is no log: passed over`},
		{"score @*/[45].raw", 3, `(?s)4.raw: leaks at 1 of.*5.raw: leaks at 1 of`},
		{"score @leaky @clean --format jsonl", 3, `^{"type":"finding","log":"[^"]*leaky/4.raw"(?s:.*)\n{"type":"summary","log":"[^"]*clean/3.raw".*\n`},
		{"score @fork.log", 3, `(?s)^\S+fork.log \[pid \d+\]:\n.*\nfork.log \[pid \d+\]: leaks at .*\n\n\S+fork.log \[pid \d+\]:\n.*\nfork.log \[pid \d+\]: leaks at `},
		{"score @clean/0.raw @app.model @leaky/4.raw", 1, `(?s)4.raw: leaks at.*app.model: unknown format.*1 of 3 logs could not be scored`},
		{"score @none", 1, `no log in \S+none`},
		{"score @no*such", 1, `no file fits the pattern \S+no\*such`},
		{"check @leaky", 0, `(?s)leaky/4.raw: heaptrack.*leaky/5.raw: heaptrack.*note: \S+labels.json is no log: passed over`},
		{"check @leaky/labels.json @clean/0.raw", 1, `1 of 2 files could not be read`},
		{"ingest -o @none @*/[45].raw", 0, `(?s)4.raw: heaptrack.*5.raw: heaptrack`},
		{"check @none", 0, `(?s)4.raw: heaptrack.*5.raw: heaptrack`},
		{"ingest @none", 1, `no log in \S+none`},
	} {
		status, stdout, stderr := command(nil, strings.Fields(strings.ReplaceAll(c.args, "@", dir+"/"))...)
		if status != c.status || !regexp.MustCompile(c.want).MatchString(stdout+stderr) {
			t.Errorf("%s: status %d, want %d with %s\nstdout: %s\nstderr: %s", c.args, status, c.status, c.want, stdout, stderr)
		}
	}
}

// A picture for each run.
func TestNumbered(t *testing.T) {
	for _, c := range []struct {
		path string
		n    int
		want string
	}{{"a/leaks.svg", 1, "a/leaks.svg"}, {"a/leaks.svg", 2, "a/leaks.2.svg"}, {"log", 3, "log.3"}} {
		if got := numbered(c.path, c.n); got != c.want {
			t.Errorf("%s, %d: %s, want %s", c.path, c.n, got, c.want)
		}
	}
}

// A name with the signs of a pattern is a name where there is such a file.
func TestExpandNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "odd [x] *")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a[1].log", "a1.log", ".hidden"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		want []logFile
	}{
		{"a[1].log", []logFile{{path: filepath.Join(dir, "a[1].log")}}},
		{"", []logFile{{path: filepath.Join(dir, "a1.log"), found: true}, {path: filepath.Join(dir, "a[1].log"), found: true}}},
	} {
		got, err := expand([]string{filepath.Join(dir, c.path)})
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%q: %v, %v", c.path, got, err)
			continue
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], c.want[i]) {
				t.Errorf("%q: %v, want %v", c.path, got[i], c.want[i])
			}
		}
	}
}

// A named pipe is read like a file, and cannot be followed.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	log := readFile(t, filepath.Join(dir, "clean", "0.raw"))
	go func() {
		w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err == nil {
			io.Copy(w, bytes.NewReader(log))
			w.Close()
		}
	}()
	status, got, stderr := command(nil, "check", "--dump", pipe)
	_, want, _ := command(nil, "check", "--dump", filepath.Join(dir, "clean", "0.raw"))
	if status != 0 || strings.ReplaceAll(got, "pipe", "clean/0.raw") != want {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// output is a writer that can be looked at while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// waitFor waits until the output has a text.
func (o *output) waitFor(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(o.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %q in %s", text, o)
		}
	}
}

// A log that is being written is judged again and again; a leak is listed once, when
// it is found; an interruption ends the reading and gives the verdict.
func TestScoreFollow(t *testing.T) {
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app.model"), modelFile(t), 0o644); err != nil {
		t.Fatal(err)
	}
	leaky, clean := readFile(t, filepath.Join(dir, "leaky", "4.raw")), readFile(t, filepath.Join(dir, "clean", "0.raw"))
	log := filepath.Join(dir, "live.raw")
	if err := os.WriteFile(log, leaky[:len(leaky)/9], 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	var stdout, stderr output
	sh := &shell{stdout: &stdout, stderr: &stderr}
	status := make(chan int, 1)
	go func() {
		status <- sh.main(ctx, []string{"leakformer", "score", "-v", "--follow", "--every", "1ms", "--model", filepath.Join(dir, "app.model"), log})
	}()
	stderr.waitFor(t, "following")
	write := func(b []byte) {
		t.Helper()
		w, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = w.Write(b)
			w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(leaky[len(leaky)/9 : len(leaky)-7]) // In mid-line.
	stdout.waitFor(t, "LEAK ")
	write(leaky[len(leaky)-7:])
	// Another run takes the file's place.
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, clean, 0o644); err != nil {
		t.Fatal(err)
	}
	stderr.waitFor(t, "was replaced or cut short: a new log begins")
	stdout.waitFor(t, "leaks at 1 of ")
	for strings.Count(stderr.String(), "following") < 2 {
		time.Sleep(5 * time.Millisecond)
	}
	interrupt()
	if got := <-status; got != exitLeaks {
		t.Errorf("status %d: %s", got, stderr.String())
	}
	out := stdout.String()
	if n := strings.Count(out, "app+0x400 < app+0x100\n"); n != 1 {
		t.Errorf("the leak is listed %d times:\n%s", n, out)
	}
	if !strings.Contains(out, "live.raw: no leak found") {
		t.Errorf("no verdict on the second run:\n%s", out)
	}
}

// A log that rests for --idle has ended.
func TestFollowIdle(t *testing.T) {
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "clean", "0.raw")
	_, want, _ := command(nil, "check", log)
	status, got, stderr := command(nil, "check", "--follow", "--idle", "10ms", log)
	if status != 0 || got != want {
		t.Errorf("status %d: %s%s", status, got, stderr)
	}
	out := filepath.Join(dir, "run.arrow")
	if status, _, stderr := command(nil, "ingest", "--follow", "--idle", "10ms", "-o", out, log); status != 0 {
		t.Errorf("status %d: %s", status, stderr)
	}
	if _, dump, _ := command(nil, "check", out); dump != want {
		t.Errorf("%s, want %s", dump, want)
	}
	for args, want := range map[string]string{
		"check --follow a b":            "check: with --follow, name one file",
		"score --follow -":              "score: with --follow, name one file",
		"check --idle 3s a":             "check: --idle needs --follow",
		"ingest --follow --idle=-1s a":  "ingest: --idle -1s: want a time",
		"check --follow " + dir:         "is no regular file, and cannot be followed",
		"score --follow --every soon a": "invalid value",
	} {
		if status, _, stderr := command(nil, strings.Fields(args)...); status == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, %s", args, status, stderr)
		}
	}
}

// Heap profiles of one process, each in its own file, are one series; files of a
// format that has whole series in each are not put together.
func TestSeriesInFiles(t *testing.T) {
	dir := t.TempDir()
	copyTo := func(pattern string) {
		t.Helper()
		files, err := filepath.Glob("../../ingest/testdata/" + pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	copyTo("jemalloc/*.heap")
	status, stdout, stderr := command(nil, "check", dir)
	if status != 0 || strings.Count(stdout, "jemalloc (snapshots)") != 2 {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	status, stdout, stderr = command(nil, "score", "--all", filepath.Join(dir, "grow.*"))
	if status != 0 && status != 3 || !strings.Contains(stdout, "of 4 snapshots") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	massif, err := os.ReadFile("../../ingest/testdata/massif/grow.out")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"massif.out.1", "massif.out.2"} {
		if err := os.WriteFile(filepath.Join(dir, name), massif, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := expandSeries([]string{filepath.Join(dir, "massif.out.*")})
	if err != nil || len(files) != 2 || files[0].series != nil {
		t.Errorf("%v, %v", files, err)
	}
}
