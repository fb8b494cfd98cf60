package report

import (
	"io"
	"slices"

	"github.com/google/pprof/profile"

	"leakformer/detect"
	"leakformer/ingest"
)

// Pprof is a handler that writes a gzipped profile for pprof: the blocks and bytes
// that are judged leaked, and those that are outstanding, of each finding. It writes
// when it is closed.
type Pprof struct {
	w         io.Writer
	p         *profile.Profile
	mappings  map[string]*profile.Mapping
	functions map[function]*profile.Function
	locations map[ingest.Frame]*profile.Location
}

// function is what tells functions apart.
type function struct{ name, file string }

// NewPprof returns a handler that writes to w.
func NewPprof(w io.Writer) *Pprof {
	return &Pprof{
		w: w,
		p: &profile.Profile{
			SampleType: []*profile.ValueType{
				{Type: "leaked_objects", Unit: "count"}, {Type: "leaked_space", Unit: "bytes"},
				{Type: "inuse_objects", Unit: "count"}, {Type: "inuse_space", Unit: "bytes"},
			},
			DefaultSampleType: "leaked_space",
		},
		mappings:  map[string]*profile.Mapping{},
		functions: map[function]*profile.Function{},
		locations: map[ingest.Frame]*profile.Location{},
	}
}

// Finding adds one sample.
func (w *Pprof) Finding(f *detect.Finding) error {
	frames := f.Frames
	if len(frames) == 0 {
		frames = []ingest.Frame{{Function: f.Site}}
	}
	s := &profile.Sample{
		Value:    []int64{f.Leaked.Blocks, f.Leaked.Bytes, f.Outstanding.Blocks, f.Outstanding.Bytes},
		NumLabel: map[string][]int64{"probability_permille": {int64(1000 * f.Probability)}},
		Label:    map[string][]string{"log": {f.Log}},
	}
	for len(frames) > 0 {
		n := 1 + slices.IndexFunc(frames, func(f ingest.Frame) bool { return !f.Inlined })
		if n == 0 {
			n = len(frames)
		}
		s.Location = append(s.Location, w.location(frames[:n]))
		frames = frames[n:]
	}
	w.p.Sample = append(w.p.Sample, s)
	return nil
}

// location is the place of a call: a function, and in front of it those that were
// inlined into it. One alone is stored once.
func (w *Pprof) location(frames []ingest.Frame) *profile.Location {
	outer := frames[len(frames)-1]
	if l := w.locations[outer]; l != nil && len(frames) == 1 {
		return l
	}
	l := &profile.Location{ID: uint64(len(w.p.Location) + 1), Mapping: w.mapping(outer.Module), Address: outer.Address}
	for _, f := range frames {
		l.Line = append(l.Line, profile.Line{Function: w.function(frameName(f), f.File), Line: int64(f.Line)})
	}
	if len(frames) == 1 {
		w.locations[outer] = l
	}
	w.p.Location = append(w.p.Location, l)
	return l
}

func (w *Pprof) function(name, file string) *profile.Function {
	k := function{name, file}
	if w.functions[k] == nil {
		w.functions[k] = &profile.Function{ID: uint64(len(w.p.Function) + 1), Name: name, SystemName: name, Filename: file}
		w.p.Function = append(w.p.Function, w.functions[k])
	}
	return w.functions[k]
}

// mapping is a module's; its addresses are offsets, and it needs no more symbols.
func (w *Pprof) mapping(module string) *profile.Mapping {
	if module == "" {
		return nil
	}
	if w.mappings[module] == nil {
		w.mappings[module] = &profile.Mapping{ID: uint64(len(w.p.Mapping) + 1), File: module, HasFunctions: true, HasFilenames: true, HasLineNumbers: true, HasInlineFrames: true}
		w.p.Mapping = append(w.p.Mapping, w.mappings[module])
	}
	return w.mappings[module]
}

// Summary adds the summary's warnings.
func (w *Pprof) Summary(s *detect.Summary) error {
	w.p.Comments = append(w.p.Comments, s.Warnings...)
	return nil
}

// Close writes the profile.
func (w *Pprof) Close() error {
	if err := w.p.CheckValid(); err != nil {
		return err
	}
	return w.p.Write(w.w)
}
