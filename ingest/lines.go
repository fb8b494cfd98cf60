package ingest

import (
	"bufio"
	"bytes"
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
	// ahead is what was taken out of r and is in no line yet; it lies in r's buffer.
	ahead []byte
	// n is the number of the line returned last, from 1.
	n int64
	// partial says that the line returned last ended without a newline.
	partial bool
	// tooLong counts the lines that were skipped because of their length;
	// lastTooLong is the number of the latest of them.
	tooLong, lastTooLong int64
	// err is what ended the input.
	err  error
	long []byte // a line that was not in the buffer as a whole
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
	var line []byte
	if i := bytes.IndexByte(l.ahead, '\n'); i >= 0 {
		line, l.ahead = l.ahead[:i], l.ahead[i+1:]
		l.n++
	} else if l.readOn() {
		line = l.long
	} else {
		return nil, false
	}
	if end := len(line) - 1; end >= 0 && line[end] == '\r' {
		line = line[:end]
	}
	if l.n == 1 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	return line, true
}

// readOn puts into l.long the next line that is not longer than maxLine; the first
// one goes on behind l.ahead.
func (l *lines) readOn() bool {
	for l.err == nil {
		whole, ended := l.readLong()
		if !ended && whole && len(l.long) == 0 {
			return false
		}
		l.n++
		l.partial = !ended
		if whole {
			return true
		}
		l.tooLong++
		l.lastTooLong = l.n
	}
	return false
}

// readLong reads a line into l.long: whole is false where it is too long, and ended
// where the input ends before it.
func (l *lines) readLong() (whole, ended bool) {
	l.long, whole = l.long[:0], true
	for {
		i := bytes.IndexByte(l.ahead, '\n')
		part := l.ahead
		if i >= 0 {
			part = part[:i]
		}
		if len(l.long)+len(part) >= maxLine {
			l.long, whole = l.long[:0], false
		}
		if whole {
			l.long = append(l.long, part...)
		}
		if i >= 0 {
			l.ahead = l.ahead[i+1:]
			return whole, true
		}
		if !l.fill() {
			return whole, false
		}
	}
}

// fill takes the next bytes out of r, all that have come by now.
func (l *lines) fill() bool {
	l.ahead = nil
	if _, err := l.r.Peek(1); err != nil {
		l.err = err
		return false
	}
	l.ahead, _ = l.r.Peek(l.r.Buffered())
	l.r.Discard(len(l.ahead)) // the bytes stay where they are until r reads again
	return true
}
