package ingest

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// Follower reads a file that another program is still writing: at the end of the file
// it waits for more. A line, or a block of compressed data, that is there only in
// part is so read when the rest has come.
//
// Nobody can know whether the writer is gone. Reading ends, as at the end of a file,
// when the context is cancelled, when the file has not grown for Idle, and when it is
// no longer the same: replaced by another, or cut short (see Replaced).
type Follower struct {
	// Idle is how long the file may stay as it is before reading ends; 0: for ever.
	Idle time.Duration
	// Poll is the time between two looks at the file; 0: a fifth of a second.
	Poll time.Duration
	// Quiet, if it is not nil, is called by the goroutine that reads, each time all of
	// the file has been read and before more is waited for: what was read until then
	// can be looked at in it.
	Quiet func()

	ctx      context.Context
	path     string
	file     *os.File
	read     int64 // bytes so far
	replaced bool
	ended    bool
}

// Follow opens a file to be followed. The Follower is for one goroutine.
func Follow(ctx context.Context, path string) (*Follower, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &FormatError{File: path, Msg: "is no regular file, and cannot be followed"}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Follower{ctx: ctx, path: path, file: f}, nil
}

// Replaced reports whether reading has ended because the file was replaced by another
// or cut short: what the path names now is another log.
func (f *Follower) Replaced() bool { return f.replaced }

// Detect waits until the head of the file tells the log's format, and returns its
// name. Logs of some formats begin with lines of another one: it looks at as much as
// detection ever does, or at what is there when the file has rested for a second, or
// five seconds after it began (more precisely 5 and 25 times Poll). Name the format
// instead where a log begins slower than that.
func (f *Follower) Detect() (string, error) {
	opened := time.Now()
	begun, changed := opened, opened
	size := int64(-1)
	for {
		if st, err := os.Stat(f.path); err == nil && st.Size() != size {
			changed = time.Now()
			if size < 0 && st.ModTime().Before(changed) {
				changed = st.ModTime() // it has rested before
			}
			if size <= 0 {
				begun = time.Now()
			}
			size = st.Size()
		}
		resting, interrupted := time.Since(changed), f.ctx.Err() != nil
		enough := interrupted || size >= peekSize || resting >= 5*f.poll() || time.Since(begun) >= 25*f.poll()
		format, err := detect(f.path)
		if err == nil && (enough || format == formats[0].Name) { // what is asked first has the last word
			return format, nil
		}
		refused, ok := errors.AsType[*FormatError](err)
		hopeless := ok && refused.refused || size >= 4*peekSize
		if enough && err != nil && (hopeless || interrupted || f.Idle > 0 && min(resting, time.Since(opened)) >= f.Idle) {
			return "", err
		}
		f.pause(f.poll())
	}
}

// detect returns the name of the format of what is in a file now.
func detect(path string) (string, error) {
	src, err := Open(path, Options{})
	if err != nil {
		return "", err
	}
	return src.Report().Format, src.Close()
}

// Close releases the file.
func (f *Follower) Close() error { return f.file.Close() }

// Read returns what the file holds, and waits where it ends.
func (f *Follower) Read(p []byte) (int, error) {
	since := time.Now()
	for !f.ended {
		n, err := f.file.Read(p)
		f.read += int64(n)
		if n > 0 || len(p) == 0 {
			return n, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		f.wait(since)
	}
	return 0, io.EOF
}

// wait passes the time until the next look at the file, which ended at since.
func (f *Follower) wait(since time.Time) {
	if f.changed() {
		f.replaced, f.ended = true, true
		return
	}
	if f.Quiet != nil {
		f.Quiet()
	}
	d := f.poll()
	if f.Idle > 0 {
		if d = min(d, f.Idle-time.Since(since)); d <= 0 {
			f.ended = true
			return
		}
	}
	f.ended = !f.pause(d)
}

func (f *Follower) poll() time.Duration {
	if f.Poll > 0 {
		return f.Poll
	}
	return time.Second / 5
}

// pause lets time pass; it returns false when the context is cancelled.
func (f *Follower) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-f.ctx.Done():
		return false
	}
}

// changed reports whether the path names another file by now, or the file has become
// shorter than what was read of it. A file that is gone is still written, maybe.
func (f *Follower) changed() bool {
	st, err := f.file.Stat()
	if err != nil {
		return false
	}
	if st.Size() < f.read {
		return true
	}
	now, err := os.Stat(f.path)
	return err == nil && !os.SameFile(st, now)
}
