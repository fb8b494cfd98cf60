package ingest

import (
	"math"
	"strconv"
)

// scan reads a line from left to right; bad says that it was not as expected.
type scan struct {
	rest []byte
	bad  bool
}

func (s *scan) has(lit string) bool {
	if len(s.rest) < len(lit) || string(s.rest[:len(lit)]) != lit {
		return false
	}
	s.rest = s.rest[len(lit):]
	return true
}

func (s *scan) lit(lit string) {
	if !s.has(lit) {
		s.bad = true
	}
}

// number reads a decimal number with thousands commas.
func (s *scan) number() int64 {
	var n int64
	i := 0
	for ; i < len(s.rest); i++ {
		c := s.rest[i]
		if c == ',' && i > 0 && i+1 < len(s.rest) && isDigit(s.rest[i+1]) {
			continue
		}
		if !isDigit(c) {
			break
		}
		if n > (math.MaxInt64-9)/10 {
			s.bad = true
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	if i == 0 {
		s.bad = true
	}
	s.rest = s.rest[i:]
	return n
}

// delta reads " (+N)" or " (-N)" if it stands there.
func (s *scan) delta() bool {
	if !s.has(" (+") && !s.has(" (-") {
		return false
	}
	s.number()
	s.lit(")")
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// leadingDigits reads a decimal number without commas.
func leadingDigits(s []byte) (n int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(s) && i < 18 && isDigit(s[i]); i++ {
		n = n*10 + int64(s[i]-'0')
	}
	return n, s[i:], i > 0
}

func isHexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// hex reads a hexadecimal number.
func (s *scan) hex() uint64 {
	i := 0
	for i < len(s.rest) && isHexDigit(s.rest[i]) {
		i++
	}
	n, err := strconv.ParseUint(string(s.rest[:i]), 16, 64)
	if err != nil {
		s.bad = true
	}
	s.rest = s.rest[i:]
	return n
}

// clip shortens a text for a message.
func clip(s []byte) []byte {
	if len(s) > 120 {
		return append(append([]byte(nil), s[:120]...), "..."...)
	}
	return s
}
