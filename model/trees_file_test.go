package model

import (
	"context"
	"encoding/json"
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
