package ingest

import (
	"bytes"
	"time"
)

// seriesClock turns the times of a series' snapshots into times since the first.
type seriesClock struct {
	first, latest time.Duration
	started       bool
}

// since never goes back, even if the machine's clock was set back meanwhile.
func (c *seriesClock) since(at time.Duration) time.Duration {
	if !c.started {
		c.started, c.first = true, at
	}
	c.latest = max(c.latest, at-c.first)
	return c.latest
}

// instantLayouts are the forms of time beside plain seconds: those of date -Is,
// date -Ins, date +"%F %T" and date.
var instantLayouts = [...]string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05",
	time.UnixDate, "Mon 02 Jan 2006 03:04:05 PM MST", "Mon Jan _2 03:04:05 PM MST 2006",
}

// maxSeconds keeps the sums of times within a time.Duration; it is far from now.
const maxSeconds = 1 << 32

// parseInstant reads a line that is nothing but a time: since 1970 in seconds, as
// /proc/uptime tells it (seconds, and those that were idle), or as date prints it.
// Marks may stand around it, as in "# 1795198032.87" and "=== 1795198032 ===".
func parseInstant(line []byte) (time.Duration, bool) {
	line = bytes.Trim(line, "#=-[]: \t")
	if len(line) == 0 || len(line) > 48 {
		return 0, false
	}
	if at, rest, ok := seconds(line); ok {
		if len(rest) == 0 {
			return at, true
		}
		if _, rest, ok = seconds(bytes.TrimLeft(rest, " ")); ok && len(rest) == 0 {
			return at, bytes.IndexByte(line, '.') > 0
		}
	}
	if bytes.Count(line, []byte(":")) < 2 {
		return 0, false
	}
	for _, layout := range instantLayouts {
		if t, err := time.Parse(layout, string(line)); err == nil {
			s := t.Unix()
			if s < 0 || s >= maxSeconds {
				return 0, false
			}
			return time.Duration(s)*time.Second + time.Duration(t.Nanosecond()), true
		}
	}
	return 0, false
}

// seconds reads N or N.N.
func seconds(s []byte) (at time.Duration, rest []byte, ok bool) {
	n, rest, ok := leadingDigits(s)
	if !ok || n >= maxSeconds {
		return 0, nil, false
	}
	at = time.Duration(n) * time.Second
	if len(rest) == 0 || rest[0] != '.' {
		return at, rest, true
	}
	unit := time.Second
	for rest = rest[1:]; len(rest) > 0 && isDigit(rest[0]); rest = rest[1:] {
		unit /= 10
		at += time.Duration(rest[0]-'0') * unit
	}
	return at, rest, true
}
