package ingest_test

import (
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"leakformer/ingest"
)

// BenchmarkLargeLog reads raw logs of heaptrack with 200,000 call stacks and, from
// the first million allocations on, a million live blocks. Memory and the time of
// an event must not grow with the length of the log. It times the processor, and
// with it the generator of the log.
func BenchmarkLargeLog(b *testing.B) {
	for _, c := range []struct {
		name   string
		events int
	}{{"1M", 1e6}, {"10M", 10e6}, {"100M", 100e6}} {
		b.Run(c.name, func(b *testing.B) { benchmarkLarge(b, c.events) })
	}
}

func benchmarkLarge(b *testing.B, events int) {
	debug.FreeOSMemory()
	// Linux forgets the peak so far; where it does not, the figure is of all before.
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	used := processorTime(b)
	for b.Loop() {
		src, err := ingest.NewSource("large", newLargeLog(events), ingest.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range src.Events() {
			if err != nil {
				b.Fatal(err)
			}
		}
		if r := src.Report(); r.Events != int64(events) || r.OrphanFrees+r.LostFrees > 0 {
			b.Fatalf("%+v", r)
		}
	}
	used = processorTime(b) - used
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N)/float64(events), "cpu-ns/event")
	b.ReportMetric(float64(peakMemory(b)), "peak-KiB")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the most that was resident, in KiB.
func peakMemory(b *testing.B) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kib, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib
}

// largeLog writes a log as it is read: it is never stored.
type largeLog struct {
	buf    []byte
	at     int // of buf
	i, end int // events
}

const (
	largeStacks = 200_000
	largeLive   = 1_000_000
)

func newLargeLog(events int) *largeLog {
	l := &largeLog{end: events, buf: []byte("v 10400 3\nx 6 /bin/a\nm 1 -\nm 1 x 400000 0 1000000\n")}
	for i := range largeStacks {
		l.buf = appendHex(append(l.buf, "t "...), 0x400000+i%50021)
		l.buf = append(appendHex(append(l.buf, ' '), i/4), '\n')
	}
	return l
}

func (l *largeLog) Read(p []byte) (int, error) {
	if l.at == len(l.buf) {
		l.buf, l.at = l.buf[:0], 0
		for len(l.buf) < 32<<10 && l.i < l.end {
			l.event()
		}
		if len(l.buf) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, l.buf[l.at:])
	l.at += n
	return n, nil
}

// event writes an allocation while there is room, then in turns a free and an
// allocation in its place.
func (l *largeLog) event() {
	i := l.i
	l.i++
	slot := i
	if i >= largeLive {
		// A step through all slots that is not in the order of their birth.
		slot = (i - largeLive) / 2 * 7919 % largeLive
	}
	addr := 0x55d0c0000000 + 48*slot
	if i >= largeLive && (i-largeLive)%2 == 0 {
		l.buf = append(appendHex(append(l.buf, "- "...), addr), '\n')
		return
	}
	l.buf = appendHex(append(l.buf, "+ "...), 16+i%500)
	l.buf = appendHex(append(l.buf, ' '), 1+i*7%largeStacks)
	l.buf = append(appendHex(append(l.buf, ' '), addr), '\n')
}

func appendHex(b []byte, v int) []byte { return strconv.AppendUint(b, uint64(v), 16) }
