package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// quick is a pace for tests.
func quick() *Pace { return &Pace{Interval: time.Millisecond} }

// follow reads a series to its end, or for so many looks.
func follow(t *testing.T, p *Probe, looks int, at func(n int, run *tokenize.Run, g *Gauge, s Scan)) *Series {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s := Watch(ctx, p, quick())
	s.Failed = func(err error) { t.Logf("failed: %v", err) }
	loader := tokenize.NewLoader(s)
	n := 0
	s.Looked = func(g *Gauge, scan Scan) error {
		at(n, loader.Runs()[0], g, scan)
		if n++; n == looks {
			cancel()
		}
		return nil
	}
	if err := loader.Read(context.Background()); err != nil {
		t.Fatal(err)
	}
	if looks > 0 && n < looks {
		t.Fatalf("%d looks, want %d", n, looks)
	}
	return s
}

func live(run *tokenize.Run) (sites int, bytes int64) {
	(&tokenize.Scene{Run: run, Cut: run.Events}).Views(func(v *tokenize.View) bool {
		_, b := v.Outstanding()
		sites, bytes = sites+1, bytes+b
		return true
	})
	return sites, bytes
}

func suspect(addr int, ticks int) string {
	return fmt.Sprintf("unreferenced object 0xffff88800%07x (size 128):\n  comm \"insmod\", pid 77, jiffies %d\n  backtrace (crc 1):\n    kmalloc_trace+0x1/0x2\n    leak_%d+0x1/0x2\n    init+0x1/0x2\n", addr, 4294900000+ticks, addr)
}

// The scans of the kernel's leak detector are told apart, and each object is one
// block however often it is seen.
func TestKmemleak(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kmemleak")
	scans := []string{suspect(1, 10) + suspect(2, 20), suspect(1, 10) + suspect(2, 20) + suspect(3, 30), suspect(2, 20) + suspect(3, 30), "", suspect(4, 40)}
	want := []Scan{{New: 2}, {New: 1, Persisting: 2}, {Persisting: 2, Vanished: 1}, {Vanished: 2}, {New: 1}}
	sites := []int{2, 3, 2, 0, 1}
	write := func(n int) {
		if err := os.WriteFile(path, []byte(scans[n]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	p, err := Kmemleak{Path: path}.Probe()
	if err != nil {
		t.Fatal(err)
	}
	s := follow(t, p, len(scans), func(n int, run *tokenize.Run, _ *Gauge, scan Scan) {
		if scan != want[n] {
			t.Errorf("scan %d: %+v, want %+v", n, scan, want[n])
		}
		if got, _ := live(run); got != sites[n] {
			t.Errorf("scan %d: %d live sites, want %d", n, got, sites[n])
		}
		if n == 3 && run.Blocks.Len() != 3 {
			t.Errorf("%d blocks for 3 objects", run.Blocks.Len())
		}
		if n+1 < len(scans) {
			write(n + 1)
		}
	})
	if s.Report().Errors != 0 {
		t.Errorf("report %+v", s.Report())
	}
	if _, err := (Kmemleak{Path: path + ".none"}).Probe(); err == nil {
		t.Error("a file that is not there")
	}
}

// The kernel is told to scan, and to forget: what it would read is in a FIFO here.
func TestKmemleakCommands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kmemleak")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	k := Kmemleak{Path: path, Trigger: true}
	if err := errors.Join(k.Start(), k.Clear(), k.write("scan")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 20)
	if n, err := reader.Read(buf); err != nil || string(buf[:n]) != "scan=onclearscan" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

// A process is watched until it is gone.
func TestProcess(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := Process(cmd.Process.Pid)
	if err != nil {
		t.Skip(err)
	}
	looks := 0
	follow(t, p, 0, func(n int, run *tokenize.Run, g *Gauge, _ Scan) {
		_, bytes := live(run)
		if g == nil || g.Bytes == 0 || bytes == 0 || bytes > g.Bytes {
			t.Errorf("%d bytes live, gauge %+v", bytes, g)
		}
		if looks = n + 1; looks == 3 {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	if looks < 3 {
		t.Errorf("%d looks", looks)
	}
	if _, err := p.Take(context.Background()); !errors.Is(err, ErrGone) {
		t.Errorf("a process that has ended: %v", err)
	}
	if _, err := Process(1 << 30); err == nil {
		t.Error("a process that never was")
	}
}

func TestSystem(t *testing.T) {
	probes, why := System()
	if len(probes) == 0 {
		t.Skip(why)
	}
	follow(t, probes[0], 2, func(_ int, run *tokenize.Run, g *Gauge, _ Scan) {
		if sites, bytes := live(run); sites < 3 || bytes < 1<<20 || g == nil || g.Bytes < 1<<20 {
			t.Errorf("%d sites, %d bytes, gauge %+v", sites, bytes, g)
		}
	})
}

var held [][]byte

// A Go program's own profiles are polled; while it is down, nothing is lost.
func TestHeapURL(t *testing.T) {
	rate := runtime.MemProfileRate
	runtime.MemProfileRate = 1
	defer func() { runtime.MemProfileRate, held = rate, nil }()
	server := httptest.NewServer(flaky())
	defer server.Close()
	p, err := HeapURL(server.URL + "/debug/pprof/heap?gc=1")
	if err != nil {
		t.Fatal(err)
	}
	var bytes []int64
	follow(t, p, 3, func(_ int, run *tokenize.Run, _ *Gauge, _ Scan) {
		for i, s := range run.Sites {
			if strings.Contains(s.Label, "hold") {
				_, b := (&tokenize.Scene{Run: run, Cut: run.Events}).View(i).Outstanding()
				bytes = append(bytes, b)
			}
		}
		hold()
	})
	if n := len(bytes); n < 2 || bytes[n-1] < 1e6 || bytes[n-1] <= bytes[0] {
		t.Errorf("what hold keeps: %v", bytes)
	}
	for _, bad := range []string{"", "localhost:6060", "ftp://x/y", "http://", "http://a b"} {
		if _, err := HeapURL(bad); err == nil {
			t.Errorf("%q is a URL", bad)
		}
	}
}

//go:noinline
func hold() { held = append(held, make([]byte, 1<<20)) }

// What is no snapshot is refused, and damaged copies are passed over.
func TestSeriesBadCopies(t *testing.T) {
	copies := []string{"", "nonsense", "--1-- malloc(16) = 0x4A37040\n", "MemTotal: 1 kB\nAnonPages: x kB\n", "MemTotal: 5 kB\nAnonPages: 3 kB\n"}
	n := 0
	p := &Probe{Source: Source{Name: "test"}, Take: func(context.Context) ([]byte, error) {
		if n++; n > len(copies) {
			return nil, ErrGone
		}
		return []byte(copies[n-1]), nil
	}}
	var failed []string
	s := Watch(context.Background(), p, quick())
	s.Failed = func(err error) { failed = append(failed, err.Error()) }
	s.Kept = func([]byte) error {
		if n == 5 {
			return syscall.ENOSPC
		}
		return nil
	}
	s.Looked = func(*Gauge, Scan) error { return nil }
	loader := tokenize.NewLoader(s)
	if err := loader.Read(context.Background()); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(failed, "\n"); len(failed) != 4 || !strings.Contains(all, "no space left") || !strings.Contains(all, "trace-malloc is a log to be followed") {
		t.Errorf("failed: %q", failed)
	}
	if _, bytes := live(loader.Runs()[0]); bytes != 3<<10 || s.Report().Errors != 1 {
		t.Errorf("%d bytes live, report %+v", bytes, s.Report())
	}
}

// The look that fails ends the series with its error.
func TestLookFails(t *testing.T) {
	s := Watch(context.Background(), &Probe{Source: Source{Name: "meminfo"}, Take: file("/proc/meminfo")}, quick())
	s.Looked = func(*Gauge, Scan) error { return io.ErrClosedPipe }
	if err := tokenize.NewLoader(s).Read(context.Background()); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v", err)
	}
}

// What is kept can be read as one log, and does not grow for ever.
func TestKeeper(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	at := time.Unix(1700000000, 5)
	k := &Keeper{Dir: dir, MaxBytes: 200, MaxFiles: 2, Now: func() time.Time { at = at.Add(-time.Hour); return at }}
	p := &Probe{Source: Source{Name: "pid 5"}, Mark: procTime}
	const copy = "0-1 ---p 0 00:00 0 [rollup]\nRss: 9 kB\nAnonymous: 7 kB\n"
	for range 5 {
		if err := k.Keep(p, []byte(copy)); err != nil {
			t.Fatal(err)
		}
	}
	for file, scans := range map[string]int64{"pid_5.1.log": 3, "pid_5.log": 2} {
		src, err := ingest.Open(filepath.Join(dir, file), ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range src.Events() {
			if err != nil {
				t.Error(err)
			}
		}
		if r := src.Report(); r.Events != scans || r.Format != "smaps-rollup" || r.Errors != 0 {
			t.Errorf("%s: %+v, want %d scans", file, r, scans)
		}
		src.Close()
	}
	for range 4 {
		if err := k.Keep(&Probe{Source: Source{Name: "http://h/heap"}}, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "http*")); len(found) != 2 {
		t.Errorf("kept %v", found)
	}
}

// A FIFO is read, its silence is used, and its end is the end.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	p := ReadPipe(context.Background(), func() (io.ReadCloser, error) { return os.Open(path) })
	quiet := 0
	p.Quiet = func() { quiet++ }
	go func() {
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return
		}
		defer w.Close()
		io.WriteString(w, "hello ")
		time.Sleep(3 * quietTime)
		io.WriteString(w, "world")
	}()
	data, err := io.ReadAll(p)
	if err != nil || string(data) != "hello world" || quiet < 4 {
		t.Errorf("%q, %v, quiet %d times", data, err, quiet)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if data, err := io.ReadAll(ReadPipe(ctx, func() (io.ReadCloser, error) { return os.Open(path) })); err != nil || len(data) != 0 {
		t.Errorf("nobody writes: %q, %v", data, err)
	}
	p = ReadPipe(context.Background(), func() (io.ReadCloser, error) { return nil, os.ErrPermission })
	if _, err := io.ReadAll(p); !errors.Is(err, os.ErrPermission) {
		t.Errorf("error %v", err)
	}
}

// The last scan of a log that grows may be there in part: it waits.
func TestTail(t *testing.T) {
	log := "[11:16:33] Top 10 stacks with outstanding allocations:\n\t64 bytes in 4 allocations from stack\n\t\tf+0x6d [a]\n" +
		"\t640 bytes in 4 allocations from stack\n\t\tg+0x6d [a]\n" +
		"[11:16:43] Top 10 stacks with outstanding allocations:\n\t128 bytes in 8 allocations from stack\n\t\tf+0x6d [a]\n" +
		"[11:16:53] Top 10 stacks with outstanding allocations:\n"
	src, err := ingest.NewSource("test", strings.NewReader(log), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tail := &Tail{Source: src}
	var settled []int64
	for range tail.Events() {
		settled = append(settled, tail.Settled())
	}
	if got := fmt.Sprint(settled, tail.Settled()); got != "[0 0 2] 3" {
		t.Errorf("settled %s", got)
	}
}

// flaky serves this process's heap profile, but for every second time.
func flaky() http.Handler {
	n := 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; n%2 == 0 {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		pprof.Handler("heap").ServeHTTP(w, r)
	})
}
