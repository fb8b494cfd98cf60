package ingest

import (
	"bytes"
	"math"
	"slices"
	"strconv"
)

// What `memray transform csv` writes of a recording of a Python program: one row
// for each call stack that held memory at the high-water mark, or with --leaks at
// the end.
//
//	allocator,num_allocations,size,tid,thread_name,stack_trace
//	MALLOC,1,544,1,main,f;app.py;3|<module>;app.py;9
//
// The columns may stand in another order, and there may be others. A call stack has
// the innermost function first.

// memrayColumns are the columns that are used, in the order of memray's fields.
var memrayColumns = [...]string{"num_allocations", "size", "tid", "stack_trace"}

func sniffMemray(head []byte) string {
	found, n := false, 0
	headLines(head, func(line []byte) bool {
		_, found = memrayHeader(line)
		n++
		return found || n == 1
	})
	if found {
		return ""
	}
	return `the first line is not "allocator,num_allocations,size,tid,thread_name,stack_trace"`
}

// memrayHeader finds the columns in the first line.
func memrayHeader(line []byte) (at [len(memrayColumns)]int, ok bool) {
	fields, ok := splitCSV(nil, line)
	for i, name := range memrayColumns {
		at[i] = slices.IndexFunc(fields, func(f []byte) bool { return string(f) == name })
		ok = ok && at[i] >= 0
	}
	return at, ok
}

// memray is the reader.
type memray struct {
	d      *decoder
	at     [len(memrayColumns)]int
	fields [][]byte
	frames []FrameID
	places map[string]FrameID // by their text
	held   snapshot
}

func readMemray(d *decoder) error {
	d.report.Tool = "memray"
	r := &memray{d: d, places: map[string]FrameID{}}
	header := false
	for {
		line, ok := d.lines.next()
		if !ok {
			break
		}
		switch {
		case len(line) == 0:
		case !header:
			if r.at, header = memrayHeader(line); !header {
				return &FormatError{File: d.report.Name, Msg: "has no columns num_allocations, size, tid and stack_trace"}
			}
			d.report.Recognised++
		case d.lines.partial:
			d.truncated("the last line has no end and is left out")
		case r.row(line):
			d.report.Recognised++
		case !d.bad(d.lines.n, "row not understood: %q", clip(line)):
			return nil
		}
	}
	r.held.emit(d, 0)
	return nil
}

// row takes one row.
func (r *memray) row(line []byte) bool {
	var ok bool
	if r.fields, ok = splitCSV(r.fields[:0], line); !ok || len(r.fields) <= slices.Max(r.at[:]) {
		return false
	}
	var n [3]int64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseInt(string(r.fields[r.at[i]]), 10, 64); err != nil {
			return false
		}
	}
	e := Event{Line: r.d.lines.n, Count: n[0], Size: n[1]}
	if e.Count < 0 || e.Count > maxBlock || e.Size < 0 || e.Size > maxBlock {
		return false
	}
	if n[2] > 0 && n[2] <= math.MaxInt32 {
		e.TID = int32(n[2])
	}
	if e.Stack, ok = r.stack(r.fields[r.at[3]]); ok && e.Count+e.Size > 0 {
		r.held.add(e)
	}
	return ok
}

// stack reads "FUNCTION;FILE;LINE|FUNCTION;FILE;LINE|...". A file's name may hold
// a semicolon.
func (r *memray) stack(text []byte) (StackID, bool) {
	r.frames = r.frames[:0]
	for len(text) > 0 {
		var frame []byte
		frame, text, _ = bytes.Cut(text, []byte{'|'})
		id, ok := r.places[string(frame)]
		if !ok {
			rest, number, found := cutLast(frame, ';')
			function, file, found2 := bytes.Cut(rest, []byte{';'})
			n, err := strconv.Atoi(string(number))
			if !found || !found2 || err != nil || n < 0 {
				return 0, false
			}
			id = r.d.stacks.Frame(Frame{Function: r.d.symbol(function), File: r.d.text(file), Line: n})
			if len(r.places) >= maxCached {
				clear(r.places)
			}
			r.places[string(frame)] = id
		}
		if len(r.frames) < maxDepth {
			r.frames = append(r.frames, id)
		}
	}
	return r.d.stacks.Stack(r.frames), true
}

// splitCSV appends the fields of a line to fields. A field in quotes may hold
// commas, and a quote as two.
func splitCSV(fields [][]byte, line []byte) ([][]byte, bool) {
	for {
		rest, quoted := bytes.CutPrefix(line, []byte{'"'})
		if !quoted {
			field, after, more := bytes.Cut(line, []byte{','})
			fields = append(fields, field)
			if !more {
				return fields, true
			}
			line = after
			continue
		}
		var field []byte
		for {
			part, after, closed := bytes.Cut(rest, []byte{'"'})
			if !closed {
				return fields, false
			}
			field, rest = append(field, part...), after
			if len(rest) == 0 || rest[0] != '"' {
				break
			}
			field, rest = append(field, '"'), rest[1:]
		}
		fields = append(fields, field)
		if len(rest) == 0 {
			return fields, true
		}
		if rest[0] != ',' {
			return fields, false
		}
		line = rest[1:]
	}
}
