package monitor

import (
	"context"
	"io"
	"time"
)

// Pipe reads from what may be silent for long, such as a FIFO or standard input, and
// calls Quiet meanwhile: as [ingest.Follower] does for files. It ends with its
// context.
type Pipe struct {
	// Quiet, if it is not nil, is called by the goroutine that reads, a few times a
	// second while nothing comes, and between two pieces of what comes.
	Quiet func()

	ctx    context.Context
	chunks chan chunk
	rest   []byte
	err    error
}

type chunk struct {
	data []byte
	err  error
}

// quietTime is how long a pipe waits before it calls Quiet.
const quietTime = time.Second / 5

// ReadPipe reads from what open returns, which it closes: to open a FIFO waits for
// its writer. A read that waits when the context ends is left behind.
func ReadPipe(ctx context.Context, open func() (io.ReadCloser, error)) *Pipe {
	p := &Pipe{ctx: ctx, chunks: make(chan chunk)}
	go p.pump(open)
	return p
}

func (p *Pipe) pump(open func() (io.ReadCloser, error)) {
	r, err := open()
	if err != nil {
		p.hand(chunk{err: err})
		return
	}
	defer r.Close()
	for {
		buf := make([]byte, 64<<10)
		n, err := r.Read(buf)
		if !p.hand(chunk{buf[:n], err}) || err != nil {
			return
		}
	}
}

func (p *Pipe) hand(c chunk) bool {
	select {
	case p.chunks <- c:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// Read returns what has come, and waits where there is nothing.
func (p *Pipe) Read(b []byte) (int, error) {
	if p.Quiet != nil {
		p.Quiet()
	}
	for len(p.rest) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		select {
		case c := <-p.chunks:
			p.rest, p.err = c.data, c.err
		case <-p.ctx.Done():
			p.err = io.EOF
		case <-time.After(quietTime):
			if p.Quiet != nil {
				p.Quiet()
			}
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
