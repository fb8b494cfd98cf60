// Package report writes the findings of a detection for people and for programs.
//
// Its handlers write each message when it comes, so that what they need of memory
// does not depend on the number of findings or of addresses.
package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"unicode"

	"leakformer/detect"
	"leakformer/ingest"
)

// Text is a handler that writes a ranked table for people: a line for each
// finding, with its reasons and its first addresses below.
//
// Of a report it shows each group of findings once: the rank, the reasons and the
// addresses are those of the first of them.
type Text struct {
	w     *bufio.Writer
	rank  int
	group *detect.Group // of the finding before
}

// NewText returns a handler that writes to w.
func NewText(w io.Writer) *Text { return &Text{w: bufio.NewWriter(w)} }

// shownAddresses is how many addresses the table shows of a finding; JSON Lines
// have them all.
const shownAddresses = 4

const row = "%4s  %5s  %-7s  %22s  %22s  %s\n"

// Finding writes one row and what belongs to it.
func (t *Text) Finding(f *detect.Finding) error {
	again := f.Group != nil && f.Group == t.group && f.Run.Class != ingest.Events
	t.group = f.Group
	if again {
		fmt.Fprint(t.w, line("+", f))
		return t.w.Flush()
	}
	if t.rank++; t.rank == 1 {
		fmt.Fprintf(t.w, row, "rank", "P", "verdict", "leaked", "outstanding", "allocation site")
	}
	fmt.Fprint(t.w, line(strconv.Itoa(t.rank), f))
	for _, why := range f.Why {
		fmt.Fprintf(t.w, "      - %s\n", printable(why))
	}
	if on := mattered(f.Attribution); on != "" {
		fmt.Fprintf(t.w, "      rests on %s\n", on)
	}
	fmt.Fprintf(t.w, "      %s\n", when(f))
	t.addresses(f)
	if g := f.Group; g != nil && g.Findings > 1 {
		fmt.Fprintf(t.w, "      group %d: %s\n", g.Number, members(g))
	}
	return t.w.Flush()
}

// line writes a finding's row; rank is "+" for more of the group before.
func line(rank string, f *detect.Finding) string {
	verdict, leaked := "normal", "-"
	if f.Leak {
		verdict, leaked = "LEAK", Amount(f.Leaked)
	}
	return fmt.Sprintf(row, rank, strconv.FormatFloat(f.Probability, 'f', 3, 64), verdict, leaked, Amount(f.Outstanding), printable(f.Site))
}

// members tells what belongs to a group.
func members(g *detect.Group) string {
	entries := number(g.Entries, "entry")
	if g.Entries != 1 {
		entries = strconv.Itoa(g.Entries) + " entries"
	}
	s := number(g.Findings, "site") + ", " + entries + ", "
	if g.Leaked.Blocks > 0 {
		return s + Amount(g.Leaked) + " leaked"
	}
	return s + Amount(g.Outstanding) + " outstanding"
}

// mattered names the first things without which the odds of a leak were lower by a
// third or more.
func mattered(effects []detect.Effect) string {
	const shown, least = 3, 0.4
	var on []string
	for _, e := range effects[:min(len(effects), shown)] {
		if e.Effect >= least {
			on = append(on, fmt.Sprintf("%s (P %.3f without)", e.What, e.Without))
		}
	}
	return strings.Join(on, ", ")
}

// when tells since when the blocks of a leak are there and how fast they became
// more, of other findings where in the log they are.
func when(f *detect.Finding) string {
	s := since(f)
	if r := speed(f.Rate); r != "" {
		s += "; about " + r
	}
	return s
}

// since is when without the rate.
func since(f *detect.Finding) string {
	if !f.Leak || f.Run.Class != ingest.Events {
		return moments(f.First, f.Last)
	}
	at := func(p detect.Place) string {
		if p.Time == 0 {
			return fmt.Sprintf("line %d", p.Line)
		}
		return fmt.Sprintf("line %d at %.2f s", p.Line, p.Time.Seconds())
	}
	s := fmt.Sprintf("since event %d, %s", f.First.Event, at(f.First))
	if f.First != f.Last {
		s += ", up to " + at(f.Last)
	}
	return s
}

// speed writes a rate; "" where there is none.
func speed(r *detect.Rate) string {
	if r == nil {
		return ""
	}
	s := Bytes(int64(r.BytesPerMillionEvents)) + " per million events"
	if r.BytesPerSnapshot > 0 {
		s = Bytes(int64(r.BytesPerSnapshot)) + " more in each snapshot"
	}
	if r.BytesPerHour > 0 {
		s += ", " + Bytes(int64(r.BytesPerHour)) + " per hour"
	}
	return s
}

// moments tells where in the log two blocks were allocated.
func moments(first, last detect.Place) string {
	switch {
	case first == last && first.Time == 0:
		return fmt.Sprintf("on line %d", first.Line)
	case first == last:
		return fmt.Sprintf("on line %d, at %.2f s", first.Line, first.Time.Seconds())
	case last.Time == 0:
		return fmt.Sprintf("on lines %d to %d", first.Line, last.Line)
	}
	return fmt.Sprintf("on lines %d to %d, at %.2f to %.2f s", first.Line, last.Line, first.Time.Seconds(), last.Time.Seconds())
}

func (t *Text) addresses(f *detect.Finding) {
	n := 0
	for a := range f.Addresses() {
		if n++; n > shownAddresses {
			fmt.Fprint(t.w, " ... (all of them: --format jsonl)")
			break
		}
		if n == 1 {
			fmt.Fprint(t.w, "      blocks")
		}
		fmt.Fprintf(t.w, " 0x%x", a)
	}
	if n > 0 {
		fmt.Fprintln(t.w)
	}
}

// Summary writes what was found in all.
func (t *Text) Summary(s *detect.Summary) error {
	if t.rank > 0 {
		fmt.Fprintln(t.w)
	}
	t.rank, t.group = 0, nil // what follows is of another run
	for _, warning := range s.Warnings {
		fmt.Fprintf(t.w, "warning: %s\n", printable(warning))
	}
	fmt.Fprintf(t.w, "%s: ", printable(path.Base(s.Log)))
	if s.Leaks == 0 {
		fmt.Fprintf(t.w, "no %sleak found", other(s))
	} else {
		fmt.Fprintf(t.w, "leaks at %d of %s: %s", s.Leaks, number(s.Sites, "site"), Amount(s.Leaked))
	}
	fmt.Fprint(t.w, leftOut(s))
	fmt.Fprintf(t.w, "; outstanding %s at %s after %d events", Amount(s.Outstanding), number(s.Sites, "site"), s.Cut)
	if s.Cut < s.Events {
		fmt.Fprintf(t.w, " of %d", s.Events)
	}
	fmt.Fprintf(t.w, " (threshold %.3f", s.Threshold)
	if s.Leaks > 0 {
		fmt.Fprintf(t.w, ": expected precision %.3f, false alarms %.1f", 1-s.FalseAlarms/float64(s.Leaks), s.FalseAlarms)
	}
	compared := "no clean run known"
	if s.ReferenceRuns > 0 {
		compared = "compared with " + number(s.ReferenceRuns, "clean run")
	}
	fmt.Fprintf(t.w, "; model %s, %s)\n", s.Model, compared)
	return t.w.Flush()
}

// other is what leaks are called beside those that were left out.
func other(s *detect.Summary) string {
	switch {
	case len(s.Known) > 0:
		return "new "
	case len(s.Suppressed) > 0:
		return "other "
	}
	return ""
}

// leftOut counts the leaks that are not among the findings.
func leftOut(s *detect.Summary) string {
	out := ""
	if n := len(s.Known); n > 0 {
		out += fmt.Sprintf("; %d known", n)
	}
	if n := len(s.Suppressed); n > 0 {
		out += fmt.Sprintf("; %d suppressed", n)
	}
	return out
}

// number writes a number of things.
func number(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// Amount writes blocks and bytes for people: "120 blocks, 4.0 KiB".
func Amount(a ingest.Amount) string {
	return number(int(a.Blocks), "block") + ", " + Bytes(a.Bytes)
}

// Bytes writes a size for people, in powers of 1024.
func Bytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	size, unit := float64(n), -1
	for size >= 1023.95 && unit < len("KMGTPE")-1 {
		size, unit = size/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGTPE"[unit])
}

// printable keeps names out of a log from driving the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// JSONLines is a handler that writes one JSON object a line: findings with
// "type":"finding", last the summary with "type":"summary".
type JSONLines struct{ w *bufio.Writer }

// NewJSONLines returns a handler that writes to w.
func NewJSONLines(w io.Writer) *JSONLines { return &JSONLines{w: bufio.NewWriter(w)} }

// finding is a Finding's JSON form, but for the addresses.
type finding struct {
	Type        string         `json:"type"`
	Log         string         `json:"log"`
	Site        string         `json:"site"`
	Frames      []Frame        `json:"frames"`
	Probability float64        `json:"probability"`
	Leak        bool           `json:"leak"`
	Outstanding ingest.Amount  `json:"outstanding"`
	Leaked      ingest.Amount  `json:"leaked"`
	Group       int            `json:"group,omitempty"` // findings of one number are likely one leak
	Key         detect.SiteKey `json:"key"`             // of the site, across runs
	First       detect.Place   `json:"first"`
	Last        detect.Place   `json:"last"`
	Rate        *detect.Rate   `json:"rate,omitempty"`
	Why         []string       `json:"why"`

	Attribution []detect.Effect `json:"attribution,omitempty"`
}

// Frame is a frame's JSON form; what is not known is empty, 0 or "0x0".
type Frame struct {
	Function string `json:"function"`
	Module   string `json:"module"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Address  string `json:"address"`
	Inlined  bool   `json:"inlined,omitempty"`
}

// NewFrame writes a frame so.
func NewFrame(f ingest.Frame) Frame {
	return Frame{f.Function, f.Module, f.File, f.Line, "0x" + strconv.FormatUint(f.Address, 16), f.Inlined}
}

// Finding writes one line. The addresses, of which there may be millions, are
// written one by one as the object's last member.
func (j *JSONLines) Finding(f *detect.Finding) error {
	head := finding{
		Type: "finding", Log: f.Log, Site: f.Site, Key: f.Key(), Frames: []Frame{}, Probability: f.Probability, Leak: f.Leak,
		Outstanding: f.Outstanding, Leaked: f.Leaked, First: f.First, Last: f.Last, Rate: f.Rate, Why: f.Why,
		Attribution: f.Attribution,
	}
	if f.Group != nil {
		head.Group = f.Group.Number
	}
	for _, fr := range f.Frames {
		head.Frames = append(head.Frames, NewFrame(fr))
	}
	text, err := object(head)
	if err != nil {
		return err
	}
	j.w.Write(text[:len(text)-1])
	j.w.WriteString(`,"addresses":[`)
	var item []byte
	for a := range f.Addresses() {
		if item != nil {
			j.w.WriteByte(',')
		}
		item = append(strconv.AppendUint(append(item[:0], `"0x`...), a, 16), '"')
		j.w.Write(item)
	}
	j.w.WriteString("]}\n")
	return j.w.Flush()
}

// Summary writes the last line.
func (j *JSONLines) Summary(s *detect.Summary) error {
	text, err := object(struct {
		Type string `json:"type"`
		*detect.Summary
	}{"summary", s})
	if err != nil {
		return err
	}
	j.w.Write(append(text, '\n'))
	return j.w.Flush()
}

// object is v's JSON form on one line, with names such as "operator<" readable.
func object(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}
