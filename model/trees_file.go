package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// treesFile is trees in a file. The names say what the numbers of features meant when
// they were grown.
type treesFile struct {
	Features []string   `json:"features"`
	Prior    float64    `json:"prior"`
	Trees    []treeFile `json:"trees"`
}

// treeFile is the nodes of one tree, in their order.
type treeFile struct {
	Feature []int     `json:"feature"`
	Limit   []float64 `json:"limit"`
	Right   []int     `json:"right"`
	Value   []float64 `json:"value"`
}

// maxTrees bounds how many trees, and nodes of one, are read.
const maxTrees = 1 << 16

// Encode returns the trees as a file's content. Equal trees give equal bytes.
func (t *Trees) Encode() ([]byte, error) {
	if t.file != nil {
		return t.file, nil
	}
	f := treesFile{FeatureNames, t.prior, make([]treeFile, len(t.trees))}
	for i, nodes := range t.trees {
		to := &f.Trees[i]
		for _, n := range nodes {
			to.Feature, to.Limit = append(to.Feature, n.feature), append(to.Limit, n.limit)
			to.Right, to.Value = append(to.Right, n.right), append(to.Value, n.value)
		}
	}
	return json.Marshal(f)
}

// decodeTrees trusts nothing: every way through a tree it returns ends at a leaf.
func decodeTrees(data []byte) (*Trees, error) {
	var f treesFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if !slices.Equal(f.Features, FeatureNames) {
		return nil, errOtherFeatures
	}
	if len(f.Trees) > maxTrees {
		return nil, fmt.Errorf("%d trees", len(f.Trees))
	}
	t := &Trees{prior: f.Prior, trees: make([][]treeNode, len(f.Trees)), file: data}
	for i := range f.Trees {
		var err error
		if t.trees[i], err = f.Trees[i].nodes(); err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
	}
	return t, nil
}

var errOtherFeatures = errors.New("trees on other features than this program has")

func (f *treeFile) nodes() ([]treeNode, error) {
	n := len(f.Value)
	if n == 0 || n > maxTrees || len(f.Feature) != n || len(f.Limit) != n || len(f.Right) != n {
		return nil, fmt.Errorf("%d features, %d limits, %d ways and %d values", len(f.Feature), len(f.Limit), len(f.Right), n)
	}
	nodes := make([]treeNode, n)
	for i := range nodes {
		to := treeNode{f.Feature[i], f.Limit[i], f.Right[i], f.Value[i]}
		ends := to.right == 0 || to.right > i+1 && to.right < n
		if !ends || to.feature < 0 || to.feature >= len(FeatureNames) {
			return nil, fmt.Errorf("node %d is %+v", i, to)
		}
		nodes[i] = to
	}
	return nodes, nil
}
