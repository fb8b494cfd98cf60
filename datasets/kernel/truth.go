package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"leakformer/datasets"
	"leakformer/ingest"
)

// Object is an object of a module. Times are since boot; 0: it did not happen.
type Object struct {
	Address datasets.Address
	Size    int64  // as the module asked for it, bytes
	Place   string // what it is, as the module calls it
	Born    time.Duration
	Lost    time.Duration // from then on nothing can free it
	Freed   time.Duration
	Scans   []int // the scans that suspect it, from 0
}

// Scan is a scan and what came out of it.
type Scan struct {
	Time     time.Duration // when it began, since boot
	Suspects int           // objects that it lists
	Leaked   int           // of these, those that were leaked when it began
	Unseen   int           // leaked objects that it does not list
	Foreign  int           // suspects that are not objects of the module
}

// Truth is what really happened to the objects of a run, beside what the scans
// suspected.
type Truth struct {
	Objects []Object // in order of birth
	Scans   []Scan
}

// Lost is the number of leaked objects.
func (t *Truth) Lost() int {
	n := 0
	for i := range t.Objects {
		if t.Objects[i].Lost > 0 {
			n++
		}
	}
	return n
}

// Outstanding is the number of suspects of the last scan.
func (t *Truth) Outstanding() int64 {
	if len(t.Scans) == 0 {
		return 0
	}
	return int64(t.Scans[len(t.Scans)-1].Suspects)
}

// Benign counts the objects that were suspected at least once and never leaked:
// the first number are those that were freed later on, the second those that
// were kept.
func (t *Truth) Benign() (freed, kept int) {
	for i := range t.Objects {
		switch o := &t.Objects[i]; {
		case len(o.Scans) == 0 || o.Lost > 0:
		case o.Freed > 0:
			freed++
		default:
			kept++
		}
	}
	return freed, kept
}

// WriteTo writes the truth as text, columns between tabs: a line "scan" for each
// scan, and a line "object" for each object that leaked or was suspected, with its
// number in order of birth. Times are seconds since boot, "-" where something did
// not happen; the last column are the scans that suspect the object.
func (t *Truth) WriteTo(w io.Writer) (int64, error) {
	var n int64
	b := bufio.NewWriter(w)
	print := func(format string, args ...any) {
		k, _ := fmt.Fprintf(b, format, args...) // b keeps the error
		n += int64(k)
	}
	print("#scan\tnumber\ttime\tsuspects\tleaked\tunseen\tforeign\n")
	for i, s := range t.Scans {
		print("scan\t%d\t%s\t%d\t%d\t%d\t%d\n", i, seconds(s.Time), s.Suspects, s.Leaked, s.Unseen, s.Foreign)
	}
	print("#object\tnumber\taddress\tsize\tplace\tborn\tlost\tfreed\tscans\n")
	for i := range t.Objects {
		if o := &t.Objects[i]; o.Lost > 0 || len(o.Scans) > 0 {
			print("object\t%d\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", i, o.Address, o.Size, o.Place,
				seconds(o.Born), seconds(o.Lost), seconds(o.Freed), ranges(o.Scans))
		}
	}
	return n, b.Flush()
}

func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 2, 64)
}

// ranges writes rising numbers as 1-4,7,9-10.
func ranges(list []int) string {
	if len(list) == 0 {
		return "-"
	}
	var b strings.Builder
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(list[i]))
		if j > i {
			b.WriteString("-" + strconv.Itoa(list[j]))
		}
		i = j + 1
	}
	return b.String()
}

// hz is the tick rate of User Mode Linux.
const hz = 100

// sinceBoot turns jiffies into time: the kernel starts counting 300 seconds before
// the counter passes 2^32. 0 stands for never.
func sinceBoot(jiffies uint64) time.Duration {
	const boot = 1<<32 - 300*hz
	if jiffies < boot {
		return 0
	}
	return max(time.Duration(jiffies-boot)*time.Second/hz, 1)
}

// judge reads what a run left in the folder: kmemleak.log, scans (a line of
// jiffies and their rate for each) and truth, as labcore writes it.
//
// A label is a leaked object that the last scan suspects. Its event is the number
// of the first record of the object in a scan that began after the leak.
func judge(dir string) (*Truth, *datasets.LogLabels, error) {
	t, err := readTruth(dir)
	if err != nil {
		return nil, nil, err
	}
	src, err := ingest.Open(filepath.Join(dir, "kmemleak.log"), ingest.Options{Format: "kmemleak"})
	if err != nil {
		return nil, nil, err
	}
	defer src.Close()
	labels, err := t.match(src)
	return t, labels, err
}

// match compares the records of the log with the truth.
func (t *Truth) match(src ingest.Source) (*datasets.LogLabels, error) {
	at := map[datasets.Address][]int{} // objects by address, in order of birth
	for i := range t.Objects {
		at[t.Objects[i].Address] = append(at[t.Objects[i].Address], i)
	}
	labels := &datasets.LogLabels{Class: datasets.Clean}
	var leaks []datasets.Leak
	causes := map[string]int{} // by place
	labelled := map[int]bool{}
	for e, err := range src.Events() {
		if err != nil {
			return nil, err
		}
		labels.Events = e.Seq + 1
		if int(e.Scan) >= len(t.Scans) {
			return nil, fmt.Errorf("line %d: scan %d of %d", e.Line, e.Scan, len(t.Scans))
		}
		s := &t.Scans[e.Scan]
		s.Suspects++
		i := t.find(at[datasets.Address(e.Addr)], s.Time)
		if i < 0 {
			s.Foreign++
			continue
		}
		o := &t.Objects[i]
		o.Scans = append(o.Scans, int(e.Scan))
		if !o.leakedAt(s.Time) {
			continue
		}
		s.Leaked++
		if !labelled[i] {
			labelled[i] = true
			if causes[o.Place] == 0 {
				causes[o.Place] = len(causes) + 1
			}
			leaks = append(leaks, datasets.Leak{Event: e.Seq, Address: o.Address, Size: e.Size, Kind: datasets.Lost, Cause: causes[o.Place]})
		}
	}
	t.countUnseen()
	last := map[datasets.Address]bool{}
	for i := range t.Objects {
		if o := &t.Objects[i]; len(o.Scans) > 0 && o.Scans[len(o.Scans)-1] == len(t.Scans)-1 && o.leakedAt(t.Scans[len(t.Scans)-1].Time) {
			last[o.Address] = true
		}
	}
	for _, l := range leaks {
		if last[l.Address] {
			labels.Leaks = append(labels.Leaks, l)
			labels.Class = datasets.Leaky
		}
	}
	return labels, nil
}

// countUnseen fills in Scan.Unseen.
func (t *Truth) countUnseen() {
	for i := range t.Scans {
		s := &t.Scans[i]
		for j := range t.Objects {
			if t.Objects[j].leakedAt(s.Time) {
				s.Unseen++
			}
		}
		s.Unseen -= s.Leaked
	}
}

// leakedAt reports whether the object is leaked at that time.
func (o *Object) leakedAt(at time.Duration) bool { return o.Lost > 0 && o.Lost <= at }

// find returns which of the objects of one address lived when a scan began, or -1.
// It is the one suspected: a suspect is at least five seconds old by then.
func (t *Truth) find(objects []int, scan time.Duration) int {
	for _, i := range objects {
		if o := &t.Objects[i]; o.Born <= scan && (o.Freed == 0 || o.Freed >= scan) {
			return i
		}
	}
	return -1
}

// readTruth reads the files scans and truth.
func readTruth(dir string) (*Truth, error) {
	t := new(Truth)
	err := eachLine(filepath.Join(dir, "scans"), func(n int, line string) error {
		jiffies, rate, _ := strings.Cut(line, " ")
		if rate != strconv.Itoa(hz) {
			return fmt.Errorf("%q: want jiffies, and %d of them a second", line, hz)
		}
		j, err := strconv.ParseUint(jiffies, 10, 64)
		t.Scans = append(t.Scans, Scan{Time: sinceBoot(j)})
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(t.Scans) == 0 {
		return nil, errors.New("no scan was made")
	}
	err = eachLine(filepath.Join(dir, "truth"), func(n int, line string) error {
		if n == 1 {
			if line != "dropped 0" {
				return fmt.Errorf("want %q: labcore had no room for all objects", "dropped 0")
			}
			return nil
		}
		o, err := parseObject(line)
		t.Objects = append(t.Objects, o)
		return err
	})
	return t, err
}

// parseObject reads "ADDRESS SIZE PLACE BORN LOST FREED".
func parseObject(line string) (Object, error) {
	f := strings.Fields(line)
	if len(f) != 6 {
		return Object{}, fmt.Errorf("%d columns, want 6", len(f))
	}
	o := Object{Place: f[2]}
	var err, e error
	err = o.Address.UnmarshalText([]byte(f[0]))
	o.Size, e = strconv.ParseInt(f[1], 10, 64)
	err = errors.Join(err, e)
	for i, d := range []*time.Duration{&o.Born, &o.Lost, &o.Freed} {
		j, e := strconv.ParseUint(f[3+i], 10, 64)
		*d, err = sinceBoot(j), errors.Join(err, e)
	}
	switch {
	case err != nil:
		return o, err
	case o.Born == 0 || o.Lost > 0 && o.Freed > 0 || o.Lost > 0 && o.Lost < o.Born || o.Freed > 0 && o.Freed < o.Born:
		return o, errors.New("want an object that is born, and then lost or freed or neither")
	}
	return o, nil
}

// eachLine calls f for the lines of a file, numbered from 1.
func eachLine(path string, f func(n int, line string) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	n := 0
	for s.Scan() {
		n++
		if err := f(n, s.Text()); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", path, n+1, err)
	}
	return nil
}
