package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What gate, report and --suppressions cannot read is an error, and no new leak; and
// nothing is written then.
func TestBadGate(t *testing.T) {
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"prose.txt":   "It was a dark and stormy night.\n",
		"cut.jsonl":   `{"type":"finding","log":"4.raw","si`,
		"short.jsonl": `{"type":"finding","leak":false}` + "\n",
		"none.jsonl":  `{"type":"summary"}` + "\n",
		"open.supp":   "{\nname\nMemcheck:Leak\nfun:x\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "app.model"), modelFile(t), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LEAKFORMER_MODEL", filepath.Join(dir, "app.model"))
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"gate @leaky/4.raw", 2, `--baseline has to name`},
		{"gate --baseline @none.jsonl", 2, `gate: name a log`},
		{"gate --baseline @none.jsonl --cut 2 @leaky/4.raw", 2, `gate: --cut 2: want`},
		{"gate --baseline @none.jsonl --format xml @leaky/4.raw", 2, `--format xml: want text`},
		{"score --follow --format sarif @leaky/4.raw", 2, `with --follow, use text or jsonl`},
		{"report", 2, `report: name a log`},
		{"gate --baseline @cut.jsonl @leaky/4.raw", 1, `baseline: @cut.jsonl:1: not a finding: `},
		{"gate --baseline @short.jsonl @leaky/4.raw", 1, `baseline: @short.jsonl: ends without a summary`},
		{"gate --baseline @no-such.jsonl @leaky/4.raw", 1, `baseline: .*@no-such.jsonl: no such file`},
		{"gate --baseline @prose.txt @leaky/4.raw", 1, `baseline: @prose.txt: unknown format`},
		{"gate --baseline @none.jsonl @prose.txt", 1, `@prose.txt: unknown format`},
		{"gate --baseline @none.jsonl @leaky/4.raw", 3, `^rank `},
		{"score --suppressions @prose.txt @leaky/4.raw", 1, `suppressions: @prose.txt:1: .*want { or leak:PATTERN`},
		{"score --suppressions @open.supp @leaky/4.raw", 1, `suppressions: @open.supp:1: the entry has no end`},
		{"score --suppressions @no-such.supp @leaky/4.raw", 1, `suppressions: .*@no-such.supp: no such file`},
		{"report @prose.txt -o @none.html", 1, `@prose.txt: unknown format`},
		{"report @clean/0.raw -o @no/such/none.html", 1, `no such file`},
		{"report @clean/0.raw -o -", 0, `No leak was found.`},
		{"score --format sarif @clean/0.raw @prose.txt", 1, `(?s)"results":\[\].*}\n.*1 of 2 logs could not be scored`},
	} {
		status, stdout, stderr := command(nil, strings.Fields(strings.ReplaceAll(c.args, "@", dir+"/"))...)
		if !regexp.MustCompile(strings.ReplaceAll(c.want, "@", regexp.QuoteMeta(dir+"/"))).MatchString(stdout+stderr) || status != c.status {
			t.Errorf("%s: status %d, want %d with %s\nstdout: %.500s\nstderr: %s", c.args, status, c.status, c.want, stdout, stderr)
		}
	}
	if pages, _ := filepath.Glob(filepath.Join(dir, "*.html")); len(pages) > 0 {
		t.Errorf("written: %q", pages)
	}
}
