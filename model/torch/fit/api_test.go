package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unpack copies the tree at from, whose files end in .txt so that nobody takes
// them for ours, to a new folder, without that.
func unpack(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	err := fs.WalkDir(os.DirFS(from), ".", func(path string, d fs.DirEntry, err error) error {
		target := filepath.Join(to, strings.TrimSuffix(path, ".txt"))
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := os.ReadFile(filepath.Join(from, path))
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// TestDetach builds a program with a small wrapper of a small libtorch, in a folder
// of an unusual name, and runs it: as it should be, without libtorch, and
// without loading it.
func TestDetach(t *testing.T) {
	root := filepath.Join(t.TempDir(), "my torch, 2")
	if err := os.Rename(fakeTorch(t), root); err != nil {
		t.Fatal(err)
	}
	main := filepath.Join(root, "lib", mainLibrary)
	for path, text := range map[string]string{
		main:                                   "int kept(int n) { static int threads; return n ? threads = n : threads; }\n",
		filepath.Join(root, "lib/libtorch.so"): "",
	} {
		cmd := exec.Command("g++", "-shared", "-fPIC", "-Wl,-soname,"+filepath.Base(path), "-o", path, "-x", "c++", "-")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	torch, err := findLibtorch(t.Context(), root, "g++")
	if err != nil {
		t.Fatal(err)
	}
	dir := unpack(t, "testdata/detach")
	lib := filepath.Join(dir, "libtch")
	if err := detach(t.Context(), lib, torch); err != nil {
		t.Fatal(err)
	}
	functions, err := functionsUsed(lib)
	if want := []string{"at_get_num_threads", "at_manual_seed", "at_set_num_threads", "at_weighted", "atg_gelu"}; err != nil || !slices.Equal(functions, want) {
		t.Errorf("functions %v, %v; want %v", functions, err, want)
	}
	build := exec.Command("go", "build", "-o", "program", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := func(want string, args ...string) {
		t.Helper()
		out, err := exec.Command(filepath.Join(dir, "program"), args...).CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Errorf("%v: %q, want %q", err, out, want)
		}
	}
	run("7 24.5\n")
	run("called before Load", "without")
	if err := os.Remove(main); err != nil {
		t.Fatal(err)
	}
	run("libtorch 2.1.0 does not load: ")
}

func TestEarly(t *testing.T) {
	torch, err := findLibtorch(t.Context(), "", "g++")
	if err != nil {
		t.Skip("the system has no libtorch: ", err)
	}
	early, unused, err := torch.early(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	base := slices.IndexFunc(early, func(name string) bool { return strings.HasPrefix(name, "libc10.so") })
	if last := early[len(early)-1]; base < 0 || !strings.HasPrefix(last, mainLibrary) {
		t.Errorf("%v: want libc10 among them and %s last", early, mainLibrary)
	}
	for _, name := range unused {
		if slices.Contains(early, name) {
			t.Errorf("%s is both loaded and not", name)
		}
	}
}

// TestUnused looks at a library that needs three and uses one of them, which needs
// the second.
func TestUnused(t *testing.T) {
	torch, err := findLibtorch(t.Context(), fakeTorch(t), "g++")
	if err != nil {
		t.Fatal(err)
	}
	link := func(name, code string, needs ...string) *object {
		t.Helper()
		args := []string{"-shared", "-fPIC", "-o", filepath.Join(torch.Lib, name), "-Wl,--no-as-needed,-soname," + name, "-L" + torch.Lib, "-x", "c++", "-"}
		for _, need := range needs {
			args = append(args, "-l:"+need)
		}
		cmd := exec.Command("g++", args...)
		cmd.Stdin = strings.NewReader(code)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		o, err := readObject(filepath.Join(torch.Lib, name))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	link("liba.so", "int a;")
	link("libb.so", "int b;", "liba.so")
	link("libc.so", "int c;", "liba.so")
	main := link("libmain.so", "extern int b; int main_b() { return b; }", "liba.so", "libb.so", "libc.so")
	unused := torch.unused(t.Context(), main)
	if !slices.Equal(unused, []string{"libc.so"}) {
		t.Errorf("unused: %v", unused)
	}
	if err := writeEmpty(t.Context(), filepath.Join(torch.Lib, "unused"), torch, unused); err != nil {
		t.Fatal(err)
	}
	if o, err := readObject(filepath.Join(torch.Lib, "unused", "libc.so")); err != nil || o.name != "libc.so" || len(o.needs)+len(o.defines) > 0 {
		t.Errorf("%+v, %v: want an empty library of the same name", o, err)
	}
}
