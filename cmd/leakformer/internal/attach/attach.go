// Package attach records the allocations of a process that runs already, by eBPF
// programs at the functions of its allocator.
//
// The record is a raw data file of heaptrack's: the same that heaptrack writes of a
// program that it starts, so that the two can be compared.
package attach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// Config says what to record.
type Config struct {
	PID int
	// Sample is of how many addresses one is recorded; 0 and 1 are all of them.
	Sample int
	// Log is where the record goes.
	Log io.Writer
	// Attached, if it is not nil, is called when recording has begun, with the file that
	// the allocator is in.
	Attached func(allocator string)
}

// Summary is what was recorded.
type Summary struct {
	Allocs, Frees int64
	// Lost is how many calls came too fast to be recorded. Where a free is lost, a block
	// seems to stay.
	Lost uint64
	// Ended says that the process has, before the context.
	Ended bool
}

// Run records until the process ends or the context does, neither of which is an
// error. The process is not stopped meanwhile, but its calls take longer.
func Run(ctx context.Context, cfg Config) (*Summary, error) {
	pidfd, err := unix.PidfdOpen(cfg.PID, 0)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", cfg.PID, err)
	}
	defer unix.Close(pidfd)
	log, err := newHeapLog(cfg)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", cfg.PID, err)
	}
	a, err := findAllocator(log.space)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", cfg.PID, err)
	}
	r := &recording{log: log, pidfd: pidfd}
	defer r.close()
	if err := r.attach(a, cfg); err != nil {
		return nil, fmt.Errorf("process %d: %w", cfg.PID, needs(err))
	}
	r.from = now()
	if cfg.Attached != nil {
		cfg.Attached(a.module)
	}
	if err := r.follow(ctx); err != nil {
		return nil, err
	}
	return r.finish()
}

// now is the time by the clock of the records.
func now() uint64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // an error is for clocks that are not there
	return uint64(t.Nano())
}

// needs says with an error of the kernel's what it may be for want of.
func needs(err error) error {
	for _, want := range []error{fs.ErrPermission, ebpf.ErrNotSupported, unix.ENOSYS, unix.EINVAL} {
		if errors.Is(err, want) {
			return fmt.Errorf("%w; this takes Linux 5.8 with CONFIG_UPROBES and CONFIG_BPF_SYSCALL, and root or the capabilities BPF, PERFMON and SYS_PTRACE", err)
		}
	}
	return err
}

// recording is a record being made.
type recording struct {
	log    *heapLog
	pidfd  int
	shared *shared
	reader *ringbuf.Reader
	links  []link.Link
	raw    ringbuf.Record
	stack  [maxFrames]uint64
	sum    Summary
	// from and until are when all of the probes were in place: they come and go one by
	// one, while the process goes on. 0: not yet.
	from, until uint64
}

// attach puts the probes in place.
func (r *recording) attach(a *allocator, cfg Config) (err error) {
	rlimit.RemoveMemlock() // for Linux before 5.11; where that matters, the maps cannot be made
	if r.shared, err = newShared(cfg.Sample); err != nil {
		return err
	}
	if r.reader, err = ringbuf.NewReader(r.shared.ring); err != nil {
		return err
	}
	file, err := link.OpenExecutable(a.file)
	if err != nil {
		return err
	}
	returned, err := load("returned", r.shared.returned())
	if err != nil {
		return err
	}
	defer returned.Close() // a probe keeps its program
	for _, f := range functions {
		at, ok := a.offsets[f.name]
		if !ok {
			continue
		}
		called, err := load(f.name, f.entry(r.shared))
		if err != nil {
			return err
		}
		defer called.Close()
		opts := &link.UprobeOptions{Address: at, PID: cfg.PID}
		if f.returns {
			if err := r.keep(file.Uretprobe(f.name, returned, opts)); err != nil {
				return err
			}
		}
		if err := r.keep(file.Uprobe(f.name, called, opts)); err != nil {
			return err
		}
	}
	return nil
}

func (r *recording) keep(l link.Link, err error) error {
	if err == nil {
		r.links = append(r.links, l)
	}
	return err
}

// load hands a program to the kernel. The helpers that read stacks and the memory of a
// process are for programs that call themselves GPL.
func load(name string, code asm.Instructions) (*ebpf.Program, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: ebpf.Kprobe, Instructions: code, License: "GPL"})
	if err != nil {
		return nil, fmt.Errorf("the probe of %s: %w", name, err)
	}
	return p, nil
}

// lookTime is how often the records are fetched.
const lookTime = 50 * time.Millisecond

// follow writes what comes until there is a reason to stop.
func (r *recording) follow(ctx context.Context) error {
	r.reader.SetDeadline(time.Now().Add(lookTime)) // the probes wake nobody
	for n := 1; ; n++ {
		err := r.next()
		switch {
		case err == nil && n%4096 != 0:
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = r.log.flush()
			r.reader.SetDeadline(time.Now().Add(lookTime))
		}
		if err != nil || ctx.Err() != nil {
			return err
		}
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(r.pidfd), Events: unix.POLLIN}}, 0); n > 0 {
			r.sum.Ended = true
			return nil
		}
	}
}

// next writes one record.
func (r *recording) next() error {
	if err := r.reader.ReadInto(&r.raw); err != nil {
		return err
	}
	rec, ok := decode(r.raw.RawSample, &r.stack)
	if !ok {
		return fmt.Errorf("a record of %d bytes", len(r.raw.RawSample))
	}
	switch {
	case rec.nanoseconds < r.from, r.until > 0 && rec.nanoseconds > r.until:
		return nil
	case rec.alloc:
		r.sum.Allocs++
	default:
		r.sum.Frees++
	}
	return r.log.write(&rec)
}

// finish takes the probes away, and writes what had come until then.
func (r *recording) finish() (*Summary, error) {
	r.until = now()
	r.detach()
	if err := r.reader.Flush(); err != nil {
		return nil, err
	}
	for {
		err := r.next()
		if errors.Is(err, ringbuf.ErrFlushed) {
			break
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
	}
	if err := r.shared.lost.Lookup(uint32(0), &r.sum.Lost); err != nil {
		return nil, err
	}
	return &r.sum, r.log.end(r.sum.Lost)
}

// detach takes the probes away, one by one: the kernel, too, waits for one after the
// other.
func (r *recording) detach() {
	for _, l := range r.links {
		l.Close()
	}
	r.links = nil
}

func (r *recording) close() {
	r.detach()
	if r.reader != nil {
		r.reader.Close()
	}
	if r.shared != nil {
		r.shared.close()
	}
}
