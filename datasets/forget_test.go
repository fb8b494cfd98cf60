package datasets

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// rig runs programs under heaptrack with and without the preload library.
type rig struct {
	t                     *testing.T
	dir, exe, lib, tracer string
	raw, controlFile      string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	tracer, err := findHeaptrack()
	if err != nil {
		t.Skip(err)
	}
	for _, tool := range []string{"gcc", "g++"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir := t.TempDir()
	r := &rig{t: t, dir: dir, exe: filepath.Join(dir, "frees"), tracer: tracer, raw: filepath.Join(dir, "raw"), controlFile: filepath.Join(dir, "control")}
	if r.lib, err = BuildForget(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	if err := compile(context.Background(), "g++", "-O1", "-g", "-fno-builtin", "-o", r.exe, "testdata/frees.cc", "-lpthread"); err != nil {
		t.Fatal(err)
	}
	return r
}

// run traces the program and strips the trace. Without a control the library is
// not loaded at all.
func (r *rig) run(c *control, args ...string) (log []byte, s *stripped, after *control) {
	r.t.Helper()
	os.Remove(r.raw)
	p := &process{path: r.exe, args: args, dir: r.dir, env: append(environment(r.dir), "DUMP_HEAPTRACK_OUTPUT="+r.raw)}
	preload := r.tracer
	if c != nil {
		if err := c.write(r.controlFile); err != nil {
			r.t.Fatal(err)
		}
		preload = r.lib + ":" + preload
		p.env = append(p.env, controlVariable+"="+r.controlFile)
	}
	p.env = append(p.env, "LD_PRELOAD="+preload)
	if err := p.run(context.Background(), 20*time.Second); err != nil {
		r.t.Fatal(err)
	}
	after = newControl(modeCount, 0)
	if c != nil {
		var err error
		if after, err = readControl(r.controlFile); err != nil {
			r.t.Fatal(err)
		}
	}
	f, err := os.Open(r.raw)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	var out bytes.Buffer
	if s, err = stripHeaptrack(f, &out, after, libraryName); err != nil {
		r.t.Fatal(err)
	}
	return out.Bytes(), s, after
}

// stream renders the events of a log so that two runs can be compared: operation,
// size, stack as module+offset, and the block by the number of its allocation.
func stream(t *testing.T, log []byte) []string {
	t.Helper()
	var modules moduleMap
	type node struct{ ip, parent uint64 }
	nodes := []node{{}}
	block := map[uint64]int{}
	var events []string
	err := eachLine(bytes.NewReader(log), func(line []byte) error {
		if len(line) < 2 {
			return nil
		}
		switch line[0] {
		case 'm':
			return modules.add(line)
		case 't':
			ip, rest, _ := hexField(line[2:])
			parent, _, _ := hexField(rest)
			nodes = append(nodes, node{ip, parent})
		case '+':
			size, rest, _ := hexField(line[2:])
			trace, rest, _ := hexField(rest)
			address, _, _ := hexField(rest)
			block[address] = len(events)
			s := fmt.Sprintf("+ %d", size)
			for ; trace != 0; trace = nodes[trace].parent {
				s += " " + modules.where(nodes[trace].ip)
			}
			events = append(events, s)
		case '-':
			address, _, _ := hexField(line[2:])
			events = append(events, fmt.Sprintf("- %d", block[address]))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestRunWithoutDropsEqualsRunWithoutLibrary(t *testing.T) {
	r := newRig(t)
	bare, _, _ := r.run(nil, "300")
	with, _, after := r.run(newControl(modeCount, 1), "300")
	want, got := stream(t, bare), stream(t, with)
	if len(want) < 3000 {
		t.Fatalf("only %d events", len(want))
	}
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			t.Fatalf("event %d of %d differs:\nwithout library: %s\nwith library:    %s", i, len(want), want[i], got[i])
		}
	}
	if len(want) != len(got) {
		t.Fatalf("%d events without the library, %d with it", len(want), len(got))
	}
	if bytes.Contains(with, []byte("forget")) {
		t.Error("the stripped log names the library")
	}
	frees := 0
	for _, e := range want {
		if strings.HasPrefix(e, "- ") {
			frees++
		}
	}
	// A realloc of a block is a free to the tracer and none to the library; with
	// realloc(p, 0), which heaptrack 1.4 does not log, it is the other way round.
	// The child's 50 rounds must not be in the count.
	want300 := frees
	for i := range 300 {
		want300 -= i%8 + 1
		if i%5 == 0 {
			want300++
		}
	}
	// The library also sees frees from before heaptrack's start and after its end.
	if counted := int(after.header[wTotal]); counted < want300 || counted > want300+20 {
		t.Errorf("the library counted %d frees, want %d", counted, want300)
	}
}

// dropEverywhere makes a control that drops the share on every path of a counting run.
func dropEverywhere(counted *control, seed uint64, share float64) *control {
	c := newControl(modeDrop, seed)
	for _, p := range counted.used() {
		p.Share, p.From, p.Until, p.After = uint64(share*(1<<32)), 1, 0, 0
		p.Frees, p.Dropped = 0, 0
		c.insert(p)
	}
	return c
}

func TestEveryDropIsLabelled(t *testing.T) {
	r := newRig(t)
	for _, threads := range []string{"0", "4"} {
		t.Run(threads+" threads", func(t *testing.T) {
			_, clean, counted := r.run(newControl(modeCount, 1), "200", threads)
			for _, share := range []float64{1, 0.3} {
				log, s, after := r.run(dropEverywhere(counted, 7, share), "200", threads)
				drops := int(after.header[wDropped])
				if drops == 0 || len(s.leaks)+int(s.unplaced) < drops-20 || s.unplaced > 20 {
					t.Fatalf("share %v: %d drops, %d labelled, %d without a place", share, drops, len(s.leaks), s.unplaced)
				}
				// Blocks live at the end: those of a clean run and the leaked ones. Threads
				// bring or keep a few of their own, and what realloc(p, 0) gave back looks
				// live in a clean run too.
				if extra := s.outstanding - clean.outstanding - int64(len(s.leaks)); extra < -20 || extra > 20 {
					t.Errorf("share %v: %d outstanding, %d in a clean run, %d leaked", share, s.outstanding, clean.outstanding, len(s.leaks))
				}
				checkLabels(t, log, s)
				checkShares(t, after, share)
			}
		})
	}
}

// checkLabels replays the log: at its event, each leaked block is live, has the
// labelled size, and is neither freed nor handed out again until the end.
func checkLabels(t *testing.T, log []byte, s *stripped) {
	t.Helper()
	live, leaked, event, next := map[uint64]int64{}, map[uint64]bool{}, int64(0), 0
	err := eachLine(bytes.NewReader(log), func(line []byte) error {
		if len(line) < 2 || (line[0] != '+' && line[0] != '-') {
			return nil
		}
		for ; next < len(s.leaks) && s.leaks[next].Event == event; next++ {
			l := s.leaks[next]
			if size, ok := live[uint64(l.Address)]; !ok || size != l.Size {
				return fmt.Errorf("leak %+v: the block is not live, or of size %d", l, size)
			}
			leaked[uint64(l.Address)] = true
		}
		event++
		if line[0] == '+' {
			size, rest, _ := hexField(line[2:])
			_, rest, _ = hexField(rest)
			address, _, _ := hexField(rest)
			if size >= markerBytes {
				return fmt.Errorf("a marker is left: %s", line)
			}
			if leaked[address] {
				return fmt.Errorf("leaked block %#x is handed out again", address)
			}
			live[address] = int64(size)
			return nil
		}
		address, _, _ := hexField(line[2:])
		if leaked[address] {
			return fmt.Errorf("leaked block %#x is freed", address)
		}
		delete(live, address)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if event != s.events || next < len(s.leaks) && s.leaks[len(s.leaks)-1].Event != event {
		t.Errorf("%d events in the log, %d counted; %d of %d leaks met", event, s.events, next, len(s.leaks))
	}
}

// checkShares says whether hot paths lost about the share that was asked for.
func checkShares(t *testing.T, after *control, share float64) {
	t.Helper()
	for _, p := range after.used() {
		if p.Share == 0 || p.Frees < 150 {
			continue
		}
		if got := float64(p.Dropped) / float64(p.Frees); got < share-0.15 || got > share+0.15 {
			t.Errorf("path %#x: %d of %d frees dropped, share is %v", p.Hash, p.Dropped, p.Frees, share)
		}
	}
}

func TestDropsBeginAndEnd(t *testing.T) {
	r := newRig(t)
	_, _, counted := r.run(newControl(modeCount, 1), "200")
	hot := slices.MaxFunc(counted.used(), func(a, b freePath) int { return int(a.Frees) - int(b.Frees) })
	c := newControl(modeDrop, 1)
	hot.Share, hot.From, hot.Until, hot.Frees = 1<<32, 20, 49, 0
	c.insert(hot)
	_, s, _ := r.run(c, "200")
	if len(s.leaks) != 30 {
		t.Errorf("frees 20 to 49 were to be forgotten: %d blocks leaked", len(s.leaks))
	}
	hot.From, hot.Until, hot.After = 1, 0, counted.header[wTotal]/2
	c = newControl(modeDrop, 1)
	c.insert(hot)
	_, s, _ = r.run(c, "200")
	if len(s.leaks) == 0 || s.leaks[0].Event < s.events/4 {
		t.Errorf("leaks were to begin in the middle of the run: %d leaks, the first %+v of %d events", len(s.leaks), s.leaks[:min(1, len(s.leaks))], s.events)
	}
}

// TestEveryWayToFreeIsSeen makes sure that realloc(p, 0), operator delete and free are all
// among the paths: each has its own caller.
func TestEveryWayToFreeIsSeen(t *testing.T) {
	r := newRig(t)
	_, _, counted := r.run(newControl(modeCount, 1), "100")
	wants := map[uint64]string{100: "free, array, delete, delete[]", 20: "realloc(p, 0)"}
	for frees, what := range wants {
		if !slices.ContainsFunc(counted.used(), func(p freePath) bool { return p.Frees == frees }) {
			t.Errorf("no path with %d frees: %s was not seen", frees, what)
		}
	}
	n := 0
	for _, p := range counted.used() {
		if p.Frees == 100 {
			n++
		}
	}
	if n != 5 { // plain, grow, array, delete, delete[]
		t.Errorf("%d paths with 100 frees, want 5", n)
	}
}
