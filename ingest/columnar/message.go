package columnar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

const (
	// maxMeta bounds the metadata of one message. Ours are a few kilobytes.
	maxMeta = 1 << 20
	// maxBatch bounds a record batch in bytes, packed and unpacked. The writer ends
	// a batch long before.
	maxBatch = 256 << 20
)

// errCut is how a file ends that was not written to its end.
var errCut = errors.New("is cut off: ingest the log again")

// messages is an ipc.MessageReader that believes no length that it reads: arrow's
// own makes a buffer of any size that the file names. It also keeps from arrow the
// schemas that would make it recurse or allocate without end.
type messages struct {
	r      io.Reader
	schema bool // has been read
	err    error
}

// Retain and Release do nothing: a message is garbage when arrow is done with it.
func (m *messages) Retain()  {}
func (m *messages) Release() {}

// Message returns the next message, or io.EOF at the end-of-stream marker.
func (m *messages) Message() (*ipc.Message, error) {
	msg, err := m.next()
	if err != nil {
		if err == io.ErrUnexpectedEOF {
			err = errCut
		}
		m.err = err // arrow hides the cause of some
	}
	return msg, err
}

func (m *messages) next() (*ipc.Message, error) {
	var head [8]byte
	if err := m.full(head[:]); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(head[:]) != 0xffffffff {
		return nil, errors.New("is damaged: no Arrow message where one should begin")
	}
	size := binary.LittleEndian.Uint32(head[4:])
	switch {
	case size == 0:
		return nil, io.EOF
	case size > maxMeta:
		return nil, fmt.Errorf("is damaged or no run: %d bytes of metadata", size)
	}
	meta := make([]byte, size)
	if err := m.full(meta); err != nil {
		return nil, err
	}
	length, err := m.check(meta)
	if err != nil {
		return nil, err
	}
	body, err := m.body(length)
	if err != nil {
		return nil, err
	}
	return ipc.NewMessage(memory.NewBufferBytes(meta), memory.NewBufferBytes(body)), nil
}

// full fills b; a file that ends before that has been cut off.
func (m *messages) full(b []byte) error {
	_, err := io.ReadFull(m.r, b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// body reads the body of a message. Memory grows with what is there, not with the
// length that the file claims.
func (m *messages) body(length int64) ([]byte, error) {
	var b bytes.Buffer
	if length <= 1<<20 {
		b.Grow(int(length))
	}
	if _, err := io.CopyN(&b, m.r, length); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b.Bytes(), nil
}

// Kinds of messages (MessageHeader in Arrow's Message.fbs).
const (
	headerSchema = 1
	headerBatch  = 3
)

// check lets a schema pass first and record batches after it, and returns the
// length of the body.
func (m *messages) check(meta []byte) (int64, error) {
	root, err := flatRoot(meta)
	if err != nil {
		return 0, err
	}
	kind, err := root.uint8(1)
	if err != nil {
		return 0, err
	}
	length, err := root.int64(3)
	if err != nil {
		return 0, err
	}
	switch {
	case !m.schema && kind != headerSchema:
		return 0, errors.New("is damaged: it does not begin with a schema")
	case m.schema && kind != headerBatch:
		return 0, fmt.Errorf("is no run: a message of kind %d stands between its record batches", kind)
	case length < 0 || length > maxBatch:
		return 0, fmt.Errorf("is damaged or no run: a record batch of %d bytes", length)
	}
	if m.schema {
		return length, nil
	}
	m.schema = true
	return length, checkFields(root)
}
