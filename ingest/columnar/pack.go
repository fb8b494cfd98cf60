package columnar

import (
	"encoding/binary"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/klauspost/compress/zstd"
)

// packer makes record batches: it compresses the columns one by one and describes
// them in the message that stands before them. It does what arrow's writer does,
// with one compressor for the whole run, and a column whose rows are all the same
// is not compressed anew for each batch.
// Note: arrow's writer took three quarters of the time of Write.
type packer struct {
	zstd    *zstd.Encoder
	body    []byte
	nodes   [][2]int64 // rows and nulls of each column, those within others too
	buffers [][2]int64 // where in the body each buffer lies, and how long it is
	same    map[sameKey][]byte
	message *flatbuffers.Builder
	bits    []byte  // scratch
	ends    []int32 // scratch
}

// sameKey is a buffer that repeats one unit.
type sameKey struct {
	unit string
	n    int
}

// maxSame bounds the buffers that are kept: there is one for each column of a
// full batch and one for each of the last.
const maxSame = 64

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return &packer{zstd: enc, same: map[sameKey][]byte{}, message: flatbuffers.NewBuilder(4096)}, nil
}

// pack returns the message of a record batch and its body; both are valid until
// the next call. Columns stand in the order of the schema, each before those
// within it.
func (p *packer) pack(r *rows) (message, body []byte) {
	p.body, p.nodes, p.buffers = p.body[:0], p.nodes[:0], p.buffers[:0]
	fixed(p, &r.op, r.n)
	fixed(p, &r.loss, r.n)
	fixed(p, &r.flags, r.n)
	fixed(p, &r.seq, r.n)
	fixed(p, &r.time, r.n)
	p.wide(&r.age, r.n)
	p.wide(&r.addr, r.n)
	p.wide(&r.size, r.n)
	fixed(p, &r.count, r.n)
	fixed(p, &r.stack, r.n)
	fixed(p, &r.scan, r.n)
	fixed(p, &r.pid, r.n)
	fixed(p, &r.tid, r.n)
	p.texts(&r.comm, r.n)
	fixed(p, &r.line, r.n)

	p.entries(&r.frames, r.n)
	p.frames(&r.newFrames)
	p.entries(&r.stacks, r.n)
	p.stacks(&r.newStacks)
	p.entries(&r.report, r.n)
	p.buffer(r.reportText)
	return batchMessage(p.message, r.n, p.nodes, p.buffers, len(p.body)), p.body
}

// node begins a column.
func (p *packer) node(rows, nulls int) {
	p.nodes = append(p.nodes, [2]int64{int64(rows), int64(nulls)})
}

// full begins a column without nulls.
func (p *packer) full(rows int) {
	p.node(rows, 0)
	p.absent()
}

// absent is the bitmap of a column without nulls.
func (p *packer) absent() {
	p.buffers = append(p.buffers, [2]int64{int64(len(p.body)), 0})
}

// buffer compresses a buffer: its length stands before it.
func (p *packer) buffer(b []byte) {
	if len(b) == 0 {
		p.absent()
		return
	}
	start := len(p.body)
	p.body = binary.LittleEndian.AppendUint64(p.body, uint64(len(b)))
	p.body = p.zstd.EncodeAll(b, p.body)
	p.end(start)
}

// end closes the buffer that begins at start; all begin at multiples of 8.
func (p *packer) end(start int) {
	p.buffers = append(p.buffers, [2]int64{int64(start), int64(len(p.body) - start)})
	for len(p.body)%8 != 0 {
		p.body = append(p.body, 0)
	}
}

// repeat is buffer for n times the same unit.
func (p *packer) repeat(unit []byte, n int) {
	start := len(p.body)
	if packed, ok := p.same[sameKey{string(unit), n}]; ok {
		p.body = append(p.body, packed...)
		p.end(start)
		return
	}
	all := make([]byte, 0, len(unit)*n)
	for range n {
		all = append(all, unit...)
	}
	p.buffer(all)
	if len(p.same) >= maxSame {
		clear(p.same)
	}
	last := p.buffers[len(p.buffers)-1]
	p.same[sameKey{string(unit), n}] = append([]byte(nil), p.body[start:][:last[1]]...)
}

// fixed is a column of n rows of fixed width.
func fixed[T value](p *packer, c *column[T], n int) {
	p.full(n)
	numbers(p, c, n)
}

// numbers is a buffer of the n values of a column.
func numbers[T value](p *packer, c *column[T], n int) {
	if c.constant() {
		p.repeat(bytesOf([]T{c.last}), n)
		return
	}
	c.fill(n)
	p.buffer(bytesOf(c.values[:n]))
}

func (p *packer) wide(c *wide, n int) {
	fixed(p, &c.low, n)
	fixed(p, &c.high, n)
}

func (p *packer) texts(c *texts, n int) {
	p.full(n)
	numbers(p, &c.offsets.column, n+1)
	p.buffer(c.data)
}

// entries is a column of n rows that is null but where c says.
func (p *packer) entries(c *entries, n int) {
	p.node(n, n-len(c.rows))
	if len(c.rows) == 0 {
		p.repeat([]byte{0}, (n+7)/8)
		p.repeat(bytesOf([]int32{0}), n+1)
		return
	}
	p.bits = append(p.bits[:0], make([]byte, (n+7)/8)...)
	p.ends = p.ends[:0]
	end := int32(0)
	for i, row := range c.rows {
		p.bits[row/8] |= 1 << (row % 8)
		for len(p.ends) <= int(row) {
			p.ends = append(p.ends, end)
		}
		end = c.ends[i]
	}
	for len(p.ends) <= n {
		p.ends = append(p.ends, end)
	}
	p.buffer(p.bits)
	p.buffer(bytesOf(p.ends))
}

// frames are the entries of the column frames: a struct for each.
func (p *packer) frames(f *frameRows) {
	p.full(f.n)
	p.texts(&f.function, f.n)
	p.texts(&f.module, f.n)
	p.texts(&f.file, f.n)
	fixed(p, &f.line, f.n)
	fixed(p, &f.address, f.n)
	p.full(f.n)
	p.buffer(f.inlined)
}

// stacks are the entries of the column stacks: a list for each.
func (p *packer) stacks(s *stackRows) {
	p.full(s.n)
	numbers(p, &s.offsets.column, s.n+1)
	p.full(len(s.frames))
	p.buffer(bytesOf(s.frames))
}
