package plot

import (
	"bytes"
	"strings"
	"testing"

	"leakformer/detect"
	"leakformer/tokenize"
)

// silent handles findings by forgetting them.
type silent struct{ findings, summaries int }

func (s *silent) Finding(*detect.Finding) error { s.findings++; return nil }
func (s *silent) Summary(*detect.Summary) error { s.summaries++; return nil }

func TestOutstanding(t *testing.T) {
	run := &tokenize.Run{Events: 2000, Blocks: tokenize.BlocksOf(
		tokenize.Block{Born: 0, Died: 100, Count: 1}, tokenize.Block{Born: 500, Died: tokenize.Alive, Count: 3},
		tokenize.Block{Born: 600, Died: 1500, Count: 1}, tokenize.Block{Born: 1200, Died: tokenize.Alive, Count: 1}, // behind the cut
	)}
	got := outstanding(run, []int32{0, 1, 2, 3}, 1000)
	for _, c := range []struct{ events, want float64 }{{0, 0}, {5, 1}, {95, 1}, {105, 0}, {500, 0}, {505, 3}, {600, 3}, {605, 4}, {1000, 4}} {
		for _, xy := range got {
			if xy.X == c.events && xy.Y != c.want {
				t.Errorf("%v blocks outstanding after %v events, want %v", xy.Y, xy.X, c.want)
			}
		}
	}
	if last := got[len(got)-1]; len(got) != 201 || last.X != 1000 {
		t.Errorf("%d points up to event %v", len(got), last.X)
	}
}

func TestFindings(t *testing.T) {
	run := &tokenize.Run{Events: 10, Blocks: tokenize.BlocksOf(tokenize.Block{Died: tokenize.Alive, Count: 1}), BySite: [][]int32{{0}}}
	to := &silent{}
	f := &Findings{Handler: to}
	for range 9 {
		if err := f.Finding(&detect.Finding{Log: "logs/a.log", Site: strings.Repeat("very_", 20), Probability: 0.5, Blocks: []int32{0}, Run: run}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Summary(&detect.Summary{Cut: 10}); err != nil {
		t.Fatal(err)
	}
	if to.findings != 9 || to.summaries != 1 {
		t.Errorf("%d findings and %d summaries passed on, want 9 and 1", to.findings, to.summaries)
	}
	var b bytes.Buffer
	if err := f.Draw(&b); err != nil {
		t.Fatal(err)
	}
	text := words(t, b.Bytes())
	if n := strings.Count(text, "0.50  very_"); n != 6 || !strings.Contains(text, "a.log") || !strings.Contains(text, "very…") || strings.Contains(text, "logs") {
		t.Errorf("%d sites named in %s", n, text)
	}
	b.Reset()
	if err := (&Findings{Handler: to}).Draw(&b); err != nil {
		t.Fatal(err)
	}
	if text := words(t, b.Bytes()); !strings.Contains(text, "No findings") {
		t.Error(text)
	}
}
