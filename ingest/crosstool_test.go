package ingest_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// truth is what testdata/src/crosstool.cpp does: for each of its allocation sites the
// sizes of all blocks, and of those that live at its end.
var truth = []struct {
	site      string
	all, live []int64
}{
	{"remember < work < main", times(10, 32), times(7, 32)},
	{"lose < work < main", []int64{10, 11, 12, 13, 14}, []int64{10, 11, 12, 13, 14}},
	{"make<int> < work < main", times(2, 12), times(1, 12)},
	{"make<double> < work < main", times(1, 32), times(1, 32)},
	{"grow < work < main", []int64{100, 200, 400}, []int64{400}},
	{"cloned < work < main", []int64{3, 12, 27, 48}, []int64{3, 12, 27, 48}},
	{"copy < work < main", times(2, 17), times(1, 17)},
	{"dive < dive < dive < dive < work < main", times(1, 48), times(1, 48)},
	{"aligned < work < main", []int64{128, 256}, []int64{128}},
}

func times(n int, size int64) (sizes []int64) {
	for range n {
		sizes = append(sizes, size)
	}
	return sizes
}

// tally is what a log says of a site. A report tells only what lives.
type tally struct {
	allocs, allocated, blocks, bytes int64
}

// depth is how much of a call stack a tool tells.
type depth uint8

const (
	wholeStack depth = iota
	callerOnly       // the function that called the allocator
	sizeOnly         // nothing: the size stands for the site
)

// tool runs the program and tells its log.
type tool struct {
	name, program string
	command       string // of sh, in a folder with the programs; it writes the file log
	depth         depth
	report        bool
	// elsewhere tells sites that the tool puts somewhere else, "" where it
	// misses them; see TestToolsAgree.
	elsewhere map[string]string
}

var tools = []tool{
	{name: "heaptrack", command: "heaptrack -o h ./p && mv h.* log"},
	{name: "gdb", command: "ALLOCATIONS_LOG=log gdb -nx -q -batch -x allocations.py --args ./p"},
	{name: "valgrind --trace-malloc", command: "valgrind --trace-malloc=yes --log-file=log ./p", depth: sizeOnly},
	{name: "mtrace", program: "./mtraced", command: "MALLOC_TRACE=log LD_PRELOAD=libc_malloc_debug.so.0 ./mtraced", depth: callerOnly,
		elsewhere: map[string]string{"copy": "outside", "remember": "", "make<int>": "", "make<double>": ""}},
	{name: "ltrace", program: "./p", command: "ltrace -i -o log ./p", depth: callerOnly, elsewhere: map[string]string{"copy": ""}},
	{name: "memcheck", command: "valgrind --leak-check=full --show-leak-kinds=all --log-file=log ./p", report: true},
	{name: "memcheck, XML", command: "valgrind --leak-check=full --show-leak-kinds=all --xml=yes --xml-file=log ./p", report: true},
	{name: "dhat", command: "valgrind --tool=dhat --dhat-out-file=log ./p", report: true},
	{name: "AddressSanitizer", command: "./asan 2>log; test -s log", report: true},
	{name: "LeakSanitizer", command: "./lsan 2>log; test -s log", report: true,
		elsewhere: map[string]string{"copy < work < main": ""}},
	{name: "LeakSanitizer, slow", command: "LSAN_OPTIONS=fast_unwind_on_malloc=0 ./lsan 2>log; test -s log", report: true},
}

// TestToolsAgree runs one program under every tool that is installed: after
// normalisation all tell the same sites, counts and bytes. Normalisation is what the
// readers do (one form of symbols, compiler's suffixes off, frames of the allocator
// known) and what every comparison has to do beside: leave out frames that are
// inlined, parameters, and namespaces, which debug information does not give for
// functions that are static or inlined. What is left of differences:
//
//	tool            what differs                                  why
//	trace-malloc    sites are sizes                               it prints no call stack
//	mtrace          sites are callers: those of new and strdup    it prints one return address, here that in
//	                are missing                                   operator new or in strdup
//	mtrace          C++'s emergency pool (72,704 bytes) missing   it starts behind the C++ library
//	ltrace          sites are callers; strdup's are missing       it sees calls of the program, not those of libraries
//	gdb             the pool outlives the program                 heaptrack and Valgrind have libraries free their own at the end
//	memcheck, dhat  no pool                                       Valgrind has it freed before the report
//	sanitizers      no pool                                       it is reachable, and such are not reported
//	memcheck, dhat,
//	sanitizers      blocks that were freed are missing            they report what is live at the end
//	LeakSanitizer   strdup's caller missing                       its quick unwinder needs frame pointers, which glibc
//	                                                              lacks; with fast_unwind_on_malloc=0 it is there

func TestToolsAgree(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a dozen tools")
	}
	dir := t.TempDir()
	buildCrosstool(t, dir)
	for _, tool := range tools {
		t.Run(tool.name, func(t *testing.T) {
			got := tool.sites(t, dir)
			want := tool.truth()
			for _, site := range slices.Sorted(maps.Keys(want)) {
				if got[site] != want[site] {
					t.Errorf("%s: %+v, want %+v", site, got[site], want[site])
				}
				delete(got, site)
			}
			for site, n := range got {
				t.Errorf("%s: %+v, want none", site, n)
			}
		})
	}
}

// buildCrosstool makes the program in the variants that the tools need. Its frame
// pointers and whole calls let the sanitizers walk the stack.
func buildCrosstool(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"crosstool.cpp", "mtrace.c"} {
		text, err := os.ReadFile(filepath.Join("testdata", "src", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "allocations.py"), []byte(ingest.GDBScript), 0o644); err != nil {
		t.Fatal(err)
	}
	const flags = "-O2 -g -fno-builtin -no-pie -fno-omit-frame-pointer -fno-optimize-sibling-calls crosstool.cpp"
	for _, command := range []string{
		"g++ -o p " + flags, "gcc -c mtrace.c && g++ -o mtraced " + strings.Replace(flags, "-no-pie", "-pie", 1) + " mtrace.o",
		"g++ -fsanitize=address -o asan " + flags, "g++ -fsanitize=leak -o lsan " + flags,
	} {
		if out, err := shell(dir, command); err != nil {
			t.Skipf("no compiler: %v\n%s", err, out)
		}
	}
}

func shell(dir, command string) (string, error) {
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// sites runs a tool and adds up what its log says of each site.
func (w *tool) sites(t *testing.T, dir string) map[string]tally {
	t.Helper()
	os.Remove(filepath.Join(dir, "log"))
	out, err := shell(dir, w.command)
	src, openErr := ingest.Open(filepath.Join(dir, "log"), ingest.Options{})
	if openErr != nil {
		t.Skipf("the tool does not run here: %v, %v\n%s", err, openErr, out)
	}
	defer src.Close()
	events, err := ingesttest.ReadAll(t, src)
	if r := src.Report(); err != nil || r.Errors != 0 || r.LostFrees != 0 || r.Truncated || r.Oracle != nil && !r.Oracle.OK {
		t.Errorf("%+v, oracle %+v, %v", r, r.Oracle, err)
	}
	sums := map[string]tally{}
	site := w.namer(t, dir, src.Stacks())
	for _, e := range events {
		name := site(&e)
		if name == "" {
			continue // Nothing of ours: what the C++ library keeps in store.
		}
		n := sums[name]
		switch e.Op {
		case ingest.Alloc:
			n.allocs++
			n.allocated += e.Size
			n.blocks++
			n.bytes += e.Size
		case ingest.Free:
			n.blocks--
			n.bytes -= e.Size
		case ingest.Outstanding:
			n.blocks += e.Count
			n.bytes += e.Size
		}
		sums[name] = n
	}
	return sums
}

// truth is what the tool has to tell.
func (w *tool) truth() map[string]tally {
	sums := map[string]tally{}
	for _, s := range truth {
		add := func(sizes []int64, count func(n *tally, size int64)) {
			for _, size := range sizes {
				name := s.site
				switch w.depth {
				case callerOnly:
					name, _, _ = strings.Cut(s.site, " < ")
				case sizeOnly:
					name = fmt.Sprintf("%d bytes", size)
				}
				if other, ok := w.elsewhere[name]; ok {
					name = other
				}
				if name != "" {
					n := sums[name]
					count(&n, size)
					sums[name] = n
				}
			}
		}
		if !w.report {
			add(s.all, func(n *tally, size int64) { n.allocs++; n.allocated += size })
		}
		add(s.live, func(n *tally, size int64) { n.blocks++; n.bytes += size })
	}
	return sums
}

// namer tells the site of an event as the functions of the program on its call stack;
// "" where there are none.
func (w *tool) namer(t *testing.T, dir string, stacks *ingest.Stacks) func(*ingest.Event) string {
	symbols := map[uint64]string{}
	return func(e *ingest.Event) string {
		switch w.depth {
		case sizeOnly:
			if e.Size > 4096 {
				return ""
			}
			return fmt.Sprintf("%d bytes", e.Size)
		case callerOnly:
			for _, f := range stacks.Frames(e.Stack) {
				if ingest.IsAllocator(f) {
					continue
				}
				if f.Module != "" && filepath.Base(f.Module) != filepath.Base(w.program) {
					return "outside"
				}
				name, ok := symbols[f.Address]
				if !ok {
					out, err := shell(dir, fmt.Sprintf("addr2line -f -i -C -e %s %#x", w.program, f.Address-1))
					if err != nil {
						t.Skip("no addr2line: ", out)
					}
					lines := strings.Split(strings.TrimSpace(out), "\n")
					name = lines[len(lines)-2] // behind what is inlined into it
					symbols[f.Address] = name
				}
				return plain(name)
			}
			return ""
		}
		var names []string
		for _, f := range stacks.Frames(e.Stack) {
			if name := plain(f.Function); !f.Inlined && ours(name) {
				names = append(names, name)
			}
		}
		return strings.Join(names, " < ")
	}
}

// ours reports whether the program has a function of this name.
func ours(name string) bool {
	for _, s := range truth {
		if slices.Contains(strings.Split(s.site, " < "), name) {
			return true
		}
	}
	return false
}

// plain is the name of a function without what some tools print of it and others do
// not: its parameters, the type that a template returns, and its namespace.
func plain(name string) string {
	depth, end := 0, len(name)
	for i, c := range name {
		switch {
		case c == '<':
			depth++
		case c == '>':
			depth--
		case c == '(' && depth == 0:
			end = min(end, i)
		}
	}
	name = name[:end]
	if i := strings.LastIndex(name, "app::"); i >= 0 {
		name = name[i+len("app::"):]
	}
	return name
}
