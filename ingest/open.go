package ingest

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Options say how a log is opened. The zero value detects everything.
type Options struct {
	// Format is a name from Formats; "" or "auto" detects it.
	Format string
}

// Open opens a log file; "-" is not special. The caller closes the Source.
func Open(path string, opts Options) (Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err == nil && st.IsDir() {
		f.Close()
		return nil, &FormatError{File: path, Msg: "is a directory; name the log files in it"}
	}
	src, err := NewSource(path, f, opts)
	if err != nil {
		f.Close()
		return nil, err
	}
	return src, nil
}

// NewSource reads a log from r, which the Source closes if it is an io.Closer.
// It reads the first bytes at once, to find out the compression and the format; it
// never seeks, so that r can be a pipe.
// The name stands in messages and in the report.
func NewSource(name string, r io.Reader, opts Options) (Source, error) {
	in := newInput(r)
	src, err := newLogSource(name, in, opts)
	if err != nil {
		in.close()
		return nil, err
	}
	src.closer, _ = r.(io.Closer)
	return src, nil
}

func newLogSource(name string, in *input, opts Options) (*logSource, error) {
	plain, err := in.unpack()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	ls := newLines(plain)
	size := peekSize
	if named(opts.Format) {
		size = 1 // A log that is still being written may not have more yet.
	}
	head, err := ls.peek(size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, in.explain(err))
	}
	format, err := choose(name, head, opts.Format)
	if err != nil {
		return nil, err
	}
	return &logSource{
		dec: &decoder{
			lines:  ls,
			stacks: NewStacks(),
			ledger: newLedger(),
			report: &Report{Name: name, Format: format.Name, Class: format.Class, Clock: NoClock},
		},
		in:     in,
		format: format,
	}, nil
}

// errDamaged is what reading compressed data that are damaged or cut off gives.
var errDamaged = errors.New("the compressed data are damaged or end early")

// explain tells damage in the data from a failure to read them.
func (in *input) explain(err error) error {
	if ended := in.ended(); ended == nil || ended == io.EOF {
		return fmt.Errorf("%w (%w)", errDamaged, err)
	}
	return err
}
