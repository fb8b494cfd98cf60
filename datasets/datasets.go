// Package datasets makes and describes labelled allocation logs.
//
// A labelled run is a log of a real program together with the truth about it:
// which blocks are leaked, and from which event on. [Collect] makes such runs.
// It runs programs under a tracer, clean or with forgotten frees: a preload
// library of ours (folder forget, compiled on the spot) swallows a chosen share
// of the frees of chosen call paths, so that those blocks leak for real, and
// notes where in the log each free would have stood.
//
// What comes out are three kinds of files:
//
//   - logs, as the tracer wrote them, without any mark of the collector;
//   - [Labels], a JSON file with the leaked blocks of one or more logs;
//   - a [Manifest], a JSON file with a row for each run: what ran, with which
//     seed, under which tool, with how many events, and the log's hash.
//
// README.md in this folder is the datasheet.
package datasets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"leakformer/ingest/atomicfile"
)

// Class says whether a run has leaks of ours in it.
type Class string

// The classes of a run.
const (
	Clean Class = "clean" // the program as it is
	Leaky Class = "leaky" // with planted leaks, all of them labelled
)

// readJSON decodes a whole JSON file and refuses fields that it does not know,
// since a misspelt label would otherwise be a missing one.
func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s:%d: %w", path, lineOf(data, d, err), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%s: more after the end of the JSON object", path)
	}
	return nil
}

// lineOf returns the line at which decoding failed, from 1.
func lineOf(data []byte, d *json.Decoder, err error) int {
	offset := d.InputOffset()
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &syntax) {
		offset = syntax.Offset
	} else if errors.As(err, &kind) {
		offset = kind.Offset
	}
	return 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
}

// writeJSON writes v atomically, one line per element of its long lists.
func writeJSON(path string, v any) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(v)
	})
}
