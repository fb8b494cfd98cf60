package datasets

import (
	"fmt"
	"strings"
	"testing"

	"leakformer/ingest"
)

// series is a log of kmemleak: for each scan the addresses that it suspects.
func series(scans ...[]int) string {
	var b strings.Builder
	for i, addresses := range scans {
		fmt.Fprintf(&b, "# kmemleak scan %d\n", i+1)
		for _, a := range addresses {
			fmt.Fprintf(&b, "unreferenced object 0x%x (size 64):\n  comm \"a\", pid 7, jiffies 4294940000 (age 9.000s)\n  backtrace:\n    [<0000000060012345>] f+0x1/0x2\n", a)
		}
	}
	return b.String()
}

// In a series of scans a leak stands at a record of its object, and the last scan
// still has the object.
func TestVerifyEventsOfASeries(t *testing.T) {
	log := series([]int{1, 2}, []int{1, 2, 3}, []int{1, 3})
	tests := []struct {
		name, want string
		events     int64
		leaks      []Leak
	}{
		{"right", "", 7, []Leak{{Event: 0, Address: 1, Size: 64, Kind: Lost}, {Event: 4, Address: 3, Size: 64, Kind: Lost}}},
		{"leaked later", "", 7, []Leak{{Event: 2, Address: 1, Size: 64, Kind: Lost}}},
		{"before its record", "no live block of 64 bytes at 0x3", 7, []Leak{{Event: 3, Address: 3, Size: 64, Kind: Lost}}},
		{"other size", "no live block of 32 bytes at 0x1", 7, []Leak{{Event: 0, Address: 1, Size: 32, Kind: Lost}}},
		{"gone", "leak 0: the block at 0x2 is in scan 1 for the last time, and 2 is the last one", 7, []Leak{{Event: 1, Address: 2, Size: 64, Kind: Lost}}},
		{"other log", "has 7 events, the labels are for one with 9", 9, nil},
	}
	for _, test := range tests {
		src, err := ingest.NewSource("series.txt", strings.NewReader(log), ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		l := &LogLabels{Log: "series.txt", Events: test.events, Leaks: test.leaks}
		err = l.VerifyEvents(src)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got error %v, want one with %q", test.name, err, test.want)
		}
	}
}
