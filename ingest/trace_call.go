package ingest

import (
	"bytes"
	"math"
	"math/bits"
	"strings"
)

// traced is a function of the allocator.
type traced struct {
	kind  callKind
	name  string
	skip  int // arguments before those of the kind
	stack StackID
}

type callKind uint8

const (
	notCall       callKind = iota
	otherCall              // asks, and changes nothing
	sizedCall              // (size, ...)
	countedCall            // (count, size)
	alignedCall            // (..., alignment, size)
	reallocCall            // (block, size)
	reallocatCall          // (block, count, size)
	freeCall               // (block, ...)
)

// classify knows the functions by the names that Valgrind prints.
func classify(name string) traced {
	t := traced{name: name}
	switch name {
	case "malloc", "valloc", "pvalloc", "__builtin_new", "__builtin_vec_new":
		t.kind = sizedCall
	case "calloc":
		t.kind = countedCall
	case "memalign", "aligned_alloc", "posix_memalign":
		t.kind = alignedCall
	case "realloc", "reallocf":
		t.kind = reallocCall
	case "reallocarray":
		t.kind = reallocatCall
	case "free", "cfree", "__builtin_delete", "__builtin_vec_delete":
		t.kind = freeCall
	case "malloc_usable_size", "mallinfo", "malloc_trim", "malloc_stats", "mallopt":
		t.kind = otherCall
	default:
		switch {
		case strings.HasPrefix(name, "_Zn"):
			t.kind = sizedCall
		case strings.HasPrefix(name, "_Zd"):
			t.kind = freeCall
		case strings.HasPrefix(name, "zone_"): // macOS: the zone comes first.
			t = classify(name[len("zone_"):])
			t.skip++
		}
	}
	return t
}

// tracedCall is a call whose result has not been printed yet.
type tracedCall struct {
	fn    *traced
	block uint64 // that is reallocated
	size  uint64 // math.MaxUint64 where it does not fit
	// nested: a realloc has been carried out by a malloc or a free within.
	nested bool
}

// cutName splits "malloc(48) = ..." behind the bracket.
func cutName(text []byte) (name, rest []byte, ok bool) {
	for i, c := range text {
		switch {
		case c == '(':
			return text[:i], text[i+1:], i > 0
		case c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z'):
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// parse reads the arguments behind the bracket. Some versions put a word before
// a number: "size 48", "al 16", "alignment 16".
func (fn *traced) parse(text []byte) (c tracedCall, rest []byte, ok bool) {
	inside, rest, ok := bytes.Cut(text, []byte(")"))
	if !ok {
		return c, nil, false
	}
	var args [6]uint64
	n := 0
	for more := len(inside) > 0; more; n++ {
		var arg []byte
		arg, inside, more = bytes.Cut(inside, []byte(","))
		if i := bytes.LastIndexByte(bytes.TrimRight(arg, " "), ' '); i >= 0 {
			arg = arg[i+1:]
		}
		if n == len(args) {
			return c, nil, false
		}
		if args[n], ok = parsePointer(bytes.TrimRight(arg, " ")); !ok {
			return c, nil, false
		}
	}
	if n < fn.skip+fn.kind.arguments() {
		return c, nil, false
	}
	c.fn = fn
	c.block, c.size = fn.kind.take(args[fn.skip:n])
	return c, rest, true
}

// take reads what the arguments of a call say: which block it is about, and how large
// one it asks for.
func (k callKind) take(a []uint64) (block, size uint64) {
	switch k {
	case sizedCall:
		size = a[0]
	case countedCall:
		size = product(a[0], a[1])
	case alignedCall:
		size = a[len(a)-1]
	case reallocCall:
		block, size = a[0], a[1]
	case reallocatCall:
		block, size = a[0], product(a[1], a[2])
	case freeCall:
		block = a[0]
	}
	return block, size
}

// multiplies reports whether the size is a product.
func (fn *traced) multiplies() bool { return fn.kind == countedCall || fn.kind == reallocatCall }

// arguments is the least number of them.
func (k callKind) arguments() int {
	switch k {
	case otherCall:
		return 0
	case countedCall, reallocCall, alignedCall:
		return 2
	case reallocatCall:
		return 3
	}
	return 1
}

func product(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	if high != 0 {
		return math.MaxUint64
	}
	return low
}

// parsePointer reads 0x and upper-case hexadecimal digits, or a decimal number.
func parsePointer(s []byte) (v uint64, ok bool) {
	digits, base, most := s, uint64(10), 19
	if len(s) > 2 && s[0] == '0' && s[1] == 'x' {
		digits, base, most = s[2:], 16, 16
	}
	// 20 decimal digits: sizes such as 18446744073709551615, a negative number.
	if base == 10 && len(digits) == 20 {
		return math.MaxUint64, isDecimal(digits)
	}
	if len(digits) == 0 || len(digits) > most {
		return 0, false
	}
	for _, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case base == 16 && 'A' <= c && c <= 'F':
			c -= 'A' - 10
		case base == 16 && 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		v = v*base + uint64(c)
	}
	return v, true
}

func isDecimal(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}
