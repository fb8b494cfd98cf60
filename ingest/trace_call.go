package ingest

import (
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

// parse reads the arguments behind the bracket.
func (fn *traced) parse(text []byte) (c tracedCall, rest []byte, ok bool) {
	var args [6]uint64
	n, more := 0, len(text) > 0 && text[0] != ')'
	for rest = text; more; n++ {
		if n == len(args) {
			return c, nil, false
		}
		if args[n], rest, ok = cutArgument(rest); !ok {
			return c, nil, false
		}
		if more = rest[0] == ','; more {
			rest = rest[1:]
		}
	}
	if len(rest) == 0 || rest[0] != ')' {
		return c, nil, false
	}
	rest = rest[1:]
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

// cutArgument reads an argument up to the comma or bracket behind it. Some versions
// put a word before a number: "size 48", "al 16", "alignment 16".
func cutArgument(s []byte) (v uint64, rest []byte, ok bool) {
	i := 0
	for i < len(s) && (s[i] == ' ' || s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z') {
		i++
	}
	v, rest, ok = cutPointer(s[i:])
	for len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	return v, rest, ok && len(rest) > 0
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

// parsePointer reads 0x and hexadecimal digits, or a decimal number.
func parsePointer(s []byte) (v uint64, ok bool) {
	v, rest, ok := cutPointer(s)
	return v, ok && len(rest) == 0
}

// cutPointer is parsePointer for what more may stand behind.
func cutPointer(s []byte) (v uint64, rest []byte, ok bool) {
	if len(s) > 2 && s[0] == '0' && s[1] == 'x' {
		v, n := hexDigits(s[2:])
		return v, s[2+n:], n > 0 && n <= 16
	}
	n := 0
	for ; n < len(s) && isDigit(s[n]); n++ {
		v = v*10 + uint64(s[n]-'0')
	}
	if n == 20 {
		v = math.MaxUint64 // sizes such as 18446744073709551615, a negative number
	}
	return v, s[n:], n > 0 && n <= 20
}

func isDecimal(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}
