package eval_test

import (
	"context"
	"fmt"
	"iter"

	"leakformer/datasets"
	"leakformer/detect/detecttest"
	"leakformer/eval"
	"leakformer/tokenize"
)

// Two simple rules on a run with one leaking site among three.
func Example() {
	log := detecttest.NewLog("app.log", "app")
	log.Alloc("cache<init<main", 1000)
	var leaks []datasets.Leak
	for i := range 40 {
		log.Free(log.Alloc("buffer<request<main", 64))
		b := log.Alloc("session<request<main", 32)
		leaks = append(leaks, datasets.Leak{Event: int64(1 + 3*(i+1)), Address: datasets.Address(0x1000 + 16*b), Size: 32, Kind: datasets.Lost})
	}
	log.Alloc("last<main", 8)
	ctx := context.Background()
	run, err := tokenize.Load(ctx, log)
	if err != nil {
		fmt.Println(err)
		return
	}
	truth, err := eval.Match(run, &datasets.LogLabels{Events: int64(run.Events), Leaks: leaks})
	if err != nil {
		fmt.Println(err)
		return
	}
	var samples iter.Seq2[*eval.Sample, error] = func(yield func(*eval.Sample, error) bool) {
		yield(&eval.Sample{Program: "app", Log: "app.log", Cut: 1, Truth: truth, Scene: &tokenize.Scene{Run: run, Cut: run.Events}}, nil)
	}
	result, err := eval.Compare(ctx, samples, eval.RuleEntrants())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows(eval.TableConfig{})[:7] {
		fmt.Printf("%-34s precision %.2f  recall %.2f  F1 %.2f\n", row.Scorer, row.Metrics.Precision.Value, row.Metrics.Recall.Value, row.Metrics.F1.Value)
	}
	// Output:
	// not freed                          precision 0.33  recall 1.00  F1 0.50
	// age > 10 %                         precision 0.50  recall 1.00  F1 0.67
	// age > 25 %                         precision 0.50  recall 1.00  F1 0.67
	// bytes +2 % three times             precision 1.00  recall 1.00  F1 1.00
	// bytes +2 % three times, over 1 MB  precision NaN  recall 0.00  F1 0.00
	// more than 3 live                   precision 1.00  recall 1.00  F1 1.00
	// bytes on a line, R² ≥ 0.8          precision 1.00  recall 1.00  F1 1.00
}
