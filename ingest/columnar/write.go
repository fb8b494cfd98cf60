package columnar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"leakformer/ingest"
	"leakformer/ingest/atomicfile"
)

// Options say how a run is written. The zero value is right for all but tests.
type Options struct {
	// BatchRows bounds the rows of a record batch, 1 to 1 Mi; 0 means 64 Ki.
	BatchRows int
}

const (
	defaultRows = 64 << 10
	maxRows     = 1 << 20
	// flushBytes of strings and call stacks end a batch early.
	flushBytes = 16 << 20
)

func (o Options) rows() (int, error) {
	switch {
	case o.BatchRows == 0:
		return defaultRows, nil
	case o.BatchRows < 0 || o.BatchRows > maxRows:
		return 0, fmt.Errorf("record batches of %d rows: use 1 to %d, or 0 for %d", o.BatchRows, maxRows, defaultRows)
	}
	return o.BatchRows, nil
}

// Write reads src to its end and stores it as a run at path, which appears there
// whole or not at all: see [atomicfile.Write].
//
// Records that src could not understand (*ingest.SyntaxError) are passed over;
// the report counts them. The caller closes src.
func Write(ctx context.Context, path string, src ingest.Source, opts Options) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		if err := Encode(ctx, w, src, opts); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
}

// Encode reads src to its end and writes it as a run to w, which need not seek.
// After an error what was written is of no use.
func Encode(ctx context.Context, w io.Writer, src ingest.Source, opts Options) error {
	rows, err := opts.rows()
	if err != nil {
		return err
	}
	f, err := newFile(w, schemaOf(src.Report()))
	if err != nil {
		return err
	}
	p, err := newPacker()
	if err != nil {
		return err
	}
	b := newBatch(startWriter(f, p), rows, src.Stacks())
	err = encodeEvents(ctx, b, src)
	if err == nil {
		err = b.end(src.Report())
	}
	if written := b.out.close(); err == nil {
		err = written
	}
	if err != nil {
		return err
	}
	return f.close()
}

func encodeEvents(ctx context.Context, b *batch, src ingest.Source) (failed error) {
	var n int64
	ingest.Each(src, func(e *ingest.Event, err error) bool {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return false
		}
		if err != nil {
			if _, damaged := errors.AsType[*ingest.SyntaxError](err); !damaged {
				failed = err
			}
		} else if err := b.event(e); err != nil {
			failed = fmt.Errorf("%s:%d: %w", src.Report().Name, e.Line, err)
		}
		return failed == nil
	})
	if failed == nil {
		failed = ctx.Err()
	}
	return failed
}

// reportJSON is the content of the last row.
func reportJSON(r *ingest.Report) (string, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("parse report: %w", err)
	}
	return string(data), nil
}
