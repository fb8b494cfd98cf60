package detect_test

import (
	"math"
	"testing"

	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/ingest"
)

// An event of a detecttest.Log takes a millisecond.
func TestRate(t *testing.T) {
	// leaks makes a log of so many events, at some of which a block of 10 bytes leaks.
	leaks := func(events int, at func(int) bool) *detecttest.Log {
		l := detecttest.NewLog("app.log", "app")
		for i := range events {
			if at(i) {
				l.Alloc("leak", 10)
			} else if i%2 == 0 {
				l.Alloc("other", 1)
			} else {
				l.Free(0)
			}
		}
		return l
	}
	every := func(n int) func(int) bool { return func(i int) bool { return i%n == n-1 } }
	for _, c := range []struct {
		name string
		log  *detecttest.Log
		want *detect.Rate
	}{
		{"three blocks", leaks(3100, every(1000)), &detect.Rate{BytesPerMillionEvents: 1e4}},
		{"steady", leaks(20_000, every(100)), &detect.Rate{BytesPerMillionEvents: 1e5}},
		{"for minutes", leaks(200_000, every(1000)), &detect.Rate{BytesPerMillionEvents: 1e4, BytesPerHour: 36_000}},
		{"after a burst", leaks(20_000, func(i int) bool { return i > 10 && i < 200 || i%100 == 99 }), &detect.Rate{BytesPerMillionEvents: 1e5}},
		{"two blocks", leaks(2100, every(1000)), nil},
		{"too short", leaks(900, every(100)), nil},
		{"over", leaks(20_000, func(i int) bool { return i < 9000 && i%100 == 99 }), nil},
		{"two bursts", leaks(20_000, func(i int) bool { return i > 10 && i < 200 || i > 19_800 }), nil},
	} {
		d := &detect.Detector{Scorer: &detecttest.Scorer{Sites: map[string]float64{"leak": 1}}, Threshold: 0.5}
		f := run(t, d, c.log.Scene(t)).findings[0]
		switch got := f.Rate; {
		case c.want == nil || got == nil:
			if got != c.want {
				t.Errorf("%s: rate %+v, want %+v", c.name, got, c.want)
			}
		case math.Abs(got.BytesPerMillionEvents/c.want.BytesPerMillionEvents-1) > 0.05 || math.Abs(got.BytesPerHour-c.want.BytesPerHour) > 0.05*c.want.BytesPerHour:
			t.Errorf("%s: rate %+v, want %+v", c.name, *got, *c.want)
		}
	}
	r := detecttest.NewReport("memcheck", "app")
	for range 5 {
		r.Outstanding("leak", 3, 96, ingest.Definite)
	}
	d := &detect.Detector{Scorer: &detecttest.Scorer{Sites: map[string]float64{"leak": 1}}, Threshold: 0.5}
	if f := run(t, d, r.Scene(t)).findings[0]; f.Rate != nil {
		t.Errorf("a report has the rate %+v", *f.Rate)
	}
}
