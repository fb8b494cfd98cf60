package model

import (
	"reflect"
	"strings"
	"testing"
)

func grown(t testing.TB) *Trees {
	t.Helper()
	examples := xor(300, 1)
	for i := range examples {
		examples[i].Features = append(examples[i].Features, make([]float64, len(FeatureNames)-3)...)
	}
	return fit(t, examples, TreesConfig{Trees: 5, MinLeaf: 1, Pull: 1, Columns: 1})
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
	if !reflect.DeepEqual(got.trees, trees.trees) || got.prior != trees.prior || len(got.trees) != 5 || len(got.trees[0]) < 3 {
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
		"feature":        func(n []treeNode) { n[0].feature = len(FeatureNames) },
	} {
		trees := grown(t)
		damage(trees.trees[2])
		data, err := trees.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeTrees(data); err == nil || !strings.HasPrefix(err.Error(), "tree 2: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for _, text := range []string{"no trees", "{}", `{"features": ["a"]}`} {
		if _, err := decodeTrees([]byte(text)); err == nil {
			t.Errorf("%s is taken for trees", text)
		}
	}
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
			trees.sum(make([]float64, len(FeatureNames)))
		}
	})
}
