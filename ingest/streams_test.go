package ingest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// brief tells in short what a log of events says: "+16@10 [frames]" is the birth of
// 16 bytes at 0x10, "-16@10" its death; ~ marks a realloc, ? an orphan.
func brief(t *testing.T, format, log string) (string, *ingest.Report) {
	t.Helper()
	src, err := ingest.NewSource("log", strings.NewReader(log), ingest.Options{Format: format})
	if err != nil {
		t.Fatal(err)
	}
	events, err := ingesttest.ReadAll(t, src)
	if err != nil {
		t.Error(err)
	}
	var all []string
	for _, e := range events {
		mark := ""
		if e.Flags&ingest.Realloc != 0 {
			mark = "~"
		}
		switch {
		case e.Op == ingest.Alloc:
			all = append(all, fmt.Sprintf("+%d%s@%x [%s]", e.Size, mark, e.Addr, frames(src.Stacks(), e.Stack)))
		case e.Block < 0:
			all = append(all, fmt.Sprintf("?%s@%x", mark, e.Addr))
		case e.Flags&ingest.Inferred != 0:
			all = append(all, fmt.Sprintf("lost %d@%x", e.Size, e.Addr))
		default:
			all = append(all, fmt.Sprintf("-%d%s@%x", e.Size, mark, e.Addr))
		}
	}
	return strings.Join(all, ", "), src.Report()
}

// frames is a call stack as a golden file shows it, in one line.
func frames(stacks *ingest.Stacks, id ingest.StackID) string {
	lines := strings.Split(strings.TrimSpace(string(ingest.AppendStackText(nil, stacks, id))), "\n\t")
	return strings.Join(lines[1:], "; ")
}

// samples reads every published or captured log that lies beside the project in
// the folder, and hands its report to check.
func samples(t *testing.T, folder string, check func(file string, r *ingest.Report)) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join("..", "..", "shared", "samples", folder, "*"))
	if len(files) == 0 {
		t.Skip("no sample logs beside the project")
	}
	for _, file := range files {
		src, err := ingest.Open(file, ingest.Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		defer src.Close()
		if _, err := ingesttest.ReadAll(t, src); err != nil {
			t.Error(err)
		}
		check(filepath.Base(file), src.Report())
	}
}

// seeds adds the heads of the captured logs of a format to a fuzz corpus.
func seeds(f *testing.F, format string) {
	files, _ := filepath.Glob(filepath.Join("testdata", format, "*"))
	for _, file := range files {
		if strings.HasSuffix(file, ".golden") || strings.HasSuffix(file, "z") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 4000)])
	}
}
