package monitor

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Silence keeps alerts back. What still leaks when it ends is told then.
type Silence struct {
	pattern pattern
	// until is when it ends; zero: never.
	until time.Time
}

// ParseSilence reads PATTERN or PATTERN=DURATION, for example "cache_*=2h". The
// pattern has to fit the whole of a source's name, of a site, or of a frame of its call
// stack; * in it stands for anything.
func ParseSilence(text string, now time.Time) (Silence, error) {
	var s Silence
	if i := strings.LastIndexByte(text, '='); i >= 0 {
		if d, err := time.ParseDuration(text[i+1:]); err == nil && d > 0 {
			text, s.until = text[:i], now.Add(d)
		}
	}
	var err error
	s.pattern, err = parsePattern(text)
	return s, err
}

// covers reports whether a sighting is to be kept back.
func (s Silence) covers(a *sighting, now time.Time) bool {
	if !s.until.IsZero() && now.After(s.until) {
		return false
	}
	names := []string{a.source.Name, a.site}
	for _, f := range a.frames {
		names = append(names, f.Function, f.String())
	}
	return slices.ContainsFunc(names, s.pattern.fits)
}

// pattern is a text in which * stands for anything. The zero value fits everything.
type pattern struct{ whole *regexp.Regexp }

func parsePattern(text string) (pattern, error) {
	if text == "" {
		return pattern{}, fmt.Errorf("an empty pattern fits nothing: want for example *cache*")
	}
	parts := strings.Split(text, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	whole, err := regexp.Compile(`(?s)\A` + strings.Join(parts, ".*") + `\z`)
	if err != nil {
		return pattern{}, fmt.Errorf("pattern %q: %w", text, err)
	}
	return pattern{whole}, nil
}

func (p pattern) fits(text string) bool { return p.whole == nil || p.whole.MatchString(text) }
