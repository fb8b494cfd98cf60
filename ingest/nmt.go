package ingest

import (
	"bytes"
	"math"
)

// What the Java VM's native memory tracking prints: jcmd PID VM.native_memory with
// summary, detail, summary.diff or detail.diff, also several times in one file.
//
//	PID:
//
//	Native Memory Tracking:
//	Total: reserved=NKB, committed=NKB
//	-     CATEGORY (reserved=NKB, committed=NKB)
//	               (malloc=NKB #BLOCKS)
//	               (mmap: reserved=NKB, committed=NKB)
//	Details:
//	[0xADDRESS] FUNCTION+0xOFFSET
//	               (malloc=NKB type=CATEGORY #BLOCKS)
//
// In a difference " +NKB" or " -NKB" stands behind a number that has changed. It is
// two snapshots: the baseline, and the present one. Memory counts when it is
// committed.
//
// A site is a way in which a category got memory, such as malloc of Symbol; where
// there are call stacks, the rest of the category is its site. Chunks of arenas are
// left to the categories that use them.

func sniffNMT(head []byte) string {
	if headLines(head, isNMTHeader) {
		return ""
	}
	return `no line "Native Memory Tracking:"`
}

func isNMTHeader(line []byte) bool {
	return bytes.Equal(bytes.TrimSpace(line), []byte("Native Memory Tracking:"))
}

// nmtAmount is an amount and that of the baseline.
type nmtAmount struct{ now, was Amount }

// nmtSite is a way in which a category got memory, or a call stack.
type nmtSite struct {
	nmtAmount
	line  int64
	stack StackID
}

// nmtWay names a site without a call stack.
type nmtWay struct{ how, category string }

// nmt is the reader.
type nmt struct {
	d     *decoder
	scan  int32
	pid   int32
	open  bool // a snapshot is being read
	diff  bool // it has a baseline
	based bool // a difference was read: the baseline is known

	category string // being read
	sites    []nmtSite
	ways     map[nmtWay]int // index into sites
	frames   []FrameID      // of the call stack being read
	total    int64          // committed, as the log says
	got      int64          // sum of the categories
	listed   int64          // categories
	bad      bool           // a total was not met
	want     [2]int64       // the last total, or the first that was not met, and its sum
}

func readNMT(d *decoder) error {
	d.report.Tool = "Native Memory Tracking"
	r := &nmt{d: d, ways: map[nmtWay]int{}}
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		if d.lines.partial && len(bytes.TrimSpace(line)) > 0 && line[len(line)-1] != ')' {
			d.truncated("the last line is incomplete")
			break
		}
		if !r.line(bytes.TrimSpace(line)) {
			return nil
		}
	}
	if r.flush() && r.listed > 0 {
		o := &Oracle{Name: "total committed", Expected: commas(r.want[0]) + " bytes", Got: commas(r.want[1]) + " bytes", OK: !r.bad}
		d.report.Oracle = o
		if !o.OK {
			d.report.Warn("%s: the log says that %s are committed, its categories add up to %s: it is incomplete or jumbled",
				d.report.Name, o.Expected, o.Got)
		}
	}
	return nil
}

// line takes one line without the blanks around it; it returns false when nobody
// listens any more.
func (r *nmt) line(text []byte) bool {
	d := r.d
	d.report.Recognised++
	switch {
	case len(text) == 0:
		r.frames = r.frames[:0]
		return true
	case isNMTHeader(text):
		return r.flush()
	case text[len(text)-1] == ':' && isDecimal(text[:len(text)-1]):
		if n, _, ok := leadingDigits(text); ok && n <= math.MaxInt32 && r.flush() {
			r.pid = int32(n)
			d.process(r.pid)
		}
		return !d.done
	case bytes.HasPrefix(text, []byte("Total: reserved=")):
		r.open = true
		s := scan{rest: text[len("Total: "):]}
		a, _ := r.committed(&s)
		r.total = a.now.Bytes
		return !s.bad || d.bad(d.lines.n, "total not understood: %q", clip(text))
	case !r.open:
	case text[0] == '-' && bytes.Contains(text, []byte(" (reserved=")):
		return r.begin(text)
	case text[0] == '[':
		// The addresses of the map of virtual memory have another bracket.
		if bytes.HasPrefix(text, []byte("[0x")) && !bytes.Contains(text[:min(len(text), 24)], []byte(" - ")) {
			r.frame(text)
		}
		return true
	case text[0] == '(':
		return r.part(text)
	}
	if !r.open {
		d.report.Recognised--
	}
	return true
}

// begin takes "- CATEGORY (reserved=NKB, committed=NKB)".
func (r *nmt) begin(text []byte) bool {
	i := bytes.LastIndex(text, []byte(" (reserved="))
	r.category = r.d.text(bytes.TrimSpace(text[1:i]))
	s := scan{rest: text[i+2:]}
	a, _ := r.committed(&s)
	s.lit(")")
	if s.bad {
		return r.d.bad(r.d.lines.n, "category not understood: %q", clip(text))
	}
	r.listed++
	r.got = min(r.got+a.now.Bytes, maxBlock)
	return true
}

// frame takes "[0xADDRESS] FUNCTION+0xOFFSET".
func (r *nmt) frame(text []byte) {
	s := scan{rest: text}
	s.lit("[0x")
	f := Frame{Address: s.hex()}
	s.lit("]")
	if s.bad || len(r.frames) >= maxDepth {
		return
	}
	f.Function = r.d.symbol(bytes.TrimSpace(s.rest))
	r.frames = append(r.frames, r.d.stacks.Frame(f))
}

// part takes a line in parentheses: how a category or a call stack got memory. It
// passes over those about other things.
func (r *nmt) part(text []byte) bool {
	s := scan{rest: text[1:]}
	how, typeName := "malloc", ""
	var a nmtAmount
	switch {
	case s.has("malloc="), s.has("arena="):
		if text[1] == 'a' {
			how = "arena"
		}
		a, typeName = r.malloced(&s)
	case s.has("tracking overhead="):
		how = "tracking overhead"
		a, _ = r.malloced(&s)
	case s.has("mmap: "), s.has("stack: "), bytes.HasPrefix(s.rest, []byte("reserved=")):
		if how = "mmap"; text[1] == 's' {
			how = "stack"
		}
		a, typeName = r.committed(&s)
	default:
		return true
	}
	if s.bad || len(s.rest) == 0 || s.rest[0] != ')' && s.rest[0] != ',' {
		return r.d.bad(r.d.lines.n, "amount not understood: %q", clip(text))
	}
	if typeName == "Thread Stack" {
		how, typeName = "stack", "Thread"
	}
	r.book(how, typeName, a)
	return true
}

// book adds an amount to the snapshot. That of a call stack is taken off its
// category.
func (r *nmt) book(how, typeName string, a nmtAmount) {
	site := nmtSite{nmtAmount: a, line: r.d.lines.n}
	if len(r.frames) == 0 {
		if _, again := r.ways[nmtWay{how, r.category}]; again || r.category == "" || len(r.ways) >= maxCached {
			return
		}
		frames := []FrameID{r.d.stacks.Frame(Frame{Function: how}), r.d.stacks.Frame(Frame{Function: r.category})}
		site.stack = r.d.stacks.Stack(frames)
		r.ways[nmtWay{how, r.category}] = len(r.sites)
		r.sites = append(r.sites, site)
		return
	}
	frames := r.frames
	if r.frames = r.frames[:0]; typeName == "Arena Chunk" || len(r.sites) >= maxEntries {
		return
	}
	if i, ok := r.ways[nmtWay{how, typeName}]; ok {
		rest := &r.sites[i]
		rest.now, rest.was = rest.now.less(a.now), rest.was.less(a.was)
	}
	site.stack = r.d.stacks.Stack(frames)
	r.sites = append(r.sites, site)
}

// less is a-b, and not below zero.
func (a Amount) less(b Amount) Amount {
	return Amount{Blocks: max(a.Blocks-b.Blocks, 0), Bytes: max(a.Bytes-b.Bytes, 0)}
}

// flush ends the snapshot being read.
func (r *nmt) flush() bool {
	if !r.open {
		return true
	}
	if !r.bad {
		// Every number is rounded to its unit, and so are those of what is too
		// small to be listed.
		const slack = 1 << 10
		r.bad = max(r.total-r.got, r.got-r.total) > (r.listed+10)*slack && r.total < maxBlock
		r.want = [2]int64{r.total, r.got}
	}
	ok := true
	if r.diff && !r.based {
		ok = r.emit(func(s nmtSite) Amount { return s.was })
	}
	r.based = r.based || r.diff
	ok = ok && r.emit(func(s nmtSite) Amount { return s.now })
	r.open, r.diff, r.category, r.total, r.got = false, false, "", 0, 0
	r.sites, r.frames = r.sites[:0], r.frames[:0]
	clear(r.ways)
	return ok
}

// emit hands on one snapshot.
func (r *nmt) emit(amount func(nmtSite) Amount) bool {
	var held snapshot
	for _, s := range r.sites {
		if a := amount(s); a != (Amount{}) {
			held.add(Event{Line: s.line, Stack: s.stack, Size: a.Bytes, Count: max(a.Blocks, 1), PID: r.pid})
		}
	}
	r.scan++
	return held.emit(r.d, r.scan-1)
}

// malloced reads "NKB [type=NAME] [+NKB] [#N [+N]]".
func (r *nmt) malloced(s *scan) (a nmtAmount, typeName string) {
	a.now.Bytes = s.bytesOf()
	typeName = r.typeName(s, " type=", " tag=")
	a.was.Bytes = a.now.Bytes - r.change(s, (*scan).bytesOf)
	if s.has(" #") {
		a.now.Blocks = s.number()
		s.bad = s.bad || a.now.Blocks > maxBlock
	}
	a.was.Blocks = a.now.Blocks - r.change(s, (*scan).number)
	a.was = a.was.less(Amount{})
	return a, typeName
}

// committed reads "reserved=NKB [+NKB], committed=NKB [+NKB] [Type=NAME]".
func (r *nmt) committed(s *scan) (a nmtAmount, typeName string) {
	s.lit("reserved=")
	s.bytesOf()
	r.change(s, (*scan).bytesOf)
	s.lit(", committed=")
	a.now.Bytes = s.bytesOf()
	a.was.Bytes = a.now.Bytes - r.change(s, (*scan).bytesOf)
	a.was = a.was.less(Amount{})
	return a, r.typeName(s, " Type=", " Tag=")
}

// typeName reads the category of a call stack behind one of two words, the second
// that of newer versions: it ends before a sign, a number of blocks or the end.
func (r *nmt) typeName(s *scan, word, newer string) string {
	if !s.has(word) && !s.has(newer) {
		return ""
	}
	i := bytes.IndexAny(s.rest, "+#)")
	if j := bytes.Index(s.rest, []byte(" -")); j >= 0 && (i < 0 || j < i) {
		i = j
	}
	if i < 0 {
		s.bad = true
		return ""
	}
	name := bytes.TrimRight(s.rest[:i], " ")
	s.rest = s.rest[len(name):]
	return r.d.text(name)
}

// change reads " +AMOUNT" or " -AMOUNT" if it stands there.
func (r *nmt) change(s *scan, amount func(*scan) int64) int64 {
	switch {
	case s.has(" +"):
		r.diff = true
		return amount(s)
	case s.has(" -"):
		r.diff = true
		return -amount(s)
	}
	return 0
}

// bytesOf reads an amount with its unit: "12KB".
func (s *scan) bytesOf() int64 {
	n := s.number()
	for i, unit := range [...]string{"KB", "MB", "GB"} {
		if s.has(unit) {
			shift := 10 * (i + 1)
			if n > maxBlock>>shift {
				s.bad = true
				return 0
			}
			return n << shift
		}
	}
	s.has("B")
	s.bad = s.bad || n > maxBlock
	return n
}
