package ingest_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leakformer/ingest"
)

// A file of a format that is known and not read is refused with what to do instead.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ name, head, want string }{
		{"memray", "memray\x00\x0d\x00\x00\x00" + strings.Repeat("\x00\x01", 50), "memray transform csv"},
		{"memray, packed", "\x04\x22\x4d\x18\x64\x40\xa7\x61\x00\x00\x00\xf0\x00memray\x00\x0d\x00", "memray transform csv"},
		{"bytehound", "\x01\x80\x20\x00\x00\xf1\x03\xf2\x00\x00\x00" + strings.Repeat("a", 60) + "\x06\x00\x00\x00x86_64", "bytehound export-heaptrack"},
		{"tracemalloc", "\x80\x05\x95\x71\x01\x00\x00\x00\x00\x00\x00\x8c\x0btracemalloc\x94\x8c\x08Snapshot", "statistics('traceback')"},
		{"callgrind", "# callgrind format\nversion: 1\ncreator: callgrind-3.19.0\npid: 325\n", "--leak-check=full"},
		{"callgrind, old", "version: 1\ncreator: callgrind-3.9.0\npid: 325\n", "--leak-check=full"},
		{"xtree", "# callgrind format\nversion: 1\ncreator: xtree-1\npid: 7590\n", "--leak-check=full"},
		{"V8 snapshot", `{"snapshot":{"meta":{"node_fields":["type","name"`, "heaptrack node"},
		{"V8 profile", `{"head":{"callFrame":{"functionName":"(root)"`, "heaptrack node"},
		{"perf", "PERFILE2\x68\x00\x00\x00", "perf script"},
		{"trace-cmd", "\x17\x08\x44tracing6\x00", "trace-cmd report"},
		{"hprof", "JAVA PROFILE 1.0.2\x00", "VM.native_memory"},
		{"ms_print", strings.Repeat("-", 80) + "\nCommand:            ./work\nMassif arguments:   (none)\nms_print arguments: massif.out.7\n", "massif.out.PID"},
		{"UMDH", "// Debug library initialized ...\r\n+   32000 (  32000 -      0)     32 allocs\tBackTrace2BC8DE0\r\n", "debug heap"},
		{"XML of Valgrind 3.4", "<?xml version=\"1.0\"?>\n\n<valgrindoutput>\n\n<protocolversion>3</protocolversion>\n", "Valgrind 3.5 or later"},
	} {
		_, err := ingest.NewSource("log", strings.NewReader(c.head), ingest.Options{})
		_, format := errors.AsType[*ingest.FormatError](err)
		if !format || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), ", which is not read; ") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// No log that can be read is refused.
func TestRefusalsSpareLogs(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	shared, err := filepath.Glob(filepath.Join("..", "..", "shared", "samples", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, file := range append(files, shared...) {
		if st, err := os.Stat(file); err != nil || st.IsDir() {
			continue
		}
		src, err := ingest.Open(file, ingest.Options{})
		if err == nil {
			src.Close()
			read++
		} else if strings.Contains(err.Error(), ", which is not read; ") && !strings.HasSuffix(file, "captured-xtree-leak.kcg") {
			t.Errorf("%v", err)
		}
	}
	if read < 50 {
		t.Errorf("%d logs were read", read)
	}
}
