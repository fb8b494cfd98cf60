package datasets

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
)

// stripped is what a log turned out to hold once the markers were out.
type stripped struct {
	events      int64
	outstanding int64 // blocks live at the end
	leaks       []Leak
	cut         bool   // the log ends where the program said that its work was done
	sites       []Site // of a report, in place of leaks
	contents    []Leak // of the container that grows, in the order of Event
	markers     int64  // taken out
	unplaced    int64  // drops without a live block at their marker: not labelled
	tool        string
	command     string
	modules     moduleMap
}

// leaked is the number of leaked blocks.
func (s *stripped) leaked() int64 {
	n := int64(len(s.leaks))
	for _, site := range s.sites {
		n += site.Blocks
	}
	return n
}

// heaptrackStripper takes the markers of the preload library out of a raw
// heaptrack log, and every other trace of the library: its module line and the
// nodes of the trace tree that only its markers used. All else stays byte for
// byte, but for the numbers of the trace nodes behind the removed ones.
//
// A raw log is lines of a letter and hexadecimal numbers (heaptrack's own file
// format, version 3): "+ SIZE TRACE PTR", "- PTR", "t IP PARENT" (trace nodes,
// numbered from 1 in order), "m LEN NAME ADDR (VADDR MEMSZ)*".
type heaptrackStripper struct {
	marker  uint64 // smallest marker size
	library string // base name of the preload library
	control *control
	drops   []dropRecord

	parents []uint32 // by node, from 1
	ips     []uint64
	number  []uint32 // new number of a node; 0: not used
	node    int      // last node met in the second reading
	live    map[uint64]liveBlock
	phase   uint64          // of a run whose container grows; from phaseCut on nothing is written
	open    map[uint64]bool // markers not yet freed
	leaked  map[uint64]bool
	next    int // first drop whose marker has not been met
	out     stripped
}

// liveBlock is a block not freed so far.
type liveBlock struct {
	size int64
	born int64 // number of its allocation among the events
}

// maxRawLine bounds a line of a raw log: module names are the longest.
const maxRawLine = 1 << 20

// stripHeaptrack reads the log twice and writes it without markers.
func stripHeaptrack(in io.ReadSeeker, out io.Writer, c *control, library string) (*stripped, error) {
	s := &heaptrackStripper{
		marker: c.header[wMarker], library: library, control: c, drops: c.drops,
		parents: []uint32{0}, ips: []uint64{0}, number: []uint32{0},
		live: map[uint64]liveBlock{}, open: map[uint64]bool{}, leaked: map[uint64]bool{},
	}
	if err := eachLine(in, s.survey); err != nil {
		return nil, err
	}
	if err := s.renumber(); err != nil {
		return nil, err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	w := bufio.NewWriterSize(out, 1<<20)
	if err := eachLine(in, func(line []byte) error { return s.copy(w, line) }); err != nil {
		return nil, err
	}
	s.end()
	return &s.out, w.Flush()
}

// end fills in what is known once the log has been read.
func (s *heaptrackStripper) end() {
	if !s.out.cut {
		s.out.outstanding = int64(len(s.live))
	}
	slices.SortStableFunc(s.out.contents, func(a, b Leak) int { return cmp.Compare(a.Event, b.Event) })
}

// eachLine calls f for every whole line, its newline cut off. A last line
// without newline belongs to a process that was killed while writing: left out.
func eachLine(r io.Reader, f func([]byte) error) error {
	b := bufio.NewReaderSize(r, maxRawLine)
	for n := 1; ; n++ {
		line, err := b.ReadSlice('\n')
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = f(line[:len(line)-1])
		}
		if err != nil {
			return fmt.Errorf("trace line %d: %w", n, err)
		}
	}
}

var errTraceLine = errors.New("not a line of a raw heaptrack log")

// isMarker says whether an allocation of that size is one of the library's.
func (s *heaptrackStripper) isMarker(size uint64) bool {
	return size >= s.marker && size < s.marker+markerSpan
}

// survey is the first reading: the trace tree, and which nodes are in use.
func (s *heaptrackStripper) survey(line []byte) error {
	if len(line) < 2 {
		return nil
	}
	switch line[0] {
	case 't':
		ip, rest, ok1 := hexField(line[2:])
		parent, _, ok2 := hexField(rest)
		if !ok1 || !ok2 || parent >= uint64(len(s.parents)) {
			return errTraceLine
		}
		s.parents = append(s.parents, uint32(parent))
		s.ips = append(s.ips, ip)
		s.number = append(s.number, 0)
	case '+':
		size, rest, ok1 := hexField(line[2:])
		trace, _, ok2 := hexField(rest)
		if !ok1 || !ok2 || trace >= uint64(len(s.parents)) {
			return errTraceLine
		}
		if !s.isMarker(size) {
			s.number[trace] = 1
		}
	case 'm':
		return s.out.modules.add(line)
	}
	return nil
}

// renumber numbers the nodes in use and those on their way to the root. A node
// comes after its parent, so one sweep back and one forth are enough.
func (s *heaptrackStripper) renumber() error {
	for i := len(s.parents) - 1; i > 0; i-- {
		if s.number[i] != 0 {
			s.number[s.parents[i]] = 1
		}
	}
	n := uint32(0)
	for i := 1; i < len(s.number); i++ {
		if s.number[i] == 0 {
			continue
		}
		n++
		s.number[i] = n
		if s.library != "" && s.out.modules.name(s.ips[i]) == s.library {
			return fmt.Errorf("the preload library is on the stack of an allocation (trace node %d)", i)
		}
	}
	s.number[0] = 0
	return nil
}

// copy is the second reading: it writes the line unless it is the library's.
func (s *heaptrackStripper) copy(w *bufio.Writer, line []byte) error {
	if len(line) >= 2 {
		switch line[0] {
		case 't':
			return s.copyNode(w, line)
		case '+':
			return s.copyAlloc(w, line)
		case '-':
			return s.copyFree(w, line)
		case 'm', 'x':
			if name, _ := moduleName(line); path.Base(name) == s.library {
				return nil
			}
			line = s.renamed(line)
		case 'v':
			s.out.tool = heaptrackVersion(line)
		case 'X':
			line = s.control.anonymous(line)
			s.out.command = string(line[2:])
		}
	}
	if s.phase >= phaseCut {
		return nil
	}
	w.Write(line)
	return w.WriteByte('\n')
}

// renamed returns an "m" or "x" line that names no folder of the collector's.
func (s *heaptrackStripper) renamed(line []byte) []byte {
	name, rest := moduleName(line)
	if renamed := s.control.anonymous([]byte(name)); len(renamed) != len(name) {
		return bytes.TrimRight(fmt.Appendf(nil, "%c %x %s %s", line[0], len(renamed), renamed, rest), " ")
	}
	return line
}

func (s *heaptrackStripper) copyNode(w *bufio.Writer, line []byte) error {
	s.node++
	if s.number[s.node] == 0 || s.phase >= phaseCut {
		return nil
	}
	ip := line[2 : 2+bytes.IndexByte(line[2:], ' ')]
	w.WriteString("t ")
	w.Write(ip)
	w.WriteByte(' ')
	writeHex(w, uint64(s.number[s.parents[s.node]]))
	return w.WriteByte('\n')
}

func (s *heaptrackStripper) copyAlloc(w *bufio.Writer, line []byte) error {
	size, rest, _ := hexField(line[2:])
	trace, rest, _ := hexField(rest)
	address, _, ok := hexField(rest)
	if !ok {
		return errTraceLine
	}
	if s.isMarker(size) {
		s.open[address] = true
		s.placeDrop(size - s.marker)
		return nil
	}
	if s.leaked[address] {
		return fmt.Errorf("block %#x is handed out again although its free was forgotten", address)
	}
	if s.phase >= phaseCut {
		delete(s.live, address) // its free was missed: it is another block now
		return nil
	}
	s.live[address] = liveBlock{int64(size), s.out.events}
	s.out.events++
	w.WriteString("+ ")
	writeHex(w, size)
	w.WriteByte(' ')
	writeHex(w, uint64(s.number[trace]))
	w.WriteByte(' ')
	writeHex(w, address)
	return w.WriteByte('\n')
}

func (s *heaptrackStripper) copyFree(w *bufio.Writer, line []byte) error {
	address, _, ok := hexField(line[2:])
	if !ok {
		return errTraceLine
	}
	if s.open[address] {
		delete(s.open, address)
		return nil
	}
	if s.leaked[address] {
		return fmt.Errorf("block %#x is freed although its free was forgotten", address)
	}
	if s.phase >= phaseCut {
		s.afterCut(address)
		return nil
	}
	delete(s.live, address)
	s.out.events++
	w.Write(line)
	return w.WriteByte('\n')
}

// afterCut follows a free behind the end of the log. A block of the log that is
// freed while the container is emptied was in it.
func (s *heaptrackStripper) afterCut(address uint64) {
	b, ok := s.live[address]
	if ok && s.phase == phaseEmpty {
		s.out.contents = append(s.out.contents, Leak{Event: b.born + 1, Address: Address(address), Size: b.size, Kind: Growth})
	}
	delete(s.live, address)
}

// begin begins a phase. The log ends at the first.
func (s *heaptrackStripper) begin(phase uint64) {
	if s.phase < phaseCut && phase >= phaseCut {
		s.out.cut, s.out.outstanding = true, int64(len(s.live))
	}
	s.phase = phase
}

// placeDrop labels the drop whose number, modulo the span of the markers, the
// marker carries. The tracer drops an event now and then (start-up, its own
// work), so numbers may be skipped.
func (s *heaptrackStripper) placeDrop(number uint64) {
	s.out.markers++
	for s.next < len(s.drops) {
		d := s.drops[s.next]
		s.next++
		if uint64(s.next-1)%markerSpan != number {
			s.out.unplaced++
			continue
		}
		if d.Kind == kindPhase {
			s.begin(d.Path)
			return
		}
		b, ok := s.live[d.Address]
		if !ok || s.leaked[d.Address] || s.phase >= phaseCut {
			s.out.unplaced++
			return
		}
		s.leaked[d.Address] = true
		s.out.leaks = append(s.out.leaks, Leak{Event: s.out.events, Address: Address(d.Address), Size: b.size, Kind: leakKinds[d.Kind%3]})
		return
	}
}

// hexField reads a hexadecimal number and the blank behind it.
func hexField(b []byte) (n uint64, rest []byte, ok bool) {
	for i, c := range b {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		case c == ' ':
			return n, b[i+1:], i > 0 && i <= 16
		default:
			return 0, nil, false
		}
	}
	return n, nil, len(b) > 0 && len(b) <= 16
}

func writeHex(w *bufio.Writer, n uint64) {
	w.Write(strconv.AppendUint(w.AvailableBuffer(), n, 16))
}

// heaptrackVersion turns "v 10400 3" into "heaptrack 1.4.0".
func heaptrackVersion(line []byte) string {
	v, _, _ := hexField(line[2:])
	return fmt.Sprintf("heaptrack %d.%d.%d", v>>16, v>>8&0xff, v&0xff)
}

// moduleMap says which module an address belongs to.
type moduleMap struct {
	segments []segment
}

type segment struct {
	low, high, base uint64
	name            string
}

// moduleName returns the name in an "m" line and what follows it. The line
// "m 1 -" empties the table; its name is "-".
func moduleName(line []byte) (name string, rest []byte) {
	n, rest, ok := hexField(line[2:])
	if !ok || n > uint64(len(rest)) {
		return "", nil
	}
	return string(rest[:n]), bytes.TrimPrefix(rest[n:], []byte(" "))
}

// add takes in an "m" line. Segments of modules unloaded since are kept: a
// later line shadows them.
func (m *moduleMap) add(line []byte) error {
	name, rest := moduleName(line)
	if name == "" {
		return errTraceLine
	}
	if name == "-" {
		return nil
	}
	base, rest, ok := hexField(rest)
	for ok && len(rest) > 0 {
		var low, size uint64
		if low, rest, ok = hexField(rest); ok {
			size, rest, ok = hexField(rest)
		}
		if ok {
			m.segments = append(m.segments, segment{base + low, base + low + size, base, path.Base(name)})
		}
	}
	return nil
}

func (m *moduleMap) find(ip uint64) *segment {
	for i := len(m.segments) - 1; i >= 0; i-- {
		if s := &m.segments[i]; s.low <= ip && ip < s.high {
			return s
		}
	}
	return nil
}

// name returns the base name of the module, "x" for the executable, or "".
func (m *moduleMap) name(ip uint64) string {
	if s := m.find(ip); s != nil {
		return s.name
	}
	return ""
}

// where returns an address in the form module+0xoffset.
func (m *moduleMap) where(ip uint64) string {
	if s := m.find(ip); s != nil {
		return fmt.Sprintf("%s+%#x", s.name, ip-s.base)
	}
	return fmt.Sprintf("%#x", ip)
}
