package datasets

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// markedLog is a small raw log with the markers of two drops in it. Nodes 3 and
// 4 are those of the markers' stacks, node 5 comes after them.
var markedLog = strings.Join([]string{
	"v 10400 3", "x 6 /bin/p", "X p in.txt", "I 1000 10",
	"m 1 -", "m 1 x 1000 0 100 200 100", "m 14 /l/libheaptrack_p.so 8000 0 100", "m f /t/libforget.so 9000 0 1000", "m a /l/libc.so 7000 0 1000",
	"t 1010 0", "t 1020 1", "c 0",
	"+ 10 2 a000", "+ 20 2 b000", "- a000", "+ 30 1 c000",
	"t 1050 1", "t 9010 3", "+ MARK0 4 f0000", "- f0000", // c000 forgotten
	"c 5", "R 20", "t 1060 1", "+ 8 5 a000",
	"+ MARK1 4 f0000", "+ 9 2 d000", "- f0000", // b000 forgotten, another thread in between
	"- a000", "",
}, "\n")

func marked() (string, *control) {
	log := strings.ReplaceAll(markedLog, "MARK0", fmt.Sprintf("%x", markerBytes))
	log = strings.ReplaceAll(log, "MARK1", fmt.Sprintf("%x", markerBytes+1))
	c := &control{drops: []dropRecord{{Address: 0xc000, Usable: 0x38}, {Address: 0xb000, Usable: 0x28, Kind: 1}}}
	c.header[wMarker] = markerBytes
	return log, c
}

func TestStrip(t *testing.T) {
	log, c := marked()
	var out bytes.Buffer
	s, err := stripHeaptrack(strings.NewReader(log), &out, c, libraryName)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"v 10400 3", "x 6 /bin/p", "X p in.txt", "I 1000 10",
		"m 1 -", "m 1 x 1000 0 100 200 100", "m 14 /l/libheaptrack_p.so 8000 0 100", "m a /l/libc.so 7000 0 1000",
		"t 1010 0", "t 1020 1", "c 0",
		"+ 10 2 a000", "+ 20 2 b000", "- a000", "+ 30 1 c000",
		"c 5", "R 20", "t 1060 1", "+ 8 3 a000",
		"+ 9 2 d000", "- a000", "",
	}, "\n")
	if out.String() != want {
		t.Errorf("stripped log:\n%s\nwant\n%s", out.String(), want)
	}
	leaks := []Leak{{Event: 4, Address: 0xc000, Size: 0x30, Kind: Forgotten}, {Event: 5, Address: 0xb000, Size: 0x20, Kind: Lost}}
	if !reflect.DeepEqual(s.leaks, leaks) {
		t.Errorf("leaks %+v, want %+v", s.leaks, leaks)
	}
	if s.events != 7 || s.outstanding != 3 || s.markers != 2 || s.unplaced != 0 || s.tool != "heaptrack 1.4.0" || s.command != "p in.txt" {
		t.Errorf("got %+v", s)
	}
}

func TestStripTellsWhatCannotBeRight(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"leaked block freed", "c 5", "- c000", "block 0xc000 is freed although"},
		{"leaked block handed out", "c 5", "+ 8 1 c000", "block 0xc000 is handed out again"},
		{"library on a stack", "+ 9 2 d000", "+ 9 4 d000", "preload library is on the stack"},
		{"parent not there", "t 1020 1", "t 1020 7", "line 11: not a line"},
		{"trace not there", "+ 20 2 b000", "+ 20 9 b000", "line 14: not a line"},
		{"not a number", "- a000\n", "- axyz\n", "not a line of a raw heaptrack log"},
		{"interpreted log", "+ 20 2 b000", "+ 2", "line 14: not a line"},
		{"module without name", "m 1 -", "m", ""}, // too short to be one: passed on
		{"module name too long", "m 1 -", "m ffff -", "line 5: not a line"},
		{"line too long", "c 5", "# " + strings.Repeat("x", maxRawLine), "buffer full"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			log, c := marked()
			changed := strings.Replace(log, test.old, test.new, 1)
			if changed == log {
				t.Fatal("the test changes nothing")
			}
			_, err := stripHeaptrack(strings.NewReader(changed), new(bytes.Buffer), c, libraryName)
			if got := fmt.Sprint(err); (test.want == "") != (err == nil) || !strings.Contains(got, test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

// A marker that the tracer missed costs its own label and no other.
func TestStripSurvivesMissingMarkers(t *testing.T) {
	log, c := marked()
	log = strings.Replace(log, fmt.Sprintf("+ %x 4 f0000\n- f0000\n", markerBytes), "", 1)
	s, err := stripHeaptrack(strings.NewReader(log), new(bytes.Buffer), c, libraryName)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.leaks) != 1 || s.leaks[0].Address != 0xb000 || s.unplaced != 1 {
		t.Errorf("leaks %+v, %d without a place", s.leaks, s.unplaced)
	}
}

// What a program frees while it empties its container was in it, and the log ends
// before the program says that it begins to tidy up.
func TestStripTellsWhatWasInTheContainer(t *testing.T) {
	mark := func(n int) string { return fmt.Sprintf("+ %x 2 f0000\n- f0000\n", markerBytes+n) }
	begin := "v 10400 3\nt 1010 0\nt 1020 1\n"
	work := "+ 10 1 a000\n+ 20 1 b000\n+ 30 1 c000\n+ 40 1 d000\n- d000\n+ 50 1 d000\n"
	log := begin + work + mark(0) + "- a000\n+ 8 2 a000\nc 9\n" + mark(1) +
		"+ 8 1 e000\n- d000\n- a000\n- e000\n- b000\n" + mark(2) + "- c000\n"
	c := &control{drops: []dropRecord{{Path: phaseCut, Kind: kindPhase}, {Path: phaseEmpty, Kind: kindPhase}, {Path: phaseEmpty + 1, Kind: kindPhase}}}
	c.header[wMarker] = markerBytes
	var out bytes.Buffer
	s, err := stripHeaptrack(strings.NewReader(log), &out, c, libraryName)
	if err != nil {
		t.Fatal(err)
	}
	if want := begin + work; out.String() != want {
		t.Errorf("stripped log:\n%s\nwant\n%s", out.String(), want)
	}
	want := []Leak{{Event: 2, Address: 0xb000, Size: 0x20, Kind: Growth}, {Event: 6, Address: 0xd000, Size: 0x50, Kind: Growth}}
	if !reflect.DeepEqual(s.contents, want) {
		t.Errorf("contents %+v, want %+v", s.contents, want)
	}
	if !s.cut || s.events != 6 || s.outstanding != 4 || s.leaks != nil {
		t.Errorf("got %+v", s)
	}
}

// A process that is killed leaves half a line.
func TestStripLeavesOutHalfALine(t *testing.T) {
	log, c := marked()
	whole, half := new(bytes.Buffer), new(bytes.Buffer)
	if _, err := stripHeaptrack(strings.NewReader(log), whole, c, libraryName); err != nil {
		t.Fatal(err)
	}
	if _, err := stripHeaptrack(strings.NewReader(log+"+ 8 1"), half, c, libraryName); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(whole.Bytes(), half.Bytes()) {
		t.Error("half a line was passed on")
	}
}

func FuzzStrip(f *testing.F) {
	log, c := marked()
	f.Add(log)
	f.Add("m 1 x 0 0\nt 0 0\n+ 0 0 0\n- 0\n")
	f.Fuzz(func(t *testing.T, log string) {
		var out bytes.Buffer
		s, err := stripHeaptrack(strings.NewReader(log), &out, c, libraryName)
		if err != nil {
			return
		}
		labels := LogLabels{Log: "x", Program: "p", Class: Leaky, Events: s.events, Leaks: s.leaks}
		if err := labels.validateLeaks(); err != nil && !strings.Contains(err.Error(), "are not those of a block") {
			t.Errorf("labels that are not valid: %v", err)
		}
		again, err := stripHeaptrack(bytes.NewReader(out.Bytes()), new(bytes.Buffer), &control{header: c.header}, libraryName)
		if err != nil || again.events != s.events || again.outstanding != s.outstanding || again.markers != 0 {
			t.Errorf("stripping again: %+v, %v; first %+v", again, err, s)
		}
	})
}
