package datasets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Open reads the truth about a set of logs: a label file, or a collection, named
// by its folder or its manifest, whose label files are put together and compared
// with the manifest. Names of logs are relative to dir. The logs are not opened:
// see [LogLabels.Verify], or [Manifest.Check] for all of them.
func Open(path string) (labels *Labels, dir string, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, "", fmt.Errorf("labels: %w", err)
	}
	if st.IsDir() {
		path = filepath.Join(path, manifestName)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return nil, "", fmt.Errorf("labels: %s is no collection: it has no %s; name a label file", filepath.Dir(path), manifestName)
		}
	}
	dir = filepath.Dir(path)
	if filepath.Base(path) != manifestName {
		labels, err = ReadLabels(path)
		return labels, dir, err
	}
	m, err := ReadManifest(path)
	if err != nil {
		return nil, "", err
	}
	labels, err = m.labels(dir)
	return labels, dir, err
}

// manifestName is the manifest's name in the folder of a collection.
const manifestName = "manifest.json"

// labels puts the labels of all runs together, in the order of the manifest.
func (m *Manifest) labels(dir string) (*Labels, error) {
	all := &Labels{Version: Version}
	var errs []error
	cache := map[string]*Labels{}
	for i := range m.Runs {
		r := &m.Runs[i]
		l, err := r.find(dir, cache)
		if err != nil {
			errs = append(errs, fmt.Errorf("run %q: %w", r.Log, err))
			continue
		}
		one := *l
		one.Log = r.Log
		all.Logs = append(all.Logs, one)
	}
	return all, errors.Join(errs...)
}
