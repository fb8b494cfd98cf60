package ingest

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"
)

// The output of Valgrind's massif, also with --pages-as-heap=yes, and what
// --xtree-memory=full writes into a *.ms file: a list of snapshots, of which one in
// ten or so has the heap as a tree of call stacks. Grammar: massif/ms_main.c and
// coregrind/m_xtree.c.
//
// A scan is a snapshot with a tree, or one of an empty heap behind it. The others tell
// the heap's size alone, which says of no site that it is gone; they are scans only
// where no snapshot has a tree.
// The six "snapshots" of a *.ms file are six measures of one moment, of which the
// bytes and the blocks that are live make one scan.

func sniffMassif(head []byte) string {
	want := [...]string{"desc:", "cmd:", "time_unit:"}
	n := 0
	headLines(head, func(line []byte) bool {
		if !bytes.HasPrefix(line, []byte(want[n])) {
			return true
		}
		n++
		return n == len(want)
	})
	if n < len(want) {
		return `the first lines are not "desc:", "cmd:" and "time_unit:"`
	}
	return ""
}

// maxTotals bounds the snapshots that wait for the first tree; massif itself keeps
// at most 1000.
const maxTotals = 1 << 16

// massif is the reader.
type massif struct {
	d      *decoder
	unit   time.Duration    // of times; 0 where they count instructions or bytes
	scan   int32            // of the next snapshot with a tree
	frames map[string]Frame // by their text
	heap   snapshot

	// The snapshot being read.
	now    int64 // its number
	at     Event // line and time
	bytes  int64 // mem_heap_B
	inTree bool
	path   []massifNode // from the root to the node read last
	stack  []Frame      // scratch
	ids    []FrameID    // scratch

	measure  measure
	totals   []Event // snapshots before the first tree
	trees    int     // snapshots with a tree
	plain    int64   // snapshots without one since the last that has one
	last     int64   // snapshot that has the last tree
	want     int64   // sum of mem_heap_B of the snapshots with a tree
	got      int64   // sum of their leaves
	complete bool    // the snapshot being read has its last line
}

// measure is what the figures of a tree count.
type measure uint8

const (
	heapBytes  measure = iota // of massif itself
	liveBytes                 // the first of a *.ms file
	liveBlocks                // the second
	otherMeasure
)

func measureOf(root []byte) measure {
	switch name, _, _ := bytes.Cut(root, []byte(" ")); string(name) {
	case "curB":
		return liveBytes
	case "curBk":
		return liveBlocks
	case "totB", "totBk", "totFdB", "totFdBk":
		return otherMeasure
	}
	return heapBytes
}

// massifNode is a node of the tree whose children are being read.
type massifNode struct {
	frame    Frame // zero: not known
	children int64
}

func readMassif(d *decoder) error {
	d.report.Tool = "massif"
	r := &massif{d: d, frames: map[string]Frame{}, complete: true}
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		if d.lines.partial && !r.complete && !bytes.Equal(line, []byte("heap_tree=empty")) {
			break
		}
		if !r.line(line) {
			return nil
		}
	}
	r.finish()
	return nil
}

// line takes one line; it returns false when nobody listens any more.
func (r *massif) line(line []byte) bool {
	d := r.d
	if len(line) == 0 {
		return true
	}
	d.report.Recognised++
	if r.inTree {
		depth := len(line) - len(bytes.TrimLeft(line, " "))
		if depth == len(r.path) && len(line) > depth && line[depth] == 'n' {
			return r.node(line[depth:])
		}
		if !r.damaged("tree line not understood: %q", clip(line)) {
			return false
		}
		if line[0] == ' ' || line[0] == 'n' {
			return true
		}
	}
	key, value, _ := bytes.Cut(line, []byte("="))
	if i := bytes.IndexByte(key, ':'); i >= 0 {
		key, value = line[:i], line[i+1:]
	}
	switch string(key) {
	case "desc":
		if bytes.HasPrefix(bytes.TrimSpace(value), []byte("xtree.")) {
			d.report.Tool = "valgrind --xtree-memory"
		}
		return true
	case "cmd":
		d.report.Command = string(bytes.TrimSpace(value))
		return true
	case "time_unit":
		if string(bytes.TrimSpace(value)) == "ms" {
			r.unit, d.report.Clock = time.Millisecond, Stamps
		}
		return true
	case "heap_tree":
		return r.tree(value)
	case "snapshot", "time", "mem_heap_B", "mem_heap_extra_B", "mem_stacks_B":
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || n < 0 {
			return d.bad(d.lines.n, "number not understood: %q", clip(line))
		}
		return r.number(string(key), n)
	}
	if line[0] == '#' {
		return true
	}
	d.report.Recognised--
	// Behind a damaged tree its other lines are passed over.
	return line[0] == ' ' || line[0] == 'n' || d.bad(d.lines.n, "not a line of a massif file: %q", clip(line))
}

// number takes one of the figures at the head of a snapshot.
func (r *massif) number(key string, n int64) bool {
	switch key {
	case "snapshot":
		r.now, r.bytes, r.complete = n, 0, false
		r.at = Event{Line: r.d.lines.n, Count: 1}
	case "time":
		r.at.Time = time.Duration(min(n, int64(math.MaxInt64/time.Millisecond))) * r.unit
	case "mem_heap_B":
		r.bytes = min(n, maxBlock)
	}
	return true
}

// tree takes the line that says whether a tree follows.
func (r *massif) tree(kind []byte) bool {
	if r.complete {
		// Its head is missing.
		r.now, r.bytes, r.at = -1, 0, Event{Line: r.d.lines.n, Count: 1}
	}
	switch string(kind) {
	case "empty":
		r.complete = true
		switch {
		case r.scan > 0 && r.bytes == 0:
			// It takes no tree to say that nothing is left.
			r.measure = heapBytes
			return r.end()
		case r.scan > 0:
			r.plain++
		case len(r.totals) < maxTotals:
			r.at.Size = r.bytes
			r.totals = append(r.totals, r.at)
		}
		return true
	case "detailed", "peak":
		r.inTree, r.path = true, r.path[:0]
		return true
	}
	return r.d.bad(r.d.lines.n, "kind of snapshot not understood: %q", clip(kind))
}

// node takes "nCHILDREN: BYTES WHERE" without its indentation.
func (r *massif) node(text []byte) bool {
	s := scan{rest: text[1:]}
	children := s.number()
	s.lit(": ")
	size := s.number()
	s.lit(" ")
	if s.bad || size > maxBlock || children > 1<<32 || len(r.path) > maxDepth {
		return r.damaged("tree line not understood: %q", clip(text))
	}
	n := massifNode{children: children}
	if len(r.path) > 0 {
		var ok bool
		if n.frame, ok = r.frame(s.rest); !ok {
			return r.damaged("tree line not understood: %q", clip(text))
		}
		r.path[len(r.path)-1].children--
	} else {
		r.measure = measureOf(s.rest)
	}
	r.path = append(r.path, n)
	if children == 0 {
		r.leaf(size)
	}
	for len(r.path) > 0 && r.path[len(r.path)-1].children == 0 {
		r.path = r.path[:len(r.path)-1]
	}
	if len(r.path) == 0 {
		return r.end()
	}
	return true
}

// frame reads where a node's memory was allocated: the zero frame where the line
// sums up places that are too small to be listed, and where nothing is known.
func (r *massif) frame(where []byte) (f Frame, ok bool) {
	if bytes.HasPrefix(where, []byte("in ")) {
		return f, bytes.Contains(where, []byte(" below massif's threshold"))
	}
	if f, ok := r.frames[string(where)]; ok {
		return f, true
	}
	s := scan{rest: where}
	s.lit("0x")
	addr := s.hex()
	s.lit(": ")
	if s.bad {
		return f, false
	}
	f = parseWhere(string(s.rest))
	f.Address = addr
	if len(r.frames) >= maxCached {
		clear(r.frames)
	}
	r.frames[string(where)] = f
	return f, true
}

// leaf books what was allocated along the path. Massif counts bytes, no blocks.
func (r *massif) leaf(n int64) {
	if n == 0 || r.measure == otherMeasure {
		return // *.ms lists also what is freed by now
	}
	e := r.at
	switch r.measure {
	case heapBytes:
		e.Size, e.Count = n, 1
	case liveBytes:
		e.Size, e.Count = n, 0
	case liveBlocks:
		e.Size, e.Count = 0, n
	}
	r.got = min(r.got+e.Size, math.MaxInt64/2)
	r.stack = r.stack[:0]
	for _, n := range r.path[1:] {
		if n.frame != (Frame{}) {
			r.stack = append(r.stack, n.frame)
		}
	}
	markInlined(r.stack)
	r.ids = r.ids[:0]
	for _, f := range r.stack {
		r.ids = append(r.ids, r.d.stacks.Frame(f))
	}
	e.Stack = r.d.stacks.Stack(r.ids)
	r.heap.add(e)
}

// end is behind the last line of a tree.
func (r *massif) end() bool {
	if r.inTree && r.measure <= liveBytes {
		r.trees++
	}
	r.inTree, r.complete, r.plain, r.last = false, true, 0, r.now
	switch r.measure {
	case liveBytes: // The blocks are still to come.
		r.want = min(r.want+r.bytes, math.MaxInt64/2)
		r.scan++
	case liveBlocks:
		return r.flush()
	case heapBytes:
		r.want = min(r.want+r.bytes, math.MaxInt64/2)
		r.scan++
		return r.heap.emit(r.d, r.scan-1)
	}
	return !r.d.done
}

// flush emits the scan of a *.ms file.
func (r *massif) flush() bool {
	if len(r.heap.entries) == 0 {
		return !r.d.done
	}
	r.scan = max(r.scan, 1) // Their bytes may be missing.
	return r.heap.emit(r.d, r.scan-1)
}

// damaged gives up the rest of a tree; what was read of it is used.
func (r *massif) damaged(format string, args ...any) bool {
	return r.d.bad(r.d.lines.n, format, args...) && r.end()
}

// finish completes the report.
func (r *massif) finish() {
	d := r.d
	cut := !r.complete
	if r.inTree && !r.end() {
		return
	}
	if !r.flush() { // bytes whose blocks did not come
		return
	}
	if cut {
		d.truncated("snapshot %d is incomplete", r.now)
	}
	switch {
	case r.scan == 0:
		for i, e := range r.totals {
			e.Scan = int32(i)
			if e.Size > 0 && !d.outstanding(&e) {
				return
			}
		}
		if len(r.totals) > 0 {
			d.report.Warn("%s: no snapshot has call stacks, only the size of the heap: run massif with --detailed-freq=1", d.report.Name)
		}
	case r.plain > 0:
		d.report.Warn("%s: the last %d snapshots have no call stacks: what is outstanding is that of snapshot %d; --detailed-freq=1 gives them to all",
			d.report.Name, r.plain, r.last)
	}
	if r.trees > 0 {
		d.oracle(fmt.Sprintf("mem_heap_B of %d heap trees", r.trees), commas(r.want)+" bytes", commas(r.got)+" bytes")
	}
}
