package columnar

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// file writes an Arrow IPC file: the magic, a stream of messages (the schema, then
// the record batches, each with its body) and a footer that says where they are.
type file struct {
	w      io.Writer
	pos    int64
	schema []byte // its message
	blocks []block
}

// block is where a record batch lies.
type block struct {
	at      int64
	message int // bytes, with what stands before it
	body    int // bytes
}

// marker stands before each message, and before a length of 0 where the stream ends.
const marker = 0xffffffff

func newFile(w io.Writer, schema *arrow.Schema) (*file, error) {
	message, err := schemaMessage(schema)
	if err != nil {
		return nil, err
	}
	f := &file{w: w, schema: message}
	if err := f.write([]byte(magic + "\x00\x00")); err != nil {
		return nil, err
	}
	return f, f.message(message)
}

// schemaMessage is taken from a stream of arrow's that holds nothing else.
func schemaMessage(schema *arrow.Schema) ([]byte, error) {
	var b bytes.Buffer
	if err := ipc.NewWriter(&b, ipc.WithSchema(schema)).Close(); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(b.Bytes()[4:])
	return b.Bytes()[8:][:size], nil
}

func (f *file) write(b []byte) error {
	n, err := f.w.Write(b)
	f.pos += int64(n)
	return err
}

// message writes a message, the length of which is a multiple of 8.
func (f *file) message(m []byte) error {
	head := binary.LittleEndian.AppendUint32(nil, marker)
	if err := f.write(binary.LittleEndian.AppendUint32(head, uint32(len(m)))); err != nil {
		return err
	}
	return f.write(m)
}

// batch writes a record batch.
func (f *file) batch(message, body []byte) error {
	f.blocks = append(f.blocks, block{f.pos, 8 + len(message), len(body)})
	if err := f.message(message); err != nil {
		return err
	}
	return f.write(body)
}

// close ends the stream and writes the footer, its length and the magic.
func (f *file) close() error {
	if err := f.message(nil); err != nil {
		return err
	}
	tail, err := footer(f.schema, f.blocks)
	if err != nil {
		return err
	}
	tail = binary.LittleEndian.AppendUint32(tail, uint32(len(tail)))
	return f.write(append(tail, magic...))
}
