// Package model says what the network looks like, without the network itself:
// that is in model/torch, which needs libtorch.
package model

import (
	"errors"
	"fmt"
)

// Config is the architecture of the Transformer encoder. Two models with equal
// Configs have the same weights by name and shape. Zero fields mean the default
// given; Vocab and Fields have none.
type Config struct {
	// Vocab is the number of token ids, at least 2; id 0 means "nothing" and
	// adds nothing.
	Vocab int `json:"vocab"`
	// Fields is how many token ids describe one position of a sequence, 1 to 1024.
	Fields int `json:"fields"`
	// Dim is the width of a position's vector, a multiple of Heads, at most 4096. 0 means 64.
	Dim int `json:"dim"`
	// Heads is the number of attention heads, at most 64. 0 means 4.
	Heads int `json:"heads"`
	// Layers is the number of encoder layers, at most 64. 0 means 3.
	Layers int `json:"layers"`
	// FeedForward is the inner width of a layer's feed-forward part, at most
	// 16384. 0 means four times Dim.
	FeedForward int `json:"feed_forward"`
	// MaxLen is the longest sequence in positions, at most 8192. 0 means 96.
	MaxLen int `json:"max_len"`
	// Dropout is the share of values dropped in training, 0 (none) to less than 1.
	Dropout float64 `json:"dropout"`
	// NextClasses is the number of classes of the next-event objective, at
	// most 65536. 0 means that the network has no such head.
	NextClasses int `json:"next_classes"`
}

// WithDefaults returns c with its zero fields replaced by their defaults.
func (c Config) WithDefaults() Config {
	for _, d := range []struct {
		field *int
		value int
	}{{&c.Dim, 64}, {&c.Heads, 4}, {&c.Layers, 3}, {&c.MaxLen, 96}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.FeedForward == 0 {
		c.FeedForward = 4 * c.Dim
	}
	return c
}

// Validate says what is wrong with c after its defaults, every problem at once.
// A valid Config needs no more memory than its limits allow.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	for _, f := range []struct {
		name           string
		value, min, at int
	}{
		{"vocab", c.Vocab, 2, 1 << 20},
		{"fields", c.Fields, 1, 1 << 10},
		{"dim", c.Dim, 1, 1 << 12},
		{"heads", c.Heads, 1, 64},
		{"layers", c.Layers, 1, 64},
		{"feed_forward", c.FeedForward, 1, 1 << 14},
		{"max_len", c.MaxLen, 1, 1 << 13},
		{"next_classes", c.NextClasses, 0, 1 << 16},
	} {
		if f.value < f.min || f.value > f.at {
			errs = append(errs, fmt.Errorf("model: %s is %d; it must be %d to %d", f.name, f.value, f.min, f.at))
		}
	}
	if c.Heads > 0 && c.Dim%c.Heads != 0 {
		errs = append(errs, fmt.Errorf("model: dim is %d; it must be a multiple of heads, %d", c.Dim, c.Heads))
	}
	if !(c.Dropout >= 0 && c.Dropout < 1) { // NaN too
		errs = append(errs, fmt.Errorf("model: dropout is %g; it must be at least 0 and less than 1", c.Dropout))
	}
	return errors.Join(errs...)
}
