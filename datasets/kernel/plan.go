package kernel

import (
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"strings"

	"leakformer/datasets"
)

// plan is one run: which module does what for how long.
type plan struct {
	module string
	class  datasets.Class
	seed   uint64 // of the module's random numbers
	leaks  int    // bit set of the bugs that are in
	rate   int    // how often they strike, per mille
	after  int    // seconds before the first strikes
	hidden int    // objects out of the scan's sight at most
	linger int    // seconds for which they are kept at most

	first, gap int // seconds before the first scan, and between scans
	scans      int
	clients    []client
	unload     bool // unload the module before the last two scans
}

// client is a process that makes requests of the module.
type client struct {
	name  string
	pause int // milliseconds between requests
}

// draw draws a run. Clean and leaky runs differ in the bugs alone.
func draw(r *rand.Rand, module string, class datasets.Class, scans int) plan {
	p := plan{
		module: module, class: class, seed: r.Uint64N(1 << 31),
		hidden: 4 + r.IntN(60), linger: 10 + r.IntN(50),
		first: 5 + r.IntN(60), gap: 10 + r.IntN(50), scans: max(scans/2, 3) + r.IntN(scans/2+1),
		unload: r.IntN(5) == 0,
	}
	names := []string{"httpd", "worker", "backup", "cron", "sh", "agent"}
	for range 1 + r.IntN(3) {
		p.clients = append(p.clients, client{names[r.IntN(len(names))], 300 << r.IntN(4)})
	}
	if class == datasets.Clean {
		return p
	}
	const bugs = 3 // of each module
	p.leaks = 1 << r.IntN(bugs)
	if r.IntN(3) == 0 {
		p.leaks |= 1 << r.IntN(bugs)
	}
	p.rate = 1000
	if r.IntN(2) == 0 { // uniform in its logarithm
		p.rate = int(math.Exp(math.Log(50) + r.Float64()*math.Log(1000/50)))
	}
	if r.IntN(2) == 0 {
		p.after = r.IntN(p.duration() / 2)
	}
	return p
}

// duration of the run in seconds of the kernel's time.
func (p *plan) duration() int { return p.first + p.gap*p.scans }

// parameters of the module.
func (p *plan) parameters() string {
	return fmt.Sprintf("leaks=%d rate=%d after=%d hidden=%d linger=%d", p.leaks, p.rate, p.after, p.hidden, p.linger)
}

// command says what ran as labels and manifest have it.
func (p *plan) command() string {
	s := fmt.Sprintf("insmod %s.ko %s; %d scans, %d s apart", p.module, p.parameters(), p.scans, p.gap)
	if p.unload {
		s += "; rmmod"
	}
	return s
}

// write writes the plan as init.c reads it.
func (p *plan) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "load labcore.ko seed=%d\nload %s.ko %s\n", p.seed, p.module, p.parameters())
	end := p.duration()
	for _, c := range p.clients {
		fmt.Fprintf(&b, "run %s %d %d\n", c.name, 1000*end/c.pause, c.pause)
	}
	fmt.Fprintf(&b, "wait %d\n", p.first)
	for i := range p.scans {
		if p.unload && i == p.scans-2 {
			fmt.Fprintf(&b, "wait %d\nunload %s\n", p.gap, p.module)
		}
		fmt.Fprintf(&b, "scan\nwait %d\n", p.gap)
	}
	b.WriteString("copy /sys/kernel/debug/lab/truth /out/truth\ndmesg\ndone\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func hash(name string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, name)
	return h.Sum64()
}
