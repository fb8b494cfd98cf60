package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"leakformer/tokenize"
)

// grown are trees for logs of events and, other ones, for reports.
func grown(t testing.TB) *Trees {
	t.Helper()
	examples := xor(300, 1)
	for i := range examples {
		examples[i].Features = append(examples[i].Features, make([]float64, len(FeatureNames(tokenize.KindEvents))-3)...)
	}
	trees, err := FitTrees(context.Background(), map[tokenize.Kind][]TreeExample{tokenize.KindEvents: examples, tokenize.KindReport: examples[50:]},
		TreesConfig{Trees: 5, MinLeaf: 1, Pull: 1, Columns: 1})
	if err != nil {
		t.Fatal(err)
	}
	return trees
}

// A kind of log of which there is too little to learn is judged as events are; of events
// themselves there has to be enough.
func TestFitTreesLacksExamples(t *testing.T) {
	ctx, cfg := context.Background(), TreesConfig{Trees: 2, MinLeaf: 1}
	few := []TreeExample{{Features: []float64{0, 1, 2}, Leak: true, Weight: 1}}
	trees, err := FitTrees(ctx, map[tokenize.Kind][]TreeExample{tokenize.KindEvents: xor(300, 1), tokenize.KindSuspects: few}, cfg)
	if err != nil || trees.of(tokenize.KindSuspects) != trees.of(tokenize.KindEvents) || len(trees.forests) != 1 {
		t.Errorf("%+v, %v", trees, err)
	}
	if _, err := FitTrees(ctx, map[tokenize.Kind][]TreeExample{tokenize.KindEvents: few, tokenize.KindSuspects: xor(300, 1)}, cfg); !errors.Is(err, errOneSided) {
		t.Errorf("one event log's leak is enough: %v", err)
	}
	ragged := append(xor(4, 1), few[0], TreeExample{Features: []float64{0}, Weight: 1})
	if _, err := FitTrees(ctx, map[tokenize.Kind][]TreeExample{tokenize.KindEvents: xor(300, 1), tokenize.KindReport: ragged}, cfg); err == nil {
		t.Error("ragged examples of reports are passed over")
	}
}

func TestTreesFile(t *testing.T) {
	trees := grown(t)
	data, err := trees.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeTrees(data)
	if err != nil {
		t.Fatal(err)
	}
	events := got.forests[tokenize.KindEvents]
	if !reflect.DeepEqual(got.forests, trees.forests) || got.Len(tokenize.KindReport) != 5 || got.Len(tokenize.KindSeries) != 5 || len(events.trees[0]) < 3 ||
		reflect.DeepEqual(events, got.forests[tokenize.KindReport]) {
		t.Errorf("read %+v, wrote %+v", got, trees)
	}
}

// Damaged trees are refused: no way through them may end outside, or never.
func TestTreesFileRefuses(t *testing.T) {
	for name, damage := range map[string]func(nodes []treeNode){
		"behind the end": func(n []treeNode) { n[0].right = len(n) },
		"backwards":      func(n []treeNode) { n[0].right = -1 },
		"to the left":    func(n []treeNode) { n[0].right = 1 },
		"no right":       func(n []treeNode) { n[len(n)-1].right = len(n) },
		"feature":        func(n []treeNode) { n[0].feature = len(FeatureNames(tokenize.KindReport)) },
	} {
		trees := grown(t)
		damage(trees.forests[tokenize.KindReport].trees[2])
		data, err := trees.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeTrees(data); err == nil || !strings.HasPrefix(err.Error(), "report: tree 2: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	names, err := json.Marshal(FeatureNames(tokenize.KindSeries))
	if err != nil {
		t.Fatal(err)
	}
	events := `{"prior": 0, "trees": []}`
	for _, text := range []string{"no trees", "{}", `{"features": ["a"]}`, forests(names, ``), forests(names, `"report": `+events),
		forests(names, `"events": `+events+`, "rumours": `+events), forests(names, `"events": null`)} {
		if _, err := decodeTrees([]byte(text)); err == nil {
			t.Errorf("%s is taken for trees", text)
		}
	}
	if _, err := decodeTrees([]byte(forests(names, `"events": `+events))); err != nil {
		t.Error(err)
	}
}

func forests(names []byte, text string) string {
	return fmt.Sprintf(`{"features": %s, "forests": {%s}}`, names, text)
}

// Whatever is taken for trees comes to an end.
func FuzzDecodeTrees(f *testing.F) {
	data, err := grown(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if trees, err := decodeTrees(data); err == nil {
			for kind, forest := range trees.forests {
				forest.sum(make([]float64, len(FeatureNames(kind))))
			}
		}
	})
}
