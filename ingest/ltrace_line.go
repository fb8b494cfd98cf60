package ingest

import (
	"bytes"
	"strings"
	"time"
)

// ltraceLine is a line without the columns before the call.
type ltraceLine struct {
	task       int32
	stamp      []byte
	ip         uint64
	text       []byte // the call
	unfinished bool
}

// cut takes the columns off a line that the options of ltrace add before a call.
func (l *ltraceLine) cut(line []byte) {
	s := bytes.TrimLeft(line, " ")
	if rest, ok := bytes.CutPrefix(s, []byte("[pid ")); ok {
		if n, rest, ok := leadingDigits(rest); ok && n < 1<<31 && bytes.HasPrefix(rest, []byte("] ")) {
			l.task, s = int32(n), rest[2:]
		}
	} else if n, rest, ok := leadingDigits(s); ok && n < 1<<31 && bytes.HasPrefix(rest, []byte(" ")) {
		l.task, s = int32(n), rest
	}
	s = bytes.TrimLeft(s, " ")
	if word, rest, ok := bytes.Cut(s, []byte{' '}); ok && len(word) > 0 && isDigit(word[0]) {
		l.stamp, s = word, bytes.TrimLeft(rest, " ")
	}
	if rest, ok := bytes.CutPrefix(s, []byte("[0x")); ok {
		p := scan{rest: rest}
		if l.ip = p.hex(); p.has("] ") {
			s = bytes.TrimLeft(p.rest, " ")
		}
	}
	if l.text, l.unfinished = bytes.CutSuffix(s, []byte("<unfinished ...>")); !l.unfinished {
		// It never returned: the thread was cut off.
		l.text, l.unfinished = bytes.CutSuffix(s, []byte("<no return ...>"))
	}
}

// cutResumed reads "<... NAME resumed> ) = RESULT".
func cutResumed(text []byte) (name, rest []byte, ok bool) {
	text, ok = bytes.CutPrefix(text, []byte("<... "))
	if !ok {
		return nil, nil, false
	}
	return bytes.Cut(text, []byte(" resumed>"))
}

// cutLtraceCall reads a call of the allocator up to its result: "OBJECT->FUNCTION(ARGUMENTS".
// ltrace prints more arguments than there are.
func cutLtraceCall(l *ltraceLine) (fn traced, c ltraceCall, ok bool) {
	text := l.text
	c.site.ip = l.ip
	paren := bytes.IndexByte(text, '(')
	if arrow := bytes.Index(text, []byte("->")); arrow > 0 && arrow < paren {
		c.site.object = string(text[:arrow])
		text = text[arrow+2:]
	}
	name, args, found := cutLtraceName(text)
	if !found {
		return fn, c, false
	}
	c.text = string(name)
	if fn = classifyLtrace(c.text); fn.kind == notCall || fn.kind == otherCall {
		return fn, c, fn.kind == otherCall
	}
	var a [3]uint64
	for i := range fn.kind.arguments() {
		end := bytes.IndexAny(args, ",) ")
		if end < 0 {
			return fn, c, false
		}
		if a[i], ok = parsePointer(args[:end]); !ok && string(args[:end]) != "nil" {
			return fn, c, false
		}
		args = bytes.TrimLeft(args[end:], ", ")
	}
	c.block, c.size = fn.kind.take(a[:fn.kind.arguments()])
	return fn, c, true
}

// cutLtraceName splits off the name of a function; with -C that of an operator has
// brackets of its own.
func cutLtraceName(text []byte) (name, args []byte, ok bool) {
	if !bytes.HasPrefix(text, []byte("operator ")) {
		return bytes.Cut(text, []byte{'('})
	}
	i := bytes.Index(text, []byte(")("))
	if i < 0 {
		return nil, nil, false
	}
	return text[:i+1], text[i+2:], true
}

// maxAllocator bounds the names of allocating functions.
const maxAllocator = 200

// classifyLtrace knows the functions by the names that ltrace prints.
func classifyLtrace(name string) traced {
	switch {
	case len(name) > maxAllocator:
		return traced{}
	case strings.HasPrefix(name, "operator new"):
		return traced{name: name, kind: sizedCall}
	case strings.HasPrefix(name, "operator delete"):
		return traced{name: name, kind: freeCall}
	case name == "posix_memalign":
		return traced{name: name, kind: sizedCall} // Nothing of it is used.
	}
	if strings.HasPrefix(name, "zone_") { // macOS, which has no ltrace
		return traced{}
	}
	return classify(name)
}

// ltraceResult reads what stands behind the last "=", without the time of -T.
func ltraceResult(text []byte) (uint64, bool) {
	i := bytes.LastIndex(text, resultMark)
	if i < 0 {
		return 0, false
	}
	value, _, _ := bytes.Cut(text[i+len(resultMark):], []byte(" <"))
	if s := string(value); s == "nil" || s == "-1" {
		return 0, true
	}
	return parsePointer(value)
}

// ltraceClock understands the time columns of ltrace: -t and -tt the time of day,
// -ttt seconds since 1970, -r since the line before.
type ltraceClock struct {
	now     time.Duration
	started bool
	base    time.Duration
	days    time.Duration
}

// maxLtraceTime bounds a run, so that times cannot overflow.
const maxLtraceTime = 10000 * 24 * time.Hour

func (c *ltraceClock) set(stamp []byte) bool {
	if at, ok := parseSeconds(stamp); ok && at < 1e8*time.Second {
		c.now = min(c.now+at, maxLtraceTime)
		return true
	} else if ok {
		return c.at(at)
	}
	at, ok := parseDayTime(stamp)
	if !ok {
		return false
	}
	if c.started && c.base+c.now-at-c.days > 12*time.Hour && c.days < maxLtraceTime {
		c.days += 24 * time.Hour // It is past midnight.
	}
	return c.at(at + c.days)
}

func (c *ltraceClock) at(at time.Duration) bool {
	if !c.started {
		c.started, c.base = true, at
	}
	c.now = min(max(c.now, at-c.base), maxLtraceTime)
	return true
}

// parseDayTime reads HH:MM:SS with or without decimals.
func parseDayTime(s []byte) (time.Duration, bool) {
	if len(s) < 8 || s[2] != ':' || s[5] != ':' || !isDecimal(s[:2]) || !isDecimal(s[3:5]) {
		return 0, false
	}
	hours, _, _ := leadingDigits(s[:2])
	minutes, _, _ := leadingDigits(s[3:5])
	seconds := s[6:]
	if len(seconds) == 2 {
		seconds = append(append([]byte(nil), seconds...), ".0"...)
	}
	at, ok := parseSeconds(seconds)
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute + at, ok
}
