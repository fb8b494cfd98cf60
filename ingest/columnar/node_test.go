package columnar_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/columnar"
)

// TestNode has npm's apache-arrow read a run, as a file and as a stream, and
// compares every field of every event and every frame of every stack.
func TestNode(t *testing.T) {
	dir := filepath.Join("testdata", "node")
	node := needNode(t, dir)
	src := newChurn(3000)
	src.report.Format, src.report.Tool = "none", "a tool with an \u00fcmlaut"
	path := filepath.Join(t.TempDir(), "churn.arrow")
	if err := columnar.Write(t.Context(), path, src, columnar.Options{BatchRows: 700}); err != nil {
		t.Fatal(err)
	}
	want := strings.Split(runText(t, path), "\n")
	for _, form := range []string{"file", "stream"} {
		cmd := exec.CommandContext(t.Context(), node, filepath.Join(dir, "read.mjs"), form, path)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		got := strings.Split(string(out), "\n")
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("%s, line %d:\n node %s\n   go %s", form, i+1, got[i], want[i])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%s: node read %d lines, want %d", form, len(got), len(want))
		}
	}
}

// needNode finds Node and fetches what read.mjs imports, once. Without Node or
// without a network the test is skipped, but not where CI is set.
func needNode(t *testing.T, dir string) string {
	skip := t.Skipf
	if os.Getenv("CI") != "" {
		skip = t.Fatalf
	}
	node, err := exec.LookPath("node")
	if err != nil {
		skip("no node in PATH: install nodejs and npm to read a run with another implementation of Arrow")
	}
	// npm writes this file last.
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err == nil {
		return node
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		skip("no npm in PATH: install npm to read a run with another implementation of Arrow")
	}
	cmd := exec.CommandContext(context.Background(), npm, "ci", "--ignore-scripts", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		skip("npm ci in %s: %v\n%s", dir, err, out)
	}
	return node
}

// runText is what read.mjs prints, from what Go reads.
func runText(t *testing.T, path string) string {
	src, err := columnar.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "run 2 of %s\n", src.Report().Name)
	for _, name := range []string{"op", "loss", "flags", "seq_step", "time_step", "age", "age_high", "addr", "addr_high", "size", "size_high",
		"count", "stack", "scan", "pid", "tid", "comm", "line_step", "frames", "stacks", "report"} {
		unit := map[string]string{"time_step": "ns", "age": "blocks", "size": "bytes", "count": "blocks"}[name]
		if unit == "" {
			unit = "-"
		}
		fmt.Fprintf(&b, "field %s %t %s\n", name, name == "frames" || name == "stacks" || name == "report", unit)
	}
	stacks := 1
	for e, err := range src.Events() {
		if err != nil {
			t.Fatal(err)
		}
		for ; stacks <= int(e.Stack); stacks++ {
			fmt.Fprintf(&b, "stack %d: %s\n", stacks, stackText(src.Stacks(), ingest.StackID(stacks)))
		}
		fmt.Fprintln(&b, uint8(e.Op), uint8(e.Loss), uint8(e.Flags), e.Seq, int64(e.Time), e.Block, e.Addr, e.Size, e.Count,
			e.Stack, e.Scan, e.PID, e.TID, e.Comm, e.Line)
	}
	report, err := json.Marshal(src.Report())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "report %s\n", report)
	return b.String()
}

func stackText(s *ingest.Stacks, id ingest.StackID) string {
	var frames []string
	for _, f := range s.Frames(id) {
		frames = append(frames, fmt.Sprintf("%s|%s|%s|%d|%d|%t", f.Function, f.Module, f.File, f.Line, f.Address, f.Inlined))
	}
	return strings.Join(frames, " < ")
}
