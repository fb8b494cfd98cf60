package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leakformer/datasets"
	"leakformer/model"
)

// Splits by which a test could know what was learnt are refused: sabotage, each in
// one way.
func TestLeakySplitsAreRefused(t *testing.T) {
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app.model"), modelFile(t), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LEAKFORMER_MODEL", filepath.Join(dir, "app.model"))
	// Copies under other names; other.json has labels for them.
	labels := &datasets.Labels{Logs: []datasets.LogLabels{{Log: "learned.raw", Class: datasets.Clean, Program: "app"}}}
	known, err := datasets.ReadLabels(filepath.Join(dir, "leaky", "labels.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tested.raw", "again.raw"} {
		l := known.Logs[0]
		l.Log = name
		labels.Logs = append(labels.Logs, l)
	}
	for from, to := range map[string]string{"clean/0.raw": "learned.raw", "leaky/4.raw": "tested.raw"} {
		data := readFile(t, filepath.Join(dir, filepath.FromSlash(from)))
		if err := os.WriteFile(filepath.Join(dir, to), append(data, "c ffff\n"...), 0o644); err != nil { // another clock, another SHA-256
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "again.raw"), append(readFile(t, filepath.Join(dir, "tested.raw")), "c 10000\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := labels.Write(filepath.Join(dir, "other.json")); err != nil {
		t.Fatal(err)
	}
	if err := (&datasets.Labels{}).Write(filepath.Join(dir, "empty.json")); err != nil {
		t.Fatal(err)
	}
	if err := (&datasets.Labels{Logs: []datasets.LogLabels{{Log: "missing.raw", Class: datasets.Clean, Program: "app"}}}).Write(filepath.Join(dir, "missing.json")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"eval --labels @leaky/labels.json --cut 0.9 @leaky/4.raw", 0, "known program, cut at 90 %"},
		{"eval --labels @leaky/labels.json --cut 0.9 --reference @clean/0.raw @leaky/4.raw", 1, "program app is in the training part (app.model@"},
		{"eval --labels @leaky/labels.json --cut 0.9 --reference @clean/0.raw", 1, "no log is left to evaluate: 2 are left out (all with --verbose): program app is in the training part"},
		{"eval --labels @leaky/labels.json --cut 0.9 --blind @leaky/4.raw", 1, "is no measure for new programs"},
		{"eval --labels @leaky/labels.json --cut 0.9 --blind --known @leaky/4.raw", 0, "known program, cut at 90 %"},
		{"eval --labels @other.json --cut 0.9 @learned.raw", 1, "learned.raw (test part) are the same run: the same events and call stacks"},
		{"eval --labels @other.json --cut 0.9 @tested.raw @again.raw", 1, "again.raw (test part) are the same run"},
		{"eval --labels @other.json --model none --cut 0.9 --reference @clean/0.raw @learned.raw", 1, "0.raw (reference part) and"},
		{"eval --labels @other.json --model none --cut 0.9 --peer @clean @learned.raw", 1, "0.raw (trees' training part) and"},
		{"eval --labels @missing.json --model none", 1, "missing.raw: no such file"},
		{"train --labels @missing.json -o @new.model", 1, "missing.raw: no such file"},
		{"eval --labels @empty.json", 1, "no log is left to evaluate"},
		{"train --clean @clean @learned.raw -o @new.model", 1, "0.raw (training part) and " + dir + "/learned.raw (training part) are the same run"},
		{"train --clean @clean @clean/0.raw -o @new.model", 1, "are the same run: one file"},
		{"train --labels @empty.json -o @new.model", 1, "no log in the training part"},
	} {
		status, stdout, stderr := command(nil, strings.Fields(strings.ReplaceAll(c.args, "@", dir+"/"))...)
		if status != c.status || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s: status %d, want %d with %s\nstdout: %.300s\nstderr: %s", c.args, status, c.status, c.want, stdout, stderr)
		}
	}
}

// A model says what it learned from, and what the model did that it started from.
func TestModelRemembersItsLogs(t *testing.T) {
	before := []model.Datum{{Log: "a", Program: "p", Trace: "1a"}}
	old := []model.Datum{{Log: "b", Program: "q"}}
	tr := &training{from: &model.Checkpoint{Manifest: model.Manifest{Data: before, Before: old}}}
	tr.describe(&lessons{})
	text, err := json.Marshal(tr.manifest.Before)
	if err != nil || !strings.Contains(string(text), `"1a"`) || !strings.Contains(string(text), `"q"`) {
		t.Errorf("before: %s, %v", text, err)
	}
	var made *model.Checkpoint
	if made, err = model.Decode("app.model", modelFile(t)); err != nil {
		t.Fatal(err)
	}
	for _, d := range made.Manifest.Data {
		if len(d.Trace) != 64 {
			t.Errorf("%s: trace %q", d.Log, d.Trace)
		}
	}
	if len(made.Manifest.Data) == 0 {
		t.Error("no data")
	}
}
