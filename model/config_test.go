package model

import (
	"math"
	"strings"
	"testing"
)

func TestConfigDefaults(t *testing.T) {
	got := Config{Vocab: 10, Fields: 2}.WithDefaults()
	want := Config{Vocab: 10, Fields: 2, Dim: 64, Heads: 4, Layers: 3, FeedForward: 256, MaxLen: 96}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	if wide := (Config{Dim: 32}).WithDefaults(); wide.FeedForward != 128 {
		t.Errorf("feed-forward of dim 32 is %d, want 128", wide.FeedForward)
	}
}

func TestConfigValidate(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   []string // parts of the error
	}{
		{"nothing set", func(c *Config) { *c = Config{} }, []string{"vocab is 0", "fields is 0"}},
		{"negative", func(c *Config) { c.Layers = -1 }, []string{"layers is -1"}},
		{"huge", func(c *Config) { c.MaxLen = 1 << 40 }, []string{"max_len"}},
		{"odd heads", func(c *Config) { c.Heads = 5 }, []string{"multiple of heads, 5"}},
		{"dropout of everything", func(c *Config) { c.Dropout = 1 }, []string{"dropout is 1"}},
		{"dropout not a number", func(c *Config) { c.Dropout = math.NaN() }, []string{"dropout is NaN"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Config{Vocab: 10, Fields: 2}
			test.change(&c)
			err := c.Validate()
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}
