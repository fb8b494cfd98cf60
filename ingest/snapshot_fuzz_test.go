package ingest_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// fuzzSnapshot runs a reader over logs like those of testdata: whatever they hold,
// it comes to an end and keeps the laws of a stream.
func fuzzSnapshot(f *testing.F, format string) {
	files, err := filepath.Glob(filepath.Join("testdata", format, "*"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds, %v", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".golden") {
			continue
		}
		log, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if z, err := gzip.NewReader(bytes.NewReader(log)); err == nil {
			if log, err = io.ReadAll(z); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(log[:min(len(log), 4<<10)])
	}
	if good := goodSnapshots[format]; good != "" {
		f.Add([]byte(good))
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		src, err := ingest.NewSource("log", bytes.NewReader(log), ingest.Options{Format: format})
		if err != nil {
			return
		}
		if _, err := ingesttest.ReadAll(t, src); err == nil && src.Report().Errors > 0 {
			t.Errorf("%d errors were not handed out", src.Report().Errors)
		}
	})
}

func FuzzMassif(f *testing.F)      { fuzzSnapshot(f, "massif") }
func FuzzPprof(f *testing.F)       { fuzzSnapshot(f, "pprof") }
func FuzzPprofText(f *testing.F)   { fuzzSnapshot(f, "pprof-text") }
func FuzzJemalloc(f *testing.F)    { fuzzSnapshot(f, "jemalloc") }
func FuzzTracemalloc(f *testing.F) { fuzzSnapshot(f, "tracemalloc") }
func FuzzMemray(f *testing.F)      { fuzzSnapshot(f, "memray") }
func FuzzNMT(f *testing.F)         { fuzzSnapshot(f, "nmt") }
