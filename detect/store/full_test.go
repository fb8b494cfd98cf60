package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leakformer/detect/dashboard"
	"leakformer/detect/detecttest"
	"leakformer/detect/store/storetest"
)

// A full disk is told as one; what was written before is there, what was not is not in
// part, and all goes on when there is room.
func TestFullDisk(t *testing.T) {
	ctx := context.Background()
	dir := detecttest.SmallDisk(t, "2m")
	path, ballast := filepath.Join(dir, "a.db"), filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	const each = 20
	put := func(n int) error {
		run := storetest.Run(fmt.Sprint(n), "app")
		var findings []dashboard.Finding
		for i := range each {
			findings = append(findings, storetest.Finding(run, i))
		}
		return s.Put(ctx, run, findings)
	}
	n := 0
	var err error
	for err == nil && n < 1000 {
		if err = put(n); err == nil {
			n++
		}
	}
	if !errors.Is(err, ErrFull) || !strings.HasPrefix(err.Error(), path+": ") {
		t.Fatalf("after %d runs: %v", n, err)
	}
	if n == 0 {
		t.Fatal("nothing had room")
	}
	whole := func() {
		t.Helper()
		runs, err := s.Runs(ctx)
		if err != nil || len(runs) != n || count(t, s) != n*each {
			t.Errorf("%d runs and %d findings, %v, of %d runs", len(runs), count(t, s), err, n)
		}
	}
	whole()
	if err := put(n); !errors.Is(err, ErrFull) {
		t.Errorf("still full: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := put(n); err != nil {
		t.Fatal(err)
	}
	n++
	whole()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	whole()
}

// A disk with no room for a store at all leaves nothing behind that is none.
func TestFullFromTheBeginning(t *testing.T) {
	dir := detecttest.SmallDisk(t, "2m")
	path, ballast := filepath.Join(dir, "a.db"), filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	if _, err := Open(context.Background(), Config{Path: path}); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if s := open(t, path); count(t, s) != 0 {
		t.Error("an empty store has something")
	}
}
