package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leakformer/datasets"
)

// figures is what the test needs of a row in JSON.
type figures struct {
	Setting, Subset, Scorer string
	Cut                     float64
	Metrics                 struct {
		Sites, Positives int64
		F1               struct{ Value *float64 }
		AP               struct{ Value *float64 } `json:"average_precision"`
		ECE              struct{ Value *float64 } `json:"calibration_error"`
		Detection        struct{ Sites, Found int64 }
		Curve            []struct{ Recall, Precision float64 }
	}
}

// Trees that learned from clean runs alone find the forgotten frees of others, and
// everything about an evaluation is in its page.
func TestEvalPeer(t *testing.T) {
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "page.html")
	eval := func(more ...string) (rows []figures) {
		t.Helper()
		args := append([]string{"eval", "--model", "none", "--labels", filepath.Join(dir, "leaky", "labels.json"), "--format", "json",
			"--peer", filepath.Join(dir, "clean"), "--reference", filepath.Join(dir, "clean"), "--cut", "0.6", "--cut", "0.9"}, more...)
		status, stdout, stderr := command(nil, args...)
		if status != 0 {
			t.Fatalf("%v: status %d: %s", args, status, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	rows := eval("--blind", "--every", "0.1", "--html", page)
	find := func(setting string, cut float64) figures {
		t.Helper()
		i := slices.IndexFunc(rows, func(r figures) bool {
			return r.Scorer == "boosted trees" && r.Setting == setting && r.Cut == cut && r.Subset == "all"
		})
		if i < 0 {
			t.Fatalf("no row for trees, %s, %v", setting, cut)
		}
		return rows[i]
	}
	known, blind := find("with reference", 0.9), find(unknownProgram, 0.9)
	base := float64(known.Metrics.Positives) / float64(known.Metrics.Sites)
	if ap := known.Metrics.AP.Value; ap == nil || *ap < 2*base || *ap < 0.9 {
		t.Errorf("average precision %v, base rate %v", ap, base)
	}
	if known.Metrics.ECE.Value == nil || len(known.Metrics.Curve) == 0 {
		t.Errorf("no calibration error or curve: %+v", known)
	}
	if d := known.Metrics.Detection; d.Sites != 2 || blind.Metrics.Positives != 2 {
		t.Errorf("detection %+v, blind %+v", d, blind.Metrics)
	}
	for _, r := range rows {
		if r.Cut != 0.6 && r.Cut != 0.9 {
			t.Errorf("a row for the cut %v, which only says when leaks are found", r.Cut)
		}
		if r.Setting == unknownProgram && strings.Contains(r.Scorer, "clean runs") {
			t.Errorf("%s judges without clean runs", r.Scorer)
		}
	}
	html := string(readFile(t, page))
	for _, want := range []string{"<h2>with reference, cut at 60 %</h2>", "<h2>" + unknownProgram + ", cut at 90 %</h2>", "<td>boosted trees</td>", "<polyline", "<th>app</th>"} {
		if !strings.Contains(html, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if again := eval("--blind", "--every", "0.1"); *find("with reference", 0.6).Metrics.AP.Value != *again[slices.IndexFunc(again, func(r figures) bool {
		return r.Scorer == "boosted trees" && r.Setting == "with reference" && r.Cut == 0.6 && r.Subset == "all"
	})].Metrics.AP.Value {
		t.Error("the same logs give other trees")
	}
}

func TestEvalPeerRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	if err := writeCopies(dir); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"--peer @leaky/4.raw", 1, "4.raw cannot be for --peer: it is labelled leaky"},
		{"--peer @clean @clean/0.raw", 1, "0.raw cannot be evaluated: it is one that the trees learn from"},
		{"--peer-labels @leaky/labels.json", 1, "no log is left to evaluate"},
		{"--labels @copies.json --peer-labels @hashed.json @copy.4.raw", 1, "copy.4.raw cannot be evaluated: it is one that the trees learn from"},
		{"--peer @clean/0.raw --peer @clean/1.raw", 1, "too few to hold one out"},
		{"--peer @none", 1, "no such file"},
		{"--html @none/page.html", 1, "the page cannot be written"},
		{"--every 2", 2, "--every 2: want a share of the events"},
		{"--every 0", 2, "--every 0: want a share of the events"},
	} {
		args := strings.Fields("eval --model none --labels @leaky/labels.json " + c.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "@", dir+"/")
		}
		status, stdout, stderr := command(nil, args...)
		if status != c.status || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: status %d, want %d with %s\nstdout: %.200s\nstderr: %s", c.args, status, c.status, c.want, stdout, stderr)
		}
	}
	// Trees that know the program are no measure of what they do on a new one.
	status, _, stderr := command(nil, "eval", "--model", "none", "--labels", filepath.Join(dir, "leaky", "labels.json"), "--cut", "0.9",
		"--peer", filepath.Join(dir, "clean"), "--peer-labels", filepath.Join(dir, "first.json"), filepath.Join(dir, "leaky", "5.raw"))
	if status != 0 || !strings.Contains(stderr, "note: the trees know other labelled runs of app") {
		t.Errorf("trees that know the program: status %d: %s", status, stderr)
	}
}

// writeCopies copies the leaky logs: only their hashes, in hashed.json and
// copies.json, tell that they are the same. first.json has the first of them alone.
func writeCopies(dir string) error {
	labels, err := datasets.ReadLabels(filepath.Join(dir, "leaky", "labels.json"))
	if err != nil {
		return err
	}
	name := map[string]func(log string) string{
		"hashed.json": func(log string) string { return "leaky/" + log },
		"copies.json": func(log string) string { return "copy." + log },
	}
	for file, named := range name {
		all := &datasets.Labels{}
		for _, l := range labels.Logs {
			data, err := os.ReadFile(filepath.Join(dir, "leaky", l.Log))
			if err != nil {
				return err
			}
			sum := sha256.Sum256(data)
			l.SHA256, l.Log = hex.EncodeToString(sum[:]), named(l.Log)
			all.Logs = append(all.Logs, l)
			if err := os.WriteFile(filepath.Join(dir, l.Log), data, 0o644); err != nil {
				return err
			}
		}
		if err := all.Write(filepath.Join(dir, file)); err != nil {
			return err
		}
	}
	first := &datasets.Labels{Logs: labels.Logs[:1]}
	first.Logs[0].Log = "leaky/" + first.Logs[0].Log
	return first.Write(filepath.Join(dir, "first.json"))
}
