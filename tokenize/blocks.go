package tokenize

import "runtime/debug"

// chunkBlocks is how many blocks a chunk holds; pieces is in how many steps the chunks
// of a long log are joined.
const (
	chunkBlocks = 1 << 16
	pieces      = 16
)

// blockList collects blocks of which nobody knows how many there will be. They are
// kept in chunks, as a slice that grows would be copied again and again, and each time
// both copies would be in memory.
type blockList struct {
	// joined is what was in one piece the last time; chunks is what came since, full
	// but for the last.
	joined []Block
	chunks [][]Block
}

func (l *blockList) len() int {
	n := len(l.joined)
	if k := len(l.chunks); k > 0 {
		n += (k-1)*chunkBlocks + len(l.chunks[k-1])
	}
	return n
}

// add appends a block and says where it is.
func (l *blockList) add(b Block) int32 {
	last := len(l.chunks) - 1
	switch {
	case last < 0: // It may stay small: it grows as it has to.
		l.chunks = append(l.chunks, nil)
		last++
	case len(l.chunks[last]) == chunkBlocks:
		l.chunks = append(l.chunks, make([]Block, 0, chunkBlocks))
		last++
	}
	l.chunks[last] = append(l.chunks[last], b)
	return int32(l.len() - 1)
}

// at is the block there; the pointer is good until more is added.
func (l *blockList) at(i int32) *Block {
	since := int(i) - len(l.joined)
	if since < 0 {
		return &l.joined[i]
	}
	return &l.chunks[since/chunkBlocks][since%chunkBlocks]
}

// join returns all blocks in one piece. The memory of the chunks of a long log goes
// back to the system while they are copied, so that it is not needed twice.
func (l *blockList) join() []Block {
	if len(l.joined) == 0 && len(l.chunks) == 1 {
		l.joined, l.chunks = l.chunks[0], nil
	}
	if len(l.chunks) == 0 {
		return l.joined
	}
	all, n := l.joined, l.len()
	if cap(all) < n { // A log that is followed is joined again and again.
		all = append(make([]Block, 0, max(n, cap(all)+cap(all)/4)), all...)
	}
	l.joined = nil
	step := (len(l.chunks) + pieces - 1) / pieces
	for i, c := range l.chunks {
		all = append(all, c...)
		l.chunks[i] = nil
		if step > 1 && i%step == step-1 {
			debug.FreeOSMemory()
		}
	}
	l.joined, l.chunks = all, nil
	return all
}
