package report_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/detect/report"
	"leakformer/ingest"
	"leakformer/tokenize"
)

var update = flag.Bool("update", false, "write the golden files anew")

// findings runs a detector on a log with a leak, a normal site and a name that
// is up to no good.
func findings(t *testing.T, h detect.Handler, all bool) {
	t.Helper()
	l := detecttest.NewLog("logs/app.log", "app")
	l.Alloc("init\x1b[31m\n<main", 1<<20)
	for i := range 12 {
		b := l.Alloc("leak<main", 100)
		if i < 4 {
			l.Free(b)
		}
	}
	d := &detect.Detector{
		Scorer:    &detecttest.Scorer{Sites: map[string]float64{"leak": 0.9876}, Odds: odds},
		Threshold: 0.5, Model: "fake", All: all, Warnings: []string{"a warning"}, Explain: 5,
	}
	if _, err := d.Detect(context.Background(), l.Scene(t), h); err != nil {
		t.Fatal(err)
	}
}

// odds speak for a leak the more live blocks there are.
func odds(seq *tokenize.Sequence) float64 {
	z := -2.0
	for _, live := range seq.Live {
		if live {
			z += 0.5
		}
	}
	return z
}

// groups runs a detector on a log in which one leak comes from two callers and is
// not the only one.
func groups(t *testing.T, l *detecttest.Log, add func(site string, blocks, size int64), h detect.Handler) {
	t.Helper()
	add("copy<parse<main", 3, 300)
	add("push<main", 5, 500)
	add("copy<reload<main", 2, 100)
	add("init<copy<reload", 1, 50)
	d := &detect.Detector{Scorer: &detecttest.Scorer{Sites: map[string]float64{"copy": 0.9, "push": 0.8}}, Threshold: 0.5, Model: "fake", All: true}
	if _, err := d.Detect(context.Background(), l.Scene(t), h); err != nil {
		t.Fatal(err)
	}
}

// groupsOfReport has the groups in a report, where each stands once.
func groupsOfReport(t *testing.T, h detect.Handler) {
	l := detecttest.NewReport("logs/app.report", "app")
	groups(t, l, func(site string, blocks, size int64) { l.Outstanding(site, blocks, size, ingest.Definite) }, h)
}

// groupsOfEvents has them in an event log, where each finding keeps its rank.
func groupsOfEvents(t *testing.T, h detect.Handler) {
	l := detecttest.NewLog("logs/app.log", "app")
	groups(t, l, func(site string, blocks, size int64) {
		for range blocks {
			l.Alloc(site, size/blocks)
		}
	}, h)
}

func TestGolden(t *testing.T) {
	all := func(t *testing.T, h detect.Handler) { findings(t, h, true) }
	text := func(b *bytes.Buffer) detect.Handler { return report.NewText(b) }
	for name, c := range map[string]struct {
		run     func(*testing.T, detect.Handler)
		handler func(*bytes.Buffer) detect.Handler
	}{
		"findings.text":  {all, text},
		"findings.jsonl": {all, func(b *bytes.Buffer) detect.Handler { return report.NewJSONLines(b) }},
		"groups.report":  {groupsOfReport, text},
		"groups.events":  {groupsOfEvents, text},

		"findings.csv":       {all, func(b *bytes.Buffer) detect.Handler { return report.NewCSV(b) }},
		"findings.collapsed": {all, func(b *bytes.Buffer) detect.Handler { return report.NewCollapsed(b) }},
	} {
		var b bytes.Buffer
		c.run(t, c.handler(&b))
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s (renew with -update):\n%s", name, b.Bytes())
		}
	}
}

// Scripts rely on these members and their types.
func TestJSONLinesContract(t *testing.T) {
	var b bytes.Buffer
	findings(t, report.NewJSONLines(&b), true)
	var types []string
	for s := bufio.NewScanner(&b); s.Scan(); {
		var o struct {
			Type        string
			Log, Site   *string
			Frames      []struct{ Function, Module, File, Address *string }
			Probability *float64
			Leak        *bool
			Outstanding *ingest.Amount
			Leaked      *ingest.Amount
			Group       int
			Addresses   []string
			Why         []string
			Attribution []struct {
				What        *string
				Effect      *float64
				Probability *float64 `json:"probability_without"`
				Parts       []struct{ Block *detect.Place }
			}
		}
		if err := json.Unmarshal(s.Bytes(), &o); err != nil {
			t.Fatalf("%v in %s", err, s.Bytes())
		}
		types = append(types, o.Type)
		if o.Type != "finding" {
			continue
		}
		if o.Log == nil || o.Site == nil || o.Probability == nil || o.Leak == nil || o.Leaked == nil || o.Group == 0 || len(o.Why) == 0 ||
			int64(len(o.Addresses)) != o.Outstanding.Blocks || len(o.Frames) != 2 || o.Frames[0].Address == nil {
			t.Errorf("a member is missing in %s", s.Bytes())
		}
		for i, e := range o.Attribution {
			if e.What == nil || e.Effect == nil || e.Probability == nil || i == 0 && (len(e.Parts) != 8 || e.Parts[0].Block == nil) {
				t.Errorf("effect %d misses a member in %s", i, s.Bytes())
			}
		}
		if (len(o.Attribution) > 0) != *o.Leak {
			t.Errorf("%d effects in %s", len(o.Attribution), s.Bytes())
		}
		for _, a := range o.Addresses {
			if !strings.HasPrefix(a, "0x1") {
				t.Errorf("address %q", a)
			}
		}
	}
	if fmt.Sprint(types) != "[finding finding summary]" {
		t.Errorf("lines %v", types)
	}
}

// Of a leak the text says what it rests on, since when it is there and how fast it
// grows, as far as that is known.
func TestTextOfLeaks(t *testing.T) {
	first, last := detect.Place{Event: 9, Line: 10, Time: 1500 * time.Millisecond}, detect.Place{Event: 90_000, Line: 90_001, Time: 2 * time.Hour}
	first0, last0 := detect.Place{Event: 9, Line: 10}, detect.Place{Event: 90_000, Line: 90_001}
	for _, c := range []struct {
		f    detect.Finding
		want string
	}{
		{detect.Finding{First: first, Last: last, Rate: &detect.Rate{BytesPerMillionEvents: 2 << 20, BytesPerHour: 90_000}},
			"      since event 9, line 10 at 1.50 s, up to line 90001 at 7200.00 s; about 2.0 MiB per million events, 87.9 KiB per hour\n"},
		{detect.Finding{First: first0, Last: last0, Rate: &detect.Rate{BytesPerMillionEvents: 100}},
			"      since event 9, line 10, up to line 90001; about 100 B per million events\n"},
		{detect.Finding{First: first0, Last: first0}, "      since event 9, line 10\n"},
		{detect.Finding{Attribution: []detect.Effect{{What: "the clean runs", Effect: 2, Without: 0.25}, {What: "its call stack", Effect: 0.39, Without: 0.9}, {What: "its totals", Effect: -1, Without: 0.99}}},
			"      rests on the clean runs (P 0.250 without)\n"},
	} {
		var b bytes.Buffer
		c.f.Leak, c.f.Run, c.f.Why = true, &tokenize.Run{Class: ingest.Events}, []string{"why"}
		if err := report.NewText(&b).Finding(&c.f); err != nil || !strings.Contains(b.String(), c.want) {
			t.Errorf("%v: no %q in\n%s", err, c.want, b.String())
		}
	}
}

func TestNothingFound(t *testing.T) {
	var b bytes.Buffer
	d := &detect.Detector{Scorer: &detecttest.Scorer{}, Threshold: 0.5, Model: "fake"}
	if _, err := d.Detect(context.Background(), detecttest.NewLog("x.log", "x").Scene(t), report.NewText(&b)); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "x.log: no leak found; ") {
		t.Errorf("%q", b.String())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// A result that could not be written is not a success.
func TestWriteError(t *testing.T) {
	d := &detect.Detector{Scorer: &detecttest.Scorer{Sites: map[string]float64{"a": 1}}, Threshold: 0.5}
	sarif, err := report.NewSARIF(full{}, "1")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []detect.Handler{report.NewText(full{}), report.NewJSONLines(full{}), report.NewCSV(full{}), report.NewCollapsed(full{}),
		sarif, report.NewPprof(full{}), report.NewHTML(full{})} {
		l := detecttest.NewLog("x", "x")
		l.Alloc("a", 1)
		_, err := d.Detect(context.Background(), l.Scene(t), h)
		if c, ok := h.(io.Closer); ok && err == nil {
			err = c.Close()
		}
		if err == nil || !strings.HasSuffix(err.Error(), "disk full") {
			t.Errorf("%T: %v", h, err)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB", 1 << 62: "4.0 EiB",
	} {
		if got := report.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}
