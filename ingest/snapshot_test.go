package ingest_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// The tests that the readers of snapshots share.

// The published logs, where they are there at all.
func TestSnapshotSamples(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "samples")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no sample logs: %v", err)
	}
	for _, c := range []struct {
		file, format string
		records      int64
		live         ingest.Amount
		oracle       bool
	}{
		{"massif/captured-massif.out.ms", "massif", 104, ingest.Amount{Blocks: 4, Bytes: 10176}, true},
		{"massif/captured-massif.out.pages-as-heap", "massif", 31, ingest.Amount{Blocks: 9, Bytes: 161062912}, true},
		{"massif/captured-xtree-memory.ms", "massif", 2, ingest.Amount{Blocks: 50, Bytes: 9600}, true},
		{"massif/massif.out.huge", "massif", 1, ingest.Amount{Blocks: 1, Bytes: 5021305210}, false},
		{"massif/massif.out.kate2", "massif", 734, ingest.Amount{Blocks: 67, Bytes: 19406715}, true},
		{"massif/massif.out.stack", "massif", 0, ingest.Amount{}, true},
		{"gperftools/captured-tcmalloc-2.10.heap", "pprof-text", 4, ingest.Amount{Blocks: 52, Bytes: 10240}, true},
		{"pprof-heap/cppbench.heap", "pprof-text", 21, ingest.Amount{Blocks: 41063, Bytes: 80935293}, true},
		{"pprof-heap/gobench.heap", "pprof-text", 13, ingest.Amount{Blocks: 11445, Bytes: 7721316}, true},
		{"jemalloc/captured-5.3.0.heap", "jemalloc", 5, ingest.Amount{Blocks: 53, Bytes: 93440}, true},
		{"tracemalloc/captured-py3.11.txt", "tracemalloc", 12, ingest.Amount{Blocks: 2745, Bytes: 212582}, false},
		{"jvm-nmt/nmt.txt", "nmt", 28, ingest.Amount{Blocks: 3907, Bytes: 484296704}, true},
		{"jvm-nmt/nmt-diff.txt", "nmt", 56, ingest.Amount{Blocks: 3850, Bytes: 484292608}, true},
	} {
		t.Run(c.file, func(t *testing.T) {
			src, err := ingest.Open(filepath.Join(dir, c.file), ingest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			if _, err := ingesttest.ReadAll(t, src); err != nil {
				t.Error(err)
			}
			r := src.Report()
			if r.Format != c.format || r.Records != c.records || r.Outstanding != c.live || r.Truncated || r.Errors > 0 {
				t.Errorf("%s, %d records, %+v outstanding, truncated %v, %d errors; want %s, %d and %+v",
					r.Format, r.Records, r.Outstanding, r.Truncated, r.Errors, c.format, c.records, c.live)
			}
			if c.oracle != (r.Oracle != nil && r.Oracle.OK) {
				t.Errorf("oracle %+v", r.Oracle)
			}
		})
	}
}

// A log of a snapshot with one good record, by format.
var goodSnapshots = map[string]string{
	"massif": "desc: (none)\ncmd: a\ntime_unit: i\n#-----------\nsnapshot=0\n#-----------\ntime=1\nmem_heap_B=8\nmem_heap_extra_B=8\nmem_stacks_B=0\n" +
		"heap_tree=detailed\nn1: 8 (heap allocation functions) malloc/new/new[], --alloc-fns, etc.\n n0: 8 0x10: f (f.c:1)\n",
	"pprof-text":  "heap profile:      1:        8 [     1:        8] @ heapprofile\n     1:        8 [     1:        8] @ 0x1010\n\nMAPPED_LIBRARIES:\n1000-2000 r-xp 00000000 00:00 7 /a\n",
	"jemalloc":    "heap_v2/1\n  t*: 1: 8 [0: 0]\n  t0: 1: 8 [0: 0]\n@ 0x1010\n  t*: 1: 8 [0: 0]\n  t0: 1: 8 [0: 0]\n\nMAPPED_LIBRARIES:\n1000-2000 r-xp 00000000 00:00 7 /a\n",
	"tracemalloc": "/a.py:1: size=8 B, count=1, average=8 B\n",
	"memray":      "allocator,num_allocations,size,tid,thread_name,stack_trace\nMALLOC,1,8,1,main,f;a.py;1\n",
	"nmt":         "7:\n\nNative Memory Tracking:\n\nTotal: reserved=8B, committed=8B\n\n-      Other (reserved=8B, committed=8B)\n            (malloc=8B #1)\n \n",
}

func TestGoodSnapshots(t *testing.T) {
	for format, log := range goodSnapshots {
		events, src, err := readText(t, "auto", log)
		if err != nil {
			t.Fatal(err)
		}
		r := src.Report()
		if r.Format != format || len(events) != 1 || events[0].Size != 8 || events[0].Count != 1 || r.Truncated || r.Oracle != nil && !r.Oracle.OK {
			t.Errorf("%s: %v, %+v", format, events, r)
		}
	}
}

// Bad lines: each gives exactly this error, and the good record is read.
func TestSnapshotBadLines(t *testing.T) {
	for _, c := range []struct{ name, format, old, new, want string }{
		{"other text", "massif", "mem_stacks_B=0\n", "mem_stacks_B=0\nhello\n", `log:11: not a line of a massif file: "hello"`},
		{"no number", "massif", "mem_stacks_B=0\n", "mem_stacks_B=x\n", `log:10: number not understood: "mem_stacks_B=x"`},
		{"number below zero", "massif", "time=1\n", "time=-1\n", `log:7: number not understood: "time=-1"`},
		{"unknown kind of snapshot", "massif", "heap_tree=detailed\n", "heap_tree=fine\nheap_tree=detailed\n", `log:11: kind of snapshot not understood: "fine"`},
		{"child that is none", "massif", " n0: 8 0x10", "  n0: 9 0x10: g (g.c:1)\nheap_tree=detailed\nn1: 8 (heap\n n0: 8 0x10",
			`log:13: tree line not understood: "  n0: 9 0x10: g (g.c:1)"`},
		{"tree without its end", "massif", "n1: 8 (heap allocation functions) malloc/new/new[], --alloc-fns, etc.\n n0: 8 0x10",
			"n2: 9 (heap\n n1: 8 0x20: g (in /g)\n#---\nsnapshot=1\nheap_tree=detailed\nn1: 8 (heap\n n0: 8 0x10", `log:14: tree line not understood: "#---"`},
		{"place that is none", "massif", " n0: 8 0x10", " n0: 9 at 0x10: g (g.c:1)\nheap_tree=detailed\nn1: 8 (heap\n n0: 8 0x10",
			`log:13: tree line not understood: "n0: 9 at 0x10: g (g.c:1)"`},
		{"size out of range", "massif", " n0: 8 0x10", " n0: 999999999999999 0x10: g (g.c:1)\nheap_tree=detailed\nn1: 8 (heap\n n0: 8 0x10",
			`log:13: tree line not understood: "n0: 999999999999999 0x10: g (g.c:1)"`},
		{"not a row", "pprof-text", "\n     1:", "\n     1: x [ 1: 8] @ 0x1010\n     1:", `log:2: row not understood: "     1: x [ 1: 8] @ 0x1010"`},
		{"bytes of no blocks", "pprof-text", "\n     1:", "\n     0: 9 [ 1: 9] @ 0x1010\n     1:", `log:2: row not understood: "     0: 9 [ 1: 9] @ 0x1010"`},
		{"address out of range", "pprof-text", "\n     1:", "\n     1: 9 [ 1: 9] @ 0x11112222333344445\n     1:",
			`log:2: row not understood: "     1: 9 [ 1: 9] @ 0x11112222333344445"`},
		{"not an address", "pprof-text", "\n     1:", "\n     1: 9 [ 1: 9] @ 0x1010 main\n     1:", `log:2: row not understood: "     1: 9 [ 1: 9] @ 0x1010 main"`},
		{"not a line", "jemalloc", "\n@", "\nhello\n@", `log:4: not a line of a jemalloc profile: "hello"`},
		{"no blocks", "jemalloc", "\n@", "\n@ 0x1020\n  t*: [0: 0]\n@", `log:5: row not understood: "t*: [0: 0]"`},
		{"not an address", "jemalloc", "\n@", "\n@ main\n  t*: 1: 9 [0: 0]\n@", `log:4: call stack not understood: " main"`},
		{"size without a unit", "tracemalloc", "/a", "/b.py:1: size=8, count=1\n/a", `log:1: statistic not understood: "/b.py:1: size=8, count=1"`},
		{"no line", "tracemalloc", "/a", "/b.py: size=8 B, count=1\n/a", `log:1: statistic not understood: "/b.py: size=8 B, count=1"`},
		{"out of range", "tracemalloc", "/a", "/b.py:1: size=999 TiB, count=1\n/a", `log:1: statistic not understood: "/b.py:1: size=999 TiB, count=1"`},
		{"no traceback", "tracemalloc", "/a", "1 memory blocks: 0.1 KiB\n/a", `log:1: memory blocks without a traceback`},
		{"columns missing", "memray", "MALLOC", "MALLOC,1\nMALLOC", `log:2: row not understood: "MALLOC,1"`},
		{"no number", "memray", "MALLOC", "MALLOC,one,8,1,main,f;a.py;1\nMALLOC", `log:2: row not understood: "MALLOC,one,8,1,main,f;a.py;1"`},
		{"out of range", "memray", "MALLOC", "MALLOC,1,999999999999999,1,main,f;a.py;1\nMALLOC", `log:2: row not understood: "MALLOC,1,999999999999999,1,main,f;a.py;1"`},
		{"quote without its end", "memray", "MALLOC", "MALLOC,1,8,1,\"main,f;a.py;1\nMALLOC", `log:2: row not understood: "MALLOC,1,8,1,\"main,f;a.py;1"`},
		{"frame without a line", "memray", "MALLOC", "MALLOC,1,8,1,main,f;a.py\nMALLOC", `log:2: row not understood: "MALLOC,1,8,1,main,f;a.py"`},
		{"no amount", "nmt", "(malloc", "(malloc=lots)\n            (malloc", `log:8: amount not understood: "(malloc=lots)"`},
		{"out of range", "nmt", "(malloc", "(arena=999999999999999KB #1)\n            (malloc", `log:8: amount not understood: "(arena=999999999999999KB #1)"`},
		{"category without an amount", "nmt", "-      O", "-      None (reserved=x)\n-      O", `log:7: category not understood: "-      None (reserved=x)"`},
	} {
		t.Run(c.format+", "+c.name, func(t *testing.T) {
			good := goodSnapshots[c.format]
			bad := strings.Replace(good, c.old, c.new, 1)
			if bad == good {
				t.Fatalf("no %q in the log", c.old)
			}
			events, src, err := readText(t, c.format, bad)
			if err == nil || err.Error() != c.want {
				t.Errorf("error\n\t%v\nwant\n\t%s", err, c.want)
			}
			if !slices.ContainsFunc(events, func(e ingest.Event) bool { return e.Size == 8 && e.Count == 1 }) || src.Report().Errors != 1 {
				t.Errorf("%v, %d errors; want the good record and one error", events, src.Report().Errors)
			}
		})
	}
}

// Go's names belong to the row before them, and not to the one before a damaged row.
func TestPprofTextNames(t *testing.T) {
	const name = "#\t0x10\tmain.%s+0x1\t\t/a/main.go:%d\n"
	log := "heap profile: 3: 24 [3: 24] @ heap/2\n1: 8 [1: 8] @ 0x10 0x20\n" + fmt.Sprintf(name, "f", 1) + fmt.Sprintf(name, "main", 2) +
		"\n1: 8 [1: x] @ 0x30\n" + fmt.Sprintf(name, "damaged", 3) + "\n1: 16 [1: 16] @ 0x40\n# runtime.MemStats\n# Alloc = 1\n"
	events, src, err := readText(t, "auto", log)
	if err == nil || err.Error() != `log:6: row not understood: "1: 8 [1: x] @ 0x30"` {
		t.Error(err)
	}
	var got []string
	for _, e := range events {
		for _, f := range src.Stacks().Frames(e.Stack) {
			got = append(got, fmt.Sprint(e.Size, " ", f))
		}
	}
	if want := []string{"8 main.f (main.go:1)", "8 main.main (main.go:2)", "16 0x40"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// What says nothing of what is live is refused as a whole.
func TestSnapshotsRefused(t *testing.T) {
	cpu := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	var b strings.Builder
	if err := cpu.WriteUncompressed(&b); err != nil {
		t.Fatal(err)
	}
	heap := readTestdata(t, "pprof/heap.001.pb.gz")
	for _, c := range []struct{ format, log, want string }{
		{"pprof", b.String(), `log: is a profile of "samples", "cpu", which does not say what is live: record a heap profile (Go: /debug/pprof/heap)`},
		{"pprof", "\x0a\x7f", "log: is a damaged profile, or one that is cut off: its strings come last, so nothing of it can be used"},
		{"pprof", strings.Repeat("\x12\x00", 4<<20), "log: is a profile of more than 3145728 parts: too large to read"},
		{"pprof", "\x12\x80\x80\x80\x04" + strings.Repeat("\x1a\x00", 4<<20), "log: is a profile of more than 3145728 parts: too large to read"},
		{"pprof-text", "heap profile:      1:        8 [     1:        8] @ growthz\n", `log: is a profile of kind "growthz", which does not say what is live: record a heap profile`},
		{"memray", "allocator,size\nMALLOC,8\n", "log: has no columns num_allocations, size, tid and stack_trace"},
		{"pprof", heap[:len(heap)-200], "log: the profile ends early: unexpected EOF"},
	} {
		events, _, err := readText(t, c.format, c.log)
		if err == nil || err.Error() != c.want || len(events) != 0 {
			t.Errorf("%d events, error\n\t%v\nwant\n\t%s", len(events), err, c.want)
		}
	}
}

// The bytes and blocks of each stack are those that pprof itself reads.
func TestHeapProfilesAsPprof(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "pprof*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	samples, _ := filepath.Glob(filepath.Join("..", "..", "shared", "samples", "pprof-heap", "*"))
	compared := 0
	for _, file := range append(files, samples...) {
		if strings.HasSuffix(file, ".golden") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := profile.ParseData(data)
		if err != nil {
			t.Fatal(err)
		}
		n := len(p.SampleType)
		byStack := map[string]ingest.Amount{}
		for _, s := range p.Sample {
			var stack []uint64
			for _, l := range s.Location {
				stack = append(stack, l.Address)
			}
			a := byStack[fmt.Sprint(stack)]
			byStack[fmt.Sprint(stack)] = ingest.Amount{Blocks: a.Blocks + s.Value[n-2], Bytes: a.Bytes + s.Value[n-1]}
		}
		var got, want []ingest.Amount
		for _, a := range byStack {
			if a != (ingest.Amount{}) {
				want = append(want, a)
			}
		}
		src, err := ingest.Open(file, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		events, err := ingesttest.ReadAll(t, src)
		if err != nil {
			t.Fatal(err)
		}
		src.Close()
		for _, e := range events {
			got = append(got, ingest.Amount{Blocks: e.Count, Bytes: e.Size})
		}
		bySize := func(a, b ingest.Amount) int {
			return cmp.Or(cmp.Compare(a.Bytes, b.Bytes), cmp.Compare(a.Blocks, b.Blocks))
		}
		slices.SortFunc(got, bySize)
		slices.SortFunc(want, bySize)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v; pprof reads %v", file, got, want)
		}
		compared++
	}
	if compared < 7 {
		t.Errorf("%d files", compared)
	}
}
