package columnar

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestNumbers has another implementation of zstd unpack columns of all kinds.
func TestNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	kinds := map[string]func(i int) uint32{
		"the same":    func(int) uint32 { return 7 },
		"zeros":       func(int) uint32 { return 0 },
		"steps":       func(i int) uint32 { return uint32(i) },
		"noise":       func(int) uint32 { return r.Uint32() },
		"few":         func(int) uint32 { return r.Uint32N(3) * 1000 },
		"small":       func(int) uint32 { return r.Uint32N(100) },
		"in circles":  func(i int) uint32 { return uint32(i % 37 * i % 19) },
		"rare change": func(i int) uint32 { return uint32(i / 300) },
		"late noise":  func(i int) uint32 { return r.Uint32N(1+uint32(i)) &^ (1<<16 - 1) },
		"seldom":      func(i int) uint32 { return max(r.Uint32N(1000), 990) },
	}
	c := newNumberCoder()
	for name, at := range kinds {
		for _, n := range []int{1, 2, 3, 7, 8, 9, 31, 64, 100, 1000, 5000, 32 << 10, 64<<10 + 1, 200_000} {
			var one column[uint8]
			var four column[uint32]
			var eight column[int64]
			for i := range n {
				v := at(i)
				one.set(i, uint8(v))
				one.keep(i)
				four.set(i, v)
				four.keep(i)
				eight.set(i, int64(v)<<7)
				eight.keep(i)
			}
			testColumn(t, c, name, &one, n)
			testColumn(t, c, name, &four, n)
			testColumn(t, c, name, &eight, n)
		}
	}
}

// testColumn packs a column as it is, and by numbers where it is runs.
func testColumn[T value](t *testing.T, c *numberCoder, name string, col *column[T], n int) {
	t.Helper()
	runs := len(col.values) == 0
	col.fill(n)
	want := col.values[:n]
	if runs {
		testFrame(t, name+", as runs", appendRuns(c, nil, col.whole(), n), bytesOf(want))
	}
	width := len(bytesOf(want)) / n
	testFrame(t, name, c.appendNumbers(nil, bytesOf(want), width), bytesOf(want))
}

func testFrame(t *testing.T, name string, packed, want []byte) {
	t.Helper()
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got, err := d.DecodeAll(packed, nil)
	if err != nil {
		t.Fatalf("%s, %d bytes: %v", name, len(want), err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s, %d bytes: unpacked they differ", name, len(want))
	}
	if blocks := len(want)/maxBlock + 1; len(packed) > len(want)+9+3*blocks {
		t.Fatalf("%s: %d bytes are packed in %d", name, len(want), len(packed))
	}
}

// FuzzNumbers packs any bytes as numbers of any width.
func FuzzNumbers(f *testing.F) {
	for _, s := range []string{"", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abcdefghijklmnopabcdefghijklmnop", "0000000100000001000000020000000"} {
		f.Add([]byte(s), uint8(0), uint16(3))
		f.Add([]byte(s), uint8(2), uint16(5000))
	}
	c := newNumberCoder()
	f.Fuzz(func(t *testing.T, b []byte, kind uint8, times uint16) {
		width := 1 << (kind % 4)
		b = b[:len(b)/width*width]
		// Repeats that are not quite the same fill more than a block.
		var all []byte
		for i := range times {
			all = append(all, b...)
			if len(all) > 3*maxBlock {
				break
			}
			if len(b) > 0 && i%3 == 0 {
				all[len(all)-1-int(i)%len(b)] ^= byte(i)
			}
		}
		if len(all) == 0 {
			return
		}
		testFrame(t, "bytes", c.appendNumbers(nil, all, width), all)
		if width != 4 {
			return
		}
		var col column[uint32]
		n := len(all) / 4
		for i := range n {
			col.set(i, binary.LittleEndian.Uint32(all[4*i:])%3)
			col.keep(i)
		}
		testColumn(t, c, "runs", &col, n)
	})
}
