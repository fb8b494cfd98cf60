package eval

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"leakformer/detect/detecttest"
)

// Leaks are counted by kind: s0 has 8 leaked blocks and nothing else, s1 has 2 beside 2
// others. One entrant flags s0 alone.
func TestRecalls(t *testing.T) {
	scorer := &detecttest.Scorer{Sites: map[string]float64{"s0": 0.9, "s1": 0.4}}
	r, err := Compare(context.Background(), samples(t, 3, 1), []Entrant{
		{Name: "model", Scorer: scorer, Threshold: 0.5, Probabilities: true},
		{Name: "rule", Scorer: scorer, Threshold: 0.5},
	})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := WriteRecalls(&text, r.Recalls()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(text.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"known, model: leaked blocks leaks found recall", "2 to 4 3 0 0.000", "5 to 19 3 3 1.000",
		"known, model: leaked, of the outstanding leaks found recall", "half and more 3 0 0.000", "all 3 3 1.000",
		"known, model: oldest leaked, over the longest life in clean runs leaks found recall", "site not known 6 3 0.500",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
