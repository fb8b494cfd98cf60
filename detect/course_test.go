package detect_test

import (
	"slices"
	"testing"

	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// The course of a run is that of its sites together, and ends with the sums.
func TestCourse(t *testing.T) {
	log := detecttest.NewLog("app.log", "app")
	for range 300 {
		log.Alloc("leak<main", 100)
		log.Free(log.Alloc("fine<main", 10))
	}
	log.Alloc("fine<main", 7)
	said := run(t, &detect.Detector{Scorer: scorer(), Threshold: 0.5, All: true}, log.Scene(t))
	sum, found := said.summary, said.findings
	if len(found) != 2 {
		t.Fatalf("%d findings", len(found))
	}
	all, leak, fine := sum.Course, found[0].Course(sum.Cut), found[1].Course(sum.Cut)
	last := len(all.Events) - 1
	if all.Events[last] != 901 || all.Seconds[last] != 0.9 || all.Live[last] != 30007 || all.Leaked[last] != 30000 || slices.Max(fine.Leaked) != 0 {
		t.Errorf("%+v\n%+v", all, fine)
	}
	for i := range all.Events {
		if all.Live[i] != leak.Live[i]+fine.Live[i] || all.Leaked[i] != leak.Leaked[i] {
			t.Errorf("after %d events: %d live bytes, %d and %d of the sites", all.Events[i], all.Live[i], leak.Live[i], fine.Live[i])
		}
	}
	if half := leak.Live[last/2]; half < 14500 || half > 15500 {
		t.Errorf("%d live bytes after half of the run", half)
	}
}

// A report has no course; that of a series is what the snapshots show.
func TestCourseOfSnapshots(t *testing.T) {
	f := &detect.Finding{Leak: true, Blocks: []int32{0}, Run: &tokenize.Run{Class: ingest.EndReport, Blocks: tokenize.BlocksOf(tokenize.Block{Site: 0})}}
	if c := f.Course(10); c != nil {
		t.Errorf("a report: %+v", c)
	}
	f.Run.Class = ingest.Snapshots
	f.Run.Snapshots = []tokenize.Snapshot{{Scan: 0, Bytes: 50}, {Scan: 1, Bytes: 60}, {Scan: 2, Bytes: 90}}
	f.Run.Series = [][]tokenize.Point{{{Scan: 1, Bytes: 20}, {Scan: 2, Bytes: 40}}}
	c := f.Course(10)
	if c == nil || c.Seconds != nil || !slices.Equal(c.Events, []int64{0, 1, 2}) || !slices.Equal(c.Live, []int64{0, 20, 40}) || !slices.Equal(c.Leaked, c.Live) {
		t.Errorf("%+v", c)
	}
}
