package ingest

import (
	"encoding/binary"
	"path"
	"strconv"
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// StackID names a call stack in a [Stacks] table; 0 is "no stack known".
type StackID uint32

// FrameID names a frame in a [Stacks] table.
type FrameID uint32

// Frame is one entry of a call stack. What the log did not say is zero.
type Frame struct {
	// Function is demangled and normalised (see [NormalizeSymbol]).
	Function string
	// Module is the path of the program, library or kernel module.
	Module string
	File   string
	Line   int
	// Address is the offset in Module where that is known, else the code's
	// address in the process.
	Address uint64
	// Inlined says that the frame has no code of its own: the next frame
	// contains it.
	Inlined bool
}

// String gives the frame the way a reader of stack traces expects it.
func (f Frame) String() string {
	var b strings.Builder
	if f.Function != "" {
		b.WriteString(f.Function)
	} else {
		b.WriteString("0x")
		b.WriteString(strconv.FormatUint(f.Address, 16))
	}
	switch {
	case f.File != "":
		b.WriteString(" (")
		b.WriteString(path.Base(f.File))
		if f.Line > 0 {
			b.WriteString(":")
			b.WriteString(strconv.Itoa(f.Line))
		}
		b.WriteString(")")
	case f.Module != "":
		b.WriteString(" (in ")
		b.WriteString(path.Base(f.Module))
		b.WriteString(")")
	}
	return b.String()
}

// Stacks stores each frame and each call stack once. Stacks are innermost frame
// first. It is not safe for use by several goroutines at once.
type Stacks struct {
	frames  []Frame
	byFrame map[Frame]FrameID
	stacks  [][]FrameID // [0] is the empty stack
	byStack map[string]StackID
	key     []byte
	// depth is the frames of all stacks together, dropped how many stacks did
	// not fit.
	depth, maxDepth int
	dropped         int64
}

// maxStacked bounds the frames of all call stacks together, 8 bytes each: a log
// of some lines can build stacks without end from parts.
const maxStacked = 32 << 20

// NewStacks returns a table that holds only the empty stack, 0.
func NewStacks() *Stacks {
	return &Stacks{
		byFrame: map[Frame]FrameID{},
		stacks:  [][]FrameID{nil},
		byStack: map[string]StackID{"": 0},

		maxDepth: maxStacked,
	}
}

// Frame returns the id of f, storing it at first sight.
func (s *Stacks) Frame(f Frame) FrameID {
	if id, ok := s.byFrame[f]; ok {
		return id
	}
	id := FrameID(len(s.frames))
	s.frames = append(s.frames, f)
	s.byFrame[f] = id
	return id
}

// Stack returns the id of the call stack of these frames, innermost first,
// storing a copy at first sight. A new stack that the table has no room for is
// not stored, and 0 returned.
func (s *Stacks) Stack(frames []FrameID) StackID {
	s.key = s.key[:0]
	for _, f := range frames {
		s.key = binary.LittleEndian.AppendUint32(s.key, uint32(f))
	}
	if id, ok := s.byStack[string(s.key)]; ok {
		return id
	}
	if s.depth+len(frames) > s.maxDepth {
		s.dropped++
		return 0
	}
	s.depth += len(frames)
	id := StackID(len(s.stacks))
	s.stacks = append(s.stacks, append([]FrameID(nil), frames...))
	s.byStack[string(s.key)] = id
	return id
}

// Len is the number of stacks, the empty one included.
func (s *Stacks) Len() int { return len(s.stacks) }

// NumFrames is the number of different frames.
func (s *Stacks) NumFrames() int { return len(s.frames) }

// FrameAt returns the frame of an id that this table gave out.
func (s *Stacks) FrameAt(id FrameID) Frame { return s.frames[id] }

// FrameIDs returns the frames of a stack, innermost first; nil for the empty
// stack and for an id that the table does not hold. The slice must not be changed.
func (s *Stacks) FrameIDs(id StackID) []FrameID {
	if int(id) >= len(s.stacks) {
		return nil
	}
	return s.stacks[id]
}

// Frames returns a copy of the frames of a stack, innermost first.
func (s *Stacks) Frames(id StackID) []Frame {
	ids := s.FrameIDs(id)
	frames := make([]Frame, len(ids))
	for i, f := range ids {
		frames[i] = s.frames[f]
	}
	return frames
}

// maxMangled bounds the names that are demangled, and maxSymbol, as a power of two,
// what comes out: a short mangled name can stand for a text without bound.
const (
	maxMangled = 16 << 10
	maxSymbol  = 15
)

// NormalizeSymbol brings a symbol as some tool prints it into the one form that
// all readers use, so that the same function from different tools and builds has
// one name: demangled (C++ and Rust), without "+0x10/0x20" offset, "@@VERSION",
// compiler suffixes (.isra.0, .constprop.0, .part.0, .cold, " [clone ...]"), Rust's
// hash, and [abi:...] tags.
func NormalizeSymbol(sym string) string {
	s := strings.TrimSpace(sym)
	if i := strings.LastIndex(s, "+0x"); i > 0 && isOffset(s[i+3:]) {
		s = s[:i]
	}
	if i := strings.IndexByte(s, '@'); i > 0 && isVersion(s[i+1:]) {
		s = s[:i]
	}
	if i := strings.Index(s, " [clone "); i > 0 {
		s = s[:i]
	}
	s = trimCompilerSuffixes(s)
	switch {
	case len(s) > maxMangled:
	case strings.HasPrefix(s, "_Z"), strings.HasPrefix(s, "_R"):
		s = demangle.Filter(s, demangle.MaxLength(maxSymbol))
	case strings.HasPrefix(s, "__Z"): // macOS
		if d, err := demangle.ToString(s[1:], demangle.MaxLength(maxSymbol)); err == nil {
			s = d
		}
	}
	return trimABITags(trimRustHash(s))
}

// isVersion reports whether s can stand behind the @ of a versioned or linked
// symbol; C++20 puts a module's name there, and parameters follow it.
func isVersion(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		return c != '@' && c != '.' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z')
	})
}

// trimRustHash drops the "::h0123456789abcdef" that tells builds apart.
func trimRustHash(s string) string {
	const digits = 16
	i := len(s) - digits - len("::h")
	if i > 0 && s[i:i+3] == "::h" && isHex(s[i+3:]) {
		return s[:i]
	}
	return s
}

func trimABITags(s string) string {
	const tag = "[abi:"
	if !strings.Contains(s, tag) {
		return s
	}
	var b strings.Builder
	for {
		before, rest, _ := strings.Cut(s, tag)
		b.WriteString(before)
		_, after, closed := strings.Cut(rest, "]")
		if !closed {
			return b.String()
		}
		s = after
	}
}

// isOffset reports whether s is HEX or HEX/0xHEX.
func isOffset(s string) bool {
	off, size, found := strings.Cut(s, "/0x")
	return isHex(off) && (!found || isHex(size))
}

func isHex(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

// trimCompilerSuffixes drops what compilers add to the name of a function that
// they have split, cloned or renamed: a word and maybe a number, several times.
func trimCompilerSuffixes(s string) string {
	for {
		word := strings.LastIndexByte(s, '.')
		if word <= 0 {
			return s
		}
		if isDecimal([]byte(s[word+1:])) {
			if word = strings.LastIndexByte(s[:word], '.'); word <= 0 {
				return s
			}
		}
		name, _, _ := strings.Cut(s[word+1:], ".")
		switch name {
		case "isra", "constprop", "part", "cold", "lto_priv", "llvm", "localalias", "clone":
			s = s[:word]
		default:
			return s
		}
	}
}

// IsAllocator reports whether a frame belongs to the allocator itself or to the
// tool that watched it, so that it says nothing about who allocated.
func IsAllocator(f Frame) bool {
	// Kernels since 6.10 call the functions behind their allocation macros *_noprof.
	switch strings.TrimSuffix(f.Function, "_noprof") {
	case "malloc", "calloc", "realloc", "reallocarray", "reallocf", "memalign", "aligned_alloc", "posix_memalign", "valloc", "pvalloc",
		"kmemleak_alloc", "kmalloc", "kmalloc_trace", "kmalloc_order", "kmalloc_array", "kzalloc", "krealloc", "kvmalloc_node",
		"kmem_cache_alloc", "kmem_cache_alloc_node", "kmem_cache_alloc_lru", "kmem_cache_alloc_trace", "kmem_cache_alloc_node_trace",
		"kmem_cache_zalloc", "slab_post_alloc_hook", "kmemleak_alloc_recursive", "slab_alloc", "slab_alloc_node", "__alloc_pages",
		"create_object", "__create_object", "set_track_prepare", "stack_trace_save", "save_stack_trace", "__kvmalloc_node", "kvmalloc", "kmemleak_vmalloc",
		"kmalloc_node", "mm_page_alloc", "alloc_pages", "alloc_pages_mpol", "alloc_pages_current", "alloc_pages_node", "__alloc_pages_nodemask",
		"alloc_frozen_pages", "__alloc_frozen_pages", "__get_free_pages", "get_zeroed_page", "folio_alloc", "__folio_alloc", "vma_alloc_folio",
		"runtime.newobject", "runtime.makeslice", "runtime.growslice",
		"vmalloc", "vzalloc", "__vmalloc", "__vmalloc_node", "__vmalloc_node_range", "pcpu_alloc", "__alloc_percpu",
		"alloc_pages_vma", "folio_alloc_mpol", "get_page_from_freelist", "prep_new_page", "post_alloc_hook", "__set_page_owner", "save_stack",
		"alloc_slab_page", "allocate_slab", "new_slab", "__slab_alloc", "___slab_alloc":
		return true
	}
	switch {
	case strings.HasPrefix(f.Function, "operator new"),
		strings.HasPrefix(f.Function, "__kmalloc"),
		strings.HasPrefix(f.Function, "__kmem_cache_alloc"),
		strings.HasPrefix(f.Function, "__interceptor_"),
		strings.HasPrefix(f.Function, "alloc::alloc::"), // Rust
		strings.HasPrefix(f.Function, "<alloc::alloc::Global as "),
		strings.HasPrefix(f.Function, "kmalloc_large"),
		strings.HasPrefix(f.Function, "trace_event_raw_event_"), // the tracepoint that watched
		strings.HasPrefix(f.Function, "__traceiter_"),
		strings.HasPrefix(f.Function, "perf_trace_"),
		strings.HasPrefix(f.Function, "kmem_cache_alloc_"),
		strings.HasPrefix(f.Function, "runtime.mallocgc"):
		return true
	}
	if strings.HasSuffix(f.File, "vg_replace_malloc.c") {
		return true
	}
	m := path.Base(f.Module)
	return strings.HasPrefix(m, "vgpreload_") || strings.HasPrefix(m, "libheaptrack_") ||
		strings.HasPrefix(m, "libjemalloc.so") || strings.HasPrefix(m, "libtcmalloc") ||
		strings.HasPrefix(m, "libasan.so") || strings.HasPrefix(m, "liblsan.so") || strings.HasPrefix(m, "libclang_rt.")
}
