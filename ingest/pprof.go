package ingest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/pprof/profile"
)

// Heap profiles in pprof's protocol buffer, which Go's runtime/pprof and
// net/http/pprof write, and profilers of many other languages. The values count
// what is live; the writer has already scaled up what it sampled.

// Bounds of a profile: it is read as a whole. One of a large service has some
// megabytes and tens of thousands of parts.
const (
	maxProfile      = 32 << 20
	maxProfileParts = 3 << 20
)

// sniffPprof wants the first fields to be of the kinds that they have in a profile,
// among them the type of a value or of the period: two numbers of strings.
func sniffPprof(head []byte) string {
	const why = "is no profile in a protocol buffer"
	const look = 8
	typed := false
	for n := 0; n < look && len(head) > 0; n++ {
		number, value, rest, ok := nextField(head)
		if !ok {
			if n == 0 || !typed {
				return why
			}
			return "" // the head ends in a field
		}
		switch head = rest; number {
		case 1, 11:
			if !isValueType(value) {
				return why
			}
			typed = true
		case 2, 3, 4, 5, 6, 13:
			if value == nil && number != 13 {
				return why
			}
		case 7, 8, 9, 10, 12, 14, 15:
			if value != nil {
				return why
			}
		default:
			return why
		}
	}
	if !typed {
		return why
	}
	return ""
}

// isValueType reports whether a message holds nothing but the numbers 1 and 2.
func isValueType(message []byte) bool {
	if message == nil {
		return false
	}
	for len(message) > 0 {
		number, value, rest, ok := nextField(message)
		if !ok || value != nil || number != 1 && number != 2 {
			return false
		}
		message = rest
	}
	return true
}

// nextField reads a field of a protocol buffer: value is nil for a number, which
// is passed over, and else its bytes.
func nextField(data []byte) (number uint64, value, rest []byte, ok bool) {
	tag, n := binary.Uvarint(data)
	if n <= 0 {
		return 0, nil, nil, false
	}
	data = data[n:]
	size, n := binary.Uvarint(data)
	if n <= 0 {
		return 0, nil, nil, false
	}
	data = data[n:]
	switch {
	case tag&7 == 0:
		return tag >> 3, nil, data, true
	case tag&7 != 2 || size > uint64(len(data)):
		return 0, nil, nil, false
	}
	return tag >> 3, data[:size:size], data[size:], true
}

func readPprof(d *decoder) error {
	data, err := io.ReadAll(io.LimitReader(d.lines.r, maxProfile+1))
	if len(data) > maxProfile {
		return &FormatError{File: d.report.Name, Msg: fmt.Sprintf("is a profile of more than %d MB: too large to read", maxProfile>>20)}
	}
	if d.lines.err = err; err != nil && checkProfile(data) != nil {
		return fmt.Errorf("%s: the profile ends early: %w", d.report.Name, err)
	}
	if err := checkProfile(data); err != nil {
		return &FormatError{File: d.report.Name, Msg: err.Error()}
	}
	p, err := profile.ParseUncompressed(data)
	if err == nil {
		err = p.CheckValid()
	}
	if err != nil {
		return &FormatError{File: d.report.Name, Msg: fmt.Sprintf("is a damaged profile (%v)", err)}
	}
	r := &pprof{d: d, p: p}
	if !r.choose() {
		return &FormatError{File: d.report.Name, Msg: "is a profile of " + r.kinds() +
			", which does not say what is live: record a heap profile (Go: /debug/pprof/heap)"}
	}
	r.read()
	return nil
}

// checkProfile walks over the parts of a profile, which are small by themselves but
// take memory when they are many.
func checkProfile(data []byte) error {
	parts := 0
	for len(data) > 0 {
		number, value, rest, ok := nextField(data)
		if !ok {
			return errors.New("is a damaged profile, or one that is cut off: its strings come last, so nothing of it can be used")
		}
		data = rest
		if parts++; number == 2 || number == 4 {
			// The labels of a sample, the inlined functions of a place.
			for ok && len(value) > 0 && parts <= maxProfileParts {
				_, _, value, ok = nextField(value)
				parts++
			}
		}
		if parts > maxProfileParts {
			return fmt.Errorf("is a profile of more than %d parts: too large to read", maxProfileParts)
		}
	}
	return nil
}

// pprof is the reader.
type pprof struct {
	d *decoder
	p *profile.Profile
	// blocks and bytes are the indexes of the live values; blocks is -1 where the
	// profile does not count them.
	blocks, bytes int
}

// choose finds the values that say what is live.
func (r *pprof) choose() bool {
	r.blocks, r.bytes = -1, -1
	for i, v := range r.p.SampleType {
		switch v.Type {
		case "inuse_objects", "objects", "inuse_count":
			r.blocks = i
		case "inuse_space", "space", "inuse_bytes", "heap-space":
			r.bytes = i
		}
	}
	return r.bytes >= 0
}

// kinds names what the profile counts.
func (r *pprof) kinds() string {
	var s string
	for i, v := range r.p.SampleType {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%q", clip([]byte(v.Type)))
	}
	if s == "" {
		return "nothing"
	}
	return s
}

func (r *pprof) read() {
	d, p := r.d, r.p
	d.report.Tool = "pprof"
	if len(p.Mapping) > 0 {
		d.report.Command = p.Mapping[0].File
	}
	if p.TimeNanos > 0 {
		d.taken = time.Unix(0, p.TimeNanos)
	}
	if p.Period > 1 && p.PeriodType != nil && p.PeriodType.Unit == "bytes" {
		d.report.Warn("%s: the profile is a sample of about one in %d bytes: sizes and numbers of blocks are estimates", d.report.Name, p.Period)
	}
	d.lines.n = int64(len(p.Sample))
	places := map[*profile.Location][]FrameID{}
	var held snapshot
	var ids []FrameID
	for i, s := range p.Sample {
		d.report.Recognised++
		// There are no lines; a sample's number stands for its place.
		e := Event{Line: int64(i) + 1, Size: s.Value[r.bytes], Count: 1}
		if r.blocks >= 0 {
			e.Count = s.Value[r.blocks]
		}
		if e.Size < 0 || e.Count < 0 || e.Size > maxBlock || e.Count > maxBlock {
			if !d.bad(e.Line, "sample of %d bytes in %d blocks", e.Size, e.Count) {
				return
			}
			continue
		}
		if e.Size == 0 && (e.Count == 0 || r.blocks < 0) {
			continue // all freed
		}
		ids = ids[:0]
		for _, l := range s.Location {
			place, ok := places[l]
			if !ok {
				place = r.frames(l)
				places[l] = place
			}
			if len(ids) < maxDepth {
				ids = append(ids, place...)
			}
		}
		e.Stack = d.stacks.Stack(ids)
		held.add(e)
	}
	held.emit(d, 0)
}

// frames are those at a code address: more than one where functions were inlined.
func (r *pprof) frames(l *profile.Location) []FrameID {
	f := Frame{Address: l.Address}
	if m := l.Mapping; m != nil {
		f.Module = m.File
		if l.Address >= m.Start {
			f.Address = l.Address - m.Start + m.Offset
		}
	}
	var ids []FrameID
	for i, line := range l.Line {
		if i == maxDepth {
			break
		}
		f.Inlined = i < len(l.Line)-1
		f.Function, f.File, f.Line = "", "", 0
		if line.Function != nil {
			f.Function = r.d.symbol([]byte(line.Function.Name))
			f.File = line.Function.Filename
		}
		if line.Line > 0 && line.Line < 1<<31 {
			f.Line = int(line.Line)
		}
		ids = append(ids, r.d.stacks.Frame(f))
	}
	if len(ids) == 0 {
		ids = append(ids, r.d.stacks.Frame(f))
	}
	return ids
}
