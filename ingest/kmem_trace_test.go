package ingest_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// The entries of a trace buffer as kernels and trace-cmd print them.
func TestFtraceLines(t *testing.T) {
	const kmalloc = "kmalloc: call_site=f+0x10d/0x490 ptr=0000000024e8fe6e bytes_req=60 bytes_alloc=64 gfp_flags=GFP_KERNEL"
	const block = "+64@24e8fe6e [0x0 kmalloc; 0x0 f]"
	for _, c := range []struct{ name, log, want string }{
		{"6.18", "  bash-11509   [001] .....  1681.711256: " + kmalloc + " node=-1 accounted=false\n", block},
		{"thread group", "  bash-11509   (  11509) [001] .....  1681.711256: " + kmalloc + "\n", block},
		{"no thread group", "  bash-11509   (-------) [001] .....  1681.711256: " + kmalloc + "\n", block},
		{"no flags, 2.6.37", "  bash-11509   [001]  1681.711256: " + kmalloc + "\n", block},
		{"odd names", "   a-1 [x]: b-7   [001] ..s1.  1681.711256: " + kmalloc + "\n", block},
		{"name lost", "  <...>-7   [001] .N..  1681.711256: " + kmalloc + "\n", block},
		{"trace-cmd", "  bash-11509 [000]   842.020392: kmalloc:       (f+0x10d) call_site=f+0x10d ptr=0x24e8fe6e bytes_req=60 bytes_alloc=64 gfp_flags=0\n", block},
		{"module", "  a-1 [001] ..... 1.000001: kmalloc: call_site=g+0x1/0x2 [ext4] ptr=00000000000000a0 bytes_req=8 bytes_alloc=8\n",
			"+8@a0 [0x0 kmalloc; 0x0 g in ext4]"},
		{"old kernel", "  init-1     [000] .N..     0.170000: kmem_cache_alloc_node: call_site=c104de4f ptr=c143de20 bytes_req=29 bytes_alloc=32 gfp_flags=GFP_KERNEL node=0\n" +
			"  init-1     [000] .N..     0.170001: kfree: call_site=c10c283a ptr=  (null)\n" +
			"  init-1     [000] .N..     0.170002: kmem_cache_free: call_site=c10c283a ptr=c143de20\n",
			"+32@c143de20 [0x0 kmem_cache_alloc_node; 0xc104de4f], -32@c143de20"},
		{"fields", "  a-1 [001] ..... 1.000001: kmalloc: call_site=g+0x1/0x2 (-123) ptr=0xffff8881e14c5640 (-131383564675520) bytes_req=0x3c (60) bytes_alloc=0x40 (64)\n",
			"+64@ffff8881e14c5640 [0x0 kmalloc; 0x0 g]"},
		{"order of arguments", "  a-1 [001] ..... 1.000001: kmalloc: bytes_alloc=64 bytes_req=60 ptr=00000000000000a0 call_site=g\n", "+64@a0 [0x0 kmalloc; 0x0 g]"},
		{"failed", "  a-1 [001] ..... 1.000001: kmalloc: call_site=g ptr=(nil) bytes_req=60 bytes_alloc=0\n" +
			"  a-1 [001] ..... 1.000002: mm_page_alloc: page=0000000000000000 pfn=0x0 order=9 migratetype=0\n", ""},
		{"pages", "  a-1 [001] ..... 1.000001: mm_page_alloc: page=0000000053ee21f4 pfn=0x1a order=2 migratetype=1 gfp_flags=0\n" +
			"  a-1 [001] ..... 1.000002: mm_page_free_batched: page=0000000053ee21f4 pfn=26 order=0\n" +
			"  b-2 [001] ..... 1.000003: mm_page_free: page=0000000053ee21f4 pfn=26 order=2\n",
			"+16384@1a000 [0x0 mm_page_alloc], -16384@1a000"},
		{"pages and objects of one address", "  a-1 [001] ..... 1.000001: mm_page_alloc: page=1 pfn=0x1a order=0\n" +
			"  a-1 [001] ..... 1.000002: kmalloc: call_site=g ptr=000000000001a000 bytes_req=60 bytes_alloc=64\n" +
			"  a-1 [001] ..... 1.000003: kfree: call_site=g ptr=000000000001a000\n" +
			"  a-1 [001] ..... 1.000003: mm_page_free: page=1 pfn=0x1a order=0\n",
			"+4096@1a000 [0x0 mm_page_alloc], +64@1a000 [0x0 kmalloc; 0x0 g], -64@1a000, -4096@1a000"},
		{"another task frees", "  a-1 [001] ..... 1.000001: kmalloc: call_site=g ptr=a0 bytes_alloc=64\n  b-2 [000] ..s.. 1.000002: kfree: call_site=h ptr=a0\n",
			"+64@a0 [0x0 kmalloc; 0x0 g], -64@a0"},
		{"free unseen", "  a-1 [001] ..... 1.000001: kmalloc: call_site=g ptr=a0 bytes_alloc=64\n  b-2 [000] ..s.. 1.000002: kmalloc: call_site=h ptr=a0 bytes_alloc=32\n",
			"+64@a0 [0x0 kmalloc; 0x0 g], lost 64@a0, +32@a0 [0x0 kmalloc; 0x0 h]"},
		{"stack", "  a-1 [001] ..... 1.000001: kmalloc: call_site=g ptr=a0 bytes_alloc=64\n  a-1 [001] ..... 1.000002: <stack trace>\n" +
			" => trace_event_raw_event_kmalloc\n => __kmalloc_noprof\n => g\n => 0xffffffffc0000010\n",
			"+64@a0 [0x0 trace_event_raw_event_kmalloc; 0x0 __kmalloc_noprof; 0x0 g; 0xffffffffc0000010]"},
		{"stack behind another CPU's event", "  a-1 [001] ..... 1.000001: kmalloc: call_site=g ptr=a0 bytes_alloc=64\n  b-2 [000] ..... 1.000002: kmalloc: call_site=h ptr=b0 bytes_alloc=32\n" +
			"  a-1 [001] ..... 1.000003: <stack trace>\n => g\n  b-2 [000] ..... 1.000004: <stack trace>\n => h\n => i\n",
			"+64@a0 [0x0 g], +32@b0 [0x0 h; 0x0 i]"},
		{"stack of a free", "  a-1 [001] ..... 1.000001: kmalloc: call_site=g ptr=a0 bytes_alloc=64\n  a-1 [001] ..... 1.000002: kfree: call_site=h ptr=a0\n" +
			"  a-1 [001] ..... 1.000003: <stack trace>\n => h\n",
			"+64@a0 [0x0 kmalloc; 0x0 g], -64@a0"},
		{"stack of trace-cmd", "  a-1 [001] 1.000001: kmalloc:  call_site=g ptr=0xa0 bytes_alloc=64\n  a-1 [001] 1.000002: kernel_stack:         <stack trace >\n" +
			"=> g (ffffffff815ca1be)\n", "+64@a0 [0x0 g]"},
		{"other entries", "  a-1 [001] ..... 1.000001: rss_stat: mm_id=1 curr=0\n  a-1 [001] ..... 1.000001: kfree <-g\n  a-1 [001] ..... 1.000002: kmalloc: call_site=g ptr=a0 bytes_alloc=64\n",
			"+64@a0 [0x0 kmalloc; 0x0 g]"},
	} {
		got, report := brief(t, "ftrace", c.log)
		if got != c.want || len(report.Messages) != 0 || report.Recognised != report.Lines {
			t.Errorf("%s: %d of %d lines, messages %q\ngot  %s\nwant %s", c.name, report.Recognised, report.Lines, report.Messages, got, c.want)
		}
		if _, _, err := readLog(t, strings.NewReader(c.log), "auto"); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// The columns of perf script are the user's choice.
func TestPerfKmemLines(t *testing.T) {
	const kmalloc = "kmem:kmalloc: call_site=f+0x3ef ptr=0xffff888104998800 bytes_req=60 bytes_alloc=64 gfp_flags=GFP_KERNEL node=-1 accounted=false\n"
	const block = "+64@ffff888104998800 [0x0 kmalloc; 0x0 f]"
	const stack = "\tffffffff816365b7 kmem_cache_alloc_noprof+0x227 ([kernel.kallsyms])\n\tffffffffc06365b7 g+0x227 ([nf_tables])\n" +
		"\t    55f43f144ad7 main+0x10 (/bin/a b)\n\t    7f3f144f2ad7 [unknown] ([unknown])\n\n"
	for _, c := range []struct{ name, log, want, comm string }{
		{"default", "            leak  8742 [001]  1649.747277: " + kmalloc, block, "leak 8742"},
		{"process and thread", "leak 8741/8742 [001]  1649.747277123:    " + kmalloc, block, "leak 8742"},
		{"period", "leak 8742 [001]  1649.747277:          1 " + kmalloc, block, "leak 8742"},
		{"odd name", "a b-1 [x] 8742 [001]  1649.747277: " + kmalloc, block, "a b-1 [x] 8742"},
		{"no CPU", "leak 8742  1649.747277: " + kmalloc, block, "leak 8742"},
		{"no task", "[001]  1649.747277: " + kmalloc, block, " 0"},
		{"event alone", kmalloc, block, " 0"},
		{"stack", "leak  8742 [001]  1649.747277: " + kmalloc + stack,
			"+64@ffff888104998800 [0x0 kmem_cache_alloc_noprof; 0x0 g in nf_tables; 0x0 main in /bin/a b]", "leak 8742"},
		{"stack without end", "leak  8742 [001]  1649.747277: " + kmalloc + "\tffffffff816365b7 h\nx 1 [000] 1649.747278: kmem:kfree: call_site=k ptr=0xffff888104998800\n\tffffffff816365b7 k\n\n",
			"+64@ffff888104998800 [0x0 h], -64@ffff888104998800", "leak 8742"},
		{"other events", "leak  8742 [001]  1649.747277: " + kmalloc + "leak  8742 [001]  1649.747277: cycles:\n\tffffffff816365b7 h\n\n" +
			"leak  8742 [001]  1649.747277: kmem:rss_stat: a=b\n", block, "leak 8742"},
	} {
		got, report := brief(t, "perf-kmem", c.log)
		if got != c.want || len(report.Messages) != 0 {
			t.Errorf("%s: messages %q\ngot  %s\nwant %s", c.name, report.Messages, got, c.want)
		}
		events, _, err := readLog(t, strings.NewReader(c.log), "auto")
		if err != nil || len(events) == 0 || fmt.Sprint(events[0].Comm, " ", events[0].TID) != c.comm || events[0].PID != 0 {
			t.Errorf("%s: %+v, %v", c.name, events, err)
		}
	}
}

func TestKmemBadLines(t *testing.T) {
	for _, c := range []struct{ event, want string }{
		{"kmalloc: ", `kmalloc not understood: ""`},
		{"kmalloc: call_site= ptr=a0 bytes_alloc=64", `kmalloc not understood: "call_site= ptr=a0 bytes_alloc=64"`},
		{"kmalloc: call_site=g bytes_alloc=64", `kmalloc not understood: "call_site=g bytes_alloc=64"`},
		{"kmalloc: call_site=g ptr=a0", `kmalloc not understood: "call_site=g ptr=a0"`},
		{"kmalloc: call_site=g ptr=xx bytes_alloc=64", `kmalloc not understood: "call_site=g ptr=xx bytes_alloc=64"`},
		{"kmalloc: call_site=g ptr=a0 bytes_alloc=x", `kmalloc not understood: "call_site=g ptr=a0 bytes_alloc=x"`},
		{"kmalloc: call_site=g ptr=a0 bytes_alloc=281474976710657", "kmalloc of 281474976710657 bytes"},
		{"kmalloc: call_site=g ptr=(____ptrval____) bytes_alloc=64", "kmalloc of an address that the kernel hides"},
		{"kfree: call_site=g", `kfree not understood: "call_site=g"`},
		{"kfree: call_site=g ptr=11112222333344445", `kfree not understood: "call_site=g ptr=11112222333344445"`},
		{"mm_page_alloc: page=1 pfn=0x1", `mm_page_alloc not understood: "page=1 pfn=0x1"`},
		{"mm_page_alloc: page=1 order=1", `mm_page_alloc not understood: "page=1 order=1"`},
		{"mm_page_alloc: page=1 pfn=0x1 order=21", `mm_page_alloc not understood: "page=1 pfn=0x1 order=21"`},
		{"mm_page_free: page=1 pfn=0xfffffffffffffff order=0", `mm_page_free not understood: "page=1 pfn=0xfffffffffffffff order=0"`},
	} {
		for format, prefix := range map[string]string{"ftrace": "a-1 [001] ..... 1.000001: ", "perf-kmem": "a 1 [001] 1.000001: kmem:"} {
			good := prefix + "kmalloc: call_site=g ptr=f0 bytes_alloc=64\n"
			events, report, err := readLog(t, strings.NewReader(good+prefix+c.event+"\n"+good), format)
			want := "log:2: " + c.want
			if err == nil || err.Error() != want || report.Errors != 1 || len(events) != 3 {
				t.Errorf("%s, %q: %d events, %v\nwant %s", format, c.event, len(events), err, want)
			}
		}
	}
}

// What the buffer lost is told, and its header counts the entries.
func TestFtraceLosses(t *testing.T) {
	const entry = "a-1 [001] ..... 1.000001: kmalloc: call_site=g ptr=f0 bytes_alloc=64\n"
	for _, c := range []struct {
		name, log, oracle string
		messages          []string
	}{
		{"whole", "# entries-in-buffer/entries-written: 1/1   #P:2\n#\n" + entry, "1", nil},
		{"overwritten", "# entries-in-buffer/entries-written: 1/1201   #P:2\n" + entry, "1",
			[]string{"log: the trace buffer was too small: the oldest 1200 entries were overwritten"}},
		{"pipe", "CPU:1 [LOST 249 EVENTS]\n##### CPU 1 buffer started ####\n" + entry + "CPU:0 [1 EVENTS DROPPED]\n", "",
			[]string{"log: 250 entries were lost because nobody read them in time"}},
		{"cut", "# entries-in-buffer/entries-written: 1201/1201   #P:2\n" + entry, "1,201",
			[]string{"log: entries in buffer says 1,201, the records add up to 1: the log is incomplete or jumbled"}},
		{"cut in a line", "# entries-in-buffer/entries-written: 2/2   #P:2\n" + entry + "a-1 [001] .", "2",
			[]string{"log:3: the last line has no end and is left out",
				"log: entries in buffer says 2, the records add up to 1: the log is incomplete or jumbled"}},
	} {
		_, report, err := readLog(t, strings.NewReader(c.log), "ftrace")
		if err != nil || !slices.Equal(report.Messages, c.messages) || report.Truncated != (c.name == "cut in a line") {
			t.Errorf("%s: %v, messages %q", c.name, err, report.Messages)
		}
		if o := report.Oracle; (o == nil) != (c.oracle == "") || o != nil && o.Expected != c.oracle {
			t.Errorf("%s: oracle %+v", c.name, report.Oracle)
		}
	}
}

// Times count from the first entry; those of several CPUs may be out of order.
func TestFtraceClock(t *testing.T) {
	var log strings.Builder
	for i, stamp := range []string{"10.5", "10.500001", "10.400000", "11.000000001", "17"} {
		fmt.Fprintf(&log, "a-1 [00%d] ..... %s: kmalloc: call_site=g ptr=%d0 bytes_alloc=8\n", i%2, stamp, i+1)
	}
	events, report, err := readLog(t, strings.NewReader(log.String()), "ftrace")
	if err != nil || report.Clock != ingest.Stamps {
		t.Fatal(err, report.Clock)
	}
	var times []string
	for _, e := range events {
		times = append(times, e.Time.String())
	}
	if want := []string{"0s", "1µs", "1µs", "500.000001ms", "500.000001ms"}; !slices.Equal(times, want) {
		t.Errorf("times %v, want %v", times, want)
	}
}

// An event whose CPU falls silent is not waited for without end.
func TestFtraceWaitsForFew(t *testing.T) {
	log := "a-1 [007] ..... 1.000001: kmalloc: call_site=g ptr=f0 bytes_alloc=64\n" +
		strings.Repeat("a-1 [001] ..... 1.000002: kmalloc: call_site=g ptr=a0 bytes_alloc=64\na-1 [001] ..... 1.000003: kfree: call_site=g ptr=a0\n", 5000)
	src, err := ingest.NewSource("log", strings.NewReader(log), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for e := range src.Events() {
		if e.Line != 1 {
			t.Fatalf("line %d came first", e.Line)
		}
		break
	}
}

// A line that looks like the start of an entry again and again is given up early.
func TestFtraceOddLine(t *testing.T) {
	log := "a-1 [001] ..... 1.000001: kmalloc: call_site=g ptr=f0 bytes_alloc=64\n" +
		strings.Repeat(strings.Repeat("a-1 [1] ", 1<<16)+"\n", 20)
	start := time.Now()
	events, report, err := readLog(t, strings.NewReader(log), "ftrace")
	if err != nil || len(events) != 1 || report.Recognised != 1 || time.Since(start) > 10*time.Second {
		t.Errorf("%d events, %d lines recognised in %v, %v", len(events), report.Recognised, time.Since(start), err)
	}
}

// printed is what two prints of one trace have in common: all but addresses, which are
// hashed in one of them, and the last digits of times.
func printed(t *testing.T, file string) []string {
	t.Helper()
	src, err := ingest.Open(filepath.Join("testdata", file), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	events, err := ingesttest.ReadAll(t, src)
	if err != nil {
		t.Error(err)
	}
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprintf("%v of %d bytes, block %d, task %d %s, from %s",
			e.Op, e.Size, e.Block, e.TID, e.Comm, frames(src.Stacks(), e.Stack)))
	}
	return all
}

// The kernel's own text, trace-cmd's, and each of perf's prints tell the same.
func TestKmemPrintsAgree(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		least int
	}{
		{"ftrace/true.txt.gz", "ftrace/trace-cmd.txt", 100},
		{"ftrace/stacks-cut.txt", "ftrace/trace-cmd-stacks.txt", 25},
		{"perf-kmem/stacks.txt", "perf-kmem/fields.txt", 15},
	} {
		a, b := printed(t, c.a), printed(t, c.b)
		n := min(len(a), len(b)) - 1 // the last may lack its call stack
		if n < c.least || !slices.Equal(a[:n], b[:n]) {
			for i := range n {
				if a[i] != b[i] {
					t.Fatalf("%s and %s, event %d:\n%s\n%s", c.a, c.b, i, a[i], b[i])
				}
			}
			t.Errorf("%s and %s: only %d events", c.a, c.b, n)
		}
	}
}

func TestKmemSamples(t *testing.T) {
	t.Run("ftrace", func(t *testing.T) {
		samples(t, "ftrace-kmem", func(file string, r *ingest.Report) {
			if r.Format != "ftrace" || r.Errors != 0 || r.Recognised != r.Lines || r.Oracle == nil || !r.Oracle.OK || r.Clock != ingest.Stamps {
				t.Errorf("%s: %+v, oracle %+v", file, r, r.Oracle)
			}
			t.Logf("%s: %d allocs, %d frees, %d orphans, %d lost", file, r.Allocs, r.Frees, r.OrphanFrees, r.LostFrees)
		})
	})
	t.Run("perf", func(t *testing.T) {
		samples(t, "perf-kmem", func(file string, r *ingest.Report) {
			if r.Format != "perf-kmem" || r.Errors != 0 || r.Clock != ingest.Stamps || r.Allocs < 100 {
				t.Errorf("%s: %+v", file, r)
			}
			t.Logf("%s: %d allocs, %d frees, %d orphans, %d lost", file, r.Allocs, r.Frees, r.OrphanFrees, r.LostFrees)
		})
	})
}

func FuzzFtrace(f *testing.F) {
	seeds(f, "ftrace")
	f.Add([]byte("# entries-in-buffer/entries-written: 1/2\nCPU:1 [LOST 2 EVENTS]\na-1 [1] 1.1: kmalloc: ptr=a bytes_alloc=1\nb-2 [0] 1.1: kfree: ptr=a\na-1 [1] 1.2: <stack trace>\n => f\n"))
	fuzzEvents(f, "ftrace")
}

func FuzzPerfKmem(f *testing.F) {
	seeds(f, "perf-kmem")
	f.Add([]byte("a b 1/2 [1] 1.1: 1 kmem:mm_page_alloc: page=1 pfn=1 order=1\n\tff f (m)\n\nkmem:mm_page_free: pfn=1 order=0\n"))
	fuzzEvents(f, "perf-kmem")
}

func BenchmarkFtrace(b *testing.B) {
	benchmarkEvents(b, "# tracer: nop\n", func(i int) string {
		size, addr, freed := heap(i)
		s := fmt.Sprintf("  a-%d [001] ..... %d.%06d: kmalloc: call_site=f%d+0x1/0x2 ptr=%016x bytes_req=%d bytes_alloc=%[6]d gfp_flags=GFP_KERNEL\n",
			i%7, i/1000000, i%1000000, i*7%2000, addr, size)
		if freed != 0 {
			s += fmt.Sprintf("  a-1 [001] ..... %d.%06d: kfree: call_site=g+0x1/0x2 ptr=%016x\n", i/1000000, i%1000000, freed)
		}
		return s
	})
}

// A CPU that falls silent holds up some events, and costs no time.
func BenchmarkFtraceSilentCPU(b *testing.B) {
	benchmarkEvents(b, "a-1 [007] ..... 0.000001: kmalloc: call_site=g ptr=f0 bytes_alloc=64\n", func(i int) string {
		return fmt.Sprintf("  a-1 [001] ..... %d.%06d: kmalloc: call_site=f+0x1/0x2 ptr=%016x bytes_alloc=8\n", i/1000000, i%1000000, 4096+i*16)
	})
}
