package ingest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// The tests of series of copies of files of /proc.

// slabCopy is a copy of /proc/slabinfo with n and m active objects in two caches.
func slabCopy(n, m int) string {
	return "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> ...\n" +
		fmt.Sprintf("filp  %d  64  192  16  1 : tunables  0  0  0 : slabdata  4  4  0\n", n) +
		fmt.Sprintf("kmalloc-64  %d  64  64  64  1 : tunables  0  0  0 : slabdata  1  1  0\n", m)
}

// poolsOf gives, for each event of a series, the snapshot, its time, the pool, its
// blocks and bytes.
func poolsOf(src ingest.Source, events []ingest.Event) string {
	var all []string
	for _, e := range events {
		f := src.Stacks().Frames(e.Stack)
		all = append(all, fmt.Sprintf("%d@%v %s %d/%d", e.Scan, e.Time, f[0].Function, e.Count, e.Size))
	}
	return strings.Join(all, ", ")
}

// However the copies of a series are separated, the snapshots are the same.
func TestPoolSeries(t *testing.T) {
	a, b := slabCopy(10, 5), slabCopy(20, 0)
	const timed = "0@0s filp 10/1920, 0@0s kmalloc-64 5/320, 1@1.5s filp 20/3840"
	const untimed = "0@0s filp 10/1920, 0@0s kmalloc-64 5/320, 1@0s filp 20/3840"
	for _, c := range []struct{ name, log, want string }{
		{"seconds", "1795198032.25\n" + a + "\n1795198033.75\n" + b, timed},
		{"marked", "# 1795198032.25\n" + a + "\n=== 1795198033.750 ===\n" + b, timed},
		{"uptime", "353.20 1404.01\n" + a + "354.70 1409.88\n" + b, timed},
		{"date -Ins", "2026-11-21T10:35:59,250000000+00:00\n" + a + "2026-11-21T10:36:00,750000000+00:00\n" + b, timed},
		{"date", "Sat Nov 21 10:35:58 UTC 2026\n" + a + "Sat Nov 21 10:35:59 UTC 2026\n" + b, strings.Replace(timed, "1.5s", "1s", 1)},
		{"date, another locale", "Sat 21 Nov 2026 11:59:59 AM UTC\n" + a + "Sat 21 Nov 2026 12:00:00 PM UTC\n" + b, strings.Replace(timed, "1.5s", "1s", 1)},
		{"date +'%F %T'", "2026-12-31 23:59:59\n" + a + "2027-01-01 00:00:01\n" + b, strings.Replace(timed, "1.5s", "2s", 1)},
		{"nothing", a + b, untimed},
		{"other lines", "$ cat /proc/slabinfo\n" + a + "Filesystem 1K-blocks\n42 times nothing\n" + b, untimed},
		{"the clock is set back", "900\n" + a + "100\n" + b, untimed},
		{"a copy is missing", "100\n101\n" + a + "102\n103\n" + b + "104\n", "0@1s filp 10/1920, 0@1s kmalloc-64 5/320, 1@3s filp 20/3840"},
		{"one copy", a, "0@0s filp 10/1920, 0@0s kmalloc-64 5/320"},
		{"no header", strings.ReplaceAll("5\n"+a+"6.5\n"+b, "slabinfo - version: 2.1\n", ""), timed},
		{"indented, CRLF", "5\r\n  " + strings.ReplaceAll(a, "\n", " \r\n  ") + "6.5\r\n" + b, timed},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, src, err := readText(t, "auto", c.log)
			if err != nil {
				t.Fatal(err)
			}
			if got := poolsOf(src, events); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			r := src.Report()
			if r.Format != "slabinfo" || r.Class != ingest.Snapshots || len(r.Messages) > 0 || !r.Oracle.OK {
				t.Errorf("%+v", r)
			}
			if stamped := strings.Contains(c.want, "1@") && !strings.Contains(c.want, "1@0s") || c.name == "the clock is set back"; stamped != (r.Clock == ingest.Stamps) {
				t.Errorf("clock %s", r.Clock)
			}
		})
	}
}

// A pool is the same site in every snapshot.
func TestPoolsKeepTheirStack(t *testing.T) {
	for _, file := range []string{"slabinfo/6.18-pipes.txt.zst", "vmallocinfo/6.18.txt.zst", "meminfo/6.18.txt", "smaps-rollup/6.18.txt"} {
		src, err := ingest.Open(filepath.Join("testdata", file), ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		events, err := ingesttest.ReadAll(t, src)
		if err != nil {
			t.Error(err)
		}
		type key struct {
			scan  int32
			stack ingest.StackID
		}
		seen := map[key]bool{}
		last := events[len(events)-1]
		for _, e := range events {
			if seen[key{e.Scan, e.Stack}] {
				t.Errorf("%s:%d: the pool is twice in snapshot %d", file, e.Line, e.Scan)
			}
			seen[key{e.Scan, e.Stack}] = true
		}
		if last.Scan != 3 || last.Time < 5*time.Second || last.Time > 30*time.Second {
			t.Errorf("%s: the last snapshot is %d at %v", file, last.Scan, last.Time)
		}
		if r := src.Report(); !r.Oracle.OK || r.Truncated || len(r.Messages) > 0 || r.Recognised != r.Lines {
			t.Errorf("%s: %+v", file, r)
		}
	}
}

// What the program of testdata/src/pools.c lost is in the captures: 400 pipes of two
// open files a second, and a MiB.
func TestPoolsShowTheLoss(t *testing.T) {
	for _, c := range []struct {
		file, pool string
		least      int64 // growth in bytes from the first to the last snapshot
	}{
		{"slabinfo/6.18-pipes.txt.zst", "filp", 5 * 800 * 192},
		{"smaps-rollup/6.18.txt", "Anonymous", 5 << 20},
	} {
		src, err := ingest.Open(filepath.Join("testdata", c.file), ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		events, err := ingesttest.ReadAll(t, src)
		if err != nil {
			t.Fatal(err)
		}
		var sizes []int64
		for _, e := range events {
			if src.Stacks().Frames(e.Stack)[0].Function == c.pool {
				sizes = append(sizes, e.Size)
			}
		}
		if len(sizes) != 4 || !slices.IsSorted(sizes) || sizes[3]-sizes[0] < c.least {
			t.Errorf("%s: %s has %d bytes, want growth by %d", c.file, c.pool, sizes, c.least)
		}
	}
}

// What a row of each file stands for.
func TestPoolRows(t *testing.T) {
	for _, c := range []struct{ name, format, log, want string }{
		{"vmallocinfo", "vmallocinfo",
			"0xffffc90000000000-0xffffc90000005000   20480 f+0xca/0x100 vmap\n" +
				"0x00000000ff84670f-0x000000002a5c3713   20480 kernel_clone+0x94/0x3e0 pages=4 vmalloc N0=3 N1=1\n" +
				"0x00000000ff84670f-0x000000002a5c3713   20480 kernel_clone+0x99/0x3e0 pages=4 vmalloc N0=4\n" +
				"0x00000000ff84670f-0x000000002a5c3713    8192 m_init+0x10/0x1000 [mod_x] pages=1 vmalloc vpages N0=1\n" +
				"0xc5d90000-0xc5db1000  135168 g+0x1/0x2 pages=2 vmalloc user\n" +
				"0xbf000000-0xbf010000   65536 0xffffffffc0123456 pages=1 vmalloc N0=1\n" +
				"0xbf000000-0xbf010000   65536 vm_map_ram\n" +
				"0xbf000000-0xbf010000   65536 unpurged vm_area\n" +
				"0xbf000000-0xbf010000   65536 h+0x1/0x2 phys=0x00000000f0000000 ioremap\n" +
				"0xbf000000-0xbf010000   65536 pages=16 vmalloc N0=16\n",
			// A guard page more than its pages, of 4096 bytes; where the size
			// is no such multiple it stays what it is.
			"kernel_clone 2/32768, m_init (in mod_x) 1/4096, g 1/135168, 0xffffffffc0123456 1/32768"},
		{"slabinfo", "slabinfo",
			"nf conntrack(12:/a b)  5  6  320  12  1 : tunables  0  0  0 : slabdata  1  1  0\n" +
				":a-0000104  0  0  104  39  1 : tunables  120  60  8 : slabdata  0  0  0 : globalstat 1 2 3\n" +
				"size-32(DMA)  1  2  32  113  1 : tunables  120  60  8 : slabdata  1  1  0\n",
			"nf conntrack(12:/a b) (in slabinfo) 5/1600, size-32(DMA) (in slabinfo) 1/32"},
		{"allocinfo", "allocinfo",
			"allocinfo - version: 1.0\n#     <size>  <calls> <tag info>\n" +
				"           0        0 init/main.c:1314 func:do_initcalls\n" +
				"        4096        1 init/initramfs.c:507 func:do_populate_rootfs\n" +
				"       86016       21 net/sched/x.c:12 [sch_x] func:x_init.isra.0\n" +
				"        4096        2 init/initramfs.c:507 func:do_populate_rootfs accurate:no\n",
			"do_populate_rootfs (initramfs.c:507) 3/8192, x_init (x.c:12) 21/86016"},
		{"meminfo", "meminfo",
			"MemTotal:       24684092 kB\nMemFree:        17270776 kB\nAnonPages:         55308 kB\nSlab:             12 kB\n" +
				"SReclaimable:      4 kB\nSUnreclaim:        8 kB\nHugePages_Total:       7\nHugetlb:          0 kB\nDirectMap4k:  28672 kB\n",
			"AnonPages (in meminfo) 1/56635392, SReclaimable (in meminfo) 1/4096, SUnreclaim (in meminfo) 1/8192"},
		{"smaps-rollup", "smaps-rollup",
			"55a99a7d0000-7ffed3fbb000 ---p 00000000 00:00 0    [rollup]\nRss:     30 kB\nShared_Clean:  1 kB\nShared_Dirty: 2 kB\n" +
				"Private_Clean: 3 kB\nPrivate_Dirty: 24 kB\nAnonymous:  24 kB\nSwap: 5 kB\nLocked: 0 kB\n",
			"Anonymous (in smaps_rollup) 1/24576, Swap (in smaps_rollup) 1/5120"},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, src, err := readText(t, "auto", c.log)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range events {
				f := src.Stacks().Frames(e.Stack)
				got = append(got, fmt.Sprintf("%s %d/%d", f[0], e.Count, e.Size))
				if len(f) != 1 {
					t.Errorf("%d frames", len(f))
				}
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("got  %s\nwant %s", s, c.want)
			}
			if r := src.Report(); r.Format != c.name || len(r.Messages) > 0 || r.Oracle != nil && !r.Oracle.OK {
				t.Errorf("%+v, oracle %+v", r, r.Oracle)
			}
		})
	}
}

// The table of bad rows: exactly these errors, and the rows around them count.
func TestPoolBadLines(t *testing.T) {
	heads := map[string]string{
		"slabinfo":     "filp  10  64  192  16  1 : tunables  0  0  0 : slabdata  4  4  0\n",
		"vmallocinfo":  "0xa-0xb 8192 f+0x1/0x2 pages=1 vmalloc N0=1\n",
		"allocinfo":    "allocinfo - version: 1.0\n 8 1 a.c:1 func:f\n",
		"meminfo":      "MemTotal: 5 kB\nAnonPages: 1 kB\n",
		"smaps-rollup": "1-2 ---p 0 0 0 [rollup]\nAnonymous: 1 kB\n",
	}
	for _, c := range []struct{ format, line string }{
		{"slabinfo", "slabinfo - version: 1.1"},
		{"slabinfo", "dentry  1  2  x  16  1 : tunables  0  0  0 : slabdata  4  4  0"},
		{"slabinfo", "1  2  3  16  1 : tunables  0  0  0 : slabdata  4  4  0"},
		{"slabinfo", "dentry  1  2  3  16  1 : tunables  0  0  0"},
		{"slabinfo", "dentry  1  2  3  16  1 : tunables  0  0  0 : slabdata  4"},
		{"slabinfo", "dentry  -1  2  3  16  1 : tunables  0  0  0 : slabdata  4  4  0"},
		{"slabinfo", "dentry  281474976710656  281474976710656  2  16  1 : tunables  0  0  0 : slabdata  4  4  0"},
		{"slabinfo", "dentry  99999999999999999999  2  2  16  1 : tunables  0  0  0 : slabdata  4  4  0"},
		{"vmallocinfo", "0xc-0xd f+0x1/0x2 vmalloc"},
		{"vmallocinfo", "0xc-0xd 8192"},
		{"vmallocinfo", "0xc-0xd 8192 g+0x1/0x2 pages=x vmalloc"},
		{"vmallocinfo", "0xc-0xd 8192 g+0x1/0x2 pages=1 vmalloc N0=99999999999999999999"},
		{"allocinfo", "x 1 b.c:1 func:g"},
		{"allocinfo", "8 b.c:1 func:g"},
		{"allocinfo", "8 1 b.c func:g"},
		{"allocinfo", "8 1 b.c:x func:g"},
		{"allocinfo", "8 1 b.c:1 func:"},
		{"meminfo", "Shmem: x kB"},
		{"meminfo", "Shmem:"},
		{"meminfo", "Shmem: 4 MB"},
		{"meminfo", "Shmem: 9999999999999 kB"},
		{"smaps-rollup", "Swap: -1 kB"},
		{"allocinfo", "8 1 " + strings.Repeat("d/", 600) + "b.c:1 func:g"},
	} {
		clipped := c.line
		if len(clipped) > 120 {
			clipped = clipped[:120] + "..."
		}
		head := heads[c.format]
		want := fmt.Sprintf("log:%d: row not understood: %q", strings.Count(head, "\n")+1, clipped)
		events, src, err := readText(t, c.format, head+c.line+"\n")
		if err == nil || err.Error() != want {
			t.Errorf("%s: error\n\t%v\nwant\n\t%s", c.format, err, want)
		}
		if len(events) != 1 || src.Report().Errors != 1 {
			t.Errorf("%q: %d events, %d errors", c.line, len(events), src.Report().Errors)
		}
	}
}

// A snapshot that is cut off would show pools as freed: it is left out and told.
func TestPoolSeriesCutOff(t *testing.T) {
	log := readTestdata(t, "meminfo/6.18.txt")
	all, _, err := readText(t, "meminfo", log)
	if err != nil {
		t.Fatal(err)
	}
	last := strings.LastIndex(log, "MemTotal:")
	whole := strings.LastIndex(log, "DirectMap1G:")
	for cut := last + 20; cut < whole; cut += 37 {
		events, src, err := readText(t, "meminfo", log[:cut])
		if err != nil {
			t.Fatal(err)
		}
		if r := src.Report(); !r.Truncated || len(events) != len(all)*3/4 {
			t.Fatalf("cut at %d: %d events, truncated %v", cut, len(events), r.Truncated)
		}
	}
	// Of a single snapshot what there is counts.
	events, src, err := readText(t, "meminfo", "MemTotal: 9 kB\nAnonPages: 5 kB\nShmem: 1")
	if err != nil || len(events) != 1 || !src.Report().Truncated {
		t.Errorf("%d events, %v", len(events), err)
	}
}

// The sums that a file tells twice notice a row that is missing.
func TestPoolOracleNotices(t *testing.T) {
	for _, c := range []struct{ format, log string }{
		{"meminfo", "MemTotal: 9 kB\nSlab: 12 kB\nSReclaimable: 4 kB\n"},
		{"smaps-rollup", "1-2 ---p 0 0 0 [rollup]\nRss: 30 kB\nPrivate_Dirty: 24 kB\nAnonymous: 24 kB\n"},
		{"slabinfo", "filp  10  999  192  16  1 : tunables  0  0  0 : slabdata  4  4  0\n"},
		{"vmallocinfo", "0xa-0xb 8192 f+0x1/0x2 pages=2 vmalloc N0=1\n"},
	} {
		_, src, err := readText(t, c.format, c.log)
		if o := src.Report().Oracle; err != nil || o == nil || o.OK {
			t.Errorf("%s: %v, oracle %+v", c.format, err, o)
		}
	}
}

// A log of ever new names fills a bounded table.
func TestPoolsAreBounded(t *testing.T) {
	var log strings.Builder
	log.WriteString("allocinfo - version: 1.0\n")
	const more = 1<<17 + 1000
	for i := range more {
		fmt.Fprintf(&log, "8 1 a.c:%d func:f\n", i)
	}
	events, src, err := readText(t, "auto", log.String())
	if err != nil || len(events) != 1<<17 {
		t.Errorf("%d events, %v", len(events), err)
	}
	if want := []string{"log: 1000 rows are left out: more than 131072 pools"}; !slices.Equal(src.Report().Messages, want) {
		t.Errorf("messages %q", src.Report().Messages)
	}
}

// Logs of other machines that lie beside the project, and what this machine says.
func TestPoolSamples(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "samples", "proc-snapshots")
	for _, c := range []struct {
		file, format string
		records      int64
		live         ingest.Amount
	}{
		{filepath.Join(dir, "meminfo-series-6.18.txt"), "meminfo", 24, ingest.Amount{Blocks: 8, Bytes: 740007936}},
		{filepath.Join(dir, "slabinfo-6.18.txt"), "slabinfo", 125, ingest.Amount{Blocks: 2892263, Bytes: 628260464}},
		{filepath.Join(dir, "vmallocinfo-6.18.txt"), "vmallocinfo", 11, ingest.Amount{Blocks: 232, Bytes: 17166336}},
		{"/proc/meminfo", "meminfo", -1, ingest.Amount{}},
		{"/proc/slabinfo", "slabinfo", -1, ingest.Amount{}},
		{"/proc/vmallocinfo", "vmallocinfo", -1, ingest.Amount{}},
		{"/proc/allocinfo", "allocinfo", -1, ingest.Amount{}},
		{"/proc/self/smaps_rollup", "smaps-rollup", -1, ingest.Amount{}},
	} {
		t.Run(filepath.Base(c.file), func(t *testing.T) {
			src, err := ingest.Open(c.file, ingest.Options{})
			if os.IsNotExist(err) || os.IsPermission(err) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			if _, err := ingesttest.ReadAll(t, src); err != nil {
				t.Error(err)
			}
			r := src.Report()
			if r.Format != c.format || r.Truncated || r.Records == 0 || r.Oracle != nil && !r.Oracle.OK {
				t.Errorf("%+v, oracle %+v", r, r.Oracle)
			}
			if c.records >= 0 && (r.Records != c.records || r.Outstanding != c.live) {
				t.Errorf("%d records, %+v", r.Records, r.Outstanding)
			}
		})
	}
}

func fuzzPools(f *testing.F, format string) {
	f.Add([]byte("100.5\n" + slabCopy(1, 2) + "# 2026-11-21T10:35:59Z\n" + slabCopy(3, 0)))
	f.Add([]byte("5\n0xa-0xb 8192 f+0x1/0x2 [m] pages=1 vmalloc N0=1 N1=2\n6 7.5\n0xa-0xb 8192 0xffffffff81000000 pages=1 vmalloc vpages\n"))
	f.Add([]byte("allocinfo - version: 1.0\n 8 1 a.c:1 [m] func:f\n 8 1 a.c:1 func:f accurate:no\nallocinfo - version: 2.0\n"))
	f.Add([]byte("MemTotal: 9 kB\nSlab: 12 kB\nSReclaimable: 4 kB\nSUnreclaim: 8 kB\nMemTotal: 9 kB\nAnonPages: 7 kB\n"))
	f.Add([]byte("1-2 ---p 0 0 0 [rollup]\nRss: 30 kB\nPrivate_Dirty: 24 kB\nAnonymous: 24 kB\n"))
	fuzzReader(f, format)
}

func FuzzSlabinfo(f *testing.F)    { fuzzPools(f, "slabinfo") }
func FuzzVmallocinfo(f *testing.F) { fuzzPools(f, "vmallocinfo") }
func FuzzAllocinfo(f *testing.F)   { fuzzPools(f, "allocinfo") }
func FuzzMeminfo(f *testing.F)     { fuzzPools(f, "meminfo") }
func FuzzSmaps(f *testing.F)       { fuzzPools(f, "smaps-rollup") }

func BenchmarkSlabinfo(b *testing.B) {
	benchmarkReader(b, "slabinfo", "", func(i int) string { return fmt.Sprintf("%d\n", i) + slabCopy(1+i%50, 1) }, "")
}

func BenchmarkVmallocinfo(b *testing.B) {
	benchmarkReader(b, "vmallocinfo", "", func(i int) string {
		return fmt.Sprintf("%d\n0x%x-0x%x 20480 kernel_clone+0x94/0x3e0 pages=4 vmalloc N0=4\n", i, i*4096, i*4096+20480)
	}, "")
}
