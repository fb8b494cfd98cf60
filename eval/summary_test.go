package eval_test

import (
	"math"
	"strings"
	"testing"

	"leakformer/eval"
)

func TestWriteSummary(t *testing.T) {
	row := func(setting, program, scorer string, positives int64, precision, recall, f1 float64) eval.Row {
		m := eval.Metrics{Runs: 3, Sites: 90, Positives: positives, Precision: eval.Rate{Value: precision}, Recall: eval.Rate{Value: recall}, F1: eval.Rate{Value: f1}}
		return eval.Row{Setting: setting, Cut: 0.6, Subset: eval.AllSites, Program: program, Scorer: scorer, Metrics: m}
	}
	few := row("known program", "", "model", 1, 1, 1, 1)
	few.Subset = eval.FiveLeaked
	var b strings.Builder
	err := eval.WriteSummary(&b, []eval.Row{
		row("known program", "", "model", 7, 0.9, 0.8, 0.847),
		row("known program", "", "not freed", 7, 0.1, 1, 0.182),
		few,
		row("unknown", "", "not freed", 2, math.NaN(), 0, 0),
		row("known program", "bc", "model", 3, 1, 1, 1),
		row("known program", "lua", "model", 4, 0.8, 0.7, 0.747),
		row("known program", "lua", "not freed", 4, 0.1, 1, 0.2),
		row("unknown", "xmllint", "not freed", 2, math.NaN(), 0, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `known program, cut at 60 %: 3 runs, 90 sites, 7 leak; F1 of each program
scorer             precision  recall  F1     bc     lua
model              0.900      0.800   0.847  1.000  0.747
not freed          0.100      1.000   0.182  -      0.200
(sites that leak)                     7      3      4

unknown, cut at 60 %: 3 runs, 90 sites, 2 leak; F1 of each program
scorer             precision  recall  F1     xmllint
not freed          ~          0.000   0.000  0.000
(sites that leak)                     2      2
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
