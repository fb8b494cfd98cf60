package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// wrapper is a source as gotch's are: generated functions of one shape, and
// hand-written ones of others.
const wrapper = "testdata/wrapper.cpp.txt"

func TestErrorSites(t *testing.T) {
	for _, test := range []struct {
		name, output string
		want         []site
		stray        string
	}{
		{"nothing", "", nil, ""},
		{"warnings and notes", "a.cpp:1:2: warning: unused\na.cpp:3:4: note: declared here\n", nil, ""},
		{"g++", "In file included from a.cpp:9:\nb.h: In function 'void f()':\nb.h:12:3: error: 'x' was not declared\n   12 |   x\n",
			[]site{{"b.h", 12}}, ""},
		{"sorted and once", "b.h:9:1: error: p\na.cpp:5:1: error: q\nb.h:9:7: error: r\nb.h:2:7: fatal error: s\n",
			[]site{{"a.cpp", 5}, {"b.h", 2}, {"b.h", 9}}, ""},
		{"a path before the name", "/tmp/x/b.h:3:1: error: p\r\n", []site{{"b.h", 3}}, ""},
		{"g++ in a template", "/usr/tuple: In instantiation of 'get':\nb.h:7:1:   required from here\n/usr/tuple:99:5: error: no such element\n",
			[]site{{"b.h", 7}}, ""},
		{"clang++ in a template", "/usr/tuple:99:5: error: no such element\nb.h:7:1: note: in instantiation of function template 'get' requested here\n",
			[]site{{"b.h", 7}}, ""},
		{"elsewhere", "/usr/torch.h:1:1: error: no such file\nb.h:7:1: error: p\n", []site{{"b.h", 7}}, "/usr/torch.h:1:1: error: no such file"},
		{"elsewhere at the end", "/usr/torch.h:1:1: error: no such file\n", nil, "/usr/torch.h:1:1: error: no such file"},
		{"line beyond all numbers", "b.h:99999999999999999999:1: error: p\n", nil, "b.h:99999999999999999999:1: error: p"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, stray := errorSites([]byte(test.output), "a.cpp", "b.h")
			if !slices.Equal(got, test.want) || stray != test.stray {
				t.Errorf("%v and %q, want %v and %q", got, stray, test.want, test.stray)
			}
		})
	}
}

func TestFunctionAt(t *testing.T) {
	src, err := os.ReadFile(wrapper)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(src, []byte("\n"))
	for i, line := range lines {
		// The comment of a line says which function it is in.
		_, want, marked := strings.Cut(string(line), "// in ")
		f, ok := functionAt(lines, i)
		if marked && (!ok || f.name != want) {
			t.Errorf("line %d is in %q, want %q", i+1, f.name, want)
		}
		if strings.HasSuffix(string(line), "// outside") && ok {
			t.Errorf("line %d is in %q, want none", i+1, f.name)
		}
	}
	for _, i := range []int{-1, len(lines)} {
		if _, ok := functionAt(lines, i); ok {
			t.Errorf("line %d of %d is in a function", i, len(lines))
		}
	}
}

func TestStubFunctions(t *testing.T) {
	src, err := os.ReadFile(wrapper)
	if err != nil {
		t.Fatal(err)
	}
	var blamed []int // every line marked so, and one function twice
	for i, line := range bytes.Split(src, []byte("\n")) {
		if bytes.Contains(line, []byte("// in ")) {
			blamed = append(blamed, i+1)
		}
	}
	got, names, err := stubFunctions(src, blamed)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"atg_one", "atg_array", "atg_count", "at_long_signature", "atm_eval"}; !slices.Equal(names, want) {
		t.Errorf("replaced %v, want %v", names, want)
	}
	if bytes.Count(got, []byte("\n")) != bytes.Count(src, []byte("\n")) {
		t.Error("the number of lines changed")
	}
	golden := strings.TrimSuffix(wrapper, ".cpp.txt") + ".stubbed.txt"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant %s (write it with -update)", got, golden)
	}
	if _, _, err := stubFunctions(src, []int{1}); err == nil {
		t.Error("no error for a line outside all functions")
	}
}

// TestStubUntilClean lets a real compiler complain about a wrapper that calls
// what is not there.
func TestStubUntilClean(t *testing.T) {
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("no g++")
	}
	src, err := os.ReadFile(wrapper)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"torch_api.cpp":             "#include <stdexcept>\n#include <cstdint>\n#define PROTECT(x) try { x } catch (const std::exception &) {}\n#include \"torch_api_generated.cpp.h\"\n",
		"torch_api_generated.cpp.h": string(src),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	torch := &libtorch{Include: "/nowhere", Version: "9.9.9", CXX: "g++"}
	got, err := stubUntilClean(t.Context(), dir, torch)
	if err != nil {
		t.Fatal(err)
	}
	// atg_array and atg_count use nothing that is missing.
	if want := []string{"at_long_signature", "atg_one", "atm_eval"}; !slices.Equal(got, want) {
		t.Errorf("replaced %v, want %v", got, want)
	}
	if err := os.WriteFile(filepath.Join(dir, "torch_api.cpp"), []byte("#include <no/such/torch.h>\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := stubUntilClean(t.Context(), dir, torch); err == nil || !strings.Contains(err.Error(), "no/such/torch.h") {
		t.Errorf("error %v, want one that names the missing header", err)
	}
}
