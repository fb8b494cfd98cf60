package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Keeper writes the copies of a probe into a folder, so that they can be scored later:
// one behind the other into NAME.log, or where the format allows but one copy in a
// file, into NAME.0001, NAME.0002 and so on.
type Keeper struct {
	// Dir is the folder; it is made.
	Dir string
	// MaxBytes is the size from which on NAME.log becomes NAME.1.log, of which there
	// is one; 0: 64 MiB. MaxFiles is how many single copies are kept; 0: 1000.
	MaxBytes int64
	MaxFiles int
	// Now is the machine's clock; nil: time.Now.
	Now func() time.Time

	n int
}

// Keep writes one copy.
func (k *Keeper) Keep(p *Probe, data []byte) error {
	if err := os.MkdirAll(k.Dir, 0o755); err != nil {
		return err
	}
	if p.Mark == nil {
		return k.single(p, data)
	}
	path := filepath.Join(k.Dir, fileName(p.Name)+".log")
	if st, err := os.Stat(path); err == nil && st.Size() >= or(k.MaxBytes, 64<<20) {
		if err := os.Rename(path, filepath.Join(k.Dir, fileName(p.Name)+".1.log")); err != nil {
			return err
		}
	}
	now := time.Now
	if k.Now != nil {
		now = k.Now
	}
	return AppendWhole(path, append([]byte(p.Mark(now())), data...))
}

// AppendWhole appends data to a file, or after an error none of it: a disk that is full
// would leave half a record, and what is written later would follow it.
func AppendWhole(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		if _, err = f.Write(data); err != nil {
			err = errors.Join(err, f.Truncate(st.Size()))
		}
	}
	return errors.Join(err, f.Close())
}

// single writes a copy into a file of its own, and removes the one that is too old.
func (k *Keeper) single(p *Probe, data []byte) error {
	k.n++
	name := func(n int) string { return filepath.Join(k.Dir, fmt.Sprintf("%s.%04d", fileName(p.Name), n)) }
	if old := k.n - int(or(int64(k.MaxFiles), 1000)); old > 0 {
		os.Remove(name(old))
	}
	os.Remove(name(k.n)) // of an earlier monitor
	err := AppendWhole(name(k.n), data)
	if err != nil {
		os.Remove(name(k.n))
	}
	return err
}

func or(n, otherwise int64) int64 {
	if n > 0 {
		return n
	}
	return otherwise
}

// fileName is a name of a source that can be a file's.
func fileName(source string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-':
			return r
		}
		return '_'
	}, source), "_")
}
