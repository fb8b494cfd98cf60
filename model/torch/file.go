package torch

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"leakformer/model"
)

// Weights are kept in the safetensors layout (its documentation: "Format"): the
// header's length as 8 bytes, little-endian; the header, a JSON object that gives
// each tensor's type, shape and place; the tensors' bytes without gaps. Other
// programs can read it. The entry __metadata__ maps names to texts; ours has
//
//	format      "leakformer"
//	config      the model.Config as JSON
//	optimiser   "adamw" or "sgd", if the optimiser's moments are in the file
//	seed, steps numbers that with the moments make training repeat exactly
//
// The tensors are the entries of the layout and, for the optimiser, moments.0
// and so on, as flat as in memory.

const (
	metadataKey = "__metadata__"
	formatName  = "leakformer"
	// maxHeader bounds what a header may be: ours have a few kilobytes.
	maxHeader = 1 << 20
)

// A stored describes one tensor in the header.
type stored struct {
	DType   string    `json:"dtype"`
	Shape   []int64   `json:"shape"`
	Offsets [2]uint64 `json:"data_offsets"` // bytes after the header: first, one past the last
}

// A file is weights on their way to or from a file.
type file struct {
	config    model.Config
	optimiser Optimiser // "" without moments
	seed      uint64
	steps     int64
	weights   []float32   // flat
	moments   [][]float32 // flat
}

// momentEntries are the entries of an optimiser's n moments in a file.
func momentEntries(l layout, n int) []entry {
	var entries []entry
	for i := range n {
		entries = append(entries, entry{
			name: fmt.Sprintf("moments.%d", i), shape: []int64{l.size}, start: int64(i+1) * l.size})
	}
	return entries
}

// header describes the tensors of a file of l with the given number of moments.
func (l layout) header(moments int) map[string]stored {
	h := make(map[string]stored)
	for _, e := range append(momentEntries(l, moments), l.entries...) {
		h[e.name] = stored{"F32", e.shape, [2]uint64{4 * uint64(e.start), 4 * uint64(e.start+e.size())}}
	}
	return h
}

// write writes f, whose weights are laid out as l.
func (f *file) write(w io.Writer, l layout) error {
	config, err := json.Marshal(f.config)
	if err != nil {
		return err
	}
	metadata := map[string]string{
		"format": formatName,
		"config": string(config),
		"seed":   strconv.FormatUint(f.seed, 10),
		"steps":  strconv.FormatInt(f.steps, 10),
	}
	if f.optimiser != "" {
		metadata["optimiser"] = string(f.optimiser)
	}
	fields := map[string]any{metadataKey: metadata}
	for name, s := range l.header(len(f.moments)) {
		fields[name] = s
	}
	header, err := json.Marshal(fields) // sorted by name
	if err != nil {
		return err
	}
	for len(header)%8 != 0 {
		header = append(header, ' ') // aligns the tensors
	}
	out := bufio.NewWriterSize(w, 1<<16)
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(header)))
	out.Write(length[:]) // the writer keeps the first error for Flush
	out.Write(header)
	for _, values := range append([][]float32{f.weights}, f.moments...) {
		var word [4]byte
		for _, v := range values {
			binary.LittleEndian.PutUint32(word[:], math.Float32bits(v))
			out.Write(word[:])
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("torch: writing weights: %w", err)
	}
	return nil
}

// ErrMismatch says that a file holds the weights of another architecture.
var ErrMismatch = errors.New("torch: the file's network has another architecture")

// readFile reads the weights of a network of c, valid and with its defaults. It
// trusts nothing: sizes are checked against those of c before there is memory
// for them, and every weight must be a finite number.
func readFile(r io.Reader, c model.Config) (*file, error) {
	f, err := parseFile(r, c)
	if err != nil && !errors.Is(err, ErrMismatch) {
		err = fmt.Errorf("torch: reading weights: %w", err)
	}
	return f, err
}

func parseFile(r io.Reader, c model.Config) (*file, error) {
	var length [8]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, fmt.Errorf("the length of the header: %w", err)
	}
	size := binary.LittleEndian.Uint64(length[:])
	if size > maxHeader {
		return nil, fmt.Errorf("not a file of weights: a header of %d bytes", size)
	}
	header := make([]byte, size)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("the header: %w", err)
	}
	l := newLayout(c)
	f, moments, err := parseHeader(header, c, l)
	if err != nil {
		return nil, err
	}
	f.weights, err = readFloats(r, l.size)
	for range moments {
		if err == nil {
			var m []float32
			m, err = readFloats(r, l.size)
			f.moments = append(f.moments, m)
		}
	}
	if err != nil {
		return nil, err
	}
	if n, err := io.ReadFull(r, length[:1]); n > 0 {
		return nil, errors.New("more bytes than its header says")
	} else if err != io.EOF {
		return nil, err
	}
	return f, nil
}

// parseHeader reads the header of a file for c, whose layout is l. It returns
// how many moments follow the weights.
func parseHeader(text []byte, c model.Config, l layout) (f *file, moments int, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, 0, fmt.Errorf("the header: %w", err)
	}
	var metadata map[string]string
	if err := json.Unmarshal(fields[metadataKey], &metadata); err != nil || metadata["format"] != formatName {
		return nil, 0, errors.New("weights, but not of leakformer")
	}
	delete(fields, metadataKey)
	if f, err = parseMetadata(metadata); err != nil {
		return nil, 0, err
	}
	if got, want := architecture(f.config), architecture(c); got != want {
		return nil, 0, fmt.Errorf("%w: %+v, not %+v", ErrMismatch, got, want)
	}
	if f.optimiser != "" {
		if moments, err = f.optimiser.moments(); err != nil {
			return nil, 0, err
		}
	}
	want := l.header(moments)
	if len(fields) != len(want) {
		return nil, 0, fmt.Errorf("%d tensors, want %d", len(fields), len(want))
	}
	for name, w := range want {
		var s stored
		if err := json.Unmarshal(fields[name], &s); err != nil {
			return nil, 0, fmt.Errorf("tensor %q: %w", name, err)
		}
		if s.DType != w.DType || !slices.Equal(s.Shape, w.Shape) || s.Offsets != w.Offsets {
			return nil, 0, fmt.Errorf("tensor %q is %+v, want %+v", name, s, w)
		}
	}
	return f, moments, nil
}

func parseMetadata(metadata map[string]string) (*file, error) {
	f := &file{optimiser: Optimiser(metadata["optimiser"])}
	d := json.NewDecoder(bytes.NewReader([]byte(metadata["config"])))
	d.DisallowUnknownFields() // of a later version, with another meaning
	if err := d.Decode(&f.config); err != nil {
		return nil, fmt.Errorf("the architecture: %w", err)
	}
	var err error
	if f.seed, err = strconv.ParseUint(metadata["seed"], 10, 64); err != nil {
		return nil, fmt.Errorf("the seed: %w", err)
	}
	steps, err := strconv.ParseUint(metadata["steps"], 10, 63)
	if err != nil {
		return nil, fmt.Errorf("the number of steps: %w", err)
	}
	f.steps = int64(steps)
	return f, nil
}

// architecture is c without what does not change its weights.
func architecture(c model.Config) model.Config {
	c = c.WithDefaults()
	c.Dropout = 0
	return c
}

// readFloats reads n finite numbers.
func readFloats(r io.Reader, n int64) ([]float32, error) {
	values := make([]float32, n)
	buffer := make([]byte, 1<<16)
	for left := values; len(left) > 0; {
		buffer = buffer[:min(len(buffer), 4*len(left))]
		if _, err := io.ReadFull(r, buffer); err != nil {
			return nil, fmt.Errorf("weight %d of %d: %w", len(values)-len(left), n, noEOF(err))
		}
		for i := range len(buffer) / 4 {
			left[i] = math.Float32frombits(binary.LittleEndian.Uint32(buffer[4*i:]))
			if v := float64(left[i]); math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("a weight is %g", v)
			}
		}
		left = left[len(buffer)/4:]
	}
	return values, nil
}

// noEOF makes the end of a file that should go on an unexpected one.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
