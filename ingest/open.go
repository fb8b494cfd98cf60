package ingest

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
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
// The name stands in messages and in the report.
func NewSource(name string, r io.Reader, opts Options) (Source, error) {
	plain, err := decompress(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	ls := newLines(plain)
	head, err := ls.peek()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	format, err := choose(name, head, opts.Format)
	if err != nil {
		return nil, err
	}
	closer, _ := r.(io.Closer)
	if closer == nil {
		closer = io.NopCloser(r)
	}
	return &logSource{
		dec: &decoder{
			lines:  ls,
			stacks: NewStacks(),
			ledger: newLedger(),
			pids:   map[int32]struct{}{},
			report: &Report{Name: name, Format: format.Name, Class: format.Class, Clock: NoClock},
		},
		format: format,
		closer: closer,
	}, nil
}

// maxWindow bounds the memory that a compressed file may ask for.
const maxWindow = 256 << 20

// decompress unpacks what carries the magic of a known compression, also when it
// was packed twice, and passes everything else on.
func decompress(r io.Reader) (io.Reader, error) {
	for range 4 {
		br := bufio.NewReaderSize(r, peekSize)
		head, err := br.Peek(6)
		if err != nil && err != io.EOF && len(head) == 0 {
			return nil, err
		}
		switch {
		case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
			r, err = gzip.NewReader(br)
		case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
			// One goroutine: a reader that is dropped half-way leaves nothing running.
			r, err = zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxWindow))
		case bytes.HasPrefix(head, []byte("BZh")):
			r, err = bzip2.NewReader(br), nil
		case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
			r, err = xz.ReaderConfig{DictCap: maxWindow}.NewReader(br)
		default:
			return br, nil
		}
		if err != nil {
			return nil, fmt.Errorf("damaged compressed file: %w", err)
		}
	}
	return nil, errors.New("compressed more than three times over; unpack it first")
}

// isDamage reports whether a read error comes from damaged compressed data.
func isDamage(err error) bool {
	var structural bzip2.StructuralError
	return errors.As(err, &structural) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) ||
		errors.Is(err, zstd.ErrCRCMismatch) || errors.Is(err, zstd.ErrMagicMismatch) || isZstdDamage(err)
}

// isZstdDamage lists what the zstd package says of a broken frame; it has no
// common type for these.
func isZstdDamage(err error) bool {
	for _, e := range []error{zstd.ErrReservedBlockType, zstd.ErrCompressedSizeTooBig, zstd.ErrBlockTooSmall,
		zstd.ErrUnexpectedBlockSize, zstd.ErrFrameSizeExceeded, zstd.ErrFrameSizeMismatch, zstd.ErrUnknownDictionary} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
