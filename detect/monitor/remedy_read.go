package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"
)

// maxRemedies bounds the file of remedies.
const maxRemedies = 1 << 20

// ReadRemedies reads rules from a JSON object {"remedies": [...]}. Errors name the file
// and the line.
func ReadRemedies(name string, r io.Reader) ([]Remedy, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxRemedies+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxRemedies {
		return nil, fmt.Errorf("%s: more than %d bytes are no remedies", name, maxRemedies)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	fail := func(at int64, err error) ([]Remedy, error) {
		return nil, fmt.Errorf("%s:%d: %w", name, 1+bytes.Count(data[:min(at, int64(len(data)))], []byte("\n")), err)
	}
	// Token by token down to the rules: so each can be blamed on its line.
	for _, want := range []json.Token{json.Delim('{'), "remedies", json.Delim('[')} {
		if got, err := d.Token(); err != nil || got != want {
			return fail(d.InputOffset(), errors.New(`want {"remedies": [ {"name": ...}, ... ]}`))
		}
	}
	var rules []Remedy
	for d.More() {
		at := ruleAt(data, d.InputOffset())
		var rule Remedy
		err := d.Decode(&rule)
		if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
			return fail(wrong.Offset, err)
		}
		if err == nil {
			err = rule.prepare()
		}
		if err != nil {
			return fail(at, err)
		}
		rules = append(rules, rule)
	}
	for _, want := range []json.Token{json.Delim(']'), json.Delim('}')} {
		if got, err := d.Token(); err != nil || got != want {
			return fail(d.InputOffset(), fmt.Errorf("want %v after the rules", want))
		}
	}
	if rest := bytes.TrimSpace(data[d.InputOffset():]); len(rest) > 0 {
		return fail(d.InputOffset(), fmt.Errorf("%.20q behind the end", rest))
	}
	return rules, nil
}

// ruleAt is where the rule begins that follows a place.
func ruleAt(data []byte, at int64) int64 {
	if i := bytes.IndexByte(data[at:], '{'); i >= 0 {
		return at + int64(i)
	}
	return at
}

// signals that a remedy may send.
var signals = map[string]syscall.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "USR1": syscall.SIGUSR1,
	"USR2": syscall.SIGUSR2, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}

// prepare checks a rule, and reads its patterns.
func (r *Remedy) prepare() error {
	kinds := 0
	for _, is := range []bool{len(r.Run) > 0, r.Signal != "", r.DropCaches != 0} {
		if is {
			kinds++
		}
	}
	var known bool
	r.signal, known = signals[strings.TrimPrefix(r.Signal, "SIG")]
	switch {
	case r.Name == "":
		return errors.New("a remedy without a name")
	case kinds != 1:
		return fmt.Errorf("remedy %q: want one of run, signal and drop_caches", r.Name)
	case r.Signal != "" && !known:
		return fmt.Errorf("remedy %q: signal %q: want one of %s", r.Name, r.Signal, strings.Join(slices.Sorted(maps.Keys(signals)), ", "))
	case r.DropCaches < 0 || r.DropCaches > 3:
		return fmt.Errorf("remedy %q: drop_caches %d: want 1, 2 or 3", r.Name, r.DropCaches)
	}
	for i, arg := range r.Run {
		if err := checkArgument(i, arg); err != nil {
			return fmt.Errorf("remedy %q: %w", r.Name, err)
		}
	}
	for _, p := range []struct {
		text string
		to   *pattern
	}{{r.Source, &r.source}, {r.Site, &r.site}} {
		if p.text == "" {
			continue
		}
		var err error
		if *p.to, err = parsePattern(p.text); err != nil {
			return fmt.Errorf("remedy %q: %w", r.Name, err)
		}
	}
	return nil
}

// checkArgument refuses a placeholder that would not be filled in.
func checkArgument(i int, arg string) error {
	for p := range placeholders {
		if i == 0 && arg == p {
			return fmt.Errorf("%s cannot be the program", p)
		}
		if arg != p && strings.Contains(arg, p) {
			return fmt.Errorf("argument %q: %s has to be an argument of its own", arg, p)
		}
	}
	switch {
	case i == 0 && arg == "":
		return errors.New("run names no program")
	case strings.Contains(arg, "\x00"):
		return fmt.Errorf("argument %q holds a zero byte", arg)
	}
	return nil
}
