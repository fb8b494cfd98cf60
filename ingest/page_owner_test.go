package ingest_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// readPacked reads a log of testdata.
func readPacked(t testing.TB, name string) ([]ingest.Event, ingest.Source) {
	t.Helper()
	src, err := ingest.Open(filepath.Join("testdata", name), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	events, err := ingesttest.ReadAll(t, src)
	if err != nil {
		t.Fatal(err)
	}
	return events, src
}

// bySite adds up the events of a scan by call stack, written out so that logs can be
// compared.
func bySite(src ingest.Source, events []ingest.Event, scan int32) map[string]ingest.Amount {
	sites := map[string]ingest.Amount{}
	for _, e := range events {
		if e.Scan != scan {
			continue
		}
		_, frames, _ := bytes.Cut(ingest.AppendStackText(nil, src.Stacks(), e.Stack), []byte("\n"))
		a := sites[string(frames)]
		a.Blocks += e.Count
		a.Bytes += e.Size
		sites[string(frames)] = a
	}
	return sites
}

// One copy of page_owner, and what the kernel's own tool makes of it, sorted and
// culled, are the same pages of the same sites.
func TestPageOwnerSorted(t *testing.T) {
	events, src := readPacked(t, "page-owner/6.12-uml-series.txt.zst")
	want := bySite(src, events, 0)
	if len(want) != 178 {
		t.Fatalf("%d sites", len(want))
	}
	for _, file := range []string{"page-owner/6.12-uml-sorted.txt.zst", "page-owner/6.12-uml-culled.txt.zst"} {
		events, src := readPacked(t, file)
		if got := bySite(src, events, 0); !maps.Equal(got, want) {
			t.Errorf("%s: %d sites of %d", file, len(got), len(want))
		}
		if r := src.Report(); r.Class != ingest.EndReport || r.Oracle != nil && !r.Oracle.OK || r.Truncated {
			t.Errorf("%s: %+v", file, r)
		}
	}
}

// The machine forgot 150 pipes with two pages of data each between the copies: three
// files of its kernel say so to the byte.
func TestKernelFilesShowTheLoss(t *testing.T) {
	for _, c := range []struct{ file, function string }{
		{"page-owner/6.12-uml-series.txt.zst", "pipe_write"},
		{"page-owner/6.12-uml-stacks.txt.zst", "pipe_write"},
		{"allocinfo/6.12-uml-pipes.txt.zst", "pipe_write"},
	} {
		events, src := readPacked(t, c.file)
		var lost [3]ingest.Amount
		for _, e := range events {
			for _, f := range src.Stacks().Frames(e.Stack) {
				if f.Function == c.function {
					lost[e.Scan].Blocks += e.Count
					lost[e.Scan].Bytes += e.Size
				}
			}
		}
		if want := [3]ingest.Amount{{}, {Blocks: 300, Bytes: 300 * 4096}, {Blocks: 600, Bytes: 600 * 4096}}; lost != want {
			t.Errorf("%s: %+v", c.file, lost)
		}
		if r := src.Report(); r.Class != ingest.Snapshots || r.Clock != ingest.Stamps || r.Errors > 0 || r.Truncated || r.Recognised != r.Lines {
			t.Errorf("%s: %+v", c.file, r)
		}
	}
}

// The first line of a record says more with every kernel.
func TestPageOwnerDialects(t *testing.T) {
	const stack = " [<ffffffff81164e9a>] f+0x15a/0xa30\n g+0x1/0x2 [mod]\n"
	for _, c := range []struct{ name, log, want string }{
		{"3.19", "Page allocated via order 0, mask 0x280da\nPFN 674308 Block 1317 type 2 Flags\n" + stack, "outstanding addr=0xa4a04000 size=4096 count=1"},
		{"4.x", "Page allocated via order 2, mask 0x24213ca(GFP_HIGHUSER)\nPFN 1 type Movable Block 0 type Movable Flags 0x1(lru)\n" + stack,
			"outstanding addr=0x1000 size=16384 count=1"},
		{"5.11", "Page allocated via order 0, mask 0x1(A|B), pid 12, ts 1500000000 ns\nPFN 1 type Movable\n" + stack,
			"outstanding addr=0x1000 size=4096 count=1 pid=12 time=1.5s"},
		{"5.15, Fedora", "Page allocated via order 0, mask 0x1(A|B), pid 12 (pod man), ts 1500000000 ns, free_ts 7 ns\nPFN 1 type Movable\n" + stack,
			`outstanding addr=0x1000 size=4096 count=1 pid=12 comm="pod man" time=1.5s`},
		{"6.x", "Page allocated via order 0, mask 0x1(A|B), pid 13, tgid 12 (a), ts 5 ns) b), ts 1500000000 ns\nPFN 0x10 type Movable\n" + stack +
			"Charged to memcg user.slice\n", `outstanding addr=0x10000 size=4096 count=1 pid=12 tid=13 comm="a), ts 5 ns) b" time=1.5s`},
		{"no place", "Page allocated via order 0, mask 0x0(), pid 1, ts 165564237 ns, free_ts 0 ns\n" + stack,
			"outstanding size=4096 count=1 pid=1 time=165.564237ms"},
		{"sorted, old", "3 times:\nPage allocated via order 1, mask 0x1(A)\nPFN 5 type Movable\n" + stack, "outstanding size=24576 count=3"},
		{"sorted", "3 times, 6 pages:\nPage allocated via order 1, mask 0x1(A), pid 1, ts  ns\n" + stack, "outstanding size=24576 count=3 pid=1"},
		{"culled", "3 times, 12 pages, PID 1, TGID 1, task_comm_name: a, allocated by SLAB :\n" + stack, "outstanding size=49152 count=3"},
		{"show_stacks, 6.8", stack + "stack_count: 5\n", "outstanding size=20480 count=5"},
		{"show_stacks", stack + "nr_base_pages: 5\n", "outstanding size=20480 count=5"},
	} {
		for _, log := range []string{c.log, c.log + "\n", strings.ReplaceAll(c.log, "\n", "\r\n") + "\r\n"} {
			events, src, err := readText(t, "auto", log)
			if err != nil || len(events) != 1 {
				t.Errorf("%s: %d events, %v", c.name, len(events), err)
				continue
			}
			got := strings.Replace(describe(src, events[0]), " seq=0 line=0 block=0", "", 1)
			got = strings.Replace(strings.Replace(got, ` loss="not judged" scan=0 stack=0`, "", 1), "\n", "; ", 1)
			if want := c.want + "; \t0x0 f\n\t0x0 g in mod\n"; got != want {
				t.Errorf("%s: got\n%swant\n%s", c.name, got, want)
			}
			if r := src.Report(); r.Format != "page-owner" || len(r.Messages) > 0 {
				t.Errorf("%s: %+v", c.name, r)
			}
		}
	}
}

// A copy ends where the first page comes again, or at a time.
func TestPageOwnerSeries(t *testing.T) {
	page := func(pfn, ts int) string {
		return fmt.Sprintf("Page allocated via order 0, mask 0x1(A), pid 1, tgid 1 (a), ts %d ns\nPFN 0x%x type Movable\n f+0x1/0x2\n\n", ts, pfn)
	}
	const stacks = " f+0x1/0x2\nnr_base_pages: 5\n\n g+0x1/0x2\nnr_base_pages: 1\n\n"
	for _, c := range []struct{ name, log, want string }{
		{"no times", page(1, 10) + page(2, 20) + page(1, 10) + page(3, 30) + page(1, 10), "0@10ns 0@20ns 1@10ns 1@30ns 2@10ns"},
		{"a page is used again", page(1, 10) + page(1, 20), "0@10ns 0@20ns"},
		{"times", "5\n" + page(1, 10) + page(2, 20) + "6\n" + page(3, 10) + page(2, 20) + "7\n", "0@10ns 0@20ns 1@10ns 1@20ns"},
		{"stacks", "5.5\n" + stacks + "7.5\n" + stacks, "0@0s 0@0s 1@2s 1@2s"},
	} {
		events, src, err := readText(t, "auto", c.log)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range events {
			got = append(got, fmt.Sprintf("%d@%v", e.Scan, e.Time))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: got  %s\nwant %s", c.name, s, c.want)
		}
		if series := strings.Contains(c.want, "1@"); series != (src.Report().Class == ingest.Snapshots) {
			t.Errorf("%s: class %s", c.name, src.Report().Class)
		}
	}
}

// The table of bad lines: exactly these errors, and the records around them count.
func TestPageOwnerBadLines(t *testing.T) {
	const good = "Page allocated via order 0, mask 0x1(A)\nPFN 1 type Movable\n f+0x1/0x2\n\n"
	for _, c := range []struct{ log, want string }{
		{"Page allocated via order x, mask 0x1(A)\n g+0x1/0x2\n\n", `log:5: page not understood: "x, mask 0x1(A)"`},
		{"Page allocated via order 17, mask 0x1(A)\n g+0x1/0x2\n\n", `log:5: page not understood: "17, mask 0x1(A)"`},
		{"Page allocated via order 0, mask 0x1(A), pid x\n g+0x1/0x2\n\n", `log:5: page not understood: "0, mask 0x1(A), pid x"`},
		{"Page allocated via order 0, mask 0x1(A), pid 99999999999999999999\n\n", `log:5: page not understood: "0, mask 0x1(A), pid 99999999999999999999"`},
		{"Page allocated via order 0, mask 0x1(A), pid 1, tgid 1 (\n\n", `log:5: page not understood: "0, mask 0x1(A), pid 1, tgid 1 ("`},
		{" g+0x1/0x2\n\n", "log:5: call stack without pages"},
		{"3 times:\n g+0x1/0x2\n\n", "log:5: 3 times an unknown number of pages"},
	} {
		events, src, err := readText(t, "page-owner", good+c.log+good)
		if err == nil || err.Error() != c.want {
			t.Errorf("error %v, want %s", err, c.want)
		}
		// The page that comes again begins a scan.
		if len(events) != 2 || src.Report().Errors != 1 {
			t.Errorf("%q: %d events, %d errors", c.log, len(events), src.Report().Errors)
		}
	}
	// Where a page is does not decide whether it is used.
	events, _, err := readText(t, "page-owner", strings.Replace(good, "PFN 1", "PFN x", 1))
	if err == nil || err.Error() != `log:2: page number not understood: "x type Movable"` || len(events) != 1 {
		t.Errorf("%d events, %v", len(events), err)
	}
	// Pages and orders that do not fit one another show in the log's own check.
	_, src, err := readText(t, "page-owner", "3 times, 7 pages:\nPage allocated via order 1, mask 0x1(A)\n f+0x1/0x2\n")
	if o := src.Report().Oracle; err != nil || o == nil || o.OK || o.Expected != "7" || o.Got != "6" {
		t.Errorf("%v, oracle %+v", err, o)
	}
}

// Records that people sent to mailing lists.
func TestPageOwnerSamples(t *testing.T) {
	src, err := ingest.Open(filepath.Join("..", "..", "shared", "samples", "page-owner", "lkml-excerpts.txt"), ingest.Options{})
	if os.IsNotExist(err) {
		t.Skipf("no sample logs: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	events, err := ingesttest.ReadAll(t, src)
	if r := src.Report(); err != nil || len(events) != 3 || r.Format != "page-owner" || r.Sites != 3 || r.Truncated || r.Recognised != r.Lines {
		t.Errorf("%v, %+v", err, r)
	}
}

func FuzzPageOwner(f *testing.F) {
	f.Add([]byte("5.5\n f+0x1/0x2\nnr_base_pages: 5\n\n g+0x1/0x2\nstack_count: 1\n\n"))
	f.Add([]byte("3 times, 6 pages, PID 1:\nPage allocated via order 1, mask 0x1(A), pid 1, tgid 2 (a), ts  ns\n [<ffffffff81164e9a>] f+0x15a/0xa30 [m]\n"))
	f.Add([]byte("Page allocated via order 0, mask 0x1(A), pid 13, tgid 12 (b), ts 1500000000 ns, free_ts 5 ns\nPFN 0x10 type Movable\n 0xffffffff81164e9a\n\n"))
	fuzzReader(f, "page-owner")
}

func BenchmarkPageOwner(b *testing.B) {
	benchmarkReader(b, "page-owner", "", func(i int) string {
		return fmt.Sprintf("Page allocated via order 0, mask 0x1(A), pid 1, tgid 1 (a), ts %d ns\nPFN 0x%x type Movable Block 1\n", 1000+i, i) +
			" prep_new_page+0xac/0xe0\n get_page_from_freelist+0x1327/0x14d0\n __alloc_pages+0x191/0x340\n shmem_alloc_page+0x3f/0x90\n\n"
	}, "")
}
