package detect

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"leakformer/ingest"
)

// ReadSuppressions reads a file in the syntax of Valgrind, of LeakSanitizer, or both:
//
//	# until 2027-01-01: the cache is bounded as of version 3
//	{
//	   name
//	   Memcheck:Leak
//	   match-leak-kinds: definite,possible
//	   fun:malloc
//	   fun:cache_*
//	   ...
//	   obj:*/libservice.so*
//	}
//	leak:^init_tables$
//
// The comment in front of an entry, without an empty line between them, is its
// reason; "until" and a day let it expire. Entries of Valgrind's that are not about
// leaks are passed over. Errors name the file and the line.
func ReadSuppressions(name string, r io.Reader) (Suppressions, error) {
	const longest = 1 << 20
	p := &suppressionReader{name: name, lines: bufio.NewScanner(r)}
	p.lines.Buffer(nil, longest)
	var all Suppressions
	for p.next() {
		if s := p.entry(); p.err == nil && s != nil {
			all = append(all, *s)
		}
	}
	if errors.Is(p.lines.Err(), bufio.ErrTooLong) {
		p.line++
		p.fail(p.line, "a line of more than %d bytes", longest)
	} else if p.err == nil {
		p.err = p.lines.Err()
	}
	return all, p.err
}

// suppressionReader stands on a line.
type suppressionReader struct {
	name  string
	lines *bufio.Scanner
	line  int
	text  string // of the line, without blanks around it
	err   error  // ends the reading

	// What the comment in front says.
	reason string
	until  time.Time
}

func (p *suppressionReader) fail(line int, format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%s:%d: "+format, append([]any{p.name, line}, args...)...)
	}
}

// next goes to the next line.
func (p *suppressionReader) next() bool {
	if p.err != nil || !p.lines.Scan() {
		return false
	}
	p.line++
	p.text = strings.TrimSpace(p.lines.Text())
	return true
}

// inside goes to the next line within braces that says something.
func (p *suppressionReader) inside() bool {
	for p.next() {
		if p.text != "" && p.text[0] != '#' {
			return true
		}
	}
	return false
}

// entry reads the entry that begins here; nil where there is none.
func (p *suppressionReader) entry() *Suppression {
	pattern, leak := strings.CutPrefix(p.text, "leak:")
	s := &Suppression{File: p.name, Line: p.line}
	switch {
	case strings.HasPrefix(p.text, "#"):
		p.comment(strings.TrimSpace(p.text[1:]))
		return nil
	case p.text == "{":
		s = p.braces(s)
	case leak && pattern != "":
		s.Name, s.frames = pattern, []framePattern{{what: anyFrames}, {what: anyPart, glob: anchored(pattern)}}
	case p.text != "":
		p.fail(p.line, "%q: want { or leak:PATTERN", p.text)
	default:
		s = nil
	}
	if s != nil {
		s.Reason, s.Until = p.reason, p.until
	}
	p.reason, p.until = "", time.Time{}
	return s
}

// anchored writes a pattern of LeakSanitizer's, which fits anywhere in a name, as one
// that fits the whole.
func anchored(pattern string) string {
	start, end := "*", "*"
	if p, ok := strings.CutPrefix(pattern, "^"); ok {
		start, pattern = "", p
	}
	if p, ok := strings.CutSuffix(pattern, "$"); ok {
		end, pattern = "", p
	}
	return start + pattern + end
}

// comment reads a reason, or "until 2027-01-01: reason".
func (p *suppressionReader) comment(text string) {
	rest, ok := strings.CutPrefix(text, "until ")
	if !ok || rest == "" || rest[0] < '0' || rest[0] > '9' {
		if p.until.IsZero() {
			p.reason = text
		}
		return
	}
	day, reason, _ := strings.Cut(rest, ":")
	var err error
	if p.until, err = time.Parse(time.DateOnly, strings.TrimSpace(day)); err != nil {
		p.fail(p.line, "until %q: want a day such as 2027-01-31", strings.TrimSpace(day))
	}
	p.reason = strings.TrimSpace(reason)
}

// braces reads an entry in Valgrind's syntax; nil if it is not about leaks.
func (p *suppressionReader) braces(s *Suppression) *Suppression {
	var lines []string
	var at []int
	for p.inside() && p.text != "}" {
		if p.text == "{" {
			break
		}
		lines, at = append(lines, p.text), append(at, p.line)
	}
	if p.text != "}" {
		p.fail(s.Line, "the entry has no end")
		return nil
	}
	if len(lines) < 2 {
		p.fail(s.Line, "want { NAME Memcheck:Leak FRAMES }, each on a line")
		return nil
	}
	s.Name = lines[0]
	tools, kind, _ := strings.Cut(lines[1], ":")
	if kind = strings.TrimSpace(kind); kind == "" {
		p.fail(at[1], "%q: want TOOL:KIND, as Memcheck:Leak", lines[1])
	}
	if kind != "Leak" || !slices.Contains(strings.Split(tools, ","), "Memcheck") {
		return nil
	}
	for i := 2; i < len(lines); i++ {
		if kinds, ok := strings.CutPrefix(lines[i], "match-leak-kinds:"); ok && i == 2 {
			s.kinds = p.kinds(at[i], kinds)
		} else {
			s.frames = append(s.frames, p.frame(at[i], lines[i]))
		}
	}
	if len(s.frames) == 0 {
		p.fail(s.Line, "the entry %q has no frames", s.Name)
	}
	return s
}

// kinds reads "definite,possible"; nil for all there are.
func (p *suppressionReader) kinds(line int, list string) []ingest.Loss {
	out := []ingest.Loss{}
	for k := range strings.SplitSeq(list, ",") {
		switch strings.TrimSpace(k) {
		case "definite":
			out = append(out, ingest.Definite)
		case "indirect":
			out = append(out, ingest.Indirect)
		case "possible":
			out = append(out, ingest.Possible)
		case "reachable":
			out = append(out, ingest.Reachable)
		case "all":
			return nil
		case "none":
		default:
			p.fail(line, "leak kind %q: want definite, indirect, possible, reachable, all or none", strings.TrimSpace(k))
		}
	}
	return out
}

func (p *suppressionReader) frame(line int, text string) framePattern {
	if text == "..." {
		return framePattern{what: anyFrames}
	}
	what, pattern, _ := strings.Cut(text, ":")
	switch {
	case pattern == "":
	case what == "fun":
		return framePattern{what: function, glob: demangled(pattern)}
	case what == "obj":
		return framePattern{what: object, glob: pattern}
	case what == "src":
		f := framePattern{what: source, glob: pattern}
		if i := strings.LastIndexByte(pattern, ':'); i > 0 {
			if n, err := strconv.Atoi(pattern[i+1:]); err == nil {
				f.glob, f.line = pattern[:i], n
			}
		}
		return f
	}
	p.fail(line, "%q: want fun:, obj: or src: with a pattern, or ...", text)
	return framePattern{}
}

// demangled is a pattern for functions as logs name them. Of a mangled name that ends
// in a * the part before it is taken for whole.
func demangled(pattern string) string {
	if !strings.ContainsAny(pattern, "*?") {
		return ingest.NormalizeSymbol(pattern)
	}
	head := strings.TrimRight(pattern, "*")
	if !strings.HasPrefix(head, "_Z") || strings.ContainsAny(head, "*?") {
		return pattern
	}
	for _, end := range []string{"v", "Ev"} {
		if name, ok := strings.CutSuffix(ingest.NormalizeSymbol(head+end), "()"); ok {
			return name + "*"
		}
	}
	return pattern
}
