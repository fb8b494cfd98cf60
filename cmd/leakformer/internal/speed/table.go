package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"

	"leakformer/ingest/atomicfile"
)

// A table is what was measured in one run.
type table struct {
	Machine string
	Rows    []row
}

// A row is one comparison.
type row struct {
	// Task is what was done, Command what to call to do it again.
	Task, Command string
	// Unit of Ours and Theirs.
	Unit         string
	Ours, Theirs *spread `json:",omitempty"`
	// Ratio is how many times as good ours is as theirs, on the clock or in memory;
	// Processor the median of the same by the time of processors.
	Ratio     *spread `json:",omitempty"`
	Processor float64 `json:",omitempty"`
	// Least is the lowest ratio that is aimed at, Most the highest of Ours.
	Least, Most float64 `json:",omitempty"`
	// Note says what else is to be known.
	Note string `json:",omitempty"`
}

// compared makes a row of costs in seconds: rate gives the figure that is shown of one.
func compared(task, unit string, our, their []cost, rate func(cost) float64, least float64) row {
	return row{Task: task, Unit: unit, Ours: each(our, rate), Theirs: each(their, rate), Ratio: ratios(our, their, clock),
		Processor: ratios(our, their, processor).Median, Least: least}
}

// add puts a row on the table, and tells of it at once.
func (m *measurer) add(command string, r row) {
	r.Command = command
	m.rows = append(m.rows, r)
	fmt.Fprintln(m.log, strings.Join(r.cells(), "  "))
}

func (t table) save(path string) error {
	text, err := json.MarshalIndent(t, "", "\t")
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, append(text, '\n'))
}

func load(path string) (t table, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// The table stands between these lines.
const (
	begin = "<!-- perf -->"
	end   = "<!-- /perf -->"
)

// around reads what stands before and after the place of the table in a file.
func around(path string) (before, after string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	before, rest, opened := strings.Cut(string(text), begin+"\n")
	_, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		return "", "", fmt.Errorf("%s has no place for the table: put the lines %s and %s there", path, begin, end)
	}
	return before, after, nil
}

// insert writes the table between the marks in a file.
func (t table) insert(path string) error {
	before, after, err := around(path)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(before + begin + "\n")
	if err := t.write(&b); err != nil {
		return err
	}
	b.WriteString(end + after)
	return atomicfile.WriteBytes(path, b.Bytes())
}

// write writes the table as Markdown.
func (t table) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. Median of rounds (lowest to highest).\n\n", t.Machine)
	b.WriteString("| task | leakformer | peer | ratio | by processor time | target | `speed -only` |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range t.Rows {
		b.WriteString("| " + strings.Join(r.cells(), " | ") + " |\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r row) cells() []string {
	cells := []string{r.Task, "", "", "", "", r.target(), r.Command}
	if r.Note != "" {
		cells[0] += " (" + r.Note + ")"
	}
	if r.Ours != nil {
		cells[1] = r.Ours.text() + " " + r.Unit
	}
	if r.Theirs != nil {
		cells[2] = r.Theirs.text() + " " + r.Unit
	}
	if r.Ratio != nil {
		cells[3] = r.Ratio.text() + " ×"
	}
	if r.Processor != 0 {
		cells[4] = digits(r.Processor) + " ×"
	}
	return cells
}

// target says what was aimed at, and whether it was hit.
func (r row) target() string {
	hit, text := false, ""
	switch {
	case r.Least != 0:
		hit, text = r.Ratio.Median >= r.Least, "≥ "+digits(r.Least)+" ×"
	case r.Most != 0:
		hit, text = r.Ours.Median <= r.Most, "≤ "+digits(r.Most)+" "+r.Unit
	default:
		return ""
	}
	if !hit {
		text += ": missed"
	}
	return text
}

func (s spread) text() string {
	if s.Low == s.High {
		return digits(s.Median)
	}
	return fmt.Sprintf("%s (%s to %s)", digits(s.Median), digits(s.Low), digits(s.High))
}

// digits writes three significant digits, and whole numbers in full.
func digits(v float64) string {
	if math.Abs(v) >= 100 {
		text := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// machine names the processor and what Go can use of it.
func machine() string {
	name := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo") // without it the architecture has to do
	if _, rest, ok := strings.Cut(string(text), "model name"); ok {
		line, _, _ := strings.Cut(rest, "\n")
		_, model, _ := strings.Cut(line, ":")
		name = strings.TrimSpace(model)
	}
	return fmt.Sprintf("%d cores of %s", runtime.NumCPU(), name)
}
