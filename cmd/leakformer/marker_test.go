package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leakformer/datasets"
)

// What a model sees of a collected run tells nothing of how it was labelled: a real
// collection, through reader and tokenizer.
func TestTokensOfCollectedRuns(t *testing.T) {
	programs, _ := datasets.FindPrograms("bug-list-node", "twin-pool")
	dir := t.TempDir()
	m, err := datasets.Collect(context.Background(), datasets.Config{Dir: dir, Programs: programs, Clean: 1, Leaky: 1, Scale: 0.05, Timeout: time.Minute})
	if err != nil {
		t.Skip(err)
	}
	if len(m.Runs) != 4 {
		t.Fatalf("%d runs, want 4; failed: %+v", len(m.Runs), m.Failed)
	}
	before := map[string]string{}
	for _, r := range m.Runs {
		before[r.Log] = tokens(t, filepath.Join(dir, r.Log))
		for _, mark := range []string{"forget", "mark", "LEAKFORMER", "/tmp", "tmp/", filepath.Base(dir)} {
			if strings.Contains(strings.ToLower(before[r.Log]), strings.ToLower(mark)) {
				t.Errorf("%s: the tokens say %q", r.Log, mark)
			}
		}
	}
	// Neither labels nor manifest nor the log's own name reach the tokens.
	for _, r := range m.Runs {
		for _, name := range []string{r.Labels, "manifest.json"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		renamed := filepath.Join(dir, "x"+filepath.Ext(r.Log))
		if err := os.Rename(filepath.Join(dir, r.Log), renamed); err != nil {
			t.Fatal(err)
		}
		if tokens(t, renamed) != before[r.Log] {
			t.Errorf("%s: other tokens under another name, without labels", r.Log)
		}
	}
}

// tokens are the sequences of a log, in words.
func tokens(t *testing.T, log string) string {
	t.Helper()
	status, stdout, stderr := command(nil, "tokenize", "--dump", log)
	if status != 0 || !strings.Contains(stdout, "site ") {
		t.Fatalf("%s: status %d: %s", log, status, stderr)
	}
	return stdout
}
