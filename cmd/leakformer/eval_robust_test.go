package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
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
