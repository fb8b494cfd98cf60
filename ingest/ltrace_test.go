package ingest_test

import (
	"slices"
	"strings"
	"testing"

	"leakformer/ingest"
)

// The lines as the options of ltrace make them.
func TestLtraceLines(t *testing.T) {
	for _, c := range []struct{ name, log, want string }{
		{"plain", "malloc(24)                                       = 0xa0\nfree(0xa0)                                       = <void>\n", "+24@a0 [0x0 malloc], -24@a0"},
		{"object", "prog->malloc(24)     = 0xa0\nprog->free(0xa0)     = <void>\n", "+24@a0 [0x0 malloc; 0x0 in prog], -24@a0"},
		{"address", "[0x401136] prog->malloc(24)     = 0xa0\n", "+24@a0 [0x0 malloc; 0x401136 in prog]"},
		{"terminal", "[pid 8] 10:42:53.007775 [0x401136] prog->malloc(24)     = 0xa0 <0.000144>\n", "+24@a0 [0x0 malloc; 0x401136 in prog]"},
		{"file", "8 1795257772.918377 prog->malloc(24)     = 0xa0\n", "+24@a0 [0x0 malloc; 0x0 in prog]"},
		{"all functions", "calloc(4, 25)  = 0x10\nrealloc(0, 100) = 0x20\nrealloc(0x20, 200) = 0x30\nreallocarray(0x30, 3, 7, 0) = 0x30\n" +
			"memalign(64, 100, 0x7fef, 0x1f8b1) = 0x40\naligned_alloc(32, 96, 0x55, 5) = 0x80\nvalloc(30, 2, 0x55, 11) = 0x1000\n",
			"+100@10 [0x0 calloc], +100@20 [0x0 realloc], -100~@20, +200~@30 [0x0 realloc], -200~@30, +21~@30 [0x0 reallocarray], " +
				"+100@40 [0x0 memalign], +96@80 [0x0 aligned_alloc], +30@1000 [0x0 valloc]"},
		{"new and delete", "_Znwm(16, 0x7ffc, 1) = 0x10\n_ZdlPvm(0x10, 16, 0) = <void>\n_Znam(9) = 0x20\n_ZdaPv(0x20, 0) = <void>\n",
			"+16@10 [0x0 operator new(unsigned long)], -16@10, +9@20 [0x0 operator new[](unsigned long)], -9@20"},
		{"demangled", "operator new(unsigned long)(16, 0x7ffc) = 0x10\noperator delete(void*, unsigned long)(0x10, 16) = <void>\n",
			"+16@10 [0x0 operator new(unsigned long)], -16@10"},
		{"nothing", "malloc(5) = 0\nmalloc(5) = nil\nfree(0) = <void>\nfree(nil) = <void>\nrealloc(0x10, 5) = 0\nmalloc_usable_size(0x10) = 24\n", ""},
		{"realloc to nothing", "malloc(5) = 0x10\nrealloc(0x10, 0) = 0\n", "+5@10 [0x0 malloc], -5@10"},
		{"new calls malloc", "prog->_Znwm(16, 1 <unfinished ...>\n  libstdc++.so.6->malloc(16) = 0x10\n<... _Znwm resumed> )     = 0x10\n" +
			"prog->_ZdlPvm(0x10, 16 <unfinished ...>\nlibstdc++.so.6->_ZdlPv(0x10 <unfinished ...>\nlibstdc++.so.6->free(0x10) = <void>\n<... _ZdlPv resumed> ) = <void>\n<... _ZdlPvm resumed> ) = <void>\n",
			"+16@10 [0x0 malloc; 0x0 operator new(unsigned long); 0x0 in prog], -16@10"},
		{"new calls unseen", "prog->_Znwm(16, 1 <unfinished ...>\n<... _Znwm resumed> )     = 0x10\n", "+16@10 [0x0 operator new(unsigned long); 0x0 in prog]"},
		{"threads", "7 malloc(5 <unfinished ...>\n8 malloc(6 <unfinished ...>\n7 <... malloc resumed> ) = 0x10\n8 <... malloc resumed> ) = 0x20\n8 free(0x10 <unfinished ...>\n7 malloc(9) = 0x10\n8 <... free resumed> ) = <void>\n",
			"+5@10 [0x0 malloc], +6@20 [0x0 malloc], -5@10, +9@10 [0x0 malloc]"},
		{"never returned", "7 malloc(5) = 0x10\n8 calloc(12, 8 <no return ...>\n", "+5@10 [0x0 malloc]"},
		{"other calls", "malloc(5) = 0x10\nstrchr(\"malloc(5)\", 'o') = nil\nexit(0 <no return ...>\n+++ exited (status 0) +++\nhello\n", "+5@10 [0x0 malloc]"},
	} {
		got, report := brief(t, "auto", c.log)
		if got != c.want || report.Format != "ltrace" || len(report.Messages) != 0 {
			t.Errorf("%s: %s, messages %q\ngot  %s\nwant %s", c.name, report.Format, report.Messages, got, c.want)
		}
	}
}

// A forked process has a heap of its own, with copies of what its parent had.
func TestLtraceProcesses(t *testing.T) {
	log := "7 malloc(5) = 0x10\n7 fork( <unfinished ...>\n8 <... fork resumed> ) = 0\n7 <... fork resumed> ) = 8\n8 free(0x10) = <void>\n8 malloc(6) = 0x10\n" +
		"8 malloc(7) = 0x20\n9 free(0x10) = <void>\n8 --- Called exec() ---\n8 malloc(8) = 0x20\n"
	got, report := brief(t, "ltrace", log)
	if want := "+5@10 [0x0 malloc], +6@10 [0x0 malloc], +7@20 [0x0 malloc], -5@10, +8@20 [0x0 malloc]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if report.InheritedFrees != 1 || report.Processes != 2 || report.OrphanFrees != 0 || report.LostFrees != 0 {
		t.Errorf("%+v", report)
	}
}

func TestLtraceClock(t *testing.T) {
	for _, c := range []struct {
		name, want string
		stamps     []string
	}{
		{"-t", "0s 1s 1s 3m0s", []string{"10:42:53", "10:42:54", "10:42:54", "10:45:53"}},
		{"-tt", "0s 10µs 10.00001s", []string{"23:59:50.000000", "23:59:50.000010", "00:00:00.000010"}},
		{"-ttt", "0s 1.5s 1.5s", []string{"1795257772.0", "1795257773.500000", "1795257773.400000"}},
		{"-r", "0s 1ms 3ms", []string{"0.000000", "0.001", "0.002"}},
	} {
		var log strings.Builder
		for i, stamp := range c.stamps {
			log.WriteString("  " + stamp + " malloc(5) = 0x" + strings.Repeat("1", i+1) + "\n")
		}
		events, report, err := readLog(t, strings.NewReader(log.String()), "auto")
		if err != nil || report.Clock != ingest.Stamps {
			t.Error(c.name, err, report)
			continue
		}
		var times []string
		for _, e := range events {
			times = append(times, e.Time.String())
		}
		if got := strings.Join(times, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestLtraceBadLines(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"malloc() = 0x10", `call not understood: "malloc() = 0x10"`},
		{"malloc(", `call not understood: "malloc("`},
		{"malloc(x) = 0x10", `call not understood: "malloc(x) = 0x10"`},
		{"calloc(4) = 0x10", `call not understood: "calloc(4) = 0x10"`},
		{"realloc(0x10, ) = 0x10", `call not understood: "realloc(0x10, ) = 0x10"`},
		{"free(\"x\") = <void>", `call not understood: "free(\"x\") = <void>"`},
		{"malloc(5)", `result not understood: "malloc(5)"`},
		{"malloc(5) = <void>", `result not understood: "malloc(5) = <void>"`},
		{"malloc(281474976710657) = 0x10", "malloc of 281474976710657 bytes"},
		{"operator new(unsigned long)(x) = 0x10", `call not understood: "operator new(unsigned long)(x) = 0x10"`},
	} {
		log := "prog->malloc(1) = 0x1000\n" + c.line + "\nprog->free(0x1000) = <void>\n"
		events, report, err := readLog(t, strings.NewReader(log), "ltrace")
		if want := "log:2: " + c.want; err == nil || err.Error() != want || report.Errors != 1 || len(events) != 2 {
			t.Errorf("%q: %d events, %v\nwant %s", c.line, len(events), err, want)
		}
	}
}

// What ltrace does not show is counted, and told.
func TestLtraceDoubts(t *testing.T) {
	for log, want := range map[string]string{
		"malloc(1) = 0x10\nposix_memalign(0x7fff, 64, 100) = 0\nfree(0x40) = <void>\n": "log: 1 calls of posix_memalign have no address (ltrace prints none) and are left out: their frees are orphans",
		"malloc(1) = 0x10\n<... calloc resumed> ) = 0x20\nfree(0x20) = <void>\n":       "log: 1 results have no call and are left out",
		"malloc(1) = 0x10\nfree(0x20) = <void>\nfree(0x1":                              "log:3: the last line has no end and is left out",
	} {
		events, report, err := readLog(t, strings.NewReader(log), "auto")
		if err != nil || len(events) != 2 || report.OrphanFrees != 1 || !slices.Equal(report.Messages, []string{want}) {
			t.Errorf("%q: %d events, %v, messages %q", log, len(events), err, report.Messages)
		}
	}
}

func TestLtraceSamples(t *testing.T) {
	samples(t, "ltrace", func(file string, r *ingest.Report) {
		if r.Format != "ltrace" || r.Errors != 0 || r.Allocs < 5 {
			t.Errorf("%s: %+v", file, r)
		}
		t.Logf("%s: %d allocs, %d frees, %d orphans, %d lost, %q", file, r.Allocs, r.Frees, r.OrphanFrees, r.LostFrees, r.Messages)
	})
}

func FuzzLtrace(f *testing.F) {
	seeds(f, "ltrace")
	f.Add([]byte("7 10:00:00.1 [0x1] p->_Znwm(16, 1 <unfinished ...>\n8 23:00:00 <... fork resumed> ) = 0\n7 00:00:01 l->malloc(16) = 0x10 <0.1>\n7 1 <... _Znwm resumed> ) = 0x10\n8 realloc(0x10, 0) = 0\n"))
	fuzzEvents(f, "ltrace")
}
