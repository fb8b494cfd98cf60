package ingest

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxWindow bounds the memory that a compressed file may ask for.
const maxWindow = 256 << 20

// maxLayers bounds how often a file may be packed.
const maxLayers = 3

// input is the file as it lies on disk. It remembers the error that ended it: any
// other error comes from unpacking, and means damage.
type input struct {
	r   io.Reader
	mu  sync.Mutex // what is unpacked ahead is read by another goroutine
	err error
	// ahead says that unpacking may go on while what is unpacked is read: reading r
	// never has to wait for others.
	ahead    bool
	decoders []*zstd.Decoder // to be closed
}

func newInput(r io.Reader) *input {
	in := &input{r: r}
	if f, ok := r.(*os.File); ok {
		st, err := f.Stat()
		in.ahead = err == nil && st.Mode().IsRegular()
	}
	return in
}

func (in *input) Read(p []byte) (int, error) {
	if err := in.ended(); err != nil {
		return 0, err
	}
	n, err := in.r.Read(p)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.err = err
	return n, err
}

// ended is the error that ended the file, nil before that.
func (in *input) ended() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.err
}

// close ends what unpacks ahead.
func (in *input) close() {
	for _, d := range slices.Backward(in.decoders) {
		d.Close()
	}
}

// unpack undoes the compressions whose magic the file carries, also when it was
// packed twice, turns UTF-16 into UTF-8, and passes everything else on.
func (in *input) unpack() (io.Reader, error) {
	var r io.Reader = in
	for layer := 0; ; layer++ {
		br := bufio.NewReaderSize(r, peekSize)
		head, err := br.Peek(32)
		if err != nil && err != io.EOF && len(head) == 0 {
			return nil, in.explain(err)
		}
		next, err := in.unpackLayer(br, head)
		switch {
		case errors.Is(err, errTooLarge):
			return nil, err
		case err != nil:
			return nil, fmt.Errorf("%w (%w)", errDamaged, err)
		case next == nil:
			return br, nil
		case layer == maxLayers:
			return nil, fmt.Errorf("compressed more than %d times over; %w", maxLayers, errTooLarge)
		}
		r = next
	}
}

// errTooLarge is how messages end about data that take too much to unpack.
var errTooLarge = errors.New("unpack it first")

// unpackLayer returns nil for data in no known compression.
func (in *input) unpackLayer(r io.Reader, head []byte) (io.Reader, error) {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(r)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		goroutines := 1
		if in.ahead {
			goroutines = min(2, runtime.GOMAXPROCS(0))
		}
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(goroutines), zstd.WithDecoderMaxMemory(maxWindow))
		if err == nil {
			in.decoders = append(in.decoders, d)
		}
		return d, err
	case bytes.HasPrefix(head, []byte("BZh")):
		return bzip2.NewReader(r), nil
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		if n := xzDictionary(head); n > maxWindow {
			return nil, fmt.Errorf("the xz file asks for a dictionary of %d MB; %w", n>>20, errTooLarge)
		}
		return xz.NewReader(r)
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}) && !bytes.HasPrefix(head, []byte{0xff, 0xfe, 0, 0}):
		return &utf16Reader{r: r, order: binary.LittleEndian}, nil
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return &utf16Reader{r: r, order: binary.BigEndian}, nil
	}
	return nil, nil
}

// xzDictionary returns the size of the dictionary that the first block of an xz
// file asks for, 0 where it does not stand at its usual place. The xz package
// sets no limit of its own. (The .xz File Format 1.1.0, 3.1 and 5.3.1.)
func xzDictionary(head []byte) int64 {
	const streamHeader = 12
	if len(head) < streamHeader+5 {
		return 0
	}
	block := head[streamHeader:]
	flags, filter := block[1], block[2:]
	for _, sized := range [...]bool{flags&0x40 != 0, flags&0x80 != 0} {
		if !sized {
			continue
		}
		_, n := binary.Uvarint(filter)
		if n <= 0 {
			return 0
		}
		filter = filter[n:]
	}
	if flags&0x03 != 0 || len(filter) < 3 || filter[0] != 0x21 || filter[2] > 40 {
		return 0
	}
	bits := filter[2]
	return int64(2|bits&1) << (bits/2 + 11)
}

// utf16Reader turns UTF-16 into UTF-8, as logs copied out of some editors need.
type utf16Reader struct {
	r     io.Reader
	order binary.ByteOrder
	in    [4096]byte
	held  int   // bytes of in that wait for more
	high  rune  // a first surrogate that waits for its second
	err   error // of r
	out   []byte
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	for len(u.out) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		u.fill()
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	return n, nil
}

func (u *utf16Reader) fill() {
	n, err := u.r.Read(u.in[u.held:])
	n += u.held
	u.out = u.out[:0]
	for i := 0; i+1 < n; i += 2 {
		u.unit(rune(u.order.Uint16(u.in[i:])))
	}
	u.held = n % 2
	if u.held == 1 {
		u.in[0] = u.in[n-1]
	}
	if err != nil {
		u.err = err
		if err == io.EOF && (u.held == 1 || u.high != 0) {
			u.err = errors.New("UTF-16 text ends in mid-character")
		}
	}
}

// unit takes the next 16 bits.
func (u *utf16Reader) unit(c rune) {
	if u.high != 0 {
		u.out = utf8.AppendRune(u.out, utf16.DecodeRune(u.high, c))
		u.high = 0
		return
	}
	if c >= 0xd800 && c < 0xdc00 {
		u.high = c
		return
	}
	u.out = utf8.AppendRune(u.out, c)
}
