package ingest

import (
	"bytes"
	"math"
	"time"
)

var prefixMark = []byte("==")

// prefixed is a line's text and what its prefix says.
type prefixed struct {
	pid     int32
	stamped bool
	at      time.Duration // since the process started, where stamped
	text    []byte
}

// cutPrefix finds "==PID== " or "==DD:HH:MM:SS.mmm PID== " anywhere in the line,
// because the program's own output may stand before it without a newline.
func cutPrefix(line []byte) (before []byte, p prefixed, ok bool) {
	for from := 0; ; {
		i := bytes.Index(line[from:], prefixMark)
		if i < 0 {
			return line, prefixed{}, false
		}
		from += i
		if p, ok := parsePrefix(line[from+2:], '='); ok {
			return line[:from], p, true
		}
		from++
	}
}

// cutMarked is cutPrefix for both kinds of lines: "==PID== " before messages and
// "--PID-- " before calls and debug messages.
func cutMarked(line []byte) (mark byte, p prefixed, ok bool) {
	for i := 0; i+1 < len(line); i++ {
		c := line[i]
		if c != line[i+1] || c != '-' && c != '=' {
			continue
		}
		if p, ok := parsePrefix(line[i+2:], c); ok {
			return c, p, true
		}
	}
	return 0, prefixed{}, false
}

// parsePrefix reads what follows the first two marks of a prefix.
func parsePrefix(s []byte, mark byte) (p prefixed, ok bool) {
	n, rest, ok := leadingDigits(s)
	if !ok {
		return p, false
	}
	if len(rest) > 0 && rest[0] == ':' {
		if p.at, s, ok = parseStamp(n, rest); !ok {
			return p, false
		}
		p.stamped = true
		if n, rest, ok = leadingDigits(s); !ok {
			return p, false
		}
	}
	if n > math.MaxInt32 || len(rest) < 2 || rest[0] != mark || rest[1] != mark {
		return p, false
	}
	rest = rest[2:]
	if len(rest) > 0 {
		if rest[0] != ' ' {
			return p, false
		}
		rest = rest[1:]
	}
	p.pid, p.text = int32(n), rest
	return p, true
}

// parseStamp reads ":HH:MM:SS.mmm " behind the days.
func parseStamp(days int64, s []byte) (at time.Duration, rest []byte, ok bool) {
	const shape = ":00:00:00.000 "
	if len(s) < len(shape) || days > 36500 {
		return 0, nil, false
	}
	for i, c := range []byte(shape) {
		if isDigit(s[i]) != (c == '0') || c != '0' && s[i] != c {
			return 0, nil, false
		}
	}
	two := func(i int) time.Duration { return time.Duration(s[i]-'0')*10 + time.Duration(s[i+1]-'0') }
	at = (time.Duration(days)*24+two(1))*time.Hour + two(4)*time.Minute + two(7)*time.Second +
		(two(10)*10+time.Duration(s[12]-'0'))*time.Millisecond
	return at, s[len(shape):], true
}
