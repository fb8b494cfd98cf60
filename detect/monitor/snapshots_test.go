package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"leakformer/tokenize"
)

// Files are read in their order and when they are whole; the latest counts.
func TestSnapshots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := Snapshots(dir)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string, names ...string) {
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	os.Mkdir(filepath.Join(dir, "zzz"), 0o755)
	for i, c := range []struct {
		do   func()
		want string // "": nothing new
	}{
		{func() {}, ""},
		{func() { write("hidden", ".tmp"); write("one", "snap.1") }, ""}, // it may grow
		{func() { write("one and more", "snap.1") }, ""},
		{func() {}, "one and more"},
		{func() {}, ""},
		{func() { write("two", "snap.2"); write("nine", "snap.9"); write("ten", "snap.10") }, "nine"},
		{func() {}, "ten"},
		{func() { os.Remove(filepath.Join(dir, "snap.2")) }, ""},
		{func() { write("ten again", "snap.10") }, ""},
		{func() {}, "ten again"},
		{func() { // the program begins anew
			for _, n := range []string{"snap.1", "snap.9", "snap.10"} {
				os.Remove(filepath.Join(dir, n))
			}
			write("first", "snap.1", "snap.2")
		}, "first"},
	} {
		c.do()
		data, err := p.Take(context.Background())
		if string(data) != c.want || (err != nil) != (c.want == "") || err != nil && !errors.Is(err, ErrNoNews) {
			t.Errorf("look %d: %q, %v, want %q", i, data, err, c.want)
		}
	}
	os.RemoveAll(dir)
	p, err = Snapshots(filepath.Join(t.TempDir(), "gone", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Take(context.Background()); !errors.Is(err, ErrGone) {
		t.Errorf("without a folder: %v", err)
	}
	if _, err := Snapshots("[a"); err == nil {
		t.Error("a bad pattern")
	}
}

const leakyPython = `
import os, sys, tracemalloc
tracemalloc.start()
kept = []
def leak():
    kept.append(bytearray(300000))
for n in range(1, 7):
    for _ in range(5):
        leak()
    with open(os.path.join(sys.argv[1], "snap.%d.txt" % n), "w") as f:
        for s in tracemalloc.take_snapshot().statistics("lineno"):
            print(s, file=f)
`

// A real Python program's snapshots are a series in which its leak grows.
func TestTracemalloc(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	from, dir := t.TempDir(), t.TempDir()
	if out, err := exec.Command(python, "-c", leakyPython, from).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	written := 0
	next := func() {
		written++
		name := fmt.Sprintf("snap.%d.txt", written)
		if data, err := os.ReadFile(filepath.Join(from, name)); err == nil {
			os.WriteFile(filepath.Join(dir, name), data, 0o644)
		}
	}
	next()
	p, err := Snapshots(filepath.Join(dir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	sink := &recorder{name: "log"}
	m, err := New(Config{Growth: Growth{Threshold: 0.02, Consecutive: 3, MinSize: 1e6}}, sink)
	if err != nil {
		t.Fatal(err)
	}
	s := follow(t, p, 5, func(_ int, run *tokenize.Run, g *Gauge, _ Scan) {
		if err := m.Look(context.Background(), p.Source, run, run.Events, g); err != nil {
			t.Fatal(err)
		}
		next()
	})
	if s.Report().Format != "tracemalloc" || s.Report().Errors != 0 {
		t.Errorf("%+v", s.Report())
	}
	if err := m.Outboxes()[0].Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(sink.got) != 1 || !strings.Contains(sink.got[0].Stack[0], "<string>:6") || sink.got[0].Bytes < 4e6 {
		t.Errorf("%+v", sink.got)
	}
}
