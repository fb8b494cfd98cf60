package ingest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leakformer/ingest"
)

const gdbHead = "leakformer-gdb 1\ncommand: ./p a b\n"

func TestGDBLines(t *testing.T) {
	const callers = "\t0x5555555552bf\tgrow\t/src/a b.c:23\t/src/p\n\t0x10\t_ZN3app1fEi\t\t/lib/a.so\tinlined\n\t0x7f\t\t\t\n"
	const shown = "0x5555555552bf grow at /src/a b.c:23 in /src/p; 0x10 app::f(int) in /lib/a.so inlined; 0x7f"
	for _, c := range []struct{ name, log, want, sum string }{
		{"malloc", "0.1 7 8 malloc(24) = 0x10\n" + callers + "0.2 7 8 free(0x10)\n", "+24@10 [0x0 malloc; " + shown + "], -24@10", "1 allocs, 1 frees"},
		{"calloc", "0.1 7 8 calloc(4, 25) = 0x10\n", "+100@10 [0x0 calloc]", "1 allocs, 0 frees"},
		{"aligned", "0.1 7 8 memalign(64, 100) = 0x40\n0.1 7 8 aligned_alloc(32, 96) = 0x80\n0.1 7 8 posix_memalign(0x7fff, 64, 128) = 0xc0\n",
			"+100@40 [0x0 memalign], +96@80 [0x0 aligned_alloc], +128@c0 [0x0 posix_memalign]", "3 allocs, 0 frees"},
		{"realloc", "0.1 7 8 realloc(0x0, 8) = 0x10\n0.1 7 8 realloc(0x10, 9) = 0x20\n" + callers + "0.1 7 8 reallocarray(0x20, 2, 8) = 0x20\n",
			"+8@10 [0x0 realloc], -8~@10, +9~@20 [0x0 realloc; " + shown + "], -9~@20, +16~@20 [0x0 reallocarray]", "3 allocs, 2 frees"},
		{"realloc to nothing", "0.1 7 8 malloc(8) = 0x10\n0.1 7 8 realloc(0x10, 0) = 0x0\n", "+8@10 [0x0 malloc], -8@10", "1 allocs, 1 frees"},
		{"failed", "0.1 7 8 malloc(18446744073709551615) = 0x0\n" + callers + "0.1 7 8 malloc(8) = 0x10\n0.1 7 8 realloc(0x10, 99) = 0x0\n", "+8@10 [0x0 malloc]", "1 allocs, 0 frees"},
		{"orphan", "0.1 7 8 free(0x10)\n0.1 7 8 free(0x0)\n", "?@10", "0 allocs, 1 frees"},
	} {
		got, report := brief(t, "auto", gdbHead+c.log+"end: "+c.sum+"\n")
		if got != c.want || len(report.Messages) != 0 || report.Command != "./p a b" || report.Recognised != report.Lines || report.Truncated {
			t.Errorf("%s: %+v\ngot  %s\nwant %s", c.name, report, got, c.want)
		}
		if o := report.Oracle; o == nil || !o.OK {
			t.Errorf("%s: oracle %+v", c.name, o)
		}
	}
}

func TestGDBBadLines(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"malloc(5) = 0x10", `call not understood: "malloc(5) = 0x10"`},
		{"0.1 7 malloc(5) = 0x10", `call not understood: "0.1 7 malloc(5) = 0x10"`},
		{"0 7 8 malloc(5) = 0x10", `call not understood: "0 7 8 malloc(5) = 0x10"`},
		{"0.1 7 8 malloc(5)", `call not understood: "0.1 7 8 malloc(5)"`},
		{"0.1 7 8 malloc() = 0x10", `call not understood: "0.1 7 8 malloc() = 0x10"`},
		{"0.1 7 8 malloc(5) = ", `call not understood: "0.1 7 8 malloc(5) = "`},
		{"0.1 7 8 main(5) = 0x10", `call not understood: "0.1 7 8 main(5) = 0x10"`},
		{"0.1 7 8 free(0x10) x", `call not understood: "0.1 7 8 free(0x10) x"`},
		{"0.1 7 99999999999 free(0x10)", `call not understood: "0.1 7 99999999999 free(0x10)"`},
		{"0.1 7 8 malloc(281474976710657) = 0x10", "malloc of 281474976710657 bytes"},
		{"hello", `call not understood: "hello"`},
		{"\t0x1\tf", ""}, // of no call
	} {
		log := gdbHead + c.line + "\n\t0x1\tf\t\t\n0.1 7 8 malloc(1) = 0x1000\n0.1 7 8 free(0x1000)\nend: 1 allocs, 1 frees\n"
		events, report, err := readLog(t, strings.NewReader(log), "gdb")
		if c.want == "" {
			if err != nil || len(events) != 2 {
				t.Errorf("%q: %d events, %v", c.line, len(events), err)
			}
			continue
		}
		if want := "log:3: " + c.want; err == nil || err.Error() != want || report.Errors != 1 || len(events) != 2 {
			t.Errorf("%q: %d events, %v\nwant %s", c.line, len(events), err, want)
		}
	}
	for _, line := range []string{"\t", "\tx\tf\t\t", "\t0x1\tf\t", "\t0x1\tf\t\t\t", "\t0x1\tf\t\t\tother", "\t0x1\tf\ta.c\tm", "\t0x1\tf\ta.c:x\tm"} {
		events, _, err := readLog(t, strings.NewReader(gdbHead+"0.1 7 8 malloc(1) = 0x10\n"+line+"\nend: 1 allocs, 0 frees\n"), "gdb")
		if err == nil || !strings.HasPrefix(err.Error(), "log:4: caller not understood: ") || len(events) != 1 {
			t.Errorf("%q: %d events, %v", line, len(events), err)
		}
	}
}

func TestGDBEnds(t *testing.T) {
	for log, want := range map[string]string{
		gdbHead + "0.1 7 8 malloc(1) = 0x10\n\t0x1\tf\t\t\n":           "log:4: the log ends before the program",
		gdbHead + "0.1 7 8 malloc(1) = 0x10\n\t0x1\tf":                 "log:4: the last line has no end and is left out",
		gdbHead + "0.1 7 8 malloc(1) = 0x10\nend: 2 allocs, 0 frees\n": "log: calls says 2 allocs, 0 frees, the records add up to 1 allocs, 0 frees: the log is incomplete or jumbled",
	} {
		events, report, err := readLog(t, strings.NewReader(log), "auto")
		if err != nil || len(events) != 1 || !slices.Equal(report.Messages, []string{want}) || report.Truncated == strings.Contains(log, "end") {
			t.Errorf("%q: %d events, %v, messages %q", log, len(events), err, report.Messages)
		}
	}
	_, _, err := readLog(t, strings.NewReader("leakformer-gdb 2\n"), "auto")
	if err == nil || err.Error() != `log: a gdb log of version "2": this program reads 1` {
		t.Error(err)
	}
}

// The script that comes along, run with the real gdb: heaptrack's and valgrind's
// programs of the golden files.
func TestGDBScript(t *testing.T) {
	for _, tool := range []string{"gdb", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool, "is not installed")
		}
	}
	dir := t.TempDir()
	run := func(name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "ALLOCATIONS_LOG=trace.log")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	source, err := filepath.Abs("testdata/src/calls.c")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run("gcc", "-O1", "-g", "-fno-builtin", "-pthread", "-o", "calls", source); err != nil {
		t.Skip(out, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "allocations.py"), []byte(ingest.GDBScript), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := run("gdb", "-nx", "-q", "-batch", "-ex", "python print(1)"); err != nil || !strings.Contains(out, "1") {
		t.Skip("gdb has no Python: ", out, err)
	}
	out, err := run("gdb", "-nx", "-q", "-batch", "-x", "allocations.py", "--args", "./calls", "t")
	src, openErr := ingest.Open(filepath.Join(dir, "trace.log"), ingest.Options{})
	if openErr != nil {
		if strings.Contains(out, "ptrace") || strings.Contains(out, "not permitted") {
			t.Skip("gdb may not trace here: ", out)
		}
		t.Fatal(out, err, openErr)
	}
	defer src.Close()
	leaked := map[string]int{}
	bySize := map[int64]bool{}
	for e, err := range src.Events() {
		if err != nil {
			t.Fatal(err)
		}
		frames := src.Stacks().Frames(e.Stack)
		if len(frames) > 1 && e.Op == ingest.Alloc {
			leaked[frames[1].Function]++
			bySize[e.Size] = true
		}
	}
	r := src.Report()
	// See calls.c: 12 buffers, 12 cache entries, 3 + 2 lost blocks, 20 arrays in each of 2 threads.
	if leaked["remember"] != 12 || leaked["grow"] != 12 || leaked["lose"] != 5 || leaked["thread"] != 40 || !bySize[1200] {
		t.Errorf("allocations by caller: %v", leaked)
	}
	if r.Oracle == nil || !r.Oracle.OK || r.Errors != 0 || r.OrphanFrees != 0 || r.LostFrees != 0 || r.Truncated {
		t.Errorf("%+v, oracle %+v\n%s", r, r.Oracle, out)
	}
}

func FuzzGDB(f *testing.F) {
	seeds(f, "gdb")
	f.Add([]byte(gdbHead + "0.1 7 8 realloc(0x10, 9) = 0x20\n\t0x1\tf\ta:1\tm\tinlined\n0.2 7 8 free(0x20)\nend: 1 allocs, 2 frees\n"))
	fuzzEvents(f, "gdb")
}
