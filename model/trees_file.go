package model

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"math"
	"slices"
)

// packedTrees are trees in a file. The names say what the numbers of features meant
// when they were grown.
type packedTrees struct {
	Features []string
	Prior    float64
	Trees    [][]treeNode
}

// maxTrees bounds how many trees, and nodes of one, are read.
const maxTrees = 1 << 16

// Encode returns the trees as a file's content. Equal trees give equal bytes.
func (t *Trees) Encode() ([]byte, error) {
	var out bytes.Buffer
	err := gob.NewEncoder(&out).Encode(packedTrees{FeatureNames, t.prior, t.trees})
	return out.Bytes(), err
}

// unpackTrees trusts nothing: every way through a tree it returns ends at a leaf.
func unpackTrees(data []byte) (*Trees, error) {
	var p packedTrees
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&p); err != nil {
		return nil, err
	}
	if !slices.Equal(p.Features, FeatureNames) {
		return nil, errOtherFeatures
	}
	if len(p.Trees) > maxTrees || !finite(p.Prior) {
		return nil, fmt.Errorf("%d trees on %g", len(p.Trees), p.Prior)
	}
	for i, nodes := range p.Trees {
		if err := checkNodes(nodes); err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
	}
	return &Trees{prior: p.Prior, trees: p.Trees}, nil
}

var errOtherFeatures = errors.New("trees on other features than this program has")

func checkNodes(nodes []treeNode) error {
	if len(nodes) == 0 || len(nodes) > maxTrees {
		return fmt.Errorf("%d nodes", len(nodes))
	}
	for i, n := range nodes {
		leaf := n.Left == 0 && n.Right == 0
		down := n.Left > i && n.Left < len(nodes) && n.Right > i && n.Right < len(nodes)
		if !leaf && !down || n.Feature < 0 || n.Feature >= len(FeatureNames) || !finite(n.Limit) || !finite(n.Value) {
			return fmt.Errorf("node %d is %+v", i, n)
		}
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
