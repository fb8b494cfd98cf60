package ingest

import "bytes"

// heapRows are the rows of a heap profile that names code by address. They wait
// for the list of mappings at the end of the file, which tells what the addresses
// mean.
type heapRows struct {
	d    *decoder
	rows []heapRow
	// addrs are the call stacks of all rows, innermost first, one after the other.
	addrs   []uint64
	dropped int64 // rows that found no room
	modules modules
	rate    int64 // of a sampled profile: bytes from one sample to the next
	held    snapshot
}

// heapRow is count blocks of size bytes in all.
type heapRow struct {
	count, size, line int64
	from, to          int // of its stack in addrs
	// named is the stack where the profile itself has names.
	named StackID
}

// maxAddresses bounds the addresses that wait, 8 bytes each.
const maxAddresses = maxStacked

// isMappedMark reports whether the mappings begin behind a line.
func isMappedMark(line []byte) bool {
	return bytes.HasPrefix(line, []byte("MAPPED_LIBRARIES:")) || bytes.HasPrefix(line, []byte("--- Memory map: ---"))
}

// add takes a row and the text of its call stack, "0x1 0x2 ...".
func (h *heapRows) add(row heapRow, stack []byte) bool {
	row.from = len(h.addrs)
	for {
		stack = bytes.TrimLeft(stack, " \t")
		if len(stack) == 0 {
			break
		}
		s := scan{rest: stack}
		s.lit("0x")
		addr := s.hex()
		if stack = s.rest; s.bad || len(stack) > 0 && stack[0] != ' ' {
			h.addrs = h.addrs[:row.from]
			return false
		}
		// jemalloc writes -1 where the unwinder had no address.
		if addr != 0 && addr != 1<<64-1 && len(h.addrs)-row.from < maxDepth {
			h.addrs = append(h.addrs, addr)
		}
	}
	if len(h.addrs) > maxAddresses || len(h.rows) >= maxEntries {
		h.addrs = h.addrs[:row.from]
		h.dropped++
		return true
	}
	row.to = len(h.addrs)
	h.rows = append(h.rows, row)
	return true
}

// mappings reads the lines behind the mark to the end of the log.
func (h *heapRows) mappings() {
	for {
		line, ok := h.d.lines.next()
		if !ok {
			return
		}
		if !h.d.lines.partial && h.modules.mapping(line) {
			h.d.report.Recognised++
		}
	}
}

// emit hands on all rows as one scan.
func (h *heapRows) emit() bool {
	d := h.d
	if d.report.Command == "" {
		d.report.Command = h.modules.program()
	}
	var ids []FrameID
	byAddr := map[uint64]FrameID{}
	for _, row := range h.rows {
		e := Event{Line: row.line, Stack: row.named}
		if e.Count, e.Size = unsample(row.count, row.size, h.rate); e.Count == 0 && e.Size == 0 {
			continue
		}
		if e.Stack == 0 {
			ids = ids[:0]
			for _, addr := range h.addrs[row.from:row.to] {
				id, ok := byAddr[addr]
				if !ok {
					id = d.stacks.Frame(h.modules.frame(addr))
					byAddr[addr] = id
				}
				ids = append(ids, id)
			}
			e.Stack = d.stacks.Stack(ids)
		}
		h.held.add(e)
	}
	if n := len(h.held.entries); n == 1 && h.held.entries[0].Stack == 0 {
		d.report.Warn("%s: no row has a call stack: the profiler could not unwind", d.report.Name)
	}
	if h.dropped > 0 {
		d.report.Warn("%s: %d rows were left out, because those before fill the table", d.report.Name, h.dropped)
	}
	if h.rate > 1 {
		d.report.Warn("%s: the profile is a sample of about one in %d bytes: sizes and numbers of blocks are estimates", d.report.Name, h.rate)
	}
	return h.held.emit(d, 0)
}
