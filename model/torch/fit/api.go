package main

import (
	"bytes"
	"context"
	"debug/elf"
	_ "embed"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"text/template"
)

// The program is not linked with libtorch: loading it takes a good part of a second,
// and most commands need it not. The wrapper is compiled to a shared object of its
// own, which libtch brings along and loads when asked to; until then its functions
// end the program with a message.
const (
	apiSource = "torch_api.cpp"
	apiObject = "torch_api.so"
)

//go:embed lib.go.txt
var libText string

// libTemplate also gives Go what gotch leaves out or gets wrong: three functions
// of torch_api.h, and a gelu that does not leak the name of its kind at each call.
var libTemplate = template.Must(template.New("lib.go").Parse(libText))

//go:embed trampolines.S.txt
var trampolinesText string

var trampolinesTemplate = template.Must(template.New("trampolines.S").Parse(trampolinesText))

// detach compiles the wrapper in dir to a shared object and puts the Go code and
// the jumps that load it in its place.
func detach(ctx context.Context, dir string, torch *libtorch) error {
	if err := link(ctx, dir, torch); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, apiSource)); err != nil { // or Go would compile it too
		return err
	}
	return writeLoader(ctx, dir, torch)
}

// writeLoader writes lib.go and the jumps for the shared object in dir.
func writeLoader(ctx context.Context, dir string, torch *libtorch) error {
	early, unused, err := torch.early(ctx)
	if err != nil {
		return err
	}
	if err := writeEmpty(ctx, filepath.Join(dir, "unused"), torch, unused); err != nil {
		return err
	}
	lib, err := libGo(torch.Version, early, unused)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "lib.go"), lib, 0o644); err != nil {
		return err
	}
	functions, err := functionsUsed(dir)
	if err != nil {
		return err
	}
	var jumps bytes.Buffer
	if err := trampolinesTemplate.Execute(&jumps, functions); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "trampolines.S"), jumps.Bytes(), 0o644)
}

// writeEmpty makes libraries of these names in dir that have nothing in them.
func writeEmpty(ctx context.Context, dir string, torch *libtorch, names []string) error {
	if err := os.RemoveAll(dir); err != nil || len(names) == 0 {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		cmd := torch.compiler(ctx, "-shared", "-nostdlib", "-s", "-Wl,-soname,"+name, "-o", filepath.Join(dir, name), "-x", "c++", os.DevNull)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("linking an empty %s: %w\n%s", name, err, excerpt(out))
		}
	}
	return nil
}

// libGo is the source of libtch/lib.go.
func libGo(version string, early, unused []string) ([]byte, error) {
	var text bytes.Buffer
	if err := libTemplate.Execute(&text, struct {
		Version       string
		Early, Unused []string
	}{version, early, unused}); err != nil {
		return nil, err
	}
	return format.Source(text.Bytes())
}

// link compiles the wrapper in dir to the shared object.
func link(ctx context.Context, dir string, torch *libtorch) error {
	args := append(torch.cxxFlags(), "-fPIC", "-shared", "-s", "-Wl,-z,defs", "-o", apiObject, apiSource)
	cmd := torch.compiler(ctx, append(args, torch.ldFlags()...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("linking gotch's wrapper with libtorch %s: %w\n%s", torch.Version, err, excerpt(out))
	}
	return nil
}

var word = regexp.MustCompile(`\w+`)

// functionsUsed returns the sorted names of the functions that the shared object in
// dir has and Go's sources there speak of.
func functionsUsed(dir string) ([]string, error) {
	spoken := map[string]bool{}
	sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		for _, w := range word.FindAll(text, -1) {
			spoken[string(w)] = true
		}
	}
	f, err := elf.Open(filepath.Join(dir, apiObject))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, fmt.Errorf("reading the symbols of %s: %w", apiObject, err)
	}
	var names []string
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF && elf.ST_TYPE(s.Info) == elf.STT_FUNC && spoken[s.Name] {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}
