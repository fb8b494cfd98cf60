package ingest

import (
	"bytes"
	"fmt"
)

// refusal is a format that is known and not read: what it is called, how it is
// recognised, and what to do to get a log that can be read.
type refusal struct {
	title string
	is    func(head []byte) bool
	hint  string
}

// refusals are asked before the formats: some of these files hold lines that look
// like those of a log, and "unknown format" would be of no help.
var refusals = []refusal{
	{"a recording of memray", isMemray,
		"export it with: memray transform csv --leaks FILE (and read the .csv), or record heaptrack's format with: heaptrack python PROGRAM.py"},
	{"a recording of bytehound", isBytehound,
		"export it with: bytehound export-heaptrack FILE -o app.heaptrack"},
	{"a pickled snapshot of tracemalloc", isPickle,
		"loading a pickle can run any code; write text instead: for s in snapshot.statistics('traceback'): print('\\n'.join([str(s)] + s.traceback.format()))"},
	{"a profile in the format of callgrind (also --xtree-leak)", isCallgrind,
		"it has totals only; run valgrind --leak-check=full --show-leak-kinds=all --log-file=memcheck.log PROGRAM"},
	{"a heap snapshot of V8 (Node.js, Chrome)", hasPrefixes(`{"snapshot":{"meta":`, `{"head":{"callFrame":`),
		"it is a graph of objects, not of allocations; for native memory run: heaptrack node PROGRAM.js"},
	{"a recording of perf", hasPrefixes("PERFILE2", "2ELIFREP", "PERFFILE"),
		"print it with: perf script -i FILE > kmem.txt"},
	{"a recording of trace-cmd", hasPrefixes("\x17\x08\x44tracing"),
		"print it with: trace-cmd report -i FILE > kmem.txt"},
	{"a heap dump of the Java VM", hasPrefixes("JAVA PROFILE 1."),
		"it is a graph of objects; for native memory run: jcmd PID VM.native_memory"},
	{"the output of ms_print", isMsPrint,
		"it is rounded; read the file massif.out.PID that it was made from"},
	{"a comparison by UMDH", isUMDH,
		"use the dump of the C runtime's debug heap (crt in leakformer formats)"},
	{"an XML report of Valgrind 3.4 or older (protocol 1 to 3)", isOldXML,
		"use Valgrind 3.5 or later, or its text report (without --xml=yes)"},
}

// refuse returns an error for a file of a known format that is not read.
func refuse(file string, head []byte) error {
	for _, r := range refusals {
		if r.is(head) {
			return &FormatError{File: file, Msg: fmt.Sprintf("is %s, which is not read; %s", r.title, r.hint), refused: true}
		}
	}
	return nil
}

func hasPrefixes(prefixes ...string) func([]byte) bool {
	return func(head []byte) bool {
		for _, p := range prefixes {
			if bytes.HasPrefix(head, []byte(p)) {
				return true
			}
		}
		return false
	}
}

// isMemray: the header stands plain, or in an LZ4 frame, its first bytes literally.
func isMemray(head []byte) bool {
	lz4 := bytes.HasPrefix(head, []byte{0x04, 0x22, 0x4d, 0x18})
	return bytes.HasPrefix(head, []byte("memray\x00")) || lz4 && bytes.Contains(head[:min(len(head), 64)], []byte("memray\x00"))
}

// isBytehound: a chunk begins with 1 and its length; packed in the first one is the
// header, in which the processor's name stands for the first time and so as it is.
func isBytehound(head []byte) bool {
	if len(head) < 64 || head[0] != 1 || head[3] > 0x0f || head[4] != 0 {
		return false
	}
	for _, arch := range [...]string{"x86_64", "amd64", "aarch64", "mips64"} {
		if bytes.Contains(head[:min(len(head), 8192)], []byte(arch)) {
			return true
		}
	}
	return false
}

// isPickle: Snapshot.dump writes a pickle of protocol 2 or later.
func isPickle(head []byte) bool {
	return len(head) > 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5 && bytes.Contains(head, []byte("tracemalloc"))
}

func isCallgrind(head []byte) bool {
	return bytes.HasPrefix(head, []byte("# callgrind format")) ||
		bytes.HasPrefix(head, []byte("version: 1\n")) && bytes.Contains(head[:min(len(head), 256)], []byte("creator: callgrind"))
}

func isMsPrint(head []byte) bool {
	return headLines(head[:min(len(head), 4096)], func(line []byte) bool { return bytes.HasPrefix(line, []byte("ms_print arguments: ")) })
}

func isUMDH(head []byte) bool {
	return headLines(head, func(line []byte) bool {
		return len(line) > 1 && (line[0] == '+' || line[0] == '-') && line[1] == ' ' && bytes.Contains(line, []byte("allocs\tBackTrace"))
	})
}

func isOldXML(head []byte) bool {
	_, rest, ok := bytes.Cut(head, []byte("<valgrindoutput>"))
	if !ok {
		return false
	}
	_, rest, ok = bytes.Cut(rest[:min(len(rest), 256)], []byte("<protocolversion>"))
	rest = bytes.TrimLeft(rest, " \r\n\t")
	return ok && len(rest) > 1 && rest[0] >= '1' && rest[0] <= '3' && !isDigit(rest[1])
}
