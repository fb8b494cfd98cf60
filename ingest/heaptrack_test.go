package ingest_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// asText reads a log under the validator and returns its text without the
// report.
func asText(t testing.TB, log, format string) (string, *ingest.Report) {
	t.Helper()
	src, err := ingest.NewSource("log", strings.NewReader(log), ingest.Options{Format: format})
	if err != nil {
		return "refused: " + err.Error() + "\n", &ingest.Report{}
	}
	var b strings.Builder
	if err := ingest.WriteText(&b, ingesttest.Valid(t, src)); err != nil {
		fmt.Fprintf(&b, "fatal: %v\n", err)
	}
	text, _, _ := strings.Cut(b.String(), "report {")
	return text, src.Report()
}

// A log of each version of the file format, from the grammar in heaptrack's
// sources.
func TestHeaptrackVersions(t *testing.T) {
	const events = `alloc seq=0 line=%d block=0 addr=0x1000 size=16 stack=1
free seq=1 line=%d block=0 addr=0x1000 size=16 stack=1
`
	for _, c := range []struct{ name, log, want, tool string }{
		{"raw, before versions", "x /bin/my app\nX ./app a\nm x 400000 0 1000\nm /lib/l.so 7f0000 0 1000\nt 7f0010 0\nt 400020 1\n+ 10 2 1000\n- 1000\n",
			"stack 1\n\t0x20 in /bin/my app\n\t0x10 in /lib/l.so\n" + fmt.Sprintf(events, 7, 8), ""},
		{"interpreted, before versions", "X ./app a\ns /bin/my app\ns f(int, char)\ns /src/a b.c\ni 400020 1 2 3 c\nt 1 0\n+ 10 1 1000\n- 1000\n",
			"stack 1\n\t0x400020 f(int, char) at /src/a b.c:12 in /bin/my app\n" + fmt.Sprintf(events, 7, 8), ""},
		{"version 1", "v 10200\nX ./app a\ns /bin/app\ns f\ni 400020 1 2\nt 1 0\na 10 1\n+ 0\n- 0\n",
			"stack 1\n\t0x400020 f in /bin/app\nalloc seq=0 line=8 block=0 size=16 stack=1\nfree seq=1 line=9 block=0 size=16 stack=1 approximate\n",
			"heaptrack 1.2.0"},
		{"version 2, inlined", "v 10100 2\nX ./app a\ns /bin/app\ns inner\ns outer\ns a.c\ni 5 1 2 4 3 3 4 1f\nt 1 0\na 10 1\n+ 0\n",
			"stack 1\n\t0x5 inner at a.c:3 in /bin/app inlined\n\t0x5 outer at a.c:31 in /bin/app\nalloc seq=0 line=10 block=0 size=16 stack=1\n",
			"heaptrack 1.1.0"},
		{"version 3, raw", "v 10400 3\nx b /bin/my app\nX ./app a\nI 1000 5e298f\nS 5 leak:\nS leak:f\nm 1 -\nm 1 x 400000 0 1000 2000 1000 \n" +
			"m d /lib/a lib.so 7f0000 0 1000\nt 7f0010 0\nt 402020 1\nc 0\nR 10\nc 5dc\n+ 10 2 1000\nc 5\n- 1000\n",
			"stack 1\n\t0x2020 in /bin/my app\n\t0x10 in /lib/a lib.so\n" + strings.ReplaceAll(fmt.Sprintf(events, 15, 17), "=1\n", "=1 time=1.5s\n"),
			"heaptrack 1.4.0"},
		{"no stack", "v 10400 3\n+ 10 0 1000\n", "alloc seq=0 line=2 block=0 addr=0x1000 size=16 stack=0\n", "heaptrack 1.4.0"},
		{"empty strings", "v 10400 3\ns 0 \ns 0\ns 1 f\ni 5 1 3 2 0\nt 1 0\na 0 1\n+ 0\n",
			"stack 1\n\t0x5 f\nalloc seq=0 line=8 block=0 size=0 stack=1\n", "heaptrack 1.4.0"},
		{"attached", "v 10400 3\nA\n- 1000\n", "free seq=0 line=3 block=-1 addr=0x1000 size=0 stack=0\n", "heaptrack 1.4.0"},
		{"address taken again", "v 10400 3\n+ 10 0 1000\n+ 20 0 1000\n- 0\n- 1000\n",
			"alloc seq=0 line=2 block=0 addr=0x1000 size=16 stack=0\n" +
				"free seq=1 line=3 block=0 addr=0x1000 size=16 stack=0 inferred\n" +
				"alloc seq=1 line=3 block=1 addr=0x1000 size=32 stack=0\n" +
				"free seq=2 line=5 block=1 addr=0x1000 size=32 stack=0\n", "heaptrack 1.4.0"},
		{"oldest of a class first", "v 10400 3\na 10 0\na 10 0\n+ 0\n+ 1\n+ 0\n- 0\n- 0\n- 0\n",
			"alloc seq=0 line=4 block=0 size=16 stack=0\nalloc seq=1 line=5 block=1 size=16 stack=0\nalloc seq=2 line=6 block=2 size=16 stack=0\n" +
				"free seq=3 line=7 block=0 size=16 stack=0 approximate\nfree seq=4 line=8 block=2 size=16 stack=0 approximate\n" +
				"free seq=5 line=9 block=-1 size=0 stack=0 approximate\n", "heaptrack 1.4.0"},
		{"too new", "v 20000 4\nX ./app\n", "fatal: log: is of heaptrack's file version 4 (heaptrack 2.0.0), and 3 is the newest that can be read: record it with heaptrack 1.4\n",
			"heaptrack 2.0.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, report := asText(t, c.log, "auto")
			if got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
			if report.Tool != c.tool || report.Errors != 0 || report.Truncated {
				t.Errorf("tool %q, %d errors, %q", report.Tool, report.Errors, report.Messages)
			}
		})
	}
}

// A raw file says where modules are; a code address is told by its place in one.
func TestHeaptrackModules(t *testing.T) {
	got, _ := asText(t, `v 10400 3
x 6 /bin/a
m 1 -
m 1 x 400000 0 1000 1000 1000
m 4 b.so 7f0000 0 1000 3000 1000
t 400fff 0
t 401000 0
t 402000 0
t 7f2fff 0
t 7f3001 0
t 5 0
m 1 -
m 4 c.so 400000 0 10000
t 401000 0
+ 1 1 10
+ 1 2 20
+ 1 3 30
+ 1 4 40
+ 1 5 50
+ 1 6 60
+ 1 7 70
`, "auto")
	var frames []string
	for line := range strings.Lines(got) {
		if f, ok := strings.CutPrefix(line, "\t"); ok {
			frames = append(frames, strings.TrimSuffix(f, "\n"))
		}
	}
	want := []string{"0xfff in /bin/a", "0x1000 in /bin/a", "0x402000", "0x7f2fff", "0x3001 in b.so", "0x5", "0x1000 in c.so"}
	if !slices.Equal(frames, want) {
		t.Errorf("frames %q", frames)
	}
}

// The table of bad lines: exactly these errors, and the lines around them count.
func TestHeaptrackBadLines(t *testing.T) {
	const raw = "v 10400 3\nt 10 0\n"
	const classes = "v 10400 3\ns 1 f\ni 10 1 1\nt 1 0\na 8 1\n"
	for _, c := range []struct{ log, line, want string }{
		{raw, "+ 10 2 1000", "allocation from trace 0x2, of 0x1"},
		{raw, "+ 10 1", `line not understood: "+ 10 1"`},
		{raw, "+ 10 1 0", `line not understood: "+ 10 1 0"`},
		{raw, "+ 10 1 1000 5", `line not understood: "+ 10 1 1000 5"`},
		{raw, "+", `line not understood: "+"`},
		{raw, "+ ", `line not understood: "+ "`},
		{raw, "+ 0", "allocation of class 0x0, of 0x0"},
		{raw, "+ 1000000000001 1 1000", "allocation of 0x1000000000001 bytes"},
		{raw, "+ 10 1 11112222333344445", `line not understood: "+ 10 1 11112222333344445"`},
		{raw, "+ 10 1 1G", `line not understood: "+ 10 1 1G"`},
		{raw, "+10 1 1000", `not a line of a heaptrack file: "+10 1 1000"`},
		{raw, "- ", `line not understood: "- "`},
		{raw, "- 10 20", `line not understood: "- 10 20"`},
		{raw, "t 20 3", `line not understood: "t 20 3"`},
		{raw, "t 20", `line not understood: "t 20"`},
		{raw, "c", `line not understood: "c"`},
		{raw, "c ffffffffffffffff", `line not understood: "c ffffffffffffffff"`},
		{raw, "m 9 a 10", `line not understood: "m 9 a 10"`},
		{raw, "m 1 a", `line not understood: "m 1 a"`},
		{raw, "m 1 a 10 20", `line not understood: "m 1 a 10 20"`},
		{raw, "x 5 /bin/a", `line not understood: "x 5 /bin/a"`},
		{raw, "x 99 /bin/a", `line not understood: "x 99 /bin/a"`},
		{raw, "v", `version line not understood: "v"`},
		{raw, "v 10400 3 9", `version line not understood: "v 10400 3 9"`},
		{raw, "q 1", `not a line of a heaptrack file: "q 1"`},
		{raw, "hello " + strings.Repeat("x", 200), `not a line of a heaptrack file: "hello ` + strings.Repeat("x", 114) + `"`},
		{raw, "\xff\xfe\x00", `not a line of a heaptrack file: "\xff\xfe\x00"`},
		{classes, "+ 1", "allocation of class 0x1, of 0x1"},
		{classes, "- 1", "free of class 0x1, of 0x1"},
		{classes, "+ 8 1 1000", `line not understood: "+ 8 1 1000"`},
		{classes, "a 8 3", `line not understood: "a 8 3"`},
		{classes, "a 8", `line not understood: "a 8"`},
		{classes, "a ffffffffffffffff 1", `line not understood: "a ffffffffffffffff 1"`},
		{classes, "t 2 0", `line not understood: "t 2 0"`},
		{classes, "t 1 2", `line not understood: "t 1 2"`},
		{classes, "i 10 2", `line not understood: "i 10 2"`},
		{classes, "i 10 1 1 1", `line not understood: "i 10 1 1 1"`},
		{classes, "i 10 1 1 1 5 1 1", `line not understood: "i 10 1 1 1 5 1 1"`},
		{classes, "i 10", `line not understood: "i 10"`},
		{classes, "s", `line not understood: "s"`},
		{classes, "s 9 abc", `line not understood: "s 9 abc"`},
		{classes, "s 2 abc", `line not understood: "s 2 abc"`},
	} {
		head := strings.Count(c.log, "\n")
		tail := "+ 10 1 1000\n"
		if c.log == classes {
			tail = "+ 0\n"
		}
		events, report, err := readLog(t, strings.NewReader(c.log+c.line+"\n"+tail), "heaptrack")
		want := fmt.Sprintf("log:%d: %s", head+1, c.want)
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", c.line, err, want)
		}
		if report.Errors != 1 || len(events) != 1 || !slices.Equal(report.Messages, []string{want}) {
			t.Errorf("%q: %d events, %d errors, messages %q", c.line, len(events), report.Errors, report.Messages)
		}
	}
}

// A damaged line that defines something keeps its number: what follows it is not
// mistaken for something else.
func TestHeaptrackDamagedLineKeepsNumber(t *testing.T) {
	for _, lines := range [][2]string{
		{"s 1 a", "s 9 a"}, {"i 11 1 1", "i 11 99 1"}, {"t 1 0", "t 99 0"}, {"a 8 1", "a 8 99"},
	} {
		log := "v 10400 3\ns 1 f\ni 10 1 1\nt 1 0\na 4 1\n" + "%s\n" + "s 1 g\ni 12 1 %d\nt %d 0\na c %d\n+ %d\n"
		n := [4]int{2, 2, 2, 1}
		n[strings.Index("sita", lines[0][:1])]++
		want, _ := asText(t, fmt.Sprintf(log, lines[0], n[0], n[1], n[2], n[3]), "auto")
		got, report := asText(t, fmt.Sprintf(log, lines[1], n[0], n[1], n[2], n[3]), "auto")
		_, got, _ = strings.Cut(got, "\n") // the error
		if got != want || report.Errors != 1 || !strings.Contains(got, "0x12 g in f") {
			t.Errorf("%q: got\n%swant\n%s", lines[1], got, want)
		}
	}
}

// Wherever a file is cut, the whole lines before are used.
func TestHeaptrackCutAnywhere(t *testing.T) {
	for _, name := range []string{"calls.raw.zst", "calls.zst"} {
		text := unpacked(t, name)
		whole, _, err := readLog(t, strings.NewReader(text), "auto")
		if err != nil {
			t.Fatal(err)
		}
		for n := 10; n < len(text); n += 7 {
			events, report, err := readLog(t, strings.NewReader(text[:n]), "auto")
			cut := text[n-1] != '\n'
			if err != nil || report.Truncated != cut || !slices.Equal(events, whole[:len(events)]) {
				t.Fatalf("%s cut at %d: %d events, truncated %v, %v", name, n, len(events), report.Truncated, err)
			}
			if lines := int64(strings.Count(text[:n], "\n")); cut && report.Lines != lines+1 || !cut && report.Lines != lines {
				t.Fatalf("%s cut at %d: %d lines of %d", name, n, report.Lines, lines)
			}
		}
	}
}

// unpacked is a file of testdata/heaptrack without its packing.
func unpacked(t testing.TB, name string) string {
	t.Helper()
	out, err := exec.Command("zstd", "-dcq", filepath.Join("testdata", "heaptrack", name)).Output()
	if err != nil {
		t.Skipf("zstd: %v", err)
	}
	return string(out)
}

// The same run, raw and interpreted, tells the same.
func TestHeaptrackRawAndInterpreted(t *testing.T) {
	for _, name := range []string{"calls", "objects"} {
		var births [2][]string
		var reports [2]*ingest.Report
		for i, file := range []string{name + ".raw.zst", name + ".zst"} {
			src, err := ingest.Open(filepath.Join("testdata", "heaptrack", file), ingest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			events, err := ingesttest.ReadAll(t, src)
			if err != nil {
				t.Fatal(err)
			}
			live := map[int64]ingest.Event{}
			for _, e := range events {
				switch {
				case e.Op == ingest.Alloc:
					live[e.Block] = e
					births[i] = append(births[i], fmt.Sprint(e.Size, " from ", e.Stack))
				case e.Block >= 0:
					delete(live, e.Block)
				}
			}
			var left []string
			for _, e := range live {
				left = append(left, fmt.Sprint("left ", e.Size, " from ", e.Stack))
			}
			slices.Sort(left)
			births[i] = append(births[i], left...)
			reports[i] = src.Report()
		}
		raw, interpreted := reports[0], reports[1]
		if !slices.Equal(births[0], births[1]) || raw.Outstanding != interpreted.Outstanding || raw.Sites != interpreted.Sites ||
			raw.Frees-raw.OrphanFrees != interpreted.Frees || interpreted.OrphanFrees != 0 {
			t.Errorf("%s: raw %+v\ninterpreted %+v", name, raw, interpreted)
		}
	}
}

// What heaptrack_print says of a file is what its events add up to.
func TestHeaptrackPrint(t *testing.T) {
	tool, err := exec.LookPath("heaptrack_print")
	if err != nil {
		t.Skipf("heaptrack is not installed: %v", err)
	}
	files, _ := filepath.Glob(filepath.Join("testdata", "heaptrack", "*.zst"))
	published, _ := filepath.Glob(filepath.Join("..", "..", "shared", "samples", "heaptrack", "*z*"))
	checked := 0
	for _, file := range append(files, published...) {
		if strings.Contains(file, ".raw.") || strings.HasSuffix(file, ".golden") {
			continue
		}
		checked++
		out, err := exec.Command(tool, "-f", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		figure := func(name string) string {
			_, rest, _ := strings.Cut(string(out), "\n"+name+": ")
			return strings.Fields(rest + " none")[0]
		}
		src, err := ingest.Open(file, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		events, err := ingesttest.ReadAll(t, src)
		if err != nil {
			t.Fatal(err)
		}
		var live, peak int64
		for _, e := range events {
			if e.Op == ingest.Alloc {
				live += e.Size
			} else {
				live -= e.Size
			}
			peak = max(peak, live)
		}
		if got := strconv.FormatInt(src.Report().Allocs, 10); got != figure("calls to allocation functions") {
			t.Errorf("%s: %s allocs, heaptrack_print says %s", file, got, figure("calls to allocation functions"))
		}
		if want := figure("peak heap memory consumption"); !near(t, peak, want, 0) {
			t.Errorf("%s: peak %d, heaptrack_print says %s", file, peak, want)
		}
		// Of suppressed leaks it speaks apart.
		if leaked, suppressed := figure("total memory leaked"), figure("suppressed leaks"); !near(t, live, leaked, bytesOf(t, suppressed)) {
			t.Errorf("%s: %d outstanding, heaptrack_print says %s and %s suppressed", file, live, leaked, suppressed)
		}
	}
	if checked < 2 {
		t.Errorf("only %d files", checked)
	}
}

// bytesOf reads 25.26K; heaptrack counts in thousands.
func bytesOf(t *testing.T, figure string) float64 {
	if figure == "none" {
		return 0
	}
	number := strings.TrimRight(figure, "BKMG")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v * map[string]float64{"B": 1, "K": 1e3, "M": 1e6, "G": 1e9}[figure[len(number):]]
}

// near compares with a figure of two decimals, to which more was rounded.
func near(t *testing.T, n int64, figure string, more float64) bool {
	v := bytesOf(t, figure)
	unit := 1.0
	switch {
	case v+more >= 1e6:
		unit = 1e4
	case v+more >= 1e3:
		unit = 10
	}
	if more > 0 {
		unit *= 2
	}
	return float64(n) >= v+more-unit/2-1e-6 && float64(n) <= v+more+unit/2+1e-6
}

// Published and captured logs that lie beside the project, with what heaptrack's
// own tool says of them.
func TestHeaptrackSamples(t *testing.T) {
	for _, c := range []struct {
		file            string
		allocs, orphans int64
		live            ingest.Amount
	}{
		{"captured-1.4.0.raw.zst", 862, 1, ingest.Amount{Blocks: 52, Bytes: 10240}},
		{"captured-1.4.0.zst", 862, 0, ingest.Amount{Blocks: 52, Bytes: 10240}},
		{"heaptrack.david.18594.gz", 2896, 0, ingest.Amount{Blocks: 37, Bytes: 30463}},
		{"heaptrack.embedded_lsan_suppressions.84207.zst", 5, 0, ingest.Amount{Blocks: 4, Bytes: 10}},
	} {
		src, err := ingest.Open(filepath.Join("..", "..", "shared", "samples", "heaptrack", c.file), ingest.Options{})
		if errors.Is(err, os.ErrNotExist) {
			t.Skipf("no sample logs: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		if _, err := ingesttest.ReadAll(t, src); err != nil {
			t.Error(err)
		}
		r := src.Report()
		if r.Allocs != c.allocs || r.OrphanFrees != c.orphans || r.Outstanding != c.live || r.Truncated || r.LostFrees != 0 {
			t.Errorf("%s: %+v", c.file, r)
		}
	}
}

func FuzzHeaptrack(f *testing.F) {
	for _, name := range []string{"calls.raw.zst", "calls.zst", "objects.raw.zst", "objects.zst"} {
		text := unpacked(f, name)
		f.Add([]byte(text[:min(len(text), 6000)]))
	}
	f.Add([]byte("v 10100 2\nX a\ns a\ns f\ni 1 1 2 1 5 2 1 6\nt 1 0\na 8 1\n+ 0\n- 0\nc 10\n"))
	f.Add([]byte("x a\nm x 10 0 10\nt 11 0\n+ 8 1 10\n- 10\n"))
	fuzzEvents(f, "heaptrack")
}

// fuzzEvents: the laws hold for every input, errors and events are counted, and
// the sum of the lines is right.
func fuzzEvents(f *testing.F, format string) {
	f.Fuzz(func(t *testing.T, log []byte) {
		events, report, err := readLog(t, strings.NewReader(string(log)), format)
		if report == nil {
			return
		}
		n := 0
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			n = len(joined.Unwrap())
		}
		if _, refused := errors.AsType[*ingest.FormatError](err); !refused && int64(n) != report.Errors {
			t.Fatalf("%d errors, reported %d: %v", n, report.Errors, err)
		}
		if int64(len(events)) != report.Events+report.LostFrees {
			t.Fatalf("%d events, reported %d and %d inferred", len(events), report.Events, report.LostFrees)
		}
		if !slices.IsSortedFunc(events, func(a, b ingest.Event) int { return cmp.Compare(a.Line, b.Line) }) {
			t.Fatal("events out of line")
		}
	})
}

// benchmarkEvents reads a log that repeats unit.
func benchmarkEvents(b *testing.B, head string, unit func(i int) string) {
	var log strings.Builder
	log.WriteString(head)
	for i := 0; log.Len() < 16<<20; i++ {
		log.WriteString(unit(i))
	}
	benchmarkLog(b, log.String(), "auto")
}

// heap is a program's use of the heap: most blocks die soon, some late. It says
// which address the i-th allocation gets, and which is freed after it.
func heap(i int) (size, addr, freed int) {
	at := func(i int) int { return 0x55d0c0000000 + 48*(i%100000) }
	size, addr = 16+i%500, at(i)
	switch {
	case i >= 99000:
		freed = at(i - 99000)
	case i%10 != 0:
		freed = addr
	}
	return size, addr, freed
}

func BenchmarkHeaptrackRaw(b *testing.B) {
	head := "v 10400 3\nx 6 /bin/a\nm 1 -\nm 1 x 400000 0 100000\n"
	for i := range 2000 {
		head += fmt.Sprintf("t %x %x\n", 0x400000+16*i, i/4)
	}
	benchmarkEvents(b, head, func(i int) string {
		size, addr, freed := heap(i)
		s := fmt.Sprintf("+ %x %x %x\n", size, 1+i*7%2000, addr)
		if i >= 99000 || freed != 0 {
			s += fmt.Sprintf("- %x\n", freed)
		}
		return s
	})
}

func BenchmarkHeaptrackInterpreted(b *testing.B) {
	head := "v 10400 3\ns 6 /bin/a\ns 1 f\ni 400000 1 2\nt 1 0\n"
	for i := range 2000 {
		head += fmt.Sprintf("a %x 1\n", 8+i)
	}
	benchmarkEvents(b, head, func(i int) string {
		s := fmt.Sprintf("+ %x\n", i*7%2000)
		if i >= 9000 {
			s += fmt.Sprintf("- %x\n", (i-9000)*7%2000)
		}
		return s
	})
}
