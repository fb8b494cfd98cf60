package torch

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"leakformer/model"
)

// small is an architecture of a few hundred weights.
var small = model.Config{Vocab: 3, Fields: 2, Dim: 4, Heads: 2, Layers: 1, FeedForward: 4, MaxLen: 2}.WithDefaults()

func encodeFile(t testing.TB, moments bool) []byte {
	t.Helper()
	l := newLayout(small)
	f := &file{config: small, seed: 1<<64 - 1, steps: 12, weights: l.initial(1)}
	if moments {
		f.optimiser = SGD
		f.moments = [][]float32{l.initial(2)}
	}
	var b bytes.Buffer
	if err := f.write(&b, l); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFile(t *testing.T) {
	for _, moments := range []bool{false, true} {
		text := encodeFile(t, moments)
		got, err := readFile(iotest.OneByteReader(bytes.NewReader(text)), small)
		if err != nil {
			t.Fatal(err)
		}
		if got.seed != 1<<64-1 || got.steps != 12 || got.config != small {
			t.Errorf("read %+v", got)
		}
		var again bytes.Buffer
		if err := got.write(&again, newLayout(small)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(text, again.Bytes()) {
			t.Error("reading and writing changes the file")
		}
	}
}

// TestFileLayout checks the file by the rules of safetensors: tensors without
// gaps or overlaps, aligned, as many bytes as their shapes need.
func TestFileLayout(t *testing.T) {
	text := encodeFile(t, true)
	size := binary.LittleEndian.Uint64(text)
	if size%8 != 0 {
		t.Errorf("the tensors begin at %d, which is not aligned", 8+size)
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(text[8:8+size], &header); err != nil {
		t.Fatal(err)
	}
	delete(header, metadataKey)
	var all []stored
	for name, raw := range header {
		var s stored
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		bytes := uint64(4)
		for _, d := range s.Shape {
			bytes *= uint64(d)
		}
		if s.Offsets[1]-s.Offsets[0] != bytes {
			t.Errorf("%s: %v bytes for shape %v", name, s.Offsets, s.Shape)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b stored) int { return int(a.Offsets[0]) - int(b.Offsets[0]) })
	var end uint64
	for _, s := range all {
		if s.Offsets[0] != end {
			t.Errorf("a tensor begins at %d, the one before ends at %d", s.Offsets[0], end)
		}
		end = s.Offsets[1]
	}
	if got := uint64(len(text)) - 8 - size; got != end {
		t.Errorf("%d bytes of tensors, the header says %d", got, end)
	}
}

// edit changes the header of a file.
func edit(t *testing.T, text []byte, change func(header map[string]any)) []byte {
	t.Helper()
	size := binary.LittleEndian.Uint64(text)
	var header map[string]any
	if err := json.Unmarshal(text[8:8+size], &header); err != nil {
		t.Fatal(err)
	}
	change(header)
	changed, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(changed))), changed, text[8+size:])
}

func TestBadFile(t *testing.T) {
	metadata := func(key, value string) func(*testing.T, []byte) []byte {
		return func(t *testing.T, b []byte) []byte {
			return edit(t, b, func(h map[string]any) { h[metadataKey].(map[string]any)[key] = value })
		}
	}
	tensor := func(name, key string, value any) func(*testing.T, []byte) []byte {
		return func(t *testing.T, b []byte) []byte {
			return edit(t, b, func(h map[string]any) { h[name].(map[string]any)[key] = value })
		}
	}
	for _, test := range []struct {
		name   string
		change func(*testing.T, []byte) []byte
		want   string
	}{
		{"empty", func(_ *testing.T, b []byte) []byte { return nil }, "EOF"},
		{"cut in the length", func(_ *testing.T, b []byte) []byte { return b[:5] }, "unexpected EOF"},
		{"cut in the header", func(_ *testing.T, b []byte) []byte { return b[:50] }, "unexpected EOF"},
		{"cut in the weights", func(_ *testing.T, b []byte) []byte { return b[:len(b)-1] }, "unexpected EOF"},
		{"cut at the moments", func(_ *testing.T, b []byte) []byte { return b[:len(b)-4*int(newLayout(small).size)] }, "unexpected EOF"},
		{"one byte more", func(_ *testing.T, b []byte) []byte { return append(b, 0) }, "more bytes"},
		{"huge header", func(_ *testing.T, b []byte) []byte { b[6] = 1; return b }, "header of"},
		{"text", func(*testing.T, []byte) []byte { return []byte("==1234== Memcheck, a memory error detector") }, "not a file of weights"},
		{"not JSON", func(_ *testing.T, b []byte) []byte { b[8] = 'x'; return b }, "the header"},
		{"not ours", metadata("format", "pt"), "not of leakformer"},
		{"no metadata", func(t *testing.T, b []byte) []byte {
			return edit(t, b, func(h map[string]any) { delete(h, metadataKey) })
		}, "not of leakformer"},
		{"later architecture", metadata("config", `{"vocab":3,"experts":8}`), "experts"},
		{"other architecture", metadata("config", `{"vocab":4,"fields":2}`), "another architecture"},
		{"no seed", metadata("seed", ""), "seed"},
		{"negative steps", metadata("steps", "-1"), "steps"},
		{"unknown optimiser", metadata("optimiser", "lion"), "lion"},
		{"fewer moments", metadata("optimiser", ""), "tensors"},
		{"other type", tensor("token", "dtype", "F16"), `"token"`},
		{"other shape", tensor("token", "shape", []int{4, 3}), `"token"`},
		{"negative shape", tensor("token", "shape", []int{-3, -4}), `"token"`},
		{"shape not numbers", tensor("token", "shape", "big"), `"token"`},
		{"beyond the end", tensor("token", "data_offsets", []uint64{0, 1 << 62}), `"token"`},
		{"overlap", tensor("token", "data_offsets", []uint64{0, 48}), `"token"`},
		{"tensor missing", func(t *testing.T, b []byte) []byte {
			return edit(t, b, func(h map[string]any) { delete(h, "token") })
		}, "tensors"},
		{"other tensor", func(t *testing.T, b []byte) []byte {
			return edit(t, b, func(h map[string]any) { h["tokens"] = h["token"]; delete(h, "token") })
		}, `"token"`},
		{"not a number", func(_ *testing.T, b []byte) []byte {
			binary.LittleEndian.PutUint32(b[len(b)-4:], math.Float32bits(float32(math.NaN())))
			return b
		}, "NaN"},
		{"infinite", func(_ *testing.T, b []byte) []byte {
			binary.LittleEndian.PutUint32(b[len(b)-8:], math.Float32bits(float32(math.Inf(-1))))
			return b
		}, "-Inf"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := readFile(bytes.NewReader(test.change(t, encodeFile(t, true))), small)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
			if got := errors.Is(err, ErrMismatch); got != (test.name == "other architecture") {
				t.Errorf("ErrMismatch: %t for %v", got, err)
			}
		})
	}
}

// TestBadWriter checks that a full disk is noticed.
func TestBadWriter(t *testing.T) {
	n := newNet(t, tiny, Options{Threads: 1})
	if err := n.Save(full{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("error %v, want %v", err, io.ErrShortWrite)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// FuzzFile checks that whatever is read either is refused or writes to the same
// weights again.
func FuzzFile(f *testing.F) {
	for _, moments := range []bool{false, true} {
		text := encodeFile(f, moments)
		f.Add(text)
		f.Add(text[:len(text)/2])
		f.Add(slices.Concat(text[:9], text[10:]))
	}
	l := newLayout(small)
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := readFile(bytes.NewReader(text), small)
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := got.write(&b, l); err != nil {
			t.Fatal(err)
		}
		again, err := readFile(&b, small)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, again) {
			t.Error("writing and reading changes it")
		}
	})
}
