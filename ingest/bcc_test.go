package ingest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// framesOf writes a stack as "f in m < g in m".
func framesOf(src ingest.Source, e ingest.Event) string {
	var all []string
	for _, f := range src.Stacks().Frames(e.Stack) {
		s := f.Function
		if f.Address != 0 {
			s = fmt.Sprintf("%s@%x", s, f.Address)
		}
		if f.File != "" {
			s += fmt.Sprintf(" at %s:%d", f.File, f.Line)
		}
		if f.Module != "" {
			s += " in " + f.Module
		}
		all = append(all, s)
	}
	return strings.Join(all, " < ")
}

// Every release prints a call stack in its own way.
func TestBccMemleakFrames(t *testing.T) {
	for _, c := range []struct{ name, lines, want string }{
		{"docs", "                 main+0x6d [allocs]\n                 __libc_start_main+0xf0 [libc-2.21.so]\n", "main in allocs < __libc_start_main in libc-2.21.so"},
		{"kernel, old", "\t\tbpf_prog_load [kernel]\n\t\talloc_and_copy.constprop.59 [kernel]\n", "bpf_prog_load in kernel < alloc_and_copy in kernel"},
		{"addresses", "\t\t0x0000559b4789639f\tzmalloc+0x2f [redis-server]\n", "zmalloc@559b4789639f in redis-server"},
		{"unknown", "\t\t[unknown]\n\t\t[unknown] [app]\n\t\t0x000055\t[unknown] [app]\n", " <  in app < @55 in app"},
		{"blanks", "\t\tstd::vector<int, A>::push_back(int const&)+0x1b [libx.so]\n", "std::vector<int, A>::push_back(int const&) in libx.so"},
		{"operator[]", "\t\tA::operator[](int)+0x1b [libx.so]\n", "A::operator[](int) in libx.so"},
		{"bytes", "\t\tb'f+0x1 [kernel]\\n\\t\\tg+0x2 [kernel]'\n", "f in kernel < g in kernel"},
		{"lost", "\t\tstack information lost\n", ""},
		{"libbpf", "\t0 [<00007f05944c098c>] _Znwm+0x1c [/usr/lib/libstdc++.so.6]\n\t1 [<0000558508caa1bb>] foo+0x12 /src/a.c:12\n" +
			"\t2 [<0000558508caa1e5>] main+0x25\n\t3 [<7f>] [/usr/lib/libc.so.6]\n\t4 [<b5>] <null sym>\n",
			"operator new(unsigned long)@7f05944c098c in /usr/lib/libstdc++.so.6 < foo@558508caa1bb at /src/a.c:12 < main@558508caa1e5 < @7f in /usr/lib/libc.so.6 < @b5"},
		{"the program speaks", "\t\tf+0x1 [a]\nhello, world\n\t\tg+0x1 [a]\n", "f in a"},
	} {
		events, src, err := readText(t, "auto", "[11:16:33] Top 10 stacks with outstanding allocations:\n\t80 bytes in 5 allocations from stack\n"+c.lines)
		if err != nil || len(events) != 1 || events[0].Size != 80 || events[0].Count != 5 {
			t.Errorf("%s: %+v, %v", c.name, events, err)
			continue
		}
		if got := framesOf(src, events[0]); got != c.want {
			t.Errorf("%s: got  %s\nwant %s", c.name, got, c.want)
		}
		if r := src.Report(); r.Format != "bcc-memleak" || len(r.Messages) > 0 {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// Intervals are snapshots with the time since the first, past midnight too.
func TestBccMemleakIntervals(t *testing.T) {
	entry := func(n int) string {
		return fmt.Sprintf("\t%d bytes in 1 allocations from stack\n\t\tf+0x1 [a]\n", n)
	}
	const head = " Top 9 stacks with outstanding allocations:\n"
	log := "Attaching to pid 7, Ctrl+C to quit.\n[23:59:58]" + head + entry(1) + entry(2) + "[0:0:3]" + head + "[00:00:08]" + head + entry(3) +
		"Attaching to pid 8, Ctrl+C to quit.\n...\n" + entry(4) + "[00:00:01]" + head + entry(5)
	events, src, err := readText(t, "auto", log)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprintf("%d@%v %d", e.Scan, e.Time, e.Size))
	}
	// The third interval is empty: its number is left out. The clock of the
	// second run is behind: time stands still.
	if want := []string{"0@0s 1", "0@0s 2", "2@10s 3", "3@10s 4", "4@10s 5"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if r := src.Report(); r.Class != ingest.Snapshots || r.Clock != ingest.Stamps || len(r.Messages) > 0 {
		t.Errorf("%+v", r)
	}
}

// A full interval may lack stacks: the user is told, and -a cannot be checked.
func TestBccMemleakTop(t *testing.T) {
	const entry = "\taddr = 10 size = 8\n\t8 bytes in 1 allocations from stack\n\t\tf+0x1 [a]\n"
	_, src, err := readText(t, "auto", "[0:0:1] Top 1 stacks with outstanding allocations:\n"+entry)
	want := []string{"log: 1 intervals show no more stacks than they were asked for (-T): one that is missing may still be there"}
	if r := src.Report(); err != nil || !slices.Equal(r.Messages, want) || r.Oracle != nil {
		t.Errorf("%v, messages %q, oracle %+v", err, r.Messages, r.Oracle)
	}
	// That of libbpf-tools says how many it shows.
	_, src, err = readText(t, "auto", "[0:0:1] Top 1 stacks with outstanding allocations:\n8 bytes in 1 allocations from stack\n\taddr = 0x10 size = 8\n\t0 [<10>] f+0x1 [a]\n")
	if r := src.Report(); err != nil || len(r.Messages) > 0 || r.Oracle == nil || !r.Oracle.OK {
		t.Errorf("%v, messages %q, oracle %+v", err, r.Messages, r.Oracle)
	}
	// An address too many.
	_, src, err = readText(t, "auto", "[0:0:1] Top 2 stacks with outstanding allocations:\n\taddr = 20 size = 8\n"+entry)
	if o := src.Report().Oracle; err != nil || o == nil || o.OK || o.Expected != "16 bytes in 2 allocations" || o.Got != "8 bytes in 1 allocations" {
		t.Errorf("%v, oracle %+v", err, o)
	}
}

func TestBccMemleakBadLines(t *testing.T) {
	const good = "[0:0:1] Top 9 stacks with outstanding allocations:\n\t8 bytes in 1 allocations from stack\n\t\tf+0x1 [a]\n"
	for _, c := range []struct{ line, want string }{
		{"[1:2] Top 9 stacks with outstanding allocations:", `interval not understood: "[1:2] Top 9 stacks with outstanding allocations:"`},
		{"[25:0:0] Top 9 stacks with outstanding allocations:", `interval not understood: "[25:0:0] Top 9 stacks with outstanding allocations:"`},
		{"\tx bytes in 1 allocations from stack", `stack not understood: "x bytes in 1 allocations from stack"`},
		{"\t8 bytes in 99999999999999999999 allocations from stack", `stack not understood: "8 bytes in 99999999999999999999 allocations from stack"`},
		{"\t281474976710657 bytes in 1 allocations from stack", `stack not understood: "281474976710657 bytes in 1 allocations from stack"`},
		{"\taddr = xyz size = 8", `address not understood: "addr = xyz size = 8"`},
		{"\taddr = 10 size = ", `address not understood: "addr = 10 size ="`},
	} {
		events, src, err := readText(t, "bcc-memleak", good+c.line+"\n"+good)
		if want := "log:4: " + c.want; err == nil || err.Error() != want {
			t.Errorf("error\n\t%v\nwant\n\t%s", err, want)
		}
		if len(events) != 2 || src.Report().Errors != 1 {
			t.Errorf("%q: %d events, %d errors", c.line, len(events), src.Report().Errors)
		}
	}
}

// What memleak -t prints, in Python 3, in Python 2, and with odd names.
func TestBccTrace(t *testing.T) {
	log := `Attaching to pid 7, Ctrl+C to quit.
(b'a', 7, 1, b'd..31', 5302.5, b'alloc entered, size = 16')
(b'a', 7, 1, b'd..31', 5302.75, b'alloc exited, size = 16, result = 55c4cb7a22c0')
('it\'s, 3', 8, 1, 'd..31', 5303.5, 'alloc exited, size = 8, result = 10')
(b"b'", 8, 1, b'....1', 5303.5, b'free entered, address = 55c4cb7a22c0, size = 16')
the program speaks: (free entered, or so)
(b'a', 7, 1, b'd..31', 5303, b'alloc exited, size = 99, result = 0')
(b'a', 7, 1, b'd..31', 5304, b'alloc exited, size = 24, result = 10')
(b'a', 7, 1, b'd..31', 5304, b'free entered, address = 20, size = 16')
`
	events, src, err := readText(t, "auto", log)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprintf("%v %d@%x %d", e.Op, e.Size, e.Addr, e.Block))
	}
	if want := []string{"alloc 16@55c4cb7a22c0 0", "alloc 8@10 1", "free 16@55c4cb7a22c0 0", "free 8@10 1", "alloc 24@10 2", "free 0@20 -1"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	report := src.Report()
	if report.Format != "bcc-memleak-trace" || report.Recognised != 7 || report.OrphanFrees != 1 || report.LostFrees != 1 {
		t.Errorf("%+v", report)
	}
	if o := report.Oracle; o == nil || !o.OK || o.Expected != "16" {
		t.Errorf("oracle %+v", o)
	}
	e := events[1]
	if e.Comm != `it\'s, 3` || e.TID != 8 || e.PID != 0 || e.Time.Seconds() != 1 {
		t.Errorf("%s", ingest.AppendText(nil, e))
	}
}

// A free that tells another size than the alloc did shows that lines are missing.
func TestBccTraceOracleNotices(t *testing.T) {
	_, src, err := readText(t, "auto", "(b'a', 7, 1, b'd', 1.5, b'alloc exited, size = 16, result = 10')\n(b'a', 7, 1, b'd', 1.5, b'free entered, address = 10, size = 24')\n")
	if o := src.Report().Oracle; err != nil || o == nil || o.OK || o.Expected != "24" || o.Got != "16" {
		t.Errorf("%v, oracle %+v", err, o)
	}
}

func TestBccTraceBadLines(t *testing.T) {
	const good = "(b'a', 7, 1, b'd..31', 5303, b'alloc exited, size = 8, result = 10')\n"
	for _, line := range []string{
		"(b'a', 7, 1, b'd..31', 5303, b'alloc exited, size = x, result = 20')",
		"(b'a', 7, 1, b'd..31', 5303, b'alloc exited, size = 8')",
		"(b'a', 7, 1, b'd..31', 5303, b'alloc exited, size = 8, result = xyz')",
		"(b'a', 7, 1, b'd..31', 5303, b'alloc exited, size = 281474976710657, result = 20')",
		"(b'a', 7, 1, b'd..31', 5303, b'free entered, address = 10')",
		"(b'a', 7, 1, b'd..31', 5303, b'free entered, address = 11111111111111111, size = 8')",
		"(b'a', x, 1, b'd..31', 5303, b'alloc exited, size = 8, result = 20')",
		"(b'a', 7, 1, b'd..31', never, b'alloc exited, size = 8, result = 20')",
		"(b'a', 99999999999, 1, b'd..31', 5303, b'alloc exited, size = 8, result = 20')",
		"(b'a', 7 alloc exited, size = 8, result = 20')",
	} {
		events, src, err := readText(t, "bcc-memleak-trace", good+line+"\n"+strings.Replace(good, "= 10", "= 30", 1))
		if want := fmt.Sprintf("log:2: probe not understood: %q", line); err == nil || err.Error() != want {
			t.Errorf("error\n\t%v\nwant\n\t%s", err, want)
		}
		if len(events) != 2 || src.Report().Errors != 1 {
			t.Errorf("%q: %d events, %d errors", line, len(events), src.Report().Errors)
		}
	}
}

// The program of testdata/src/held.c lost a block a round and held eight more.
func TestBccCaptures(t *testing.T) {
	events, src := readPacked(t, "bcc-memleak-trace/0.26-python.txt")
	if r := src.Report(); r.Allocs != 4*12 || r.Frees != 4+2*12 || r.Outstanding.Blocks != 12+8 || r.OrphanFrees+r.LostFrees > 0 || !r.Oracle.OK || len(events) != 76 {
		t.Errorf("%+v", r)
	}
	events, src = readPacked(t, "bcc-memleak/0.26-python-addresses.txt")
	var lost []int64
	for _, e := range events {
		if src.Stacks().Frames(e.Stack)[0].Function == "leak" {
			lost = append(lost, e.Count)
		}
	}
	if r := src.Report(); !r.Oracle.OK || len(r.Messages) > 0 || len(lost) < 3 || !slices.IsSorted(lost) || slices.Max(lost) == slices.Min(lost) {
		t.Errorf("lost %d, %+v", lost, r)
	}
}

// Published output that lies beside the project.
func TestBccSamples(t *testing.T) {
	for _, c := range []struct {
		file    string
		records int64
		scans   int32
		oracle  bool
	}{
		{"memleak_example.txt", 14, 10, true},
		{"issue-4958-libbpf-tools.txt", 3, 2, false},
	} {
		src, err := ingest.Open(filepath.Join("..", "..", "shared", "samples", "bcc-memleak", c.file), ingest.Options{})
		if errors.Is(err, os.ErrNotExist) {
			t.Skipf("no sample logs: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		events, err := ingesttest.ReadAll(t, src)
		if err != nil {
			t.Error(err)
		}
		r := src.Report()
		if r.Format != "bcc-memleak" || r.Records != c.records || events[len(events)-1].Scan != c.scans-1 || r.Truncated || len(r.Messages) > 0 ||
			c.oracle != (r.Oracle != nil && r.Oracle.OK) {
			t.Errorf("%s: %+v, oracle %+v", c.file, r, r.Oracle)
		}
	}
}

func FuzzBccMemleak(f *testing.F) {
	f.Add([]byte("[9:5:7] Top 1 stacks with outstanding allocations:\n4 bytes in 1 allocations from stack\n\taddr = 0x10 size = 4\n\t0 [<10>] f+0x1 a.c:5\n\t1 [<20>] <null sym>\n"))
	f.Add([]byte("\t8 bytes in 1 allocations from stack\n\t\tb'f+0x1 [kernel]\\n\\t\\tg+0x2 [kernel]'\nAttaching to x\n"))
	fuzzReader(f, "bcc-memleak")
}

func FuzzBccTrace(f *testing.F) {
	f.Add([]byte("(b'a', 7, 1, b'd', 1.5, b'alloc exited, size = 16, result = 10')\n('a', 7, 1, 'd', 1.5, 'free entered, address = 10, size = 16')\n"))
	f.Add([]byte("(b\"a'\", 7, 1, b'd', 1.5, b'alloc entered, size = 16')\n"))
	fuzzEvents(f, "bcc-memleak-trace")
}

func BenchmarkBccMemleak(b *testing.B) {
	benchmarkReader(b, "bcc-memleak", "", func(i int) string {
		return fmt.Sprintf("[%d:%d:%d] Top 10 stacks with outstanding allocations:\n", i/3600%24, i/60%60, i%60) +
			fmt.Sprintf("\t%d bytes in %d allocations from stack\n", 8*(1+i%9), 1+i%9) +
			"\t\t0x0000559b4789639f\tzmalloc+0x2f [redis-server]\n\t\t0x0000559b478876ee\tserverCron+0x2e [redis-server]\n"
	}, "")
}

func BenchmarkBccTrace(b *testing.B) {
	benchmarkEvents(b, "", func(i int) string {
		size, addr, freed := heap(i)
		s := fmt.Sprintf("(b'allocs', 21885, 0, b'...11', %d.5, b'alloc exited, size = %d, result = %x')\n", i, size, addr)
		if freed != 0 {
			s += fmt.Sprintf("(b'allocs', 21885, 0, b'...11', %d.5, b'free entered, address = %x, size = %d')\n", i, freed, size)
		}
		return s
	})
}
