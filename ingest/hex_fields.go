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
	b := f.b
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	v, n := hexDigits(b)
	if len(b) == len(f.b) || n == 0 || n > 16 || n < len(b) && b[n] != ' ' {
		return 0, false
	}
	f.b = b[n:]
	return v, true
}

// hexDigits reads the digits at the front of b; of more than 16 of them the last 16
// make v.
func hexDigits(b []byte) (v uint64, n int) {
	for ; n < len(b); n++ {
		d := hexValue[b[n]]
		if d == 0 {
			break
		}
		v = v<<4 | uint64(d-1)
	}
	return v, n
}

// hexValue is the value of each hexadecimal digit, plus one. Note: which digits are
// letters cannot be foreseen, and so a comparison costs more than this look-up.
var hexValue = [256]uint8{
	'0': 1, '1': 2, '2': 3, '3': 4, '4': 5, '5': 6, '6': 7, '7': 8, '8': 9, '9': 10,
	'a': 11, 'b': 12, 'c': 13, 'd': 14, 'e': 15, 'f': 16,
	'A': 11, 'B': 12, 'C': 13, 'D': 14, 'E': 15, 'F': 16,
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
