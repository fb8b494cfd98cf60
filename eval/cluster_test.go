package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"leakformer/datasets"
	"leakformer/detect"
	"leakformer/ingest"
	"leakformer/tokenize"
)

func TestAgreement(t *testing.T) {
	for _, c := range []struct {
		name          string
		found, causes []int
		purity, whole float64
		rand          float64
	}{
		{"the same under other numbers", []int{1, 1, 0, 0}, []int{0, 0, 1, 1}, 1, 1, 1},
		{"one group split", []int{0, 0, 1, 2}, []int{0, 0, 1, 1}, 1, 0.75, 4. / 7},
		{"across", []int{0, 1, 0, 1}, []int{0, 0, 1, 1}, 0.5, 0.5, -0.5},
		{"all alone", []int{0, 1, 2, 3}, []int{0, 0, 0, 0}, 1, 0.25, 0},
		// The worked example of Yeung and Ruzzo (2001).
		{"published", []int{0, 0, 1, 1, 1, 1, 2, 2, 2, 2}, []int{0, 1, 0, 1, 1, 2, 2, 2, 2, 2}, 0.7, 0.7, 0.313},
		{"nothing to tell apart", []int{3, 3}, []int{5, 5}, 1, 1, math.NaN()},
		{"one entry", []int{0}, []int{0}, 1, 1, math.NaN()},
		{"nothing", nil, nil, math.NaN(), math.NaN(), math.NaN()},
	} {
		var a Agreement
		a.Add(c.found, c.causes)
		if p, w, r := a.Purity(), a.Completeness(), a.AdjustedRand(); !agrees(p, c.purity) || !agrees(w, c.whole) || !agrees(r, c.rand) {
			t.Errorf("%s: purity %v, completeness %v and index %v, want %v, %v and %v", c.name, p, w, r, c.purity, c.whole, c.rand)
		}
	}
}

func agrees(a, b float64) bool { return math.Abs(a-b) < 0.0005 || math.IsNaN(a) && math.IsNaN(b) }

// Entries of different reports are not compared: a second report in which all is
// one group and one cause changes nothing.
func TestAgreementOfReports(t *testing.T) {
	var a, b Agreement
	a.Add([]int{0, 0, 1, 2}, []int{0, 0, 1, 1})
	b.Add([]int{0, 0, 0}, []int{0, 0, 0})
	a.merge(&b)
	if !agrees(a.AdjustedRand(), 4./7) || a.Entries != 7 || a.Groups != 4 || a.Causes != 3 {
		t.Errorf("%+v: index %v", a, a.AdjustedRand())
	}
	text, err := json.Marshal(a)
	if err != nil || string(text) != `{"entries":7,"groups":4,"causes":3,"purity":{"value":1,"low":null,"high":null},"completeness":{"value":0.8571428571428571,"low":null,"high":null},"adjusted_rand":{"value":0.5714285714285714,"low":null,"high":null}}` {
		t.Errorf("%s, %v", text, err)
	}
}

// agreementOn measures groups on the reports of a collection of the repository;
// keep chooses among them.
func agreementOn(t *testing.T, collection string, by detect.Grouping, keep func(log string) bool) (sum Agreement) {
	t.Helper()
	labels, dir, err := datasets.Open(filepath.Join("..", "datasets", collection))
	if err != nil {
		t.Fatal(err)
	}
	for i := range labels.Logs {
		l := &labels.Logs[i]
		if !keep(l.Log) {
			continue
		}
		src, err := ingest.Open(filepath.Join(dir, l.Log), ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		run, err := tokenize.Load(t.Context(), src)
		src.Close()
		if err != nil {
			t.Fatal(err)
		}
		truth, err := Match(run, l)
		if err != nil {
			t.Fatal(err)
		}
		a := agreement(&tokenize.Scene{Run: run, Cut: run.Events}, truth, by)
		sum.merge(&a)
	}
	return sum
}

// Real reports: what one leak lost is one group, and what two lost is two.
func TestGroupsFitLeaks(t *testing.T) {
	all := func(string) bool { return true }
	for _, collection := range []string{"testdata/kernel/labels.json", "corpus/memcheck", "corpus/memcheck-xml"} {
		a := agreementOn(t, collection, detect.Grouping{}, all)
		text := fmt.Sprintf("%s: %d entries of %d causes in %d groups: purity %.3f, completeness %.3f, index %.3f", collection, a.Entries, a.Causes, a.Groups, a.Purity(), a.Completeness(), a.AdjustedRand())
		t.Log(text)
		if !(a.Entries > 200 && a.Purity() >= 0.95 && a.Completeness() >= 0.95 && a.AdjustedRand() >= 0.95) {
			t.Error(text)
		}
	}
}
