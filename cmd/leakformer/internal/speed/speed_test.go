package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leakformer/ingest"
	"leakformer/model"
	"leakformer/train"
)

// The README shows what was measured last.
func TestReadme(t *testing.T) {
	const root = "../../../../"
	results, err := load(root + "eval/SPEED.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("nothing is measured yet: make bench-peers does that")
	}
	if err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile(root + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(copied, was, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := results.insert(copied); err != nil {
		t.Fatal(err)
	}
	if is, err := os.ReadFile(copied); err != nil || !bytes.Equal(was, is) {
		t.Errorf("README.md does not show eval/SPEED.json: make bench-peers writes both, %v", err)
	}
}

func TestTable(t *testing.T) {
	our := []cost{{clock: 2, processor: 1}, {clock: 1, processor: 1}, {clock: 4, processor: 2}}
	their := []cost{{clock: 4, processor: 1}, {clock: 4, processor: 1}, {clock: 4, processor: 1}}
	rows := []row{
		compared("run", "s", our, their, clock, 1.3),
		compared("walk", "steps/s", our, their, func(c cost) float64 { return 12345 / c.clock }, 3),
		{Task: "wait", Command: "waiting", Unit: "s", Ours: only(0.25), Most: 1, Note: "alone"},
	}
	for i, want := range []string{
		"run | 2 (1 to 4) s | 4 s | 2 (1 to 4) × | 1 × | ≥ 1.3 × | ",
		"walk | 6,173 (3,086 to 12,345) steps/s | 3,086 steps/s | 2 (1 to 4) × | 1 × | ≥ 3 ×: missed | ",
		"wait (alone) | 0.25 s |  |  |  | ≤ 1 s | waiting",
	} {
		if got := strings.Join(rows[i].cells(), " | "); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func TestInsert(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page")
	results := table{Machine: "a machine", Rows: []row{{Task: "wait", Unit: "s", Ours: only(1)}}}
	if err := os.WriteFile(path, []byte("no place"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := results.insert(path); err == nil {
		t.Error("no error for a page without marks")
	}
	if err := os.WriteFile(path, []byte("before\n"+begin+"\nold\n"+end+"\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if err := results.write(&table); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it stays as it is
		if err := results.insert(path); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if want := "before\n" + begin + "\n" + table.String() + end + "\nafter\n"; err != nil || string(text) != want {
			t.Errorf("%v, %q, want %q", err, text, want)
		}
	}
}

// The logs of all lengths are whole.
func TestLog(t *testing.T) {
	for _, events := range []int{10, 1001, 300_000} {
		src, err := ingest.NewSource("log", newLog(events), ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range src.Events() {
			if err != nil {
				t.Fatal(err)
			}
		}
		if r := src.Report(); r.Format != "heaptrack" || r.Events != int64(events) || r.Errors+r.OrphanFrees+r.LostFrees > 0 || r.Allocs == r.Frees {
			t.Errorf("%d events: %+v", events, r)
		}
	}
}

// A log that is written slowly is whole in the end, and takes as long as it is to.
func TestWriteSlowly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	text := bytes.Repeat([]byte("a line\n"), 1000)
	if err := writeSlowly(path, text, 0); err == nil {
		t.Error("no error where there is no file")
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := writeSlowly(path, text, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, text) || time.Since(start) < 90*time.Millisecond {
		t.Errorf("%d bytes after %v, %v", len(got), time.Since(start), err)
	}
}

// A batch that is repeated is one that can be learned from.
func TestRepeat(t *testing.T) {
	b := aim(rand.New(rand.NewPCG(1, 0)), &train.Batch{B: 2, L: 3, F: 1, Tokens: make([]int32, 6), Lengths: []int32{3, 2}})
	for _, times := range []int{1, 4} {
		r := repeat(b, times)
		if err := r.Validate(); err != nil || r.B != 2*times || positions(r) != 5*times {
			t.Errorf("%d times: %d sequences, %d positions, %v", times, r.B, positions(r), err)
		}
	}
}

// What scikit-learn reads has as many rows as there are examples.
func TestWriteTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table")
	if err := writeTable(path, []model.TreeExample{{Features: []float64{1, 2}, Leak: true, Weight: 3}, {Features: []float64{4, 5}, Weight: 6}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float64, len(text)/8)
	if _, err := binary.Decode(text, binary.LittleEndian, got); err != nil || !slices.Equal(got, []float64{4, 1, 3, 1, 2, 0, 6, 4, 5}) {
		t.Errorf("%v, %v", got, err)
	}
}

// Our side answers as the other does.
func TestServe(t *testing.T) {
	for _, c := range []struct{ commands, want string }{
		{"memory\n", "0"},
		{"dance\n", "not a command"},
		{"start nowhere 1\n", "no such file"},
		{"step fast\n", "invalid syntax"},
	} {
		var out bytes.Buffer
		if err := serve(strings.NewReader(c.commands), &out); err != nil {
			out.WriteString(err.Error())
		}
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("%q: %q, want %q", c.commands, out.String(), c.want)
		}
	}
}
