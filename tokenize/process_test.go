package tokenize

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"leakformer/ingest"
)

func testLog(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "ingest", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openLog(t *testing.T, log []byte) ingest.Source {
	t.Helper()
	src, err := ingest.NewSource("app.log", bytes.NewReader(log), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// contents is what a run says but for the places in the log and the report.
func contents(r *Run) string {
	var b strings.Builder
	for i, k := range r.Blocks.All() {
		fmt.Fprintf(&b, "%s addr=%x size=%d born=%d died=%d count=%d %v\n", r.Sites[k.Site].Label, r.Blocks.Addr(i), k.Size, k.Born, k.Died, k.Count, k.Loss)
	}
	return b.String()
}

// A log of several processes becomes for each the run that a log of its own would be.
func TestLoadEachSplits(t *testing.T) {
	for _, name := range []string{"memcheck/fork.log", "trace-malloc/fork.log", "lsan/fork.log"} {
		log := testLog(t, name)
		runs, err := LoadEach(context.Background(), openLog(t, log))
		if err != nil {
			t.Fatal(err)
		}
		whole, err := Load(context.Background(), openLog(t, log))
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) < 2 {
			t.Fatalf("%s: %d runs", name, len(runs))
		}
		blocks, events := 0, uint32(0)
		for i, run := range runs {
			blocks += run.Blocks.Len()
			events += run.Events
			pid := regexp.MustCompile(`^app.log \[pid ([0-9]+)\]$`).FindStringSubmatch(run.Name)
			if pid == nil {
				t.Fatalf("%s: run %q", name, run.Name)
			}
			var live ingest.Amount
			for _, b := range run.Blocks.All() {
				if b.Died == Alive {
					live.Blocks += int64(b.Count)
					live.Bytes += b.Size
				}
			}
			if run.Report.Outstanding != live || run.Report.Events != int64(run.Events) {
				t.Errorf("%s, %s: the report says %+v and %d events, the run has %+v and %d", name, run.Name, run.Report.Outstanding, run.Report.Events, live, run.Events)
			}
			if strings.HasPrefix(name, "lsan") || strings.HasPrefix(name, "trace") && i > 0 {
				continue // Nothing on a line tells its process; a child of fork needs its parent.
			}
			var own bytes.Buffer
			for _, line := range bytes.SplitAfter(log, []byte("\n")) {
				if bytes.Contains(line, []byte(pid[1]+"== ")) || bytes.Contains(line, []byte(pid[1]+"-- ")) {
					own.Write(line)
				}
			}
			alone, err := Load(context.Background(), openLog(t, own.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := contents(run), contents(alone); got != want {
				t.Errorf("%s, %s:\n%swant\n%s", name, run.Name, got, want)
			}
		}
		if blocks != whole.Blocks.Len() || events != whole.Events {
			t.Errorf("%s: %d blocks and %d events in all, want %d and %d", name, blocks, events, whole.Blocks.Len(), whole.Events)
		}
	}
}

// Each process is a run of its own program.
func TestLoadEachPrograms(t *testing.T) {
	runs, err := LoadEach(context.Background(), openLog(t, testLog(t, "trace-malloc/fork.log")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range runs {
		got = append(got, r.Program)
	}
	if want := []string{"calls", "calls", "objects"}; !reflect.DeepEqual(got, want) {
		t.Errorf("programs %q, want %q", got, want)
	}
}

// A log of one process, and one whose process ids say only who allocated, is one run,
// the same that Load gives.
func TestLoadEachOne(t *testing.T) {
	for _, name := range []string{"trace-malloc/calls.log", "memcheck/kinds.log", "kmemleak/series.txt", "kmemleak/6.15-debugfs.txt", "heaptrack/calls.raw.zst", "lsan/recheck.log"} {
		want, err := Load(context.Background(), openLog(t, testLog(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := LoadEach(context.Background(), openLog(t, testLog(t, name)))
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s: %d runs, %v, or another run", name, len(got), err)
		}
	}
	empty, err := LoadEach(context.Background(), openLog(t, testLog(t, "memcheck/clean.log")))
	if err != nil || len(empty) != 1 || empty[0].Blocks.Len() != 0 {
		t.Errorf("%d runs of a log without events, %v", len(empty), err)
	}
}

// Looking at the runs while a log is read changes nothing.
func TestLoaderRunsInBetween(t *testing.T) {
	for _, name := range []string{"trace-malloc/fork.log", "kmemleak/series.txt", "kmemleak/6.1-uml-series.txt", "lsan/recheck.log"} {
		want, err := LoadEach(context.Background(), openLog(t, testLog(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		src := openLog(t, testLog(t, name))
		l := NewLoader(src)
		for e, err := range src.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if err := l.add(e); err != nil {
				t.Fatal(err)
			}
			l.Runs()
		}
		if got := l.Runs(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: other runs", name)
		}
	}
}

// Processes without end become a bounded number of runs.
func TestLoadEachIsBounded(t *testing.T) {
	var log strings.Builder
	const n = 5000
	for pid := range n {
		fmt.Fprintf(&log, "--%d-- malloc(8) = 0x10\n", pid+1)
	}
	runs, err := LoadEach(context.Background(), openLog(t, []byte(log.String())))
	if err != nil || len(runs) != maxProcesses {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	if last := runs[maxProcesses-1]; last.Blocks.Len() != n-maxProcesses+1 || last.Name != "app.log [other processes]" {
		t.Errorf("the last run is %q with %d blocks", last.Name, last.Blocks.Len())
	}
}
