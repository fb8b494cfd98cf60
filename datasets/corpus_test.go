package datasets

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/columnar"
)

// corpora are the folders of the compact corpus, see README.md.
var corpora = []string{"corpus", "corpus/memcheck", "corpus/memcheck-xml"}

// openRun opens a log of a corpus, whatever it is stored as.
func openRun(path string) (ingest.Source, error) {
	if strings.HasSuffix(path, ".arrow") {
		return columnar.Open(path)
	}
	return ingest.Open(path, ingest.Options{})
}

func TestCorpus(t *testing.T) {
	kinds, leaks, programs := map[string]bool{}, map[LeakKind]int{}, map[string]bool{}
	for _, dir := range corpora {
		m, err := ReadManifest(filepath.Join(dir, manifestName))
		if errors.Is(err, os.ErrNotExist) {
			t.Skipf("%s is not there: make corpus", dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Check(dir); err != nil {
			t.Error(err)
		}
		if err := CheckSplit(false, PartOf("corpus", dir, m.Runs...)); err != nil {
			t.Error(err)
		}
		labels, _, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckSplit(false, PartOfLabels("corpus", labels)); err != nil {
			t.Error(err)
		}
		for i, r := range m.Runs {
			corpusRun(t, filepath.Join(dir, r.Log), &r, &labels.Logs[i])
			kinds[r.Kind], programs[r.Program] = true, true
			for _, l := range labels.Logs[i].Leaks {
				leaks[l.Kind]++
			}
		}
	}
	if len(kinds) < 6 || len(programs) < 40 || leaks[Forgotten] == 0 || leaks[Lost] == 0 || leaks[Growth] == 0 {
		t.Errorf("too little variety: %d kinds of programs, %d programs, leaks %v", len(kinds), len(programs), leaks)
	}
}

// corpusRun compares a run with its labels and its row.
func corpusRun(t *testing.T, path string, r *Run, l *LogLabels) {
	t.Helper()
	src, err := openRun(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	trace := HashTrace(src)
	if err := l.VerifyEvents(trace); err != nil {
		t.Error(err)
	}
	if trace.Sum() != r.Trace {
		t.Errorf("%s: trace %s, its row says %s", path, trace.Sum(), r.Trace)
	}
	if r.Tool == "" || r.Package == "" || r.Scale == 0 || r.Format == "" || r.Seconds == 0 {
		t.Errorf("%s: the row is not complete: %+v", path, r)
	}
	stacks := src.Stacks()
	for id := range stacks.NumFrames() {
		f := stacks.FrameAt(ingest.FrameID(id))
		if strings.Contains(f.Module+f.File, "/tmp/") || strings.Contains(f.Module, "libforget") {
			t.Fatalf("%s: frame %v gives the collector away", path, f)
		}
	}
}

func TestCorpusIsCompact(t *testing.T) {
	size := int64(0)
	err := filepath.WalkDir("corpus", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		size += info.Size()
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("corpus is not there: make corpus")
	}
	if err != nil {
		t.Fatal(err)
	}
	if size > 30<<20 {
		t.Errorf("the corpus has %d bytes: want 30 MB at most", size)
	}
}
