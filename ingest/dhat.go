package ingest

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// The profile of Valgrind's DHAT, and of Rust's dhat crate: what each call stack (a
// "program point") allocated in all, and what of it was still there at the end. Only
// the latter can be said in events; totals and lifetimes are left out.
//
// It is one JSON document of any size, and the table of frames usually stands behind
// the points that name them: it is read token by token, and of the points only those
// that have blocks at the end are kept. Version 1 (Valgrind 3.15 and 3.16) has other
// names for the keys.

// maxPoints bounds the program points that wait for the frame table.
const maxPoints = 1 << 22

func sniffDHAT(head []byte) string {
	text := strings.TrimLeft(strings.TrimPrefix(string(head), "\xef\xbb\xbf"), " \t\r\n")
	if strings.HasPrefix(text, "{") && strings.Contains(text[:min(len(text), 4096)], `"dhatFileVersion"`) {
		return ""
	}
	return `no JSON object with "dhatFileVersion"`
}

// dhat is the reader.
type dhat struct {
	jsonReader
	d *decoder

	version int64
	mode    string
	pid     int64
	// lifetimes: the file says what was there at the end.
	lifetimes bool
	points    []dhatPoint
	stacks    []int32   // frames of all points, one after the other
	frames    []FrameID // the frame table
	noFrame   []bool    // of the table: it names no code ("[root]")
	framed    bool      // the table was read
	left      int64     // points that were left out
}

// dhatPoint is a program point that has blocks at the end.
type dhatPoint struct {
	line, bytes, blocks int64
	from, to            int // in dhat.stacks
}

func readDHAT(d *decoder) error {
	r := &dhat{jsonReader: newJSONReader(d.lines), d: d, mode: "heap"}
	err := r.document()
	d.report.Recognised = d.lines.n
	switch {
	case err == nil:
	case errors.Is(err, errNotHeap):
		return fmt.Errorf("%s: %w", d.report.Name, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), d.lines.err != nil:
		d.truncated("the JSON document is not closed: the file is cut off")
	case !d.bad(d.lines.n, "damaged JSON (%v); what follows is left out", err):
		return nil
	default:
		d.report.Truncated = true
	}
	return r.finish(err == nil)
}

// errNotHeap refuses the profiles of what is no heap.
var errNotHeap = errors.New("is no profile of a heap")

// document reads the outermost object.
func (r *dhat) document() error {
	return r.object(func(key string) error {
		var err error
		switch key {
		case "dhatFileVersion":
			r.version, err = r.number()
		case "mode":
			r.mode, err = r.text()
		case "bklt":
			r.lifetimes, err = r.truth()
		case "cmd":
			r.d.report.Command, err = r.text()
		case "pid":
			r.pid, err = r.number()
		case "pps", "aps":
			err = r.array(r.point)
		case "ftbl":
			r.framed = true
			err = r.array(r.frame)
		default:
			err = r.skip()
		}
		return err
	})
}

// point reads a program point.
func (r *dhat) point() error {
	p := dhatPoint{line: r.d.lines.n, from: len(r.stacks)}
	total := Amount{Blocks: math.MaxInt64, Bytes: math.MaxInt64}
	frames := 0
	err := r.object(func(key string) error {
		var err error
		switch key {
		case "tb":
			total.Bytes, err = r.number()
		case "tbk":
			total.Blocks, err = r.number()
		case "eb", "fb":
			p.bytes, err = r.number()
		case "ebk", "fbk":
			p.blocks, err = r.number()
		case "fs":
			err = r.array(func() error {
				i, err := r.number()
				if frames++; frames <= maxFrames && len(r.stacks) < maxStacked {
					r.stacks = append(r.stacks, int32(min(max(i, -1), math.MaxInt32)))
				}
				return err
			})
		default:
			err = r.skip()
		}
		return err
	})
	p.to = len(r.stacks)
	switch {
	case err != nil:
		return err
	case p.blocks == 0 && p.bytes == 0:
		r.stacks = r.stacks[:p.from]
	case p.blocks <= 0 || p.bytes < 0 || p.blocks > min(total.Blocks, maxBlock) || p.bytes > min(total.Bytes, maxBlock):
		r.stacks = r.stacks[:p.from]
		if !r.d.bad(p.line, "%d bytes in %d blocks at the end of %d bytes in %d blocks", p.bytes, p.blocks, total.Bytes, total.Blocks) {
			return io.EOF
		}
	case len(r.points) == maxPoints:
		r.left++
		r.stacks = r.stacks[:p.from]
	default:
		r.points = append(r.points, p)
	}
	return nil
}

// frame reads an entry of the frame table: "0xHEX: WHERE", or "[root]".
func (r *dhat) frame() error {
	s, err := r.text()
	if err != nil {
		return err
	}
	f, ok := parseDHATFrame(s)
	if !ok && s != "[root]" && !r.d.bad(r.d.lines.n, "frame not understood: %q", clip([]byte(s))) {
		return io.EOF
	}
	r.noFrame = append(r.noFrame, !ok)
	id := FrameID(0)
	if ok {
		id = r.d.stacks.Frame(f)
	}
	r.frames = append(r.frames, id)
	return nil
}

// parseDHATFrame reads "0xHEX: WHERE"; the dhat crate tells the column too.
func parseDHATFrame(s string) (Frame, bool) {
	hex, where, ok := strings.Cut(strings.TrimPrefix(s, "0x"), ": ")
	addr, err := strconv.ParseUint(hex, 16, 64)
	if !ok || err != nil {
		return Frame{}, false
	}
	f := parseWhere(where)
	f.Address = addr
	if file, line := cutLine(f.File); line > 0 {
		f.File, f.Line = file, line
	}
	return f, true
}

// finish emits the points, whose frames are known now.
func (r *dhat) finish(whole bool) error {
	d := r.d
	d.report.Tool = fmt.Sprintf("dhat, file version %d", r.version)
	switch {
	case r.version > 2:
		return fmt.Errorf("%s: DHAT file version %d is not supported (1 and 2 are)", d.report.Name, r.version)
	case r.mode != "heap" && r.mode != "rust-heap":
		return fmt.Errorf("%s: %w: its mode is %q (run valgrind --tool=dhat without --mode)", d.report.Name, errNotHeap, r.mode)
	case whole && r.version == 2 && !r.lifetimes:
		return fmt.Errorf("%s: %w: it does not say what was there at the end", d.report.Name, errNotHeap)
	}
	if r.pid > 0 && r.pid <= math.MaxInt32 {
		d.process(int32(r.pid))
	} else {
		r.pid = 0
	}
	if !r.framed && len(r.points) > 0 {
		d.report.Warn("%s: the table of frames is missing: no call stack is known", d.report.Name)
	}
	if r.left > 0 {
		d.report.Warn("%s: %d call stacks left out: it has more than %d with blocks at the end", d.report.Name, r.left, maxPoints)
	}
	for _, p := range r.points {
		e := Event{Line: p.line, PID: int32(r.pid), Size: p.bytes, Count: p.blocks}
		stack, ok := r.stack(p)
		if e.Stack = stack; ok {
			ok = d.outstanding(&e)
		} else {
			ok = d.bad(p.line, "a call stack with a frame that is not in the table of %d", len(r.frames))
		}
		if !ok {
			return nil
		}
	}
	return nil
}

// stack looks up the frames of a point.
func (r *dhat) stack(p dhatPoint) (id StackID, ok bool) {
	if !r.framed {
		return 0, true
	}
	var stack []Frame
	for _, i := range r.stacks[p.from:p.to] {
		if i < 0 || int(i) >= len(r.frames) {
			return 0, false
		}
		if !r.noFrame[i] {
			stack = append(stack, r.d.stacks.FrameAt(r.frames[i]))
		}
	}
	markInlined(stack)
	ids := make([]FrameID, len(stack))
	for i, f := range stack {
		ids[i] = r.d.stacks.Frame(f)
	}
	return r.d.stacks.Stack(ids), true
}
