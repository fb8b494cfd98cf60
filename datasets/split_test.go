package datasets

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/columnar"
)

func TestCheckSplit(t *testing.T) {
	a := PartLog{Log: "x/lua.clean.0", Program: "lua", SHA256: "aa", Trace: "1a"}
	b := PartLog{Log: "x/lua.clean.1", Program: "lua", SHA256: "bb", Trace: "1b"}
	c := PartLog{Log: "x/jq.leaky.0", Program: "jq", SHA256: "cc", Trace: "1c"}
	with := func(l PartLog, change func(*PartLog)) PartLog { change(&l); return l }
	tests := []struct {
		name        string
		byProgram   bool
		train, test []PartLog
		want        string // of the error; empty: accepted
	}{
		{"two programs", true, []PartLog{a, b}, []PartLog{c}, ""},
		{"other runs of a known program", false, []PartLog{a}, []PartLog{b, c}, ""},
		{"a program on both sides", true, []PartLog{a}, []PartLog{b, c}, "program lua is in the train part (x/lua.clean.0) and in the test part (x/lua.clean.1)"},
		{"no program", true, []PartLog{a}, []PartLog{with(c, func(l *PartLog) { l.Program = "" })}, "has no program"},
		{"one file twice", false, []PartLog{a}, []PartLog{a}, "one file"},
		{"one file by another path", false, []PartLog{a}, []PartLog{with(a, func(l *PartLog) { l.Log, l.SHA256, l.Trace = "x/../x/lua.clean.0", "", "" })}, "one file"},
		{"a copy", false, []PartLog{a}, []PartLog{with(a, func(l *PartLog) { l.Log, l.Trace = "y", "" })}, "the same SHA-256"},
		{"a copy under another program's name", true, []PartLog{a}, []PartLog{with(a, func(l *PartLog) { l.Log, l.Trace, l.Program = "y", "", "p" })}, "the same SHA-256"},
		{"the same trace in another form", false, []PartLog{a}, []PartLog{with(a, func(l *PartLog) { l.Log, l.SHA256 = "y", "dd" })}, "the same events"},
		{"twice in one part", false, []PartLog{a, b, with(b, func(l *PartLog) { l.Log = "z" })}, []PartLog{c}, "x/lua.clean.1 (train part) and z (train part) are the same run"},
		{"nothing to test on", true, []PartLog{a}, nil, "no log in the test part"},
		{"nothing to train on", true, nil, []PartLog{a}, "no log in the train part"},
		{"no hashes", false, []PartLog{{Log: "x"}}, []PartLog{{Log: "y"}}, ""},
	}
	for _, test := range tests {
		err := CheckSplit(test.byProgram, Part{"train", test.train}, Part{"test", test.test})
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: refused: %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got error %v, want one with %q", test.name, err, test.want)
		}
	}
	if err := CheckSplit(true, Part{"train", []PartLog{a}}, Part{"test", []PartLog{b, b}}); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want all three faults, got %v", err)
	}
}

const smallTrace = "v 10400 3\nt 10 0\nt 20 1\nc 0\n+ 10 2 a000\n+ 20 1 b000\n- a000\n+ 30 1 a000\n"

func traceOf(t *testing.T, text string) string {
	t.Helper()
	src, err := ingest.NewSource("log", strings.NewReader(text), ingest.Options{Format: "heaptrack"})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	sum, err := TraceHash(src)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestTraceHash(t *testing.T) {
	want := traceOf(t, smallTrace)
	if len(want) != 64 {
		t.Fatalf("hash %q", want)
	}
	for what, change := range map[string][]string{
		"the clock":  {"c 0\n", "c 7\n"},
		"an address": {"a000", "d000"},
	} {
		if got := traceOf(t, strings.ReplaceAll(smallTrace, change[0], change[1])); got != want {
			t.Errorf("%s changes the hash", what)
		}
	}
	for what, change := range map[string][]string{
		"a size":          {"+ 20 1", "+ 21 1"},
		"a call stack":    {"+ 20 1", "+ 20 2"},
		"a code address":  {"t 20 1", "t 24 1"},
		"a block":         {"- a000", "- b000"},
		"an event less":   {"+ 20 1 b000\n", ""},
		"the last events": {"+ 30 1 a000\n", ""},
	} {
		changed := strings.Replace(smallTrace, change[0], change[1], 1)
		if got := traceOf(t, changed); got == want || changed == smallTrace {
			t.Errorf("%s does not change the hash", what)
		}
	}
	if got := traceOf(t, "v 10400 3\n"); got != "" {
		t.Errorf("a log without events has the hash %s", got)
	}
}

// A run has one hash however it was stored.
func TestTraceHashOfArrow(t *testing.T) {
	src, err := ingest.NewSource("log", strings.NewReader(smallTrace), ingest.Options{Format: "heaptrack"})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	file := filepath.Join(t.TempDir(), "run.arrow")
	if err := columnar.Write(context.Background(), file, src, columnar.Options{}); err != nil {
		t.Fatal(err)
	}
	run, err := columnar.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if sum, err := TraceHash(run); err != nil || sum != traceOf(t, smallTrace) {
		t.Errorf("hash of the run %s, %v; of the log %s", sum, err, traceOf(t, smallTrace))
	}
}

func TestManifestRefusesATraceTwice(t *testing.T) {
	run := Run{Log: "p/x", Labels: "p/labels.json", SHA256: strings.Repeat("ab", 32), Trace: "11", Program: "p", Class: Clean, Events: 9}
	twin := run
	twin.Log, twin.SHA256 = "p/y", strings.Repeat("cd", 32)
	err := (&Manifest{Version: Version, Runs: []Run{run, twin}}).Validate()
	if err == nil || !strings.Contains(err.Error(), "the same trace as") {
		t.Errorf("the same trace twice was accepted: %v", err)
	}
	twin.Trace = ""
	run.Trace = ""
	if err := (&Manifest{Version: Version, Runs: []Run{run, twin}}).Validate(); err != nil {
		t.Errorf("logs without events were refused: %v", err)
	}
}
