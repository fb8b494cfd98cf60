package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"leakformer/detect/detecttest"
	"leakformer/ingest"
)

// fill writes until nothing more goes.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "full")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return func() { os.Remove(path) }
}

// A copy that the disk does not take is left out as a whole, and the next one that it
// takes follows the last.
func TestKeeperFullDisk(t *testing.T) {
	dir := detecttest.SmallDisk(t, "64k")
	k := &Keeper{Dir: dir}
	p := &Probe{Source: Source{Name: "pid 5"}, Mark: procTime}
	single := &Probe{Source: Source{Name: "heap"}}
	copy := []byte("0-1 ---p 0 00:00 0 [rollup]\nRss: 9 kB\nAnonymous: 7 kB\n" + strings.Repeat("Other: 1 kB\n", 500))
	kept := 0
	for range 20 {
		err := k.Keep(p, copy)
		switch {
		case err == nil:
			kept++
		case !errors.Is(err, syscall.ENOSPC):
			t.Fatal(err)
		}
	}
	if kept < 5 || kept > 15 {
		t.Fatalf("%d copies of %d bytes went on a disk of 64 kB", kept, len(copy))
	}
	empty := fill(t, dir)
	if err := k.Keep(single, copy); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a single copy: %v", err)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "heap*")); len(found) > 0 {
		t.Errorf("left behind: %v", found)
	}
	empty()
	if err := os.Truncate(filepath.Join(dir, "pid_5.log"), 0); err != nil { // somebody makes room
		t.Fatal(err)
	}
	if err := k.Keep(p, copy); err != nil {
		t.Fatal(err)
	}
	src, err := ingest.Open(filepath.Join(dir, "pid_5.log"), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for _, err := range src.Events() {
		if err != nil {
			t.Error(err)
		}
	}
	if r := src.Report(); r.Events != 1 || r.Errors != 0 || r.Truncated {
		t.Errorf("%+v", r)
	}
}

// A state that cannot be written is written later: nothing is told twice or lost, and
// the monitor that is started on the full disk knows what it knew before.
func TestStateFullDisk(t *testing.T) {
	dir := detecttest.SmallDisk(t, "64k")
	state := filepath.Join(dir, "state.json")
	sink := &recorder{name: "log", fail: errors.New("down")}
	var said bytes.Buffer
	start := func() *Monitor {
		m, err := New(Config{Growth: Growth{Consecutive: 1}, State: state, Log: slog.New(slog.NewTextHandler(&said, nil))}, sink)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	look := func(m *Monitor, mb int64) {
		run := heap(t, mb)
		if err := m.Look(context.Background(), Source{Name: "test"}, run, run.Events, nil); err != nil {
			t.Fatal(err)
		}
	}
	m := start()
	look(m, 20)
	look(m, 22) // INFO waits in the state
	empty := fill(t, dir)
	look(m, 60) // WARNING waits in memory
	if !strings.Contains(said.String(), "no space left on device") {
		t.Errorf("said %q", said.String())
	}
	if s, err := ReadState(state); err != nil || len(s.Pending["log"]) != 1 {
		t.Errorf("the old state: %+v, %v", s, err)
	}
	empty()
	look(m, 61)
	m = start()
	sink.fail = nil
	if err := m.Outboxes()[0].Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(told(sink.got)); got != "[INFO growth WARNING growth]" {
		t.Errorf("told %s", got)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
