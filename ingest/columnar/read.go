package columnar

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/apache/arrow/go/v15/arrow/ipc"

	"leakformer/ingest"
)

// Open opens a run. The caller closes the Source.
func Open(path string) (ingest.Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	src, err := openFile(path, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return src, nil
}

func openFile(path string, f *os.File) (ingest.Source, error) {
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case st.IsDir():
		return nil, fmt.Errorf("%s: is a directory; name the runs in it", path)
	case st.Mode().IsRegular():
		if err := checkTail(f, st.Size()); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return NewSource(path, f)
}

// checkTail sees a file that was cut off before the time is spent to read it.
func checkTail(f io.ReaderAt, size int64) error {
	var head, tail [len(magic)]byte
	if size < 2*int64(len(magic)) {
		return errCutOrForeign
	}
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return err
	}
	if _, err := f.ReadAt(tail[:], size-int64(len(magic))); err != nil {
		return err
	}
	if IsRun(head[:]) && !IsRun(tail[:]) {
		return errCut
	}
	return nil
}

var (
	errForeign      = errors.New("is no Arrow file: name a run that leakformer ingest wrote")
	errCutOrForeign = errors.New("is too short for a run: it is cut off, or no run at all")
)

// NewSource reads a run from r, which the Source closes if it is an io.Closer. It
// reads from front to back, so that r may be a pipe. The name stands in errors;
// the report keeps the name of the log.
//
// The Source's report knows name, format and class of the log at once, and the
// rest when the events have been read. An error from Events names the row, which
// counts from 1; such an error is the last pair.
func NewSource(name string, r io.Reader) (ingest.Source, error) {
	s := &source{name: name, table: ingest.NewStacks(), stackIDs: []ingest.StackID{0}, comms: map[string]string{},
		events: make([]ingest.Event, 0, 1024)}
	s.closer, _ = r.(io.Closer)
	s.in = bufio.NewReaderSize(r, 1<<16)
	var head [8]byte // the magic and its padding
	if _, err := io.ReadFull(s.in, head[:]); err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("%s: %w", name, errCutOrForeign)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !IsRun(head[:]) {
		return nil, fmt.Errorf("%s: %w", name, errForeign)
	}
	s.messages = &messages{r: s.in}
	s.budget = &budget{left: maxBatch}
	var err error
	if s.records, err = ipc.NewReaderFromMessageReader(s.messages, ipc.WithAllocator(s.budget)); err != nil {
		return nil, s.fail(err)
	}
	if err := s.begin(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// source is a run being read.
type source struct {
	name     string
	closer   io.Closer
	in       *bufio.Reader
	messages *messages
	budget   *budget
	records  *ipc.Reader
	report   ingest.Report
	read     bool

	row    int64 // the one being decoded, from 1
	laws   laws
	last   ingest.Event   // from which seq, time and line are counted on
	events []ingest.Event // decoded and not yet handed on
	// Numbers of the file by position, as numbers of the table. They are the same
	// but where strings became equal when they were made UTF-8.
	frameIDs []ingest.FrameID
	stackIDs []ingest.StackID
	table    *ingest.Stacks
	ids      []ingest.FrameID  // scratch
	comms    map[string]string // each name once, not the buffer in which it stood
	done     bool              // the last row has been read
}

func (s *source) Stacks() *ingest.Stacks { return s.table }
func (s *source) Report() *ingest.Report { return &s.report }

func (s *source) Close() error {
	if s.closer == nil {
		return nil
	}
	return s.closer.Close()
}

// begin checks the schema and takes from it what it says of the log.
func (s *source) begin() error {
	schema := s.records.Schema()
	if err := checkSchema(schema); err != nil {
		return err
	}
	md := schema.Metadata()
	get := func(key string) string { v, _ := md.GetValue(key); return v }
	s.report = ingest.Report{Name: get(keyLog), Format: get(keyFormat), Class: ingest.Class(get(keyClass)), Clock: ingest.NoClock}
	return checkClass(s.report.Class)
}

func checkClass(c ingest.Class) error {
	switch c {
	case ingest.Events, ingest.Snapshots, ingest.EndReport:
		return nil
	}
	return fmt.Errorf("is a run of the unknown class %q: ingest the log again with this program", c)
}

// fail gives an error of arrow the file's name and, where arrow hides it, its cause.
func (s *source) fail(err error) error {
	if s.messages.err != nil && s.messages.err != io.EOF {
		return fmt.Errorf("%s: %w", s.name, s.messages.err)
	}
	return fmt.Errorf("%s: is damaged (%w): ingest the log again", s.name, err)
}

func (s *source) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		if s.read {
			yield(ingest.Event{}, fmt.Errorf("%s: the events of a source can be read once", s.name))
			return
		}
		s.read = true
		defer s.records.Release()
		for {
			c, err := s.next()
			if err != nil {
				yield(ingest.Event{}, err)
			}
			if c == nil || !s.yieldBatch(c, yield) {
				return
			}
		}
	}
}

// yieldBatch hands on the events of one batch; false ends the reading.
func (s *source) yieldBatch(c *columns, yield func(ingest.Event, error) bool) bool {
	for from := 0; from < c.n; from += cap(s.events) {
		err := s.decode(c, from, min(from+cap(s.events), c.n))
		for i := range s.events {
			if !yield(s.events[i], nil) {
				return false
			}
		}
		if err != nil {
			yield(ingest.Event{}, fmt.Errorf("%s, row %d: %w", s.name, s.row, err))
			return false
		}
	}
	return true
}

// decode puts the events of some rows into s.events, up to the first bad one.
func (s *source) decode(c *columns, from, to int) (err error) {
	defer func() {
		// A damaged batch has arrays that are shorter than they say.
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged data (%v): ingest the log again", r)
		}
	}()
	s.events = s.events[:0]
	for i := from; i < to; i++ {
		s.row++
		if err := s.decodeRow(c, i); err != nil {
			return err
		}
	}
	return nil
}

// next returns the next record batch, or nil after the last one of a whole file.
func (s *source) next() (c *columns, err error) {
	defer func() {
		// arrow panics on some damaged buffers.
		if r := recover(); r != nil {
			c, err = nil, s.fail(fmt.Errorf("%v", r))
		}
	}()
	s.budget.left = maxBatch
	if s.records.Next() {
		return newColumns(s.records.Record()), nil
	}
	switch err := s.records.Err(); {
	case err != nil || s.messages.err != io.EOF:
		return nil, s.fail(err)
	case !s.done:
		return nil, fmt.Errorf("%s: %w", s.name, errCut)
	}
	return nil, s.checkFooter()
}

// maxFooter bounds what may follow the events.
const maxFooter = 64 << 20

// checkFooter reads what follows the events, to see that it is all there.
func (s *source) checkFooter() error {
	var tail [2 * len(magic)]byte
	var n int64
	for {
		b, err := s.in.ReadByte()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if n++; n > maxFooter {
			return fmt.Errorf("%s: does not end: more than %d MB follow its events", s.name, maxFooter>>20)
		}
		copy(tail[:], tail[1:])
		tail[len(tail)-1] = b
	}
	if !IsRun(tail[len(magic):]) {
		return fmt.Errorf("%s: %w", s.name, errCut)
	}
	return nil
}

func (s *source) decodeRow(c *columns, i int) error {
	if s.done {
		return errors.New("rows follow the one that ends the run")
	}
	if err := s.learn(c, i); err != nil {
		return err
	}
	if c.op[i] == 0 {
		return s.end(c, i)
	}
	e, err := c.event(i, s.laws.born, &s.last)
	if err != nil {
		return err
	}
	e.Comm = s.comm(c.comm.Value(i))
	if err := s.laws.check(&e, len(s.stackIDs)); err != nil {
		return err
	}
	e.Stack = s.stackIDs[e.Stack]
	s.events = append(s.events, e)
	return nil
}

// learn takes in the frames and call stacks that row i is the first to need.
func (s *source) learn(c *columns, i int) error {
	if c.frames.IsValid(i) {
		from, to := c.frames.ValueOffsets(i)
		for j := from; j < to; j++ {
			f := c.frame.at(int(j))
			if err := s.laws.frame(&f); err != nil {
				return err
			}
			s.frameIDs = append(s.frameIDs, s.table.Frame(f))
		}
	}
	if c.stacks.IsValid(i) {
		from, to := c.stacks.ValueOffsets(i)
		for j := from; j < to; j++ {
			if err := s.learnStack(c, int(j)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *source) learnStack(c *columns, j int) error {
	from, to := c.stackFrames.ValueOffsets(j)
	if err := s.laws.stack(int(to - from)); err != nil {
		return err
	}
	s.ids = s.ids[:0]
	for _, f := range c.stackFrameIDs[from:to] {
		if int64(f) >= int64(len(s.frameIDs)) {
			return fmt.Errorf("frame %d is used before it is stored (%d are)", f, len(s.frameIDs))
		}
		s.ids = append(s.ids, s.frameIDs[f])
	}
	s.stackIDs = append(s.stackIDs, s.table.Stack(s.ids))
	return nil
}

// maxComms bounds the names that are kept; a run has a handful.
const maxComms = 4096

// comm returns a copy of a task's name, the same one each time.
func (s *source) comm(name string) string {
	if name == "" {
		return ""
	}
	if known, ok := s.comms[name]; ok {
		return known
	}
	if len(s.comms) >= maxComms {
		clear(s.comms)
	}
	name = string([]byte(name))
	s.comms[name] = name
	return name
}

// end reads the report, where row i holds it.
func (s *source) end(c *columns, i int) error {
	if c.report.IsNull(i) {
		return nil
	}
	var r ingest.Report
	if err := json.Unmarshal([]byte(c.report.Value(i)), &r); err != nil {
		return fmt.Errorf("parse report: %w", err)
	}
	if err := checkClass(r.Class); err != nil {
		return fmt.Errorf("parse report: %w", err)
	}
	s.report, s.done = r, true
	return nil
}
