package columnar

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"
)

// repeats is what is found in a block: literals, and sequences that say where what
// stood before is repeated between them.
type repeats struct {
	// table has for each hash of some bytes where such stood last.
	table     [1 << hashBits]int32
	offset    int // of the repeat before
	sequences []sequence
	literals  []byte
}

// sequence is literals and a match, which repeats bytes from offset before it on.
type sequence struct {
	literals, match, offset             uint32
	literalsCode, matchCode, offsetCode uint8
}

const (
	hashBits = 13
	minMatch = 3
)

// forget begins another column.
func (r *repeats) forget() {
	clear(r.table[:])
	r.offset = math.MaxInt32
}

// find looks for repeats in b[from:to], and in all of b before it; they begin and end
// with numbers of so many bytes. It looks for longer ones, of which a block needs less:
// that takes a fifth of the time and of the room off most columns. Addresses have few
// of those.
func (r *repeats) find(b []byte, from, to, width int) {
	r.look(b, from, to, width, math.MaxUint64)
	if len(r.literals) > (to-from)/8*7 {
		r.look(b, from, to, width, 0)
	}
}

// look takes what stood last before the same 8 bytes, and the same behind them as far
// as behind says, or what is as far away as the match before; 8 bytes have to match.
func (r *repeats) look(b []byte, from, to, width int, behind uint64) {
	const odd1, odd2 = 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f
	r.sequences, r.literals = r.sequences[:0], r.literals[:0]
	whole := ^(width - 1)
	done := from
	for i := from; i <= to-16; {
		x := binary.LittleEndian.Uint64(b[i:])
		y := binary.LittleEndian.Uint64(b[i+8:]) & behind
		slot := &r.table[(x*odd1^y*odd2)*odd1>>(64-hashBits)]
		was := int(*slot)
		*slot = int32(i)
		if at := i - r.offset; at >= 0 && binary.LittleEndian.Uint64(b[at:]) == x {
			was = at
		} else if was >= i || binary.LittleEndian.Uint64(b[was:]) != x {
			i += width + (i-done)>>8&whole // Faster and faster through what repeats nothing.
			continue
		}
		n := 8 + matching(b[was+8:], b[i+8:to])&whole
		r.literals = append(r.literals, b[done:i]...)
		r.sequences = append(r.sequences, sequence{literals: uint32(i - done), match: uint32(n), offset: uint32(i - was)})
		r.offset = i - was
		i += n
		done = i
	}
	r.literals = append(r.literals, b[done:to]...)
}

// findRuns is find for rows from..to of a column of runs, the first of which begins at row
// 0; it returns those that have not ended by then.
func findRuns[T value](r *repeats, runs []run[T], from, to int) []run[T] {
	r.sequences, r.literals = r.sequences[:0], r.literals[:0]
	width := int(unsafe.Sizeof(*new(T)))
	literals := 0
	for at := from; ; {
		end := to
		if len(runs) > 1 {
			end = min(to, int(runs[1].from))
		}
		if at == int(runs[0].from) {
			r.literals = append(r.literals, bytesOf([]T{runs[0].value})...)
			literals += width
			at++
		}
		switch n := width * (end - at); {
		case n >= minMatch:
			r.sequences = append(r.sequences, sequence{literals: uint32(literals), match: uint32(n), offset: uint32(width)})
			literals = 0
		default:
			for ; at < end; at++ {
				r.literals = append(r.literals, bytesOf([]T{runs[0].value})...)
				literals += width
			}
		}
		if at = end; at == to {
			return runs
		}
		runs = runs[1:]
	}
}

// matching is how many bytes at the front of b are those of a, which is as long.
func matching(a, b []byte) int {
	n := 0
	for ; n <= len(b)-8 && n <= len(a)-8; n += 8 {
		if differ := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); differ != 0 {
			return n + bits.TrailingZeros64(differ)/8
		}
	}
	return n
}
