package datasets

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"path"
	"path/filepath"

	"leakformer/ingest"
)

// Part is one side of a split: the logs to train on, to choose thresholds with,
// or to test on.
type Part struct {
	Name string // for messages: "training", "validation", "test"
	Logs []PartLog
}

// PartLog is what the checks of a split know about a log. Empty hashes are not
// compared.
type PartLog struct {
	Log     string // path
	Program string
	SHA256  string // of the file
	Trace   string // of its contents, see [TraceHash]
}

// PartOf makes a part of runs of a manifest in the folder dir.
func PartOf(name, dir string, runs ...Run) Part {
	p := Part{Name: name}
	for _, r := range runs {
		p.Logs = append(p.Logs, PartLog{Log: filepath.Join(dir, r.Log), Program: r.Program, SHA256: r.SHA256, Trace: r.Trace})
	}
	return p
}

// PartOfLabels makes a part of the logs of labels, which are to be named in it as
// seen from the working directory.
func PartOfLabels(name string, labels *Labels) Part {
	p := Part{Name: name}
	for _, l := range labels.Logs {
		p.Logs = append(p.Logs, PartLog{Log: l.Log, Program: l.Program, SHA256: l.SHA256})
	}
	return p
}

// CheckSplit refuses a split by which a test could know what was learnt: the same
// run twice, in one part or in two, by its path, its file or its contents; with
// byProgram also runs of one program in different parts. A part without logs is
// refused too, since what is measured on it means nothing. All that is wrong is
// reported, not the first alone.
func CheckSplit(byProgram bool, parts ...Part) error {
	var errs []error
	var split Split
	for _, p := range parts {
		if len(p.Logs) == 0 {
			errs = append(errs, fmt.Errorf("no log in the %s part", p.Name))
		}
		for _, l := range p.Logs {
			if byProgram {
				errs = append(errs, split.Unknown(p.Name, l))
			}
			errs = append(errs, split.Add(p.Name, l))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("split refused: %w", err)
	}
	return nil
}

// Split checks logs one at a time, where they are not all known at once. The zero
// value is a split without logs.
type Split struct {
	programs, runs map[string]place
}

// place is where a log is: the first of its program, or the run itself.
type place struct{ part, log string }

// Add adds a log to a part, and refuses one that is the same run as an earlier log.
func (s *Split) Add(part string, l PartLog) error {
	if s.runs == nil {
		s.programs, s.runs = map[string]place{}, map[string]place{}
	}
	if _, ok := s.programs[l.Program]; !ok {
		s.programs[l.Program] = place{part, l.Log}
	}
	var err error
	for _, same := range l.identities() {
		if other, ok := s.runs[same.key]; ok && err == nil {
			err = fmt.Errorf("%s (%s part) and %s (%s part) are the same run: %s", other.log, other.part, l.Log, part, same.why)
		}
		s.runs[same.key] = place{part, l.Log}
	}
	return err
}

// Unknown refuses a log for a part if its program has logs in another one.
func (s *Split) Unknown(part string, l PartLog) error {
	if l.Program == "" {
		return fmt.Errorf("%s has no program: the split cannot be checked", l.Log)
	}
	if other, ok := s.programs[l.Program]; ok && other.part != part {
		return fmt.Errorf("program %s is in the %s part (%s) and in the %s part (%s)", l.Program, other.part, other.log, part, l.Log)
	}
	return nil
}

type identity struct{ key, why string }

// identities are the ways in which two logs can be the same run.
func (l *PartLog) identities() []identity {
	all := []identity{{"path " + filepath.Clean(l.Log), "one file"}}
	if l.SHA256 != "" {
		all = append(all, identity{"file " + l.SHA256, "files with the same SHA-256"})
	}
	if l.Trace != "" {
		all = append(all, identity{"trace " + l.Trace, "the same events and call stacks"})
	}
	return all
}

// TraceHash reads the log and returns the SHA-256 of its contents in hexadecimal:
// operations, sizes, blocks by number, and call stacks. Addresses, times and
// the form of the file do not count, so that a run has one hash however it was
// stored, and two runs that only the clock tells apart have the same. A log
// without events has no hash: "". It uses up the source's events.
func TraceHash(src ingest.Source) (string, error) {
	t := HashTrace(src)
	for _, err := range t.Events() {
		var syntax *ingest.SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			return "", err
		}
	}
	return t.Sum(), nil
}

// Traced is a source that hashes what is read from it.
type Traced struct {
	ingest.Source
	hash   hash.Hash
	out    *bufio.Writer
	known  map[ingest.StackID]uint64 // numbers of stacks in order of first use
	buf    []byte
	events bool
}

// HashTrace returns a source with the events of src, which has their hash once all
// have been read.
func HashTrace(src ingest.Source) *Traced {
	h := sha256.New()
	return &Traced{Source: src, hash: h, out: bufio.NewWriterSize(h, 1<<16), known: map[ingest.StackID]uint64{}}
}

// Events implements [ingest.Source].
func (t *Traced) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		for e, err := range t.Source.Events() {
			if err == nil {
				t.add(&e)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (t *Traced) add(e *ingest.Event) {
	t.events = true
	number, known := t.known[e.Stack]
	if !known {
		number = uint64(len(t.known))
		t.known[e.Stack] = number
	}
	b := append(t.buf[:0], byte(e.Op), byte(e.Loss))
	for _, n := range []uint64{uint64(e.Size), uint64(e.Count), uint64(e.Block), uint64(e.Scan), number} {
		b = binary.AppendUvarint(b, n)
	}
	t.buf = b
	t.out.Write(b) // to a hash: never fails
	if known {
		return
	}
	for _, f := range t.Stacks().Frames(e.Stack) {
		fmt.Fprintf(t.out, "%s\x00%s\x00%x\n", f.Function, path.Base(f.Module), f.Address)
	}
	io.WriteString(t.out, "\n")
}

// Sum is what [TraceHash] returns, of the events read so far.
func (t *Traced) Sum() string {
	if !t.events {
		return ""
	}
	t.out.Flush()
	return hex.EncodeToString(t.hash.Sum(nil))
}
