package report

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"leakformer/detect"
	"leakformer/ingest"
)

// Collapsed is a handler that writes a line for each leak, as flame graphs are made
// of: the functions of its stack, outermost first, and the leaked bytes.
type Collapsed struct{ w *bufio.Writer }

// NewCollapsed returns a handler that writes to w.
func NewCollapsed(w io.Writer) *Collapsed { return &Collapsed{bufio.NewWriter(w)} }

// Finding writes one line, or none if it is no leak.
func (c *Collapsed) Finding(f *detect.Finding) error {
	if !f.Leak {
		return nil
	}
	names := strings.NewReplacer(";", ":")
	for i, name := range Calls(f) {
		if i > 0 {
			c.w.WriteByte(';')
		}
		c.w.WriteString(names.Replace(printable(name)))
	}
	fmt.Fprintf(c.w, " %d\n", f.Leaked.Bytes)
	return c.w.Flush()
}

// Summary writes nothing.
func (c *Collapsed) Summary(*detect.Summary) error { return c.w.Flush() }

// Calls names a finding's frames, outermost first; its site where there are none.
func Calls(f *detect.Finding) []string {
	if len(f.Frames) == 0 {
		return []string{f.Site}
	}
	var names []string
	for i := len(f.Frames) - 1; i >= 0; i-- {
		names = append(names, frameName(f.Frames[i]))
	}
	return names
}

// frameName is a frame's function, or where it has none, its place in the module.
func frameName(f ingest.Frame) string {
	switch {
	case f.Function != "":
		return f.Function
	case f.Module != "":
		return path.Base(f.Module) + "+0x" + strconv.FormatUint(f.Address, 16)
	}
	return "0x" + strconv.FormatUint(f.Address, 16)
}

// sourced is the innermost frame whose file and line are known, if there is one in the
// program's own code; -1 for none.
func sourced(frames []ingest.Frame) int {
	found := -1
	for i, f := range frames {
		if f.File == "" || f.Line <= 0 {
			continue
		}
		if !ofSystem(f) {
			return i
		}
		if found < 0 {
			found = i
		}
	}
	return found
}

// ofSystem reports whether a frame is in a library or a header of the system.
func ofSystem(f ingest.Frame) bool {
	return strings.HasPrefix(f.File, "/usr/include/") || strings.HasPrefix(f.Module, "/lib") || strings.HasPrefix(f.Module, "/usr/lib")
}
