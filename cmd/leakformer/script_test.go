package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"leakformer/datasets"
	"leakformer/tokenize"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"leakformer": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("VERSION", fmt.Sprint(tokenize.Version))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// genlogs makes clean/*.raw, leaky/*.raw and leaky/labels.json.
			"genlogs": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(writeLogs(ts.MkAbs(".")))
			},
			// genmodel writes a model that knows the clean runs.
			"genmodel": func(ts *testscript.TestScript, _ bool, args []string) {
				data, err := trainedOnce()
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
			},
			// exits runs a command that has to end with a status: exits 3 leakformer ...
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				status := 0
				err := ts.Exec(args[1], args[2:]...)
				if exit, ok := errors.AsType[*exec.ExitError](err); ok {
					status = exit.ExitCode()
				} else {
					ts.Check(err)
				}
				if fmt.Sprint(status) != args[0] {
					ts.Fatalf("exit status %d, want %s", status, args[0])
				}
			},
		},
	})
}

// trainedOnce is a model of the imaginary server, trained at the first call.
var trainedOnce = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "leakformer-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := writeLogs(dir); err != nil {
		return nil, err
	}
	out := filepath.Join(dir, "app.model")
	status, _, stderr := command(nil, "train", "--clean", filepath.Join(dir, "clean"), "-o", out,
		"--steps", "60", "--batch", "32", "--rate", "0.005", "--dim", "32", "--layers", "1", "--seed", "3")
	if status != 0 {
		return nil, fmt.Errorf("training: exit status %d: %s", status, stderr)
	}
	return os.ReadFile(out)
})

func modelFile(t *testing.T) []byte {
	t.Helper()
	data, err := trainedOnce()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// writeLogs writes heaptrack logs of an imaginary server: four clean runs, two
// with a forgotten free, and the labels of these.
func writeLogs(dir string) error {
	labels := &datasets.Labels{}
	for i := range 6 {
		name, leaky := fmt.Sprintf("clean/%d.raw", i), i >= 4
		if leaky {
			name = fmt.Sprintf("leaky/%d.raw", i)
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		s := newServer(uint64(i), leaky)
		if err := os.WriteFile(file, s.log, 0o644); err != nil {
			return err
		}
		if leaky {
			labels.Logs = append(labels.Logs, datasets.LogLabels{Log: filepath.Base(name), Class: datasets.Leaky, Program: "app", Events: s.events, Leaks: s.leaks})
		}
	}
	return labels.Write(filepath.Join(dir, "leaky", "labels.json"))
}

// server writes the log of a program that keeps a cache, reads requests into
// buffers, and holds each session for some requests; a leaky one forgets to free
// some of the sessions from the middle of the run on.
type server struct {
	rng    *rand.Rand
	log    []byte
	events int64
	leaks  []datasets.Leak
	next   uint64
	free   []uint64
}

// Call stacks, by their number in the log.
const (
	stackCache = 2 + iota
	stackBuffer
	stackSession
	stackName
)

func newServer(seed uint64, leaky bool) *server {
	s := &server{rng: rand.New(rand.NewPCG(seed, 1)), next: 0x500000}
	s.write("v 10400 3\nx 8 /bin/app\nX /bin/app --port %d\nI 1000 1000\nm 8 /bin/app 400000 0 10000\n", 8000+seed)
	s.write("t 400100 0\nt 400200 1\nt 400300 1\nt 400400 1\nt 400500 4\n")
	for range 30 + s.rng.IntN(10) {
		s.alloc(stackCache, 256)
	}
	type session struct {
		addr, name uint64
		until      int
	}
	var open []session
	const requests = 1500
	for r := range requests {
		if r%50 == 0 {
			s.write("c %x\n", r/5)
		}
		buffer := s.alloc(stackBuffer, 64+s.rng.IntN(1000))
		if s.rng.IntN(2) == 0 {
			name := s.alloc(stackName, 8+s.rng.IntN(24))
			open = append(open, session{s.alloc(stackSession, 128), name, r + 1 + s.rng.IntN(20)})
		}
		for i := 0; i < len(open); i++ {
			if o := open[i]; o.until <= r {
				s.dealloc(o.name)
				if leaky && r > requests/3 && s.rng.IntN(4) == 0 {
					s.leaks = append(s.leaks, datasets.Leak{Event: s.events, Address: datasets.Address(o.addr), Size: 128, Kind: datasets.Forgotten})
				} else {
					s.dealloc(o.addr)
				}
				open = append(open[:i], open[i+1:]...)
				i--
			}
		}
		s.dealloc(buffer)
	}
	for _, o := range open {
		s.dealloc(o.name)
		s.dealloc(o.addr)
	}
	return s
}

func (s *server) write(format string, args ...any) { s.log = fmt.Appendf(s.log, format, args...) }

func (s *server) alloc(stack, size int) uint64 {
	var addr uint64
	if n := len(s.free); n > 8 {
		addr, s.free = s.free[0], s.free[1:]
	} else {
		addr = s.next
		s.next += 0x800
	}
	s.write("+ %x %x %x\n", size, stack, addr)
	s.events++
	return addr
}

func (s *server) dealloc(addr uint64) {
	s.write("- %x\n", addr)
	s.events++
	s.free = append(s.free, addr)
}
