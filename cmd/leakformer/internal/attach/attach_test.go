package attach

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"leakformer/ingest"
)

// service is a process of testdata/service.c.
type service struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	// took is how long its work took of a processor's time.
	took time.Duration
}

// start compiles the service and waits until it is ready.
func start(t testing.TB, uses int, flags ...string) *service {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("needs a C compiler: apt-get install gcc libc6-dev")
	}
	program := filepath.Join(t.TempDir(), "service")
	args := append(flags, "-O2", "-fno-builtin", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-o", program, "testdata/service.c")
	if said, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	s := &service{Cmd: exec.Command(program, strconv.Itoa(uses))}
	if s.in, err = s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.in.Close()
		s.Wait()
	})
	if line, err := s.out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the service says %q (%v)", line, err)
	}
	return s
}

// work lets the service work, and end.
func (s *service) work(t testing.TB) {
	io.WriteString(s.in, "\n")
	line, err := s.out.ReadString('\n')
	took, parseErr := strconv.Atoi(strings.TrimSpace(line))
	if err := errors.Join(err, parseErr); err != nil {
		t.Errorf("the service says %q: %v", line, err)
	}
	s.took = time.Duration(took)
	io.WriteString(s.in, "\n")
}

// record records the service while it works and until it ends.
func (s *service) record(t testing.TB, sample int) (*Summary, []byte) {
	t.Helper()
	var log bytes.Buffer
	worked := make(chan struct{})
	sum, err := Run(t.Context(), Config{PID: s.Process.Pid, Sample: sample, Log: &log, Attached: func(allocator string) {
		if !strings.Contains(allocator, "libc") {
			t.Errorf("attached to %s", allocator)
		}
		go func() {
			defer close(worked)
			s.work(t)
		}()
	}})
	if errors.Is(err, fs.ErrPermission) {
		t.Skipf("attaching is for root, on a kernel that lets it: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	<-worked
	return sum, log.Bytes()
}

// functionAt is the function in a program at a frame's address.
func functionAt(t *testing.T, f ingest.Frame) string {
	t.Helper()
	file, err := elf.Open(f.Module)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	symbols, _ := file.Symbols()
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && f.Address >= s.Value && f.Address < s.Value+s.Size {
			return s.Name
		}
	}
	return "?"
}

// read reads a record as any other log, and counts by call stack what is live at its end.
func read(t *testing.T, log []byte) (*ingest.Report, map[string]int64) {
	t.Helper()
	src, err := ingest.NewSource("log", bytes.NewReader(log), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	live := map[int64]ingest.StackID{}
	for e, err := range src.Events() {
		if err != nil {
			t.Fatal(err)
		}
		switch e.Op {
		case ingest.Alloc:
			live[e.Block] = e.Stack
		case ingest.Free:
			delete(live, e.Block)
		}
	}
	stacks := map[ingest.StackID]int64{}
	for _, s := range live {
		stacks[s]++
	}
	named := map[string]int64{}
	for s, n := range stacks {
		var names []string
		for _, f := range src.Stacks().Frames(s) {
			names = append(names, functionAt(t, f))
		}
		named[strings.Join(names, " ")] += n
	}
	return src.Report(), named
}

// What the service does between its two lines, see its source.
const (
	leaks  = 400
	uses   = 500
	allocs = 5*uses + leaks
)

// Every call of a process is recorded that it makes after it was attached to.
func TestRun(t *testing.T) {
	s := start(t, uses)
	sum, log := s.record(t, 0)
	if *sum != (Summary{Allocs: allocs, Frees: allocs - leaks, Ended: true}) {
		t.Errorf("%+v", *sum)
	}
	r, stacks := read(t, log)
	if r.Format != "heaptrack" || r.Allocs != allocs || r.Frees != allocs-leaks || r.OrphanFrees != 0 || r.LostFrees != 0 || r.Errors != 0 || r.Outstanding.Blocks != leaks {
		t.Errorf("%+v", *r)
	}
	if r.Outstanding.Bytes != leaks*100+leaks/8*(0+1+2+3+4+5+6+7) || r.Command != strings.Join(s.Args, " ") || r.Sites < 6 {
		t.Errorf("%d bytes, command %q, %d sites", r.Outstanding.Bytes, r.Command, r.Sites)
	}
	for stack, n := range stacks {
		if !strings.HasPrefix(stack, "leak work main") {
			t.Errorf("%d blocks from %q", n, stack)
		}
	}
}

// Of a sample each block is there whole or not at all.
func TestRunSample(t *testing.T) {
	sum, log := start(t, uses).record(t, 4)
	r, _ := read(t, log)
	if sum.Lost != 0 || r.Allocs != sum.Allocs || r.OrphanFrees != 0 || r.LostFrees != 0 {
		t.Errorf("%+v, %+v", *sum, *r)
	}
	if n := r.Outstanding.Blocks; n < leaks/8 || n > leaks/2 {
		t.Errorf("%d of %d leaks are in a sample of one in four", n, leaks)
	}
}

func TestRunErrors(t *testing.T) {
	for name, c := range map[string]struct {
		pid  func() int
		want string
	}{
		"no process":   {func() int { return 1 << 30 }, "process 1073741824: "},
		"negative":     {func() int { return -1 }, "process -1: "},
		"static":       {func() int { return start(t, uses, "-static").Process.Pid }, "is it linked statically"},
		"the kernel's": {func() int { return 2 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pid := c.pid()
			if comm, _ := os.ReadFile("/proc/2/comm"); name == "the kernel's" && strings.TrimSpace(string(comm)) != "kthreadd" {
				t.Skip("no thread of the kernel's is in sight")
			}
			_, err := Run(t.Context(), Config{PID: pid, Log: io.Discard})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// What a call costs the process of its processor's time: by itself, recorded, and where
// one of a hundred addresses is.
func BenchmarkCall(b *testing.B) {
	const calls = 10 // of a use
	for _, c := range []struct {
		name   string
		record bool
		sample int
	}{{"alone", false, 0}, {"recorded", true, 0}, {"sampled", true, 100}} {
		b.Run(c.name, func(b *testing.B) {
			s := start(b, b.N)
			if !c.record {
				s.work(b)
			} else {
				sum, log := s.record(b, c.sample)
				b.ReportMetric(float64(sum.Lost), "lost")
				b.ReportMetric(float64(len(log))/float64(sum.Allocs+sum.Frees), "B/call")
			}
			b.ReportMetric(float64(s.took)/float64(b.N)/calls, "cpu-ns/call")
		})
	}
}
