package datasets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"leakformer/ingest"

	"github.com/klauspost/compress/zstd"
)

// small returns a config that collects the programs quickly.
func small(t *testing.T, names ...string) Config {
	t.Helper()
	if _, err := findHeaptrack(); err != nil {
		t.Skip(err)
	}
	programs, unknown := FindPrograms(names...)
	if unknown != nil {
		t.Fatalf("no such programs: %v", unknown)
	}
	return Config{Dir: t.TempDir(), Programs: programs, Clean: 1, Leaky: 2, Scale: 0.1, Timeout: 20 * time.Second}
}

func TestCollect(t *testing.T) {
	for _, tool := range []string{"heaptrack", "trace-malloc", "memcheck", "memcheck-xml"} {
		t.Run(tool, func(t *testing.T) { testCollect(t, tool) })
	}
}

func testCollect(t *testing.T, tool string) {
	cfg := small(t, "demo", "twin-bounded-cache", "bug-exception-path")
	cfg.Tool = tool
	if _, err := findTracer(context.Background(), tool, ""); err != nil {
		t.Skip(err)
	}
	m, err := Collect(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Runs) != 9 {
		t.Fatalf("%d runs, want 9; failed: %+v", len(m.Runs), m.Failed)
	}
	if err := m.Check(cfg.Dir); err != nil {
		t.Error(err)
	}
	for _, r := range m.Runs {
		if (r.Class == Leaky) != (r.Leaked > 0) || r.Tool == "" || r.Events < minEvents && !strings.HasPrefix(tool, "memcheck") || r.Seconds <= 0 {
			t.Errorf("odd row: %+v", r)
		}
		noMarks(t, filepath.Join(cfg.Dir, r.Log))
		labelsFit(t, cfg.Dir, r)
	}

	// The other program's rows stay when one is collected again, with other seeds.
	cfg.Programs, cfg.Seed, cfg.Leaky = cfg.Programs[:1], 1, -1
	again, err := Collect(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Runs) != 7 || again.Runs[0].Program != "twin-bounded-cache" || again.Runs[6].SHA256 == m.Runs[0].SHA256 {
		t.Errorf("collected again: %+v", again.Runs)
	}
	if err := again.Check(cfg.Dir); err != nil {
		t.Error(err)
	}

	// A log that has changed since is noticed.
	log := filepath.Join(cfg.Dir, again.Runs[0].Log)
	if err := os.WriteFile(log, []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := again.Check(cfg.Dir); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("a changed log was accepted: %v", err)
	}
}

// labelsFit compares the labels of a run with what ingest reads from its log.
func labelsFit(t *testing.T, dir string, r Run) {
	t.Helper()
	labels, err := ReadLabels(filepath.Join(dir, r.Labels))
	if err != nil {
		t.Fatal(err)
	}
	l, err := labels.Find(filepath.Base(r.Log))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(l LogLabels) error {
		src, err := ingest.Open(filepath.Join(dir, r.Log), ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		return l.VerifyEvents(src)
	}
	if err := verify(*l); err != nil {
		t.Error(err)
	}
	if len(l.Leaks)+len(l.Sites) == 0 {
		return
	}
	for what, change := range map[string]func(leak *Leak){
		"address": func(leak *Leak) { leak.Address++ },
		"size":    func(leak *Leak) { leak.Size++ },
		"event":   func(leak *Leak) { leak.Event = 0 },
	} {
		if len(l.Leaks) == 0 {
			break
		}
		bad := *l
		bad.Leaks = append([]Leak(nil), l.Leaks...)
		change(&bad.Leaks[0])
		if verify(bad) == nil {
			t.Errorf("labels with a wrong %s were accepted", what)
		}
	}
	bad := *l
	if len(l.Sites) > 0 {
		bad.Sites = slices.Clone(l.Sites)
		bad.Sites[0].Blocks += 1 << 20
		if verify(bad) == nil {
			t.Error("labels with too many blocks of a site were accepted")
		}
	}
	bad = *l
	bad.Events = r.Events + 1
	if verify(bad) == nil {
		t.Error("labels with a wrong number of events were accepted")
	}
}

func TestCollectGrowth(t *testing.T) {
	cfg := small(t, "growth-lua", "growth-python", "growth-redis")
	cfg.Scale = 0.3
	m, err := Collect(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Runs) == 0 {
		t.Skipf("none of the programs runs here: %+v", m.Failed)
	}
	for _, r := range m.Runs {
		noMarks(t, filepath.Join(cfg.Dir, r.Log))
		labelsFit(t, cfg.Dir, r)
		labels, err := ReadLabels(filepath.Join(cfg.Dir, r.Labels))
		if err != nil {
			t.Fatal(err)
		}
		l, err := labels.Find(filepath.Base(r.Log))
		if err != nil {
			t.Fatal(err)
		}
		for _, leak := range l.Leaks {
			if leak.Kind != Growth {
				t.Fatalf("%s: a leak of kind %s", r.Log, leak.Kind)
			}
		}
	}
	cfg.Tool = "trace-malloc"
	cfg.Dir = t.TempDir()
	if m, err = Collect(context.Background(), cfg); err == nil && len(m.Runs) > 0 {
		t.Errorf("growth was collected with a tool that cannot cut a log: %+v", m.Runs[0])
	}
}

// noMarks makes sure that nothing in a log gives the collector away.
func noMarks(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := z.DecodeAll(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"forget", "FORGET", "control", "mark", "/tmp/"} {
		if bytes.Contains(text, []byte(word)) {
			t.Errorf("%s has the word %q in it", path, word)
		}
	}
	if bytes.Contains(text, fmt.Appendf(nil, "\n+ %x", markerBytes>>16)) {
		t.Errorf("%s has a marker in it", path)
	}
}

func TestFailedRunsAreNoSamples(t *testing.T) {
	cfg := small(t)
	cfg.Timeout = time.Second
	shell := func(script string) func(*Work) (Command, error) {
		return func(w *Work) (Command, error) { return Command{Args: []string{"-c", script}}, nil }
	}
	type test struct {
		program Program
		want    string
	}
	tests := []test{
		{Program{Name: "missing", Binary: "/no/such/program", Packages: []string{"missing-package"}}, "apt-get install missing-package"},
		{Program{Name: "fails", Binary: "/bin/sh", Prepare: shell("echo went wrong >&2; exit 3")}, "exit status 3; it said: went wrong"},
		{Program{Name: "crashes", Binary: "/bin/sh", Prepare: shell("kill -SEGV $$")}, "segmentation fault"},
		{Program{Name: "hangs", Binary: "/bin/sh", Prepare: shell("while :; do :; done")}, "not done after 1s"},
		{Program{Name: "idle", Binary: "/bin/true", Prepare: shell("")}, "events in the trace"},
		{Program{Name: "unprepared", Binary: "/bin/sh", Prepare: func(*Work) (Command, error) { return Command{}, errors.New("no input") }}, "prepare the workload: no input"},
		{Program{Name: "unhelped", Binary: "/bin/sh", Prepare: func(w *Work) (Command, error) { w.Run("false"); return Command{}, nil }}, "false: exit status 1"},
	}
	if exe := filepath.Join(t.TempDir(), "static"); compile(context.Background(), "gcc", "-static", "-o", exe, "testdata/errors.c") == nil {
		tests = append(tests, test{Program{Name: "untraced", Binary: exe, Prepare: shell("")}, "left no trace"})
	}
	for _, test := range tests {
		cfg.Programs = append(cfg.Programs, test.program)
	}
	cfg.Leaky = -1
	m, err := Collect(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Runs) != 0 || len(m.Failed) != len(tests) {
		t.Fatalf("%d runs, %d failed, want 0 and %d", len(m.Runs), len(m.Failed), len(tests))
	}
	for i, test := range tests {
		if got := m.Failed[i]; got.Program != test.program.Name || !strings.Contains(got.Reason, test.want) {
			t.Errorf("%s: reason %q, want one with %q", test.program.Name, got.Reason, test.want)
		}
	}
	if logs, _ := filepath.Glob(filepath.Join(cfg.Dir, "*", "*")); len(logs) > 0 {
		t.Errorf("failed runs left files: %v", logs)
	}
}

func TestCollectStopsWhenTold(t *testing.T) {
	cfg := small(t, "demo")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Collect(ctx, cfg); err == nil {
		t.Error("collected although told to stop")
	}
}

// TestOwnProgramsAgreeWithMemcheck compares what the programs say they leaked
// with what memcheck finds lost, and the reachable kinds with its silence.
func TestOwnProgramsAgreeWithMemcheck(t *testing.T) {
	if testing.Short() {
		t.Skip("runs 18 programs under Valgrind")
	}
	if _, err := exec.LookPath("valgrind"); err != nil {
		t.Skip("valgrind is not installed")
	}
	for _, p := range own {
		t.Run(p.Name, func(t *testing.T) {
			dir := t.TempDir()
			exe, err := p.locate(context.Background(), dir)
			if err != nil {
				t.Skip(err)
			}
			for _, leaky := range []bool{false, true} {
				if leaky && !p.Natural {
					continue
				}
				w := &Work{Dir: dir, Rand: rand.New(rand.NewPCG(9, 3)), Scale: 0.06, Leaky: leaky}
				cmd, err := p.Prepare(w)
				if err != nil {
					t.Fatal(err)
				}
				said, lost := underMemcheck(t, exe, cmd.Args)
				switch {
				case (said > 0) != (leaky && p.Natural):
					t.Errorf("%v: leaked %d blocks", cmd.Args, said)
				case strings.HasSuffix(p.Name, "never-emptied") || strings.HasSuffix(p.Name, "unbounded-map"):
					said = 0 // growth: reachable
				}
				if said != lost {
					t.Errorf("%v: it says that %d blocks leaked, memcheck that %d are lost", cmd.Args, said, lost)
				}
			}
		})
	}
}

var (
	saidLeaked = regexp.MustCompile(`leaked (\d+) blocks`)
	foundLost  = regexp.MustCompile(`(?:definitely|indirectly|possibly) lost: [\d,]+ bytes in ([\d,]+) blocks`)
)

func underMemcheck(t *testing.T, exe string, args []string) (said, lost int) {
	t.Helper()
	out, err := exec.Command("valgrind", append([]string{"--leak-check=full", "--show-leak-kinds=none", exe}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	number := func(b []byte) int {
		n, err := strconv.Atoi(strings.ReplaceAll(string(b), ",", ""))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	m := saidLeaked.FindSubmatch(out)
	if m == nil {
		t.Fatalf("the program does not say what it leaked:\n%s", out)
	}
	for _, found := range foundLost.FindAllSubmatch(out, -1) {
		lost += number(found[1])
	}
	return number(m[1]), lost
}

func TestChooseDropsCoversTheFrequencies(t *testing.T) {
	var paths []freePath
	for i := range 200 {
		paths = append(paths, freePath{Hash: uint64(2*i + 1), Frees: 1 + uint64(i*i*i), First: uint64(i)})
	}
	paths = append(paths, freePath{Hash: 999, Frees: 500, First: 99_999}) // at the very end
	rare, hot, some := 0, 0, 0
	for seed := range uint64(300) {
		for _, p := range chooseDrops(rand.New(rand.NewPCG(seed, 0)), paths, 100_000) {
			switch {
			case p.Hash == 999:
				t.Error("a path of the tear-down was chosen")
			case p.Share == 0 || p.Share > 1<<32:
				t.Errorf("share %d", p.Share)
			case float64(p.Share)*float64(p.Frees) > maxDropped*1.01*(1<<32):
				t.Errorf("path %+v would leak too many", p)
			}
			if p.Frees < 100 {
				rare++
			} else if p.Frees > 100_000 {
				hot++
			}
			if p.Share < 1<<31 {
				some++
			}
		}
	}
	if rare < 30 || hot < 30 || some < 100 {
		t.Errorf("%d rare paths, %d hot ones, %d with a small share: want some of each", rare, hot, some)
	}
	if got := chooseDrops(rand.New(rand.NewPCG(1, 0)), nil, 0); got != nil {
		t.Errorf("chose %v from nothing", got)
	}
}

// With another allocator a run has other addresses, and its log names that library.
func TestCollectOtherAllocator(t *testing.T) {
	found, _ := filepath.Glob("/usr/lib/*/libjemalloc.so.2")
	if len(found) == 0 {
		t.Skip("libjemalloc2 is not installed")
	}
	cfg := small(t, "demo")
	cfg.Allocator, cfg.Leaky = found[0], 1
	if _, err := findTracer(t.Context(), "", cfg.Allocator); err != nil {
		t.Skip(err)
	}
	m, err := Collect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Runs) != 2 {
		t.Fatalf("%d runs, want 2; failed: %+v", len(m.Runs), m.Failed)
	}
	for _, r := range m.Runs {
		labelsFit(t, cfg.Dir, r)
		f, err := os.Open(filepath.Join(cfg.Dir, r.Log))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := zstd.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		log, err := io.ReadAll(z)
		if err != nil || !bytes.Contains(log, []byte(filepath.Base(found[0]))) {
			t.Errorf("%s: no allocator in %d bytes: %v", r.Log, len(log), err)
		}
	}
	for _, c := range []struct{ tool, allocator, want string }{
		{"memcheck", found[0], "memcheck has an allocator of its own"},
		{"heaptrack", "no/such.so", "allocator: stat "},
	} {
		if _, err := findTracer(t.Context(), c.tool, c.allocator); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s with %s: error %v, want %q", c.tool, c.allocator, err, c.want)
		}
	}
}
