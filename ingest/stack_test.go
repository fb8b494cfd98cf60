package ingest_test

import (
	"strings"
	"testing"

	"leakformer/ingest"
)

func TestNormalizeSymbol(t *testing.T) {
	for sym, want := range map[string]string{
		"main":                        "main",
		" main ":                      "main",
		"malloc@plt":                  "malloc",
		"pthread_create@@GLIBC_2.34":  "pthread_create",
		"pthread_create@GLIBC_2.2.5":  "pthread_create",
		"T@mod.name(int)":             "T@mod.name(int)",
		"kmem_cache_alloc+0x10/0x2f0": "kmem_cache_alloc",
		"start_kernel+0x3f":           "start_kernel",
		"a+0xg":                       "a+0xg",
		"+0x10":                       "+0x10",

		"__alloc_skb.isra.0":          "__alloc_skb",
		"f.lto_priv.0.constprop.12":   "f",
		"f.isra.0.cold":               "f",
		"f.cold.5":                    "f",
		"f.llvm.1234567890":           "f",
		"f.localalias":                "f",
		"f(int) [clone .part.3]":      "f(int)",
		"main.coldStart":              "main.coldStart",
		"main.(*part).run":            "main.(*part).run",
		"main.part.run":               "main.part.run",
		"_GLOBAL__sub_I_eh_alloc.cc":  "_GLOBAL__sub_I_eh_alloc.cc",
		"loop._omp_fn.0":              "loop._omp_fn.0",
		".cold":                       ".cold",
		"f.isra.0+0x10/0x20":          "f",
		"_ZN3foo3barEv.part.3.cold":   "foo::bar()",
		"_ZN3foo3barEv@@LIB_1.0":      "foo::bar()",
		"_Znwm":                       "operator new(unsigned long)",
		"_ZnamRKSt9nothrow_t":         "operator new[](unsigned long, std::nothrow_t const&)",
		"_ZnwmSt11align_val_t":        "operator new(unsigned long, std::align_val_t)",
		"__ZN3fooC1Ev":                "foo::foo()",
		"__Znothing":                  "__Znothing",
		"_Zfoo":                       "_Zfoo",
		"_ZN3foo8allocateB5cxx11Ev":   "foo::allocate()",
		"f[abi:cxx11](g[abi:v1] int)": "f(g int)",
		"f[abi:broken":                "f",

		"_RNvCskwGfYPst2Cb_3foo16example_function":        "foo::example_function",
		"_ZN4core3ptr13drop_in_place17h0123456789abcdefE": "core::ptr::drop_in_place",
		"<T as a::B>::f::h0123456789abcdef":               "<T as a::B>::f",
		"core::h012345678":                                "core::h012345678",
		"thread<main(int, char**)::<lambda()> >":          "thread<main(int, char**)::<lambda()> >",
		"operator new[](unsigned long)":                   "operator new[](unsigned long)",
	} {
		if got := ingest.NormalizeSymbol(sym); got != want {
			t.Errorf("NormalizeSymbol(%q) = %q, want %q", sym, got, want)
		}
		if again := ingest.NormalizeSymbol(want); again != want {
			t.Errorf("NormalizeSymbol(%q) = %q: not stable", want, again)
		}
	}
}

// Names that stand for very long texts, or need much recursion, are cut short.
func TestNormalizeSymbolIsBounded(t *testing.T) {
	pair := "1a"
	for range 12 {
		pair = "St4pairI" + pair + pair + "E"
	}
	for _, sym := range []string{
		"_Z1f" + pair,
		"_Z1f" + strings.Repeat("P", 1<<20) + "i",
		"_ZN" + strings.Repeat("1a", 1<<19) + "E",
		strings.Repeat("[abi:]", 1<<17),
		strings.Repeat(".cold", 1<<17),
	} {
		if got := ingest.NormalizeSymbol(sym); len(got) > max(len(sym), 1<<15) {
			t.Errorf("%.20q...: %d bytes", sym, len(got))
		}
	}
}

func TestFrameString(t *testing.T) {
	for want, f := range map[string]ingest.Frame{
		"f (a.c:12)":     {Function: "f", File: "/src/a.c", Line: 12, Module: "/bin/a", Address: 5},
		"f (a.c)":        {Function: "f", File: "a.c"},
		"f (in libz.so)": {Function: "f", Module: "/lib/libz.so"},
		"0x1f (in a)":    {Address: 0x1f, Module: "/bin/a"},
		"f":              {Function: "f"},
		"0x0":            {},
	} {
		if got := f.String(); got != want {
			t.Errorf("%+v.String() = %q, want %q", f, got, want)
		}
	}
}

func TestStacksStoreOnce(t *testing.T) {
	s := ingest.NewStacks()
	f, g := s.Frame(ingest.Frame{Function: "f"}), s.Frame(ingest.Frame{Function: "g"})
	if s.Frame(ingest.Frame{Function: "f"}) != f || f == g || s.NumFrames() != 2 {
		t.Errorf("frames %d and %d of %d", f, g, s.NumFrames())
	}
	frames := []ingest.FrameID{f, g}
	fg := s.Stack(frames)
	frames[0] = g // The table keeps a copy.
	gg := s.Stack(frames)
	if fg == gg || s.Stack([]ingest.FrameID{f, g}) != fg || s.Stack(nil) != 0 || s.Len() != 3 {
		t.Errorf("stacks %d and %d of %d", fg, gg, s.Len())
	}
	if got := s.Frames(fg); len(got) != 2 || got[0].Function != "f" || got[1].Function != "g" {
		t.Errorf("frames of stack %d: %v", fg, got)
	}
	if s.FrameIDs(99) != nil || s.FrameIDs(0) != nil {
		t.Error("an unknown stack has frames")
	}
}

func TestIsAllocator(t *testing.T) {
	for _, f := range []ingest.Frame{
		{Function: "malloc"}, {Function: "operator new(unsigned long)"}, {Function: "__interceptor_calloc"},
		{Function: "__kmalloc_node_track_caller"}, {Function: "create_object"}, {Function: "save_stack_trace"},
		{Function: "kmalloc_trace_noprof"}, {Function: "__kmalloc_cache_noprof"}, {Function: "pcpu_alloc_noprof"}, {Function: "vzalloc"},
		{Function: "trace_event_raw_event_kmalloc"}, {Function: "__traceiter_kmem_cache_alloc"}, {Function: "alloc_pages_mpol"}, {Function: "__alloc_frozen_pages_noprof"},
		{Function: "f", Module: "/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so"},
		{Function: "g", Module: "/usr/lib/heaptrack/libheaptrack_preload.so"}, {Function: "h", File: "vg_replace_malloc.c"},
	} {
		if !ingest.IsAllocator(f) {
			t.Errorf("%v is no allocator", f)
		}
	}
	for _, f := range []ingest.Frame{{Function: "main"}, {}, {Function: "my_malloc"}, {Function: "probe_noprof"}, {Function: "operator()(int)"}, {Module: "/lib/libc.so.6"}} {
		if ingest.IsAllocator(f) {
			t.Errorf("%v is an allocator", f)
		}
	}
}

func FuzzNormalizeSymbol(f *testing.F) {
	for _, s := range []string{"_ZN3foo3barEv.part.3.cold", "f+0x10/0x20", "_RNvCskwGfYPst2Cb_3foo3bar", "f[abi:a](g[abi:b])@@V_1", "__ZN3fooC1Ev"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sym string) {
		if got := ingest.NormalizeSymbol(sym); len(got) > max(len(sym), 1<<15) {
			t.Fatalf("%d bytes out of %d", len(got), len(sym))
		}
	})
}
