package ingest

import (
	"bytes"
	"strconv"
	"time"
)

// The summaries of bcc's memleak, one every few seconds, in the dialects of the
// tool in Python and of the one in libbpf-tools:
//
//	[11:16:33] Top 10 stacks with outstanding allocations:
//	        addr = 948cd0 size = 16
//	        64 bytes in 4 allocations from stack
//	                main+0x6d [allocs]
//
//	[9:5:7] Top 1 stacks with outstanding allocations:
//	4 bytes in 1 allocations from stack
//	        addr = 0x948cd0 size = 4
//	        0 [<00007f05944c098c>] _Znwm+0x1c [/usr/lib/libstdc++.so.6]
//
// Blanks count for nothing, and what the traced program prints may stand between.
// The addresses of -a belong to no stack in the first dialect and are summed only.

func sniffBccMemleak(head []byte) string {
	if headLines(head, func(line []byte) bool { return bytes.HasSuffix(bytes.TrimSpace(line), outstandingMark) }) {
		return ""
	}
	return `no line "[HH:MM:SS] Top N stacks with outstanding allocations:"`
}

var (
	outstandingMark = []byte(" stacks with outstanding allocations:")
	fromStackMark   = []byte(" allocations from stack")
)

// bccMemleak is the reader.
type bccMemleak struct {
	d      *decoder
	frames map[string][]FrameID // by line

	entry bool // one is being read
	event Event
	stack []FrameID

	scan int32
	// entries of the interval, and how many it may show.
	entries, top int64
	open         bool // an interval
	// libbpf: the dialect of libbpf-tools, which says how many stacks follow
	// and lists addresses with their stack.
	libbpf  bool
	crowded int64
	clock   dayClock

	// Of an interval: the sums over its stacks and over the addresses that -a
	// lists; of all intervals that list addresses and all of their stacks.
	shown, listed       Amount
	allShown, allListed Amount
}

func readBccMemleak(d *decoder) error {
	r := &bccMemleak{d: d, frames: map[string][]FrameID{}, scan: -1}
	d.report.Tool = "memleak"
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if d.lines.partial {
			d.truncated("the last line has no end and is left out")
			break
		}
		known, more := r.line(line)
		if known {
			d.report.Recognised++
		}
		if !more {
			return nil
		}
	}
	r.finish()
	return nil
}

// line takes one line; more is false when nobody listens any more.
func (r *bccMemleak) line(line []byte) (known, more bool) {
	switch {
	case bytes.HasSuffix(line, outstandingMark):
		return true, r.interval(line)
	case bytes.HasSuffix(line, fromStackMark):
		return true, r.begin(line)
	case bytes.HasPrefix(line, []byte("addr = ")):
		return true, r.address(line)
	case bytes.HasPrefix(line, []byte("Attaching to ")), bytes.HasPrefix(line, []byte("Tracing outstanding memory allocs")):
		// Another run of the tool.
		more = r.flush()
		r.close()
		return true, more
	case r.entry && r.frame(line):
		return true, true
	}
	// What the program prints ends a stack: the rest of it could not be told
	// from the program's words.
	return false, r.flush()
}

// interval reads "[H:M:S] Top N stacks with outstanding allocations:".
func (r *bccMemleak) interval(line []byte) bool {
	if !r.flush() {
		return false
	}
	r.close()
	at, rest, ok := cutClock(line)
	s := scan{rest: rest}
	s.lit("Top ")
	top := s.number()
	if !ok || s.bad || !bytes.Equal(s.rest, outstandingMark) {
		return r.d.bad(r.d.lines.n, "interval not understood: %q", clip(line))
	}
	r.open, r.top = true, top
	r.scan++
	r.event.Time = r.clock.since(at)
	r.d.report.Clock = Stamps
	return true
}

// usualTop is how many stacks libbpf-tools' memleak shows, unless told otherwise.
const usualTop = 10

// close ends an interval. If it is full, it may lack stacks.
func (r *bccMemleak) close() {
	full := r.entries >= r.top
	if full && r.top > 0 && (!r.libbpf || r.top >= usualTop) {
		r.crowded++
	}
	if r.listed.Blocks > 0 && (!full || r.libbpf) {
		r.allShown.add(r.shown)
		r.allListed.add(r.listed)
	}
	r.open = false
	r.entries, r.top, r.shown, r.listed = 0, 0, Amount{}, Amount{}
}

// begin reads "N bytes in N allocations from stack".
func (r *bccMemleak) begin(line []byte) bool {
	if !r.flush() {
		return false
	}
	s := scan{rest: line}
	size := s.number()
	s.lit(" bytes in ")
	count := s.number()
	if s.bad || !bytes.Equal(s.rest, fromStackMark) || size > maxBlock || count > maxBlock {
		return r.d.bad(r.d.lines.n, "stack not understood: %q", clip(line))
	}
	if !r.open {
		// The line before it was deleted, or could not be read.
		r.open = true
		r.scan++
	}
	r.entry, r.stack = true, r.stack[:0]
	r.event.Size, r.event.Count, r.event.Scan, r.event.Line = size, count, r.scan, r.d.lines.n
	r.entries++
	r.shown.add(Amount{Blocks: count, Bytes: size})
	return true
}

// address reads "addr = [0x]HEX size = N".
func (r *bccMemleak) address(line []byte) bool {
	s := scan{rest: line}
	s.lit("addr = ")
	r.libbpf = s.has("0x") || r.libbpf
	s.hex()
	s.lit(" size = ")
	size := s.number()
	if s.bad || len(s.rest) > 0 || size > maxBlock {
		return r.d.bad(r.d.lines.n, "address not understood: %q", clip(line))
	}
	r.listed.add(Amount{Blocks: 1, Bytes: size})
	return true
}

func (a *Amount) add(b Amount) {
	a.Blocks += b.Blocks
	a.Bytes += b.Bytes
}

// frame takes a line of a call stack.
func (r *bccMemleak) frame(line []byte) bool {
	ids, ok := r.frames[string(line)]
	if !ok {
		frames, ok := parseBccFrames(line)
		if !ok || len(line) > maxMangled {
			return false
		}
		_, _, indexed := cutIndex(line)
		r.libbpf = r.libbpf || indexed
		for _, f := range frames {
			f.Function = r.d.symbol([]byte(f.Function))
			ids = append(ids, r.d.stacks.Frame(f))
		}
		if len(r.frames) >= maxCached {
			clear(r.frames)
		}
		r.frames[string(line)] = ids
	}
	if len(r.stack)+len(ids) <= maxFrames {
		r.stack = append(r.stack, ids...)
	}
	return true
}

// flush ends the stack being read.
func (r *bccMemleak) flush() bool {
	if !r.entry {
		return true
	}
	r.entry = false
	r.event.Stack = r.d.stacks.Stack(r.stack)
	return r.d.outstanding(&r.event)
}

func (r *bccMemleak) finish() {
	if !r.flush() {
		return
	}
	r.close()
	d := r.d
	if r.crowded > 0 {
		d.report.Warn("%s: %d intervals show no more stacks than they were asked for (-T): one that is missing may still be there",
			d.report.Name, r.crowded)
	}
	if r.allListed.Blocks > 0 {
		say := func(a Amount) string {
			return strconv.FormatInt(a.Bytes, 10) + " bytes in " + strconv.FormatInt(a.Blocks, 10) + " allocations"
		}
		d.oracle("addresses", say(r.allListed), say(r.allShown))
	}
}

// dayClock turns times of day into times since the first.
type dayClock struct {
	seriesClock
	days, last time.Duration
}

// since takes a large step back as midnight.
func (c *dayClock) since(at time.Duration) time.Duration {
	const day = 24 * time.Hour
	if c.started && at < c.last-day/2 {
		c.days += day
	}
	c.last = at
	return c.seriesClock.since(c.days + at)
}

// cutClock reads "[H:M:S] ".
func cutClock(line []byte) (at time.Duration, rest []byte, ok bool) {
	s := scan{rest: line}
	s.lit("[")
	h := s.number()
	s.lit(":")
	m := s.number()
	s.lit(":")
	sec := s.number()
	s.lit("] ")
	if s.bad || h > 23 || m > 59 || sec > 60 {
		return 0, nil, false
	}
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(sec)*time.Second, s.rest, true
}
