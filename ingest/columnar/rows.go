package columnar

import "leakformer/ingest"

// rows are the columns of a record batch that is being filled.
type rows struct {
	n     int
	bytes int // of strings, frames and call stacks

	op, loss, flags        column[uint8]
	seq, time, count, line column[int64]
	age, addr, size        wide
	stack                  column[uint32]
	scan, pid, tid         column[int32]
	comm                   texts
	frames, stacks, report entries
	newFrames              frameRows // the entries of frames
	newStacks              stackRows // the entries of stacks
	reportText             []byte    // the entry of report
}

// event appends a row. The event is one that keeps the laws; born is the number of
// blocks before it, and last the event before it, in whose place it is put.
func (r *rows) event(e *ingest.Event, born int64, last *ingest.Event) {
	n := r.n
	kept := r.op.set(n, uint8(e.Op))
	kept = r.loss.set(n, uint8(e.Loss)) && kept
	kept = r.flags.set(n, uint8(e.Flags)) && kept
	kept = r.seq.set(n, e.Seq-last.Seq) && kept
	kept = r.time.set(n, int64(e.Time-last.Time)) && kept
	kept = r.age.set(n, age(e, born)) && kept
	kept = r.addr.set(n, e.Addr) && kept
	kept = r.size.set(n, uint64(e.Size)) && kept
	kept = r.count.set(n, e.Count) && kept
	kept = r.stack.set(n, uint32(e.Stack)) && kept
	kept = r.scan.set(n, e.Scan) && kept
	kept = r.pid.set(n, e.PID) && kept
	kept = r.tid.set(n, e.TID) && kept
	kept = r.line.set(n, e.Line-last.Line) && kept
	comm := e.Comm
	if comm != "" {
		comm = clean(comm)
	}
	kept = r.comm.set(n, comm) && kept
	r.bytes += len(comm)
	if !kept {
		for _, c := range r.ofEvents() {
			c.keep(n)
		}
	}
	r.n++
	last.Seq, last.Time, last.Line = e.Seq, e.Time, e.Line
}

// setter is a column that is being filled.
type setter interface {
	keep(row int)
	clear()
}

// ofEvents are the columns that each event has a value of.
func (r *rows) ofEvents() [15]setter {
	return [...]setter{
		&r.op, &r.loss, &r.flags, &r.seq, &r.time, &r.age, &r.addr, &r.size, &r.count, &r.stack, &r.scan,
		&r.pid, &r.tid, &r.line, &r.comm,
	}
}

// none appends a row that is no event.
func (r *rows) none() { r.event(&ingest.Event{}, 0, &ingest.Event{}) }

// age is how long the block of a free has lived, in blocks born since; else 0.
func age(e *ingest.Event, born int64) uint64 {
	if e.Op != ingest.Free || e.Block < 0 {
		return 0
	}
	return uint64(born - e.Block)
}

// newStack appends an entry of stacks to the row that comes next.
func (r *rows) newStack(frames []ingest.FrameID) {
	r.newStacks.add(frames)
	r.stacks.set(r.n, r.newStacks.n)
	r.bytes += 4 * (len(frames) + 1)
}

// newFrame appends an entry of frames to the row that comes next.
func (r *rows) newFrame(f *ingest.Frame) {
	r.newFrames.add(f)
	r.frames.set(r.n, r.newFrames.n)
	r.bytes += len(f.Function) + len(f.Module) + len(f.File) + 29
}

// end appends a row with the report.
func (r *rows) end(report string) {
	r.reportText = append(r.reportText, report...)
	r.report.set(r.n, len(r.reportText))
	r.bytes += len(report)
	r.none()
}

// clear empties the columns and keeps their memory.
func (r *rows) clear() {
	r.n, r.bytes = 0, 0
	for _, c := range r.ofEvents() {
		c.clear()
	}
	for _, c := range [...]interface{ clear() }{&r.frames, &r.newFrames, &r.stacks, &r.newStacks, &r.report} {
		c.clear()
	}
	r.reportText = r.reportText[:0]
}

// frameRows are the columns of frames.
type frameRows struct {
	n                      int
	function, module, file texts
	line                   column[int64]
	address                column[uint64]
	inlined                []byte // a bitmap
}

func (f *frameRows) columns() [5]setter {
	return [...]setter{&f.function, &f.module, &f.file, &f.line, &f.address}
}

func (f *frameRows) add(frame *ingest.Frame) {
	f.function.set(f.n, frame.Function)
	f.module.set(f.n, frame.Module)
	f.file.set(f.n, frame.File)
	f.line.set(f.n, int64(frame.Line))
	f.address.set(f.n, frame.Address)
	for _, c := range f.columns() {
		c.keep(f.n)
	}
	if f.n%8 == 0 {
		f.inlined = append(f.inlined, 0)
	}
	if frame.Inlined {
		f.inlined[f.n/8] |= 1 << (f.n % 8)
	}
	f.n++
}

func (f *frameRows) clear() {
	for _, c := range f.columns() {
		c.clear()
	}
	f.n, f.inlined = 0, f.inlined[:0]
}

// stackRows are the columns of call stacks.
type stackRows struct {
	n       int
	offsets offsets
	frames  []uint32
}

func (s *stackRows) add(frames []ingest.FrameID) {
	for _, id := range frames {
		s.frames = append(s.frames, uint32(id))
	}
	s.offsets.end(s.n, len(s.frames))
	s.offsets.keep(s.n)
	s.n++
}

func (s *stackRows) clear() {
	s.offsets.clear()
	s.n, s.frames = 0, s.frames[:0]
}
