package ingest

import (
	"bytes"
	"strconv"
	"time"
)

// logPrefix is what stood before a line's text.
type logPrefix struct {
	tagged  bool          // "kmemleak: "
	stamped bool          // a time, a host or another mark of a log
	at      time.Duration // the kernel's stamp, 0 where there is none
}

// stripLog takes off what logs and mail put before a line: quotes, levels,
// stamps of the kernel, of syslog and of journald, and the kernel's own tag.
func stripLog(line []byte) ([]byte, logPrefix) {
	var p logPrefix
	s := bytes.TrimSpace(line)
	for len(s) > 1 {
		switch c := s[0]; {
		case c == '[':
			if s[1] == '<' {
				return s, p
			}
			rest, ok := cutStamp(s, &p)
			if !ok {
				return s, p
			}
			s = rest
		case c == '<':
			// The level of a message, "<4>".
			_, rest, ok := leadingDigits(s[1:])
			if !ok || len(rest) == 0 || rest[0] != '>' {
				return s, p
			}
			s, p.stamped = bytes.TrimLeft(rest[1:], " \t"), true
		case c == '>':
			s = bytes.TrimLeft(s[1:], " \t")
		case c == 'k':
			if rest, ok := bytes.CutPrefix(s, []byte("kmemleak: ")); ok {
				p.tagged = true
				return bytes.TrimLeft(rest, " \t"), p
			}
			rest, ok := cutHost(s, &p)
			if !ok {
				return s, p
			}
			s = rest
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z':
			if isHexRow(s) {
				return s, p
			}
			rest, ok := cutHost(s, &p)
			if !ok {
				return s, p
			}
			s = rest
		default:
			return s, p
		}
	}
	return s, p
}

// cutStamp takes off a bracket before the text: "[   76.611642]" of the kernel,
// "[Mon Nov 21 07:09:10 2022]" of dmesg -T, the caller "[  T170]" or "[C0]", and
// Android's processor "c6" behind it.
func cutStamp(s []byte, p *logPrefix) ([]byte, bool) {
	in, rest, ok := bytes.Cut(s[1:], []byte("]"))
	if !ok || len(in) > 40 {
		return s, false
	}
	in = bytes.TrimSpace(in)
	switch {
	case isStamp(s):
		if sec, err := strconv.ParseFloat(string(in), 64); err == nil && sec < maxJiffies/1000 {
			p.at = time.Duration(sec * float64(time.Second))
		}
	case len(in) > 1 && (in[0] == 'T' || in[0] == 'C') && in[1] >= '0' && in[1] <= '9' && p.stamped:
	case len(in) == len("Mon Nov 21 07:09:10 2022") && in[3] == ' ' && in[13] == ':':
	default:
		return s, false
	}
	p.stamped = true
	rest = bytes.TrimLeft(rest, " \t")
	if len(rest) > 2 && rest[0] == 'c' && rest[1] >= '0' && rest[1] <= '9' {
		if _, after, ok := leadingDigits(rest[1:]); ok && len(after) > 0 && after[0] == ' ' {
			rest = bytes.TrimLeft(after, " ")
		}
	}
	return rest, true
}

// isStamp reports whether s begins with "[ SECONDS.MICROSECONDS]".
func isStamp(s []byte) bool {
	if len(s) == 0 || s[0] != '[' {
		return false
	}
	i := 1
	for i < len(s) && s[i] == ' ' {
		i++
	}
	_, rest, ok := leadingDigits(s[i:])
	if !ok || len(rest) == 0 || rest[0] != '.' {
		return false
	}
	_, rest, ok = leadingDigits(rest[1:])
	return ok && len(rest) > 0 && rest[0] == ']'
}

// cutHost takes off what ends in " kernel: " (syslog and journald), a date
// before the text (syzkaller, dmesg --time-format=iso) or a level with names
// (dmesg -x).
func cutHost(s []byte, p *logPrefix) ([]byte, bool) {
	head := s[:min(len(s), 160)]
	if i := bytes.Index(head, []byte(" kernel: ")); i >= 0 {
		p.stamped = true
		return bytes.TrimLeft(s[i+len(" kernel: "):], " \t"), true
	}
	if bytes.HasPrefix(s, []byte("kern  :")) {
		if i := bytes.Index(head[7:], []byte(": ")); i >= 0 {
			p.stamped = true
			return bytes.TrimLeft(s[7+i+2:], " \t"), true
		}
	}
	const date = "2018/01/09 14:28:48 "
	if len(s) <= len(date) || s[0] < '0' || s[0] > '9' {
		return s, false
	}
	switch {
	case s[4] == '/' && s[7] == '/' && s[10] == ' ' && s[13] == ':' && s[16] == ':' && s[19] == ' ':
		return bytes.TrimLeft(s[len(date):], " \t"), true
	case s[4] == '-' && s[7] == '-' && s[10] == 'T' && s[13] == ':':
		if i := bytes.IndexByte(s, ' '); i >= 0 {
			p.stamped = true
			return bytes.TrimLeft(s[i:], " \t"), true
		}
	}
	return s, false
}
