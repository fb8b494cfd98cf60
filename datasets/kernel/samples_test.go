package kernel_test

import (
	"bufio"
	"context"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"leakformer/datasets"
	"leakformer/eval"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// samples is a small collection that lives in the repository.
const samples = "../testdata/kernel"

func TestSamples(t *testing.T) {
	m, err := datasets.ReadManifest(filepath.Join(samples, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(samples); err != nil {
		t.Error(err)
	}
	labels, err := datasets.ReadLabels(filepath.Join(samples, "labels.json"))
	if err != nil {
		t.Fatal(err)
	}
	programs, benign, leaked := map[string]bool{}, 0, 0
	for _, r := range m.Runs {
		l, err := labels.Find(r.Log)
		if err != nil {
			t.Fatal(err)
		}
		src := open(t, r.Log)
		if err := l.VerifyEvents(src); err != nil {
			t.Error(err)
		}
		report := src.Report()
		if r.Outstanding == 0 {
			continue // the reader takes the last scan that found something
		}
		if report.Class != ingest.Snapshots || report.Format != "kmemleak" || report.Errors > 0 || len(report.Messages) > 0 || report.Truncated ||
			report.Outstanding.Blocks != r.Outstanding || report.Recognised != report.Lines {
			t.Errorf("%s: the reader does not understand it all: %+v", r.Log, report)
		}
		programs[r.Program] = true
		b, n := compare(t, r.Log, l)
		benign, leaked = benign+b, leaked+n
	}
	if len(programs) < 5 || benign < 100 || leaked < 100 {
		t.Errorf("%d programs, %d benign and %d leaked suspects: the samples are poor", len(programs), benign, leaked)
	}
}

func open(t *testing.T, log string) ingest.Source {
	t.Helper()
	src, err := ingest.Open(filepath.Join(samples, log), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

// object is what the modules say of one suspect: a line of a truth file.
type object struct {
	born   float64
	leaked bool // when the last scan began
	last   bool // the last scan suspects it
	used   bool
}

// readTruth reads the suspects of a truth file, by address; an address may have
// had several.
func readTruth(t *testing.T, log string) map[string][]*object {
	t.Helper()
	f, err := os.Open(filepath.Join(samples, strings.TrimSuffix(log, ".kmemleak.zst")+".truth.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	number := func(s string) float64 {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil && s != "-" {
			t.Fatal(err)
		}
		return f // 0 for "-"
	}
	at, last, began := map[string][]*object{}, "", 0.0
	for s := bufio.NewScanner(z); s.Scan(); {
		c := strings.Split(s.Text(), "\t")
		if c[0] == "scan" {
			last, began = c[1], number(c[2])
		}
		if c[0] != "object" || c[8] == "-" {
			continue
		}
		lost := number(c[6])
		scans := strings.FieldsFunc(c[8], func(r rune) bool { return r == ',' || r == '-' })
		at[c[2]] = append(at[c[2]], &object{born: number(c[5]), leaked: lost > 0 && lost <= began, last: scans[len(scans)-1] == last})
	}
	return at
}

// compare holds the reader's times and the evaluation's match against the truth,
// and counts the benign and the leaked suspects. The kernel notes an object a
// little before the module does.
func compare(t *testing.T, log string, l *datasets.LogLabels) (benign, leaked int) {
	at := readTruth(t, log)
	run, err := tokenize.Load(context.Background(), open(t, log))
	if err != nil {
		t.Fatal(err)
	}
	truth, err := eval.Match(run, l)
	if err != nil {
		t.Fatal(err)
	}
	src := open(t, log)
	for e, err := range src.Events() {
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, o := range at[datasets.Address(e.Addr).String()] {
			if math.Abs(o.born-e.Time.Seconds()) < 0.05 {
				found, o.used = true, true
			}
		}
		if !found {
			t.Errorf("%s:%d: no object is born at %#x %v after boot", log, e.Line, e.Addr, e.Time.Round(time.Millisecond))
		}
	}
	labelled := 0
	for _, objects := range at {
		for _, o := range objects {
			if !o.used {
				t.Errorf("%s: an object born %v s after boot was suspected and is not in the log", log, o.born)
			}
			switch {
			case !o.leaked:
				benign++
			default:
				leaked++
				if o.last {
					labelled++
				}
			}
		}
	}
	matched := 0
	for range truth.Leaks() {
		matched++
	}
	if matched != len(l.Leaks) || matched != labelled {
		t.Errorf("%s: %d leaks are in the last scan, %d are labelled, %d match", log, labelled, len(l.Leaks), matched)
	}
	return benign, leaked
}
