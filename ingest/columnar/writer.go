package columnar

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// writer packs record batches and writes them in a goroutine of its own: packing
// takes longer than reading a log, and goes on beside it. One batch is on its way
// at a time, so that memory stays bounded.
type writer struct {
	file    *ipc.FileWriter
	batches chan arrow.Record
	done    chan struct{}
	err     error // to be looked at when done is closed
}

func startWriter(file *ipc.FileWriter) *writer {
	w := &writer{file: file, batches: make(chan arrow.Record), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *writer) run() {
	defer close(w.done)
	for rec := range w.batches {
		w.err = w.file.Write(rec)
		rec.Release()
		if w.err != nil {
			return
		}
	}
}

// write hands a batch over. It returns the error of an earlier one, if that could
// not be written.
func (w *writer) write(rec arrow.Record) error {
	select {
	case w.batches <- rec:
		return nil
	case <-w.done:
		rec.Release()
		return w.err
	}
}

// close waits until all batches are written, or one could not be.
func (w *writer) close() error {
	close(w.batches)
	<-w.done
	return w.err
}
