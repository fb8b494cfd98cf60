package ingest

// hexFields reads the blank-separated hexadecimal numbers of a line.
type hexFields struct{ b []byte }

// letter takes the first byte of the line if it is c.
func (f *hexFields) letter(c byte) bool {
	if len(f.b) == 0 || f.b[0] != c {
		return false
	}
	f.b = f.b[1:]
	return true
}

// next takes one number of at most 64 bits.
func (f *hexFields) next() (v uint64, ok bool) {
	i := 0
	for i < len(f.b) && f.b[i] == ' ' {
		i++
	}
	start := i
	for ; i < len(f.b) && f.b[i] != ' '; i++ {
		c := f.b[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		v = v<<4 | uint64(c)
	}
	if start == 0 || i == start || i-start > 16 {
		return 0, false
	}
	f.b = f.b[i:]
	return v, true
}

// empty reports whether nothing but blanks is left.
func (f *hexFields) empty() bool {
	for _, c := range f.b {
		if c != ' ' {
			return false
		}
	}
	return true
}
