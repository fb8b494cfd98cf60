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

// DefaultCard says what was measured of that checkpoint, on programs that it did not
// learn from, and what it is for. Its first line names the checkpoint's id.
//
//go:embed default.md
var DefaultCard string

// DefaultName is how messages and commands call it.
const DefaultName = "default"

// Default returns the checkpoint that the program brings along. It was trained on
// labelled runs of many programs and knows the clean runs of none: score with
// --reference logs, or train it on. The result is shared and must not be changed.
var Default = sync.OnceValues(func() (*Checkpoint, error) { return Decode(DefaultName, defaultFile) })
