package columnar

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// states is the state machine of one kind of codes in a block of zstd (RFC 8878, 4.1):
// a decoder's state names a code, and how many bits lead to the state of the code
// before it. Codes are written from the last to the first.
type states struct {
	counts [maxCodes]int     // how often each code occurs
	cells  [stateCount]uint8 // the code of each state
	next   [maxCodes][stateCount]step
	state  uint8
	width  int // bits of a state
}

// step leads from the state of the code behind to that of a code: bits of the former
// are written.
type step struct{ state, bits uint8 }

const (
	maxCodes   = 64
	stateLog   = 6
	stateCount = 1 << stateLog
)

// describe chooses states for the codes counted, and appends to dst how a decoder gets
// them: as one code alone, or as shares of all states.
func (s *states) describe(dst []byte) (mode byte, out []byte) {
	const alone, shares = 1, 2
	total, most, last := 0, 0, 0
	for code, n := range s.counts {
		total += n
		if n > 0 {
			last = code
		}
		if n > s.counts[most] {
			most = code
		}
	}
	if s.counts[most] == total {
		s.width, s.next[most] = 0, [stateCount]step{}
		return alone, append(dst, byte(most))
	}
	s.share(total, most)
	s.spread(last)
	s.width = stateLog
	return shares, appendShares(dst, s.counts[:last+1])
}

// share makes the counts add up to the number of states; no code is left out.
func (s *states) share(total, most int) {
	left := stateCount
	for code, n := range s.counts {
		if n > 0 {
			s.counts[code] = max(1, n*stateCount/total)
			left -= s.counts[code]
		}
	}
	for ; left < 0; left++ { // The rare ones have got more than is theirs.
		most = slices.Index(s.counts[:], slices.Max(s.counts[:]))
		s.counts[most]--
	}
	s.counts[most] += left
}

// spread deals the states out among the codes up to last, as decoders do.
func (s *states) spread(last int) {
	const stride = stateCount>>1 + stateCount>>3 + 3
	at := 0
	for code, n := range s.counts[:last+1] {
		for range n {
			s.cells[at] = uint8(code)
			at = (at + stride) % stateCount
		}
	}
	ordinal := s.counts
	for state, code := range s.cells {
		n := ordinal[code]
		ordinal[code]++
		width := stateLog - (bits.Len(uint(n)) - 1)
		from := n<<width - stateCount
		for behind := range 1 << width {
			s.next[code][from+behind] = step{uint8(state), uint8(width)}
		}
	}
}

// appendShares writes how many states each code has (RFC 8878, 4.1.1).
func appendShares(dst []byte, counts []int) []byte {
	w := bitWriter{out: dst}
	w.add(stateLog-5, 4)
	left := stateCount + 1
	for code := 0; code < len(counts); code++ {
		// A value up to left is written in one bit less where it is small.
		value, width := uint64(counts[code]+1), bits.Len(uint(left))
		small := uint64(1<<width - 1 - left)
		switch {
		case value < small:
			w.add(value, width-1)
		case value >= 1<<(width-1):
			w.add(value+small, width)
		default:
			w.add(value, width)
		}
		left -= counts[code]
		if counts[code] > 0 {
			w.flush()
			continue
		}
		zeros := 0
		for counts[code+1] == 0 {
			code++
			zeros++
		}
		for ; zeros >= 3; zeros -= 3 {
			w.add(3, 2)
			w.flush()
		}
		w.add(uint64(zeros), 2)
		w.flush()
	}
	return w.end()
}

// bitWriter writes numbers bit by bit, the low bits first. No more than 64 bits may
// come between two flushes, less the 7 that wait.
type bitWriter struct {
	out     []byte
	waiting uint64
	n       int
}

func (w *bitWriter) add(v uint64, width int) {
	w.waiting |= v & (1<<(width&63) - 1) << (w.n & 63)
	w.n += width
}

// step writes the bits that lead to a code.
func (w *bitWriter) step(s *states, code uint8) {
	next := s.next[code%maxCodes][s.state%stateCount]
	w.add(uint64(s.state), int(next.bits))
	s.state = next.state
}

func (w *bitWriter) flush() {
	w.out = binary.LittleEndian.AppendUint64(w.out, w.waiting)[:len(w.out)+w.n/8]
	w.waiting >>= w.n &^ 7 & 63
	w.n &= 7
}

func (w *bitWriter) end() []byte {
	w.flush()
	if w.n > 0 {
		w.out = append(w.out, byte(w.waiting))
	}
	return w.out
}
