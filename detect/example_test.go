package detect_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"leakformer/detect"
	"leakformer/detect/report"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// hoarders is a scorer that suspects sites which keep most of what they allocate.
type hoarders struct{}

func (hoarders) Score(_ context.Context, views []*tokenize.View) (sites []float64, blocks [][]float64, err error) {
	for _, v := range views {
		sites = append(sites, float64(len(v.Live))/float64(len(v.Blocks)+1))
	}
	return sites, nil, nil
}

// From a log to findings.
func Example() {
	const log = `--7-- malloc(24) = 0x4A37040
--7-- malloc(24) = 0x4A37090
--7-- malloc(64) = 0x4A370E0
--7-- free(0x4A370E0)
--7-- malloc(24) = 0x4A37160
--7-- malloc(64) = 0x4A370E0
`
	ctx := context.Background()
	src, err := ingest.NewSource("app.trace", strings.NewReader(log), ingest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer src.Close()
	run, err := tokenize.Load(ctx, src)
	if err != nil {
		fmt.Println(err)
		return
	}
	d := detect.Detector{Scorer: hoarders{}, Threshold: 0.6, Model: "hoarders"}
	scene := &tokenize.Scene{Run: run, Cut: run.Events}
	if _, err := d.Detect(ctx, scene, report.NewText(os.Stdout)); err != nil {
		fmt.Println(err)
	}
	// Output:
	// rank      P  verdict                  leaked             outstanding  allocation site
	//    1  0.750  LEAK             3 blocks, 72 B          3 blocks, 72 B  malloc(24)
	//       - none of the 3 blocks allocated here was freed
	//       - allocated between 0.0 % and 66.7 % of the run, 2 to 6 events ago
	//       since event 0, line 1, up to line 5
	//       blocks 0x4a37040 0x4a37090 0x4a37160
	//
	// app.trace: leaks at 1 of 2 sites: 3 blocks, 72 B; outstanding 4 blocks, 136 B at 2 sites after 6 events (threshold 0.600: expected precision 0.750, false alarms 0.2; model hoarders, no clean run known)
}
