package datasets

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Version is the version of the JSON files of this package.
const Version = 1

// Labels is the truth about one or more logs. The zero value is no truth.
type Labels struct {
	Version int         `json:"version"` // of the file's form: 1
	Logs    []LogLabels `json:"logs"`
}

// LogLabels is the truth about one log. Nothing in Leaks and Sites means that
// the log is known to be clean.
type LogLabels struct {
	Log     string `json:"log"`     // file name, relative to the label file's folder
	SHA256  string `json:"sha256"`  // of the log file as it is stored, hex; empty: not checked
	Class   Class  `json:"class"`   // clean or leaky
	Program string `json:"program"` // runs of one program share it: split by this
	Command string `json:"command,omitempty"`
	Events  int64  `json:"events,omitempty"` // allocations and frees in the log; a realloc counts as two
	Leaks   []Leak `json:"leaks,omitempty"`  // in the order of Event
	Sites   []Site `json:"sites,omitempty"`  // for formats without addresses
}

// A Leak is one leaked block. From the event on it is leaked: before that it is
// a block like any other.
type Leak struct {
	// Event is the place of the missing free, counted in records of the log:
	// 0 stands before the first record, Events after the last one. An
	// allocation or a free is one record, a realloc is a free and an
	// allocation; a realloc of nothing is one allocation and a free of nothing
	// is no record.
	//
	// In a report or a series of scans the records are its entries, and Event is
	// the first entry of the block after it was leaked.
	Event   int64    `json:"event"`
	Address Address  `json:"address"`
	Size    int64    `json:"size"` // as asked for, in bytes
	Kind    LeakKind `json:"kind"`
	Cause   int      `json:"cause,omitempty"` // see Site.Cause
}

// LeakKind says how a block came to be leaked.
type LeakKind string

// The kinds of leaks.
const (
	Forgotten LeakKind = "forgotten" // the program frees it, the collector did not let it
	Lost      LeakKind = "lost"      // the program's own bug: nothing will free it
	Growth    LeakKind = "growth"    // reachable, but in a container that is never emptied
)

// Site is an allocation site known to leak.
type Site struct {
	Frames []Frame  `json:"frames"` // innermost first, allocator frames left out
	Blocks int64    `json:"blocks,omitempty"`
	Bytes  int64    `json:"bytes,omitempty"`
	Kind   LeakKind `json:"kind"`
	// Cause numbers the leaks of a log from 1, 0 where it is not known: what one
	// path of forgotten frees, or one bug, lost has one number. Of a kernel
	// module it is one kind of object.
	Cause int `json:"cause,omitempty"`
}

// Frame is one call of a stack.
type Frame struct {
	Function string `json:"function"`
	Module   string `json:"module,omitempty"` // base name of the executable or library
	// Address tells functions without a name apart; 0 where there is a name.
	Address Address `json:"address,omitempty"`
}

// Address is the address of a block; in JSON a string like "0x55d0c8".
type Address uint64

// String returns the address in hexadecimal with 0x.
func (a Address) String() string { return "0x" + strconv.FormatUint(uint64(a), 16) }

// MarshalText implements [encoding.TextMarshaler].
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (a *Address) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), "0x")
	n, err := strconv.ParseUint(digits, 16, 64)
	if !ok || err != nil {
		return fmt.Errorf("address %q: want hexadecimal digits after 0x", text)
	}
	*a = Address(n)
	return nil
}

// ReadLabels reads and validates a label file. It does not open the logs: see
// [LogLabels.Verify].
func ReadLabels(path string) (*Labels, error) {
	l := new(Labels)
	if err := readJSON(path, l); err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	if err := l.Validate(); err != nil {
		return nil, fmt.Errorf("labels: %s: %w", path, err)
	}
	return l, nil
}

// Write validates the labels and writes them to the file, atomically.
func (l *Labels) Write(path string) error {
	l.Version = Version
	if err := l.Validate(); err != nil {
		return fmt.Errorf("labels: %w", err)
	}
	return writeJSON(path, l)
}

// Validate reports everything that is wrong with the labels in themselves.
func (l *Labels) Validate() error {
	if l.Version != Version {
		return fmt.Errorf("version %d: this program reads version %d", l.Version, Version)
	}
	var errs []error
	seen := map[string]bool{}
	for i := range l.Logs {
		log := &l.Logs[i]
		if seen[log.Log] {
			errs = append(errs, fmt.Errorf("log %q: listed twice", log.Log))
		}
		seen[log.Log] = true
		if err := log.validate(); err != nil {
			errs = append(errs, fmt.Errorf("log %q: %w", log.Log, err))
		}
	}
	return errors.Join(errs...)
}

func (l *LogLabels) validate() error {
	switch sum, err := hex.DecodeString(l.SHA256); {
	case l.Log == "" || filepath.IsAbs(l.Log):
		return errors.New("want a file name relative to the label file")
	case l.SHA256 != "" && (err != nil || len(sum) != sha256.Size):
		return fmt.Errorf("sha256 %q: want 64 hexadecimal digits", l.SHA256)
	case l.Program == "":
		return errors.New("no program: runs cannot be split by program")
	case l.Class == Clean && len(l.Leaks)+len(l.Sites) > 0:
		return errors.New("class clean, but it lists leaks")
	case l.Class == Leaky && len(l.Leaks)+len(l.Sites) == 0:
		return errors.New("class leaky, but it lists no leak")
	case l.Class != Clean && l.Class != Leaky:
		return fmt.Errorf("class %q: want clean or leaky", l.Class)
	}
	if err := l.validateLeaks(); err != nil {
		return err
	}
	for i, s := range l.Sites {
		if len(s.Frames) == 0 || !s.Kind.known() || s.Cause < 0 {
			return fmt.Errorf("site %d: want frames, a kind (forgotten, lost, growth) and a cause from 1, if one is known", i)
		}
	}
	return nil
}

// leaked is the number of leaked blocks.
func (l *LogLabels) leaked() int64 {
	n := int64(len(l.Leaks))
	for _, s := range l.Sites {
		n += s.Blocks
	}
	return n
}

func (l *LogLabels) validateLeaks() error {
	seen := make(map[Address]bool, len(l.Leaks))
	last := int64(0)
	for i, leak := range l.Leaks {
		switch {
		case leak.Event < 0 || leak.Event > l.Events:
			return fmt.Errorf("leak %d (%s): event %d is not in 0..%d", i, leak.Address, leak.Event, l.Events)
		case leak.Event < last:
			return fmt.Errorf("leak %d (%s): event %d comes after event %d: want them in order", i, leak.Address, leak.Event, last)
		case leak.Address == 0 || leak.Size < 0:
			return fmt.Errorf("leak %d: address %s and size %d are not those of a block", i, leak.Address, leak.Size)
		case seen[leak.Address]:
			return fmt.Errorf("leak %d: address %s is leaked twice", i, leak.Address)
		case leak.Cause < 0:
			return fmt.Errorf("leak %d (%s): cause %d: want a number from 1, or 0 for unknown", i, leak.Address, leak.Cause)
		case !leak.Kind.known():
			return fmt.Errorf("leak %d (%s): kind %q: want forgotten, lost or growth", i, leak.Address, leak.Kind)
		}
		seen[leak.Address] = true
		last = leak.Event
	}
	return nil
}

func (k LeakKind) known() bool { return k == Forgotten || k == Lost || k == Growth }

// Find returns the labels of the log, given by its path or name. Names are
// compared whole first, then by their last element.
func (l *Labels) Find(log string) (*LogLabels, error) {
	for i := range l.Logs {
		if l.Logs[i].Log == log {
			return &l.Logs[i], nil
		}
	}
	var found *LogLabels
	for i := range l.Logs {
		if filepath.Base(l.Logs[i].Log) != filepath.Base(log) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("labels: two logs are called %s: name the one you mean as in the label file (%s, %s)",
				filepath.Base(log), found.Log, l.Logs[i].Log)
		}
		found = &l.Logs[i]
	}
	if found == nil {
		return nil, fmt.Errorf("labels: no labels for log %s", log)
	}
	return found, nil
}

// Verify reads the log file once and refuses it when it is not the one that was
// labelled.
func (l *LogLabels) Verify(path string) error {
	sum, err := HashFile(path)
	if err != nil {
		return fmt.Errorf("labels: %w", err)
	}
	if l.SHA256 != "" && !strings.EqualFold(sum, l.SHA256) {
		return fmt.Errorf("labels: %s is another run than the labelled one: its SHA-256 is %s, the labels are for %s", path, sum, l.SHA256)
	}
	return nil
}

// HashFile returns the SHA-256 of a file in hexadecimal, as labels have it.
func HashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
