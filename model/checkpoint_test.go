package model

import (
	"archive/zip"
	"bytes"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"leakformer/tokenize"
)

func checkpoint() *Checkpoint {
	profile := func(n float32) *tokenize.Profile {
		p := &tokenize.Profile{Runs: 2, Allocs: n, Partners: []tokenize.Partner{{Site: 9}}}
		p.Lives.Ended[3] = n
		return p
	}
	return &Checkpoint{
		Manifest: Manifest{
			Made:         "test",
			Architecture: Config{Vocab: tokenize.VocabSize, Fields: tokenize.Fields, Dim: 8, Heads: 2, Layers: 1, FeedForward: 16, MaxLen: tokenize.MaxLen},
			Judgings:     Judgings{Judging: Judging{Calibration{A: 1.5, B: -2}, 0.4}}, Seed: 7,
			Data: []Datum{{Log: "a.zst", Program: "a", Events: 100}},
		},
		Weights: []byte("weights"),
		Histories: []*tokenize.History{{Program: "a", Runs: 2, Events: 100,
			Sites: map[tokenize.Key]*tokenize.Profile{5: profile(1), 2: profile(2), 77: profile(3)},
			Names: map[tokenize.Key]*tokenize.Profile{8: profile(4)}}},
	}
}

func TestCheckpointRoundTrip(t *testing.T) {
	c := checkpoint()
	path := filepath.Join(t.TempDir(), "m.lfm")
	if err := c.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, c) {
		t.Errorf("read\n%+v\nwrote\n%+v", got, c)
	}
	c.Trees = grown(t)
	if err := c.Write(path); err != nil {
		t.Fatal(err)
	}
	if got, err = Read(path); err != nil || !reflect.DeepEqual(got.Trees.forests, c.Trees.forests) {
		t.Errorf("trees %+v, wrote %+v (%v)", got.Trees, c.Trees, err)
	}
	c.Trees = nil
	first, _ := c.Encode()
	for range 5 {
		if again, _ := checkpoint().Encode(); !bytes.Equal(first, again) {
			t.Fatal("equal checkpoints give different bytes")
		}
	}
}

func TestCheckpointRefuses(t *testing.T) {
	// edit writes a checkpoint whose manifest has been changed.
	edit := func(change func(*Checkpoint)) []byte {
		c := checkpoint()
		data, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if change == nil {
			return data
		}
		change(c)
		return rezip(t, c)
	}
	for _, c := range []struct {
		name     string
		data     []byte
		want     string
		mismatch bool
	}{
		{"empty", nil, "not a leakformer model", false},
		{"text", []byte("weights of another kind"), "not a leakformer model", false},
		{"cut off", edit(nil)[:200], "not a leakformer model", false},
		{"vocabulary", edit(func(c *Checkpoint) { c.Manifest.VocabHash = "0123" }), "vocabulary 0123", true},
		{"version", edit(func(c *Checkpoint) { c.Manifest.Version = 99 }), "version 99", true},
		{"token ids", edit(func(c *Checkpoint) { c.Manifest.Architecture.Vocab = 12 }), "12 token ids", true},
		{"architecture", edit(func(c *Checkpoint) { c.Manifest.Architecture.Heads = 3 }), "multiple of heads", false},
		{"threshold", edit(func(c *Checkpoint) { c.Manifest.Threshold = 2 }), "no probability", false},
	} {
		_, err := Decode(c.name, c.data)
		var m *MismatchError
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &m) != c.mismatch {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// rezip packs a checkpoint as it is, without the checks and settings of Encode.
func rezip(t *testing.T, c *Checkpoint) []byte {
	t.Helper()
	text, err := manifestText(&c.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.zipped(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func FuzzDecode(f *testing.F) {
	data, err := checkpoint().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	c := checkpoint()
	c.Trees = grown(f)
	if data, err = c.Encode(); err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	var empty bytes.Buffer
	zip.NewWriter(&empty).Close()
	f.Add(empty.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := Decode("fuzz", data); err == nil {
			if _, err := c.Encode(); err != nil {
				t.Errorf("what was read cannot be written: %v", err)
			}
		}
	})
}
