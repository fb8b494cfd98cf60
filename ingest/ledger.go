package ingest

// A ledger knows which blocks are live, so that a free can say what it frees.
// Addresses belong to a process; blocks are numbered over the whole log.
type ledger struct {
	procs map[int32]*heap
	pid   int32 // of last
	last  *heap
	born  int64
}

// heap is the live blocks of one process.
type heap struct {
	byAddr  map[uint64]liveBlock
	byClass map[blockClass]*fifo
}

type liveBlock struct {
	block, size int64
	stack       StackID
}

// blockClass is what heaptrack's interpreted files name in place of an address.
type blockClass struct {
	stack StackID
	size  int64
}

// fifo is a queue of block numbers; the oldest block of a class is freed first.
type fifo struct {
	blocks []int64
	head   int
}

func (q *fifo) push(b int64) { q.blocks = append(q.blocks, b) }

func (q *fifo) pop() (int64, bool) {
	if q.head == len(q.blocks) {
		return -1, false
	}
	b := q.blocks[q.head]
	q.head++
	if q.head > 1024 && q.head*2 > len(q.blocks) {
		q.blocks = append(q.blocks[:0], q.blocks[q.head:]...)
		q.head = 0
	}
	return b, true
}

func newLedger() *ledger {
	return &ledger{procs: map[int32]*heap{}}
}

func (l *ledger) heap(pid int32) *heap {
	if l.last != nil && l.pid == pid {
		return l.last
	}
	h := l.procs[pid]
	if h == nil {
		h = &heap{byAddr: map[uint64]liveBlock{}}
		l.procs[pid] = h
	}
	l.pid, l.last = pid, h
	return h
}

// known reports whether any block of the process has been seen.
func (l *ledger) known(pid int32) bool {
	_, ok := l.procs[pid]
	return ok
}

// fork gives the child everything that is live in its parent. The blocks keep
// their numbers: freed in both, they die once in each process.
func (l *ledger) fork(parent, child int32) {
	from := l.heap(parent)
	to := l.heap(child)
	for addr, b := range from.byAddr {
		to.byAddr[addr] = b
	}
}

// alloc books a birth and returns the block's number and, where the address was
// still taken, the block that must have been freed unseen.
func (l *ledger) alloc(pid int32, addr uint64, size int64, stack StackID) (block int64, lost liveBlock, wasLive bool) {
	h := l.heap(pid)
	block = l.born
	l.born++
	lost, wasLive = h.byAddr[addr]
	h.byAddr[addr] = liveBlock{block: block, size: size, stack: stack}
	return block, lost, wasLive
}

// free books the death of the block at addr.
func (l *ledger) free(pid int32, addr uint64) (liveBlock, bool) {
	h := l.heap(pid)
	b, ok := h.byAddr[addr]
	if ok {
		delete(h.byAddr, addr)
	}
	return b, ok
}

// allocClass and freeClass do the same for blocks that have a class but no address.
func (l *ledger) allocClass(stack StackID, size int64) int64 {
	h := l.heap(0)
	if h.byClass == nil {
		h.byClass = map[blockClass]*fifo{}
	}
	c := blockClass{stack, size}
	q := h.byClass[c]
	if q == nil {
		q = &fifo{}
		h.byClass[c] = q
	}
	q.push(l.born)
	l.born++
	return l.born - 1
}

func (l *ledger) freeClass(stack StackID, size int64) (int64, bool) {
	q := l.heap(0).byClass[blockClass{stack, size}]
	if q == nil {
		return -1, false
	}
	return q.pop()
}
