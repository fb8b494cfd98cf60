package ingest

import (
	"bytes"
	"fmt"
	"strings"
)

// Format describes one log format and reads it.
type Format struct {
	// Name is what --format takes.
	Name string
	// Title says in a few words what it is.
	Title string
	Class Class
	// Produce is the command that makes such a log.
	Produce string

	// Dump says that a file is one snapshot, and a program writes several, as
	// [OpenSeries] reads them.
	Dump bool

	// perProcess: the process ids of its events tell heaps apart, and not only who
	// allocated.
	perProcess bool
	// sniff looks at the first bytes of a file (after decompression) and returns
	// "" if they are of this format, else why not.
	sniff func(head []byte) string
	// read reads all of d.lines and emits events. An error means that nothing
	// after it can be used; damage to single records goes to d.bad.
	read func(d *decoder) error
}

// formats in the order in which detection tries them: those with a magic first,
// then those whose lines may stand between other output.
var formats = []Format{
	{
		Name: "heaptrack", Title: "heaptrack data file, raw or interpreted", Class: Events,
		Produce: "heaptrack --raw PROGRAM",
		sniff:   sniffHeaptrack, read: readHeaptrack,
	},
	{
		Name: "gdb", Title: "allocator calls at gdb's breakpoints, by a script that comes along", Class: Events,
		Produce: "leakformer formats --gdb-script > allocations.py; gdb -q -batch -x allocations.py --args PROGRAM",
		sniff:   sniffGDB, read: readGDB, perProcess: true,
	},
	{
		Name: "mtrace", Title: "glibc's trace of allocator calls", Class: Events,
		Produce: "MALLOC_TRACE=mtrace.log LD_PRELOAD=libc_malloc_debug.so.0 PROGRAM (which calls mtrace())",
		sniff:   sniffMtrace, read: readMtrace,
	},
	{
		Name: "massif", Title: "Valgrind's heap profile, a series of snapshots", Class: Snapshots,
		Produce: "valgrind --tool=massif --detailed-freq=1 --time-unit=ms PROGRAM",
		sniff:   sniffMassif, read: readMassif,
	},
	{
		Name: "pprof", Title: "heap profile of pprof, Go's own", Class: Snapshots,
		Produce: "curl -o heap.0001.pb.gz http://HOST/debug/pprof/heap",
		sniff:   sniffPprof, read: readPprof, Dump: true,
	},
	{
		Name: "jemalloc", Title: "heap profile of jemalloc", Class: Snapshots,
		Produce: "MALLOC_CONF=prof:true,lg_prof_interval:26,prof_final:true,lg_prof_sample:0 PROGRAM",
		sniff:   sniffJemalloc, read: readJemalloc, Dump: true,
	},
	{
		Name: "pprof-text", Title: "heap profile as text, of gperftools or Go", Class: Snapshots,
		Produce: "LD_PRELOAD=libtcmalloc.so HEAPPROFILE=heap PROGRAM",
		sniff:   sniffPprofText, read: readPprofText, Dump: true,
	},
	{
		Name: "memcheck-xml", Title: "Valgrind memcheck report, XML", Class: EndReport,
		Produce: "valgrind --leak-check=full --show-leak-kinds=all --xml=yes --xml-file=memcheck.%p.xml PROGRAM",
		sniff:   sniffMemcheckXML, read: readMemcheckXML, perProcess: true,
	},
	{
		Name: "dhat", Title: "heap profile of DHAT, of Valgrind or Rust's dhat crate", Class: EndReport,
		Produce: "valgrind --tool=dhat --num-callers=30 --dhat-out-file=dhat.%p.json PROGRAM",
		sniff:   sniffDHAT, read: readDHAT,
	},
	{
		Name: "kmemleak", Title: "suspects of the Linux kernel's leak detector", Class: EndReport,
		Produce: "echo scan > /sys/kernel/debug/kmemleak; cat /sys/kernel/debug/kmemleak",
		sniff:   sniffKmemleak, read: readKmemleak,
	},
	{
		Name: "ftrace", Title: "kmem events of the Linux kernel, trace buffer or trace-cmd report", Class: Events,
		Produce: "trace-cmd record -e kmem sleep 60; trace-cmd report",
		sniff:   sniffFtrace, read: readFtrace,
	},
	{
		Name: "perf-kmem", Title: "kmem events of the Linux kernel, printed by perf script", Class: Events,
		Produce: "perf record -a -g -e 'kmem:*' sleep 60; perf script",
		sniff:   sniffPerfKmem, read: readPerfKmem,
	},
	{
		Name: "trace-malloc", Title: "Valgrind's trace of allocator calls", Class: Events,
		Produce: "valgrind --trace-malloc=yes --time-stamp=yes --log-file=trace.%p.log PROGRAM",
		sniff:   sniffTraceMalloc, read: readTraceMalloc, perProcess: true,
	},
	{
		Name: "memcheck", Title: "Valgrind memcheck report, text", Class: EndReport,
		Produce: "valgrind --leak-check=full --show-leak-kinds=all --log-file=memcheck.%p.log PROGRAM",
		sniff:   sniffMemcheck, read: readMemcheck, perProcess: true,
	},
	{
		Name: "lsan", Title: "report of LeakSanitizer or AddressSanitizer", Class: EndReport,
		Produce: "cc -g -fsanitize=address ... && ASAN_OPTIONS=detect_leaks=1 ./PROGRAM 2>leaks.log",
		sniff:   sniffLSan, read: readLSan, perProcess: true,
	},
	{
		Name: "memray", Title: "what memray transform csv writes", Class: EndReport,
		Produce: "memray run -o app.bin app.py; memray transform csv --leaks app.bin",
		sniff:   sniffMemray, read: readMemray,
	},
	{
		Name: "nmt", Title: "native memory tracking of the Java VM", Class: Snapshots,
		Produce: "java -XX:NativeMemoryTracking=detail PROGRAM; jcmd PID VM.native_memory detail, now and then",
		sniff:   sniffNMT, read: readNMT, Dump: true,
	},
	{
		Name: "tracemalloc", Title: "statistics of Python's tracemalloc", Class: Snapshots,
		Produce: "for stat in tracemalloc.take_snapshot().statistics('lineno'): print(stat)",
		sniff:   sniffTracemalloc, read: readTracemalloc, Dump: true,
	},
	{
		Name: "crt", Title: "dump of the debug heap of Microsoft's C runtime", Class: EndReport,
		Produce: "#define _CRTDBG_MAP_ALLOC; _CrtSetDbgFlag(_CRTDBG_ALLOC_MEM_DF | _CRTDBG_LEAK_CHECK_DF)",
		sniff:   sniffCRT, read: readCRT,
	},
	{
		Name: "ltrace", Title: "library calls of a program; sees few of those of its libraries", Class: Events,
		Produce: "ltrace -f -ttt -i -e 'malloc+calloc+realloc+reallocarray+memalign+aligned_alloc+valloc+free+_Zn*+_Zd*' -o LOG PROGRAM",
		sniff:   sniffLtrace, read: readLtrace,
	},
	{
		Name: "bcc-memleak", Title: "outstanding allocations by stack, at intervals, of bcc's or libbpf-tools' memleak", Class: Snapshots,
		Produce: "memleak -p PID 10 > LOG",
		sniff:   sniffBccMemleak, read: readBccMemleak,
	},
	{
		Name: "bcc-memleak-trace", Title: "calls of the allocator, as bcc's memleak -t prints them", Class: Events,
		Produce: "memleak -p PID -t > LOG",
		sniff:   sniffBccTrace, read: readBccTrace,
	},
	{
		Name: "page-owner", Title: "pages of the Linux kernel with who allocated them, also sorted or by stack", Class: EndReport,
		Produce: "cat /sys/kernel/debug/page_owner > LOG",
		sniff:   sniffPageOwner, read: readPageOwner,
	},
	{
		Name: "slabinfo", Title: "caches of the Linux kernel's objects, a series of copies of /proc/slabinfo", Class: Snapshots,
		Produce: "while date +%s.%N && cat /proc/slabinfo; do sleep 10; done > LOG",
		sniff:   sniffSlabinfo, read: readPools(&slabinfoFile),
	},
	{
		Name: "allocinfo", Title: "allocating places of the Linux kernel (6.10 and later), a series of copies of /proc/allocinfo", Class: Snapshots,
		Produce: "while date +%s.%N && cat /proc/allocinfo; do sleep 10; done > LOG",
		sniff:   sniffAllocinfo, read: readPools(&allocinfoFile),
	},
	{
		Name: "vmallocinfo", Title: "vmalloc'ed areas of the Linux kernel, a series of copies of /proc/vmallocinfo", Class: Snapshots,
		Produce: "while date +%s.%N && cat /proc/vmallocinfo; do sleep 10; done > LOG",
		sniff:   sniffVmallocinfo, read: readPools(&vmallocinfoFile),
	},
	{
		Name: "meminfo", Title: "memory of a machine by its use, a series of copies of /proc/meminfo", Class: Snapshots,
		Produce: "while date +%s.%N && cat /proc/meminfo; do sleep 10; done > LOG",
		sniff:   sniffMeminfo, read: readPools(&meminfoFile),
	},
	{
		Name: "smaps-rollup", Title: "memory of a process by its use, a series of copies of /proc/PID/smaps_rollup", Class: Snapshots,
		Produce: "while date +%s.%N && cat /proc/PID/smaps_rollup; do sleep 10; done > LOG",
		sniff:   sniffSmaps, read: readPools(&smapsFile),
	},
}

// Formats lists what can be read, in the order of detection.
func Formats() []Format { return append([]Format(nil), formats...) }

// named reports whether the name of a format is one, and does not ask to detect it.
func named(name string) bool { return name != "" && name != "auto" }

// choose finds the format by name, or by looking at the head of the file.
func choose(file string, head []byte, name string) (*Format, error) {
	if len(head) == 0 || !named(name) && len(bytes.TrimSpace(head)) == 0 {
		return nil, &FormatError{File: file, Msg: "is empty: no log to read"}
	}
	if named(name) {
		var names []string
		for i := range formats {
			if formats[i].Name == name {
				return &formats[i], nil
			}
			names = append(names, formats[i].Name)
		}
		return nil, fmt.Errorf("unknown format %q: use auto or one of %s", name, strings.Join(names, ", "))
	}
	if err := refuse(file, head); err != nil {
		return nil, err
	}
	var why []string
	for i := range formats {
		reason := formats[i].sniff(head)
		if reason == "" {
			return &formats[i], nil
		}
		why = append(why, fmt.Sprintf("%s: %s", formats[i].Name, reason))
	}
	return nil, &FormatError{File: file, Msg: "unknown format\n  " + strings.Join(why, "\n  "), Unknown: true}
}

// headLines calls f for each whole line of the head of a file until f returns
// true, and reports whether it did.
func headLines(head []byte, f func(line []byte) bool) bool {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	for len(head) > 0 {
		line, rest, found := bytes.Cut(head, []byte{'\n'})
		if !found && len(head) == peekSize {
			return false
		}
		if f(bytes.TrimSuffix(line, []byte{'\r'})) {
			return true
		}
		head = rest
	}
	return false
}
