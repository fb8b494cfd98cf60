package detect_test

import (
	"math"
	"strings"
	"testing"

	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/tokenize"
)

// TestSeries: an event of a detecttest.Log takes a millisecond, so that the looks
// are a minute apart; in between the leak allocates 60 blocks of 10 bytes.
func TestSeries(t *testing.T) {
	l := detecttest.NewLog("app.log", "app")
	l.Alloc("cache", 500)
	for i := 1; i < 600_000; i++ {
		switch {
		case i%1000 == 999:
			l.Alloc("leak", 10)
		case i%2 == 0:
			l.Alloc("other", 1)
		default:
			l.Free(0)
		}
	}
	events := l.Scene(t)
	looks := tokenize.Looks{}
	for k := range uint32(10) {
		looks.At = append(looks.At, (k+1)*60_000)
	}
	series, _ := events.AsSeries(looks)
	d := &detect.Detector{Scorer: &detecttest.Scorer{Sites: map[string]float64{"leak": 1}}, Threshold: 0.5, All: true}
	for _, f := range run(t, d, &tokenize.Scene{Run: series, Cut: series.Events}).findings {
		why := strings.Join(f.Why, "; ")
		switch f.Site {
		case "leak":
			if f.Rate == nil || math.Abs(f.Rate.BytesPerSnapshot-600) > 1 || math.Abs(f.Rate.BytesPerHour-36_000) > 400 || f.Rate.BytesPerMillionEvents != 0 {
				t.Errorf("rate %+v", f.Rate)
			}
			if want := "600 bytes in the first of 10 snapshots, 6,000 bytes in the last; it rose 9 and fell 0 times"; !strings.Contains(why, want) {
				t.Errorf("%q does not say %q", why, want)
			}
		case "cache":
			if want := "it rose 0 and fell 0 times"; !strings.Contains(why, want) || f.Rate != nil {
				t.Errorf("%q does not say %q, or there is a rate: %+v", why, want, f.Rate)
			}
		}
	}
}
