package datasets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// collected writes a collection of two runs without their logs.
func collected(t *testing.T, change func(*Manifest)) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "p"), 0o755); err != nil {
		t.Fatal(err)
	}
	clean := LogLabels{Log: "p.clean.0.zst", SHA256: strings.Repeat("ab", 32), Class: Clean, Program: "p", Events: 9}
	leaky := LogLabels{Log: "p.leaky.0.zst", SHA256: strings.Repeat("cd", 32), Class: Leaky, Program: "p", Events: 9,
		Leaks: []Leak{{Event: 3, Address: 16, Size: 8, Kind: Forgotten}}}
	if err := (&Labels{Logs: []LogLabels{clean, leaky}}).Write(filepath.Join(dir, "p", "labels.json")); err != nil {
		t.Fatal(err)
	}
	m := new(Manifest)
	for _, l := range []LogLabels{leaky, clean} {
		m.Runs = append(m.Runs, Run{Log: "p/" + l.Log, Labels: "p/labels.json", SHA256: l.SHA256, Program: "p", Class: l.Class,
			Events: l.Events, Outstanding: 4, Leaked: int64(len(l.Leaks))})
	}
	change(m)
	if err := m.Write(filepath.Join(dir, "manifest.json")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOpen(t *testing.T) {
	dir := collected(t, func(*Manifest) {})
	for _, path := range []string{dir, filepath.Join(dir, "manifest.json")} {
		l, at, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if at != dir || len(l.Logs) != 2 || l.Logs[0].Log != "p/p.leaky.0.zst" || len(l.Logs[0].Leaks) != 1 || l.Logs[1].Class != Clean {
			t.Errorf("%s: in %s %+v", path, at, l)
		}
	}
	l, at, err := Open(filepath.Join(dir, "p", "labels.json"))
	if err != nil || at != filepath.Join(dir, "p") || l.Logs[0].Log != "p.clean.0.zst" {
		t.Errorf("a label file: in %s %+v, %v", at, l, err)
	}
}

func TestOpenRefusesWhatDoesNotFit(t *testing.T) {
	for want, change := range map[string]func(*Manifest){
		"do not agree with its row":  func(m *Manifest) { m.Runs[0].Leaked = 2 },
		"no labels for log":          func(m *Manifest) { m.Runs[1].Log = "p/other.zst" },
		"no such file":               func(m *Manifest) { m.Runs[1].Labels = "q/labels.json" },
		"p/labels.json do not agree": func(m *Manifest) { m.Runs[1].SHA256 = strings.Repeat("ef", 32) },
	} {
		if _, _, err := Open(collected(t, change)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
	if _, _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "has no manifest.json") {
		t.Errorf("a folder without a manifest: %v", err)
	}
	if _, _, err := Open(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a missing file was opened")
	}
}
