package report

import (
	"io"
	"slices"
	"strings"

	"leakformer/detect"
)

// Format is a form in which findings can be written.
type Format struct {
	// Name is what commands call it. Media is its media type, Extension that of a file
	// of it.
	Name, Media, Extension string
	// New returns a handler that writes to w, for the program's version. One that is an
	// [io.Closer] has to be closed.
	New func(w io.Writer, version string) (detect.Handler, error)
}

// formats there are, those for people first.
var formats = []Format{
	{"text", "text/plain; charset=utf-8", "txt", func(w io.Writer, _ string) (detect.Handler, error) { return NewText(w), nil }},
	{"html", "text/html; charset=utf-8", "html", func(w io.Writer, _ string) (detect.Handler, error) { return NewHTML(w), nil }},
	{"jsonl", "application/jsonl", "jsonl", func(w io.Writer, _ string) (detect.Handler, error) { return NewJSONLines(w), nil }},
	{"sarif", "application/sarif+json", "sarif", func(w io.Writer, version string) (detect.Handler, error) { return NewSARIF(w, version) }},
	{"csv", "text/csv; charset=utf-8", "csv", func(w io.Writer, _ string) (detect.Handler, error) { return NewCSV(w), nil }},
	{"collapsed", "text/plain; charset=utf-8", "folded", func(w io.Writer, _ string) (detect.Handler, error) { return NewCollapsed(w), nil }},
	{"pprof", "application/vnd.google.protobuf+gzip", "pb.gz", func(w io.Writer, _ string) (detect.Handler, error) { return NewPprof(w), nil }},
}

// FindFormat returns the format of a name; false if there is none.
func FindFormat(name string) (Format, bool) {
	i := slices.IndexFunc(formats, func(f Format) bool { return f.Name == name })
	if i < 0 {
		return Format{}, false
	}
	return formats[i], true
}

// FormatNames lists the names: "text, html, ... or pprof".
func FormatNames() string {
	var names []string
	for _, f := range formats {
		names = append(names, f.Name)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
