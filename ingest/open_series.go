package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A series of snapshots in several files, as profilers of a running program write
// them: prog.0001.heap, prog.0002.heap and so on.

// SeriesKey is equal for files that by their names belong to one series: it is the
// name without its last number. Of jemalloc's PREFIX.PID.SEQ.iN.heap it is
// PREFIX.PID.
func SeriesKey(name string) string {
	dir, base := filepath.Split(name)
	parts := strings.Split(base, ".")
	if n := len(parts); n >= 5 && parts[n-1] == "heap" && isDumpKind(parts[n-2]) && isDecimal([]byte(parts[n-3])) && isDecimal([]byte(parts[n-4])) {
		return dir + strings.Join(parts[:n-3], ".")
	}
	isNumber := func(c rune) bool { return c >= '0' && c <= '9' }
	end := strings.LastIndexFunc(base, isNumber) + 1
	if end == 0 {
		return name
	}
	begin := strings.LastIndexFunc(base[:end], func(c rune) bool { return !isNumber(c) }) + 1
	return dir + base[:begin] + "#" + base[end:]
}

// GroupSeries puts together the names with one [SeriesKey], each group in the order of
// [CompareNames], the groups in the order of their first names in the list.
func GroupSeries(names []string) [][]string {
	var groups [][]string
	index := map[string]int{}
	for _, name := range names {
		key := SeriesKey(name)
		i, ok := index[key]
		if !ok {
			i = len(groups)
			index[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], name)
	}
	for _, g := range groups {
		slices.SortStableFunc(g, CompareNames)
	}
	return groups
}

// EscapeGlob is a pattern (path.Match) that fits the path and nothing else.
func EscapeGlob(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}

// isDumpKind reports whether s is what jemalloc calls the reason of a dump: by
// interval, by hand, at a new maximum, or at the end.
func isDumpKind(s string) bool {
	return s == "f" || len(s) > 1 && strings.IndexByte("imu", s[0]) >= 0 && isDecimal([]byte(s[1:]))
}

// CompareNames orders file names as people do: by the value of the numbers in them.
func CompareNames(a, b string) int {
	for a != "" && b != "" {
		if !isDigit(a[0]) || !isDigit(b[0]) {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		var m, n string
		m, a = cutNumber(a)
		n, b = cutNumber(b)
		if c := cmp.Or(cmp.Compare(len(m), len(n)), cmp.Compare(m, n)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// cutNumber cuts a number, without its leading zeros, off the front of s.
func cutNumber(s string) (number, rest string) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return strings.TrimLeft(s[:i], "0"), s[i:]
}

// ErrNoSeries is the error of [OpenSeries] for files that are no snapshots.
var ErrNoSeries = errors.New("is a log by itself and no part of a series")

// OpenSeries opens files of one snapshot format as one run: its scans are the
// snapshots of the files in the order of [CompareNames], all with one table of
// stacks. The times of day that the files tell become times since the first. An
// event's line is that in the file of its scan.
//
// The files are opened one after the other while events are read. All are of the
// format of the first: a file of another one ends the events with a *FormatError.
// If that format is none of snapshots, the error is [ErrNoSeries]: each file is then
// a log by itself.
func OpenSeries(names []string, opts Options) (Source, error) {
	if len(names) == 0 {
		return nil, errors.New("a series of snapshots needs a file")
	}
	names = slices.Clone(names)
	slices.SortStableFunc(names, CompareNames)
	first, err := Open(names[0], opts)
	if err != nil {
		return nil, err
	}
	r := first.Report()
	if r.Class != Snapshots {
		first.Close()
		return nil, fmt.Errorf("%s (%s) %w", names[0], r.Format, ErrNoSeries)
	}
	s := &fileSeries{names: names, opts: opts, next: first.(*logSource), stacks: first.Stacks(), sites: map[StackID]struct{}{}, said: map[string]bool{}}
	s.report = Report{Name: names[0], Format: r.Format, Class: Snapshots, Clock: NoClock}
	if len(names) > 1 {
		s.report.Name = fmt.Sprintf("%s .. %s", names[0], filepath.Base(names[len(names)-1]))
	}
	return s, nil
}

// fileSeries is a Source over several files.
type fileSeries struct {
	names  []string
	opts   Options
	next   *logSource // the file to read next, nil where it must be opened
	stacks *Stacks
	report Report
	read   bool
	start  time.Time // of the first file
	// What the files so far have used up.
	seq, born int64
	scans     int32
	sites     map[StackID]struct{}
	said      map[string]bool // messages without the file's name
}

func (s *fileSeries) Stacks() *Stacks { return s.stacks }
func (s *fileSeries) Report() *Report { return &s.report }

func (s *fileSeries) Close() error {
	if s.next == nil {
		return nil
	}
	return s.next.Close()
}

func (s *fileSeries) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if s.read {
			yield(Event{}, fmt.Errorf("%s: the events of a source can be read once", s.report.Name))
			return
		}
		s.read = true
		for i, name := range s.names {
			if i > 0 {
				if err := s.open(name); err != nil {
					yield(Event{}, err)
					return
				}
			}
			more := s.file(yield)
			err := s.next.Close()
			s.next = nil
			if !more {
				return
			}
			if err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

// open opens a later file of the series.
func (s *fileSeries) open(name string) error {
	src, err := Open(name, s.opts)
	if err != nil {
		return err
	}
	s.next = src.(*logSource)
	if format := s.next.Report().Format; format != s.report.Format {
		s.next.Close()
		s.next = nil
		return &FormatError{File: name, Msg: fmt.Sprintf("is of format %s, but the series began with %s: score them apart", format, s.report.Format)}
	}
	s.next.dec.stacks = s.stacks
	return nil
}

// file passes on the events of one file; it returns false after the last pair of
// the series.
func (s *fileSeries) file(yield func(Event, error) bool) bool {
	d := s.next.dec
	scan := int32(0)
	for e, err := range s.next.Events() {
		if err == nil {
			scan = e.Scan
			e = s.shift(e)
			s.sites[e.Stack] = struct{}{}
		}
		if !yield(e, err) {
			s.add(d, scan)
			return false
		}
		if _, damaged := errors.AsType[*SyntaxError](err); err != nil && !damaged {
			s.add(d, scan)
			return false
		}
	}
	s.add(d, scan)
	return true
}

// shift moves an event behind those of the files before.
func (s *fileSeries) shift(e Event) Event {
	e.Seq += s.seq
	e.Block += s.born
	e.Scan += s.scans
	if taken := s.next.dec.taken; !taken.IsZero() {
		if s.start.IsZero() {
			s.start = taken
		}
		e.Time = max(e.Time, taken.Sub(s.start))
		s.report.Clock = Stamps
	}
	return e
}

// add books the report of a file that was read, whose last scan is given.
func (s *fileSeries) add(d *decoder, scan int32) {
	s.seq += d.seq
	s.born += d.ledger.born
	s.scans += scan + 1
	r, from := &s.report, d.report
	r.Tool, r.Command = cmp.Or(r.Tool, from.Tool), cmp.Or(r.Command, from.Command)
	if from.Clock != NoClock {
		r.Clock = from.Clock
	}
	r.Processes = max(r.Processes, from.Processes)
	r.Lines += from.Lines
	r.Recognised += from.Recognised
	r.Records += from.Records
	r.Events += from.Events
	r.Errors += from.Errors
	r.Outstanding = from.Outstanding
	r.LastEmpty = r.Records > 0 && (from.LastEmpty || from.Records == 0)
	r.Sites = len(s.sites)
	r.Truncated = r.Truncated || from.Truncated
	for _, m := range from.Messages {
		// What is true of every file is said of the first.
		if what := strings.TrimPrefix(m, from.Name); !s.said[what] {
			s.said[what] = true
			r.Warn("%s", m)
		}
	}
	if r.Oracle == nil || r.Oracle.OK && from.Oracle != nil {
		r.Oracle = from.Oracle
	}
}
