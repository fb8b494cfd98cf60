package attach

import (
	"bufio"
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// space is the code that a process has mapped, by address.
type space struct {
	modules []module
	code    []segment
}

// module is a program or library.
type module struct {
	name string // as the process sees it
	file string // where it can be opened from here
	// base is what the addresses in the module's file are less than those in memory.
	base uint64
	// segments of code.
	segments []segment
}

type segment struct{ start, end uint64 }

// readSpace reads /proc/PID/maps.
func readSpace(pid int) (*space, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &space{}
	at := map[string]int{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		m, ok := parseMapping(lines.Text())
		if !ok {
			continue
		}
		i, known := at[m.path]
		if !known && m.path != "" && m.path[0] == '/' {
			i = len(s.modules)
			at[m.path] = i
			s.modules = append(s.modules, m.module(pid))
			known = true
		}
		if m.code {
			s.code = append(s.code, m.segment)
		}
		if m.code && known {
			s.modules[i].segments = append(s.modules[i].segments, m.segment)
		}
	}
	s.modules = slices.DeleteFunc(s.modules, func(m module) bool { return m.segments == nil })
	return s, lines.Err()
}

// mapping is a line of the file.
type mapping struct {
	segment
	offset uint64
	code   bool
	path   string
}

// parseMapping reads "START-END rwxp OFFSET DEVICE INODE   PATH".
func parseMapping(line string) (m mapping, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 5 {
		return m, false
	}
	start, end, _ := strings.Cut(fields[0], "-")
	var errs [3]error
	m.start, errs[0] = strconv.ParseUint(start, 16, 64)
	m.end, errs[1] = strconv.ParseUint(end, 16, 64)
	m.offset, errs[2] = strconv.ParseUint(fields[2], 16, 64)
	m.code = strings.Contains(fields[1], "x")
	if i := strings.IndexByte(line, '/'); i >= 0 {
		m.path = line[i:]
	}
	return m, errors.Join(errs[:]...) == nil
}

// module is that of its first mapping. The file of one that was replaced, as by an
// upgrade, is there as long as it is mapped.
func (m *mapping) module(pid int) module {
	name, deleted := strings.CutSuffix(m.path, " (deleted)")
	out := module{name: name, file: fmt.Sprintf("/proc/%d/root%s", pid, name), base: m.start - m.offset}
	if deleted {
		out.file = fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, m.start, m.end)
	}
	f, err := elf.Open(out.file)
	if err != nil {
		return out // no program, or one that is out of reach: most begin at 0
	}
	defer f.Close()
	i := slices.IndexFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_LOAD })
	switch {
	case f.Type == elf.ET_EXEC:
		out.base = 0
	case i >= 0:
		out.base -= f.Progs[i].Vaddr - f.Progs[i].Off
	}
	return out
}

// holds reports whether there is code at an address.
func (s *space) holds(addr uint64) bool {
	i, found := slices.BinarySearchFunc(s.code, addr, func(c segment, addr uint64) int { return cmp.Compare(c.start, addr) })
	return found || i > 0 && addr < s.code[i-1].end
}

// allocator is where the functions of an allocator are.
type allocator struct {
	module, file string
	offsets      map[string]uint64 // in the file, by name
}

// findAllocator finds the module whose malloc a process calls: one that takes the place
// of the C library's where there is one. (The dynamic linker's is for itself.)
func findAllocator(s *space) (*allocator, error) {
	var libc *allocator
	for _, m := range s.modules {
		name := path.Base(m.name)
		if strings.HasPrefix(name, "ld-linux") {
			continue
		}
		a, err := m.allocator()
		if err != nil {
			return nil, err
		}
		switch {
		case a == nil:
		case strings.HasPrefix(name, "libc.") || strings.HasPrefix(name, "libc-") || strings.HasPrefix(name, "ld-musl"):
			libc = a
		default:
			return a, nil
		}
	}
	if libc == nil {
		return nil, errors.New("no library in it has malloc and free: is it linked statically, or without C?")
	}
	return libc, nil
}

// allocator is nil for a module without malloc and free.
func (m *module) allocator() (*allocator, error) {
	f, err := elf.Open(m.file)
	if err != nil {
		return nil, nil // what cannot be read is no library that matters, or it is missed later
	}
	defer f.Close()
	symbols, _ := f.DynamicSymbols() // of a damaged table there are none
	a := &allocator{m.name, m.file, map[string]uint64{}}
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF || elf.ST_TYPE(s.Info) != elf.STT_FUNC {
			continue
		}
		i := slices.IndexFunc(f.Progs, func(p *elf.Prog) bool {
			return p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value < p.Vaddr+p.Filesz
		})
		if i >= 0 {
			a.offsets[s.Name] = s.Value - f.Progs[i].Vaddr + f.Progs[i].Off
		}
	}
	if a.offsets["malloc"] == 0 || a.offsets["free"] == 0 {
		return nil, nil
	}
	if f.Machine != elf.EM_X86_64 {
		return nil, fmt.Errorf("it is a program for %v, and only those for %v can be attached to", f.Machine, elf.EM_X86_64)
	}
	a.single()
	return a, nil
}

// single leaves one name to each piece of code, which else would be told twice.
func (a *allocator) single() {
	seen := map[uint64]bool{}
	for _, f := range functions {
		if at, ok := a.offsets[f.name]; ok && seen[at] {
			delete(a.offsets, f.name)
		} else {
			seen[at] = true
		}
	}
}

// command is what a process was started with.
func command(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(bytes.TrimSpace(bytes.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)))
}
