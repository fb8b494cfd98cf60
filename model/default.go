package model

import (
	_ "embed"
	"sync"
)

// defaultFile is the checkpoint that the program brings along; `make train-default`
// rebuilds it.
//
//go:embed default.lfm
var defaultFile []byte

// DefaultName is how messages and commands call it.
const DefaultName = "default"

// Default returns the checkpoint that the program brings along. It was trained on
// labelled runs of many programs and knows the clean runs of none: score with
// --reference logs, or train it on. The result is shared and must not be changed.
var Default = sync.OnceValues(func() (*Checkpoint, error) { return Decode(DefaultName, defaultFile) })
