package ingest

import (
	"bytes"
	"math/bits"
)

// /proc/vmallocinfo, one row for each area of the kernel's address space:
//
//	0xHEX-0xHEX SIZE CALLER+0xHEX/0xHEX [MODULE] pages=N phys=0xHEX vmalloc vpages N0=N
//
// A pool is what one caller has of vmalloc'ed memory. Areas that map something else
// (ioremap, vmap, sparse, DMA) are no memory of their own, nor are those that wait
// to be unmapped.

var vmallocinfoFile = poolFile{
	row:   vmallocRow,
	frame: callerFrame,
	check: "pages of the memory nodes",
}

func sniffVmallocinfo(head []byte) string {
	if headLines(head, func(line []byte) bool { return vmallocRow(bytes.TrimSpace(line)).kind == goodRow }) {
		return ""
	}
	return `no line "0xHEX-0xHEX SIZE CALLER"`
}

func vmallocRow(line []byte) poolRow {
	area, rest := cutField(line)
	from, to, ok := bytes.Cut(area, []byte("-0x"))
	if !ok || !bytes.HasPrefix(from, []byte("0x")) || !isAreaEnd(from[2:]) || !isAreaEnd(to) {
		return poolRow{}
	}
	field, rest := cutField(rest)
	size, ok := poolNumber(field)
	if !ok || len(rest) == 0 {
		return poolRow{kind: badRow}
	}
	caller, pages, nodes, allocated := vmallocFields(rest)
	if pages < 0 {
		return poolRow{kind: badRow}
	}
	row := poolRow{kind: goodRow}
	if nodes > 0 {
		row.told, row.sum = pages, nodes
	}
	if allocated && len(caller) > 0 {
		row.name, row.bytes, row.count = caller, withoutGuard(size, pages), 1
	}
	return row
}

// isAreaEnd takes an address, or what stands for one in a kernel that hides it.
func isAreaEnd(s []byte) bool { return isHex(string(s)) && len(s) <= 16 }

// vmallocFields reads what stands behind the size; pages is -1 where a number is
// damaged, nodes the sum of the pages on each node. allocated says that vmalloc
// made the area.
func vmallocFields(text []byte) (caller []byte, pages, nodes int64, allocated bool) {
	caller, rest := cutCaller(text)
	for len(rest) > 0 {
		var field []byte
		field, rest = cutField(rest)
		if string(field) == "vmalloc" {
			allocated = true
		}
		key, value, valued := bytes.Cut(field, []byte("="))
		node := len(key) > 1 && key[0] == 'N' && isDecimal(key[1:])
		if !valued || !node && string(key) != "pages" {
			continue
		}
		n, ok := poolNumber(value)
		if !ok || nodes > maxNumber {
			return nil, -1, 0, false
		}
		if node {
			nodes += n
		} else {
			pages = n
		}
	}
	return caller, pages, nodes, allocated
}

// cutCaller cuts off the caller with its module, if it has one.
func cutCaller(text []byte) (caller, rest []byte) {
	field, rest := cutField(text)
	if bytes.IndexByte(field, '=') >= 0 {
		return nil, text
	}
	if len(rest) > 0 && rest[0] == '[' {
		_, rest = cutField(rest)
	}
	return bytes.TrimRight(text[:len(text)-len(rest)], " \t"), rest
}

// withoutGuard takes the page off an area's size that is never touched: it has
// one more than it has memory for.
func withoutGuard(size, pages int64) int64 {
	const smallest = 4096
	if pages == 0 || size%(pages+1) != 0 {
		return size
	}
	if page := size / (pages + 1); page >= smallest && bits.OnesCount64(uint64(page)) == 1 {
		return size - page
	}
	return size
}

// callerFrame reads SYM+0xHEX/0xHEX [MODULE], or an address.
func callerFrame(d *decoder, name []byte) Frame {
	if f, skip, ok := parseKernelFrame(name); ok && !skip {
		return f
	}
	return Frame{Function: d.symbol(name)}
}
