package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	module = "github.com/sugarme/gotch"
	folder = ".gotch" // the adapted copy, in the project's root
	stamp  = "fit.json"
	// tool is raised by hand when fit would write something else than before.
	tool = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "fit:", err)
		os.Exit(1)
	}
}

// A fitting is what one fitted copy depends on: the copy is good as long as it
// stays the same.
type fitting struct {
	Tool  int
	Gotch string
	Torch libtorch
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("fit", flag.ContinueOnError)
	flags.SetOutput(stderr)
	verbose := flags.Bool("v", false, "name the functions that this libtorch does not have")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	gomod, err := goTool(ctx, ".", "env", "GOMOD")
	if err != nil {
		return err
	}
	root := filepath.Dir(strings.TrimSpace(string(gomod)))
	torch, err := findLibtorch(ctx, os.Getenv("LIBTORCH"), cmp.Or(strings.TrimSpace(os.Getenv("CXX")), "g++"))
	if err != nil {
		return err
	}
	source, version, err := gotchSource(ctx, root)
	if err != nil {
		return err
	}
	want := fitting{tool, version, *torch}
	copied := filepath.Join(root, folder)
	if fitted(copied, want) {
		return writeWork(root, version) // it may have been deleted
	}
	fmt.Fprintf(stdout, "fitting gotch %s to libtorch %s in %s (once, a few minutes) ...\n",
		version, torch.Version, cmp.Or(torch.Lib, "the system's folders"))
	names, err := fit(ctx, source, copied, want)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d wrapper functions are not in this libtorch and will report so when called\n", len(names))
	if *verbose {
		for _, name := range names {
			fmt.Fprintln(stdout, "\t"+name)
		}
	}
	return writeWork(root, version)
}

// gotchSource returns the folder of the gotch that the project requires, in the
// module cache, and its version; it is downloaded if need be.
func gotchSource(ctx context.Context, root string) (dir, version string, err error) {
	out, err := goTool(ctx, root, "mod", "download", "-json", module)
	if err != nil {
		return "", "", fmt.Errorf("downloading %s: %w", module, err)
	}
	var m struct{ Dir, Version, Error string }
	if err := json.Unmarshal(out, &m); err != nil {
		return "", "", fmt.Errorf("reading the answer of go mod download: %w", err)
	}
	if m.Error != "" || m.Dir == "" {
		return "", "", fmt.Errorf("downloading %s: %s", module, m.Error)
	}
	return m.Dir, m.Version, nil
}

// goTool runs the go command in dir, without a go.work: it may name a copy that is gone.
func goTool(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(append(exit.Stderr, out...)))
	}
	return out, err
}

// fitted says whether the copy in dir was made for want.
func fitted(dir string, want fitting) bool {
	text, err := os.ReadFile(filepath.Join(dir, stamp))
	if err != nil {
		return false
	}
	var got fitting
	return json.Unmarshal(text, &got) == nil && got == want
}

// fit makes the copy in dir, complete or not at all, and returns the names of
// the functions that it replaced.
func fit(ctx context.Context, source, dir string, want fitting) ([]string, error) {
	work, err := os.MkdirTemp(filepath.Dir(dir), folder+"-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	if err := copyModule(source, work); err != nil {
		return nil, fmt.Errorf("copying %s: %w", module, err)
	}
	lib := filepath.Join(work, "libtch")
	names, err := stubUntilClean(ctx, lib, &want.Torch)
	if err != nil {
		return nil, err
	}
	if err := detach(ctx, lib, &want.Torch); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(want, "", "\t")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(work, stamp), text, 0o644); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	return names, os.Rename(work, dir)
}

// copyModule copies what leakformer uses of the gotch in source to dir.
func copyModule(source, dir string) error {
	if err := os.CopyFS(filepath.Join(dir, "libtch"), os.DirFS(filepath.Join(source, "libtch"))); err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "LICENSE"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	// Files of the module cache are read-only.
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if d.IsDir() {
			mode = 0o755
		}
		return os.Chmod(path, mode)
	})
}

// stubUntilClean compiles the wrapper in dir and stubs what does not compile,
// until it does. It returns the sorted names of the stubbed functions.
func stubUntilClean(ctx context.Context, dir string, torch *libtorch) ([]string, error) {
	const generated = "torch_api_generated.cpp.h"
	stubbed := map[string]bool{}
	// A stub can uncover an error that an earlier one hid, hence the repetition;
	// each round stubs at least one more function, so it ends.
	for {
		output, ok, err := compile(ctx, dir, apiSource, torch)
		if err != nil || ok {
			return slices.Sorted(maps.Keys(stubbed)), err
		}
		sites, stray := errorSites(output, apiSource, generated)
		if len(sites) == 0 {
			return nil, fmt.Errorf("gotch's wrapper does not compile with libtorch %s: %s",
				torch.Version, cmp.Or(stray, excerpt(output)))
		}
		lines := map[string][]int{}
		for _, s := range sites {
			lines[s.file] = append(lines[s.file], s.line)
		}
		before := len(stubbed)
		for name, at := range lines {
			path := filepath.Join(dir, name)
			src, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			src, names, err := stubFunctions(src, at)
			if err != nil {
				return nil, fmt.Errorf("%s of gotch with libtorch %s: %w\n%s", name, torch.Version, err, excerpt(output))
			}
			for _, n := range names {
				stubbed[n] = true
			}
			if err := os.WriteFile(path, src, 0o644); err != nil {
				return nil, err
			}
		}
		if len(stubbed) == before {
			return nil, fmt.Errorf("gotch's wrapper does not compile with libtorch %s even without the functions it complains of:\n%s", torch.Version, excerpt(output))
		}
	}
}

// excerpt is the beginning of what a compiler said.
func excerpt(output []byte) string { return string(output[:min(len(output), 2000)]) }

// compile checks that file compiles; output is what the compiler said if not.
func compile(ctx context.Context, dir, file string, torch *libtorch) (output []byte, ok bool, err error) {
	args := append(torch.cxxFlags(), "-fsyntax-only", "-I.")
	if strings.Contains(torch.Compiler, "clang") {
		args = append(args, "-ferror-limit=0")
	}
	cmd := torch.compiler(ctx, append(args, file)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C") // "error:" in other languages is something else
	output, err = cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		return output, false, nil
	}
	return output, err == nil, err
}

const workMark = "// Written by leakformer's model/torch/fit."

var goDirective = regexp.MustCompile(`(?m)^go .*$`)

// writeWork writes the go.work in root that puts the fitted copy in gotch's place.
func writeWork(root, version string) error {
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	text := fmt.Appendf(nil, "%s\n\n%s\n\nuse .\n\nreplace %s %s => ./%s\n",
		workMark, goDirective.Find(gomod), module, version, folder)
	path := filepath.Join(root, "go.work")
	old, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(old, text):
		return nil
	case err == nil && !bytes.HasPrefix(old, []byte(workMark)):
		return fmt.Errorf("%s is not fit's; delete it, or add this to it:\n\treplace %s %s => %s",
			path, module, version, filepath.Join(root, folder))
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
