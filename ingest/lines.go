package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine bounds one line; longer ones are skipped and counted. Real logs have
// lines of some kilobytes (C++ symbols).
const maxLine = 1 << 20

// peekSize is how much of a file detection may look at.
const peekSize = 64 << 10

// lines cuts a stream into lines with bounded memory and remembers where it is.
type lines struct {
	r *bufio.Reader
	// n is the number of the line returned last, from 1.
	n int64
	// partial says that the line returned last ended without a newline.
	partial bool
	// tooLong counts the lines that were skipped because of their length;
	// lastTooLong is the number of the latest of them.
	tooLong, lastTooLong int64
	// err is what ended the input.
	err  error
	long []byte
}

func newLines(r io.Reader) *lines {
	return &lines{r: bufio.NewReaderSize(r, peekSize)}
}

// peek returns bytes from the front without consuming them: it waits for size, up to
// peekSize, or the end.
func (l *lines) peek(size int) ([]byte, error) {
	_, err := l.r.Peek(size)
	head, _ := l.r.Peek(l.r.Buffered())
	if len(head) > 0 || err == io.EOF {
		return head, nil
	}
	return nil, err
}

// next returns the next line without its line ending; the slice is valid until
// the following call. It returns false at the end of the input; l.err then tells
// whether that was a read error.
func (l *lines) next() ([]byte, bool) {
	for {
		line, whole, ok := l.read()
		if !ok {
			return nil, false
		}
		l.n++
		if !whole {
			l.tooLong++
			l.lastTooLong = l.n
			continue
		}
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if l.n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		return line, true
	}
}

// read returns one line without its newline; whole is false where the line was
// longer than maxLine and has been skipped.
func (l *lines) read() (line []byte, whole, ok bool) {
	if l.err != nil {
		return nil, false, false
	}
	l.partial = false
	line, err := l.r.ReadSlice('\n')
	if err == nil {
		return line[:len(line)-1], true, true
	}
	l.long = append(l.long[:0], line...)
	whole = true
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.r.ReadSlice('\n')
		if len(l.long)+len(line) > maxLine {
			whole = false
			l.long = l.long[:0]
		}
		if whole {
			l.long = append(l.long, line...)
		}
	}
	if err != nil {
		l.err = err
		if whole && len(l.long) == 0 {
			return nil, false, false
		}
		l.partial = true
		return l.long, whole, true
	}
	return bytes.TrimSuffix(l.long, []byte{'\n'}), whole, true
}
