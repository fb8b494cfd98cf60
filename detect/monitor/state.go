package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"leakformer/ingest/atomicfile"
)

// State is what a monitor knows beside what it sees: the baseline of each site, what
// was told of it, and the alerts that no sink has taken yet. With it a monitor that is
// started again tells nothing twice, and forgets nothing.
//
// It goes by no times: a clock that is set anew means nothing to it.
type State struct {
	// Sites by source and call stack.
	Sites map[string]*Record `json:"sites"`
	// Pending alerts by the name of the sink, the oldest first.
	Pending map[string][]Alert `json:"pending,omitempty"`
	// Serial is the number of alerts so far, Run tells the files of state apart.
	Serial int64  `json:"serial"`
	Run    string `json:"run"`
}

// Record is what is known of one site.
type Record struct {
	Trend Trend `json:"trend"`
	// Level is what was told; Floor is the baseline then, and Peak the most bytes
	// that were outstanding since.
	Level Level `json:"level,omitempty"`
	Floor int64 `json:"floor,omitempty"`
	Peak  int64 `json:"peak,omitempty"`
	// Grown: growth fired since the level is above Silent.
	Grown bool `json:"grown,omitempty"`
	// Quiet is how many looks in a row there was nothing to tell.
	Quiet int `json:"quiet,omitempty"`
	// Linked is the key of the other half of the story that was told.
	Linked string `json:"linked,omitempty"`
	// Last is the latest alert.
	Last *Alert `json:"last,omitempty"`
}

// maxState bounds the file that is read.
const maxState = 256 << 20

// ReadState reads a state file. One that is not there is empty.
func ReadState(path string) (*State, error) {
	s := &State{}
	data, err := readBounded(path, maxState)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(data, s); err != nil {
			return nil, fmt.Errorf("%s: no state of a monitor: %w; forget it with leakformer reset", path, err)
		}
	}
	if s.Sites == nil {
		s.Sites = map[string]*Record{}
	}
	for key, r := range s.Sites {
		if r == nil || r.Level > Silent && r.Last == nil {
			delete(s.Sites, key)
		}
	}
	if s.Pending == nil {
		s.Pending = map[string][]Alert{}
	}
	return s, nil
}

// readBounded reads a whole file that is not above a size.
func readBounded(path string, limit int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > limit {
		return nil, fmt.Errorf("%s: %d bytes are too much for a state", path, st.Size())
	}
	return os.ReadFile(path)
}

// stateFile keeps a state on disk. A reader finds the old file or the new one, whole.
type stateFile struct {
	path string // "": nowhere
	last []byte
}

func (f *stateFile) write(s *State) error {
	if f.path == "" {
		return nil
	}
	data, err := json.Marshal(s)
	if err != nil || bytes.Equal(data, f.last) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return err
	}
	err = atomicfile.WriteBytes(f.path, data)
	if err == nil {
		f.last = data
	}
	return err
}
