package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"leakformer/tokenize"
)

// treesFile is trees in a file. The names, those of snapshots, say what the numbers of
// features meant when they were grown.
type treesFile struct {
	Features []string                      `json:"features"`
	Forests  map[tokenize.Kind]*forestFile `json:"forests"`
}

type forestFile struct {
	Prior float64    `json:"prior"`
	Trees []treeFile `json:"trees"`
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
	f := treesFile{seriesFeatures, map[tokenize.Kind]*forestFile{}}
	for kind, forest := range t.forests {
		f.Forests[kind] = forest.file()
	}
	return json.Marshal(f)
}

func (t *Forest) file() *forestFile {
	f := &forestFile{t.prior, make([]treeFile, len(t.trees))}
	for i, nodes := range t.trees {
		to := &f.Trees[i]
		for _, n := range nodes {
			to.Feature, to.Limit = append(to.Feature, n.feature), append(to.Limit, n.limit)
			to.Right, to.Value = append(to.Right, n.right), append(to.Value, n.value)
		}
	}
	return f
}

// decodeTrees trusts nothing: every way through a tree it returns ends at a leaf.
func decodeTrees(data []byte) (*Trees, error) {
	var f treesFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if !slices.Equal(f.Features, seriesFeatures) {
		return nil, errOtherFeatures
	}
	t := &Trees{forests: map[tokenize.Kind]*Forest{}, file: data}
	for kind, from := range f.Forests {
		if !slices.Contains(kinds[:], kind) || from == nil {
			return nil, fmt.Errorf("a forest for logs of kind %q", kind)
		}
		var err error
		if t.forests[kind], err = from.forest(len(FeatureNames(kind))); err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
	}
	if t.forests[tokenize.KindEvents] == nil {
		return nil, errors.New("no forest for logs of events")
	}
	return t, nil
}

func (f *forestFile) forest(features int) (*Forest, error) {
	if len(f.Trees) > maxTrees {
		return nil, fmt.Errorf("%d trees", len(f.Trees))
	}
	t := &Forest{f.Prior, make([][]treeNode, len(f.Trees))}
	for i := range f.Trees {
		var err error
		if t.trees[i], err = f.Trees[i].nodes(features); err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
	}
	return t, nil
}

var errOtherFeatures = errors.New("trees on other features than this program has")

func (f *treeFile) nodes(features int) ([]treeNode, error) {
	n := len(f.Value)
	if n == 0 || n > maxTrees || len(f.Feature) != n || len(f.Limit) != n || len(f.Right) != n {
		return nil, fmt.Errorf("%d features, %d limits, %d ways and %d values", len(f.Feature), len(f.Limit), len(f.Right), n)
	}
	nodes := make([]treeNode, n)
	for i := range nodes {
		to := treeNode{f.Feature[i], f.Limit[i], f.Right[i], f.Value[i]}
		ends := to.right == 0 || to.right > i+1 && to.right < n
		if !ends || to.feature < 0 || to.feature >= features {
			return nil, fmt.Errorf("node %d is %+v", i, to)
		}
		nodes[i] = to
	}
	return nodes, nil
}
