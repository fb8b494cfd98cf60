package datasets

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
)

// Real programs with a container that grows: a table of sessions under keys that
// never come again. In clean runs the oldest session goes when the table is full.
// In leaky runs that is forgotten, for all sessions or some, from the start or
// from some moment on; the session stays reachable through the table.
//
// The truth is what emptying the table gives back (see forget/forget.h). Before
// that, what is no part of the growth is thrown away: garbage, and the sessions
// that a table in order would still hold.
//
// Note: left out, because emptying gives back only part of what has grown, or
// more: perl and gawk (values live in blocks of many that are never freed), guile
// (its collector does not use malloc), sqlite3 (a page holds old rows and new ones),
// mosquitto (the tree of its topics is never pruned, in clean runs either), nginx
// and haproxy (their tables have a fixed size).
var growing = []Program{
	{Name: "growth-lua", Kind: "interpreter", Packages: []string{"lua5.4"}, Binary: "/usr/bin/lua5.4", Grows: true, Prepare: growingLua},
	{Name: "growth-python", Kind: "interpreter", Packages: []string{"python3"}, Binary: "/usr/bin/python3", Grows: true, Prepare: growingPython},
	{Name: "growth-ruby", Kind: "interpreter", Packages: []string{"ruby"}, Binary: "/usr/bin/ruby", Grows: true, Prepare: growingRuby},
	{Name: "growth-php", Kind: "interpreter", Packages: []string{"php-cli"}, Binary: "/usr/bin/php", Grows: true, Prepare: growingPHP},
	{Name: "growth-vim", Kind: "tool", Packages: []string{"vim"}, Binary: "/usr/bin/vim.basic", Grows: true, Prepare: growingVim},
	{Name: "growth-zsh", Kind: "interpreter", Packages: []string{"zsh"}, Binary: "/usr/bin/zsh", Grows: true, Prepare: growingZsh},
	{Name: "growth-redis", Kind: "server", Packages: []string{"redis-server"}, Binary: "/usr/bin/redis-server", Jemalloc: true, Grows: true, Prepare: growingRedis},
}

// growth is how the table of one run behaves.
type growth struct {
	seed, requests, bound int
	mix                   float64 // share of the requests that make a session
	leak                  float64 // share of the sessions that stay although the table is full; 0: clean
	start                 int     // request from which on that happens
}

func drawGrowth(w *Work, low, high int) growth {
	g := growth{seed: w.Rand.IntN(30000), requests: w.Amount(low, high), bound: w.Between(8, 60), mix: 0.2 + 0.6*w.Rand.Float64()}
	if w.Leaky {
		g.leak = 1
		if w.Rand.IntN(2) > 0 {
			g.leak = 0.05 * float64(w.Between(1, 15))
		}
		if w.Rand.IntN(3) == 0 {
			g.start = int(float64(g.requests) * 0.6 * w.Rand.Float64())
		}
	}
	return g
}

func growingLua(w *Work) (Command, error) {
	g := drawGrowth(w, 2500, 12000)
	w.Text("work.lua", `
local seed, requests, bound, mix, leak, start = %d, %d, %d, %g, %g, %d
math.randomseed(seed)
local sessions, order, first, users = {}, {}, 1, {}
for r = 1, requests do
  local user = "user" .. math.random(bound * 4)
  local parts = {}
  for i = 1, math.random(%d) do parts[i] = string.rep(user, math.random(4)) end
  local body = table.concat(parts, ",")
  for word in body:gmatch("%%w+") do users[word] = (users[word] or 0) + 1 end
  if math.random() < mix then
    local key = "session " .. r .. " of " .. user .. " " .. seed
    sessions[key] = { user = user, body = body, hits = r }
    order[#order + 1] = key
    if #order - first >= bound then
      local oldest = order[first]; order[first] = false; first = first + 1
      if math.random() >= leak or r < start then sessions[oldest] = nil end
    end
  end
  if first > 200 then table.move(order, first, #order, 1); for i = #order, #order - first + 2, -1 do order[i] = nil end; first = 1 end
  if math.random() < 0.02 then pcall(function() error({ code = r }) end) end
end
os.remove("leakformer-phase-1")
for i = first, #order do sessions[order[i]] = nil end
order = nil; collectgarbage(); collectgarbage()
os.remove("leakformer-phase-2")
sessions = nil; collectgarbage(); collectgarbage()
os.remove("leakformer-phase-3")
`, g.seed, g.requests, g.bound, g.mix, g.leak, g.start, w.Between(3, 14))
	return Command{Args: []string{"work.lua"}}, nil
}

func growingPython(w *Work) (Command, error) {
	g := drawGrowth(w, 300, 1600)
	w.Text("work.py", `
import gc, json, os, random
from collections import deque
seed, requests, bound, mix, leak, start = %d, %d, %d, %g, %g, %d
random.seed(seed)
class Session:
    def __init__(self, user, text, number): self.user, self.text, self.number = user, text, number
sessions, order, seen = {}, deque(), {}
for r in range(requests):
    user = "user%%d" %% random.randrange(bound * 4)
    text = json.dumps({"f%%d" %% i: "x" * random.randrange(60) for i in range(random.randrange(1, %d))})
    fields = json.loads(text)
    seen[user] = seen.get(user, 0) + 1
    if random.random() < mix:
        key = "session-%%d-%%d" %% (seed, r)
        sessions[key] = Session(user, text, [r, len(fields)])
        order.append(key)
        if len(order) > bound:
            oldest = order.popleft()
            if random.random() >= leak or r < start: del sessions[oldest]
    if random.random() < 0.03:
        try: raise ValueError("request %%d" %% r)
        except ValueError as e: str(e)
key = oldest = text = fields = user = None
os.unlink("leakformer-phase-1")
while order: del sessions[order.popleft()]
gc.collect()
os.unlink("leakformer-phase-2")
sessions.clear(); gc.collect()
os.unlink("leakformer-phase-3")
`, g.seed, g.requests, g.bound, g.mix, g.leak, g.start, w.Between(3, 10))
	return Command{Args: []string{"-S", "-B", "work.py"}, Env: []string{"PYTHONMALLOC=malloc", "PYTHONHASHSEED=0"}}, nil
}

func growingRuby(w *Work) (Command, error) {
	g := drawGrowth(w, 2000, 9000)
	w.Text("work.rb", `
seed, requests, bound, mix, leak, start = %d, %d, %d, %g, %g, %d
srand(seed)
Session = Struct.new(:user, :fields, :body, :number)
$sessions, $order = {}, []
def work(seed, requests, bound, mix, leak, start)
  count = Hash.new(0)
  requests.times do |r|
    user = "user#{rand(bound * 4)}"
    fields = (1..1 + rand(%d)).map { |i| ["f#{i}", "x" * rand(80)] }.to_h
    body = fields.map { |k, v| "#{k}=#{v}" }.join("&")
    count[user] += 1
    if rand < mix
      key = "session number #{r} of #{user} in run #{seed}"
      $sessions[key] = Session.new(user, fields, body * 2, r); $order << key
      if $order.size > bound
        oldest = $order.shift
        $sessions.delete(oldest) if rand >= leak || r < start
      end
    end
    begin; raise ArgumentError, "request #{r}"; rescue => e; e.message; end if rand < 0.03
  end
end
work(seed, requests, bound, mix, leak, start)
File.delete("leakformer-phase-1")
$sessions.delete($order.shift) until $order.empty?
GC.start; GC.start
File.delete("leakformer-phase-2")
$sessions = nil; GC.start; GC.start
File.delete("leakformer-phase-3")
`, g.seed, g.requests, g.bound, g.mix, g.leak, g.start, w.Between(4, 14))
	return Command{Args: []string{"--disable-gems", "work.rb"}}, nil
}

func growingPHP(w *Work) (Command, error) {
	g := drawGrowth(w, 600, 4000)
	w.Text("work.php", `<?php
[$seed, $requests, $bound, $mix, $leak, $start] = [%d, %d, %d, %g, %g, %d];
mt_srand($seed);
function chance() { return mt_rand(0, 999999) / 1000000; }
class Session { function __construct(public string $user, public array $fields, public string $body) {} }
$sessions = []; $order = []; $count = [];
for ($r = 0; $r < $requests; $r++) {
  $user = "user" . mt_rand(0, $bound * 4); $fields = [];
  for ($i = mt_rand(1, %d); $i > 0; $i--) $fields["f$i"] = str_repeat("x", mt_rand(0, 60));
  $json = json_encode($fields); $back = json_decode($json, true);
  $count[$user] = ($count[$user] ?? 0) + 1;
  if (chance() < $mix) {
    $key = "session-$seed-$r"; $sessions[$key] = new Session($user, $fields, $json); $order[] = $key;
    if (count($order) > $bound) {
      $oldest = array_shift($order);
      if (chance() >= $leak || $r < $start) unset($sessions[$oldest]);
    }
  }
  if (chance() < 0.03) { try { throw new Exception("request $r"); } catch (Exception $e) { $e->getMessage(); } }
  $text = preg_replace('/x+/', 'y', $json);
}
$key = $oldest = $user = $fields = $json = $back = $text = $e = null;
unlink("leakformer-phase-1");
foreach ($order as $key) unset($sessions[$key]);
$order = null; $key = null; gc_collect_cycles();
unlink("leakformer-phase-2");
$sessions = null; gc_collect_cycles();
unlink("leakformer-phase-3");
`, g.seed, g.requests, g.bound, g.mix, g.leak, g.start, w.Between(4, 14))
	return Command{Args: []string{"-n", "work.php"}, Env: []string{"USE_ZEND_ALLOC=0"}}, nil
}

func growingVim(w *Work) (Command, error) {
	g := drawGrowth(w, 500, 3000)
	w.Write("in.txt", func(b *bufio.Writer) {
		for range w.Between(100, 600) {
			fmt.Fprintln(b, w.Words(w.Between(1, 15)))
		}
	})
	w.Text("work.vim", `
let [s:seed, s:requests, s:bound, s:mix, s:leak, s:start] = [srand(%d), %d, %d, %d, %d, %d]
let s:sessions = {} | let s:order = [] | let s:r = 0
function s:Request(r)
  let user = 'user' . (rand(s:seed) %% (s:bound * 4))
  let fields = map(range(1 + rand(s:seed) %% %d), 'user . v:val')
  let body = join(sort(copy(fields)), ',')
  if rand(s:seed) %% 1000 < s:mix
    let key = 'session ' . a:r
    let s:sessions[key] = {'user': user, 'fields': fields, 'body': body}
    call add(s:order, key)
    if len(s:order) > s:bound
      let oldest = remove(s:order, 0)
      if rand(s:seed) %% 1000 >= s:leak || a:r < s:start
        unlet s:sessions[oldest]
      endif
    endif
  endif
  if rand(s:seed) %% 40 == 0
    silent! execute '%%s/' . nr2char(97 + rand(s:seed) %% 26) . 'e/xx/ge' | undo
  endif
endfunction
while s:r < s:requests
  call s:Request(s:r)
  let s:r += 1
endwhile
call delete('leakformer-phase-1')
for s:key in s:order | unlet s:sessions[s:key] | endfor
unlet s:order s:key | call garbagecollect()
call delete('leakformer-phase-2')
let s:sessions = {}
call delete('leakformer-phase-3')
qall!
`, g.seed, g.requests, g.bound, int(1000*g.mix), int(1000*g.leak), g.start, w.Between(3, 12))
	return Command{Args: []string{"-es", "-u", "NONE", "-i", "NONE", "-n", "-S", "work.vim", "in.txt"}, Stdin: "in.txt", Exits: []int{1}}, nil
}

func growingZsh(w *Work) (Command, error) {
	g := drawGrowth(w, 300, 1500)
	w.Text("work.zsh", `
zmodload -F zsh/files b:zf_rm
RANDOM=%d; typeset -A sessions count; typeset -a order
request() {
  local user=user$(( RANDOM %% %d )) body=; local -i i
  for (( i = 0; i < 1 + RANDOM %% %d; i++ )); do body+="field$i=${(U)user},"; done
  count[$user]=$(( ${count[$user]:-0} + 1 ))
  if (( RANDOM %% 1000 < %d )); then
    sessions[session-$1-$user]=$body; order+=(session-$1-$user)
    if (( $#order > %d )); then
      local oldest=$order[1]; shift order
      if (( RANDOM %% 1000 >= %d || $1 < %d )); then unset "sessions[$oldest]"; fi
    fi
  fi
}
for (( r = 0; r < %d; r++ )); do request $r; done
zf_rm -f leakformer-phase-1
for key in $order; do unset "sessions[$key]"; done
unset order key
zf_rm -f leakformer-phase-2
unset sessions
zf_rm -f leakformer-phase-3
`, g.seed, g.bound*4, w.Between(2, 10), int(1000*g.mix), g.bound, int(1000*g.leak), g.start, g.requests)
	return Command{Args: []string{"-f", "work.zsh"}}, nil
}

// table is what a client of a growing server remembers of its sessions.
type table struct {
	growth
	r     *rand.Rand
	order []string
}

func newTable(w *Work, g growth) *table {
	return &table{growth: g, r: rand.New(rand.NewPCG(w.Rand.Uint64(), 0))}
}

// add notes a session and returns the one that has to go for it, or "".
func (t *table) add(key string, request int) string {
	t.order = append(t.order, key)
	if len(t.order) <= t.bound {
		return ""
	}
	oldest := t.order[0]
	t.order = t.order[1:]
	if request >= t.start && t.r.Float64() < t.leak {
		return ""
	}
	return oldest
}

func growingRedis(w *Work) (Command, error) {
	port, t := w.Port(), newTable(w, drawGrowth(w, 1500, 9000))
	drive := func(ctx context.Context, _ *os.Process) error {
		c, err := dialWhenUp(ctx, fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		defer c.Close()
		if deadline, ok := ctx.Deadline(); ok {
			c.SetDeadline(deadline)
		}
		in := bufio.NewReader(c)
		err = redisSessions(t, func(format string, args ...any) error { return redisCall(c, in, fmt.Sprintf(format, args...)) }, w.Phase)
		if err == nil {
			_, err = fmt.Fprint(c, "SHUTDOWN NOSAVE\r\n")
		}
		return err
	}
	return Command{Args: []string{"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--io-threads", "1", "--lazyfree-lazy-user-flush", "no", "--logfile", "log"}, Drive: drive}, nil
}

// redisSessions uses call to do the work, and phase and a command that changes
// nothing to end it.
func redisSessions(t *table, call func(format string, args ...any) error, phase func(int) error) error {
	request := func(i int) error {
		user := t.r.IntN(t.bound * 4)
		if t.r.Float64() < t.mix {
			key := fmt.Sprintf("session:%d:%d", i, user)
			if err := call("HSET %s user %d body %s", key, user, strings.Repeat("b", t.r.IntN(300))); err != nil {
				return err
			}
			if oldest := t.add(key, i); oldest != "" {
				if err := call("DEL %s", oldest); err != nil {
					return err
				}
			}
		}
		switch t.r.IntN(4) {
		case 0:
			return call("SET name:%d %s", user, strings.Repeat("n", t.r.IntN(100)))
		case 1:
			return call("LPUSH recent %d", user)
		case 2:
			return call("LTRIM recent 0 %d", t.bound)
		}
		return call("GET name:%d", user)
	}
	for i := range t.requests {
		if err := request(i); err != nil {
			return err
		}
	}
	steps := []func() error{
		func() error { return phase(phaseCut) },
		func() error { return call("DEL recent") },
		func() error {
			for user := range t.bound * 4 {
				if err := call("DEL name:%d", user); err != nil {
					return err
				}
			}
			for _, key := range t.order {
				if err := call("DEL %s", key); err != nil {
					return err
				}
			}
			return nil
		},
		func() error { return phase(phaseEmpty) },
		func() error { return call("PING") },
		func() error { return call("FLUSHALL SYNC") },
		func() error { return phase(phaseEmpty + 1) },
		func() error { return call("PING") },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
