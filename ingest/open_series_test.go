package ingest_test

import (
	"errors"
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

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join("testdata", pattern))
	all = slices.DeleteFunc(all, func(f string) bool { return strings.HasSuffix(f, ".golden") })
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: no files, %v", pattern, err)
	}
	return all
}

func openSeries(t *testing.T, names ...string) ([]ingest.Event, ingest.Source) {
	t.Helper()
	src, err := ingest.OpenSeries(names, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	events, err := ingesttest.ReadAll(t, src)
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Close(); err != nil {
		t.Fatal(err)
	}
	return events, src
}

// growing lists for each scan the blocks of the stack that has most of them in the
// last.
func growing(events []ingest.Event) (counts []int64) {
	var most ingest.Event
	last := events[len(events)-1].Scan
	for _, e := range events {
		if e.Scan == last && e.Count > most.Count {
			most = e
		}
	}
	counts = make([]int64, last+1)
	for _, e := range events {
		if e.Stack == most.Stack {
			counts[e.Scan] += e.Count
		}
	}
	return counts
}

// Profiles of one run in any order are its snapshots in order, with one table of
// stacks: the site that leaks has one number in all of them.
func TestOpenSeries(t *testing.T) {
	for _, c := range []struct {
		pattern, format string
		grows           []int64
	}{
		{"jemalloc/grow.*.heap", "jemalloc", []int64{123, 251, 378, 500}},
		{"pprof-text/grow.*.heap", "pprof-text", []int64{183, 366, 500}},
		{"pprof/heap.*.pb.gz", "pprof", []int64{390, 1040, 1495}},
	} {
		files := glob(t, c.pattern)
		want, _ := openSeries(t, files...)
		slices.Reverse(files)
		events, src := openSeries(t, files...)
		if !slices.Equal(events, want) {
			t.Errorf("%s: the order of the files matters", c.pattern)
		}
		if got := growing(events); !slices.Equal(got, c.grows) {
			t.Errorf("%s: the leak grows as %v, want %v", c.pattern, got, c.grows)
		}
		r := src.Report()
		if r.Class != ingest.Snapshots || r.Format != c.format || r.Errors > 0 || r.Truncated || r.Records != int64(len(events)) {
			t.Errorf("%s: %+v", c.pattern, r)
		}
		if timed := c.format == "pprof"; timed != (r.Clock == ingest.Stamps) || timed != (events[len(events)-1].Time > 0) || events[0].Time != 0 {
			t.Errorf("%s: clock %s, times from %v to %v", c.pattern, r.Clock, events[0].Time, events[len(events)-1].Time)
		}
		if d := events[len(events)-1].Time; d > time.Minute {
			t.Errorf("%s: the last snapshot is of %v", c.pattern, d)
		}
	}
}

// A file alone is a series of one, and gives the same events.
func TestOpenSeriesOfOne(t *testing.T) {
	for _, file := range []string{"massif/times.out", "nmt/series.txt", "pprof/heap.001.pb.gz", "tracemalloc/difference.txt"} {
		file = filepath.Join("testdata", file)
		src, err := ingest.Open(file, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := ingesttest.ReadAll(t, src)
		if err != nil {
			t.Fatal(err)
		}
		src.Close()
		got, series := openSeries(t, file)
		if !slices.Equal(got, want) || series.Report().Name != file || series.Report().Outstanding != src.Report().Outstanding {
			t.Errorf("%s: %d events, %+v", file, len(got), series.Report())
		}
	}
}

// Files that hold several snapshots each go on counting.
func TestOpenSeriesOfSeries(t *testing.T) {
	once, _ := openSeries(t, "testdata/massif/grow.out")
	twice, src := openSeries(t, "testdata/massif/grow.out", "testdata/massif/grow.out")
	scans := once[len(once)-1].Scan + 1
	if len(twice) != 2*len(once) || twice[len(once)].Scan-scans != once[0].Scan || twice[len(twice)-1].Scan != 2*scans-1 {
		t.Errorf("%d and %d events; the second half begins with scan %d, ends with %d", len(once), len(twice), twice[len(once)].Scan, twice[len(twice)-1].Scan)
	}
	if r := src.Report(); r.Sites != 4 || r.Oracle == nil || !r.Oracle.OK {
		t.Errorf("%+v", r)
	}
}

// A call stack of addresses is the same in another run, where the program and its
// libraries lie elsewhere.
func TestModulesUnderASLR(t *testing.T) {
	events, src := openSeries(t, append(glob(t, "jemalloc/sampled.*.heap"), glob(t, "jemalloc/grow.*.f.heap")...)...)
	byScan := map[int32][]ingest.StackID{}
	for _, e := range events {
		byScan[e.Scan] = append(byScan[e.Scan], e.Stack)
	}
	for _, id := range byScan[1] {
		if !slices.Contains(byScan[0], id) {
			t.Errorf("only in one run:\n%s", ingest.AppendStackText(nil, src.Stacks(), id))
		}
	}
	if len(byScan[0]) != 4 || len(byScan[1]) != 3 {
		t.Errorf("%v", byScan)
	}
}

func TestOpenSeriesRefuses(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "grow.0009.heap")
	for _, c := range []struct {
		names []string
		want  string
		first bool // before any event
	}{
		{nil, "a series of snapshots needs a file", true},
		{[]string{"testdata/memcheck/kinds.log", "testdata/memcheck/fork.log"},
			"testdata/memcheck/fork.log (memcheck) is a log by itself and no part of a series", true},
		{[]string{"testdata/massif/grow.out", "testdata/pprof-text/go.txt"},
			"testdata/pprof-text/go.txt: is of format pprof-text, but the series began with massif: score them apart", false},
		{[]string{"testdata/pprof-text/go.txt", gone}, "no such file or directory", gone < "testdata"},
	} {
		src, err := ingest.OpenSeries(c.names, ingest.Options{})
		if c.first {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: error\n\t%v\nwant\n\t%s", c.names, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		events, err := ingesttest.ReadAll(t, src)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(events) == 0 {
			t.Errorf("%v: %d events, error\n\t%v\nwant\n\t%s", c.names, len(events), err, c.want)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Damage in one file is told with its name, and the rest of the series is read.
func TestOpenSeriesWithDamage(t *testing.T) {
	dir := t.TempDir()
	var names []string
	for i, f := range glob(t, "pprof-text/grow.*.heap") {
		log := readTestdata(t, strings.TrimPrefix(f, "testdata/"))
		if i == 1 {
			log = strings.Replace(log, "@ 0x", "@ zero", 2)
		}
		names = append(names, filepath.Join(dir, filepath.Base(f)))
		if err := os.WriteFile(names[i], []byte(log), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	src, err := ingest.OpenSeries(names, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	events, err := ingesttest.ReadAll(t, src)
	var bad *ingest.SyntaxError
	if !errors.As(err, &bad) || bad.File != names[1] || events[len(events)-1].Scan != 2 {
		t.Errorf("%v, %d events", err, len(events))
	}
	if r := src.Report(); r.Errors == 0 || r.Oracle == nil || r.Oracle.OK || !strings.Contains(strings.Join(r.Messages, "\n"), names[1]+":") {
		t.Errorf("%+v", r)
	}
}

// Where the last file shows nothing, nothing is live; where an earlier one does, all
// of it was born since.
func TestOpenSeriesWithEmpty(t *testing.T) {
	const empty = "heap profile:      0:        0 [     1:        8] @ heapprofile\n" +
		"     0:        0 [     1:        8] @ 0x1010\n\nMAPPED_LIBRARIES:\n"
	full := readTestdata(t, "pprof-text/grow.0001.heap")
	for _, c := range []struct {
		logs      []string
		lastEmpty bool
		live      int64
		scans     []int32
	}{
		{[]string{full, empty}, true, 0, []int32{0, 0, 0, 0}},
		{[]string{empty, full}, false, 368, []int32{1, 1, 1, 1}},
		{[]string{empty, empty}, false, 0, nil},
	} {
		var names []string
		dir := t.TempDir()
		for i, log := range c.logs {
			names = append(names, filepath.Join(dir, fmt.Sprintf("%d.heap", i)))
			if err := os.WriteFile(names[i], []byte(log), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		events, src := openSeries(t, names...)
		var scans []int32
		for _, e := range events {
			scans = append(scans, e.Scan)
		}
		if r := src.Report(); r.LastEmpty != c.lastEmpty || r.Outstanding.Blocks != c.live || !slices.Equal(scans, c.scans) {
			t.Errorf("last scan empty: %v, %d blocks live, scans %v; want %v, %d, %v", r.LastEmpty, r.Outstanding.Blocks, scans, c.lastEmpty, c.live, c.scans)
		}
	}
}

func TestSeriesKey(t *testing.T) {
	for name, want := range map[string]string{
		"/srv/prog.0001.heap":         "/srv/prog.#.heap",
		"prog.0012.heap":              "prog.#.heap",
		"a1/jeprof.77.0.i0.heap":      "a1/jeprof.77",
		"jeprof.77.12.i9.heap":        "jeprof.77",
		"jeprof.77.13.m0.heap":        "jeprof.77",
		"jeprof.out.78.13.f.heap":     "jeprof.out.78",
		"heap.007.pb.gz":              "heap.#.pb.gz",
		"nmt-1.txt":                   "nmt-#.txt",
		"massif.out.4711":             "massif.out.#",
		"leak.txt":                    "leak.txt",
		"d2/leak.txt":                 "d2/leak.txt",
		"":                            "",
		"12":                          "#",
		"svc-2026-11-21T10.heap2.out": "svc-2026-11-21T10.heap#.out",
	} {
		if got := ingest.SeriesKey(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestGroupSeries(t *testing.T) {
	got := ingest.GroupSeries([]string{"b.10.heap", "a/jeprof.7.1.f.heap", "leak.log", "b.2.heap", "a/jeprof.8.0.f.heap", "a/jeprof.7.0.i0.heap"})
	want := [][]string{{"b.2.heap", "b.10.heap"}, {"a/jeprof.7.0.i0.heap", "a/jeprof.7.1.f.heap"}, {"leak.log"}, {"a/jeprof.8.0.f.heap"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%q, want %q", got, want)
	}
	src, err := ingest.OpenSeries([]string{"testdata/memcheck/kinds.log"}, ingest.Options{})
	if !errors.Is(err, ingest.ErrNoSeries) {
		t.Errorf("%v, %v", src, err)
	}
}

func TestCompareNames(t *testing.T) {
	sorted := []string{"", "a", "a1", "a01", "a2", "a2b", "a10", "a010b", "a10c", "b", "heap.2.i2", "heap.2.i10", "heap.10.i1"}
	for i, a := range sorted {
		for j, b := range sorted {
			got := ingest.CompareNames(a, b)
			equal := a == b || a == "a1" && b == "a01" || a == "a01" && b == "a1"
			if equal != (got == 0) || !equal && (got < 0) != (i < j) {
				t.Errorf("%q and %q: %d", a, b, got)
			}
		}
	}
}
