package ingest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"leakformer/ingest"
)

// benchmarkLog reads a log and, one after the other so that what else the machine
// does hits all alike, has plainer programs pass over the same bytes: wc counts its
// lines, zstd unpacks it. It reports how many megabytes a second of processor time
// are read, and how many times as fast as these that is.
func benchmarkLog(b *testing.B, log, format string) {
	file := filepath.Join(b.TempDir(), "log")
	if err := os.WriteFile(file, []byte(log), 0o666); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command("zstd", "-q", file).CombinedOutput(); err != nil {
		b.Skipf("zstd: %v\n%s", err, out)
	}
	var ours, counting, unpacking time.Duration
	var events, allocs int64
	b.SetBytes(int64(len(log)))
	runtime.GC()
	for b.Loop() {
		b.StopTimer()
		counting += childTime(b, "wc", "-l", file)
		unpacking += childTime(b, "zstd", "-dcq", file+".zst")
		allocated := mallocs()
		b.StartTimer()
		began := processorTime(b)
		events += readEvents(b, log, format)
		ours += processorTime(b) - began
		allocs += mallocs() - allocated
	}
	b.ReportMetric(float64(len(log))*float64(b.N)/1e6/ours.Seconds(), "MB/cpu-s")
	b.ReportMetric(float64(events)/ours.Seconds(), "events/cpu-s")
	b.ReportMetric(float64(allocs)/float64(events), "allocs/event")
	b.ReportMetric(counting.Seconds()/ours.Seconds(), "wc-ratio")
	b.ReportMetric(unpacking.Seconds()/ours.Seconds(), "zstd-ratio")
}

// readEvents reads a log to its end and returns the number of its events.
func readEvents(b *testing.B, log, format string) int64 {
	src, err := ingest.NewSource("log", strings.NewReader(log), ingest.Options{Format: format})
	if err != nil {
		b.Fatal(err)
	}
	for _, err := range src.Events() {
		if err != nil {
			b.Fatal(err)
		}
	}
	if src.Report().Events < 1000 {
		b.Fatalf("%d events", src.Report().Events)
	}
	return src.Report().Events
}

// childTime runs a program and returns the processor time that it took.
func childTime(b *testing.B, name string, args ...string) time.Duration {
	cmd := exec.Command(name, args...)
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// mallocs is how many times memory has been allocated so far.
func mallocs() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Mallocs)
}
