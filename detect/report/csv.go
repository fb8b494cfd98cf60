package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"leakformer/detect"
)

// CSV is a handler that writes a table for spreadsheets, a row for each finding, with
// a head. What is not known is empty. Names are as the log has them, but for an
// apostrophe before those that a spreadsheet would take for a formula.
type CSV struct {
	w    *csv.Writer
	head bool // is written
}

// NewCSV returns a handler that writes to w.
func NewCSV(w io.Writer) *CSV { return &CSV{w: csv.NewWriter(w)} }

// Finding writes one row.
func (c *CSV) Finding(f *detect.Finding) error {
	c.start()
	group := 0
	if f.Group != nil {
		group = f.Group.Number
	}
	rate := detect.Rate{}
	if f.Rate != nil {
		rate = *f.Rate
	}
	file, line := "", ""
	if at := sourced(f.Frames); at >= 0 {
		file, line = f.Frames[at].File, strconv.Itoa(f.Frames[at].Line)
	}
	return c.row(inert(f.Log), inert(f.Site), strconv.FormatFloat(f.Probability, 'f', 4, 64), strconv.FormatBool(f.Leak),
		whole(f.Leaked.Blocks), whole(f.Leaked.Bytes), whole(f.Outstanding.Blocks), whole(f.Outstanding.Bytes), strconv.Itoa(group),
		whole(int64(f.First.Line)), decimal(f.First.Time.Seconds()), whole(int64(f.Last.Line)), decimal(f.Last.Time.Seconds()),
		known(rate.BytesPerMillionEvents), known(rate.BytesPerSnapshot), known(rate.BytesPerHour), inert(file), line, inert(strings.Join(f.Why, "; ")))
}

// Summary writes the head if nothing else was there to write.
func (c *CSV) Summary(*detect.Summary) error {
	c.start()
	c.w.Flush()
	return c.w.Error()
}

func (c *CSV) start() {
	if !c.head {
		c.head = true
		c.w.Write([]string{"log", "site", "probability", "leak",
			"leaked_blocks", "leaked_bytes", "outstanding_blocks", "outstanding_bytes", "group",
			"first_line", "first_seconds", "last_line", "last_seconds",
			"bytes_per_million_events", "bytes_per_snapshot", "bytes_per_hour", "file", "line", "why"})
	}
}

func (c *CSV) row(cells ...string) error {
	c.w.Write(cells)
	c.w.Flush()
	return c.w.Error()
}

// inert is a text that no spreadsheet calculates with.
func inert(text string) string {
	if strings.HasPrefix(text, "'") || strings.IndexAny(text, "=+-@\t\r\n") == 0 {
		return "'" + text
	}
	return text
}

func whole(n int64) string { return strconv.FormatInt(n, 10) }

// known writes a rate; nothing for 0, which stands for an unknown one.
func known(v float64) string {
	if v == 0 {
		return ""
	}
	return whole(int64(v))
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
