package report_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/detect/report"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// hostile is a leak whose names would like to be something else, in a run with a
// place for each kind of frame.
func hostile() *detect.Finding {
	run := &tokenize.Run{
		Name: "a,b;c.log", Class: ingest.Events, Events: 100,
		Sites:  []tokenize.Site{{Exact: 1 << 63, Names: 77}},
		Blocks: tokenize.BlocksOf(tokenize.Block{Size: 300, Count: 1, Born: 10, Died: tokenize.Alive}),
		BySite: [][]int32{{0}},
	}
	return &detect.Finding{
		Log: run.Name, Site: "<script>alert(1)</script> < a;b", Leak: true, Probability: 0.95, Run: run, Blocks: []int32{0},
		Leaked: ingest.Amount{Blocks: 1, Bytes: 300}, Outstanding: ingest.Amount{Blocks: 2, Bytes: 400},
		Frames: []ingest.Frame{
			{Function: "<script>alert(1)</script>", File: "/usr/include/c++/12/new.h", Line: 7, Module: "/bin/app", Address: 0x10, Inlined: true},
			{Function: "a;b\n", File: "src dir/a%.c", Line: 70, Module: "/bin/app", Address: 0x10},
			{Module: "/bin/app", Address: 0x999},
		},
		Why: []string{`it "grows"`, "</table>"},
	}
}

// handle hands a finding and a summary to a handler, and closes it.
func handle(t *testing.T, h detect.Handler, f *detect.Finding) {
	t.Helper()
	sum := &detect.Summary{Log: f.Log, Run: f.Run, Events: 100, Cut: 100, Course: f.Course(100), Warnings: []string{"a <b>warning</b>"},
		Suppressed: []detect.LeftOut{{Site: "<i>", Leaked: ingest.Amount{Blocks: 1, Bytes: 2}, By: "x.supp:1: <b>"}}}
	if err := h.Finding(f); err != nil {
		t.Fatal(err)
	}
	if err := h.Summary(sum); err != nil {
		t.Fatal(err)
	}
	if c, ok := h.(io.Closer); ok {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// object is what SARIF 2.1.0 says of an object: the types of its members, those that
// have to be there with a "!", and what is in those that are objects or arrays of them.
type object map[string]any

var (
	message       = object{"!text": ""}
	logical       = object{"fullyQualifiedName": "", "kind": ""}
	physical      = object{"!artifactLocation": object{"uri": ""}, "region": object{"!startLine": 1.0}}
	location      = object{"physicalLocation": physical, "logicalLocations": []object{logical}}
	configuration = object{"level": ""}
	rule          = object{"!id": "", "name": "", "shortDescription": message, "fullDescription": message, "defaultConfiguration": configuration}
	stack         = object{"message": message, "!frames": []object{{"location": location, "module": ""}}}
	result        = object{
		"ruleId": "", "ruleIndex": 1.0, "level": "", "rank": 1.0, "!message": message, "locations": []object{location}, "stacks": []object{stack},
		"occurrenceCount": 1.0, "partialFingerprints": map[string]any{}, "properties": map[string]any{},
	}
	invocation = object{"!executionSuccessful": true, "toolExecutionNotifications": []object{{"level": "", "!message": message}}}
	sarif      = object{"$schema": "", "!version": "", "!runs": []object{{
		"!tool":       object{"!driver": object{"!name": "", "version": "", "rules": []object{rule}}},
		"columnKind":  "",
		"results":     []object{result},
		"invocations": []object{invocation},
	}}}
)

// check holds a document against what is to be in it.
func (o object) check(t *testing.T, at string, got any) {
	members, ok := got.(map[string]any)
	if !ok {
		t.Errorf("%s is no object: %v", at, got)
	}
	for name, v := range members {
		want, known := o[name]
		if must, yes := o["!"+name]; yes {
			want, known = must, true
		}
		if !known {
			t.Errorf("%s.%s is no member", at, name)
		}
		conforms(t, at+"."+name, want, v)
	}
	for name := range o {
		if member, must := strings.CutPrefix(name, "!"); must && members[member] == nil {
			t.Errorf("%s.%s is missing", at, member)
		}
	}
}

func conforms(t *testing.T, at string, want, got any) {
	ok := false
	switch want := want.(type) {
	case object:
		want.check(t, at, got)
		return
	case []object:
		var items []any
		if items, ok = got.([]any); ok {
			for _, item := range items {
				want[0].check(t, at, item)
			}
		}
	case string:
		var s string
		s, ok = got.(string)
		if name := at[strings.LastIndexByte(at, '.')+1:]; name == "level" {
			ok = slices.Contains([]string{"none", "note", "warning", "error"}, s)
		}
	case float64:
		_, ok = got.(float64)
	case bool:
		_, ok = got.(bool)
	case map[string]any:
		_, ok = got.(map[string]any)
	}
	if !ok {
		t.Errorf("%s: %v", at, got)
	}
}

// A document has the structure that the standard demands, whatever the number of
// results, and says where the leak is.
func TestSARIF(t *testing.T) {
	bare := *hostile()
	bare.Frames, bare.Probability = nil, 0.6
	lost := *hostile()
	lost.Run = &tokenize.Run{Class: ingest.EndReport, Sites: lost.Run.Sites, Blocks: tokenize.BlocksOf(tokenize.Block{Loss: ingest.Definite, Count: 1})}
	lost.Frames, lost.Probability = lost.Frames[2:], 0.6
	none := *hostile()
	none.Leak = false
	for name, c := range map[string]struct {
		finding *detect.Finding
		want    string // regular expression
	}{
		"lines": {hostile(), `"ruleId":"memory-leak","ruleIndex":0,"level":"error","rank":95,.*"locations":\[{"physicalLocation":{"artifactLocation":{"uri":"src%20dir/a%25.c"},"region":{"startLine":70}},` +
			`.*"uri":"file:///usr/include/c\+\+/12/new.h".*"leakformerNames/v1":"000000000000004d","leakformerSite/v1":"8000000000000000"`},
		"no frames": {&bare, `"level":"warning","rank":60,.*"locations":\[{"logicalLocations":\[{"fullyQualifiedName":"<script>`},
		"lost":      {&lost, `"ruleId":"memory-lost","ruleIndex":1,"level":"error".*"locations":\[{"logicalLocations":\[{"fullyQualifiedName":"app\+0x999","kind":"function"}\]}\]`},
		"no leak":   {&none, `(?s)"results":\[\],.*a <b>warning`},
	} {
		var b bytes.Buffer
		h, err := report.NewSARIF(&b, "1.2")
		if err != nil {
			t.Fatal(err)
		}
		handle(t, h, c.finding)
		var doc map[string]any
		if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
			t.Fatalf("%s: %v in %s", name, err, b.Bytes())
		}
		sarif.check(t, name, doc)
		if doc["version"] != "2.1.0" || !regexp.MustCompile(c.want).Match(b.Bytes()) {
			t.Errorf("%s: no %s in %s", name, c.want, b.Bytes())
		}
	}
}

// Of several runs one document comes.
func TestSARIFOfRuns(t *testing.T) {
	var b bytes.Buffer
	h, err := report.NewSARIF(&b, "1")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		findings(t, h, true)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	var doc struct{ Runs []struct{ Results []any } }
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil || len(doc.Runs) != 1 || len(doc.Runs[0].Results) != 2 {
		t.Errorf("%v in %s", err, b.Bytes())
	}
}

func TestCollapsedNames(t *testing.T) {
	var b bytes.Buffer
	handle(t, report.NewCollapsed(&b), hostile())
	if want := "app+0x999;a:b\uFFFD;<script>alert(1)</script> 300\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
}

// No name is a formula to a spreadsheet, and numbers stay numbers.
func TestCSVFormulas(t *testing.T) {
	f := hostile()
	f.Log, f.Site, f.Why = "@SUM(A1)", "=cmd|' /C calc'!A0", []string{"'quoted", "+1"}
	f.Frames = []ingest.Frame{{Function: "f", File: "-2+3.c", Line: 7}}
	f.Rate = &detect.Rate{BytesPerMillionEvents: -5}
	var b bytes.Buffer
	handle(t, report.NewCSV(&b), f)
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[1][i]
	}
	for name, want := range map[string]string{"log": "'@SUM(A1)", "site": "'=cmd|' /C calc'!A0", "why": "''quoted; +1", "file": "'-2+3.c", "bytes_per_million_events": "-5"} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
}

// A profile holds what the findings say, and Go's pprof opens it.
func TestPprof(t *testing.T) {
	var b bytes.Buffer
	handle(t, report.NewPprof(&b), hostile())
	p, err := profile.ParseData(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	s := p.Sample[0]
	if !slices.Equal(s.Value, []int64{1, 300, 2, 400}) || s.NumLabel["probability_permille"][0] != 950 {
		t.Errorf("sample %+v", s)
	}
	var lines []string
	for _, l := range s.Location {
		for _, line := range l.Line {
			lines = append(lines, line.Function.Name)
		}
		lines = append(lines, "|")
	}
	if want := []string{"<script>alert(1)</script>", "a;b\n", "|", "app+0x999", "|"}; !slices.Equal(lines, want) {
		t.Errorf("locations %q", lines)
	}
	file := filepath.Join(t.TempDir(), "x.pb.gz")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "tool", "pprof", "-top", "-nodecount=5", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "300B   100%   100%") {
		t.Errorf("go tool pprof: %v: %s", err, out)
	}
}

// What JSON Lines say is known can be read as a baseline.
func TestReadLeaks(t *testing.T) {
	var b bytes.Buffer
	findings(t, report.NewJSONLines(&b), true)
	good := b.String()
	got, err := report.ReadLeaks("x.jsonl", strings.NewReader(good))
	if err != nil || len(got) != 1 || got[0].Exact == 0 || got[0].Names == 0 || !report.IsJSONLines([]byte(good)[:20]) {
		t.Errorf("%v, %v", got, err)
	}
	finding, summary, _ := strings.Cut(good, `{"type":"summary"`)
	summary = `{"type":"summary"` + summary
	for text, want := range map[string]string{
		"":                   "x.jsonl: ends without a summary: findings may be missing",
		finding:              "x.jsonl: ends without a summary: findings may be missing",
		finding[:100]:        "x.jsonl:1: not a finding: unexpected end of JSON input",
		summary + "\n" + "x": "x.jsonl:2: not a finding: unexpected end of JSON input",
		`{"type":"other"}`:   `x.jsonl:1: an object of type "other": want a finding or a summary`,
		`{"type":"finding","leak":true}` + "\n" + summary: "x.jsonl:1: the finding has no key: write it anew with leakformer score --format jsonl",
	} {
		if _, err := report.ReadLeaks("x.jsonl", strings.NewReader(text)); err == nil || err.Error() != want {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

// A page is well formed, needs nothing from elsewhere, and no name in it is markup.
func TestHTML(t *testing.T) {
	var b bytes.Buffer
	handle(t, report.NewHTML(&b), hostile())
	page := b.String()
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(page, "<!DOCTYPE html>\n")))
	d.Entity = xml.HTMLEntity
	elements := map[string]int{}
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, page)
		}
		if e, ok := token.(xml.StartElement); ok {
			elements[e.Name.Local]++
			for _, a := range e.Attr {
				if a.Name.Local == "src" || a.Name.Local == "href" {
					t.Errorf("%s needs %s", e.Name.Local, a.Value)
				}
			}
		}
	}
	// One script, the page's; the call stack's buttons, all and three frames; two lines.
	for name, want := range map[string]int{"script": 1, "button": 4, "polyline": 2, "b": 0, "i": 2, "table": 4} {
		if elements[name] != want {
			t.Errorf("%d elements %s, want %d", elements[name], name, want)
		}
	}
	for _, want := range []string{
		"&lt;script&gt;alert(1)&lt;/script&gt; &lt; a;b", `data-name="app&#43;0x999" data-share="100.00"`, "since event 0, line 0",
		"a &lt;b&gt;warning&lt;/b&gt;", "x.supp:1: &lt;b&gt;", "(src dir/a%.c:70)", "<td>50</td><td>300 B</td><td>300 B</td>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, page)
		}
	}
}

func TestHTMLOfNothing(t *testing.T) {
	var b bytes.Buffer
	h := report.NewHTML(&b)
	if err := h.Close(); err != nil || !strings.Contains(b.String(), "No run was looked at.") {
		t.Errorf("%v in %s", err, b.String())
	}
	b.Reset()
	h = report.NewHTML(&b)
	l := detecttest.NewLog("x", "x")
	l.Alloc("a", 10)
	l.Alloc("a", 20)
	d := &detect.Detector{Scorer: &detecttest.Scorer{}, Threshold: 0.5}
	if _, err := d.Detect(context.Background(), l.Scene(t), h); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil || !strings.Contains(b.String(), "No leak was found.") || !strings.Contains(b.String(), "<polyline") {
		t.Errorf("%v in %s", err, b.String())
	}
}
