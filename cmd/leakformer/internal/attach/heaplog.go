package attach

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// heapLog writes raw data of heaptrack's. All numbers are hexadecimal.
type heapLog struct {
	w     *bufio.Writer
	pid   int
	space *space
	read  time.Time // when the space was
	// traces are the numbers, from 1, of the call stacks that were written: each is a
	// code address and the stack of the callers.
	traces map[trace]uint64
	last   uint64 // number of a trace
	begun  uint64 // time of the first record, in nanoseconds
	ms     uint64 // that was written last
	line   []byte
}

type trace struct{ ip, callers uint64 }

const (
	// maxTraces bounds the traces that are remembered.
	maxTraces = 1 << 20
	// spaceTime is how often at most it is looked for new code.
	spaceTime = 200 * time.Millisecond
)

// newHeapLog writes what stands before the records.
func newHeapLog(cfg Config) (*heapLog, error) {
	l := &heapLog{w: bufio.NewWriterSize(cfg.Log, 1<<16), pid: cfg.PID, traces: map[trace]uint64{}}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", cfg.PID))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(l.w, "v 10500 3\nx %x %s\nX %s\nA\n", len(exe), exe, command(cfg.PID))
	if cfg.Sample > 1 {
		fmt.Fprintf(l.w, "# one of %d addresses is recorded\n", cfg.Sample)
	}
	return l, l.modules()
}

// modules reads and writes where the modules are now.
func (l *heapLog) modules() error {
	s, err := readSpace(l.pid)
	if err != nil {
		return err
	}
	if len(s.modules) == 0 {
		return errors.New("it has no code: it is the kernel's, or has ended")
	}
	l.space, l.read = s, time.Now()
	fmt.Fprintln(l.w, "m 1 -")
	for _, m := range s.modules {
		fmt.Fprintf(l.w, "m %x %s %x", len(m.name), m.name, m.base)
		for _, c := range m.segments {
			fmt.Fprintf(l.w, " %x %x", c.start-m.base, c.end-c.start)
		}
		fmt.Fprintln(l.w)
	}
	return nil
}

// write writes one record.
func (l *heapLog) write(r *record) error {
	if l.begun == 0 {
		l.begun = r.nanoseconds
	}
	if ms := (r.nanoseconds - min(l.begun, r.nanoseconds)) / 1e6; ms > l.ms {
		l.ms = ms
		l.put('c', ms)
	}
	if !r.alloc {
		return l.put('-', r.addr)
	}
	callers := uint64(0)
	for _, ip := range slices.Backward(l.known(r.stack)) {
		t := trace{ip - 1, callers} // in the call, as heaptrack has it, and not behind
		n, ok := l.traces[t]
		if !ok {
			l.last++
			n = l.last
			if len(l.traces) >= maxTraces {
				clear(l.traces)
			}
			l.traces[t] = n
			l.put('t', t.ip, t.callers)
		}
		callers = n
	}
	return l.put('+', r.size, callers, r.addr)
}

// known is the part of a stack up to what is no code. It was found by frame pointers,
// and code that has none leaves anything in their place.
func (l *heapLog) known(stack []uint64) []uint64 {
	n := l.codes(stack)
	if n < len(stack) && time.Since(l.read) > spaceTime {
		if l.modules() == nil { // else the process has ended meanwhile
			n = l.codes(stack)
		}
	}
	return stack[:n]
}

func (l *heapLog) codes(stack []uint64) int {
	if n := slices.IndexFunc(stack, func(ip uint64) bool { return !l.space.holds(ip) }); n >= 0 {
		return n
	}
	return len(stack)
}

// put writes a line.
func (l *heapLog) put(letter byte, numbers ...uint64) error {
	l.line = append(l.line[:0], letter)
	for _, n := range numbers {
		l.line = strconv.AppendUint(append(l.line, ' '), n, 16)
	}
	_, err := l.w.Write(append(l.line, '\n'))
	return err
}

func (l *heapLog) flush() error { return l.w.Flush() }

// end writes what is known at the end.
func (l *heapLog) end(lost uint64) error {
	if lost > 0 {
		fmt.Fprintf(l.w, "# %d calls were lost\n", lost)
	}
	return l.w.Flush()
}
