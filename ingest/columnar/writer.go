package columnar

// writer packs record batches and writes them in a goroutine of its own, beside the
// reading of the log. One batch is filled while another is packed, and then they
// change places: memory stays bounded.
type writer struct {
	file  *file
	full  chan *rows
	empty chan *rows
	done  chan struct{}
	err   error // to be looked at when done is closed
}

func startWriter(f *file, p *packer) *writer {
	w := &writer{file: f, full: make(chan *rows), empty: make(chan *rows, 1), done: make(chan struct{})}
	w.empty <- &rows{}
	go w.run(p)
	return w
}

func (w *writer) run(p *packer) {
	defer close(w.done)
	for r := range w.full {
		if w.err = w.file.batch(p.pack(r)); w.err != nil {
			return
		}
		r.clear()
		w.empty <- r
	}
}

// write hands a batch over and returns an empty one, or the error of an earlier
// batch, if that could not be written.
func (w *writer) write(r *rows) (*rows, error) {
	select {
	case w.full <- r:
	case <-w.done:
		return nil, w.err
	}
	select {
	case next := <-w.empty:
		return next, nil
	case <-w.done:
		return nil, w.err
	}
}

// close waits until all batches are written, or one could not be.
func (w *writer) close() error {
	close(w.full)
	<-w.done
	return w.err
}
