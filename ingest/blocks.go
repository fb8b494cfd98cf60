package ingest

import (
	"math/bits"
	"math/rand/v2"
)

// blockTable finds live blocks by address. It is a hash table with open addressing
// and linear probing: half the time of a map, and a removal leaves nothing behind.
// Note: Go's map took most of the time of reading raw logs.
type blockTable struct {
	slots []blockSlot // a power of two, or none yet
	used  int
	// seed keeps who writes a log from choosing addresses that collide.
	seed uint64
}

// blockSlot is free where number is 0.
type blockSlot struct {
	addr   uint64
	number int64 // of the block, from 1
	size   int64
	stack  StackID
}

// home is the slot where a search for addr starts. Neighbours in the heap, which a
// program tends to use one after the other, are neighbours in the table: most of the
// time of reading a raw log goes by waiting for slots that are in no cache.
func (t *blockTable) home(addr uint64) int {
	const region, grain = 8, 4 // bits of an address in its region, and in a block's least size
	high, low := bits.Mul64(addr>>region^t.seed, 0x9e3779b97f4a7c15)
	return (int(high^low) + int(addr>>grain&(1<<(region-grain)-1))) & (len(t.slots) - 1)
}

// find is the slot of addr, or the free one where it belongs.
func (t *blockTable) find(addr uint64) int {
	i := t.home(addr)
	for t.slots[i].number != 0 && t.slots[i].addr != addr {
		i = (i + 1) & (len(t.slots) - 1)
	}
	return i
}

// get returns the block at addr.
func (t *blockTable) get(addr uint64) (b liveBlock, ok bool) {
	if t.used == 0 {
		return b, false
	}
	return t.slots[t.find(addr)].block()
}

// put places a block at addr and returns the one that was there.
func (t *blockTable) put(addr uint64, b liveBlock) (was liveBlock, ok bool) {
	if 4*t.used >= 3*len(t.slots) {
		t.grow()
	}
	slot := &t.slots[t.find(addr)]
	if was, ok = slot.block(); !ok {
		t.used++
	}
	*slot = blockSlot{addr: addr, number: b.block + 1, size: b.size, stack: b.stack}
	return was, ok
}

// remove takes the block at addr out. Those behind it that are not at home move up,
// so that no search ends too early.
func (t *blockTable) remove(addr uint64) (b liveBlock, ok bool) {
	if t.used == 0 {
		return b, false
	}
	hole := t.find(addr)
	if b, ok = t.slots[hole].block(); !ok {
		return b, false
	}
	t.used--
	mask := len(t.slots) - 1
	for i := (hole + 1) & mask; t.slots[i].number != 0; i = (i + 1) & mask {
		if home := t.home(t.slots[i].addr); (i-home)&mask >= (i-hole)&mask {
			t.slots[hole], hole = t.slots[i], i
		}
	}
	t.slots[hole] = blockSlot{}
	return b, true
}

func (t *blockTable) grow() {
	const first = 16
	old := t.slots
	if old == nil {
		t.seed = rand.Uint64()
	}
	t.slots = make([]blockSlot, max(first, 2*len(old)))
	for i := range old {
		if old[i].number != 0 {
			t.slots[t.find(old[i].addr)] = old[i]
		}
	}
}

func (s *blockSlot) block() (liveBlock, bool) {
	return liveBlock{block: s.number - 1, size: s.size, stack: s.stack}, s.number != 0
}
