package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"leakformer/datasets"
	"leakformer/ingest"
	"leakformer/ingest/columnar"
	"leakformer/tokenize"
)

// stdinName is how messages call standard input.
const stdinName = "stdin"

// openLog opens a raw log of a format ("" or "auto" detects it) or a run in
// Arrow; "-" is standard input.
func (sh *shell) openLog(path, format string) (ingest.Source, error) {
	if path == "-" {
		return newSource(stdinName, sh.stdin, io.NopCloser(nil), format)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = &ingest.FormatError{File: path, Msg: "is a directory; name the log files in it"}
	}
	if err == nil {
		var src ingest.Source
		if src, err = newSource(path, f, f, format); err == nil {
			return src, nil
		}
	}
	f.Close()
	return nil, err
}

// newSource looks at the first bytes of r: a pipe cannot be opened twice.
func newSource(name string, r io.Reader, c io.Closer, format string) (ingest.Source, error) {
	head, in, err := peek(r, c)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if columnar.IsRun(head) {
		return columnar.NewSource(name, in)
	}
	src, err := ingest.NewSource(name, in, ingest.Options{Format: format})
	if f, refused := errors.AsType[*ingest.FormatError](err); refused && f.Unknown {
		err = fmt.Errorf("%w\n  if you know what it is, name it with --log-format", err)
	}
	return src, err
}

// peek returns the first bytes of r, and what reads it from the start. A file that can
// be read twice stays one, which is unpacked while it is read.
func peek(r io.Reader, c io.Closer) ([]byte, io.ReadCloser, error) {
	head := make([]byte, 8)
	if f, ok := r.(*os.File); ok && f == c {
		if n, err := f.ReadAt(head, 0); err == nil || err == io.EOF {
			return head[:n], f, err
		}
	}
	b := bufio.NewReader(r)
	head, err := b.Peek(len(head))
	return head, struct {
		io.Reader
		io.Closer
	}{b, c}, err
}

// loadRun reads a whole log and passes on what its parse report warns of.
func (sh *shell) loadRun(ctx context.Context, path, format string) (*tokenize.Run, error) {
	src, err := sh.openLog(path, format)
	if err != nil {
		return nil, err
	}
	return sh.read(ctx, src)
}

// loadTraced is loadRun with the hash of the log's contents, see [datasets.TraceHash].
func (sh *shell) loadTraced(ctx context.Context, path, format string) (*tokenize.Run, string, error) {
	src, err := sh.openLog(path, format)
	if err != nil {
		return nil, "", err
	}
	traced := datasets.HashTrace(src)
	run, err := sh.read(ctx, traced)
	return run, traced.Sum(), err
}

// read reads a whole log and closes it.
func (sh *shell) read(ctx context.Context, src ingest.Source) (*tokenize.Run, error) {
	run, err := tokenize.Load(ctx, src)
	if err := errors.Join(err, src.Close()); err != nil {
		return nil, err
	}
	sh.loaded([]*tokenize.Run{run}, run.Report)
	return run, nil
}

// loadEach reads a whole log: a run for each process.
func (sh *shell) loadEach(ctx context.Context, file logFile, format string) ([]*tokenize.Run, error) {
	src, err := sh.openFile(file, format)
	if err != nil {
		return nil, err
	}
	runs, err := tokenize.LoadEach(ctx, src)
	if err := errors.Join(err, src.Close()); err != nil {
		return nil, err
	}
	sh.loaded(runs, src.Report())
	return runs, nil
}

// loaded passes on what the parse report of runs warns of.
func (sh *shell) loaded(runs []*tokenize.Run, r *ingest.Report) {
	sh.warnings(r)
	for _, run := range runs {
		sh.log.Debug("read", "log", run.Name, "format", r.Format, "events", run.Report.Events, "sites", len(run.Sites),
			"outstanding", run.Report.Outstanding.Blocks, "errors", r.Errors)
	}
}

// warnings passes on the first messages of a parse report; `leakformer check`
// shows them all.
func (sh *shell) warnings(r *ingest.Report) {
	const shown = 3
	for i, m := range r.Messages {
		if i == shown {
			sh.warn("%s: more warnings: see `leakformer check`", r.Name)
			return
		}
		sh.warn("warning: %s", m)
	}
}

// logFile is a log to read.
type logFile struct {
	path string
	// found says that it was found in a folder, not named: it may be no log.
	found bool
	// series are the files whose snapshots follow one another, path the first of
	// them; nil for a log in one file.
	series []string
}

// openFile opens a log for reading.
func (sh *shell) openFile(f logFile, format string) (ingest.Source, error) {
	if f.series != nil {
		return ingest.OpenSeries(f.series, ingest.Options{Format: format})
	}
	return sh.openLog(f.path, format)
}

// expandSeries is expand with one entry for the files of a series, as profilers write
// them: heap.0001.prof, heap.0002.prof and so on.
func expandSeries(paths []string) ([]logFile, error) {
	files, err := expand(paths)
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	var names []string
	for i, f := range files {
		if st, err := os.Stat(f.path); err == nil && st.Mode().IsRegular() {
			at[f.path] = i
			names = append(names, f.path)
		}
	}
	for _, group := range ingest.GroupSeries(names) {
		if len(group) == 1 {
			continue
		}
		src, err := ingest.OpenSeries(group, ingest.Options{})
		if err != nil {
			continue // Each is a log by itself, or none.
		}
		src.Close()
		if !isDump(src.Report().Format) {
			continue
		}
		for _, name := range group {
			files[at[name]].path = "" // They are read with the first.
		}
		files[at[group[0]]].path, files[at[group[0]]].series = group[0], group
	}
	return slices.DeleteFunc(files, func(f logFile) bool { return f.path == "" }), nil
}

// isDump reports whether a program writes several files of a format, each with one
// snapshot.
func isDump(format string) bool {
	return slices.ContainsFunc(ingest.Formats(), func(f ingest.Format) bool { return f.Name == format && f.Dump })
}

// expand puts in place of each folder the files in it, in order of name, but for
// hidden ones and folders, and in place of a pattern that is no file's name (path.Match)
// the files that it fits.
func expand(paths []string) ([]logFile, error) {
	var files []logFile
	for _, p := range paths {
		st, err := os.Stat(p)
		switch {
		case p == "-" || err == nil && !st.IsDir():
			files = append(files, logFile{path: p})
			continue
		case err != nil && (!errors.Is(err, os.ErrNotExist) || !strings.ContainsAny(p, "*?[")):
			return nil, err
		}
		pattern := p
		if err == nil {
			pattern = filepath.Join(ingest.EscapeGlob(p), "[^.]*")
		}
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 && pattern == p {
			return nil, fmt.Errorf("no file fits the pattern %s", p)
		}
		for _, name := range found {
			// To open a pipe waits for its writer: nobody named this one.
			if st, err := os.Stat(name); err == nil && (st.Mode().IsRegular() || pattern == p && !st.IsDir()) {
				files = append(files, logFile{path: name, found: true})
			}
		}
	}
	return files, nil
}

// passOver reports whether an error about a file says only that it is no log, and
// nobody said that it is one; then it tells people so.
func (sh *shell) passOver(file logFile, err error) bool {
	_, unknown := errors.AsType[*ingest.FormatError](err)
	if file.found && unknown {
		sh.warn("note: %s is no log: passed over", file.path)
	}
	return file.found && unknown
}

// eachRun reads the logs named and those in the folders named, one after the other.
// A file in a folder that is no log is passed over with a note.
func (sh *shell) eachRun(ctx context.Context, paths []string, format string, f func(run *tokenize.Run, path, trace string)) error {
	files, err := expand(paths)
	if err != nil {
		return err
	}
	n := 0
	for _, file := range files {
		run, trace, err := sh.loadTraced(ctx, file.path, format)
		if sh.passOver(file, err) {
			continue
		}
		if err != nil {
			return err
		}
		f(run, file.path, trace)
		n++
	}
	if n == 0 && len(paths) > 0 {
		return errors.New("no log in " + strings.Join(paths, ", "))
	}
	return nil
}
