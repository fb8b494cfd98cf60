package columnar

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/klauspost/compress/huff0"
)

// numberCoder writes columns of numbers as frames of zstd (RFC 8878), each whole: it
// looks for repeats from number to number only, and so packs as small as the general
// encoder at its fastest in half of the time.
type numberCoder struct {
	repeats  repeats
	huff     huff0.Scratch
	literals states // lengths of literals
	matches  states // lengths of matches
	offsets  states
	offset   uint32 // of the match before, which has a code of its own

	literalsCodes [64]uint8  // of short ones
	matchCodes    [128]uint8 // likewise
}

const (
	// maxBlock is the most bytes of a block.
	maxBlock = 128 << 10
	// minHuffman is from how many literals on a code for them pays.
	minHuffman = 256
)

// The codes of lengths: short ones have a code each, and others share one and are told
// apart by so many bits.
var (
	literalsBits = [maxCodes]uint8{16: 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	matchBits    = [maxCodes]uint8{32: 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
)

func newNumberCoder() *numberCoder {
	c := &numberCoder{}
	c.huff.Reuse = huff0.ReusePolicyNone
	fillCodes(c.literalsCodes[:], &literalsBits)
	fillCodes(c.matchCodes[:], &matchBits)
	return c
}

func fillCodes(codes []uint8, bits *[maxCodes]uint8) {
	for n, code := 0, 0; n < len(codes); code++ {
		for range 1 << bits[code] {
			codes[n] = uint8(code)
			n++
		}
	}
}

func (c *numberCoder) literalsCode(n uint32) uint8 {
	if n < uint32(len(c.literalsCodes)) {
		return c.literalsCodes[n]
	}
	return uint8(bits.Len32(n) + 18)
}

// matchCode takes the length less that of the shortest.
func (c *numberCoder) matchCode(n uint32) uint8 {
	if n < uint32(len(c.matchCodes)) {
		return c.matchCodes[n]
	}
	return uint8(bits.Len32(n) + 35)
}

// Kinds of blocks.
const (
	rawBlock    = 0
	packedBlock = 2
)

// Kinds of literals.
const (
	rawLiterals    = 0
	packedLiterals = 2
)

// appendNumbers packs numbers of some bytes each.
func (c *numberCoder) appendNumbers(dst, numbers []byte, width int) []byte {
	dst = c.begin(dst, len(numbers))
	c.repeats.forget()
	for from := 0; from < len(numbers); from += maxBlock {
		to := min(from+maxBlock, len(numbers))
		c.repeats.find(numbers, from, to, width)
		dst = c.appendBlock(dst, numbers[from:to], to == len(numbers))
	}
	return dst
}

// appendRuns packs n numbers that are runs of the same one.
func appendRuns[T value](c *numberCoder, dst []byte, runs []run[T], n int) []byte {
	width := int(unsafe.Sizeof(*new(T)))
	if n < 16*len(runs)+64 {
		rows := make([]T, n)
		expand(rows, runs)
		return c.appendNumbers(dst, bytesOf(rows), width)
	}
	dst = c.begin(dst, n*width)
	blocks := (n*width + maxBlock - 1) / maxBlock
	for i := range blocks {
		from, to := n*i/blocks, n*(i+1)/blocks
		runs = findRuns(&c.repeats, runs, from, to)
		dst = c.appendBlock(dst, nil, i == blocks-1)
	}
	return dst
}

// begin appends the head of a frame of n bytes in one segment.
func (c *numberCoder) begin(dst []byte, n int) []byte {
	const magic, oneSegment, lengthOf4Bytes = 0xfd2fb528, 1 << 5, 2 << 6
	c.offset = 0
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	dst = append(dst, oneSegment|lengthOf4Bytes)
	return binary.LittleEndian.AppendUint32(dst, uint32(n))
}

// appendBlock appends a block of the repeats found, or of the numbers themselves where
// that takes less.
func (c *numberCoder) appendBlock(dst, numbers []byte, last bool) []byte {
	const head = 3
	start, offset := len(dst), c.offset
	dst = append(dst, 0, 0, 0)
	dst = c.appendLiterals(dst)
	dst = c.appendSequences(dst)
	kind := packedBlock
	if numbers != nil && len(dst)-start-head >= len(numbers) {
		kind, c.offset = rawBlock, offset
		dst = append(dst[:start+head], numbers...)
	}
	word := (len(dst)-start-head)<<3 | kind<<1
	if last {
		word |= 1
	}
	dst[start], dst[start+1], dst[start+2] = byte(word), byte(word>>8), byte(word>>16)
	return dst
}

func (c *numberCoder) appendLiterals(dst []byte) []byte {
	all := c.repeats.literals
	if len(all) >= minHuffman {
		if packed, _, err := huff0.Compress4X(all, &c.huff); err == nil && len(packed) < len(all) {
			const fourStreams = 3
			head := uint64(packedLiterals | fourStreams<<2 | len(all)<<4 | len(packed)<<22)
			dst = binary.LittleEndian.AppendUint32(dst, uint32(head))
			dst = append(dst, byte(head>>32))
			return append(dst, packed...)
		}
	}
	switch n := len(all); {
	case n < 1<<5:
		dst = append(dst, byte(rawLiterals|n<<3))
	case n < 1<<12:
		dst = binary.LittleEndian.AppendUint16(dst, uint16(rawLiterals|1<<2|n<<4))
	default:
		word := rawLiterals | 3<<2 | n<<4
		dst = append(dst, byte(word), byte(word>>8), byte(word>>16))
	}
	return append(dst, all...)
}

// appendSequences appends the repeats as codes and, behind each code, bits.
func (c *numberCoder) appendSequences(dst []byte) []byte {
	all := c.repeats.sequences
	switch n := len(all); {
	case n < 0x80:
		dst = append(dst, byte(n))
	case n < 0x7f00:
		dst = append(dst, byte(n>>8+0x80), byte(n))
	default:
		dst = append(dst, 0xff, byte(n-0x7f00), byte((n-0x7f00)>>8))
	}
	if len(all) == 0 {
		return dst
	}
	c.code(all)
	at := len(dst)
	dst = append(dst, 0)
	var modes [3]byte
	modes[0], dst = c.literals.describe(dst)
	modes[1], dst = c.offsets.describe(dst)
	modes[2], dst = c.matches.describe(dst)
	dst[at] = modes[0]<<6 | modes[1]<<4 | modes[2]<<2
	return c.appendBits(dst, all)
}

// code finds the codes of sequences and counts them.
func (c *numberCoder) code(all []sequence) {
	c.literals.counts, c.matches.counts, c.offsets.counts = [maxCodes]int{}, [maxCodes]int{}, [maxCodes]int{}
	for i := range all {
		s := &all[i]
		// The offset before is number 1 (behind literals), a new one is its distance and 3.
		if s.offset == c.offset && s.literals > 0 {
			s.offset = 1
		} else {
			c.offset = s.offset
			s.offset += 3
		}
		s.match -= minMatch
		s.literalsCode, s.matchCode = c.literalsCode(s.literals), c.matchCode(s.match)
		s.offsetCode = uint8(bits.Len32(s.offset) - 1)
		c.literals.counts[s.literalsCode%maxCodes]++
		c.matches.counts[s.matchCode%maxCodes]++
		c.offsets.counts[s.offsetCode%maxCodes]++
	}
}

// appendBits appends the sequences from the last to the first.
func (c *numberCoder) appendBits(dst []byte, all []sequence) []byte {
	w := bitWriter{out: dst}
	for i := len(all) - 1; i >= 0; i-- {
		s := &all[i]
		if i == len(all)-1 {
			// Any state of a code may be the last.
			c.literals.state = c.literals.next[s.literalsCode][0].state
			c.matches.state = c.matches.next[s.matchCode][0].state
			c.offsets.state = c.offsets.next[s.offsetCode][0].state
		} else {
			w.step(&c.offsets, s.offsetCode)
			w.step(&c.matches, s.matchCode)
			w.step(&c.literals, s.literalsCode)
		}
		w.add(uint64(s.literals), int(literalsBits[s.literalsCode]))
		w.add(uint64(s.match), int(matchBits[s.matchCode]))
		w.flush()
		w.add(uint64(s.offset), int(s.offsetCode))
		w.flush()
	}
	w.add(uint64(c.matches.state), c.matches.width)
	w.add(uint64(c.offsets.state), c.offsets.width)
	w.add(uint64(c.literals.state), c.literals.width)
	w.add(1, 1) // The end, which is where decoders start.
	return w.end()
}
