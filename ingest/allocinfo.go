package ingest

import (
	"bytes"
	"strconv"
)

// /proc/allocinfo of kernels since 6.10 (CONFIG_MEM_ALLOC_PROFILING), one row for
// each place in the source that allocates:
//
//	BYTES CALLS FILE:LINE [MODULE] func:NAME accurate:no
//
// A pool is one place; several may stand on one line of the source.

var allocinfoFile = poolFile{
	begins: func(line []byte) bool { return bytes.HasPrefix(line, allocinfoHead) },
	row:    allocinfoRow,
	frame:  placeFrame,
}

var (
	allocinfoHead = []byte("allocinfo - version: ")
	funcMark      = []byte(" func:")
)

func sniffAllocinfo(head []byte) string {
	if headLines(head, func(line []byte) bool {
		line = bytes.TrimSpace(line)
		return bytes.HasPrefix(line, allocinfoHead) || allocinfoRow(line).name != nil
	}) {
		return ""
	}
	return `no line "allocinfo - version: N"`
}

func allocinfoRow(line []byte) poolRow {
	if bytes.HasPrefix(line, allocinfoHead) || bytes.HasPrefix(line, []byte("#")) {
		return poolRow{kind: goodRow}
	}
	if !bytes.Contains(line, funcMark) {
		return poolRow{}
	}
	var n [2]int64 // bytes, calls
	place := line
	for i := range n {
		var field []byte
		field, place = cutField(place)
		var ok bool
		if n[i], ok = poolNumber(field); !ok {
			return poolRow{kind: badRow}
		}
	}
	if _, ok := parsePlace(place); !ok {
		return poolRow{kind: badRow}
	}
	return poolRow{kind: goodRow, name: place, bytes: n[0], count: n[1]}
}

// parsePlace reads FILE:LINE [MODULE] func:NAME and passes over what follows.
func parsePlace(text []byte) (Frame, bool) {
	where, function, ok := bytes.Cut(text, funcMark)
	if !ok {
		return Frame{}, false
	}
	var f Frame
	where = bytes.TrimRight(where, " \t")
	if i := bytes.LastIndex(where, []byte(" [")); i > 0 && where[len(where)-1] == ']' {
		f.Module = string(where[i+2 : len(where)-1])
		where = bytes.TrimRight(where[:i], " \t")
	}
	i := bytes.LastIndexByte(where, ':')
	line, err := strconv.ParseInt(string(where[i+1:]), 10, 32)
	name, _ := cutField(function)
	if i < 1 || err != nil || line < 0 || len(name) == 0 {
		return Frame{}, false
	}
	f.Function, f.File, f.Line = string(name), string(where[:i]), int(line)
	return f, true
}

func placeFrame(d *decoder, name []byte) Frame {
	f, _ := parsePlace(name)
	f.Function = d.symbol([]byte(f.Function))
	return f
}
