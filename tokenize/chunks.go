package tokenize

import "slices"

// chunkLen is how many items a chunk holds.
const chunkLen = 1 << 16

// chunks is a list of which nobody knows how long it will be: in chunks of chunkLen, full
// but for the last, as a slice that grows would be copied again and again, and each time
// both copies would be in memory.
type chunks[T any] [][]T

func (c chunks[T]) len() int {
	if k := len(c); k > 0 {
		return (k-1)*chunkLen + len(c[k-1])
	}
	return 0
}

func (c *chunks[T]) add(item T) {
	last := len(*c) - 1
	switch {
	case last < 0: // It may stay small: it grows as it has to.
		*c = append(*c, nil)
		last++
	case len((*c)[last]) == chunkLen:
		*c = append(*c, make([]T, 0, chunkLen))
		last++
	}
	(*c)[last] = append((*c)[last], item)
}

// at is the item there; the pointer is good until more is added.
func (c chunks[T]) at(i uint32) *T { return &c[i/chunkLen][i%chunkLen] }

func (c chunks[T]) clone() chunks[T] {
	out := slices.Clone(c)
	for i := range out {
		out[i] = slices.Clone(out[i])
	}
	return out
}
