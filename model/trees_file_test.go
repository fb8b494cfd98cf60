package model

import (
	"reflect"
	"strings"
	"testing"
)

func grown(t *testing.T) *Trees {
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
	got, err := unpackTrees(data)
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
		"behind the end": func(n []treeNode) { n[0].Right = len(n) },
		"backwards":      func(n []treeNode) { n[0].Left = -1 },
		"itself":         func(n []treeNode) { n[1].Left, n[1].Right = 1, 2 },
		"half a leaf":    func(n []treeNode) { n[0].Left = 0 },
		"feature":        func(n []treeNode) { n[0].Feature = len(FeatureNames) },
	} {
		trees := grown(t)
		damage(trees.trees[2])
		data, err := trees.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unpackTrees(data); err == nil || !strings.HasPrefix(err.Error(), "tree 2: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := unpackTrees([]byte("no trees")); err == nil {
		t.Error("text is taken for trees")
	}
}
