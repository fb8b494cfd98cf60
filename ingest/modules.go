package ingest

import (
	"bytes"
	"cmp"
	"slices"
)

// modules are the mappings of a process, so that a code address can be told by its
// place in a program or library. The place stays the same when the module is loaded
// elsewhere, and is what addr2line takes.
type modules struct {
	segments []segment // by start address once sorted is set
	sorted   bool
	// bases are where each module begins in a /proc/PID/maps.
	bases map[string]uint64
}

// segment is one mapping of a module.
type segment struct {
	start, end uint64
	base       uint64 // what to subtract to get the address in the module's file
	module     string
}

func (m *modules) add(s segment) {
	m.segments = append(m.segments, s)
	m.sorted = false
}

// clear forgets all mappings.
func (m *modules) clear() { m.segments = m.segments[:0] }

// frame is the frame at a code address: an offset in a module, or the address
// itself where it is in none.
func (m *modules) frame(addr uint64) Frame {
	if !m.sorted {
		slices.SortFunc(m.segments, func(a, b segment) int { return cmp.Compare(a.start, b.start) })
		m.sorted = true
	}
	i, found := slices.BinarySearchFunc(m.segments, addr, func(s segment, addr uint64) int { return cmp.Compare(s.start, addr) })
	if !found {
		i--
	}
	if i >= 0 && addr < m.segments[i].end {
		return Frame{Module: m.segments[i].module, Address: addr - m.segments[i].base}
	}
	return Frame{Address: addr}
}

// maxMappings bounds the mappings of a process; Linux by itself stops at 65530.
const maxMappings = 1 << 20

// mapping takes a line of a list of mappings, as Linux writes it into /proc/PID/maps
// or as profilers do where there is no such file:
//
//	55d2dc1ad000-55d2dc1af000 r-xp 00002000 fe:00 9986258    /usr/bin/work
//	  7fff63dfe000-7fff63e00000: /usr/lib/libc.dylib
//
// A module's offsets count from its lowest mapping, which comes first.
func (m *modules) mapping(line []byte) bool {
	s := scan{rest: bytes.TrimSpace(line)}
	start := s.hex()
	s.lit("-")
	end := s.hex()
	if s.bad || end < start || len(m.segments) >= maxMappings {
		return false
	}
	rest, brief := bytes.CutPrefix(s.rest, []byte(":"))
	if !brief {
		// Permissions, offset, device, inode.
		for range 4 {
			rest = bytes.TrimLeft(rest, " \t")
			i := bytes.IndexByte(rest, ' ')
			if i < 0 {
				i = len(rest)
			}
			if i == 0 {
				return false
			}
			rest = rest[i:]
		}
	}
	name := string(bytes.TrimSpace(rest))
	if name == "" {
		return true // memory of no module
	}
	base, known := m.bases[name]
	if !known {
		if m.bases == nil {
			m.bases = map[string]uint64{}
		}
		base = start
		m.bases[name] = base
	}
	m.add(segment{start, end, base, name})
	return true
}

// program is the module that was mapped first at a plain path: Linux maps the
// program below its libraries.
func (m *modules) program() string {
	for _, s := range m.segments {
		if s.module[0] != '[' {
			return s.module
		}
	}
	return ""
}
