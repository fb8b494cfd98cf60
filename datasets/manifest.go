package datasets

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Manifest lists the runs of a collection.
type Manifest struct {
	Version int       `json:"version"`
	Runs    []Run     `json:"runs"`
	Failed  []Failure `json:"failed,omitempty"` // runs that gave no sample
}

// Run is one row of a manifest: a log, how it was made and what is in it.
type Run struct {
	// Log is the file, relative to the manifest's folder: as the tool wrote it,
	// less the collector's marks, compressed with zstd (.zst); or a run in Arrow
	// made from that (.arrow).
	Log     string  `json:"log"`
	Labels  string  `json:"labels"`          // label file, relative to the manifest's folder
	SHA256  string  `json:"sha256"`          // of the log file
	Trace   string  `json:"trace,omitempty"` // of its contents, see TraceHash
	Program string  `json:"program"`
	Kind    string  `json:"kind"`              // what sort of program, see [Program]
	Package string  `json:"package,omitempty"` // Debian package and its version
	Command string  `json:"command"`
	Seed    uint64  `json:"seed"`             // of workload and drops
	Scale   float64 `json:"scale,omitempty"`  // factor on the size of the workload
	Tool    string  `json:"tool"`             // tracer and its version
	Format  string  `json:"format,omitempty"` // of the log, as ingest calls it
	Class   Class   `json:"class"`
	Shape   Shape   `json:"shape,omitempty"`

	Events      int64   `json:"events"`      // allocations and frees; of a leak report its records
	Outstanding int64   `json:"outstanding"` // blocks live at the end of the log
	Leaked      int64   `json:"leaked"`      // of these, blocks that are labelled
	Seconds     float64 `json:"seconds"`     // wall time of the traced run
	Drops       []Drop  `json:"drops,omitempty"`
}

// Shape says on which call paths frees were forgotten.
type Shape string

// The shapes of forgotten frees.
const (
	AnyPath    Shape = ""       // paths of all kinds, or nothing was forgotten
	ErrorPaths Shape = "errors" // only paths that the program does not take when no input fails
)

// Drop describes the frees of one call path that were forgotten.
type Drop struct {
	Path    []string `json:"path"`            // return addresses, innermost first: module+0xoffset
	Share   float64  `json:"share"`           // of the frees of the path, 0 to 1
	From    int64    `json:"from,omitempty"`  // first free of the path that could be dropped, 1-based
	Until   int64    `json:"until,omitempty"` // last one; 0: no limit
	After   int64    `json:"after,omitempty"` // frees of the process that had to pass before
	Frees   int64    `json:"frees"`           // calls of free on this path in the run
	Dropped int64    `json:"dropped"`         // of these, forgotten
}

// Failure is a run that gave no sample.
type Failure struct {
	Program string `json:"program"`
	Seed    uint64 `json:"seed"`
	Class   Class  `json:"class"`
	Reason  string `json:"reason"`
}

// ReadManifest reads and validates a manifest.
func ReadManifest(path string) (*Manifest, error) {
	m := new(Manifest)
	if err := readJSON(path, m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("manifest: %s: %w", path, err)
	}
	return m, nil
}

// Write validates the manifest and writes it to the file, atomically.
func (m *Manifest) Write(path string) error {
	m.Version = Version
	if err := m.Validate(); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return writeJSON(path, m)
}

// Validate reports everything that is wrong with the manifest in itself. Two
// rows with one hash are the same run twice, and that is refused: one could end
// up in the training set and the other among the tests.
func (m *Manifest) Validate() error {
	if m.Version != Version {
		return fmt.Errorf("version %d: this program reads version %d", m.Version, Version)
	}
	var errs []error
	byLog, byHash, byTrace := map[string]bool{}, map[string]string{}, map[string]string{}
	for _, r := range m.Runs {
		if err := r.validate(); err != nil {
			errs = append(errs, fmt.Errorf("run %q: %w", r.Log, err))
		}
		if byLog[r.Log] {
			errs = append(errs, fmt.Errorf("run %q: listed twice", r.Log))
		}
		if other, ok := byHash[r.SHA256]; ok {
			errs = append(errs, fmt.Errorf("run %q: the same log as %q", r.Log, other))
		} else if other, ok := byTrace[r.Trace]; ok && r.Trace != "" {
			errs = append(errs, fmt.Errorf("run %q: the same trace as %q", r.Log, other))
		}
		byLog[r.Log], byHash[r.SHA256], byTrace[r.Trace] = true, r.Log, r.Log
	}
	return errors.Join(errs...)
}

func (r *Run) validate() error {
	sum, err := hex.DecodeString(r.SHA256)
	switch {
	case r.Log == "" || filepath.IsAbs(r.Log) || r.Labels == "" || filepath.IsAbs(r.Labels):
		return errors.New("want log and labels as files relative to the manifest")
	case err != nil || len(sum) != sha256.Size:
		return fmt.Errorf("sha256 %q: want 64 hexadecimal digits", r.SHA256)
	case r.Program == "":
		return errors.New("no program")
	case r.Class != Clean && r.Class != Leaky:
		return fmt.Errorf("class %q: want clean or leaky", r.Class)
	case (r.Class == Leaky) != (r.Leaked > 0):
		return fmt.Errorf("class %s, but %d leaked blocks", r.Class, r.Leaked)
	case r.Shape != AnyPath && (r.Shape != ErrorPaths || r.Class != Leaky):
		return fmt.Errorf("shape %q of a %s run: want none, or errors for a leaky one", r.Shape, r.Class)
	case r.Leaked > r.Outstanding || r.Outstanding > r.Events && !strings.HasPrefix(r.Format, "memcheck"):
		return fmt.Errorf("%d leaked of %d outstanding blocks in %d events", r.Leaked, r.Outstanding, r.Events)
	}
	return nil
}

// Check reads every log and label file of the manifest in folder dir and
// reports what does not agree with its row.
func (m *Manifest) Check(dir string) error {
	var errs []error
	cache := map[string]*Labels{}
	for i := range m.Runs {
		if err := m.Runs[i].check(dir, cache); err != nil {
			errs = append(errs, fmt.Errorf("run %q: %w", m.Runs[i].Log, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Run) check(dir string, cache map[string]*Labels) error {
	l, err := r.find(dir, cache)
	if err != nil {
		return err
	}
	return l.Verify(filepath.Join(dir, r.Log))
}

// find returns the labels of the run, if they agree with its row.
func (r *Run) find(dir string, cache map[string]*Labels) (*LogLabels, error) {
	path := filepath.Join(dir, r.Labels)
	if cache[path] == nil {
		l, err := ReadLabels(path)
		if err != nil {
			return nil, err
		}
		cache[path] = l
	}
	name, err := filepath.Rel(filepath.Dir(r.Labels), r.Log)
	if err != nil {
		return nil, err
	}
	l, err := cache[path].Find(name)
	if err != nil {
		return nil, err
	}
	if l.SHA256 != r.SHA256 || l.Program != r.Program || l.Class != r.Class || l.Events != r.Events || l.leaked() != r.Leaked {
		return nil, fmt.Errorf("its labels in %s do not agree with its row", r.Labels)
	}
	return l, nil
}
