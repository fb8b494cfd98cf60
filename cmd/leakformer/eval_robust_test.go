package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leakformer/datasets"
)

// The rules are measured in place of a model, and each log is read again for each
// perturbation.
func TestEvalRobustness(t *testing.T) {
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	args := []string{"eval", "--model", "none", "--robustness", "--labels", filepath.Join(dir, "leaky", "labels.json"),
		"--reference", filepath.Join(dir, "clean"), "--cut", "0.6", "--cut", "0.9", "--format"}
	status, stdout, stderr := command(nil, append(args, "json")...)
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var rows []struct {
		Perturbation, Scorer   string
		Runs, Changed, Flagged int64
		Flipped                int64
		Before                 struct{ TP, FP, FN int64 }
	}
	if err := json.Unmarshal([]byte(stdout), &rows); err != nil {
		t.Fatal(err)
	}
	flipped := map[string]int64{}
	for _, r := range rows {
		if r.Runs == 0 || r.Before.TP+r.Before.FN == 0 {
			t.Errorf("%+v", r)
		}
		flipped[r.Perturbation] += r.Flipped
	}
	if flipped["other addresses"] != 0 || flipped["processes and threads renamed"] != 0 || flipped["half of the blocks seen, clean runs whole"] == 0 {
		t.Errorf("verdicts flipped: %v", flipped)
	}
	if status, stdout, stderr = command(nil, append(args, "markdown")...); status != 0 || !strings.HasPrefix(stdout, "| perturbation | scorer |") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	if status, _, stderr = command(nil, append(args, "summary")...); status != 2 || !strings.Contains(stderr, "want text, markdown or json") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if status, _, stderr = command(nil, append(args, "text", "-")...); status == 0 {
		t.Errorf("standard input is read again: %s", stderr)
	}
}

// The same logs in another folder stand beside those that are judged, by their names: no
// verdict flips. A folder without such names is refused.
func TestEvalBeside(t *testing.T) {
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	labels, err := datasets.ReadLabels(filepath.Join(dir, "leaky", "labels.json"))
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(dir, "beside", "app")
	if err := os.MkdirAll(beside, 0o755); err != nil {
		t.Fatal(err)
	}
	var clean string
	for _, from := range []string{"clean/0.raw", "leaky/4.raw", "leaky/5.raw"} {
		name := "app." + strings.ReplaceAll(from, "/", ".")
		for _, to := range []string{dir, beside} {
			if err := os.WriteFile(filepath.Join(to, name), readFile(t, filepath.Join(dir, from)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if i := slices.IndexFunc(labels.Logs, func(l datasets.LogLabels) bool { return "leaky/"+l.Log == from }); i >= 0 {
			labels.Logs[i].Log = name
		} else {
			clean = filepath.Join(dir, name)
		}
	}
	if err := labels.Write(filepath.Join(dir, "labels.json")); err != nil {
		t.Fatal(err)
	}
	args := []string{"eval", "--model", "none", "--robustness", "--labels", filepath.Join(dir, "labels.json"), "--reference", clean, "--cut", "0.9", "--format", "json"}
	status, stdout, stderr := command(nil, append(args, "--beside", "again="+filepath.Dir(beside))...)
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var rows []struct {
		Perturbation  string
		Runs, Flipped int64
	}
	if err := json.Unmarshal([]byte(stdout), &rows); err != nil {
		t.Fatal(err)
	}
	runs := map[string]int64{}
	for _, r := range rows {
		if strings.HasPrefix(r.Perturbation, "again") {
			runs[r.Perturbation] = max(runs[r.Perturbation], r.Runs)
			if r.Flipped > 0 {
				t.Errorf("%+v", r)
			}
		}
	}
	if runs["again"] != 2 || runs["again, clean runs as before"] != 2 || len(runs) != 2 {
		t.Errorf("runs beside: %v", runs)
	}
	if status, _, stderr = command(nil, append(args, "--beside", "none="+filepath.Join(dir, "clean"))...); status == 0 || !strings.Contains(stderr, "no log named as collections name them") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if status, _, stderr = command(nil, append(args, "--beside", dir)...); status != 2 || !strings.Contains(stderr, "want NAME=DIR") {
		t.Errorf("status %d: %s", status, stderr)
	}
}
