package tokenize

import (
	"math/bits"
	"slices"
)

// packed is a list of numbers that take as few bits as they need: groupLen of them
// together, as their differences from the least, without the low bits that are zero
// in all of these.
type packed struct {
	// chunks are full but for the last.
	chunks []packedChunk
	// last are the numbers that are in no group yet.
	last []uint64
}

// packedChunk holds chunkLen numbers.
type packedChunk struct {
	groups []group
	// words have of each group the least number and, from the next word on, the
	// differences.
	words []uint64
}

// group says where the words of a group begin, how many bits a difference has there, and
// how many were left out.
type group uint32

func newGroup(at, width, shift int) group { return group(at<<13 | width<<6 | shift) }

func (g group) parts() (at, width, shift int) { return int(g >> 13), int(g >> 6 & 127), int(g & 63) }

// groupLen is the number of bits of a word: differences of n bits fill n words.
const groupLen = 64

func (p *packed) add(n uint64) {
	if p.last = append(p.last, n); len(p.last) == groupLen {
		p.pack()
		p.last = p.last[:0]
	}
}

// pack makes a group of the last numbers.
func (p *packed) pack() {
	c := p.chunk()
	least, all := slices.Min(p.last), uint64(0)
	for _, n := range p.last {
		all |= n - least
	}
	shift := bits.TrailingZeros64(all) % 64
	width := bits.Len64(all >> shift)
	at := len(c.words)
	c.groups = append(c.groups, newGroup(at, width, shift))
	c.words = append(append(c.words, least), make([]uint64, width)...)
	words := c.words[at+1:]
	if width == 0 {
		return
	}
	for i, n := range p.last {
		n = (n - least) >> shift
		word, bit := i*width/64, i*width%64
		words[word] |= n << bit
		if bit+width > 64 {
			words[word+1] = n >> (64 - bit)
		}
	}
}

// chunk is the one that has room for a group.
func (p *packed) chunk() *packedChunk {
	n := len(p.chunks)
	switch {
	case n == 0: // It may stay small: it grows as it has to.
		p.chunks = append(p.chunks, packedChunk{})
	case len(p.chunks[n-1].groups) == chunkLen/groupLen:
		words := p.chunks[n-1].words // The next chunk grows in the room that they took.
		p.chunks[n-1].words = slices.Clone(words)
		p.chunks = append(p.chunks, packedChunk{make([]group, 0, chunkLen/groupLen), words[:0]})
	}
	return &p.chunks[len(p.chunks)-1]
}

func (p *packed) at(i int32) uint64 {
	chunk, nth, in := int(uint32(i)/chunkLen), int(uint32(i)%chunkLen/groupLen), int(uint32(i)%groupLen)
	if chunk == len(p.chunks) || nth == len(p.chunks[chunk].groups) {
		return p.last[in]
	}
	c := &p.chunks[chunk]
	at, width, shift := c.groups[nth].parts()
	least := c.words[at]
	if width == 0 {
		return least
	}
	word, bit := at+1+in*width/64, in*width%64
	n := c.words[word] >> bit
	if bit+width > 64 {
		n |= c.words[word+1] << (64 - bit)
	}
	return least + n&(1<<width-1)<<shift
}

func (p *packed) clone() packed {
	out := packed{slices.Clone(p.chunks), slices.Clone(p.last)}
	for i := range out.chunks {
		c := &out.chunks[i]
		c.groups, c.words = slices.Clone(c.groups), slices.Clone(c.words)
	}
	return out
}
