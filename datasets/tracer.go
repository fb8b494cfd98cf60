package datasets

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"leakformer/ingest"
)

// A tracer writes the log of a run.
type tracer struct {
	format string  // of its logs, a name of ingest's
	suffix string  // of the log's name
	scale  float64 // factor on workloads: how much of them the tracer can bear
	report bool    // its log is a report without events: labels are sites, and there are no markers
	libc   bool    // it sees the blocks of libc's malloc only
	cuts   bool    // its log can be cut where the program's work ends: see Program.Grows

	// wrap turns the process into one that is traced: its log goes to raw.
	wrap func(p *process, library, raw string)
	// strip copies the log from raw without markers.
	strip func(w io.Writer, raw *os.File, c *control) (*stripped, error)
}

// findTracer returns the tracer for [Config].Tool, and has it preload an allocator if
// one is named.
func findTracer(ctx context.Context, tool, allocator string) (*tracer, error) {
	if allocator != "" && tool != "" && tool != "heaptrack" {
		return nil, fmt.Errorf("%s has an allocator of its own: another one is for heaptrack", tool)
	}
	switch tool {
	case "", "heaptrack":
		preload, err := findHeaptrack()
		if err != nil {
			return nil, err
		}
		if allocator != "" {
			if allocator, err = filepath.Abs(allocator); err == nil {
				_, err = os.Stat(allocator)
			}
			if err != nil {
				return nil, fmt.Errorf("allocator: %w", err)
			}
			preload += ":" + allocator
		}
		wrap := func(p *process, library, raw string) {
			p.env = append(p.env, "LD_PRELOAD="+library+":"+preload, "DUMP_HEAPTRACK_OUTPUT="+raw)
		}
		strip := func(w io.Writer, raw *os.File, c *control) (*stripped, error) {
			return stripHeaptrack(raw, w, c, libraryName)
		}
		return &tracer{format: "heaptrack", suffix: "raw.zst", scale: 1, cuts: true, wrap: wrap, strip: strip}, nil
	case "trace-malloc":
		return traceMalloc(ctx)
	case "memcheck", "memcheck-xml":
		return memcheck(ctx, tool == "memcheck-xml")
	}
	return nil, fmt.Errorf("unknown tool %q: want heaptrack, trace-malloc, memcheck or memcheck-xml", tool)
}

// findHeaptrack returns heaptrack's preload library.
func findHeaptrack() (string, error) {
	for _, pattern := range []string{"/usr/lib/heaptrack", "/usr/lib/*/heaptrack", "/usr/local/lib/heaptrack", "/usr/lib64/heaptrack"} {
		if found, _ := filepath.Glob(pattern + "/libheaptrack_preload.so"); len(found) > 0 {
			return found[0], nil
		}
	}
	return "", errors.New("heaptrack is not installed: apt-get install heaptrack")
}

// traceMalloc is Valgrind's --trace-malloc=yes. Valgrind replaces the malloc of
// libc only, so that calls reach our library first.
func traceMalloc(ctx context.Context) (*tracer, error) {
	launcher, program, tool, err := findValgrind(ctx)
	if err != nil {
		return nil, err
	}
	wrap := func(p *process, library, raw string) {
		p.args = append([]string{"--leak-check=no", "--undef-value-errors=no", "--trace-malloc=yes",
			"--soname-synonyms=somalloc=nouserintercepts", "--log-file=" + raw, p.path}, p.args...)
		p.path = program
		p.env = append(p.env, "LD_PRELOAD="+library, "VALGRIND_LAUNCHER="+launcher)
	}
	strip := func(w io.Writer, raw *os.File, c *control) (*stripped, error) {
		s, err := stripTraceMalloc(w, raw, c)
		if err == nil {
			s.tool = tool + " trace-malloc"
		}
		return s, err
	}
	return &tracer{format: "trace-malloc", suffix: "trace-malloc.zst", scale: 0.1, libc: true, wrap: wrap, strip: strip}, nil
}

// findMemcheck returns the program that the command valgrind starts; it and Go
// call the architectures amd64 and arm64 by the same names. It is run
// directly: valgrind itself would load our library and take the control file.
func findMemcheck() string {
	for _, dir := range []string{"/usr/libexec/valgrind", "/usr/lib/valgrind", "/usr/lib/*/valgrind", "/usr/local/libexec/valgrind"} {
		if found, _ := filepath.Glob(filepath.Join(dir, "memcheck-"+runtime.GOARCH+"-linux")); len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

// placed is a marker that was taken out: it stood behind so many lines.
type placed struct {
	line   int64
	number uint64
}

// stripTraceMalloc takes the markers out and labels with what ingest makes of
// the rest, since a line of this format may be one event, two or none.
func stripTraceMalloc(w io.Writer, raw *os.File, c *control) (*stripped, error) {
	var markers []placed
	text, done := io.Pipe()
	go func() {
		var err error
		markers, err = cutMarkers(io.MultiWriter(w, done), raw, c)
		done.CloseWithError(err)
	}()
	defer text.Close()
	// Reading the log a second time would need its copy: the events of the whole
	// log are kept instead, a few words each.
	src, err := ingest.NewSource("trace", text, ingest.Options{Format: "trace-malloc"})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	var events []ingest.Event
	for e, err := range src.Events() {
		var syntax *ingest.SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			return nil, err
		}
		if err == nil {
			events = append(events, e)
		}
	}
	return placeMarkers(events, markers, c.drops), nil
}

// cutMarkers copies a trace-malloc log without the lines of the markers.
func cutMarkers(w io.Writer, r io.Reader, c *control) ([]placed, error) {
	marker := c.header[wMarker]
	var markers []placed
	open := map[string]bool{}
	out := bufio.NewWriterSize(w, 1<<16)
	written := int64(0)
	err := eachLine(r, func(line []byte) error {
		if _, call, ok := bytes.Cut(line, []byte("-- malloc(")); ok {
			size, address, _ := bytes.Cut(call, []byte(") = "))
			if n, err := strconv.ParseUint(string(size), 10, 64); err == nil && n >= marker && n < marker+markerSpan {
				open[string(address)] = true
				markers = append(markers, placed{written, n - marker})
				return nil
			}
		}
		if _, call, ok := bytes.Cut(line, []byte("-- free(")); ok {
			if address := string(bytes.TrimSuffix(call, []byte(")"))); open[address] {
				delete(open, address)
				return nil
			}
		}
		written++
		out.Write(c.anonymous(line))
		return out.WriteByte('\n')
	})
	if err != nil {
		return nil, err
	}
	return markers, out.Flush()
}

// placeMarkers labels the drops by the events around their markers.
func placeMarkers(events []ingest.Event, markers []placed, drops []dropRecord) *stripped {
	h := &heaptrackStripper{drops: drops, live: map[uint64]liveBlock{}, leaked: map[uint64]bool{}}
	for _, e := range events {
		for len(markers) > 0 && markers[0].line < e.Line {
			h.out.events = e.Seq
			h.placeDrop(markers[0].number)
			markers = markers[1:]
		}
		if e.Op == ingest.Alloc {
			h.live[e.Addr] = liveBlock{e.Size, e.Seq}
		} else {
			delete(h.live, e.Addr)
		}
		h.out.events = e.Seq + 1
	}
	for _, m := range markers {
		h.placeDrop(m.number)
	}
	h.end()
	return &h.out
}
