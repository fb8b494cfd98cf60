package ingest

import "bytes"

// glibc's mtrace writes a line for every call of the allocator, with the place it
// was called from:
//
//	@ ./prog:(lose+0x12)[0x11b0] + 0x5582ab0614a0 0x64
//	@ ./prog:[0x11e4] < 0x5582ab0612a0
//	@ ./prog:[0x11e4] > 0x5582ab061510 0x1f4
//
// + is an alloc, - a free, < and > the halves of a realloc, ! a realloc that failed
// and changed nothing. There are no times, threads or processes.

func sniffMtrace(head []byte) string {
	report := false
	found := headLines(head, func(line []byte) bool {
		report = report || string(line) == "Memory not freed:"
		call, ok := parseMtrace(line)
		return ok && len(call.where) > 0 || string(line) == mtraceStart
	})
	switch {
	case found:
		return ""
	case report:
		return "is what the command mtrace made of a log: give the log itself, the file that MALLOC_TRACE names"
	}
	return `no line "= Start"`
}

const mtraceStart = "= Start"

// mtraceLog reads one log.
type mtraceLog struct {
	d     *decoder
	sites map[string]StackID // by what stands between @ and the call
	// moving: the new half of a realloc is still to come.
	moving bool
}

// mtraceCall is one line.
type mtraceCall struct {
	where      []byte
	op         byte
	addr, size uint64
}

func readMtrace(d *decoder) error {
	r := &mtraceLog{d: d, sites: map[string]StackID{}}
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		switch {
		case string(line) == mtraceStart:
			d.report.Recognised++
			d.ledger.drop(0) // of the log before, where two stand in one file
		case string(line) == "= End":
			d.report.Recognised++
		case !isMtrace(line):
		case d.lines.partial:
			d.report.Recognised++
			d.truncated("the last line has no end and is left out")
		default:
			d.report.Recognised++
			if !r.line(line) {
				return nil
			}
		}
	}
	if r.moving && !d.report.Truncated {
		d.truncated("the log ends in the middle of a realloc")
	}
	return nil
}

// isMtrace reports whether a line starts as one of mtrace does.
func isMtrace(line []byte) bool {
	return len(line) > 1 && line[1] == ' ' && bytes.IndexByte([]byte("@+-<>!"), line[0]) >= 0
}

func (r *mtraceLog) line(line []byte) bool {
	c, ok := parseMtrace(line)
	switch {
	case !ok:
		return r.d.bad(r.d.lines.n, "call not understood: %.120q", line)
	case c.addr == 0 || c.op == '!':
		return true // It failed, and changed nothing.
	case c.size > maxBlock:
		return r.d.bad(r.d.lines.n, "block of %d bytes", c.size)
	}
	e := Event{Addr: c.addr, Line: r.d.lines.n}
	if c.op == '<' || c.op == '>' {
		e.Flags = Realloc
	}
	r.moving = c.op == '<'
	if c.op == '-' || c.op == '<' {
		return r.d.free(&e)
	}
	e.Size, e.Stack = int64(c.size), r.site(c.where)
	return r.d.alloc(&e)
}

// parseMtrace takes a line apart from its end: the name of a program may hold
// anything.
func parseMtrace(line []byte) (c mtraceCall, ok bool) {
	rest, last := cutLastField(line)
	rest, op := cutLastField(rest)
	switch string(op) {
	case "-", "<":
		c.addr, ok = parseMtraceNumber(last)
	default:
		addr := op
		rest, op = cutLastField(rest)
		if s := string(op); s != "+" && s != ">" && s != "!" {
			return c, false
		}
		if c.addr, ok = parseMtraceNumber(addr); ok {
			c.size, ok = parseMtraceNumber(last)
		}
	}
	if !ok {
		return c, false
	}
	c.op = op[0]
	if len(rest) == 0 {
		return c, true
	}
	c.where, ok = bytes.CutPrefix(rest, []byte("@ "))
	return c, ok
}

// cutLastField splits off what stands behind the last blank.
func cutLastField(s []byte) (rest, field []byte) {
	i := bytes.LastIndexByte(s, ' ')
	return s[:max(i, 0)], s[i+1:]
}

// parseMtraceNumber reads what printf's %p and %#lx write.
func parseMtraceNumber(s []byte) (uint64, bool) {
	switch {
	case string(s) == "(nil)" || string(s) == "0":
		return 0, true
	case !bytes.HasPrefix(s, []byte("0x")):
		return 0, false
	}
	return parsePointer(s)
}

// site is the call stack of a place: its only frame.
func (r *mtraceLog) site(where []byte) StackID {
	if len(where) == 0 {
		return 0
	}
	if id, ok := r.sites[string(where)]; ok {
		return id
	}
	id := r.d.stacks.Stack([]FrameID{r.d.stacks.Frame(r.frame(where))})
	if len(r.sites) >= maxCached {
		clear(r.sites)
	}
	r.sites[string(where)] = id
	return id
}

// frame reads one of
//
//	OBJECT:(SYMBOL+0xHEX)[0xHEX]    OBJECT:[0xHEX]    [0xHEX]    FILE:LINE
//
// The number in brackets is the offset in the object, or with old versions and
// programs that are not position-independent, the code's address.
func (r *mtraceLog) frame(where []byte) (f Frame) {
	open := bytes.LastIndexByte(where, '[')
	if open < 0 || where[len(where)-1] != ']' {
		f.File = r.d.text(where)
		if i := bytes.LastIndexByte(where, ':'); i > 0 && isDecimal(where[i+1:]) {
			n, _, _ := leadingDigits(where[i+1:])
			f.File, f.Line = r.d.text(where[:i]), int(n)
		}
		return f
	}
	f.Address, _ = parsePointer(where[open+1 : len(where)-1])
	object := where[:open]
	if i := bytes.LastIndex(object, []byte(":(")); i >= 0 && bytes.HasSuffix(object, []byte(")")) {
		symbol := object[i+2 : len(object)-1]
		if plus := bytes.LastIndexByte(symbol, '+'); plus >= 0 {
			symbol = symbol[:plus]
		}
		f.Function = r.d.symbol(symbol)
		object = object[:i]
	}
	f.Module = r.d.text(bytes.TrimSuffix(object, []byte(":")))
	return f
}
