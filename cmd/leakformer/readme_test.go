package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the commands print into README.md")

// TestReadme runs the commands of README.md: each block that begins with
// "$ leakformer", over the logs of testdata/readme.
func TestReadme(t *testing.T) {
	t.Setenv("LEAKFORMER_MODEL", "default")
	const file = "../../README.md"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/readme")); err != nil {
		t.Fatal(err)
	}
	blocks := 0
	text := regexp.MustCompile("(?ms)^```console\n(\\$ leakformer .*?)^```$").ReplaceAllStringFunc(string(data), func(block string) string {
		blocks++
		lines := strings.SplitAfter(block, "\n")
		out := lines[0]
		for _, line := range lines {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				out += line + shown(t, dir, strings.TrimSpace(command))
			}
		}
		if out += "```"; !*update && steady(out) != steady(block) {
			t.Errorf("README.md says\n%s\nbut now it is (-update writes it)\n%s", block, out)
		}
		return out
	})
	if blocks == 0 {
		t.Error("README.md has no block of commands")
	}
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// shown is what a command writes to a terminal.
func shown(t *testing.T, dir, command string) string {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if exit, failed := err.(*exec.ExitError); failed && exit.ExitCode() != exitLeaks || err != nil && !failed {
		t.Errorf("$ %s: %v", command, err)
	}
	return string(out)
}

// steady leaves out what may differ between processors and versions of libtorch:
// the last digits of probabilities.
func steady(text string) string {
	return regexp.MustCompile(`\b[01]\.\d{3}\b`).ReplaceAllString(text, "0.xxx")
}

// Every file that README.md links to is there.
func TestReadmeLinks(t *testing.T) {
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(string(data), -1)
	for _, l := range links {
		if _, err := os.Stat(filepath.Join("../..", l[1])); err != nil {
			t.Errorf("a link leads nowhere: %v", err)
		}
	}
	if len(links) == 0 {
		t.Error("README.md links to nothing")
	}
}
