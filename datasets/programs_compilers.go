package datasets

import (
	"bufio"
	"fmt"
	"strings"
)

// Compilers and generators.
var compilers = []Program{
	{Name: "cc1", Kind: "compiler", Packages: []string{"gcc"}, Binary: "gcc cc1", Prepare: cc1},
	{Name: "cc1plus", Kind: "compiler", Packages: []string{"g++"}, Binary: "g++ cc1plus", Prepare: cc1plus},
	{Name: "bison", Kind: "compiler", Packages: []string{"bison"}, Binary: "/usr/bin/bison", Prepare: bison},
	{Name: "protoc", Kind: "compiler", Packages: []string{"protobuf-compiler"}, Binary: "/usr/bin/protoc", Prepare: protoc},
	{Name: "cmake", Kind: "interpreter", Packages: []string{"cmake"}, Binary: "/usr/bin/cmake", Prepare: cmake},
	{Name: "ninja", Kind: "tool", Packages: []string{"ninja-build"}, Binary: "/usr/bin/ninja", Prepare: ninja},
	{Name: "make", Kind: "tool", Packages: []string{"make"}, Binary: "/usr/bin/make", Prepare: makeTool},
}

// function writes a C function that computes something.
func function(w *Work, b *bufio.Writer, i int) {
	fmt.Fprintf(b, "static int f%d(int a, struct item *p)\n{\n\tint x = a, i;\n", i)
	for range w.Between(2, 14) {
		switch w.Rand.IntN(6) {
		case 0:
			fmt.Fprintf(b, "\tfor (i = 0; i < %d; i++) x = x * %d + table[(x + i) & 63];\n", w.Rand.IntN(90), w.Rand.IntN(9)+1)
		case 1:
			fmt.Fprintf(b, "\tswitch (x & 7) { case 0: x += %d; break; case 3: x ^= p->a; case 5: p->b = x; break; default: x--; }\n", w.Rand.IntN(99))
		case 2:
			fmt.Fprintf(b, "\tif (p && p->next && x > %d) x -= f%d(x / 3, p->next);\n", w.Rand.IntN(500), w.Rand.IntN(i+1))
		case 3:
			fmt.Fprintf(b, "\tdo { x >>= 1; p->%s += x * %d; } while (x > %d);\n", Pick(w, "a", "b"), w.Rand.IntN(50), 3+w.Rand.IntN(50))
		case 4:
			fmt.Fprintf(b, "\tp->name = \"%s\" + (x & 1);\n", w.Words(2))
		default:
			fmt.Fprintf(b, "\tx = (int)((double)x * %d.%d / (1 + (a & 15)));\n", w.Rand.IntN(9), w.Rand.IntN(999))
		}
	}
	fmt.Fprint(b, "\treturn x;\n}\n")
}

func cc1(w *Work) (Command, error) {
	n := w.Amount(60, 400)
	w.Write("in.c", func(b *bufio.Writer) {
		fmt.Fprint(b, "struct item { int a, b; const char *name; struct item *next; };\nstatic int table[64];\n")
		for i := range n {
			function(w, b, i)
		}
		fmt.Fprintf(b, "int main(void) { struct item it = { 1, 2, 0, 0 }; return f%d(3, &it); }\n", n-1)
	})
	return Command{Args: []string{"-quiet", Pick(w, "-O0", "-O1", "-O2"), "in.c", "-o", "out.s"}}, nil
}

func cc1plus(w *Work) (Command, error) {
	w.Write("in.cc", func(b *bufio.Writer) {
		fmt.Fprintf(b, "#include <%s>\n#include <%s>\n#include <string>\n", Pick(w, "map", "set", "unordered_map"), Pick(w, "vector", "deque", "algorithm"))
		fmt.Fprint(b, "template <class T, int N> struct Box { T v[N]; T sum() const { T s{}; for (auto &x : v) s += x; return s; } };\n")
		for i := range w.Amount(10, 80) {
			fmt.Fprintf(b, "class C%d { std::string s = \"%s\"; Box<%s, %d> b{}; public: virtual ~C%d() {} virtual int f(int x) { return x + (int)b.sum() + (int)s.size(); } };\n",
				i, w.Words(2), Pick(w, "int", "long", "double"), 1+w.Rand.IntN(9), i)
			fmt.Fprintf(b, "int g%d(int x) { C%d c; auto l = [&](int y) { return c.f(y) * %d; }; return l(x); }\n", i, i, w.Rand.IntN(99))
		}
	})
	w.Run("g++", "-E", "-o", "in.ii", "in.cc")
	return Command{Args: []string{"-quiet", "-fpreprocessed", Pick(w, "-O0", "-O1"), "in.ii", "-o", "out.s"}}, nil
}

// grammar writes a grammar that bison and byacc take.
func grammar(w *Work, b *bufio.Writer) {
	n := w.Amount(20, 120)
	b.WriteString("%token ID NUM END\n")
	for i := range n {
		fmt.Fprintf(b, "%%token T%d\n", i)
	}
	b.WriteString("%left '+' '-'\n%left '*'\n%%\nstart: list ;\nlist: rule0 | list rule0 ;\n")
	for i := range n {
		fmt.Fprintf(b, "rule%d: T%d ID expr", i, i)
		for range 1 + w.Rand.IntN(6) {
			if i+1 < n {
				fmt.Fprintf(b, " | T%d rule%d %s", w.Rand.IntN(n), i+1+w.Rand.IntN(n-i-1), Pick(w, "ID", "NUM", "expr", ""))
			} else {
				fmt.Fprint(b, " | END expr")
			}
		}
		fmt.Fprintf(b, " { /* %s */ } ;\n", w.Words(3))
	}
	b.WriteString("expr: NUM | ID | expr '+' expr | expr '-' expr | expr '*' expr | '(' expr ')' ;\n%%\n")
}

func bison(w *Work) (Command, error) {
	w.Write("in.y", func(b *bufio.Writer) { grammar(w, b) })
	return Command{Args: []string{"-Wno-other", "-Wno-conflicts-rr", "-Wno-conflicts-sr", "-o", "out.c", "in.y"}}, nil
}

func protoc(w *Work) (Command, error) {
	n := w.Amount(20, 120)
	w.Write("in.proto", func(b *bufio.Writer) {
		fmt.Fprintf(b, "syntax = \"proto3\";\npackage %s;\n", w.Word(3, 9))
		for i := range n {
			fmt.Fprintf(b, "// %s\nmessage M%d {\n  enum E%d { Z%d = 0; A%d = 1; }\n", w.Words(4), i, i, i, i)
			for f := range 1 + w.Rand.IntN(15) {
				kind := Pick(w, "int32", "string", "bytes", "repeated uint64", "map<string, int32>", fmt.Sprintf("M%d", w.Rand.IntN(n)), fmt.Sprintf("repeated M%d", w.Rand.IntN(n)))
				fmt.Fprintf(b, "  %s %s_%d = %d;\n", kind, w.Word(2, 9), f, f+1)
			}
			fmt.Fprint(b, "}\n")
		}
	})
	return Command{Args: []string{Pick(w, "--cpp_out=.", "--python_out=.", "--java_out=."), "in.proto"}}, nil
}

func cmake(w *Work) (Command, error) {
	w.Text("work.cmake", `
set(order "")
foreach(r RANGE %d)
  string(RANDOM LENGTH 6 ALPHABET abcd name)
  set(line "")
  foreach(i RANGE %d)
    string(APPEND line "f${i}=${name};")
  endforeach()
  list(LENGTH line n)
  list(SORT line)
  string(REGEX REPLACE "f([0-9]+)=" "<\\1>" clean "${line}")
  string(TOUPPER "${clean}" upper)
  string(MD5 sum "${upper}")
  set_property(GLOBAL APPEND PROPERTY "seen${n}" ${name})
  list(APPEND order ${name})
  list(LENGTH order length)
  if(length GREATER %d)
    list(REMOVE_AT order 0)
  endif()
  math(EXPR m "${r} %% 7")
  if(m EQUAL 0)
    function(gen_${name} a)
      set(x "${a}-${ARGN}")
    endfunction()
    cmake_language(CALL gen_${name} ${sum} 1 2 3)
  endif()
endforeach()
`, w.Amount(100, 600), w.Between(3, 16), w.Between(5, 60))
	return Command{Args: []string{"-P", "work.cmake"}}, nil
}

// makefile writes rules for n targets that depend on earlier ones.
func makefile(w *Work, b *bufio.Writer, n int, rule func(target string, needs []string)) {
	for i := range n {
		var needs []string
		for range w.Rand.IntN(6) {
			if i > 0 {
				needs = append(needs, fmt.Sprintf("t%d", w.Rand.IntN(i)))
			}
		}
		rule(fmt.Sprintf("t%d", i), needs)
	}
}

func ninja(w *Work) (Command, error) {
	w.Write("build.ninja", func(b *bufio.Writer) {
		fmt.Fprintf(b, "rule cc\n  command = cc -c $in -o $out %s\n  description = CC $out\n", w.Words(3))
		makefile(w, b, w.Amount(1500, 8000), func(t string, needs []string) {
			fmt.Fprintf(b, "build dir%d/%s: cc %s\n  flags = -O%d %s\n", w.Rand.IntN(20), t, strings.Join(needs, " "), w.Rand.IntN(3), w.Word(2, 9))
		})
	})
	return Command{Args: []string{"-t", Pick(w, "graph", "commands", "compdb", "targets"), Pick(w, "all", "all")}, Exits: []int{1}}, nil
}

func makeTool(w *Work) (Command, error) {
	w.Write("Makefile", func(b *bufio.Writer) {
		fmt.Fprint(b, "all:\n.PHONY: all\n")
		n := w.Amount(250, 1200)
		makefile(w, b, n, func(t string, needs []string) {
			fmt.Fprintf(b, "V_%s := $(patsubst %%.c,%%.o,$(foreach i,%s,$(i).c)) $(subst e,E,%s)\n", t, w.Words(3), w.Words(2))
			fmt.Fprintf(b, "%s: %s\n\t@: $(V_%s) $(sort $(filter-out x%%,%s))\nall: %s\n", t, strings.Join(needs, " "), t, w.Words(4), t)
		})
	})
	return Command{Args: []string{"-n", "-r", "all"}}, nil
}
