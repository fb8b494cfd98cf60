package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leakformer/detect/dashboard"
)

// What was found and decided one day is shown on another, without the logs.
func TestServeStore(t *testing.T) {
	dir, log, model := leakyLog(t)
	file := filepath.Join(dir, "leaks.db")
	var found []dashboard.Finding
	t.Run("logs", func(t *testing.T) {
		page := served(t, "--model", model, "--store", file, log)
		found = until(t, page)
		post(t, page, found[0], dashboard.Dismissed)
	})
	t.Run("store", func(t *testing.T) {
		page := served(t, "--store", file)
		again := until(t, page)
		if len(again) != len(found) || again[0].ID != found[0].ID || again[0].Decision != dashboard.Dismissed {
			t.Errorf("%+v\nwas %+v", again, found)
		}
		post(t, page, again[0], dashboard.Confirmed)
	})
	t.Run("again", func(t *testing.T) {
		if again := until(t, served(t, "--model", model, "--store", file, log)); again[0].Decision != dashboard.Confirmed {
			t.Errorf("scored again, the decision is %q", again[0].Decision)
		}
	})
}

// What monitor writes into a store is on the page of another program.
func TestMonitorStore(t *testing.T) {
	dir, log, model := leakyLog(t)
	file := filepath.Join(dir, "leaks.db")
	page := served(t, "--store", file)
	status, out, stderr := command(nil, "monitor", "--model", model, "--model-threshold", "0.01", "--state", "none", "--idle", "1ms", "--store", file, log)
	if status != exitLeaks {
		t.Fatalf("status %d: %s%s", status, out, stderr)
	}
	found := until(t, page)
	if !found[0].Leak || !found[0].Decidable {
		t.Errorf("%+v", found[0])
	}
	post(t, page, found[0], dashboard.Confirmed)
}

func TestStoreRefuses(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other.db")
	if err := os.WriteFile(other, []byte(strings.Repeat("no database", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"serve", "--store", other}, exitFailure, other + ": the store is damaged, and was left as it is"},
		{[]string{"serve", "--store", filepath.Join(dir, "no", "a.db")}, exitFailure, "no such file or directory"},
		{[]string{"serve", "--redis", "redis://localhost", other}, exitUsage, "serve: --retention and --redis need --store"},
		{[]string{"serve", "--store", filepath.Join(dir, "a.db"), "--redis", "redis://user:secret@127.0.0.1:1"}, exitFailure, "--redis: the Redis at 127.0.0.1:1: "},
		{[]string{"serve", "--store", filepath.Join(dir, "a.db"), "--retention", "0s"}, exitUsage, "--retention 0s: want more than 0"},
		{[]string{"monitor", "--retention", "1h", "--model", "none", "--state", "none", other}, exitUsage, "monitor: --retention and --redis need --store"},
		{[]string{"monitor", "--store", other, "--model", "none", "--state", "none", other}, exitFailure, "the store is damaged"},
	} {
		status, _, stderr := command(nil, c.args...)
		if status != c.status || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "secret") {
			t.Errorf("%q: status %d, %q; want %d, %q", c.args, status, stderr, c.status, c.want)
		}
	}
}
