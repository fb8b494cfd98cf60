package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A libtorch is an installed libtorch and the compiler that will use it.
type libtorch struct {
	// Version as the headers give it, for example "1.13.0".
	Version string
	// Include and Lib are its folders; Lib is empty for the system's, which
	// compiler and loader find by themselves.
	Include, Lib string
	// CUDA says that the CUDA kernels are there.
	CUDA bool
	// OldABI says that it was compiled with the C++ library's ABI from before
	// C++11, as the archives without "cxx11-abi" in their names were.
	OldABI bool
	// CXX is the compiler command, which may begin with words like ccache;
	// Compiler is its name and version.
	CXX, Compiler string
}

const installHint = `libtorch and its headers are needed. Do one of these:
  Debian, Ubuntu:  apt-get install --no-install-recommends libtorch-dev libopenblas0-pthread g++
  elsewhere:       unpack an official libtorch archive and set LIBTORCH to its folder
                   (the torch folder of a Python installation of PyTorch will do as well)`

// findLibtorch looks for libtorch in root, or where the system keeps it if
// root is empty.
func findLibtorch(ctx context.Context, root, cxx string) (*libtorch, error) {
	t := &libtorch{Include: "/usr/include", CXX: cxx}
	if root != "" {
		abs, err := filepath.Abs(root)
		if err != nil {
			return nil, err
		}
		t.Include, t.Lib = filepath.Join(abs, "include"), filepath.Join(abs, "lib")
	}
	header := filepath.Join(t.api(), "torch", "version.h")
	text, err := os.ReadFile(header)
	if err != nil {
		return nil, fmt.Errorf("no libtorch: %w\n%s", err, installHint)
	}
	if t.Version, err = headerVersion(text); err != nil {
		return nil, fmt.Errorf("%s: %w", header, err)
	}
	if err := t.findCompiler(ctx); err != nil {
		return nil, err
	}
	return t, t.findLibraries(ctx)
}

// api is the folder of the C++ interface's headers.
func (t *libtorch) api() string {
	return filepath.Join(t.Include, "torch", "csrc", "api", "include")
}

// compiler is the command that runs the compiler with args.
func (t *libtorch) compiler(ctx context.Context, args ...string) *exec.Cmd {
	words := append(strings.Fields(t.CXX), args...)
	return exec.CommandContext(ctx, words[0], words[1:]...)
}

func (t *libtorch) findCompiler(ctx context.Context) error {
	out, err := t.compiler(ctx, "--version").Output()
	if err != nil {
		return fmt.Errorf("no C++ compiler: %w\ninstall one (Debian, Ubuntu: apt-get install g++) or name it in CXX", err)
	}
	first, _, _ := bytes.Cut(out, []byte("\n"))
	t.Compiler = string(bytes.TrimSpace(first))
	return nil
}

// findLibraries checks that the shared libraries are there and how they were built.
func (t *libtorch) findLibraries(ctx context.Context) error {
	for _, name := range []string{"libtorch.so", mainLibrary} {
		if _, err := t.library(ctx, name); err != nil {
			return fmt.Errorf("libtorch's headers are in %s but not its libraries: %w\n%s", t.Include, err, installHint)
		}
	}
	_, err := t.library(ctx, "libtorch_cuda.so")
	t.CUDA = err == nil
	base, err := t.library(ctx, "libc10.so")
	if err != nil {
		return fmt.Errorf("libtorch is incomplete: %w\n%s", err, installHint)
	}
	t.OldABI, err = oldABI(base)
	return err
}

var versionDefine = regexp.MustCompile(`#define TORCH_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)`)

// headerVersion reads the version out of libtorch's version.h.
func headerVersion(header []byte) (string, error) {
	var parts []string
	for _, m := range versionDefine.FindAllSubmatch(header, -1) {
		parts = append(parts, string(m[1]))
	}
	if len(parts) != 3 {
		return "", errors.New("does not define the version of libtorch")
	}
	return strings.Join(parts, "."), nil
}

// mainLibrary is the one of libtorch that all is in, but for CUDA.
const mainLibrary = "libtorch_cpu.so"

// library is the path of one of libtorch's.
func (t *libtorch) library(ctx context.Context, name string) (string, error) {
	if t.Lib != "" {
		p := filepath.Join(t.Lib, name)
		_, err := os.Stat(p)
		return p, err
	}
	out, err := t.compiler(ctx, "-print-file-name="+name).Output()
	p := strings.TrimSpace(string(out))
	if err == nil && !filepath.IsAbs(p) { // a compiler echoes what it does not find
		err = fmt.Errorf("%s: %w", name, os.ErrNotExist)
	}
	return p, err
}

// early are the libraries to load before the wrapper: the needs of the main library,
// last first, as each mostly needs some of those after it, and the library itself. An
// archive has few needs, which lie beside it where the loader finds them only for it.
// Of the needs in unused nothing is used: see [libtorch.unused].
func (t *libtorch) early(ctx context.Context) (early, unused []string, err error) {
	path, err := t.library(ctx, mainLibrary)
	if err != nil || t.Lib != "" {
		return []string{path}, nil, err
	}
	main, err := readObject(path)
	if err != nil {
		return nil, nil, err
	}
	slices.Reverse(main.needs)
	unused = t.unused(ctx, main)
	used := slices.DeleteFunc(main.needs, func(name string) bool { return slices.Contains(unused, name) })
	return append(used, main.name), unused, nil
}

// unused are the direct needs of main that neither it uses anything of nor anything
// that it uses needs. Debian's libtorch is linked with all of OpenCV and FFmpeg, which
// bring 220 libraries along, and uses nothing of them: a third of the time to load it.
func (t *libtorch) unused(ctx context.Context, main *object) []string {
	needed := map[string]bool{}
	var need func(o *object)
	need = func(o *object) {
		for _, name := range o.needs {
			if !needed[name] {
				needed[name] = true
				if o := t.need(ctx, name); o != nil {
					need(o)
				}
			}
		}
	}
	for _, name := range main.needs {
		o := t.need(ctx, name)
		if o == nil || slices.ContainsFunc(o.defines, func(symbol string) bool { return main.uses[symbol] }) {
			needed[name] = true
			if o != nil {
				need(o)
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(main.needs), func(name string) bool { return needed[name] })
}

// need is the library called name; nil where it cannot be read, and is to be loaded then.
func (t *libtorch) need(ctx context.Context, name string) *object {
	path, err := t.library(ctx, name)
	if err != nil {
		return nil
	}
	o, err := readObject(path)
	if err != nil {
		return nil
	}
	return o
}

// oldABI says whether the shared library at path exports functions of the C++11
// ABI's strings; libc10 has dozens of them either way.
func oldABI(path string) (bool, error) {
	f, err := elf.Open(path)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", path, err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return false, fmt.Errorf("reading the symbols of %s: %w", path, err)
	}
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF && strings.Contains(s.Name, "__cxx11") {
			return false, nil
		}
	}
	return true, nil
}

// cxxFlags are the flags to compile gotch's wrapper with.
func (t *libtorch) cxxFlags() []string {
	// Note: not -O2: the wrapper only passes its arguments on, and compiling it
	// takes 12 seconds longer.
	flags := []string{"-std=c++17", "-O1", "-g0", "-w", "-I" + t.api()}
	if t.Lib != "" {
		flags = append(flags, "-I"+t.Include)
	}
	if t.OldABI {
		flags = append(flags, "-D_GLIBCXX_USE_CXX11_ABI=0")
	}
	return flags
}

// ldFlags are the flags to link the wrapper with libtorch.
func (t *libtorch) ldFlags() []string {
	var flags []string
	if t.Lib != "" {
		flags = append(flags, "-L"+t.Lib, "-Xlinker", "-rpath", "-Xlinker", t.Lib)
	}
	if t.CUDA {
		// Nothing refers to these by name: they register their kernels when loaded.
		flags = append(flags, "-Wl,--no-as-needed", "-ltorch_cuda", "-lc10_cuda", "-Wl,--as-needed")
	}
	return append(flags, "-ltorch", "-ltorch_cpu", "-lc10", "-lstdc++")
}
