package ingest

import (
	"bytes"
	"strconv"
	"time"
)

// The kernel's kmem tracepoints tell of slab objects and of pages. What one task
// allocates another may free, so that all events belong to one heap: PID stays 0,
// and TID is the task. Objects and pages have address spaces of their own; the
// pages that slabs are made of appear in both.

// The heaps of the ledger.
const (
	slabSpace int32 = 0
	pageSpace int32 = -1
)

const (
	// pageShift is that of most machines; a log does not tell.
	pageShift = 12
	// maxOrder bounds the pages that are allocated at once, as a power of two.
	maxOrder = 20
	// maxWaiting bounds the events that wait for their call stacks.
	maxWaiting = 256
)

// kmemKind is what an event of kmem does.
type kmemKind uint8

const (
	kmemOther kmemKind = iota
	slabAlloc
	slabFree
	pageAlloc
	pageFree
)

// kmemEvents are the events that are read. mm_page_free_batched is not among them:
// the same pages fire mm_page_free too.
var kmemEvents = map[string]kmemKind{
	"kmalloc": slabAlloc, "kmalloc_node": slabAlloc, "kmem_cache_alloc": slabAlloc, "kmem_cache_alloc_node": slabAlloc,
	"kfree": slabFree, "kmem_cache_free": slabFree, "mm_page_alloc": pageAlloc, "mm_page_free": pageFree,
}

// kmemTrace turns events of kmem, whichever tool printed them, into allocs and
// frees. An event waits until it is known whether a call stack follows it.
type kmemTrace struct {
	d *decoder
	// held[done:] are the events that have not been emitted; first is the number of
	// held[0]. waiting tells the number of the event of a CPU that waits.
	held    []heldEvent
	done    int
	first   int64
	waiting map[int64]int64
	// started: base is the stamp of the first event.
	started bool
	base    time.Duration
	sites   map[string]StackID // by event and call site
	frames  map[string]FrameID
	key     []byte
	// stack is being read, for the event of the CPU owner.
	stack   []FrameID
	reading bool
	owner   int64
}

// heldEvent is an event that has not been emitted.
type heldEvent struct {
	event Event
	kind  kmemKind
	at    time.Duration
	cpu   int64
	waits bool // for its call stack
}

// traceEntry is what stands before the arguments of an event.
type traceEntry struct {
	comm  []byte
	tid   int32
	cpu   int64
	at    time.Duration
	timed bool
	event []byte
	args  []byte
}

func newKmemTrace(d *decoder) *kmemTrace {
	return &kmemTrace{d: d, sites: map[string]StackID{}, frames: map[string]FrameID{}, waiting: map[int64]int64{}}
}

// event takes one event of kmem.
func (t *kmemTrace) event(e *traceEntry, kind kmemKind) bool {
	args, ok := parseKmemArgs(e.args)
	h := heldEvent{kind: kind, cpu: e.cpu, at: t.clock(e)}
	h.event = Event{TID: e.tid, Line: t.d.lines.n}
	switch {
	case !ok:
		return t.d.bad(t.d.lines.n, "%s not understood: %.120q", e.event, e.args)
	case kind == slabAlloc || kind == slabFree:
		if args.hidden {
			return t.d.bad(t.d.lines.n, "%s of an address that the kernel hides", e.event)
		}
		ok = args.has&(1<<argPtr) != 0 && (kind == slabFree || args.has&(1<<argSize) != 0)
		h.event.Addr, h.event.Size = args.ptr, int64(min(args.size, maxBlock+1))
	default:
		ok = args.has&(1<<argPFN|1<<argOrder) == 1<<argPFN|1<<argOrder && args.order <= maxOrder && args.pfn < 1<<(64-pageShift)
		if args.nowhere {
			return true // No page was left.
		}
		h.event.Addr = args.pfn << pageShift
		h.event.Size = 1 << pageShift << min(args.order, maxOrder)
	}
	switch {
	case !ok:
		return t.d.bad(t.d.lines.n, "%s not understood: %.120q", e.event, e.args)
	case h.event.Addr == 0 && (kind == slabAlloc || kind == slabFree):
		return true // It failed, or freed nothing.
	case h.event.Size > maxBlock:
		return t.d.bad(t.d.lines.n, "%s of %d bytes", e.event, args.size)
	}
	if kind == slabAlloc || kind == pageAlloc {
		h.waits = true
		h.event.Stack = t.site(e.event, args.site, args.module)
		h.event.Comm = t.d.text(e.comm)
	} else {
		h.event.Size = 0
	}
	t.release(h.cpu)
	if h.waits {
		t.waiting[h.cpu] = t.first + int64(len(t.held))
	}
	t.held = append(t.held, h)
	if len(t.held)-t.done > maxWaiting {
		t.release(t.held[t.done].cpu)
	}
	return t.flush()
}

// clock is the time of an entry since the first.
func (t *kmemTrace) clock(e *traceEntry) time.Duration {
	if !e.timed {
		return 0
	}
	if !t.started {
		t.started, t.base = true, e.at
		t.d.report.Clock = Stamps
	}
	return e.at - t.base
}

// settle lets the event of a CPU go that waits for a call stack: none comes.
func (t *kmemTrace) settle(cpu int64) bool {
	t.release(cpu)
	return t.flush()
}

// release marks the event of a CPU that waits as one that does not, and tells which.
func (t *kmemTrace) release(cpu int64) *heldEvent {
	n, ok := t.waiting[cpu]
	if !ok {
		return nil
	}
	delete(t.waiting, cpu)
	h := &t.held[n-t.first]
	h.waits = false
	return h
}

// settleAll lets all events go.
func (t *kmemTrace) settleAll() bool {
	for cpu := range t.waiting {
		t.release(cpu)
	}
	return t.flush()
}

// flush emits the events that wait for nothing, up to the first that does. Those of
// several CPUs may be out of order; the log's clock does not go back.
func (t *kmemTrace) flush() bool {
	for t.done < len(t.held) && !t.held[t.done].waits {
		h := &t.held[t.done]
		t.done++
		t.d.now = max(t.d.now, h.at)
		ok := false
		switch h.kind {
		case slabAlloc:
			ok = t.d.allocIn(slabSpace, &h.event)
		case slabFree:
			ok = t.d.freeIn(slabSpace, &h.event)
		case pageAlloc:
			ok = t.d.allocIn(pageSpace, &h.event)
		case pageFree:
			ok = t.d.freeIn(pageSpace, &h.event)
		}
		if !ok {
			return false
		}
	}
	if t.done == len(t.held) || t.done > maxWaiting {
		t.first += int64(t.done)
		t.held = append(t.held[:0], t.held[t.done:]...)
		t.done = 0
	}
	return true
}

// openStack starts the call stack of the event of a CPU that waits for one.
func (t *kmemTrace) openStack(cpu int64) {
	_, t.reading = t.waiting[cpu]
	t.stack, t.owner = t.stack[:0], cpu
}

// maxKernelStack bounds one call stack; the kernel's own have at most 127 frames.
const maxKernelStack = 256

func (t *kmemTrace) push(f FrameID) {
	if t.reading && len(t.stack) < maxKernelStack {
		t.stack = append(t.stack, f)
	}
}

// closeStack gives the call stack to its event.
func (t *kmemTrace) closeStack() bool {
	if !t.reading {
		return true
	}
	t.reading = false
	if h := t.release(t.owner); h != nil && len(t.stack) > 0 {
		h.event.Stack = t.d.stacks.Stack(t.stack)
	}
	return t.flush()
}

// site is what an event tells by itself about where it comes from: the allocating
// function, which is its name, and the call site.
func (t *kmemTrace) site(event, site, module []byte) StackID {
	t.key = append(append(append(append(append(t.key[:0], event...), ' '), site...), ' '), module...)
	if id, ok := t.sites[string(t.key)]; ok {
		return id
	}
	key := string(t.key)
	frames := []FrameID{t.d.stacks.Frame(Frame{Function: t.d.text(event)})}
	if len(site) > 0 {
		frames = append(frames, t.frame(site, module))
	}
	id := t.d.stacks.Stack(frames)
	if len(t.sites) >= maxCached {
		clear(t.sites)
	}
	t.sites[key] = id
	return id
}

// frame is one of SYM+0xHEX/0xHEX, SYM+0xHEX, SYM, HEX and 0xHEX. The address of a
// function with a name is left out: it is another after each boot.
func (t *kmemTrace) frame(where, module []byte) FrameID {
	t.key = append(append(append(t.key[:0], where...), ' '), module...)
	if id, ok := t.frames[string(t.key)]; ok {
		return id
	}
	f := Frame{Module: t.d.text(module)}
	if a, err := strconv.ParseUint(string(bytes.TrimPrefix(where, []byte("0x"))), 16, 64); err == nil && len(where) >= 8 {
		f.Address = a
	} else {
		f.Function = t.d.symbol(where)
	}
	id := t.d.stacks.Frame(f)
	if len(t.frames) >= maxCached {
		clear(t.frames)
	}
	t.frames[string(t.key)] = id
	return id
}

// kmemArgs are the arguments of an event that are used.
type kmemArgs struct {
	site, module          []byte
	ptr, size, pfn, order uint64
	has                   uint8 // bits by arg*
	hidden, nowhere       bool  // the address; the page
}

const (
	argPtr = iota
	argSize
	argPFN
	argOrder
)

// parseKmemArgs reads "call_site=f+0x1/0x2 ptr=... bytes_req=60 ...", whose order
// and number differ between kernels. A word without = belongs to the one before:
// the module of a call site, the decimal form of a number, a null pointer behind
// blanks.
func parseKmemArgs(text []byte) (a kmemArgs, ok bool) {
	site := false // behind the call site
	for len(text) > 0 {
		var word []byte
		word, text, _ = bytes.Cut(text, []byte{' '})
		key, value, found := bytes.Cut(word, []byte{'='})
		if !found {
			if site && len(word) > 2 && word[0] == '[' && word[len(word)-1] == ']' {
				a.module = word[1 : len(word)-1]
			}
			continue
		}
		ok = true
		site = string(key) == "call_site"
		switch string(key) {
		case "call_site":
			a.site, ok = value, len(value) > 0
		case "ptr":
			a.hidden = string(value) == "(____ptrval____)"
			a.ptr, ok = parseKernelPointer(value)
			a.has |= 1 << argPtr
		case "bytes_alloc":
			a.size, ok = parsePointer(value)
			a.has |= 1 << argSize
		case "page":
			page, known := parseKernelPointer(value)
			a.nowhere = known && page == 0
		case "pfn":
			a.pfn, ok = parsePointer(value)
			a.has |= 1 << argPFN
		case "order":
			a.order, ok = parsePointer(value)
			a.has |= 1 << argOrder
		}
		if !ok {
			return a, false
		}
	}
	return a, true
}

// parseKernelPointer reads 16 hexadecimal digits, 0x and digits, or what stands for
// no address. Behind blanks, "(null)" is a word of its own.
func parseKernelPointer(s []byte) (uint64, bool) {
	switch string(s) {
	case "", "(null)", "(nil)", "(____ptrval____)":
		return 0, true
	}
	v, err := strconv.ParseUint(string(bytes.TrimPrefix(s, []byte("0x"))), 16, 64)
	return v, err == nil
}

// parseSeconds reads "1681.711256" with up to nine decimals.
func parseSeconds(s []byte) (time.Duration, bool) {
	seconds, decimals, found := bytes.Cut(s, []byte{'.'})
	n, rest, ok := leadingDigits(seconds)
	if !found || !ok || len(rest) > 0 || n > 1<<32 || len(decimals) > 9 || !isDecimal(decimals) {
		return 0, false
	}
	f, _, _ := leadingDigits(decimals)
	for range 9 - len(decimals) {
		f *= 10
	}
	return time.Duration(n)*time.Second + time.Duration(f), true
}
