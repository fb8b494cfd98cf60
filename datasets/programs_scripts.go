package datasets

import (
	"bufio"
	"fmt"
	"strings"
)

// Small interpreters.
var scripts = []Program{
	{Name: "mujs", Kind: "interpreter", Packages: []string{"mujs"}, Binary: "/usr/bin/mujs", Errors: true, Prepare: script},
	{Name: "duk", Kind: "interpreter", Packages: []string{"duktape"}, Binary: "/usr/bin/duk", Errors: true, Prepare: script},
	{Name: "fish", Kind: "interpreter", Packages: []string{"fish"}, Binary: "/usr/bin/fish", Errors: true, Prepare: fish},
	{Name: "mksh", Kind: "interpreter", Packages: []string{"mksh"}, Binary: "/bin/mksh", Prepare: mksh},
	{Name: "original-awk", Kind: "interpreter", Packages: []string{"original-awk"}, Binary: "/usr/bin/original-awk", Prepare: awk},
	{Name: "busybox-awk", Kind: "interpreter", Packages: []string{"busybox"}, Binary: "/bin/busybox", Prepare: applet("awk", awk)},
	{Name: "yacas", Kind: "interpreter", Packages: []string{"yacas"}, Binary: "/usr/bin/yacas", Errors: true, Prepare: yacas},
}

// script is ECMAScript 5, for small engines.
func script(w *Work) (Command, error) {
	w.Text("work.js", `
var seed = %d, cache = {}, order = [], log = [], bound = %d, mix = %g, faults = %g;
function rand(n) { seed = (seed * 1103515245 + 12345) %% 2147483648; return Math.floor(seed / 65536) %% n; }
function Session(name) { this.name = name; this.fields = []; }
Session.prototype.line = function () { return this.name + ":" + this.fields.join("&"); };
for (var r = 0; r < %d; r++) {
  var s = new Session("user" + rand(bound * 3));
  for (var i = rand(%d) + 1; i > 0; i--) s.fields.push("f" + i + "=" + new Array(rand(30) + 1).join("x"));
  var text = JSON.stringify({ id: r, name: s.name, fields: s.fields }), back = JSON.parse(text);
  if (rand(1000) < 1000 * mix) {
    cache[s.name] = s.line(); order.push(s.name);
    if (order.length > bound) delete cache[order.shift()];
  }
  if (rand(9) == 0) log.push(text.replace(/x+/g, "y").toUpperCase());
  if (log.length > 40) { log.sort(); log = log.slice(20); }
  if (rand(20) == 0) new Function("a", "return a + " + r)(1);
  if (rand(1000) < 1000 * faults) {
    var calls = [function () { throw new Error("request " + r); }, function () { JSON.parse(text + "x"); }, function () { nowhere(r); }, function () { eval("function ( {"); },
      function () { new RegExp("(x" + r); }, function () { null.x = r; }, function () { new Array(-1); }, function () { decodeURIComponent("%%zz"); }];
    for (var c = 0; c < calls.length; c++) try { calls[c](); } catch (e) { log.push(String(e)); }
  }
}
`, w.Rand.IntN(1<<30), w.Between(20, 200), 0.2+0.6*w.Rand.Float64(), w.FaultRate(), w.Amount(600, 4000), w.Between(3, 14))
	return Command{Args: []string{"work.js"}}, nil
}

// applet prepares a program that is one of many in its executable.
func applet(name string, prepare func(*Work) (Command, error)) func(*Work) (Command, error) {
	return func(w *Work) (Command, error) {
		command, err := prepare(w)
		command.Args = append([]string{name}, command.Args...)
		return command, err
	}
}

func fish(w *Work) (Command, error) {
	w.Write("work.fish", func(b *bufio.Writer) {
		fmt.Fprintf(b, "set -g order\nfunction handle -a name\n  set -l f (string split , -- $argv[2])\n  set -g count_$name (count $f)\n  string upper -- $name\nend\n")
		bound := w.Between(5, 60)
		for i := range w.Amount(60, 400) {
			if fault := w.Fault(); fault != nil {
				word := fault.Word(2, 9)
				fmt.Fprintln(b, Pick(fault, "nowhere_"+word, "string match -r '("+word+"' x", "math '"+word+" +'", "set -x 1"+word+" y", "eval 'if "+word+"'", "cd /none/"+word, "test "+word+" -gt x", "string sub -s 0 "+word, "echo $order["+word+"]", "functions -e "+word+"; source /none/"+word))
			}
			switch w.Rand.IntN(6) {
			case 0:
				fmt.Fprintf(b, "handle u%d '%s' >/dev/null\n", i%bound, strings.ReplaceAll(w.Words(w.Between(2, 20)), " ", ","))
			case 1:
				fmt.Fprintf(b, "set -a order %s\nif test (count $order) -gt %d\n  set -e order[1..%d]\nend\n", w.Words(3), bound, w.Between(3, 5))
			case 2:
				fmt.Fprintf(b, "for x in (seq %d)\n  set -l y (math \"$x * %d + 1\")\n  set -g cache_$x $y {a,b}$x\nend\n", w.Between(2, 20), w.Rand.IntN(99))
			case 3:
				fmt.Fprintf(b, "switch (string replace -ra '[aeiou]' _ -- '%s')\n  case '%s*' '*_'\n    set -g hit %d\n  case '*'\n    set -e hit\nend\n", w.Words(4), w.Word(1, 1), i)
			case 4:
				fmt.Fprintf(b, "function gen_%d\n  printf '%%s:%%05d\\n' %s $argv | string split : | string join -\nend\ngen_%d %d >/dev/null\n", i%9, w.Word(2, 9), i%9, i)
			default:
				fmt.Fprintf(b, "printf '%%s\\n' %s | while read -l line; set -g last (string length -- $line); end\n", w.Words(w.Between(2, 20)))
			}
		}
		fmt.Fprintln(b, "true")
	})
	return Command{Args: []string{"--no-config", "work.fish"}}, nil
}

func mksh(w *Work) (Command, error) {
	w.Text("work.sh", `
RANDOM=%d; set -A order; typeset -i r=0 bound=%d
function handle { typeset name=$1 IFS=,; set -A f -- $2; eval "count_$name=\${#f[*]}"; REPLY="${name}:${f[*]}"; }
while (( r++ < %d )); do
  name=u$(( RANDOM %% (bound * 3) )); body=; typeset -i i=0
  while (( i++ < 1 + RANDOM %% %d )); do body+="f$i=${name#u}${name}x,"; done
  handle $name "$body"
  case $(( RANDOM %% 5 )) in
    0) eval "cache_$name=\$REPLY"; order[${#order[*]}]=$name; if (( ${#order[*]} > bound )); then unset cache_${order[0]}; unset order[0]; set -A order -- "${order[@]}"; fi ;;
    1) [[ $body = *f3=@([0-9])* ]] && line=${body//x/yy} ;;
    2) eval "function gen$(( r %% 9 )) { print -r -- $name; }"; gen$(( r %% 9 )) >/dev/null ;;
    3) typeset -u up=$REPLY; unset up; alias a$(( r %% 20 ))="echo $name" ;;
    4) x=${|REPLY=${body:2:9};}; print -r -- "$x" | read y ;;
  esac
done
:
`, w.Rand.IntN(32000), w.Between(5, 60), w.Amount(100, 500), w.Between(3, 14))
	return Command{Args: []string{"work.sh"}}, nil
}

func yacas(w *Work) (Command, error) {
	w.Write("work.ys", func(b *bufio.Writer) {
		for i := range w.Amount(10, 60) {
			if fault := w.Fault(); fault != nil {
				word := fault.Word(2, 6)
				fmt.Fprintln(b, Pick(fault, "TrapError(Nth(1,"+word+"), 0);", "TrapError(Check(False, \""+word+"\"), 0);", "TrapError(Head({}), \""+word+"\");"))
			}
			fmt.Fprintln(b, Pick(w, fmt.Sprintf("D(x) (x^%d + Sin(%d*x) * Exp(x));", w.Between(2, 9), w.Between(2, 9)), fmt.Sprintf("Expand((x + %d)^%d);", w.Rand.IntN(9), w.Between(2, 7)), fmt.Sprintf("Factor(%d);", w.Between(100, 90000)), fmt.Sprintf("Solve(x^2 + %d*x - %d, x);", w.Rand.IntN(9), w.Between(2, 50)),
				fmt.Sprintf("f%d(n) := If(n < 2, 1, n * f%d(n - 1)); f%d(%d);", i%5, i%5, i%5, w.Between(3, 20)), fmt.Sprintf("Simplify((x^2 - %d) / (x - 1));", w.Rand.IntN(9)), fmt.Sprintf("Sort({%s}, \"<\");", strings.Trim(strings.Repeat(fmt.Sprint(w.Rand.IntN(99), ","), 6), ",")), fmt.Sprintf("N(Sqrt(%d), %d);", w.Between(2, 99), w.Between(5, 40))))
		}
		fmt.Fprintln(b, "Exit();")
	})
	return Command{Args: []string{"-pc", "work.ys"}}, nil
}
