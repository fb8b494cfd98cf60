package ingest

import "bytes"

// What perf script prints of the kernel's kmem events, with call stacks or without:
//
//	leak  8742/8742  [001]  1649.747277: kmem:kmem_cache_alloc: call_site=f+0x3ef ptr=0xffff888104998800 ...
//		ffffffff816365b7 kmem_cache_alloc_noprof+0x227 ([kernel.kallsyms])
//
// Which of the columns before the event stand there is the user's choice (-F).

func sniffPerfKmem(head []byte) string {
	if headLines(head, func(line []byte) bool { return parsePerf(line, &traceEntry{}) != kmemOther }) {
		return ""
	}
	return `no line "TASK PID [CPU] TIME: kmem:kmalloc: call_site=..."`
}

func readPerfKmem(d *decoder) error {
	t := newKmemTrace(d)
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		if d.lines.partial {
			d.truncated("the last line has no end and is left out")
			break
		}
		var e traceEntry
		kind := parsePerf(line, &e)
		switch frame, isFrame := cutPerfFrame(line); {
		case kind != kmemOther:
			d.report.Recognised++
			if !t.closeStack() || !t.settleAll() || !t.event(&e, kind) {
				return nil
			}
			t.openStack(e.cpu)
		case isFrame && t.reading:
			d.report.Recognised++
			if len(frame.symbol) > 0 || len(frame.module) > 0 {
				t.push(t.frame(frame.symbol, frame.module))
			}
		case !t.closeStack() || !t.settleAll(): // A blank line, or another event.
			return nil
		}
	}
	if t.closeStack() {
		t.settleAll()
	}
	return nil
}

// parsePerf reads an event up to its arguments, from the event's name to both
// sides: the name of a task may hold anything.
func parsePerf(line []byte, e *traceEntry) kmemKind {
	const prefix = "kmem:"
	at := bytes.Index(line, []byte(prefix))
	if at < 0 || at > 0 && line[at-1] != ' ' {
		return kmemOther
	}
	event, args, found := bytes.Cut(line[at+len(prefix):], []byte{':'})
	kind := kmemEvents[string(event)]
	if !found || kind == kmemOther {
		return kmemOther
	}
	e.event, e.args = event, bytes.TrimLeft(args, " ")
	e.cutColumns(line[:at])
	return kind
}

// cutColumns reads "COMM PID/TID [CPU] TIME: PERIOD" from the right; each column
// may be missing.
func (e *traceEntry) cutColumns(s []byte) {
	s, word := cutColumn(s)
	if isDecimal(word) {
		s, word = cutColumn(s) // behind the period
	}
	if stamp, ok := bytes.CutSuffix(word, []byte{':'}); ok {
		e.at, e.timed = parseSeconds(stamp)
		s, word = cutColumn(s)
	}
	if len(word) > 2 && word[0] == '[' && word[len(word)-1] == ']' {
		e.cpu, _, _ = leadingDigits(word[1:])
		s, word = cutColumn(s)
	}
	if i := bytes.IndexByte(word, '/'); i > 0 && isDecimal(word[:i]) {
		word = word[i+1:]
	}
	if isDecimal(word) && len(word) < 10 {
		tid, _, _ := leadingDigits(word)
		e.tid = int32(tid)
		word = nil
	}
	e.comm = bytes.Trim(s, " ")
	if len(word) > 0 && len(e.comm) == 0 {
		e.comm = word
	}
}

func cutColumn(s []byte) (rest, word []byte) { return cutLastField(bytes.TrimRight(s, " ")) }

// perfFrame is a line of a call stack.
type perfFrame struct{ symbol, module []byte }

// cutPerfFrame reads "ADDRESS SYMBOL+0xHEX (OBJECT)"; the offset and the object may
// be missing. What perf does not know, and the kernel itself, are no objects.
func cutPerfFrame(line []byte) (f perfFrame, ok bool) {
	s := bytes.TrimLeft(line, " \t")
	n := 0
	for n < len(s) && isHexDigit(s[n]) {
		n++
	}
	if len(s) == len(line) || n == 0 || n > 16 || n < len(s) && s[n] != ' ' {
		return f, false
	}
	f.symbol = bytes.TrimSpace(s[n:])
	if open := bytes.LastIndex(f.symbol, []byte(" (")); open >= 0 && f.symbol[len(f.symbol)-1] == ')' {
		f.module = f.symbol[open+2 : len(f.symbol)-1]
		f.symbol = f.symbol[:open]
	}
	if string(f.symbol) == "[unknown]" {
		f.symbol = nil
	}
	switch m := f.module; {
	case bytes.HasPrefix(m, []byte("[kernel")), bytes.HasPrefix(m, []byte("[guest.kernel")), string(m) == "[unknown]":
		f.module = nil
	case len(m) > 2 && m[0] == '[' && m[len(m)-1] == ']':
		f.module = m[1 : len(m)-1]
	}
	return f, true
}
