package ingest

import "bytes"

// /proc/slabinfo, version 2.x, one row for each cache of kernel objects:
//
//	NAME ACTIVE OBJECTS SIZE OBJECTS/SLAB PAGES/SLAB : tunables N N N : slabdata SLABS SLABS N
//
// A pool is what is active of a cache: that many objects of that size. The kernel
// merges caches of one size, so that a name may stand for several users.

var slabinfoFile = poolFile{
	begins: func(line []byte) bool { return bytes.HasPrefix(line, slabinfoHead) },
	row:    slabinfoRow,
	frame:  func(d *decoder, name []byte) Frame { return Frame{Function: d.text(name), Module: "slabinfo"} },
	check:  "slab objects that fit into their slabs",
}

var (
	slabinfoHead = []byte("slabinfo - version: ")
	slabTunables = []byte(" : tunables ")
	slabData     = []byte(" : slabdata ")
)

func sniffSlabinfo(head []byte) string {
	if headLines(head, func(line []byte) bool {
		line = bytes.TrimSpace(line)
		return bytes.HasPrefix(line, slabinfoHead) || slabinfoRow(line).name != nil
	}) {
		return ""
	}
	return `no line "slabinfo - version: N"`
}

func slabinfoRow(line []byte) poolRow {
	if version, ok := bytes.CutPrefix(line, slabinfoHead); ok {
		if !bytes.HasPrefix(version, []byte("2.")) {
			return poolRow{kind: badRow}
		}
		return poolRow{kind: goodRow}
	}
	if bytes.HasPrefix(line, []byte("# name ")) {
		return poolRow{kind: goodRow}
	}
	front, rest, ok := bytes.Cut(line, slabTunables)
	if !ok {
		return poolRow{}
	}
	_, data, ok := bytes.Cut(rest, slabData)
	if !ok {
		return poolRow{kind: badRow}
	}
	var n [5]int64     // active, objects, size, objects of a slab, pages of a slab
	var slabs [2]int64 // active, all
	name, ok := cutNumbers(front, n[:])
	if !ok || len(name) == 0 || !readNumbers(data, slabs[:]) {
		return poolRow{kind: badRow}
	}
	total := product(uint64(n[0]), uint64(n[2]))
	room := product(uint64(slabs[1]), uint64(n[3]))
	if total > maxBlock || room > maxBlock {
		return poolRow{kind: badRow}
	}
	// The counts of objects and of slabs are read one after the other: meanwhile
	// a slab may come or go. Where memory was short, a slab may hold fewer.
	fit := min(n[1], int64(room)+n[3])
	return poolRow{kind: goodRow, name: name, bytes: int64(total), count: n[0], told: n[1], sum: fit}
}

// readNumbers reads the first numbers of a text.
func readNumbers(text []byte, to []int64) (ok bool) {
	for i := range to {
		var field []byte
		field, text = cutField(text)
		if to[i], ok = poolNumber(field); !ok {
			return false
		}
	}
	return true
}

// cutNumbers cuts the last numbers off a text: what stands before them, a name, may
// hold blanks.
func cutNumbers(text []byte, to []int64) (rest []byte, ok bool) {
	for i := len(to) - 1; i >= 0; i-- {
		text = bytes.TrimRight(text, " \t")
		at := bytes.LastIndexAny(text, " \t") + 1
		if to[i], ok = poolNumber(text[at:]); !ok {
			return nil, false
		}
		text = text[:at]
	}
	return bytes.TrimRight(text, " \t"), true
}
