package ingest

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// maxBlock bounds the bytes of one block: no address space is larger, and sums of
// sizes stay far from the end of int64.
const maxBlock = 1 << 48

// maxSum bounds the bytes and the blocks of a log, lest their sums run over.
const maxSum = 1 << 62

// decoder is what the reader of a format works with: it takes lines and hands
// back events. The methods that emit return false when nobody listens any more;
// the format's reader then returns.
type decoder struct {
	lines  *lines
	stacks *Stacks
	ledger *ledger
	report *Report
	now    time.Duration
	// taken is the time of day of a snapshot, zero where the log does not tell it.
	taken time.Time
	// judged is the scan that report.Outstanding speaks of.
	judged int32
	seen   []bool // stacks that allocated
	pids   map[int32]struct{}
	pid    int32 // the one that site saw last
	seq    int64
	// symbols and strings keep one copy of every name that a log repeats.
	symbols, strings map[string]string
	yield            func(*Event, error) bool
	done             bool
	event            Event // that is handed out
}

// emit hands out an event. It goes from hand to hand by its address: it is a large
// struct. Where it is not d.event, which saves the copy, it stays with the caller.
func (d *decoder) emit(e *Event) bool {
	if d.done {
		return false
	}
	if e != &d.event {
		d.event = *e
	}
	if !d.yield(&d.event, nil) {
		d.done = true
	}
	return !d.done
}

// bad reports one record that could not be understood.
func (d *decoder) bad(line int64, format string, args ...any) bool {
	err := &SyntaxError{File: d.report.Name, Line: line, Msg: fmt.Sprintf(format, args...)}
	d.report.Errors++
	d.report.Warn("%v", err)
	if !d.done && !d.yield(&Event{}, err) {
		d.done = true
	}
	return !d.done
}

// truncated notes that the log ends too early.
func (d *decoder) truncated(format string, args ...any) {
	d.report.Truncated = true
	d.report.Warn("%s:%d: %s", d.report.Name, d.lines.n, fmt.Sprintf(format, args...))
}

// site counts a stack that allocated, and its process.
func (d *decoder) site(stack StackID, pid int32) {
	for int(stack) >= len(d.seen) {
		d.seen = append(d.seen, make([]bool, int(stack)+1-len(d.seen))...)
	}
	if !d.seen[stack] {
		d.seen[stack] = true
		d.report.Sites++
	}
	if pid == d.pid {
		return
	}
	d.pid = pid
	d.process(pid)
}

// process counts a process, also one that allocates nothing.
func (d *decoder) process(pid int32) {
	if _, ok := d.pids[pid]; ok || pid == 0 {
		return
	}
	if d.pids == nil {
		d.pids = map[int32]struct{}{}
	}
	d.pids[pid] = struct{}{}
	d.report.Processes++
}

// maxCommands bounds the processes whose commands are kept.
const maxCommands = 1024

// command notes what a process runs: the first program is that of the log.
func (d *decoder) command(pid int32, text []byte) {
	r := d.report
	switch {
	case r.Command == "":
		r.Command = string(text)
	case r.Command == string(text):
		delete(r.Commands, pid)
	case len(r.Commands) == maxCommands:
	default:
		if r.Commands == nil {
			r.Commands = map[int32]string{}
		}
		r.Commands[pid] = string(text)
	}
}

// symbol normalises a name (see NormalizeSymbol), each once.
func (d *decoder) symbol(name []byte) string {
	if s, ok := d.symbols[string(name)]; ok {
		return s
	}
	if d.symbols == nil {
		d.symbols = map[string]string{}
	}
	raw := string(name)
	s := NormalizeSymbol(raw)
	d.symbols[raw] = s
	return s
}

// text is string(b), with one copy for all that are equal.
func (d *decoder) text(b []byte) string {
	if s, ok := d.strings[string(b)]; ok {
		return s
	}
	if d.strings == nil {
		d.strings = map[string]string{}
	}
	s := string(b)
	d.strings[s] = s
	return s
}

func (d *decoder) born(e *Event) {
	e.Op, e.Count, e.Seq = Alloc, 1, d.seq
	if e.Time == 0 {
		e.Time = d.now
	}
	d.seq++
	d.report.Events++
	d.report.Allocs++
	d.report.AllocatedBytes += e.Size
	d.report.Outstanding.Blocks++
	d.report.Outstanding.Bytes += e.Size
	d.site(e.Stack, e.PID)
}

func (d *decoder) died(e *Event) {
	e.Op, e.Count = Free, 1
	if e.Time == 0 {
		e.Time = d.now
	}
	if e.Block >= 0 {
		d.report.Outstanding.Blocks--
		d.report.Outstanding.Bytes -= e.Size
	}
	if e.Flags&Inferred != 0 {
		e.Seq = d.seq
		d.report.LostFrees++
		return
	}
	e.Seq = d.seq
	d.seq++
	d.report.Events++
	d.report.Frees++
	if e.Block < 0 {
		d.report.OrphanFrees++
	}
}

// alloc emits the birth of a block at e.Addr with e.Size, e.Stack, e.PID, e.Line
// and so on; it fills in the rest. If the address is still taken, the block that
// held it is freed first, as an inferred free.
func (d *decoder) alloc(e *Event) bool { return d.allocIn(e.PID, e) }

// allocIn is alloc where the heap is not that of the process e.PID.
func (d *decoder) allocIn(heap int32, e *Event) bool {
	if e.Size > maxSum-d.report.AllocatedBytes {
		return d.tooMuch(e)
	}
	block, lost, wasLive := d.ledger.alloc(heap, e.Addr, e.Size, e.Stack)
	if wasLive {
		f := Event{Flags: Inferred, Block: lost.block, Addr: e.Addr, Size: lost.size, Stack: lost.stack,
			Time: e.Time, PID: e.PID, TID: e.TID, Line: e.Line}
		d.died(&f)
		birth := *e // e may be d.event, which f takes
		if !d.emit(&f) {
			return false
		}
		*e = birth
	}
	e.Block = block
	d.born(e)
	return d.emit(e)
}

// free emits the death of the block at e.Addr; it fills in what is freed.
func (d *decoder) free(e *Event) bool { return d.freeIn(e.PID, e) }

// freeIn is free where the heap is not that of the process e.PID.
func (d *decoder) freeIn(heap int32, e *Event) bool {
	b, ok := d.ledger.free(heap, e.Addr)
	e.Block = -1
	if ok {
		e.Block, e.Size, e.Stack = b.block, b.size, b.stack
	}
	d.died(e)
	return d.emit(e)
}

// allocClass and freeClass are for formats whose events name a class of equal
// blocks: live holds those of the class, and the oldest is taken to die first.
func (d *decoder) allocClass(e *Event, live *fifo) bool {
	if e.Size > maxSum-d.report.AllocatedBytes {
		return d.tooMuch(e)
	}
	e.Block = d.ledger.born
	d.ledger.born++
	live.push(e.Block)
	d.born(e)
	return d.emit(e)
}

func (d *decoder) freeClass(e *Event, live *fifo) bool {
	var ok bool
	e.Flags |= Approximate
	if e.Block, ok = live.pop(); !ok {
		e.Size = 0
	}
	d.died(e)
	return d.emit(e)
}

// outstanding emits one entry of a report or snapshot: e.Count blocks of e.Size
// bytes in all from e.Stack.
func (d *decoder) outstanding(e *Event) bool {
	if e.Count > maxSum-d.ledger.born || e.Size > maxSum-d.report.Outstanding.Bytes {
		return d.tooMuch(e)
	}
	e.Op, e.Seq, e.Block = Outstanding, d.seq, d.ledger.born
	d.ledger.born += e.Count
	d.seq++
	d.report.Events++
	d.report.Records++
	if e.Scan != d.judged {
		d.judged = e.Scan
		d.report.Outstanding = Amount{}
	}
	d.report.Outstanding.Blocks += e.Count
	d.report.Outstanding.Bytes += e.Size
	d.site(e.Stack, e.PID)
	return d.emit(e)
}

// emptyEnd notes that the last scan of a series shows nothing.
func (d *decoder) emptyEnd() {
	d.report.LastEmpty = true
	d.report.Outstanding = Amount{}
}

// tooMuch refuses what would make a sum run over.
func (d *decoder) tooMuch(e *Event) bool {
	return d.bad(e.Line, "%d bytes in %d blocks: with those before, more than any machine ever had", e.Size, max(e.Count, 1))
}

// oracle records the log's own check and warns where it fails.
func (d *decoder) oracle(name, expected, got string) {
	o := &Oracle{Name: name, Expected: expected, Got: got, OK: expected == got}
	d.report.Oracle = o
	if !o.OK {
		d.report.Warn("%s: %s says %s, the records add up to %s: the log is incomplete or jumbled",
			d.report.Name, name, expected, got)
	}
}

// logSource is a Source over a file in a line format.
type logSource struct {
	dec    *decoder
	in     *input
	format *Format
	closer io.Closer
	read   bool
}

func (s *logSource) Stacks() *Stacks { return s.dec.stacks }
func (s *logSource) Report() *Report { return s.dec.report }

func (s *logSource) Close() error {
	s.in.close()
	if s.closer == nil {
		return nil
	}
	return s.closer.Close()
}

func (s *logSource) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s.each(func(e *Event, err error) bool { return yield(*e, err) })
	}
}

// each is Events by address, see [Each].
func (s *logSource) each(yield func(*Event, error) bool) {
	d := s.dec
	if s.read {
		yield(&Event{}, fmt.Errorf("%s: the events of a source can be read once", d.report.Name))
		return
	}
	s.read = true
	d.yield = yield
	err := s.format.read(d)
	d.report.Lines = d.lines.n
	if d.done {
		return
	}
	if d.lines.tooLong > 0 {
		d.report.Errors += d.lines.tooLong
		d.report.Warn("%s:%d: %d lines longer than %d bytes skipped (the last of them here)",
			d.report.Name, d.lines.lastTooLong, d.lines.tooLong, maxLine)
	}
	if n := d.stacks.dropped; n > 0 {
		d.report.Warn("%s: %d times a call stack was left out, because those before fill the table", d.report.Name, n)
	}
	if err == nil {
		err = s.readError()
	}
	if err != nil {
		yield(&Event{}, err)
	}
}

// readError returns the error that ended the input, unless it is a plain end or
// damage behind which what was read is still good.
func (s *logSource) readError() error {
	err := s.dec.lines.err
	if err == nil || err == io.EOF {
		return nil
	}
	if err = s.in.explain(err); errors.Is(err, errDamaged) {
		s.dec.truncated("%v; what came before is used", err)
		return nil
	}
	return fmt.Errorf("%s: %w", s.dec.report.Name, err)
}
