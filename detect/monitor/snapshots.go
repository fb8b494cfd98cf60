package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leakformer/ingest"
)

// ErrNoNews is the error of a probe whose source shows what it showed before: it is no
// look, and nothing to worry about.
var ErrNoNews = errors.New("nothing new")

// Snapshots is the probe of a folder that fills with files, or of a pattern (path.Match)
// that they fit: each is one snapshot, such as the statistics of Python's tracemalloc or
// a heap profile. They follow one another in the order of their names, numbers by their
// value; those that came since the last look but for the latest are passed over.
//
// A file is read when another follows it, or when it has not changed from one look to
// the next: the program may still be writing it.
func Snapshots(pattern string) (*Probe, error) {
	d := &dumps{pattern: pattern, seen: map[string]stamp{}}
	if st, err := os.Stat(pattern); err == nil && st.IsDir() {
		d.pattern = filepath.Join(ingest.EscapeGlob(pattern), "[^.]*")
	}
	if _, err := d.files(); err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	return &Probe{Source: Source{Name: pattern}, Take: d.take}, nil
}

// dumps is what is known of the files of a series.
type dumps struct {
	pattern string
	// seen is how each file was at the last look; last is the name of the one that was
	// read, and as how.
	seen map[string]stamp
	last string
	read stamp
}

// stamp tells whether a file has changed.
type stamp struct {
	size int64
	at   time.Time
}

// files are the files in their order.
func (d *dumps) files() ([]string, error) {
	names, err := filepath.Glob(d.pattern)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		st, err := os.Stat(name)
		return err != nil || !st.Mode().IsRegular()
	})
	slices.SortStableFunc(names, ingest.CompareNames)
	return names, nil
}

func (d *dumps) take(context.Context) ([]byte, error) {
	names, err := d.files()
	if err != nil {
		return nil, err
	}
	before := d.seen
	d.seen = map[string]stamp{}
	for _, name := range names {
		if st, err := os.Stat(name); err == nil {
			d.seen[name] = stamp{st.Size(), st.ModTime()}
		}
	}
	if _, there := d.seen[d.last]; !there {
		d.last, d.read = "", stamp{} // The program has begun anew.
	}
	for i, name := range slices.Backward(names) {
		now, ok := d.seen[name]
		switch order := ingest.CompareNames(name, d.last); {
		case order < 0, order == 0 && now == d.read:
			return nil, d.none()
		case !ok || i == len(names)-1 && before[name] != now:
			continue // It is gone, or not there as a whole yet.
		}
		data, err := readAtMost(name, maxProfile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		d.last, d.read = name, now
		return data, err
	}
	return nil, d.none()
}

// none is the error where no file is to be read.
func (d *dumps) none() error {
	if _, err := os.Stat(filepath.Dir(d.pattern)); errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(filepath.Dir(d.pattern), `*?[\`) {
		return ErrGone
	}
	return ErrNoNews
}

// readAtMost reads a file that is not above a size.
func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes are no snapshot", path, limit)
	}
	return data, err
}
