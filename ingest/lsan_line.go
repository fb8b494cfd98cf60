package ingest

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// The lines of a leak report of LeakSanitizer.

// parseLSanLeak reads "Direct leak of N byte(s) in N object(s) allocated from:",
// whatever a test runner puts before it.
func parseLSanLeak(line []byte) (e Event, ok bool) {
	i := bytes.Index(line, lsanLeak)
	if i < 1 {
		return e, false
	}
	e.Loss = Definite
	if line[i-1] == 'd' {
		e.Loss = Indirect
	}
	s := scan{rest: line[i+len(lsanLeak):]}
	e.Size = s.number()
	s.lit(" byte(s) in ")
	e.Count = s.number()
	s.lit(" object(s) allocated from:")
	return e, !s.bad && e.Count > 0 && e.Count <= maxBlock && e.Size <= maxBlock
}

// parseLSanObject reads "0xADDRESS (N bytes)".
func parseLSanObject(text []byte) (addr uint64, size int64, ok bool) {
	s := scan{rest: text}
	s.lit("0x")
	addr = s.hex()
	s.lit(" (")
	size = s.number()
	s.lit(" bytes)")
	return addr, size, !s.bad && len(s.rest) == 0
}

// lsanPID reads the number of "==N==ERROR: ...", 0 where it is missing.
func lsanPID(line []byte) int32 {
	before := bytes.TrimSuffix(line[:bytes.Index(line, lsanError)], []byte("=="))
	n, _, ok := leadingDigits(before[bytes.LastIndexByte(before, '=')+1:])
	if !ok || n > math.MaxInt32 {
		return 0
	}
	return int32(n)
}

// cutLSanFrame finds "#N 0x" in a line and returns the number and what follows.
func cutLSanFrame(text []byte) (n int64, rest []byte, ok bool) {
	_, rest, found := bytes.Cut(text, []byte("#"))
	if !found {
		return 0, nil, false
	}
	n, rest, ok = leadingDigits(rest)
	rest, hex := bytes.CutPrefix(rest, []byte(" 0x"))
	return n, rest, ok && hex
}

// parseLSanPlace reads one of the following; a function, a path and a module may hold
// blanks, and some versions append the id of the build:
//
//	in FUNCTION FILE:LINE[:COLUMN]   in FUNCTION (MODULE+0xHEX)   (MODULE+0xHEX)   (<unknown module>)
func parseLSanPlace(s string) Frame {
	var f Frame
	if i := strings.LastIndex(s, " (BuildId: "); i >= 0 {
		s = s[:i]
	}
	s, named := strings.CutPrefix(s, "in ")
	if i := placeStart(" " + s); i >= 0 {
		place := s[i+1 : len(s)-1]
		plus := strings.LastIndex(place, "+0x")
		if plus > 0 && isHex(place[plus+3:]) {
			f.Module = place[:plus]
			f.Address, _ = strconv.ParseUint(place[plus+3:], 16, 64)
			s = s[:i]
		} else if strings.HasPrefix(place, "<unknown") {
			s = s[:i]
		}
	}
	if !named {
		return f
	}
	if f.Module == "" {
		s, f.File, f.Line = cutSource(s)
	}
	if s = strings.TrimSpace(s); s != "<null>" {
		f.Function = NormalizeSymbol(trimInterceptor(s))
	}
	return f
}

// cutSource cuts FILE:LINE[:COLUMN] off the end of a text. An absolute path may hold
// blanks; any other begins at the last one.
func cutSource(s string) (function, file string, line int) {
	i := pathStart(s)
	if i < 0 {
		i = strings.LastIndexByte(s, ' ')
	}
	if i < 0 {
		return s, "", 0
	}
	file, line = cutLine(s[i+1:])
	if line == 0 && !strings.ContainsAny(file, `/\`) {
		return s, "", 0
	}
	return s[:i], file, line
}

// pathStart is the index of the blank before an absolute path, -1 where there is none.
func pathStart(s string) int {
	i := strings.Index(s, " /")
	for j := 0; j+3 < len(s); j++ {
		if s[j] == ' ' && s[j+2] == ':' && (s[j+3] == '\\' || s[j+3] == '/') && (i < 0 || j < i) {
			return j
		}
	}
	return i
}

// cutLine cuts :LINE or :LINE:COLUMN off a file name.
func cutLine(s string) (file string, line int) {
	for range 2 {
		i := strings.LastIndexByte(s, ':')
		n, err := strconv.Atoi(s[i+1:])
		if i < 1 || err != nil || n < 0 {
			break
		}
		s, line = s[:i], n
	}
	return s, line
}

// trimInterceptor gives a function that the sanitizer stands in for its own name.
func trimInterceptor(s string) string {
	if name, ok := strings.CutPrefix(strings.TrimLeft(s, "_"), "interceptor_"); ok && s[0] == '_' {
		return name
	}
	return s
}
