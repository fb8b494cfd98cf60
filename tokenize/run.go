// Package tokenize turns the events of a run into token sequences, one for each
// allocation site: what was allocated and freed there, how that compares with the
// site's own past and with clean runs, and the names on its call stack.
//
// A [Run] holds the blocks of a log. A [View] is one site of a run as it stood
// after a number of events. [Tokenize] writes a view as a [Sequence].
package tokenize

import (
	"context"
	"fmt"
	"math"
	"path"
	"sort"
	"strings"
	"time"

	"leakformer/ingest"
)

// Run is the blocks of one run in order of birth.
type Run struct {
	Name    string
	Program string
	Class   ingest.Class
	// Events is the number of events in the log.
	Events uint32
	Sites  []Site
	Blocks Blocks
	// BySite lists the indexes into Blocks of each site's blocks.
	BySite [][]int32
	// Snapshots are the looks of a series, and Series what they show of each site,
	// in order of time; nil in logs of another class. A snapshot in which a site
	// does not stand has no point of it. Of a long series some snapshots are left out.
	Snapshots []Snapshot
	Series    [][]Point
	// Scans is how many times the log of a leak checker lists what it suspects, not
	// counting scans without suspects; 0 in a log of events.
	Scans int
	// Report tells how the log was read.
	Report *ingest.Report

	clock []tick
	// end is the event from which on the run does little but free what is left.
	end   uint32
	byKey map[Key]uint32 // site by Exact
}

// tick says that from event seq on the log's clock stood at t.
type tick struct {
	seq uint32
	t   time.Duration
}

// Time is when event seq happened, since the log's start; 0 without a clock.
func (r *Run) Time(seq uint32) time.Duration {
	i := sort.Search(len(r.clock), func(i int) bool { return r.clock[i].seq > seq })
	if i == 0 {
		return 0
	}
	return r.clock[i-1].t
}

// HasClock reports whether the log has times.
func (r *Run) HasClock() bool { return len(r.clock) > 0 }

// minTick is the clock's resolution in a Run: finer stamps would need a tick an event.
const minTick = time.Millisecond

// Load reads all events of a source into one run, whatever processes they are of (see
// [LoadEach]). Damaged records are counted in the run's report; any other error is
// returned.
func Load(ctx context.Context, src ingest.Source) (*Run, error) {
	l := Loader{src: src, procs: map[int32]*process{}}
	if err := l.Read(ctx); err != nil {
		return nil, err
	}
	return l.Runs()[0], nil
}

func newLoader(src ingest.Source) loader {
	return loader{run: &Run{}, stacks: src.Stacks(), sites: map[siteKey]uint32{}, byKey: map[Key]uint32{}, scans: map[object]scanned{},
		snapshots: src.Report().Class == ingest.Snapshots}
}

// siteKey is what decides a block's site: its stack, and its size where the stack
// knows no caller.
type siteKey struct {
	stack ingest.StackID
	size  int64
}

// object is a kernel object that may appear in several scans.
type object struct {
	addr uint64
	born time.Duration
	size int64
}

type scanned struct {
	block int32
	scan  int32
	n     uint8
}

type loader struct {
	run    *Run
	stacks *ingest.Stacks
	sites  map[siteKey]uint32
	byKey  map[Key]uint32
	bare   []bool  // by stack: has no frame but the allocator's
	known  []int32 // by stack: the site, -1 where it is new or depends on the size
	// index tells where a block is by its number; nil while each is at its own.
	index []int32
	scans map[object]scanned
	// scanned lists the scans that have entries, in order.
	scanned []scanStart
	// snapshots says that the log is a series of them.
	snapshots bool
	series    series
}

// scanStart is the event at which a scan began.
type scanStart struct {
	scan int32
	seq  uint32
}

func (l *loader) add(e ingest.Event) error {
	r := l.run
	if e.Seq >= Alive-1 {
		return fmt.Errorf("event %d (line %d): more events than can be numbered; score the log in parts", e.Seq, e.Line)
	}
	seq := uint32(e.Seq)
	r.Events = max(r.Events, seq+1)
	if e.Time > 0 && (len(r.clock) == 0 || e.Time >= r.clock[len(r.clock)-1].t+minTick) {
		r.clock = append(r.clock, tick{seq, e.Time})
	}
	switch e.Op {
	case ingest.Alloc:
		l.place(e.Block, l.append(e, seq))
	case ingest.Free:
		if at := l.find(e.Block); at >= 0 {
			l.run.Blocks.Die(at, seq)
		}
	case ingest.Outstanding:
		l.outstanding(e, seq)
	}
	return nil
}

// place remembers where the block with this number is.
func (l *loader) place(block int64, at int32) {
	if l.index == nil {
		if block == int64(at) {
			return
		}
		for own := range min(int64(at), block) {
			l.index = append(l.index, int32(own))
		}
	}
	for int64(len(l.index)) < block {
		l.index = append(l.index, at)
	}
	l.index = append(l.index, at)
}

// find says where the block with this number is, or -1.
func (l *loader) find(block int64) int32 {
	switch {
	case block < 0:
	case l.index == nil && block < int64(l.run.Blocks.Len()):
		return int32(block)
	case block < int64(len(l.index)):
		return l.index[block]
	}
	return -1
}

func (l *loader) append(e ingest.Event, seq uint32) int32 {
	return l.run.Blocks.Add(Block{
		Size: e.Size, Born: seq, Died: Alive,
		Site: l.site(e), Count: uint32(min(max(e.Count, 1), math.MaxUint32)), Loss: e.Loss, Scans: 1,
	}, e.Addr, uint32(min(e.Line, math.MaxUint32)))
}

// amounts reports whether an entry of a series is how much a site had, and no object
// that stays the same from scan to scan, as kmemleak's are.
func (l *loader) amounts(e ingest.Event) bool { return l.snapshots && e.Addr == 0 }

// outstanding books an entry of a report. Of a series the last scan counts; an
// object of an earlier scan that is no longer there has died.
func (l *loader) outstanding(e ingest.Event, seq uint32) {
	if n := len(l.scanned); n == 0 || e.Scan > l.scanned[n-1].scan {
		l.scanned = append(l.scanned, scanStart{e.Scan, seq})
	}
	o := object{addr: e.Addr, born: e.Time, size: e.Size}
	if e.Addr == 0 {
		o.addr, o.born = uint64(e.Stack), -1
	}
	if l.amounts(e) {
		o.size = -1 // it changes from look to look
		l.series.add(l.site(e), e.Scan, e.Time, e.Count, e.Size)
	}
	was, ok := l.scans[o]
	switch {
	case ok && was.scan < e.Scan:
		b := l.run.Blocks.At(was.block)
		l.alias(e.Stack, b.Site)
		if was.scan == e.Scan-1 && was.n < math.MaxUint8 {
			was.n++
		}
		b.Scans, b.Size, b.Count, b.Died = was.n, e.Size, uint32(e.Count), Alive
		l.run.Blocks.Set(was.block, b)
		l.scans[o] = scanned{was.block, e.Scan, was.n}
	case ok && l.amounts(e) && was.scan == e.Scan:
		// A stack that a snapshot lists twice, by size or by thread.
		b := l.run.Blocks.At(was.block)
		b.Size += e.Size
		b.Count = uint32(min(int64(b.Count)+e.Count, math.MaxUint32))
		l.run.Blocks.Set(was.block, b)
	default:
		l.scans[o] = scanned{l.append(e, seq), e.Scan, 1}
	}
}

func (l *loader) site(e ingest.Event) uint32 {
	l.meet(e.Stack)
	if at := l.known[e.Stack]; at >= 0 {
		return uint32(at)
	}
	at := l.newSite(e)
	if !l.bare[e.Stack] {
		l.known[e.Stack] = int32(at)
	}
	return at
}

// meet makes room for what is known of a stack.
func (l *loader) meet(stack ingest.StackID) {
	for int(stack) >= len(l.bare) {
		l.bare = append(l.bare, isBare(l.stacks.Frames(ingest.StackID(len(l.bare)))))
		l.known = append(l.known, -1)
	}
}

// alias notes that a stack is that of a site, if it is new: an object that was listed
// before tells so where the names on its stack have gone with their kernel module.
func (l *loader) alias(stack ingest.StackID, site uint32) {
	l.meet(stack)
	if l.known[stack] < 0 && !l.bare[stack] {
		l.known[stack] = int32(site)
	}
}

// newSite finds the site of a stack that is new, or of a size.
func (l *loader) newSite(e ingest.Event) uint32 {
	k := siteKey{stack: e.Stack}
	switch {
	case l.bare[e.Stack] && l.amounts(e):
		k.size = -1 // what a snapshot adds up has no size of its own
	case l.bare[e.Stack]:
		k.size = e.Size / max(e.Count, 1)
	}
	if i, ok := l.sites[k]; ok {
		return i
	}
	s := siteOf(l.stacks.Frames(e.Stack), k.size)
	i, ok := l.byKey[s.Exact]
	if !ok {
		i = uint32(len(l.run.Sites))
		l.run.Sites = append(l.run.Sites, s)
		l.byKey[s.Exact] = i
	}
	l.sites[k] = i
	return i
}

func isBare(frames []ingest.Frame) bool {
	for _, f := range frames {
		if !ingest.IsAllocator(f) {
			return false
		}
	}
	return true
}

func (l *loader) finish(report *ingest.Report) {
	r := l.run
	r.Report, r.Class, r.Name = report, report.Class, report.Name
	r.Program, r.Scans = program(report.Command), len(l.scanned)
	if r.Class != ingest.Events {
		for _, o := range l.scans {
			next := sort.Search(len(l.scanned), func(i int) bool { return l.scanned[i].scan > o.scan })
			switch {
			case next < len(l.scanned):
				r.Blocks.Die(o.block, l.scanned[next].seq)
			case report.LastEmpty:
				r.Blocks.Die(o.block, r.Events-1)
			}
		}
	}
	if l.series.snapshots != nil {
		l.series.finish(r)
	}
	r.index()
}

func (r *Run) index() {
	r.end = teardown(r)
	r.byKey = make(map[Key]uint32, len(r.Sites))
	for i := range r.Sites {
		r.byKey[r.Sites[i].Exact] = uint32(i)
	}
	r.BySite = make([][]int32, len(r.Sites))
	n := make([]int32, len(r.Sites))
	for i := range int32(r.Blocks.Len()) {
		n[r.Blocks.Site(i)]++
	}
	all := make([]int32, r.Blocks.Len())
	for s, k := range n {
		r.BySite[s], all = all[:0:k], all[k:]
	}
	for i := range int32(r.Blocks.Len()) {
		s := r.Blocks.Site(i)
		r.BySite[s] = append(r.BySite[s], i)
	}
}

// program is the base name of a command's first word, without a version, so that
// "/usr/bin/python3.11 x.py" and "python3 y.py" are one program.
func program(command string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(command), " ")
	return strings.TrimRight(path.Base(word), ".-0123456789")
}

// WithoutStacks returns the run as a log without call stacks would show it: all blocks of
// one size are one site.
func (r *Run) WithoutStacks() *Run {
	out := *r
	out.Sites = nil
	malloc := []ingest.Frame{{Function: "malloc"}}
	sites := map[int64]uint32{}
	for i := range int32(r.Blocks.Len()) {
		size := r.Blocks.Size(i)
		if _, ok := sites[size]; !ok {
			sites[size] = uint32(len(out.Sites))
			out.Sites = append(out.Sites, sizeSite(malloc, size))
		}
	}
	out.Blocks = r.Blocks.Altered(func(_ uint32, size int64) (uint32, int64) { return sites[size], size })
	out.index()
	return &out
}
