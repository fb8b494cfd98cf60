package main

import (
	"bytes"
	"io"
	"strconv"
)

// A log is one of heaptrack, raw, that is written as it is read: blocks of 2,000 call
// stacks, up to 100,000 of them live at a time, which are freed in another order than
// they came.
type log struct {
	buf bytes.Buffer
	// i of end events are written.
	i, end int
}

const (
	logStacks = 2_000
	logLive   = 100_000
)

func newLog(events int) *log {
	l := &log{end: events}
	l.buf.WriteString("v 10400 3\nx 6 /bin/a\nm 1 -\nm 1 x 400000 0 1000000\n")
	for i := range logStacks {
		l.line('t', 0x400000+16*i, i/4)
	}
	return l
}

// Read implements [io.Reader].
func (l *log) Read(p []byte) (int, error) {
	for l.buf.Len() < len(p) && l.i < l.end {
		l.event()
	}
	return l.buf.Read(p)
}

// WriteTo implements [io.WriterTo].
func (l *log) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{l})
}

// event writes an allocation while there is room, then in turns a free and an
// allocation in its place.
func (l *log) event() {
	i := l.i
	l.i++
	if i%1000 == 0 {
		l.line('c', i/100)
	}
	slot, live := i, min(logLive, l.end/4)
	if i >= live {
		// A step through all slots that is not in the order of their birth.
		slot = (i - live) / 2 * 7919 % live
	}
	addr := 0x55d0c0000000 + 64*slot
	if i >= live && (i-live)%2 == 0 {
		l.line('-', addr)
		return
	}
	l.line('+', 16+i%500, 1+i*7%logStacks, addr)
}

// line writes a record: its kind and numbers.
func (l *log) line(kind byte, numbers ...int) {
	b := append(l.buf.AvailableBuffer(), kind)
	for _, n := range numbers {
		b = strconv.AppendUint(append(b, ' '), uint64(n), 16)
	}
	l.buf.Write(append(b, '\n'))
}
