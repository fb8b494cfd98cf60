// Package ingesttest holds what the tests of every log format share: reading a
// log under the validator, and golden files.
package ingesttest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leakformer/ingest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Valid passes src on and fails the test at the first event, or at a report, that
// breaks a law of [ingest.Validator].
func Valid(t testing.TB, src ingest.Source) ingest.Source { return &valid{src, t} }

type valid struct {
	ingest.Source
	t testing.TB
}

func (s *valid) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		var v ingest.Validator
		for e, err := range s.Source.Events() {
			if err == nil {
				if err := v.Event(e, s.Stacks()); err != nil {
					s.t.Fatalf("%s:%d: %v", s.Report().Name, e.Line, err)
				}
			}
			if !yield(e, err) {
				return
			}
		}
		if err := v.End(s.Report()); err != nil {
			s.t.Fatalf("%s: %v", s.Report().Name, err)
		}
	}
}

// ReadAll reads a log to its end under the validator. The error joins every
// record that could not be understood with the error that ended the reading.
func ReadAll(t testing.TB, src ingest.Source) ([]ingest.Event, error) {
	t.Helper()
	var events []ingest.Event
	var errs []error
	for e, err := range Valid(t, src).Events() {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		events = append(events, e)
	}
	return events, errors.Join(errs...)
}

// Golden reads each file dir/FORMAT/* under the validator and compares its text
// (see [ingest.WriteText]) with the file's neighbour *.golden; go test -update
// writes these anew. Detection must find FORMAT by itself. The folders fuzz
// and src, which hold no logs, are passed over. A new log in the folder is a new
// test.
func Golden(t *testing.T, dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, file := range files {
		format := filepath.Base(filepath.Dir(file))
		if strings.HasSuffix(file, ".golden") || format == "fuzz" || format == "src" {
			continue
		}
		read++
		t.Run(format+"/"+filepath.Base(file), func(t *testing.T) {
			compare(t, file+".golden", shorten(text(t, file, format)))
		})
	}
	if read == 0 {
		t.Fatalf("no logs in %s", dir)
	}
}

// text is a log as text; an error that ends the reading is its last line.
func text(t *testing.T, file, format string) []byte {
	var out bytes.Buffer
	src, err := ingest.Open(file, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if src.Report().Format != format {
		t.Fatalf("detected as %s, not %s", src.Report().Format, format)
	}
	if err := ingest.WriteText(&out, Valid(t, src)); err != nil {
		fmt.Fprintf(&out, "fatal: %v\n", err)
	}
	return out.Bytes()
}

// A golden file holds at most the first and the last lines of a long text and
// the digest of all of it: it still notices every change, and stays readable.
const (
	maxLines  = 300
	headLines = 120
	tailLines = 60
)

func shorten(text []byte) []byte {
	lines := bytes.SplitAfter(text, []byte{'\n'})
	if len(lines) <= maxLines {
		return text
	}
	digest := fmt.Sprintf("... %d lines in all, sha256 %x ...\n", len(lines), sha256.Sum256(text))
	return slices.Concat(bytes.Join(lines[:headLines], nil), []byte(digest), bytes.Join(lines[len(lines)-tailLines:], nil))
}

func compare(t *testing.T, golden string, got []byte) {
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if bytes.Equal(got, want) {
		return
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		switch {
		case i >= len(g):
			t.Fatalf("%s:%d: ends before\n\t%s", golden, i+1, w[i])
		case i >= len(w):
			t.Fatalf("%s:%d: goes on with\n\t%s", golden, i+1, g[i])
		case g[i] != w[i]:
			t.Fatalf("%s:%d:\n\tgot  %s\n\twant %s", golden, i+1, g[i], w[i])
		}
	}
}
