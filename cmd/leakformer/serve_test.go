package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leakformer/datasets"
	"leakformer/detect/dashboard"
)

// served runs serve until the test ends, and returns the page's address.
func served(t *testing.T, args ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r, w := io.Pipe()
	var stderr bytes.Buffer
	status := make(chan int, 1)
	go func() {
		sh := &shell{stdin: strings.NewReader(""), stdout: w, stderr: &stderr}
		status <- sh.main(ctx, append([]string{"leakformer", "serve", "--addr", "127.0.0.1:0"}, args...))
		w.Close()
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("no address: status %d: %s", <-status, &stderr)
	}
	t.Cleanup(func() {
		stop()
		if got := <-status; got != 0 {
			t.Errorf("serve ended with status %d: %s", got, &stderr)
		}
	})
	return strings.TrimSpace(line)
}

// until asks for the findings until there are some.
func until(t *testing.T, page string) (found []dashboard.Finding) {
	t.Helper()
	for range 1200 {
		resp, err := http.Get(page + "api/memory-leaks")
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(resp.Body).Decode(&found)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			return found
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("nothing was found in two minutes")
	return nil
}

func post(t *testing.T, page string, f dashboard.Finding, decision dashboard.Decision) {
	t.Helper()
	resp, err := http.Post(page+"api/memory-leaks/"+f.ID+"/decision", "application/json", strings.NewReader(`{"decision":"`+string(decision)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
}

// leakyLog is a folder with a log that leaks, and the model that knows its program.
func leakyLog(t *testing.T) (dir, log, model string) {
	t.Helper()
	dir = t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	model = filepath.Join(dir, "app.model")
	if err := os.WriteFile(model, modelFile(t), 0o644); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "leaky", "*.raw"))
	if err != nil || len(logs) == 0 {
		t.Fatal("no leaky log", err)
	}
	return dir, logs[0], model
}

// What people decide is a label file as soon as it is the whole truth, is still known
// when the log is served again, and eval takes it.
func TestServeLabels(t *testing.T) {
	dir, log, model := leakyLog(t)
	labels := filepath.Join(dir, "decided.json")
	page := served(t, "--model", model, "--labels", labels, log)
	found := until(t, page)
	for i, f := range found {
		if !f.Decidable {
			t.Fatalf("%+v cannot be decided", f)
		}
		if _, err := os.Stat(labels); i == 0 && err == nil {
			t.Error("there are labels before all is decided")
		}
		post(t, page, f, dashboard.Confirmed)
	}
	l, err := datasets.ReadLabels(labels)
	if err != nil || len(l.Logs) != 1 || l.Logs[0].Class != datasets.Leaky || len(l.Logs[0].Leaks)+len(l.Logs[0].Sites) == 0 {
		t.Fatalf("%+v, %v", l, err)
	}
	if status, out, stderr := command(nil, "eval", "--model", model, "--labels", labels, log); status != 0 || !strings.Contains(out, "precision") {
		t.Errorf("eval: status %d: %s%s", status, out, stderr)
	}
	learned := filepath.Join(dir, "learned.model")
	if status, out, stderr := command(nil, "train", "--init", "none", "--labels", labels, "--clean", filepath.Join(dir, "clean"), "--steps", "2", "--batch", "16", "--dim", "16", "--layers", "1", "--heads", "2", "-o", learned); status != 0 {
		t.Errorf("train: status %d: %s%s", status, out, stderr)
	}
	if _, err := os.Stat(learned); err != nil {
		t.Error(err)
	}
	sinceTruth(t, l, filepath.Join(filepath.Dir(log), "labels.json"))
	again := until(t, served(t, "--model", model, "--labels", labels, log))
	if slices.ContainsFunc(again, func(f dashboard.Finding) bool { return f.Decision != dashboard.Confirmed }) {
		t.Errorf("served again, it is not known what was decided: %+v", again)
	}
	for _, f := range found {
		post(t, page, f, dashboard.Dismissed)
	}
	if l, err = datasets.ReadLabels(labels); err != nil || l.Logs[0].Class != datasets.Clean {
		t.Errorf("all dismissed: %+v, %v", l, err)
	}
	post(t, page, found[0], dashboard.Undecided)
	if l, err = datasets.ReadLabels(labels); err != nil || len(l.Logs) != 0 {
		t.Errorf("a decision taken back: %+v, %v", l, err)
	}
}

// sinceTruth holds decided labels against the truth: they name the same blocks, most of
// which are overdue within a tenth of the run of when they were leaked.
func sinceTruth(t *testing.T, decided *datasets.Labels, file string) {
	t.Helper()
	truth, err := datasets.ReadLabels(file)
	if err != nil {
		t.Fatal(err)
	}
	known, err := truth.Find(decided.Logs[0].Log)
	if err != nil {
		t.Fatal(err)
	}
	since := map[datasets.Address]int64{}
	for _, leak := range known.Leaks {
		since[leak.Address] = leak.Event
	}
	near, strange := 0, 0
	for _, leak := range decided.Logs[0].Leaks {
		at, ok := since[leak.Address]
		if !ok {
			strange++
		} else if d := leak.Event - at; max(d, -d) <= known.Events/10 {
			near++
		}
	}
	if n := len(decided.Logs[0].Leaks); near*10 < n*8 || strange*10 > n*2 {
		t.Errorf("of %d labels %d name blocks that are not leaked, and %d are near the truth", n, strange, near)
	}
}

func TestServeRefuses(t *testing.T) {
	dir := t.TempDir()
	log, decisions := filepath.Join(dir, "findings.jsonl"), filepath.Join(dir, "l.json.decisions")
	for name, text := range map[string]string{log: `{"type":"finding"}` + "\n", decisions: "{\"decision\":\"\"}\nnonsense\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{nil, exitUsage, "serve: name a log"},
		{[]string{"--addr", "0.0.0.0:0", log}, exitUsage, "that needs a --token"},
		{[]string{"--addr", ":0", log}, exitUsage, "that needs a --token"},
		{[]string{"--addr", "127.0.0.1:0", log}, exitFailure, "findings.jsonl: ends without a summary"},
		{[]string{"--labels", filepath.Join(dir, "l.json"), log}, exitFailure, "l.json.decisions:2: not a decision"},
		{[]string{"--labels", "x", "--cut", "0.5", log}, exitUsage, "--labels needs whole logs"},
	} {
		status, _, stderr := command(nil, append([]string{"serve"}, c.args...)...)
		if status != c.status || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: status %d, %q; want %d, %q", c.args, status, stderr, c.status, c.want)
		}
	}
}
