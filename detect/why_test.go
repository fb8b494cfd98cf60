package detect_test

import (
	"slices"
	"strings"
	"testing"

	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/ingest"
)

// Reasons are facts: each of them is checked against a log in which it holds.
func TestWhy(t *testing.T) {
	clean := func() *detecttest.Log {
		l := detecttest.NewLog("clean", "app")
		for range 100 {
			a, b := l.Alloc("leak<main", 10), l.Alloc("leak<main", 10)
			l.Free(a)
			l.Free(b)
		}
		return l
	}
	leaky := func() *detecttest.Log {
		l := detecttest.NewLog("leaky", "app")
		for i := range 100 {
			a := l.Alloc("leak<main", 10)
			if i < 40 {
				l.Free(a)
			}
		}
		return l
	}
	never := func() *detecttest.Log {
		l := detecttest.NewLog("never", "app")
		for range 1500 {
			l.Alloc("leak<main", 10)
		}
		return l
	}
	cache := func() *detecttest.Log {
		l := detecttest.NewLog("cache", "app")
		l.Alloc("leak<main", 10)
		for range 500 {
			l.Free(l.Alloc("other<main", 10))
		}
		return l
	}
	plateau := func() *detecttest.Log {
		l := detecttest.NewLog("plateau", "app")
		var queue []int64
		for range 50 {
			queue = append(queue, l.Alloc("leak<main", 10))
			if len(queue) > 5 {
				l.Free(queue[0])
				queue = queue[1:]
			}
		}
		return l
	}
	report := func() *detecttest.Log {
		l := detecttest.NewReport("memcheck", "app")
		l.Outstanding("leak<main", 3, 96, ingest.Definite)
		l.Outstanding("leak<main", 1, 8, ingest.Reachable)
		return l
	}
	scans := func() *detecttest.Log {
		l := detecttest.NewScans("kmemleak", "")
		for scan := range int32(2) {
			for addr := range uint64(3 - scan) {
				l.Suspect(scan, "leak<probe", addr+1)
			}
		}
		return l
	}
	for _, c := range []struct {
		name        string
		log         *detecttest.Log
		clean       []*detecttest.Log
		probability float64
		want        []string
	}{
		{"leak", leaky(), nil, 1, []string{
			"59 of the 60 blocks are older than any freed block of this site got: up to 60 events, but the 40 freed blocks lived at most 1",
			"none of the 60 blocks allocated since event 78 was freed",
			"allocated between 57.1 % and 99.3 % of the run, 1 to 60 events ago",
		}},
		{"against clean runs", leaky(), []*detecttest.Log{clean(), clean()}, 1, []string{
			"60 blocks are outstanding here; in 2 clean runs there were never more than 2",
			"58 of the 60 blocks are older than any block of this site ever was in 2 clean runs: up to 60 events, then at most 2",
		}},
		{"never freed", never(), nil, 1, []string{
			"none of the 1,500 blocks allocated here was freed",
			"the number of live blocks rose in every quarter of the run: 375, 750, 1,125, 1,500 (1000 per 1,000 events)",
		}},
		{"new site", never(), []*detecttest.Log{func() *detecttest.Log {
			l := detecttest.NewLog("clean", "app")
			l.Alloc("elsewhere<main", 1)
			return l
		}()}, 1, []string{"the site allocated nothing in 1 clean run"}},
		{"start-up", cache(), []*detecttest.Log{cache()}, 0, []string{
			"1 block is outstanding here; 1 clean run had up to 1 at once",
			"up to 1 block of this site stayed unfreed in 1 clean run",
			"all outstanding blocks are from the first 0.1 % of the run, and nothing was allocated here since",
			"it is a single block",
		}},
		{"plateau", plateau(), nil, 0, []string{
			"no outstanding block is older than freed ones of this site got: 10 events, freed ones up to 11",
			"the probability 0.000 is below the threshold 0.500",
		}},
		{"memcheck", report(), nil, 1, []string{
			"3 blocks (96 bytes) definitely lost: no pointer to the start or into it was found",
			"1 block (8 bytes) still reachable: a pointer to the start was found",
		}},
		{"kmemleak", scans(), nil, 1, []string{
			"2 blocks (16 bytes) unreferenced: kmemleak found no pointer there",
			"1 of the 3 objects suspected here vanished in a later scan, and was no leak",
			"seen in up to 2 scans in a row",
		}},
	} {
		d := &detect.Detector{Scorer: &detecttest.Scorer{Sites: map[string]float64{"leak": c.probability, "other": 0}}, Threshold: 0.5, All: true}
		all := run(t, d, c.log.Scene(t, c.clean...)).findings
		i := slices.IndexFunc(all, func(f *detect.Finding) bool { return f.Frames[0].Function == "leak" })
		f := all[i]
		if len(f.Why) > 4 {
			t.Errorf("%s: %d reasons", c.name, len(f.Why))
		}
		for _, want := range c.want {
			if !slices.ContainsFunc(f.Why, func(s string) bool { return strings.Contains(s, want) }) {
				t.Errorf("%s: no reason %q in\n\t%s", c.name, want, strings.Join(f.Why, "\n\t"))
			}
		}
	}
}
