package ingest

import (
	"bytes"
	"math"
	"strconv"
)

// What memleak -t of bcc prints, a line for each probe that fires:
//
//	(b'allocs', 3214, 1, b'd..31', 5302.120411, b'alloc entered, size = 16')
//	(b'allocs', 3214, 1, b'd..31', 5302.120446, b'alloc exited, size = 16, result = 55c4cb7a22c0')
//	(b'allocs', 3214, 1, b'd..31', 5303.120590, b'free entered, address = 55c4cb7a22c0, size = 16')
//
// Older releases print no b. One process is traced, or the kernel, so that all events
// are of one heap: PID stays 0, and TID is the task. There are no call stacks, and
// frees of what was allocated earlier are not shown.

func sniffBccTrace(head []byte) string {
	if headLines(head, func(line []byte) bool {
		_, _, ok := cutProbe(line)
		return ok
	}) {
		return ""
	}
	return `no line "(COMM, PID, CPU, FLAGS, TIME, 'alloc entered, size = N')"`
}

// probe is a kind of line.
type probe struct {
	words   []byte
	isFree  bool
	entered bool // of an alloc, whose result comes later
}

var probes = [...]probe{
	{words: []byte("alloc entered, size = "), entered: true},
	{words: []byte("alloc exited, size = ")},
	{words: []byte("free entered, address = "), isFree: true},
}

// cutProbe finds the words of a probe; front is what stands before them.
func cutProbe(line []byte) (front, text []byte, ok bool) {
	i := bytes.Index(line, []byte(" entered, "))
	if i < 0 {
		i = bytes.Index(line, []byte(" exited, "))
	}
	if i < 0 {
		return nil, nil, false
	}
	i = bytes.LastIndexAny(line[:i], " '\"") + 1
	if _, ok = findProbe(line[i:]); !ok || !bytes.HasPrefix(line, []byte("(")) {
		return nil, nil, false
	}
	return line[:i], line[i:], true
}

func findProbe(text []byte) (*probe, bool) {
	for i := range probes {
		if bytes.HasPrefix(text, probes[i].words) {
			return &probes[i], true
		}
	}
	return nil, false
}

// bccTrace is the reader.
type bccTrace struct {
	d     *decoder
	clock seriesClock
	// told and known are the bytes of the frees whose blocks are known, as the
	// log says and as their allocs said.
	told, known int64
	frees       int64
}

func readBccTrace(d *decoder) error {
	r := &bccTrace{d: d}
	d.report.Tool = "memleak"
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		line = bytes.TrimSpace(line)
		front, text, ok := cutProbe(line)
		if !ok {
			continue
		}
		if d.lines.partial {
			d.truncated("the last line has no end and is left out")
			break
		}
		d.report.Recognised++
		if !r.event(line, front, text) {
			return nil
		}
	}
	if r.frees > 0 {
		d.oracle("bytes freed", strconv.FormatInt(r.told, 10), strconv.FormatInt(r.known, 10))
	}
	return nil
}

func (r *bccTrace) event(line, front, text []byte) bool {
	e, ok := r.task(front)
	p, _ := findProbe(text)
	s := scan{rest: text[len(p.words):]}
	if p.isFree {
		e.Addr = s.hex()
		s.lit(", size = ")
	}
	size := s.number()
	if !p.entered && !p.isFree {
		s.lit(", result = ")
		e.Addr = s.hex()
	}
	if !ok || s.bad || len(bytes.Trim(s.rest, `'")`)) > 0 || size > maxBlock {
		return r.d.bad(r.d.lines.n, "probe not understood: %q", clip(line))
	}
	switch {
	case p.entered, e.Addr == 0:
		return true // A result of 0 is an alloc that failed.
	case p.isFree:
		if b, ok := r.d.ledger.heap(0).blocks.get(e.Addr); ok {
			r.frees++
			r.told += size
			r.known += b.size
		}
		return r.d.free(&e)
	}
	e.Size = size
	return r.d.alloc(&e)
}

// task reads "(b'COMM', PID, CPU, b'FLAGS', TIME, b'". The name may hold anything
// but its closing quote with a comma.
func (r *bccTrace) task(front []byte) (Event, bool) {
	e := Event{Line: r.d.lines.n}
	s := scan{rest: front}
	s.lit("(")
	s.has("b")
	if s.bad || len(s.rest) == 0 {
		return e, false
	}
	quote := s.rest[0]
	comm, rest, ok := bytes.Cut(s.rest[1:], []byte{quote, ',', ' '})
	if !ok || len(comm) > maxComm {
		return e, false
	}
	s.rest = rest
	pid := s.number()
	s.lit(", ")
	s.number()
	s.lit(", ")
	_, rest, ok = bytes.Cut(s.rest, []byte(", "))
	at, rest, isTime := seconds(rest)
	if !ok || s.bad || !isTime || !bytes.HasPrefix(rest, []byte(", ")) || pid > math.MaxInt32 {
		return e, false
	}
	r.d.now = r.clock.since(at)
	r.d.report.Clock = Stamps
	e.TID, e.Comm = int32(pid), r.d.text(comm)
	return e, true
}

// maxComm bounds the name of a task, 16 bytes in the kernel and more where they
// are escaped.
const maxComm = 128
