// Package learn makes what models learn from of logs and their labels.
package learn

import (
	"leakformer/datasets"
	"leakformer/eval"
	"leakformer/model"
	"leakformer/tokenize"
	"leakformer/train"
)

// Add adds a labelled run to the data. ok is false where its labels name no blocks: there
// is nothing to learn, and it is passed over.
func Add(data *train.Data, run *tokenize.Run, l *datasets.LogLabels) (ok bool, err error) {
	if l.Class == datasets.Clean {
		data.Clean = append(data.Clean, run)
		return true, nil
	}
	truth, err := eval.Match(run, l)
	if err != nil {
		return false, err
	}
	labelled := train.Labelled{Run: run}
	for block, event := range truth.Leaks() {
		labelled.Leaks = append(labelled.Leaks, train.Leak{Block: block, Event: event})
	}
	if len(labelled.Leaks) == 0 {
		return false, nil
	}
	data.Labelled = append(data.Labelled, labelled)
	return true, nil
}

// ForTrees are the cases that a train.Second is handed, as trees learn from them, by the
// kind of log that they are to be learned for. drawn is told after each how many there are; nil: nobody.
func ForTrees(cases func(func(train.Case) error) error, drawn func(n int)) (map[tokenize.Kind][]model.TreeExample, error) {
	var features model.Features
	examples := map[tokenize.Kind][]model.TreeExample{}
	n := 0
	err := cases(func(k train.Case) error {
		x := features.Of(k.View)[:len(model.FeatureNames(k.Kind))]
		examples[k.Kind] = append(examples[k.Kind], model.TreeExample{Features: x, Leak: k.Leak, Weight: k.Weight})
		if n++; drawn != nil {
			drawn(n)
		}
		return nil
	})
	return examples, err
}
