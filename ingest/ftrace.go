package ingest

import "bytes"

// The text of the kernel's trace buffer, from its file trace or trace_pipe, and what
// trace-cmd report prints:
//
//	bash-11509   (  11509) [001] .....  1681.711256: kmalloc: call_site=f+0x10/0x490 ptr=... bytes_req=64 ...
//	bash-11509   (  11509) [001] .....  1681.711915: <stack trace>
//	 => trace_event_raw_event_kmalloc
//
// The process in brackets and the flags may be missing. A call stack is an entry of
// its own, so that entries of other CPUs may stand before it.

func sniffFtrace(head []byte) string {
	found := headLines(head, func(line []byte) bool {
		var e traceEntry
		if !parseFtrace(line, &e) || kmemEvents[string(e.event)] == kmemOther {
			return false
		}
		return bytes.Contains(e.args, []byte("ptr=")) || bytes.Contains(e.args, []byte("pfn="))
	})
	if found {
		return ""
	}
	return `no line "TASK-PID [CPU] TIME: kmalloc: call_site=..."`
}

// ftrace reads one log.
type ftrace struct {
	t *kmemTrace
	d *decoder
	// entries that were read, and those that the headers announce.
	entries, announced int64
	headed             bool
	// overrun entries were overwritten before they were read, and lost ones never
	// written.
	overrun, lost int64
}

func readFtrace(d *decoder) error {
	r := &ftrace{t: newKmemTrace(d), d: d}
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		switch {
		case d.lines.partial:
			d.truncated("the last line has no end and is left out")
		case !r.line(line):
			return nil
		}
	}
	if r.t.closeStack() && r.t.settleAll() {
		r.finish()
	}
	return nil
}

func (r *ftrace) line(line []byte) bool {
	if name, ok := cutArrow(line); ok {
		r.d.report.Recognised++
		r.t.push(r.t.frame(name, nil))
		return true
	}
	if !r.t.closeStack() {
		return false
	}
	var e traceEntry
	switch {
	case r.note(line):
		r.d.report.Recognised++
		return true
	case !parseFtrace(line, &e):
		return true
	}
	r.d.report.Recognised++
	r.entries++
	if isStackTrace(e.event) {
		r.t.openStack(e.cpu)
		return true
	}
	kind := kmemEvents[string(e.event)]
	return r.t.settle(e.cpu) && (kind == kmemOther || r.t.event(&e, kind))
}

// cutArrow reads a line of a call stack: " => NAME" or "=> NAME (ADDRESS)".
func cutArrow(line []byte) (name []byte, ok bool) {
	line = bytes.TrimLeft(line, " ")
	line, ok = bytes.CutPrefix(line, []byte("=> "))
	if !ok {
		return nil, false
	}
	name, _, _ = bytes.Cut(line, []byte{' '})
	name = bytes.TrimSuffix(bytes.TrimPrefix(name, []byte("<")), []byte(">"))
	return name, len(name) > 0
}

// isStackTrace knows the entry before a call stack: ftrace's "<stack trace>", and
// trace-cmd's "kernel_stack:".
func isStackTrace(event []byte) bool {
	return string(event) == "<stack" || string(event) == "kernel_stack"
}

// note reads a line about the buffer.
func (r *ftrace) note(line []byte) bool {
	switch {
	case bytes.HasPrefix(line, []byte("#")):
		s := scan{rest: bytes.TrimLeft(line, "# ")}
		if !s.has("entries-in-buffer/entries-written: ") {
			return true
		}
		held := s.number()
		s.lit("/")
		if written := s.number(); !s.bad && held <= written && written <= maxBlock {
			r.headed = true
			r.announced += held
			r.overrun += written - held
		}
		return true
	case bytes.HasPrefix(line, []byte("CPU:")):
		s := scan{rest: line[len("CPU:"):]}
		s.number()
		s.lit(" [")
		s.has("LOST ")
		n := s.number()
		if s.has(" "); s.bad || !s.has("EVENTS") || n > maxBlock {
			return false
		}
		r.lost += n
		return true
	}
	return bytes.HasPrefix(line, []byte("cpus="))
}

// maxColumns is where the CPU of an entry stands at the latest: the names of tasks are
// short.
const maxColumns = 128

// parseFtrace reads an entry up to its arguments. The name of a task may hold
// anything: what counts is the first "-PID [CPU] TIME: EVENT:".
func parseFtrace(line []byte, e *traceEntry) bool {
	columns := line[:min(len(line), maxColumns)]
	for from := 0; ; {
		open := bytes.IndexByte(columns[from:], '[')
		if open < 0 {
			return false
		}
		open += from
		from = open + 1
		cpu, rest, ok := leadingDigits(line[from:])
		if !ok || !bytes.HasPrefix(rest, []byte("] ")) {
			continue
		}
		if e.cpu = cpu; cutTask(line[:open], e) && cutEvent(rest[2:], e) {
			return true
		}
	}
}

// cutTask reads "COMM-PID" with or without "(TGID)" behind it.
func cutTask(s []byte, e *traceEntry) bool {
	s = bytes.TrimRight(s, " ")
	if bytes.HasSuffix(s, []byte{')'}) {
		s = bytes.TrimRight(s[:max(bytes.LastIndexByte(s, '('), 0)], " ")
	}
	dash := bytes.LastIndexByte(s, '-')
	if dash < 0 || !isDecimal(s[dash+1:]) || len(s)-dash > 10 {
		return false
	}
	pid, _, _ := leadingDigits(s[dash+1:])
	e.tid, e.comm = int32(pid), bytes.TrimLeft(s[:dash], " ")
	if string(e.comm) == "<...>" {
		e.comm = nil // ftrace has forgotten it.
	}
	return true
}

// cutEvent reads "FLAGS TIME: EVENT: ARGUMENTS" with or without the flags.
func cutEvent(s []byte, e *traceEntry) bool {
	s = bytes.TrimLeft(s, " ")
	word, rest, _ := bytes.Cut(s, []byte{' '})
	if !bytes.HasSuffix(word, []byte{':'}) {
		word, rest, _ = bytes.Cut(bytes.TrimLeft(rest, " "), []byte{' '})
	}
	stamp, ok := bytes.CutSuffix(word, []byte{':'})
	if !ok {
		return false
	}
	if e.at, e.timed = parseSeconds(stamp); !e.timed && !isDecimal(stamp) {
		return false
	}
	event, args, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte{' '})
	if e.event, ok = bytes.CutSuffix(event, []byte{':'}); !ok && !isStackTrace(event) {
		e.event = nil // An entry of another tracer: "f <-g".
	}
	e.args = args
	return len(event) > 0
}

func (r *ftrace) finish() {
	report := r.d.report
	if r.overrun > 0 {
		report.Warn("%s: the trace buffer was too small: the oldest %d entries were overwritten", report.Name, r.overrun)
	}
	if r.lost > 0 {
		report.Warn("%s: %d entries were lost because nobody read them in time", report.Name, r.lost)
	}
	if r.headed {
		r.d.oracle("entries in buffer", commas(r.announced), commas(r.entries))
	}
}
