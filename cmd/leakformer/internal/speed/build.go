package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// build measures how long a change keeps its author waiting, in a copy of the sources,
// and, where there is time, how long the first build does.
func (m *measurer) build() error {
	dir := m.file("sources")
	if err := m.shell(`mkdir "$0" && git ls-files -z | xargs -0 cp --parents -t "$0"`, dir); err != nil {
		return err
	}
	if m.long {
		if err := m.fromNothing(dir); err != nil {
			return err
		}
	} else if err := m.shell(`cp go.work go.work.sum "$0" && cp -r .gotch "$0"`, dir); err != nil {
		return err
	}
	tests := m.in(dir, nil, "go", "test", "-run", "^$", "./...")
	if _, err := tests(); err != nil {
		return err
	}
	if err := change(filepath.Join(dir, "ingest", "format.go")); err != nil {
		return err
	}
	return m.once("build and vet all with its tests after a change in the package that all need", 60, tests)
}

// fromNothing fits gotch and builds the program with a compiler's cache of its own.
func (m *measurer) fromNothing(dir string) error {
	cache := "GOCACHE=" + m.file("cache")
	fit := m.in(dir, []string{cache, "GOWORK=off"}, "go", "run", "./model/torch/fit")
	program := m.in(dir, []string{cache}, "go", "build", "-o", m.dir, "./cmd/leakformer")
	return m.once("fit gotch to libtorch and build the program, from nothing", 240, func() (cost, error) {
		a, err := fit()
		if err != nil {
			return a, err
		}
		b, err := program()
		return cost{clock: a.clock + b.clock, processor: a.processor + b.processor}, err
	})
}

// in makes a task of a command in a folder.
func (m *measurer) in(dir string, env []string, args ...string) task {
	return func() (cost, error) {
		cmd := exec.CommandContext(m.ctx, args[0], args[1:]...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		return costOf(cmd)
	}
}

// once adds the row of what is done once.
func (m *measurer) once(what string, most float64, t task) error {
	c, err := t()
	if err != nil {
		return err
	}
	note := fmt.Sprintf("%.0f s of the processors", c.processor)
	m.add("build", row{Task: what, Unit: "s", Ours: only(c.clock), Most: most, Note: note})
	return nil
}

// shell carries out a script.
func (m *measurer) shell(script string, args ...string) error {
	cmd := exec.CommandContext(m.ctx, "sh", append([]string{"-c", script}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return nil
}

// change adds a line to a Go file that what imports its package has to know of.
func change(path string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "\n// Changed is a change.\nconst Changed = %d\n", os.Getpid())
	return err
}
