package ingest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// Hostile logs: whatever a log says, each reader comes to an end in bounded time and
// memory, keeps the laws of event streams, and counts what it could not use.

// hostileSeed is how much of a good log is damaged.
const hostileSeed = 2000

// goodLog is the beginning of a log of testdata, unpacked.
func goodLog(t testing.TB, format string) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", format, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no logs of %s: %v", format, err)
	}
	packed, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var r io.Reader = bytes.NewReader(packed)
	switch {
	case format == "pprof": // is packed as such
	case bytes.HasPrefix(packed, []byte{0x1f, 0x8b}):
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	case bytes.HasPrefix(packed, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		if r, err = zstd.NewReader(r); err != nil {
			t.Fatal(err)
		}
	}
	log, err := io.ReadAll(io.LimitReader(r, hostileSeed))
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// survive reads a hostile log of n bytes under the validator, and limits what that
// may cost.
func survive(t *testing.T, format, name string, r io.Reader, n int64) *ingest.Report {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	src, err := ingest.NewSource("log", r, ingest.Options{Format: format})
	if err != nil {
		return nil
	}
	damaged := int64(0)
	for _, err := range ingesttest.Valid(t, src).Events() {
		if _, ok := errors.AsType[*ingest.SyntaxError](err); ok {
			damaged++
		}
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	report := src.Report()
	if took > 10*time.Second {
		t.Errorf("%s: %s: %v for %d bytes", format, name, took, n)
	}
	fixed, each := int64(48<<20), int64(60)
	switch format {
	case "pprof":
		fixed = 128 << 20 // It is read as a whole, up to a limit.
	case "memcheck-xml":
		each = 4000 // A decoder is thrown away with each damaged element.
	}
	if used := int64(after.TotalAlloc - before.TotalAlloc); used > fixed+each*n {
		t.Errorf("%s: %s: %d bytes were allocated for %d bytes", format, name, used, n)
	}
	if report.Outstanding.Bytes < 0 || report.Outstanding.Blocks < 0 || report.AllocatedBytes < 0 {
		t.Errorf("%s: %s: a sum has run over: %+v", format, name, report)
	}
	if damaged > report.Errors || damaged > 0 && len(report.Messages) == 0 {
		t.Errorf("%s: %s: %d damaged records, %d reported, messages %q", format, name, damaged, report.Errors, report.Messages)
	}
	return report
}

func everyFormat(t *testing.T, f func(t *testing.T, format string, log []byte)) {
	for _, format := range ingest.Formats() {
		t.Run(format.Name, func(t *testing.T) { f(t, format.Name, goodLog(t, format.Name)) })
	}
}

// Each number of a log becomes one that no log should have.
func TestHostileNumbers(t *testing.T) {
	number := regexp.MustCompile(`0x[0-9a-fA-F]+|[0-9]+|\b[0-9a-f]{6,}\b`)
	everyFormat(t, func(t *testing.T, format string, log []byte) {
		at := number.FindAllIndex(log, 60)
		for i, span := range at {
			for _, bad := range []string{"", "0", "-1", "9223372036854775807", "18446744073709551615", "7fffffffffffffff", "0xffffffffffffffff", "99999999999999999999"} {
				changed := slices.Concat(log[:span[0]], []byte(bad), log[span[1]:])
				survive(t, format, fmt.Sprintf("number %d is %q", i, bad), bytes.NewReader(changed), int64(len(changed)))
			}
		}
	})
}

// Lines are missing, come twice, and run backwards, and so do times and addresses.
func TestHostileOrder(t *testing.T) {
	everyFormat(t, func(t *testing.T, format string, log []byte) {
		lines := bytes.SplitAfter(log, []byte("\n"))
		read := func(name string, changed ...[]byte) {
			b := bytes.Join(changed, nil)
			survive(t, format, name, bytes.NewReader(b), int64(len(b)))
		}
		backwards := slices.Clone(lines)
		slices.Reverse(backwards)
		read("backwards", backwards...)
		read("three times", log, log, log)
		for i := range lines {
			read(fmt.Sprintf("without line %d", i), slices.Concat(lines[:i], lines[i+1:])...)
			read(fmt.Sprintf("line %d twice", i), slices.Concat(lines[:i+1], lines[i:])...)
			read(fmt.Sprintf("line %d first", i), slices.Concat(lines[i:i+1], lines)...)
			if n := len(lines[i]); n > 2 {
				changed := slices.Clone(lines)
				changed[i] = slices.Concat([]byte{'z'}, lines[i][1:])
				read(fmt.Sprintf("line %d of an unknown kind", i), changed...)
				changed[i] = slices.Concat(lines[i][:n/2], []byte{0, 0xff, '\n'})
				read(fmt.Sprintf("line %d is cut off", i), changed...)
			}
		}
	})
}

// One line again and again, a thousand times what a log is for.
func TestHostileRepetition(t *testing.T) {
	everyFormat(t, func(t *testing.T, format string, log []byte) {
		lines := bytes.SplitAfter(log, []byte("\n"))
		lines = lines[:len(lines)-1]
		for i := 0; i < len(lines); i += 1 + len(lines)/8 {
			const size = 256 << 10
			again := bytes.Repeat(lines[i], 1+size/len(lines[i]))
			b := slices.Concat(bytes.Join(lines[:i], nil), again, bytes.Join(lines[i:], nil))
			survive(t, format, fmt.Sprintf("line %d again and again", i), bytes.NewReader(b), int64(len(b)))
		}
	})
}

// A line without end, an endless row of blank lines, and both as bombs: some hundred
// bytes that unpack to millions.
func TestHostileLength(t *testing.T) {
	const long, blank = 8 << 20, 1 << 18
	zeros, newlines := bomb(t, 0, long), bomb(t, '\n', blank)
	everyFormat(t, func(t *testing.T, format string, log []byte) {
		survive(t, format, "long line", io.MultiReader(bytes.NewReader(log), &repeat{'a', long}, strings.NewReader("\n"), bytes.NewReader(log)), 2*hostileSeed)
		survive(t, format, "long blank", io.MultiReader(bytes.NewReader(log), &repeat{' ', long}, strings.NewReader("\n"), bytes.NewReader(log)), 2*hostileSeed)
		survive(t, format, "bomb of zeros", bytes.NewReader(zeros), hostileSeed)
		survive(t, format, "bomb of newlines", bytes.NewReader(newlines), blank)
		survive(t, format, "blank lines", io.MultiReader(bytes.NewReader(log), &repeat{'\n', blank}, bytes.NewReader(log)), blank)
	})
}

// bomb packs n times the same byte.
func bomb(t *testing.T, c byte, n int64) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, &repeat{c, n}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tooMuch are lines that each tell of as much memory as may stand in a line.
var tooMuch = map[string]string{
	"heaptrack":         "v 10400 3\nt 1 0\n%s+ ffffffffffff 1 10\n",
	"mtrace":            "= Start\n%s@ a:(f+0x1)[0x2] + 0x10 0xffffffffffff\n",
	"trace-malloc":      "--7-- malloc(1) = 0x10\n%s--7-- malloc(281474976710655) = 0x10\n",
	"memcheck":          "==1== Memcheck, a memory error detector\n%s==1== 281,474,976,710,655 bytes in 281,474,976,710,655 blocks are definitely lost in loss record 1 of 1\n==1==    at 0x10: f (f.c:1)\n==1== \n",
	"kmemleak":          "%sunreferenced object 0xff (size 281474976710655):\n  comm \"c\", pid 1, jiffies 4294900000\n  backtrace:\n    f+0x1/0x2\n",
	"lsan":              "==1==ERROR: LeakSanitizer: detected memory leaks\n%s\nDirect leak of 281474976710655 byte(s) in 281474976710655 object(s) allocated from:\n    #0 0x10 in f a.c:1\n",
	"bcc-memleak":       "[1:2:3] Top 1 stacks with outstanding allocations:\n%s\t281474976710655 bytes in 281474976710655 allocations from stack\n\t\tf+0x1 [a]\n",
	"bcc-memleak-trace": "%s(b'a', 7, 1, b'd', 1.5, b'alloc exited, size = 281474976710655, result = 10')\n",
	"page-owner":        "%s4294967296 times, 4294967296 pages:\n f+0x1/0x2\n\n",
	"tracemalloc":       "%sa.py:1: size=255 TiB, count=281474976710655, average=1 B\n",
}

// Sums over numbers that are each still possible do not run over.
func TestHostileSums(t *testing.T) {
	for format, log := range tooMuch {
		t.Run(format, func(t *testing.T) {
			head, line, _ := strings.Cut(log, "%s")
			b := append([]byte(head), bytes.Repeat([]byte(line), 40000)...)
			r := survive(t, format, "large numbers", bytes.NewReader(b), int64(len(b)))
			if r.Events+r.Records == 0 || r.Outstanding.Bytes < 1<<40 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// manyPids are lines that each speak of another process.
var manyPids = map[string]string{
	"trace-malloc": "--%d-- malloc(8) = 0x10\n",
	"memcheck":     "==%d== 8 bytes in 1 blocks are definitely lost in loss record 1 of 1\n==%[1]d==    at 0x10: f (f.c:1)\n==%[1]d== \n",
	"ltrace":       "%d malloc(8) = 0x10\n",
	"lsan":         "==%d==ERROR: LeakSanitizer: detected memory leaks\n\nDirect leak of 8 byte(s) in 1 object(s) allocated from:\n    #0 0x10 in f a.c:1\n",
	"kmemleak":     "unreferenced object 0x%x (size 8):\n  comm \"c\", pid %[1]d, jiffies 4294900000\n  backtrace:\n    f+0x1/0x2\n",
	"page-owner":   "Page allocated via order 0, mask 0x1(A), pid %d, ts 5 ns\nPFN 0x%[1]x type Movable\n f+0x1/0x2\n\n",
	"ftrace":       "a-%d [000] 1.0: kmalloc: call_site=f ptr=0x10 bytes_req=8 bytes_alloc=8\n",
}

// Processes without end: work and memory grow with the log, no faster.
func TestHostilePids(t *testing.T) {
	const pids = 60000
	for format, line := range manyPids {
		t.Run(format, func(t *testing.T) {
			var b bytes.Buffer
			for i := range pids {
				fmt.Fprintf(&b, line, 2+i)
			}
			n := int64(b.Len())
			r := survive(t, format, "many processes", &b, n)
			if r.Events+r.Records < pids || r.Errors > 0 {
				t.Errorf("%d events, %d records, %d errors", r.Events, r.Records, r.Errors)
			}
		})
	}
}

// Parents and indexes that lead in circles or nowhere, and elements in one another
// without end.
func TestHostileGraphs(t *testing.T) {
	const deep = 50000
	for _, c := range []struct{ format, name, log string }{
		{"heaptrack", "cyclic parents", "v 10400 3\nt 1 2\nt 2 1\nt 3 3\nt 4 ffffffff\n+ 8 1 10\n+ 8 2 20\n+ 8 3 30\n+ 8 4 40\n"},
		{"heaptrack", "a chain", "v 10400 3\n" + chain(deep)},
		{"dhat", "deep", `{"dhatFileVersion":2,"x":` + strings.Repeat("[", deep)},
		{"dhat", "deep objects", `{"dhatFileVersion":2,"x":` + strings.Repeat(`{"a":`, deep)},
		{"dhat", "frames out of range", `{"dhatFileVersion":2,"mode":"heap","pps":[{"tb":1,"tbk":1,"eb":1,"ebk":1,"fs":[99999999,-1,9223372036854775807]}],"ftbl":["[root]"]}`},
		{"memcheck-xml", "deep", "<?xml version=\"1.0\"?>\n<valgrindoutput>" + strings.Repeat("<a>", deep)},
		{"massif", "deep", massifHead + nested(2000)},
		{"massif", "more children than stand there", massifHead + "n9223372036854775807: 8 (heap allocation functions) malloc\n n0: 8 0x10: f (f.c:1)\n"},
		{"jemalloc", "an address of all digits", "heap_v2/1\n  t*: 1: 8 [0: 0]\n@ " + strings.Repeat("0x10 ", deep) + "\n  t*: 1: 8 [0: 0]\n"},
		{"lsan", "a stack without end", "==1==ERROR: LeakSanitizer: detected memory leaks\n\nDirect leak of 8 byte(s) in 1 object(s) allocated from:\n" +
			strings.Repeat("    #0 0x10 in f a.c:1\n", deep)},
		{"kmemleak", "a stack without end", "unreferenced object 0xff (size 8):\n  comm \"c\", pid 1, jiffies 4294900000\n  backtrace:\n" + strings.Repeat("    f+0x1/0x2\n", deep)},
		{"bcc-memleak", "a stack without end", "[1:2:3] Top 1 stacks with outstanding allocations:\n\t8 bytes in 1 allocations from stack\n" + strings.Repeat("\t\tf+0x1 [a]\n", deep)},
		{"page-owner", "a stack without end", "Page allocated via order 0, mask 0x1(A)\n" + strings.Repeat(" f+0x1/0x2\n", deep)},
		{"tracemalloc", "a stack without end", "1 memory blocks: 1.0 KiB\n" + strings.Repeat("  File \"a.py\", line 1\n", deep)},
	} {
		t.Run(c.format+" "+c.name, func(t *testing.T) {
			survive(t, c.format, c.name, strings.NewReader(c.log), int64(len(c.log)))
		})
	}
}

const massifHead = "desc: (none)\ncmd: ./a\ntime_unit: i\n#-----------\nsnapshot=0\n#-----------\ntime=0\nmem_heap_B=8\nmem_heap_extra_B=0\nmem_stacks_B=0\nheap_tree=detailed\n"

// nested is a massif tree in which each node has one child.
func nested(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "%*sn1: 8 0x10: f (f.c:1)\n", i, "")
	}
	return b.String()
}

// chain is a heaptrack call stack of n frames, from which each frame allocates.
func chain(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "t %x %x\n", i+1, i)
	}
	fmt.Fprintf(&b, "+ 8 %x 10\n+ 8 %x 20\n", n, n/2)
	return b.String()
}
