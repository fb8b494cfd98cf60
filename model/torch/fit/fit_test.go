package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestHeaderVersion(t *testing.T) {
	const header = "/// major\n#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 6\n#define TORCH_VERSION_PATCH 0\n#define TORCH_VERSION \"2.6.0\"\n"
	if got, err := headerVersion([]byte(header)); err != nil || got != "2.6.0" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := headerVersion([]byte("#define TORCH_VERSION_MAJOR 2\n")); err == nil {
		t.Errorf("%q of a header with the first number only", got)
	}
}

// fakeTorch makes the folder of an official archive, as far as fit looks at it,
// with libc10 compiled by the machine's compiler.
func fakeTorch(t *testing.T, flags ...string) string {
	t.Helper()
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("no g++")
	}
	root := t.TempDir()
	api := filepath.Join(root, "include/torch/csrc/api/include/torch")
	lib := filepath.Join(root, "lib")
	for _, dir := range []string{api, lib} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{
		filepath.Join(api, "version.h"):       "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 1\n#define TORCH_VERSION_PATCH 0\n",
		filepath.Join(lib, "libtorch.so"):     "",
		filepath.Join(lib, "libtorch_cpu.so"): "",
		filepath.Join(root, "c10.cpp"):        "#include <string>\nnamespace c10 { std::string demangle(const std::string &s) { return s; } }\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := append([]string{"-shared", "-fPIC", "-o", filepath.Join(lib, "libc10.so"), filepath.Join(root, "c10.cpp")}, flags...)
	if out, err := exec.Command("g++", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return root
}

func TestFindLibtorch(t *testing.T) {
	for _, test := range []struct {
		name   string
		flags  []string
		change func(root string) error
		want   []string // among the flags
		not    []string
	}{
		{"today's archive", nil, nil, []string{"-std=c++17", "-rpath"}, []string{"CXX11_ABI", "torch_cuda"}},
		{"archive of the old ABI", []string{"-D_GLIBCXX_USE_CXX11_ABI=0"}, nil, []string{"-D_GLIBCXX_USE_CXX11_ABI=0"}, nil},
		{"archive with CUDA", nil, func(root string) error {
			return os.WriteFile(filepath.Join(root, "lib/libtorch_cuda.so"), nil, 0o644)
		}, []string{"-Wl,--no-as-needed -ltorch_cuda -lc10_cuda -Wl,--as-needed"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := fakeTorch(t, test.flags...)
			if test.change != nil {
				if err := test.change(root); err != nil {
					t.Fatal(err)
				}
			}
			torch, err := findLibtorch(t.Context(), root, "g++")
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Join(append(torch.cxxFlags(), torch.ldFlags()...), " ")
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("the flags lack %q: %s", want, text)
				}
			}
			for _, not := range test.not {
				if strings.Contains(text, not) {
					t.Errorf("the flags have %q: %s", not, text)
				}
			}
		})
	}
}

func TestFindLibtorchFails(t *testing.T) {
	root := fakeTorch(t)
	for _, test := range []struct {
		name, root, cxx, remove, want string
	}{
		{"no libtorch", t.TempDir(), "g++", "", "apt-get install"},
		{"no compiler", root, "no-such-compiler", "", "no C++ compiler"},
		{"no base library", root, "g++", "lib/libc10.so", "incomplete"},
		{"no libraries", root, "g++", "lib/libtorch.so", "but not its libraries"},
		{"no version", root, "g++", "include/torch/csrc/api/include/torch/version.h", "apt-get install"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.remove != "" {
				if err := os.Remove(filepath.Join(test.root, test.remove)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := findLibtorch(t.Context(), test.root, test.cxx)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestWriteWork(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte("module m\n\ngo 1.26\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "go.work")
	for range 2 {
		if err := writeWork(root, "v1.2.3"); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"\ngo 1.26\n", "replace github.com/sugarme/gotch v1.2.3 => ./.gotch\n"} {
			if !bytes.Contains(text, []byte(want)) {
				t.Errorf("go.work lacks %q:\n%s", want, text)
			}
		}
	}
	const other = "go 1.26\n\nuse ./mine\n"
	if err := os.WriteFile(path, []byte(other), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeWork(root, "v1.2.3"); err == nil || !strings.Contains(err.Error(), "replace") {
		t.Errorf("error %v, want one that says what to add", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != other {
		t.Errorf("somebody else's go.work is now %q, %v", text, err)
	}
}

func TestFitted(t *testing.T) {
	dir := t.TempDir()
	want := fitting{Tool: 1, Gotch: "v1", Torch: libtorch{Version: "2.1.0"}}
	if fitted(dir, want) {
		t.Error("an empty folder is fitted")
	}
	for _, text := range []string{"", "{", `{"Tool":1,"Gotch":"v1","Torch":{"Version":"2.1.1"}}`} {
		if err := os.WriteFile(filepath.Join(dir, stamp), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if fitted(dir, want) {
			t.Errorf("fitted by %q", text)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, stamp), []byte(`{"Tool":1,"Gotch":"v1","Torch":{"Version":"2.1.0"}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if !fitted(dir, want) {
		t.Error("not fitted by its own stamp")
	}
}
