package eval

import (
	"context"
	"encoding/xml"
	"errors"
	"html/template"
	"io"
	"strings"
	"testing"

	"leakformer/detect/detecttest"
)

// wellFormed reads a page as XML, as far as HTML is that: all elements closed.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	page = strings.TrimPrefix(page, "<!DOCTYPE html>\n")
	d := xml.NewDecoder(strings.NewReader(page))
	d.Entity = xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("page is not well-formed: %v", err)
		}
	}
}

func TestWriteHTML(t *testing.T) {
	perfect := &detecttest.Scorer{Sites: map[string]float64{"s0": 0.9, "s1": 0.8}}
	entrants := append([]Entrant{
		{Name: "<script>alert(1)</script>", Scorer: perfect, Threshold: 0.5, Probabilities: true},
		{Name: "silent", Scorer: &detecttest.Scorer{}, Threshold: 0.5},
	}, RuleEntrants()...)
	res, err := Compare(context.Background(), samples(t, 4, 0.4, 1), entrants)
	if err != nil {
		t.Fatal(err)
	}
	rows := res.Rows(TableConfig{Programs: true, Curves: true})
	var b strings.Builder
	if err := WriteHTML(&b, "An <evaluation>", rows); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	wellFormed(t, page)
	for _, want := range []string{
		"<title>An &lt;evaluation&gt;</title>", "&lt;script&gt;alert(1)&lt;/script&gt;", "prefers-color-scheme: dark",
		"<h2>known, cut at 40 %</h2>", "<h2>known, cut at 100 %</h2>", "sites with 5 leaked blocks or more",
		"<th>p0</th><th>p1</th>", `<tr class="probabilities"><td>&lt;script&gt;`,
		// The perfect scorer's curve runs along the top, its dot is in the corner.
		`<polyline points="230.0,20.0 410.0,20.0"/><circle cx="410.0" cy="20.0" r="4.0">`,
		// Of its reliability: s0 leaks in all four runs.
		`4 sites: probability 0.900, 1.000 leak`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	for _, r := range rows {
		if name := strings.ReplaceAll(template.HTMLEscapeString(r.Scorer), "+", "&#43;"); !strings.Contains(page, "<td>"+name+"</td>") {
			t.Errorf("page lacks the scorer %q", r.Scorer)
		}
	}
	for _, never := range []string{"<script", "http:", "https:", "NaN", "ZgotmplZ"} {
		if strings.Contains(page, never) {
			t.Errorf("page has %q", never)
		}
	}
	if n := strings.Count(page, "<polyline"); n != 2*(shownCurves+1) {
		t.Errorf("%d curves", n)
	}
}

func TestWriteHTMLEmpty(t *testing.T) {
	var b strings.Builder
	if err := WriteHTML(&b, "nothing", nil); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, b.String())
}
