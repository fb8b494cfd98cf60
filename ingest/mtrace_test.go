package ingest_test

import (
	"slices"
	"strings"
	"testing"

	"leakformer/ingest"
)

// The lines as the versions of glibc print them, with where each block comes from.
func TestMtraceLines(t *testing.T) {
	for _, c := range []struct{ name, log, want string }{
		{"PIE", "@ ./mt:[0x11b0] + 0x10 0x64\n@ ./mt:[0x1224] - 0x10\n", "+100@10 [0x11b0 in ./mt], -100@10"},
		{"symbol", "@ /lib/libc.so.6:(__strdup+1a)[0x9e9aa] + 0x10 0x4\n", "+4@10 [0x9e9aa __strdup in /lib/libc.so.6]"},
		{"symbol in C++", "@ ./a b:(_ZN3app1fEi+0x1a)[0x9e9aa] + 0x10 0x4\n", "+4@10 [0x9e9aa app::f(int) in ./a b]"},
		{"no symbol, offset only", "@ ./a:(+0x1a)[0x9e9aa] + 0x10 0x4\n", "+4@10 [0x9e9aa in ./a]"},
		{"address only", "@ [0x8048209] + 0x8064cc8 0x1\n", "+1@8064cc8 [0x8048209]"},
		{"file and line", "@ /src/a.c:12 + 0x10 0x4\n", "+4@10 [0x0 at /src/a.c:12]"},
		{"no place", "+ 0x10 0x4\n- 0x10\n", "+4@10 [], -4@10"},
		{"realloc", "@ a:[0x1] + 0x10 0x4\n@ a:[0x2] < 0x10\n@ a:[0x2] > 0x20 0x8\n", "+4@10 [0x1 in a], -4~@10, +8~@20 [0x2 in a]"},
		{"realloc fails", "@ a:[0x1] + 0x10 0x4\n@ a:[0x2] ! 0x10 0xffff\n@ a:[0x2] - 0x10\n", "+4@10 [0x1 in a], -4@10"},
		{"malloc fails", "@ a:[0x1] + (nil) 0xfffffffffffffff\n@ a:[0x1] + 0x10 0\n", "+0@10 [0x1 in a]"},
		{"free of what is unknown", "@ a:[0x1] - 0x10\n", "?@10"},
		{"two logs in one", "@ a:[0x1] + 0x10 0x4\n= End\n= Start\n@ a:[0x1] + 0x10 0x4\n", "+4@10 [0x1 in a], +4@10 [0x1 in a]"},
		{"something else", "@ a:[0x1] + 0x10 0x4\nhello\n\n@\n", "+4@10 [0x1 in a]"},
	} {
		got, report := brief(t, "mtrace", "= Start\n"+c.log)
		if got != c.want || len(report.Messages) != 0 || report.Truncated {
			t.Errorf("%s: messages %q\ngot  %s\nwant %s", c.name, report.Messages, got, c.want)
		}
	}
}

func TestMtraceBadLines(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"@ a:[0x1]", `call not understood: "@ a:[0x1]"`},
		{"@ a:[0x1] +", `call not understood: "@ a:[0x1] +"`},
		{"@ a:[0x1] + 0x10", `call not understood: "@ a:[0x1] + 0x10"`},
		{"@ a:[0x1] + 0x10 64", `call not understood: "@ a:[0x1] + 0x10 64"`},
		{"@ a:[0x1] + 10 0x64", `call not understood: "@ a:[0x1] + 10 0x64"`},
		{"@ a:[0x1] - 0x", `call not understood: "@ a:[0x1] - 0x"`},
		{"@ a:[0x1] - 0x12345678123456789", `call not understood: "@ a:[0x1] - 0x12345678123456789"`},
		{"@ a:[0x1] * 0x10 0x64", `call not understood: "@ a:[0x1] * 0x10 0x64"`},
		{"- 0xzz", `call not understood: "- 0xzz"`},
		{"a:[0x1] - 0x10", ""},
		{"+ + 0x10 0x1", `call not understood: "+ + 0x10 0x1"`},
		{"@ a:[0x1] + 0x10 0x1000000000001", "block of 281474976710657 bytes"},
	} {
		log := "= Start\n" + c.line + "\n@ a:[0x1] + 0x1000 0x1\n@ a:[0x1] - 0x1000\n"
		events, report, err := readLog(t, strings.NewReader(log), "mtrace")
		if c.want == "" {
			if err != nil || len(events) != 2 || report.Recognised != 3 {
				t.Errorf("%q: %d events, %v", c.line, len(events), err)
			}
			continue
		}
		if want := "log:2: " + c.want; err == nil || err.Error() != want || report.Errors != 1 || len(events) != 2 {
			t.Errorf("%q: %d events, %v\nwant %s", c.line, len(events), err, want)
		}
	}
}

func TestMtraceCutOff(t *testing.T) {
	for log, want := range map[string]string{
		"= Start\n@ a:[0x1] + 0x10 0x4\n@ a:[0x1] - 0x1":        "log:3: the last line has no end and is left out",
		"= Start\n@ a:[0x1] + 0x10 0x4\n@ a:[0x2] < 0x10\n":     "log:3: the log ends in the middle of a realloc",
		"= Start\n@ a:[0x1] + 0x10 0x4\n@ a:[0x2] < 0x10\n@ a:": "log:4: the last line has no end and is left out",
	} {
		_, report, err := readLog(t, strings.NewReader(log), "auto")
		if err != nil || !report.Truncated || !slices.Equal(report.Messages, []string{want}) {
			t.Errorf("%q: %v, messages %q", log, err, report.Messages)
		}
	}
}

// What the command mtrace prints is refused, with the way out.
func TestMtraceReportIsRefused(t *testing.T) {
	log := "\nMemory not freed:\n-----------------\n           Address     Size     Caller\n0x000055f022ae72a0     0x12  at calls.c:21\n"
	_, _, err := readLog(t, strings.NewReader(log), "auto")
	if err == nil || !strings.Contains(err.Error(), "mtrace: is what the command mtrace made of a log: give the log itself, the file that MALLOC_TRACE names") {
		t.Error(err)
	}
}

func TestMtraceSamples(t *testing.T) {
	samples(t, "mtrace", func(file string, r *ingest.Report) {
		if r.Errors != 0 || r.LostFrees != 0 || r.OrphanFrees != 0 || r.Recognised != r.Lines {
			t.Errorf("%s: %+v", file, r)
		}
	})
}

func FuzzMtrace(f *testing.F) {
	seeds(f, "mtrace")
	f.Add([]byte("= Start\n@ a:(f+1)[0x1] + 0x10 0x4\n@ [0x2] < 0x10\n@ x:3 > 0x20 0\n@ [0x2] ! 0x20 0xff\n- (nil)\n= End\n"))
	fuzzEvents(f, "mtrace")
}
