package datasets

import (
	"bufio"
	"fmt"
)

// Interpreters run scripts of long loops with sessions that come and go, tables
// that grow to a bound, and errors now and then: what a service does.
var interpreters = []Program{
	{Name: "lua", Kind: "interpreter", Packages: []string{"lua5.4"}, Binary: "/usr/bin/lua5.4", Errors: true, Prepare: lua},
	{Name: "perl", Kind: "interpreter", Packages: []string{"perl"}, Binary: "/usr/bin/perl", Errors: true, Prepare: perl},
	{Name: "python", Kind: "interpreter", Packages: []string{"python3"}, Binary: "/usr/bin/python3", Errors: true, Prepare: python},
	{Name: "bash", Kind: "interpreter", Packages: []string{"bash"}, Binary: "/bin/bash", Prepare: bash},
	{Name: "ruby", Kind: "interpreter", Packages: []string{"ruby"}, Binary: "/usr/bin/ruby", Errors: true, Prepare: ruby},
	{Name: "php", Kind: "interpreter", Packages: []string{"php-cli"}, Binary: "/usr/bin/php", Errors: true, Prepare: php},
	{Name: "guile", Kind: "interpreter", Packages: []string{"guile-3.0"}, Binary: "/usr/bin/guile", Prepare: guile},
	{Name: "gawk", Kind: "interpreter", Packages: []string{"gawk"}, Binary: "/usr/bin/gawk", Prepare: awk},
	{Name: "bc", Kind: "interpreter", Packages: []string{"bc"}, Binary: "/usr/bin/bc", Prepare: bc},
	{Name: "m4", Kind: "interpreter", Packages: []string{"m4"}, Binary: "/usr/bin/m4", Prepare: m4},
}

func lua(w *Work) (Command, error) {
	w.Text("work.lua", `
local seed, requests, bound, mix, faults = %d, %d, %d, %g, %g
math.randomseed(seed)
local cache, order, users = {}, {}, {}
for r = 1, requests do
  local session = { id = r, parts = {}, name = "user" .. math.random(bound * 4) }
  for i = 1, math.random(%d) do session.parts[i] = string.rep(session.name, math.random(6)) end
  local body = table.concat(session.parts, ",")
  for word in body:gmatch("%%w+") do users[word] = (users[word] or 0) + 1 end
  if math.random() < mix then
    cache[session.name] = body; order[#order + 1] = session.name
    if #order > bound then cache[table.remove(order, 1)] = nil end
  end
  if math.random() < faults then
    pcall(function() error({ code = r, text = body:sub(1, 20) }) end)
    local f, message = load("return function(" .. session.name .. " +")
    pcall(string.rep, nil, r); xpcall(function() return session.none.field end, debug.traceback)
    coroutine.resume(coroutine.create(function() local open <close> = setmetatable({}, { __close = function() end }); error(message) end))
  end
  if math.random() < 0.05 then local f = load("return function(x) return x .. '" .. session.name .. "' end"); f()("a") end
  local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(body:upper()) end end)
  co(); co()
end
`, w.Rand.IntN(1<<30), w.Amount(3000, 20000), w.Between(30, 400), 0.2+0.6*w.Rand.Float64(), w.FaultRate(), w.Between(5, 25))
	return Command{Args: []string{"work.lua"}}, nil
}

func perl(w *Work) (Command, error) {
	w.Text("work.pl", `
use strict; srand(%d);
my ($requests, $bound, $mix, $faults) = (%d, %d, %g, %g);
my (%%cache, @order, %%count, @log);
package Node; sub new { my ($c, $v) = @_; bless { value => $v, kids => [] }, $c } sub add { push @{$_[0]{kids}}, $_[1] }
sub depth { my $d = 0; for (@{$_[0]{kids}}) { my $k = $_->depth; $d = $k if $k > $d } $d + 1 }
package main;
for my $r (1 .. $requests) {
  my $name = "user" . int(rand($bound * 4));
  my %%req = (id => $r, name => $name, fields => [ map { "f$_=" . ("x" x int(rand(60))) } 1 .. 1 + int(rand(%d)) ]);
  my $line = join "&", @{$req{fields}};
  my %%parsed = map { my ($k, $v) = split /=/, $_, 2; $k => $v } split /&/, $line;
  $count{$name}++;
  if (rand() < $mix) { $cache{$name} = $line; push @order, $name; delete $cache{shift @order} if @order > $bound }
  my $tree = Node->new($r); my $at = $tree;
  for (1 .. int(rand(6))) { my $n = Node->new("n$_"); $at->add($n); $at = $n }
  $tree->depth;
  if (rand() < $faults) {
    eval { die { code => $r, text => substr($line, 0, 10) } }; eval { Node->nowhere($r) }; eval { local $SIG{__DIE__} = sub { my @seen = @_ }; die "request $r\n" };
    my $open = "(x[$r"; eval { $line =~ /$open/ }; eval { my @a = @$name }; eval { $r / (length($line) - length $line) };
    eval "sub { \$_[0] + "; eval { sprintf "%%s", $tree->{kids}{none} }; open(my $f, "<", "/none/$name") or my $why = "$!";
  }
  (my $clean = $line) =~ s/x+/y/g; push @log, sprintf("%%s %%05d %%s", $name, $r, $clean) if rand() < 0.2;
  @log = sort(@log), splice(@log, 0, 40) if @log > 80;
  eval "sub { \$_[0] + $r }" if rand() < 0.02;
}
print scalar(keys %%count), "\n";
`, w.Rand.IntN(1<<30), w.Amount(800, 6000), w.Between(30, 400), 0.2+0.6*w.Rand.Float64(), w.FaultRate(), w.Between(3, 12))
	return Command{Args: []string{"work.pl"}}, nil
}

func python(w *Work) (Command, error) {
	w.Text("work.py", `
import random, json, re
from collections import OrderedDict, deque
random.seed(%d)
requests, bound, mix, faults, width = %d, %d, %g, %g, %d
class Session:
    def __init__(self, name): self.name, self.fields, self.peer = name, {}, None
cache, recent, seen = OrderedDict(), deque(maxlen=bound), {}
for r in range(requests):
    s = Session("user%%d" %% random.randrange(bound * 4))
    s.fields = {"f%%d" %% i: "x" * random.randrange(60) for i in range(random.randrange(1, width))}
    text = json.dumps(s.fields)
    back = json.loads(text)
    seen[s.name] = seen.get(s.name, 0) + 1
    recent.append([s.name, len(text)])
    if random.random() < mix:
        cache[s.name] = text
        if len(cache) > bound: cache.popitem(last=False)
    if random.random() < faults:
        for fail in (lambda: int("x%%d" %% r), lambda: json.loads(text[1:]), lambda: compile("def f(:", "gen", "exec"), lambda: s.nowhere, lambda: re.compile("(x"), lambda: open("/none/%%d" %% r), lambda: b"\xff".decode()):
            try: fail()
            except Exception as e: recent.append([str(e)])
    if random.random() < 0.1:
        a, b = Session("a"), Session("b"); a.peer, b.peer = b, a
    if random.random() < 0.01: exec(compile("def f%%d(x): return x + %%d" %% (r %% 7, r), "gen", "exec"), {})
    re.sub(r"x+", "y", text).split(",")
`, w.Rand.IntN(1<<30), w.Amount(250, 2000), w.Between(20, 200), 0.2+0.6*w.Rand.Float64(), w.FaultRate(), w.Between(4, 12))
	return Command{Args: []string{"-S", "-B", "work.py"}, Env: []string{"PYTHONMALLOC=malloc", "PYTHONHASHSEED=0"}}, nil
}

func bash(w *Work) (Command, error) {
	w.Text("work.sh", `
RANDOM=%d; requests=%d; bound=%d
declare -A count cache; declare -a order
handle() { local name=$1 body=$2 IFS=,; set -- $body; local n=$#; count[$name]=$(( ${count[$name]:-0} + n )); printf -v line '%%s:%%05d' "$name" $n; }
for (( r = 0; r < requests; r++ )); do
  name=user$(( RANDOM %% (bound * 3) )); body=
  for (( i = 0; i < 1 + RANDOM %% %d; i++ )); do body+="field$i=${name//user/u}${line:0:8},"; done
  handle "$name" "$body"
  case $(( RANDOM %% 4 )) in
    0) cache[$name]=$body; order+=("$name"); if (( ${#order[@]} > bound )); then unset "cache[${order[0]}]"; order=("${order[@]:1}"); fi ;;
    1) if [[ $body =~ (field[0-9])=([a-z0-9]+) ]]; then x=${BASH_REMATCH[2]^^}; fi ;;
    2) read -r a b c <<< "$body $name x" ;;
    3) while [[ ${#body} -gt 40 ]]; do body=${body%%,*}; body=${body%%?}; done ;;
  esac
done
echo ${#count[@]}
`, w.Rand.IntN(32000), w.Amount(120, 600), w.Between(8, 30), w.Between(3, 8))
	return Command{Args: []string{"work.sh"}}, nil
}

func ruby(w *Work) (Command, error) {
	w.Text("work.rb", `
srand(%d); requests, bound, mix, faults, width = %d, %d, %g, %g, %d
Session = Struct.new(:name, :fields)
cache, order, count, log = {}, [], Hash.new(0), []
requests.times do |r|
  s = Session.new("user#{rand(bound * 4)}", (1..1 + rand(width)).map { |i| ["f#{i}", "x" * rand(80)] }.to_h)
  line = s.fields.map { |k, v| "#{k}=#{v}" }.join("&")
  back = line.split("&").map { |f| f.split("=", 2) }.to_h
  count[s.name] += 1
  if rand < mix
    cache[s.name] = line; order << s.name
    cache.delete(order.shift) if order.size > bound
  end
  log << format("%%s %%05d %%s", s.name, r, line.gsub(/x+/, "y")) if rand < 0.3
  log = log.sort.last(30) if log.size > 60
  if rand < faults
    [-> { raise ArgumentError, "request #{r}" }, -> { Integer(s.name) }, -> { s.nowhere }, -> { eval("lambda { |x| x + ") }, -> { Regexp.new("(x#{r}") },
     -> { File.read("/none/#{r}") }, -> { throw :"nobody" }, -> { Fiber.new { raise IOError, line }.resume }].each { |f| begin; f.call; rescue Exception => e; log << e.message; end }
  end
  eval("lambda { |x| x + #{r} }") if rand < 0.02
  Fiber.new { Fiber.yield line.upcase }.resume if rand < 0.02
end
`, w.Rand.IntN(1<<30), w.Amount(2500, 12000), w.Between(30, 300), 0.2+0.6*w.Rand.Float64(), w.FaultRate(), w.Between(4, 14))
	return Command{Args: []string{"--disable-gems", "work.rb"}}, nil
}

func php(w *Work) (Command, error) {
	w.Text("work.php", `<?php
mt_srand(%d); [$requests, $bound, $mix, $faults, $width] = [%d, %d, %d, %g, %d];
class Session { public $peer; function __construct(public string $name, public array $fields = []) {} }
$cache = []; $count = []; $log = [];
for ($r = 0; $r < $requests; $r++) {
  $s = new Session("user" . mt_rand(0, $bound * 4));
  for ($i = mt_rand(1, $width); $i > 0; $i--) $s->fields["f$i"] = str_repeat("x", mt_rand(0, 60));
  $json = json_encode($s->fields); $back = json_decode($json, true);
  $count[$s->name] = ($count[$s->name] ?? 0) + 1;
  if (mt_rand(0, 99) < $mix) { $cache[$s->name] = $json; if (count($cache) > $bound) array_shift($cache); }
  if (mt_rand(0, 99) < 10) { $o = new Session("o"); $o->peer = $s; $s->peer = $o; }
  if (mt_rand(0, 9999) < 10000 * $faults) {
    foreach ([fn() => throw new Exception("request $r"), fn() => json_decode($json . "x", false, 9, JSON_THROW_ON_ERROR), fn() => intdiv($r, 0), fn() => $s->nowhere(),
      fn() => eval("function f$r( {"), fn() => new DateTime("no date $r"), fn() => str_repeat("x", -1)] as $f) { try { $f(); } catch (Throwable $e) { $log[] = $e->getMessage(); } }
    @preg_match("/(x$r/", $json); @file_get_contents("/none/$r"); @unserialize(substr($json, 3));
  }
  $log[] = preg_replace('/x+/', 'y', $json); if (count($log) > 50) { sort($log); $log = array_slice($log, 25); }
  usort($log, fn($a, $b) => strlen($a) <=> strlen($b));
}
`, w.Rand.IntN(1<<30), w.Amount(600, 4000), w.Between(30, 300), w.Between(20, 80), w.FaultRate(), w.Between(4, 14))
	return Command{Args: []string{"-n", "work.php"}, Env: []string{"USE_ZEND_ALLOC=0"}}, nil
}

func guile(w *Work) (Command, error) {
	w.Text("work.scm", `
(set! *random-state* (seed->random-state %d))
(define cache (make-hash-table))
(define (field i) (string-append "f" (number->string i) "=" (make-string (random 40) #\x)))
(let loop ((r 0))
  (when (< r %d)
    (let* ((name (string-append "user" (number->string (random %d))))
           (fields (map field (iota (+ 1 (random %d)))))
           (port (open-output-string)))
      (for-each (lambda (f) (display f port)) fields)
      (hash-set! cache name (get-output-string port))
      (close-port port)
      (call-with-input-string (format #f "(~a ~s)" r name) read)
      (expt (+ 3 (random 1000)) (+ 40 (random 200)))
      (if (< (random 100) 3) (catch 'oops (lambda () (throw 'oops r)) (lambda (k . a) a)))
      (if (> (hash-count (const #t) cache) %d) (hash-clear! cache)))
    (loop (+ r 1))))
`, w.Rand.IntN(1<<30), w.Amount(6000, 30000), w.Between(100, 1000), w.Between(4, 20), w.Between(50, 500))
	return Command{Args: []string{"--no-auto-compile", "-q", "work.scm"}}, nil
}

func awk(w *Work) (Command, error) {
	w.Write("input.txt", func(b *bufio.Writer) {
		for range w.Amount(1500, 8000) {
			fmt.Fprintf(b, "%s,%d,%s,%s\n", w.Word(3, 8), w.Rand.IntN(10000), w.Words(w.Between(1, 8)), w.Word(1, 30))
		}
	})
	w.Text("work.awk", `
BEGIN { FS = ","; bound = %d }
{ key = substr($1, 1, %d); count[key]++; total[key] += $2
  n = split($3, word, " "); line = ""
  for (i = n; i > 0; i--) line = line toupper(word[i]) "-"
  cache[NR %% bound] = line $4
  if (NR > bound) delete cache[(NR + 1) %% bound]
  if ($4 ~ /^[aeiou]+.*[st]$/) { gsub(/[aeiou]/, "<&>", $4); hit[NR %% 97] = $4 }
  out = sprintf("%%s %%08.2f %%s", key, $2 / 7, line); if (length(out) > longest) { longest = length(out); best = out } }
NR %% %d == 0 { delete hit; for (k in count) if (count[k] < 2) { delete count[k]; delete total[k] } }
END { for (k in count) print k, count[k], total[k] / count[k]; print best }
`, w.Between(20, 500), w.Between(1, 4), w.Between(200, 1500))
	return Command{Args: []string{"-f", "work.awk", "input.txt"}}, nil
}

func bc(w *Work) (Command, error) {
	w.Write("work.bc", func(b *bufio.Writer) {
		fmt.Fprintf(b, "scale=%d\ndefine f(n) { if (n < 2) return (1); return (n * f(n - 1)); }\n", w.Between(10, 60))
		fmt.Fprint(b, "define p(x, n) { auto i, r; r = 1; for (i = 0; i < n; i++) r = r * x; return (r); }\n")
		for i := range w.Amount(200, 1500) {
			switch w.Rand.IntN(5) {
			case 0:
				fmt.Fprintf(b, "f(%d)\n", w.Between(3, 60))
			case 1:
				fmt.Fprintf(b, "a[%d] = p(%d.%d, %d)\n", w.Rand.IntN(50), w.Rand.IntN(90), w.Rand.IntN(1000), w.Between(2, 40))
			case 2:
				fmt.Fprintf(b, "sqrt(%d)\nx = %d / 7\nx ^ 3\n", w.Rand.IntN(1e6), w.Rand.IntN(1e6))
			case 3:
				fmt.Fprintf(b, "for (i = 0; i < %d; i++) { s = s + i / 3 }\n", w.Between(5, 80))
			default:
				fmt.Fprintf(b, "define g%d(x) { auto y; y = x * %d; return (y + s); }\ng%d(%d)\n\"%s\"\n", i%9, w.Rand.IntN(100), i%9, w.Rand.IntN(1000), w.Words(3))
			}
		}
		fmt.Fprint(b, "quit\n")
	})
	return Command{Args: []string{"-q", "work.bc"}}, nil
}

func m4(w *Work) (Command, error) {
	w.Write("work.m4", func(b *bufio.Writer) {
		fmt.Fprint(b, "define(`repeat', `ifelse(eval($1 > 0), 1, `$2`'repeat(decr($1), `$2')')')dnl\n")
		for i := range w.Amount(4000, 20000) {
			name := fmt.Sprintf("m%d", w.Rand.IntN(w.Between(50, 500)))
			switch w.Rand.IntN(6) {
			case 0:
				fmt.Fprintf(b, "define(`%s', `%s $1 %s')dnl\n", name, w.Words(3), w.Word(1, 9))
			case 1:
				fmt.Fprintf(b, "pushdef(`%s', `%s')%s(x)popdef(`%s')\n", name, w.Words(2), name, name)
			case 2:
				fmt.Fprintf(b, "repeat(%d, `%s ')\n", w.Between(1, 20), w.Word(2, 9))
			case 3:
				fmt.Fprintf(b, "translit(`%s', `a-z', `A-Z') len(`%s') regexp(`%s', `[aeiou]')\n", w.Words(4), w.Words(2), w.Word(3, 20))
			case 4:
				fmt.Fprintf(b, "divert(%d)%s\ndivert(0)undefine(`%s')\n", 1+i%5, w.Words(6), name)
			default:
				fmt.Fprintf(b, "%s(`%s') patsubst(`%s', `e', `<\\&>') format(`%%05d', %d)\n", name, w.Word(2, 9), w.Words(3), i)
			}
		}
	})
	return Command{Args: []string{"work.m4"}}, nil
}
