package datasets

import (
	"bufio"
	"fmt"
	"strings"
)

// Generators of code, and tools that read code.
var generators = []Program{
	{Name: "gperf", Kind: "compiler", Packages: []string{"gperf"}, Binary: "/usr/bin/gperf", Prepare: gperf},
	{Name: "byacc", Kind: "compiler", Packages: []string{"byacc"}, Binary: "/usr/bin/byacc", Prepare: byacc},
	{Name: "ragel", Kind: "compiler", Packages: []string{"ragel"}, Binary: "/usr/bin/ragel", Prepare: ragel},
	{Name: "flatc", Kind: "compiler", Packages: []string{"flatbuffers-compiler"}, Binary: "/usr/bin/flatc", Errors: true, Prepare: flatc},
	{Name: "thrift", Kind: "compiler", Packages: []string{"thrift-compiler"}, Binary: "/usr/bin/thrift", Prepare: thrift},
	{Name: "sassc", Kind: "compiler", Packages: []string{"sassc"}, Binary: "/usr/bin/sassc", Prepare: sassc},
	{Name: "tcc", Kind: "compiler", Packages: []string{"tcc"}, Binary: "/usr/bin/tcc", Prepare: tcc},
	{Name: "ivl", Kind: "compiler", Packages: []string{"iverilog"}, Binary: "/usr/lib/x86_64-linux-gnu/ivl/ivl", Prepare: ivl},
	{Name: "ctags", Kind: "tool", Packages: []string{"universal-ctags"}, Binary: "/usr/bin/ctags-universal", Errors: true, Prepare: ctags},
	{Name: "cppcheck", Kind: "tool", Packages: []string{"cppcheck"}, Binary: "/usr/bin/cppcheck", Errors: true, Prepare: cppcheck},
	{Name: "astyle", Kind: "tool", Packages: []string{"astyle"}, Binary: "/usr/bin/astyle", Prepare: astyle},
	{Name: "msgmerge", Kind: "tool", Packages: []string{"gettext"}, Binary: "/usr/bin/msgmerge", Prepare: msgmerge},
	{Name: "bmake", Kind: "tool", Packages: []string{"bmake"}, Binary: "/usr/bin/bmake", Errors: true, Prepare: bmake},
}

func gperf(w *Work) (Command, error) {
	seen := map[string]bool{}
	w.Write("in.gperf", func(b *bufio.Writer) {
		fmt.Fprint(b, "struct entry { const char *name; int n; const char *what; };\n%%\n")
		for i := range w.Amount(100, 500) {
			if word := w.Word(3, 14); !seen[word] {
				seen[word] = true
				fmt.Fprintf(b, "%s, %d, \"%s\"\n", word, i, w.Words(2))
			}
		}
	})
	return Command{Args: append(Pick(w, []string{"-t"}, []string{"-t", "-L", "C++"}, []string{"-t", "-C", "-P"}, []string{"-t", "-c", "-l"}), "-m", fmt.Sprint(w.Between(1, 5)), "--output-file=out.c", "in.gperf")}, nil
}

func byacc(w *Work) (Command, error) {
	w.Scale *= 5
	w.Write("in.y", func(b *bufio.Writer) { grammar(w, b) })
	return Command{Args: append(Pick(w, []string{"-d"}, []string{"-l", "-t"}), "-o", "out.c", "in.y")}, nil
}

func ragel(w *Work) (Command, error) {
	w.Write("in.rl", func(b *bufio.Writer) {
		for i := range w.Amount(6, 40) {
			fmt.Fprintf(b, "%%%%{ machine m%d;\naction a { n += %d; }\naction b { %s(); }\n", i, w.Rand.IntN(99), w.Word(2, 9))
			n := w.Between(2, 9)
			for r := range n {
				fmt.Fprintf(b, "r%d = %s;\n", r, Pick(w, "'"+w.Word(2, 9)+"' @a", "[a-"+w.Word(1, 1)+"z]{1,"+fmt.Sprint(w.Between(2, 8))+"} $b", "(digit+ '.' digit*) >a %b", "any* :>> '"+w.Word(1, 3)+"'", "('"+w.Word(1, 4)+"' | '"+w.Word(2, 5)+"')+ - '"+w.Word(2, 4)+"'"))
			}
			fmt.Fprint(b, "main := (r0")
			for r := 1; r < n; r++ {
				fmt.Fprintf(b, " %s r%d", Pick(w, "|", "|", "' '"), r)
			}
			fmt.Fprintf(b, ")%s;\n}%%%%\n%%%% write data;\nint f%d(const char *p, const char *pe) { int cs, n = 0;\n%%%% write init;\n%%%% write exec;\nreturn n; }\n", Pick(w, "", "", "**"), i)
		}
	})
	return Command{Args: []string{Pick(w, "-T0", "-G0", "-G2", "-F1"), "-o", "out.c", "in.rl"}}, nil
}

// schema writes messages of some fields each, for generators of code. Field gets
// the number of messages so far.
func schema(w *Work, b *bufio.Writer, messages int, kind, end string, field func(i, f int) string) {
	for i := range messages {
		fmt.Fprintf(b, "%s M%d {\n", kind, i)
		for f := range 1 + w.Rand.IntN(15) {
			fmt.Fprintf(b, "  %s\n", field(i, f))
		}
		fmt.Fprintf(b, "}%s\n", end)
	}
}

func flatc(w *Work) (Command, error) {
	args := []string{Pick(w, "--cpp", "--java")}
	for n := range w.Between(2, 12) {
		name := fmt.Sprintf("in%d.fbs", n)
		w.Write(name, func(b *bufio.Writer) {
			fmt.Fprintf(b, "namespace %s.n%d;\nattribute \"priority\";\nenum Color : byte { Red = %d, Green, Blue }\nstruct Point { x:float; y:float; }\n", w.Word(2, 8), n, w.Rand.IntN(5))
			schema(w, b, w.Amount(8, 60), "table", "", func(i, f int) string {
				return fmt.Sprintf("%s_%d:%s;", w.Word(2, 9), f, Pick(w, "int", "string", "[ubyte]", "[string]", "Color = Green", "Point", fmt.Sprintf("M%d", w.Rand.IntN(i+1)), fmt.Sprintf("[M%d] (priority: %d)", w.Rand.IntN(i+1), f), "short = 7"))
			})
			fmt.Fprint(b, "union Any { M0 }\nroot_type M0;\n")
		})
		args = append(args, name)
	}
	for _, fault := range w.Faults(1) { // the last file: the compiler ends there
		w.Text("bad.fbs", "table M { x:%s; }\n", fault.Word(3, 9))
		args = append(args, "bad.fbs")
	}
	return Command{Args: args, Exits: []int{1}}, nil
}

func thrift(w *Work) (Command, error) {
	w.Write("in.thrift", func(b *bufio.Writer) {
		fmt.Fprintf(b, "namespace cpp %s\nenum Color { RED = %d, GREEN, BLUE }\ntypedef map<string, i32> Counts\nconst map<string, string> WORDS = { \"%s\": \"%s\" }\n", w.Word(3, 9), w.Rand.IntN(9), w.Word(2, 8), w.Words(3))
		n := w.Amount(50, 300)
		schema(w, b, n, "struct", "", func(i, f int) string {
			return fmt.Sprintf("%d: %s %s %s_%d // %s", f+1, Pick(w, "optional", "required"), Pick(w, "i32", "string", "list<string>", "Counts", "Color", "set<i64>", fmt.Sprintf("M%d", w.Rand.IntN(max(i, 1))), "double", fmt.Sprintf("map<i16, list<M%d>>", w.Rand.IntN(max(i, 1)))), w.Word(2, 9), f, w.Words(2))
		})
		for s := range w.Between(1, 8) {
			fmt.Fprintf(b, "exception E%d { 1: string why }\nservice S%d {\n", s, s)
			for f := range w.Between(2, 20) {
				fmt.Fprintf(b, "  M%d call_%s_%d(1: M%d a, 2: string b) throws (1: E%d e),\n", w.Rand.IntN(n), w.Word(2, 8), f, w.Rand.IntN(n), s)
			}
			fmt.Fprint(b, "}\n")
		}
	})
	return Command{Args: []string{"--gen", Pick(w, "cpp", "py"), "in.thrift"}}, nil
}

func sassc(w *Work) (Command, error) {
	w.Write("in.scss", func(b *bufio.Writer) {
		fmt.Fprintf(b, "$base: #%06x; $width: %dpx;\n@mixin box($n, $c: red) { width: $width * $n; border: 1px solid darken($c, %d%%); &:hover { color: lighten($c, 9%%); } }\n@function twice($x) { @return $x * 2; }\n%%shared { margin: 0; padding: twice(3px); }\n", w.Rand.IntN(1<<24), w.Between(2, 90), w.Between(1, 40))
		for i := range w.Amount(25, 200) {
			fmt.Fprintf(b, ".%s%d { ", w.Word(2, 9), i)
			for range w.Between(1, 9) {
				fmt.Fprint(b, Pick(w, fmt.Sprintf("@include box(%d, #%06x); ", w.Rand.IntN(9), w.Rand.IntN(1<<24)), "@extend %shared; ", "> "+w.Word(1, 4)+" a { color: mix($base, blue, 30%); } ", fmt.Sprintf("@media (min-width: %dpx) { height: twice(%dem); } ", w.Between(100, 2000), w.Rand.IntN(20)),
					fmt.Sprintf("@for $i from 1 through %d { &-#{$i} { top: $i * 2px; } } ", w.Between(1, 12)), "@each $n in "+strings.ReplaceAll(w.Words(3), " ", ", ")+" { .#{$n} { content: \"#{to-upper-case($n)}\"; } } ", "@if $width > 20px { left: 1px; } @else { right: 2px; } ", "font: #{"+w.Word(2, 8)+"} 1px/2 "+w.Word(3, 9)+"; "))
			}
			fmt.Fprint(b, "}\n")
		}
	})
	return Command{Args: []string{"-t", Pick(w, "nested", "expanded", "compact", "compressed"), "in.scss", "out.css"}}, nil
}

// source writes a C file of functions; the input that fails is not C.
func source(w *Work, name string, functions int) {
	w.Write(name, func(b *bufio.Writer) {
		fmt.Fprint(b, "struct item { int a, b; const char *name; struct item *next; };\nstatic int table[64];\n")
		for i := range functions {
			fmt.Fprintf(b, "/* %s */\n#define K%d(x) ((x) * %d)\ntypedef struct s%d { int %s; char %s[%d]; } s%d;\nenum e%d { A%d = %d, B%d };\n", w.Words(4), i, w.Rand.IntN(99), i, w.Word(1, 9)+"_a", w.Word(1, 9)+"_b", w.Between(2, 99), i, i, i, w.Rand.IntN(9), i)
			function(w, b, i)
			if fault := w.Fault(); fault != nil {
				word := fault.Word(2, 9)
				fmt.Fprintln(b, Pick(fault, "#ifdef "+word+"\n}}\n#endif", "#if 0\n"+word+"(\n#endif", "static int bad_"+word+"(int *p) { int x; int a[4]; a[7] = x; char *q = 0; *q = 1; return *p / 0; }", "int "+word+"_k(a, b) int a; char *b; { return a; }", "void leak_"+word+"(void) { char *p = malloc(9); p = 0; }"))
			}
		}
		fmt.Fprintf(b, "int main(void) { struct item it = { 1, 2, 0, 0 }; return f%d(3, &it); }\n", functions-1)
	})
}

func tcc(w *Work) (Command, error) {
	w.Errors = false
	source(w, "in.c", w.Amount(300, 2500))
	return Command{Args: append(Pick(w, []string{"-c"}, []string{"-c", "-g"}), "-o", "out", "in.c")}, nil
}

func ivl(w *Work) (Command, error) {
	modules := w.Amount(10, 60)
	w.Write("in.v", func(b *bufio.Writer) {
		for i := range modules {
			bits := w.Between(2, 40)
			fmt.Fprintf(b, "module m%d(input clk, input [%d:0] a, output reg [%d:0] q);\nwire [%d:0] x;\n", i, bits, bits, bits)
			for n := range w.Between(2, 14) {
				fmt.Fprintf(b, "reg [%d:0] r%d; always @(posedge clk) ", w.Between(1, 63), n)
				fmt.Fprintln(b, Pick(w, fmt.Sprintf("if (a[1]) r%d <= a + %d; else r%d <= r%d ^ (a << 2);", n, w.Rand.IntN(99), n, n), fmt.Sprintf("case (a) %d: r%d <= 1; %d: r%d <= {a, a}; default: r%d <= ~r%d; endcase", 1+w.Rand.IntN(9), n, 10+w.Rand.IntN(9), n, n, n), fmt.Sprintf("begin r%d = a * %d; q <= r%d; end", n, w.Rand.IntN(9), n)))
			}
			fmt.Fprint(b, "assign x = a & ~q;\n")
			if i > 0 {
				fmt.Fprintf(b, "wire [63:0] y; m%d inner(.clk(clk), .a(x), .q(y));\n", i-1-w.Rand.IntN(min(i, 3)))
			}
			fmt.Fprint(b, "endmodule\n")
		}
		fmt.Fprintf(b, "module top; reg clk = 0; reg [63:0] a = 1; wire [63:0] q; m%d m(clk, a, q); always #5 clk = ~clk; initial begin $display(\"%s\", a); #%d $finish; end endmodule\n", modules-1, w.Words(2), w.Between(10, 999))
	})
	w.Text("conf", "functor:cprop\nfunctor:nodangle\n-t:dll\nflag:DLL=/usr/lib/x86_64-linux-gnu/ivl/vvp.tgt\nflag:VVP_EXECUTABLE=/usr/bin/vvp\nout:out\n")
	return Command{Args: []string{"-C/usr/lib/x86_64-linux-gnu/ivl/vvp.conf", "-Cconf", "-N", "net", "--", "in.v"}}, nil
}

func ctags(w *Work) (Command, error) {
	args := []string{"--options=NONE", "--sort=" + Pick(w, "yes", "no", "foldcase"), "-f", "out.tags", "--fields=" + Pick(w, "*", "+nS", "+i"), "--extras=" + Pick(w, "+q", "-q", "*")}
	for i := range w.Between(5, 30) {
		name := fmt.Sprintf("in%d.c", i)
		source(w, name, w.Amount(20, 120))
		args = append(args, name)
	}
	return Command{Args: args, Exits: []int{1}}, nil
}

func cppcheck(w *Work) (Command, error) {
	args := []string{"-q", "--enable=" + Pick(w, "all", "style", "warning"), "--suppress=missingIncludeSystem"}
	for i := range w.Between(1, 3) {
		name := fmt.Sprintf("in%d.c", i)
		source(w, name, w.Amount(2, 6))
		args = append(args, name)
	}
	return Command{Args: args}, nil
}

func astyle(w *Work) (Command, error) {
	w.Errors = false
	source(w, "in.c", w.Amount(150, 900))
	return Command{Args: []string{"--options=none", "--style=" + Pick(w, "allman", "kr", "gnu", "linux", "lisp"), Pick(w, "--indent=tab", "--indent=spaces=3"), Pick(w, "--pad-oper", "--unpad-paren", "--break-blocks"), fmt.Sprintf("--max-code-length=%d", w.Between(50, 200))}, Stdin: "in.c"}, nil
}

func msgmerge(w *Work) (Command, error) {
	ids := make([]string, w.Amount(80, 500))
	for i := range ids {
		ids[i] = fmt.Sprintf("%s %d", w.Words(w.Between(1, 9)), i)
	}
	catalogue := func(name string, old bool) {
		w.Write(name, func(b *bufio.Writer) {
			fmt.Fprint(b, "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\\nPlural-Forms: nplurals=2; plural=n != 1;\\n\"\n\n")
			for i, id := range ids {
				if old && w.Rand.IntN(9) == 0 {
					id += " " + w.Word(1, 9)
				}
				fmt.Fprintf(b, "#. %s\n#: src/%s.c:%d\n#, %s\nmsgid \"%s\"\n", w.Words(3), w.Word(2, 6), i, Pick(w, "c-format", "no-wrap"), id)
				if i%7 == 0 {
					fmt.Fprintf(b, "msgid_plural \"%ss\"\nmsgstr[0] \"%s\"\nmsgstr[1] \"%s\"\n\n", id, strings.ToUpper(id), strings.ToUpper(id))
				} else {
					fmt.Fprintf(b, "msgstr \"%s\"\n\n", strings.Repeat(strings.ToUpper(id), w.Rand.IntN(2)))
				}
			}
		})
	}
	catalogue("old.po", true)
	catalogue("new.pot", false)
	return Command{Args: append(Pick(w, []string{}, []string{"--no-fuzzy-matching"}, []string{"--previous"}, []string{"--sort-output"}), "-q", "-o", "out.po", "old.po", "new.pot")}, nil
}

func bmake(w *Work) (Command, error) {
	w.Write("Makefile", func(b *bufio.Writer) {
		fmt.Fprint(b, "all: .PHONY\n.SUFFIXES:\n")
		makefile(w, b, w.Amount(250, 1500), func(t string, needs []string) {
			fmt.Fprintf(b, "V_%s := ${:U%s:S/e/E/g:O:u} ${:U%s:tu:M*[AEIOU]*}\n", t, w.Words(3), w.Words(2))
			if fault := w.Fault(); fault != nil {
				fmt.Fprintf(b, Pick(fault, ".if empty(V_%[1]s:M%[2]s)\nX += ${NONE_%[2]s:Q}\n.endif\n", "X = ${V_%[1]s:@i@${i:R}@:N%[2]s}\n", ".-include \"none/%[2]s\"\n", "X != echo %[2]s\n"), t, fault.Word(2, 9))
			}
			fmt.Fprintf(b, ".for i in %s\nW_%s_${i} = ${i:R}\n.endfor\n%s: %s\n\t@: ${V_%s} ${V_%s:S,^,x,:[1]}\nall: %s\n", w.Words(3), t, t, strings.Join(needs, " "), t, t, t)
		})
	})
	return Command{Args: []string{"-n", "-r", "all"}, Exits: []int{1}}, nil
}
