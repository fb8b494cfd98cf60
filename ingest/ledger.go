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
	blocks blockTable
	live   Amount // what the table holds
}

type liveBlock struct {
	block, size int64
	stack       StackID
}

// fifo is a queue of block numbers; the oldest block of a class is freed first.
type fifo struct {
	blocks []int64
	head   int
}

func (q *fifo) push(b int64) {
	if q.head > 64 && q.head*2 > len(q.blocks) {
		q.blocks = append(q.blocks[:0], q.blocks[q.head:]...)
		q.head = 0
	}
	q.blocks = append(q.blocks, b)
}

func (q *fifo) pop() (int64, bool) {
	if q.head == len(q.blocks) {
		return -1, false
	}
	b := q.blocks[q.head]
	q.head++
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
		h = &heap{}
		l.procs[pid] = h
	}
	l.pid, l.last = pid, h
	return h
}

// has reports whether a block of the process is live at addr.
func (l *ledger) has(pid int32, addr uint64) bool {
	_, ok := l.heap(pid).blocks.get(addr)
	return ok
}

// drop forgets a process that has ended, or has become another program.
func (l *ledger) drop(pid int32) {
	delete(l.procs, pid)
	l.last = nil
}

// alloc books a birth and returns the block's number and, where the address was
// still taken, the block that must have been freed unseen.
func (l *ledger) alloc(pid int32, addr uint64, size int64, stack StackID) (block int64, lost liveBlock, wasLive bool) {
	h := l.heap(pid)
	block = l.born
	l.born++
	lost, wasLive = h.blocks.put(addr, liveBlock{block: block, size: size, stack: stack})
	if wasLive {
		h.live.Blocks--
		h.live.Bytes -= lost.size
	}
	h.live.Blocks++
	h.live.Bytes += size
	return block, lost, wasLive
}

// free books the death of the block at addr.
func (l *ledger) free(pid int32, addr uint64) (liveBlock, bool) {
	h := l.heap(pid)
	b, ok := h.blocks.remove(addr)
	if ok {
		h.live.Blocks--
		h.live.Bytes -= b.size
	}
	return b, ok
}
