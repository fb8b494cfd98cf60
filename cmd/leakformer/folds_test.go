package main

import (
	"context"
	"flag"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"leakformer/eval"
	"leakformer/ingest"
	"leakformer/model"
	"leakformer/tokenize"
)

func TestFolds(t *testing.T) {
	fold := func(threshold float64, learned ...string) *trained {
		m := model.Manifest{Judgings: model.Judgings{Blind: model.Judging{Threshold: threshold}}}
		for _, p := range learned {
			m.Data = append(m.Data, model.Datum{Program: p})
		}
		return &trained{checkpoint: &model.Checkpoint{Manifest: m}}
	}
	// A model that was trained from another knows what that one learned, too.
	after := fold(0.3, "c")
	after.checkpoint.Manifest.Before = []model.Datum{{Program: "a"}, {Program: "d"}}
	fs := folds{models: []*trained{fold(0.1, "a", "b", "d"), fold(0.2, "b", "c", "d"), after}}
	for program, want := range map[string]float64{"a": 0.2, "b": 0.3, "c": 0.1, "d": 1} {
		s := &tokenize.Scene{Run: &tokenize.Run{Program: program, Class: ingest.Events}}
		if got := fs.entrant().Thresholds(s); got != want {
			t.Errorf("%s is held against %v, want %v", program, got, want)
		}
	}
	_, _, err := fs.Score(context.Background(), []*tokenize.View{{Scene: &tokenize.Scene{Run: &tokenize.Run{Program: "d"}}}})
	if err == nil || !strings.Contains(err.Error(), "learned from d") {
		t.Errorf("a program that all learned from: %v", err)
	}
}

// A known program is judged by the model that knows clean runs of it, and no leaks.
func TestFoldsKnown(t *testing.T) {
	fold := func(threshold float64, clean, labelled string) *trained {
		own := model.Judging{Threshold: threshold}
		m := model.Manifest{Judgings: model.Judgings{Judging: model.Judging{Threshold: threshold}, Blind: own}, Data: []model.Datum{{Program: clean}}, Before: []model.Datum{{Program: labelled}, {Program: labelled, Labelled: true}}}
		return &trained{checkpoint: &model.Checkpoint{Manifest: m, Histories: []*tokenize.History{{Program: clean}}}}
	}
	fs := folds{models: []*trained{fold(0.1, "a", "b"), fold(0.2, "b", "a")}, known: true}
	for program, want := range map[string]float64{"a": 0.1, "b": 0.2, "c": 1} {
		if got := fs.entrant().Thresholds(&tokenize.Scene{Run: &tokenize.Run{Program: program, Class: ingest.Events}}); got != want {
			t.Errorf("%s is held against %v, want %v", program, got, want)
		}
	}
	if hs := fs.histories(); len(hs) != 2 || hs[0].Program != "a" || hs[1].Program != "b" {
		t.Errorf("clean runs %v", hs)
	}
	if known := fs.programs(); len(known) != 2 || !known["a"] || !known["b"] {
		t.Errorf("programs %v", known)
	}
	// As with one model, they are known whatever is named for reference.
	set := flag.NewFlagSet("", 0)
	set.Bool("known", true, "")
	e := &evaluation{c: cli.NewContext(nil, set, nil), references: []*tokenize.History{{Program: "a"}}, programs: fs.programs()}
	s := &eval.Sample{Scene: &tokenize.Scene{Run: &tokenize.Run{Program: "a", Class: ingest.Events}}}
	if e.place(s, "a"); s.Setting != knownProgram {
		t.Errorf("a known program is judged %s", s.Setting)
	}
	_, _, err := fs.Score(context.Background(), []*tokenize.View{{Scene: &tokenize.Scene{Run: &tokenize.Run{Program: "c"}}}})
	if err == nil || !strings.Contains(err.Error(), "clean runs of c alone") {
		t.Errorf("a program that none knows: %v", err)
	}
}
