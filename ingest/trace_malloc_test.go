package ingest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// calls tells in short what the calls of a trace did, and how they are named:
// "+16 malloc@10" is the birth of 16 bytes at 0x10, "-16@10" its death; ~ marks a
// realloc, ? an orphan.
func calls(t *testing.T, log string) (string, *ingest.Report) {
	t.Helper()
	src, err := ingest.NewSource("log", strings.NewReader(log), ingest.Options{Format: "trace-malloc"})
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
			frames := src.Stacks().Frames(e.Stack)
			if len(frames) != 1 || !ingest.IsAllocator(frames[0]) {
				t.Errorf("frames %v", frames)
			}
			all = append(all, fmt.Sprintf("+%d%s %s@%x", e.Size, mark, frames[0].Function, e.Addr))
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

// trace puts the prefix before each line of a text; one that has a prefix keeps
// it, and one behind | gets none.
func trace(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		bare, raw := strings.CutPrefix(line, "|")
		if !raw && !strings.Contains(line, "--7-- ") && !strings.HasPrefix(line, "==") {
			b.WriteString("--7-- ")
		}
		b.WriteString(bare)
	}
	return b.String()
}

// The calls as the versions of Valgrind print them.
func TestTraceMallocDialects(t *testing.T) {
	for _, c := range []struct{ name, log, want string }{
		{"malloc and free", "malloc(5) = 0xA0\nfree(0xA0)\n", "+5 malloc@a0, -5@a0"},
		{"nothing is freed", "malloc(0) = 0xA0\nfree(0x0)\nfree(0)\ncfree(0x0)\n_ZdlPv(0x0)\n", "+0 malloc@a0"},
		{"nothing is returned", "malloc(5) = 0x0\ncalloc(3,4) = 0\n", ""},
		{"calloc", "calloc(4,25) = 0xB0\ncfree(0xB0)\n", "+100 calloc@b0, -100@b0"},
		{"new", "_Znwm(8) = 0x10\n_Znwj(9) = 0x20\n_Znam(10) = 0x30\n_ZnwmRKSt9nothrow_t(11) = 0x40\n",
			"+8 operator new(unsigned long)@10, +9 operator new(unsigned int)@20, " +
				"+10 operator new[](unsigned long)@30, +11 operator new(unsigned long, std::nothrow_t const&)@40"},
		{"delete", "_Znwm(8) = 0x10\n_ZdlPv(0x10)\n_Znam(9) = 0x10\n_ZdaPvm(0x10)\n_Znwm(7) = 0x10\n_ZdlPvm(0x10, 7)\n",
			"+8 operator new(unsigned long)@10, -8@10, +9 operator new[](unsigned long)@10, -9@10, " +
				"+7 operator new(unsigned long)@10, -7@10"},
		{"aligned new, up to 3.26", "_ZnwmSt11align_val_t(size 100, al 64) = 0x40\n_ZdlPvSt11align_val_t(0x40)\n",
			"+100 operator new(unsigned long, std::align_val_t)@40, -100@40"},
		{"aligned new, since 3.27", "_ZnamSt11align_val_tRKSt9nothrow_t(100, 64) = 0x40\n_ZdaPvmSt11align_val_t(0x40, 100)\n",
			"+100 operator new[](unsigned long, std::align_val_t, std::nothrow_t const&)@40, -100@40"},
		{"memalign, up to 3.26", "memalign(al 64, size 128) = 0x80\n", "+128 memalign@80"},
		{"memalign, since 3.21", "memalign(alignment 64, size 128) = 0x80\n", "+128 memalign@80"},
		{"memalign, since 3.27", "memalign(64, 128) = 0x80\n", "+128 memalign@80"},
		{"aligned_alloc", "aligned_alloc(al 64, size 128) = 0x80\naligned_alloc(32, 96) = 0x200\n",
			"+128 aligned_alloc@80, +96 aligned_alloc@200"},
		{"posix_memalign, 3.24", "posix_memalign(al 64, size 128)\n = 0x80\nfree(0x80)\n", "+128 posix_memalign@80, -128@80"},
		{"posix_memalign, since 3.27", "posix_memalign(0x1FFF, 64, 128) = 0x80\n", "+128 posix_memalign@80"},
		{"realloc", "malloc(5) = 0x10\nrealloc(0x10,50) = 0x20\nrealloc(0x20,60) = 0x20\n",
			"+5 malloc@10, -5~@10, +50~ realloc@20, -50~@20, +60~ realloc@20"},
		{"realloc of nothing", "realloc(0x0,50) = 0x20\n", "+50 realloc@20"},
		{"realloc of nothing, up to 3.20", "realloc(0x0,50)malloc(50) = 0x20\n", "+50 realloc@20"},
		{"realloc to nothing", "malloc(5) = 0x10\nrealloc(0x10,0) = 0x0\n", "+5 malloc@10, -5@10"},
		{"realloc to nothing that is something", "malloc(5) = 0x10\nrealloc(0x10,0) = 0x30\n", "+5 malloc@10, -5~@10, +0~ realloc@30"},
		{"realloc to nothing, up to 3.20", "malloc(5) = 0x10\nrealloc(0x10,0)free(0x10)\n = 0\nmalloc(6) = 0x10\n",
			"+5 malloc@10, -5@10, +6 malloc@10"},
		{"realloc fails", "malloc(5) = 0x10\nrealloc(0x10,99) = 0x0\nfree(0x10)\n", "+5 malloc@10, -5@10"},
		{"realloc of an unknown block", "realloc(0x10,99) = 0x20\n", "?~@10, +99~ realloc@20"},
		{"reallocarray, reallocf", "reallocarray(0x0,3,7) = 0x10\nreallocarray(0x10,30,7) = 0x20\nreallocf(0x20,5) = 0x30\n",
			"+21 reallocarray@10, -21~@10, +210~ reallocarray@20, -210~@20, +5~ reallocf@30"},
		{"macOS", "zone_malloc(0x7FFF, 24) = 0x10\nzone_calloc(0x7FFF, 2, 8) = 0x20\nzone_realloc(0x7FFF, 0x20, 99) = 0x30\nzone_free(0x7FFF, 0x10)\n",
			"+24 malloc@10, +16 calloc@20, -16~@20, +99~ realloc@30, -24@10"},
		{"asking", "malloc(5) = 0x10\nmalloc_usable_size(0x10) = 8\nmallinfo()\nmalloc_usable_size(0x0)malloc(6) = 0x20\n",
			"+5 malloc@10, +6 malloc@20"},
		{"a product that does not fit", "calloc(18446744073709551615,2)malloc(8) = 0x10\ncalloc(18446744073709551615,2) = 0x0\n",
			"+8 malloc@10"},
		{"a message in mid-call", "malloc(18446744073709551615)Argument 'size' of function malloc has a fishy value: -1\n" +
			"==7==    at 0x48417B4: malloc (in vgpreload.so)\n = 0x0\nmalloc(4) = 0x10\n", "+4 malloc@10"},
		{"output without newline", "user output --7-- malloc(5) = 0x10\n-- a -- --7 ----7-- free(0x10)\n", "+5 malloc@10, -5@10"},
		{"another process in mid-line", "malloc(5)--00:00:00:01.000 8-- malloc(6) = 0x10\n--7-- free(0x99)\n| = 0x20\n| = 0x30\n",
			"+6 malloc@10, ?@99, +5 malloc@20"},
		{"debug messages", "REDIR: 0x48 (libc.so.6:malloc) redirected to 0x49 (malloc)\nmalloc(5) = 0x10\nReading syms from /lib/x.so\n",
			"+5 malloc@10"},
		{"double free", "malloc(5) = 0x10\nfree(0x10)\nfree(0x10)\n", "+5 malloc@10, -5@10, ?@10"},
		{"address taken again", "malloc(5) = 0x10\nmalloc(6) = 0x10\n", "+5 malloc@10, lost 5@10, +6 malloc@10"},
		{"nothing of Valgrind", "==7== free(0x10)\nmalloc(5) = 0x10\n==7==  = 0x20\n", "+5 malloc@10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, report := calls(t, trace(c.log))
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if len(report.Messages) != 0 || report.Truncated {
				t.Errorf("messages %q", report.Messages)
			}
		})
	}
}

// What the trace cannot tell is counted, and told.
func TestTraceMallocDoubts(t *testing.T) {
	for _, c := range []struct{ name, log, want, message string }{
		{"threads", "malloc(5)calloc(6,1) = 0x10\n = 0x20\n", "+6 calloc@10, +5 malloc@20",
			"log: 1 results could belong to several calls (of several threads); the latest was taken"},
		{"posix_memalign, 3.21 to 3.23", "posix_memalign(al 64, size 128)\nmalloc(5) = 0x10\nfree(0x80)\n", "+5 malloc@10, ?@80",
			"log: 1 calls of posix_memalign have no address (Valgrind 3.21 to 3.23 print none) and are left out: their frees are orphans"},
		{"the end is missing", "malloc(5) = 0x10\nmalloc(6)\n", "+5 malloc@10",
			"log:2: the log ends before the result of malloc in process 7"},
		{"the end of a line is missing", "malloc(5) = 0x10\nmalloc(6) = 0x2", "+5 malloc@10",
			"log:2: the last line has no end and is left out"},
		{"results are missing", strings.Repeat("malloc(5)\n", 70) + "==7== in use at exit: 0 bytes in 0 blocks\n" +
			"==7== total heap usage: 0 allocs, 0 frees, 0 bytes allocated\n", "", "log: 70 calls have no result and are left out"},
	} {
		got, report := calls(t, trace(c.log))
		if got != c.want || !slices.Equal(report.Messages, []string{c.message}) {
			t.Errorf("%s: %s, messages %q", c.name, got, report.Messages)
		}
		if report.Truncated != strings.Contains(c.name, "the end") {
			t.Errorf("%s: truncated %v", c.name, report.Truncated)
		}
	}
}

// The table of bad lines: exactly these errors, and the lines around them count.
func TestTraceMallocBadLines(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"--7-- malloc(", `call not understood: "malloc("`},
		{"--7-- malloc()", `call not understood: "malloc()"`},
		{"--7-- malloc(x) = 0x10", `call not understood: "malloc(x) = 0x10"`},
		{"--7-- malloc(0x) = 0x10", `call not understood: "malloc(0x) = 0x10"`},
		{"--7-- malloc(5) = ", `result not understood: " = "`},
		{"--7-- malloc(5) = 0x10 0x20", `result not understood: " = 0x10 0x20"`},
		{"--7-- malloc(5) = 0x12345678123456789", `result not understood: " = 0x12345678123456789"`},
		{"--7-- malloc(281474976710657) = 0x20", "malloc of 281474976710657 bytes"},
		{"--7-- calloc(4) = 0x20", `call not understood: "calloc(4) = 0x20"`},
		{"--7-- calloc(4,) = 0x20", `call not understood: "calloc(4,) = 0x20"`},
		{"--7-- realloc(0x20) = 0x20", `call not understood: "realloc(0x20) = 0x20"`},
		{"--7-- reallocarray(0x20,4) = 0x20", `call not understood: "reallocarray(0x20,4) = 0x20"`},
		{"--7-- memalign(al 64) = 0x20", `call not understood: "memalign(al 64) = 0x20"`},
		{"--7-- free()", `call not understood: "free()"`},
		{"--7-- free(0xG)", `call not understood: "free(0xG)"`},
		{"--7-- malloc(1,2,3,4,5,6,7) = 0x20", `call not understood: "malloc(1,2,3,4,5,6,7) = 0x20"`},
		{"--7--  = 0x20", "result 0x20 without its call"},
		{"--7-- zone_malloc(0x1) = 0x20", `call not understood: "zone_malloc(0x1) = 0x20"`},
	} {
		log := "--7-- malloc(1) = 0x1000\n" + c.line + "\n--7-- free(0x1000)\n==7== total heap usage: 1 allocs, 1 frees, 1 bytes allocated\n"
		events, report, err := readLog(t, strings.NewReader(log), "trace-malloc")
		want := "log:2: " + c.want
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", c.line, err, want)
		}
		if report.Errors != 1 || len(events) != 2 || report.Messages[0] != want {
			t.Errorf("%q: %d events, %d errors, messages %q", c.line, len(events), report.Errors, report.Messages)
		}
	}
}

// Processes: what a fork has from its parent is no block of its own, and an exec has nothing.
func TestTraceMallocProcesses(t *testing.T) {
	const banner = "==%d== Using Valgrind-3.19.0 and LibVEX; rerun with -h for copyright info\n==%[1]d== Command: ./p%[1]d\n"
	const end = "==%d== in use at exit: %d bytes in %d blocks\n==%[1]d== total heap usage: %[4]d allocs, %d frees, %d bytes allocated\n"
	start := fmt.Sprintf(banner, 7) + "--7-- malloc(1000) = 0x10\n--7-- malloc(2) = 0x20\n"
	for _, c := range []struct {
		name, log, want, oracle string
		inherited               int64
		procs                   int
	}{
		{"the child frees its copy", start + "--8-- free(0x10)\n--8-- malloc(3) = 0x10\n" + "--7-- free(0x10)\n" +
			fmt.Sprintf(end, 8, 5, 2, 3, 1, 1005) + fmt.Sprintf(end, 7, 2, 1, 2, 1, 1002),
			"+1000 malloc@10, +2 malloc@20, +3 malloc@10, -1000@10",
			"1 of 2 processes: 2 allocs, 1 frees, 1,002 bytes allocated, 2 bytes live in 1 blocks", 1, 2},
		{"the child moves its copy", start + "--8-- realloc(0x10,50) = 0x30\n--8-- free(0x30)\n" + fmt.Sprintf(end, 8, 2, 1, 3, 2, 1052),
			"+1000 malloc@10, +2 malloc@20, +50~ realloc@30, -50@30",
			"", 1, 2},
		{"the child gets its copy's address", start + "--8-- malloc(3) = 0x10\n", "+1000 malloc@10, +2 malloc@20, +3 malloc@10", "", 0, 2},
		{"a child of a child", start + "--8-- malloc(3) = 0x30\n--9-- free(0x30)\n--9-- free(0x20)\n--9-- free(0x99)\n",
			"+1000 malloc@10, +2 malloc@20, +3 malloc@30", "", 3, 3},
		{"a child that says only its sum", start + fmt.Sprintf(end, 8, 1002, 2, 2, 0, 1002), "+1000 malloc@10, +2 malloc@20",
			"", 0, 2},
		{"another program", start + fmt.Sprintf(banner, 8) + "--8-- free(0x10)\n" + fmt.Sprintf(end, 8, 0, 0, 0, 1, 0),
			"+1000 malloc@10, +2 malloc@20, ?@10", "0 allocs, 1 frees, 0 bytes allocated, 0 bytes live in 0 blocks", 0, 2},
		{"exec", start + "--8-- malloc(3) = 0x30\n" + fmt.Sprintf(banner, 8) + "--8-- malloc(4) = 0x30\n" + fmt.Sprintf(end, 8, 4, 1, 1, 0, 4),
			"+1000 malloc@10, +2 malloc@20, +3 malloc@30, +4 malloc@30", "1 allocs, 0 frees, 4 bytes allocated, 4 bytes live in 1 blocks", 0, 2},
		{"after all have ended", start + fmt.Sprintf(end, 7, 1002, 2, 2, 0, 1002) + "--9-- free(0x10)\n",
			"+1000 malloc@10, +2 malloc@20, ?@10", "2 allocs, 0 frees, 1,002 bytes allocated, 1,002 bytes live in 2 blocks", 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, report := calls(t, c.log)
			if got != c.want || report.InheritedFrees != c.inherited || report.Processes != c.procs {
				t.Errorf("%d processes, %d inherited frees\ngot  %s\nwant %s", report.Processes, report.InheritedFrees, got, c.want)
			}
			if o := report.Oracle; (o == nil) != (c.oracle == "") || o != nil && (!o.OK || o.Expected != c.oracle) {
				t.Errorf("oracle %+v", report.Oracle)
			}
			if report.Tool != "valgrind 3.19.0" || report.Command != "./p7" {
				t.Errorf("tool %q, command %q", report.Tool, report.Command)
			}
		})
	}
}

// Stamps count from the start of each process; the log's clock goes on.
func TestTraceMallocClock(t *testing.T) {
	log := `==00:00:00:00.000 7== Using Valgrind-3.19.0 and LibVEX
--00:00:00:00.100 7-- malloc(1) = 0x10
--00:00:00:00.200 8-- malloc(2) = 0x20
--00:00:00:00.150 7-- malloc(3) = 0x30
==00:00:00:00.000 8== Using Valgrind-3.19.0 and LibVEX
--00:00:00:00.010 8-- malloc(4) = 0x40
--01:02:03:04.005 7-- malloc(5) = 0x50
`
	events, report, err := readLog(t, strings.NewReader(log), "trace-malloc")
	if err != nil || report.Clock != ingest.Stamps {
		t.Fatal(err, report.Clock)
	}
	var times []string
	for _, e := range events {
		times = append(times, e.Time.String())
	}
	if want := []string{"100ms", "200ms", "200ms", "210ms", "26h3m4.005s"}; !slices.Equal(times, want) {
		t.Errorf("times %v, want %v", times, want)
	}
}

// The log's own sum notices any call that is missing.
func TestTraceMallocOracleNotices(t *testing.T) {
	log, err := os.ReadFile(filepath.Join("testdata", "trace-malloc", "calls.log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(log), "\n")
	missed := 0
	for i, line := range lines {
		if !strings.HasPrefix(line, "--") || strings.Contains(line, "(0x0)") || strings.Contains(line, "--  = 0") {
			continue
		}
		missed++
		_, report, err := readLog(t, strings.NewReader(strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "")), "auto")
		if err != nil || report.Oracle == nil || report.Oracle.OK || report.Oracle.Expected == report.Oracle.Got {
			t.Errorf("without %q: %+v, %v", line, report.Oracle, err)
		}
		if n := len(report.Messages); n == 0 || !strings.HasSuffix(report.Messages[n-1], "the log is incomplete or jumbled") {
			t.Errorf("without %q: messages %q", line, report.Messages)
		}
	}
	if missed < 40 {
		t.Errorf("only %d calls", missed)
	}
}

// Several processes: the first that is wrong is named.
func TestTraceMallocOracleNamesProcess(t *testing.T) {
	log := "==1== in use at exit: 0 bytes in 0 blocks\n==1== total heap usage: 0 allocs, 0 frees, 0 bytes allocated\n" +
		"--2-- malloc(9) = 0x10\n" +
		"==2== in use at exit: 0 bytes in 0 blocks\n==2== total heap usage: 1,234 allocs, 1 frees, 9 bytes allocated\n"
	_, report, err := readLog(t, strings.NewReader(log), "trace-malloc")
	want := ingest.Oracle{Name: "heap summary",
		Expected: "process 2: 1,234 allocs, 1 frees, 9 bytes allocated, 0 bytes live in 0 blocks",
		Got:      "process 2: 1 allocs, 0 frees, 9 bytes allocated, 9 bytes live in 1 blocks"}
	if err != nil || report.Oracle == nil || *report.Oracle != want {
		t.Errorf("%+v, %v", report.Oracle, err)
	}
}

// Published and captured logs that lie beside the project: all sums are right.
func TestTraceMallocSamples(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join("..", "..", "shared", "samples", "valgrind-trace-malloc", "*"))
	if len(files) == 0 {
		t.Skip("no sample logs beside the project")
	}
	for _, file := range files {
		src, err := ingest.Open(file, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		if _, err := ingesttest.ReadAll(t, src); err != nil {
			t.Error(err)
		}
		if r := src.Report(); r.Format != "trace-malloc" || r.Oracle == nil || !r.Oracle.OK || r.Truncated || r.LostFrees != 0 || len(r.Messages) != 0 {
			t.Errorf("%s: %+v, oracle %+v", file, r, r.Oracle)
		}
	}
}

// Every captured log with a sum agrees with it.
func TestTraceMallocCaptures(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join("testdata", "trace-malloc", "*.log"))
	packed, _ := filepath.Glob(filepath.Join("testdata", "trace-malloc", "*.log.*z*"))
	sums := 0
	for _, file := range slices.DeleteFunc(append(files, packed...), func(f string) bool { return strings.HasSuffix(f, ".golden") }) {
		src, err := ingest.Open(file, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		if _, err := ingesttest.ReadAll(t, src); err != nil {
			t.Error(err)
		}
		r := src.Report()
		if o := r.Oracle; o != nil {
			sums++
			if !o.OK {
				t.Errorf("%s: %+v", file, o)
			}
		}
		if r.LostFrees != 0 || r.Truncated || r.Recognised < r.Lines-2 {
			t.Errorf("%s: %+v", file, r)
		}
	}
	if sums < 8 {
		t.Errorf("only %d sums", sums)
	}
}

func FuzzTraceMalloc(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("testdata", "trace-malloc", "*.log"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 4000)])
	}
	f.Add([]byte("--7-- posix_memalign(al 64, size 128)\n--7--  = 0x80\n--8-- realloc(0x80,0)free(0x80)\n--8--  = 0\n"))
	f.Add([]byte("x--01:02:03:04.005 7-- zone_realloc(0x1, 0x10, 20) = 0x30\n==7== Using Valgrind-3\n--7-- _Znwm(5) = 0x30\n"))
	fuzzEvents(f, "trace-malloc")
}

func BenchmarkTraceMalloc(b *testing.B) {
	benchmarkEvents(b, "==7== Command: ./a\n", func(i int) string {
		size, addr, freed := heap(i)
		s := fmt.Sprintf("--7-- malloc(%d) = 0x%X\n", size, addr)
		if freed != 0 {
			s += fmt.Sprintf("--7-- free(0x%X)\n", freed)
		}
		return s
	})
}
