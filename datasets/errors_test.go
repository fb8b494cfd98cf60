package datasets

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// requests is a program whose input fails now and then, see testdata/errors.c.
func requests(t *testing.T) Program {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("gcc is not installed")
	}
	exe := filepath.Join(t.TempDir(), "requests")
	if err := compile(context.Background(), "gcc", "-O1", "-fno-builtin-malloc", "-fno-builtin-free", "-o", exe, "testdata/errors.c"); err != nil {
		t.Fatal(err)
	}
	return Program{Name: "requests", Binary: exe, Errors: true, Prepare: func(w *Work) (Command, error) {
		w.Write("in", func(b *bufio.Writer) {
			for range w.Between(2000, 4000) {
				if w.Fault() != nil {
					fmt.Fprintln(b, "bad")
				}
				fmt.Fprintln(b, "good", w.Rand.IntN(9))
			}
		})
		return Command{Stdin: "in"}, nil
	}}
}

// Runs of the shape errors leak on error paths and nowhere else; runs of all
// classes and shapes have errors in them.
func TestErrorPaths(t *testing.T) {
	cfg := small(t)
	cfg.Programs, cfg.Leaky = []Program{requests(t)}, 12
	m, err := Collect(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(cfg.Dir); err != nil {
		t.Error(err)
	}
	labels, _, err := Open(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[Shape]int{}
	for i, r := range m.Runs {
		shapes[r.Shape]++
		failed := 0
		for _, size := range sizesOf(t, filepath.Join(cfg.Dir, r.Log)) {
			if size >= 1000 && size < 2500 {
				failed++
			}
		}
		if failed < 20 {
			t.Errorf("%s (%s): only %d blocks of input that failed", r.Log, r.Class, failed)
		}
		for _, l := range labels.Logs[i].Leaks {
			if r.Shape == ErrorPaths && (l.Size < 1000 || l.Size >= 2500) {
				t.Errorf("%s: a block of %d bytes leaked: it is not from an error path", r.Log, l.Size)
			}
		}
	}
	if shapes[ErrorPaths] == 0 || shapes[AnyPath] < 6 {
		t.Errorf("shapes of 1 clean and 12 leaky runs: %v; failed: %+v", shapes, m.Failed)
	}
}

// sizesOf returns the sizes of all allocations of a log.
func sizesOf(t *testing.T, log string) []int64 {
	t.Helper()
	src, err := openRun(log)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var sizes []int64
	for e, err := range src.Events() {
		if err != nil {
			t.Fatal(err)
		}
		if e.Size > 0 {
			sizes = append(sizes, e.Size)
		}
	}
	return sizes
}

// A program that takes no other paths when its input fails leaks elsewhere.
func TestErrorPathsFallBack(t *testing.T) {
	cfg := small(t)
	p := requests(t)
	sound := p.Prepare
	p.Prepare = func(w *Work) (Command, error) { w.Errors = false; return sound(w) }
	cfg.Programs, cfg.Leaky = []Program{p}, 8
	m, err := Collect(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Runs) != 9 {
		t.Errorf("%d runs, want 9; failed: %+v", len(m.Runs), m.Failed)
	}
	for _, r := range m.Runs {
		if r.Shape != AnyPath {
			t.Errorf("%s has the shape %s without errors", r.Log, r.Shape)
		}
	}
}

// Without errors a workload is the same but for what fails.
func TestSoundInputDoesNotDependOnErrors(t *testing.T) {
	for _, p := range Programs() {
		if p.Name != "sqlite3" && p.Name != "xmllint" && p.Name != "troff" {
			continue
		}
		words := map[bool]map[string]bool{}
		for _, faulty := range []bool{false, true} {
			c := &collector{program: p, work: t.TempDir(), scale: 0.05}
			w := c.newWork(Clean, 3, faulty, "")
			if _, err := p.Prepare(w); err != nil || w.err != nil {
				t.Fatal(err, w.err)
			}
			words[faulty] = linesUnder(t, c.work)
		}
		more := 0
		for line := range words[true] {
			if !words[false][line] {
				more++
			}
		}
		for line := range words[false] {
			if !words[true][line] {
				t.Errorf("%s: the line %.80q is there without errors only", p.Name, line)
				break
			}
		}
		if more == 0 {
			t.Errorf("%s: no input fails", p.Name)
		}
	}
}

func linesUnder(t *testing.T, dir string) map[string]bool {
	t.Helper()
	out, err := exec.Command("sh", "-c", "cat "+dir+"/*").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		lines[line] = true
	}
	return lines
}

// A run that equals an earlier one is no sample, and does not end the collection.
func TestSameRunTwiceIsNoSample(t *testing.T) {
	cfg := small(t)
	p := requests(t)
	p.Prepare = func(w *Work) (Command, error) {
		w.Text("in", "%s", strings.Repeat("good\n", 600))
		return Command{Stdin: "in"}, nil
	}
	cfg.Programs, cfg.Clean, cfg.Leaky = []Program{p}, 2, -1
	m, err := Collect(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Runs) != 1 || len(m.Failed) != 1 || !strings.Contains(m.Failed[0].Reason, "the same trace as requests/requests.clean.0") {
		t.Errorf("%d runs; failed: %+v", len(m.Runs), m.Failed)
	}
	if logs, _ := filepath.Glob(filepath.Join(cfg.Dir, "requests", "*.zst")); len(logs) != 1 {
		t.Errorf("logs: %v", logs)
	}
}
