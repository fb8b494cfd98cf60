package ingest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// deed is something that a program does with its heap.
type deed struct {
	kind      deedKind
	old, addr uint64 // old is freed, addr allocated
	size      int64
	site      int // index of sites
	tid       int32
	at        time.Duration
}

type deedKind uint8

const (
	allocates deedKind = iota
	frees
	reallocates
)

// sites are call stacks as all formats below can write them, the innermost first.
var sites = [][]string{{"lose", "main"}, {"grow", "main"}, {"remember", "serve", "main"}, {"main"}}

// drawDeeds makes any history of a heap: with frees of nothing known, and with
// addresses that are handed out again though they were not seen freed.
func drawDeeds(t *rapid.T) []deed {
	addr := rapid.Custom(func(t *rapid.T) uint64 { return 0x1000 + 0x40*rapid.Uint64Range(0, 20).Draw(t, "slot") })
	var at time.Duration
	var deeds []deed
	for range rapid.IntRange(1, 40).Draw(t, "deeds") {
		at += time.Duration(rapid.IntRange(0, 5000).Draw(t, "pause")) * time.Millisecond
		deeds = append(deeds, deed{
			kind: deedKind(rapid.IntRange(0, int(reallocates)).Draw(t, "kind")),
			old:  addr.Draw(t, "old"), addr: addr.Draw(t, "addr"),
			size: rapid.OneOf(rapid.Int64Range(1, 4096), rapid.Int64Range(1, 1<<48)).Draw(t, "size"),
			site: rapid.IntRange(0, len(sites)-1).Draw(t, "site"),
			tid:  int32(rapid.IntRange(7, 9).Draw(t, "tid")),
			at:   at,
		})
	}
	return deeds
}

// dialect writes deeds in one format.
type dialect struct {
	format, head string
	// alloc and free write one deed. Where moves is set, alloc also writes a realloc,
	// on two lines where split is set; elsewhere that is a free and an alloc.
	alloc, free  func(d deed) string
	moves, split bool
	tail         func(allocs, frees int) string
	// What the format carries, and how it shows the frames of a site.
	pid, tid, comm, timed bool
	stack                 func(d deed) string
}

func ip(site int) uint64 { return 0x401000 + uint64(site)*16 }

// call is a call with its arguments, the address of a realloc with a verb for it.
func (d *deed) call(verb string) string {
	if d.kind == reallocates {
		return fmt.Sprintf("realloc("+verb+", %d)", d.old, d.size)
	}
	return fmt.Sprintf("malloc(%d)", d.size)
}

func (d *deed) function() string {
	return map[bool]string{true: "realloc", false: "malloc"}[d.kind == reallocates]
}

// callers writes the frames of a site, each in a line.
func (d *deed) callers(format string) (s string) {
	for i, f := range sites[d.site] {
		s += fmt.Sprintf(format, ip(d.site)+uint64(i), f)
	}
	return s
}

func (d *deed) seconds() string { return fmt.Sprintf("%.6f", d.at.Seconds()+1e5) }

var dialects = []dialect{
	{
		format: "trace-malloc", pid: true, moves: true,
		stack: func(d deed) string { return "0x0 " + d.function() },
		alloc: func(d deed) string { return fmt.Sprintf("--7-- %s = 0x%X\n", d.call("0x%X"), d.addr) },
		free:  func(d deed) string { return fmt.Sprintf("--7-- free(0x%X)\n", d.old) },
	},
	{
		format: "mtrace", head: "= Start\n", moves: true, split: true,
		stack: func(d deed) string { return fmt.Sprintf("%#x in ./a b", ip(d.site)) },
		alloc: func(d deed) string {
			where := fmt.Sprintf("@ ./a b:[%#x]", ip(d.site))
			if d.kind == reallocates {
				return fmt.Sprintf("%s < %#x\n%[1]s > %#[3]x %#[4]x\n", where, d.old, d.addr, d.size)
			}
			return fmt.Sprintf("%s + %#x %#x\n", where, d.addr, d.size)
		},
		free: func(d deed) string { return fmt.Sprintf("@ ./a b:[%#x] - %#x\n", ip(d.site), d.old) },
	},
	{
		format: "heaptrack", head: "v 10400 3\nx 2 /a\nt 401000 0\nt 401010 0\nt 401020 0\nt 401030 0\n", timed: true,
		stack: func(d deed) string { return fmt.Sprintf("%#x", ip(d.site)) },
		alloc: func(d deed) string {
			return fmt.Sprintf("c %x\n+ %x %x %x\n", d.at.Milliseconds(), d.size, d.site+1, d.addr)
		},
		free: func(d deed) string { return fmt.Sprintf("c %x\n- %x\n", d.at.Milliseconds(), d.old) },
	},
	{
		format: "ltrace", pid: true, tid: true, timed: true, moves: true,
		stack: func(d deed) string { return fmt.Sprintf("0x0 %s; %#x in a", d.function(), ip(d.site)) },
		alloc: func(d deed) string {
			return fmt.Sprintf("%d 1795%s [%#x] a->%s = %#x\n", d.tid, d.seconds(), ip(d.site), d.call("%#x"), d.addr)
		},
		free: func(d deed) string {
			return fmt.Sprintf("%d 1795%s a->free(%#x) = <void>\n", d.tid, d.seconds(), d.old)
		},
	},
	{
		format: "gdb", head: "leakformer-gdb 1\n", pid: true, tid: true, timed: true, moves: true,
		stack: func(d deed) string {
			return "0x0 " + d.function() + d.callers("; %#x %s at /src/a.c:12 in /bin/a")
		},
		alloc: func(d deed) string {
			return fmt.Sprintf("%.6f 7 %d %s = %#x\n", d.at.Seconds(), d.tid, d.call("%#x"), d.addr) + d.callers("\t%#x\t%s\t/src/a.c:12\t/bin/a\n")
		},
		free: func(d deed) string { return fmt.Sprintf("%.6f 7 %d free(%#x)\n", d.at.Seconds(), d.tid, d.old) },
		tail: func(allocs, frees int) string { return fmt.Sprintf("end: %d allocs, %d frees\n", allocs, frees) },
	},
	{
		format: "ftrace", tid: true, comm: true, timed: true,
		stack: func(d deed) string { return "0x0 " + strings.Join(sites[d.site], "; 0x0 ") },
		alloc: func(d deed) string {
			entry := fmt.Sprintf("   a b-%d   [001] .....  %s: ", d.tid, d.seconds())
			return entry + fmt.Sprintf("kmalloc: call_site=f+0x1/0x2 ptr=%016x bytes_req=1 bytes_alloc=%d\n", d.addr, d.size) +
				entry + "<stack trace>\n => " + strings.Join(sites[d.site], "\n => ") + "\n"
		},
		free: func(d deed) string {
			return fmt.Sprintf("   a b-%d   [001] .....  %s: kfree: call_site=g+0x1/0x2 ptr=%016x\n", d.tid, d.seconds(), d.old)
		},
	},
	{
		format: "perf-kmem", tid: true, comm: true, timed: true,
		stack: func(d deed) string { return "0x0 " + strings.Join(sites[d.site], "; 0x0 ") },
		alloc: func(d deed) string {
			return fmt.Sprintf("a b  %d [001]  %s: kmem:kmalloc: call_site=f+0x1 ptr=%#x bytes_req=1 bytes_alloc=%d\n", d.tid, d.seconds(), d.addr, d.size) +
				d.callers("\t%16x %s+0x10 ([kernel.kallsyms])\n") + "\n"
		},
		free: func(d deed) string {
			return fmt.Sprintf("a b  %d [001]  %s: kmem:kfree: call_site=g+0x1 ptr=%#x\n\n", d.tid, d.seconds(), d.old)
		},
	},
}

// told is an event with its call stack as text.
type told struct {
	ingest.Event
	stack string
}

// writing is a log that grows, and the events that a reader has to find in it.
type writing struct {
	*dialect
	log           strings.Builder
	line          int64
	allocs, freed int
	start         time.Duration
	first         int32 // thread
	live          map[uint64]told
	seq, born     int64
	want          []told
}

func (w *dialect) write(deeds []deed) *writing {
	o := &writing{dialect: w, start: deeds[0].at, first: deeds[0].tid, live: map[uint64]told{}}
	if w.format == "heaptrack" || w.format == "gdb" {
		o.start = 0 // Their times count from the start by themselves.
	}
	o.put(w.head)
	for _, d := range deeds {
		if d.kind == reallocates && !w.moves {
			d.kind = frees
			o.deed(d)
			d.kind = allocates
		}
		o.deed(d)
	}
	if w.tail != nil {
		o.put(w.tail(o.allocs, o.freed))
	}
	return o
}

func (o *writing) put(text string) {
	o.log.WriteString(text)
	o.line += int64(strings.Count(text, "\n"))
}

func (o *writing) deed(d deed) {
	line := o.line + 1
	if o.format == "heaptrack" {
		line++ // The time stands on a line of its own.
	}
	if d.kind == frees {
		o.freed++
		o.put(o.free(d))
		o.frees(d, d.old, line, 0)
		return
	}
	o.allocs++
	o.put(o.alloc(d))
	var flags ingest.Flags
	if d.kind == reallocates {
		o.freed++
		flags = ingest.Realloc
		o.frees(d, d.old, line, flags)
		if o.split {
			line++
		}
	}
	if _, taken := o.live[d.addr]; taken {
		o.frees(d, d.addr, line, ingest.Inferred)
	}
	e := o.event(d, line)
	e.Op, e.Addr, e.Size, e.Flags, e.Block, e.stack = ingest.Alloc, d.addr, d.size, flags, o.born, o.stack(d)
	if o.comm {
		e.Comm = "a b"
	}
	o.born++
	o.seq++
	o.live[d.addr] = e
	o.want = append(o.want, e)
}

func (o *writing) frees(d deed, addr uint64, line int64, flags ingest.Flags) {
	e := o.event(d, line)
	e.Op, e.Addr, e.Flags, e.Block = ingest.Free, addr, flags, -1
	if was, ok := o.live[addr]; ok {
		e.Block, e.Size, e.stack = was.Block, was.Size, was.stack
		delete(o.live, addr)
	}
	if flags&ingest.Inferred == 0 {
		o.seq++
	}
	o.want = append(o.want, e)
}

// event is what an event has of the deed, as far as the format carries it.
func (o *writing) event(d deed, line int64) (e told) {
	e.Count, e.Line, e.Seq = 1, line, o.seq
	if o.pid {
		e.PID = 7
	}
	if o.format == "ltrace" {
		e.PID = o.first
	}
	if o.tid {
		e.TID = d.tid
	}
	if o.timed {
		e.Time = d.at - o.start
	}
	return e
}

// Any history of a heap, written in a format and read again, is the same: nothing
// that the format can carry is lost or made up.
func TestWrittenIsRead(t *testing.T) {
	for _, w := range dialects {
		t.Run(w.format, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				o := w.write(drawDeeds(rt))
				src, err := ingest.NewSource("log", strings.NewReader(o.log.String()), ingest.Options{})
				if err != nil {
					rt.Fatalf("%v\n%s", err, o.log.String())
				}
				events, err := ingesttest.ReadAll(t, src)
				r := src.Report()
				if err != nil || r.Format != w.format || len(r.Messages) != 0 || len(events) != len(o.want) {
					rt.Fatalf("%s: %d events of %d, %v, messages %q\n%s", r.Format, len(events), len(o.want), err, r.Messages, o.log.String())
				}
				for i, e := range events {
					got := told{Event: e, stack: frames(src.Stacks(), e.Stack)}
					if got.Stack = 0; got != o.want[i] {
						rt.Fatalf("event %d:\n got %+v\nwant %+v\n%s", i, got, o.want[i], o.log.String())
					}
				}
			})
		})
	}
}
