package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"leakformer/detect"
	"leakformer/detect/report"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// exports are the formats of package report that findings can be had in. Beside them
// there is JSON, which is that of the API.
var exports = []string{"html", "csv", "sarif", "pprof", "collapsed"}

// export answers with the findings that a query means, as a file.
func (s *server) export(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	format := report.Format{Media: "application/json", Extension: "json"}
	if name := v.Get("format"); name != "json" {
		var ok bool
		if format, ok = report.FindFormat(name); !ok || !slices.Contains(exports, name) {
			refuse(w, http.StatusBadRequest, "format: want json, "+strings.Join(exports, ", "))
			return
		}
	}
	runs, findings, err := s.whole(r.Context(), query(v))
	var out bytes.Buffer // so that what goes wrong can still be told
	switch {
	case err != nil:
	case format.New == nil:
		err = json.NewEncoder(&out).Encode(findings)
	default:
		err = s.write(&out, format, runs, findings)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", format.Media)
	w.Header().Set("Content-Disposition", `attachment; filename="leaks.`+format.Extension+`"`)
	out.WriteTo(w)
}

// whole returns all findings that a query means, with what Get alone has of them, and
// their runs.
func (s *server) whole(ctx context.Context, q Query) (runs []Run, findings []Finding, err error) {
	if runs, err = s.Store.Runs(ctx); err != nil {
		return nil, nil, err
	}
	runs = slices.DeleteFunc(runs, func(r Run) bool { return !q.meansRun(&r) })
	listed, err := s.Store.List(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	findings = []Finding{}
	for i := range listed {
		f, err := s.Store.Get(ctx, listed[i].ID)
		if errors.Is(err, ErrNotFound) {
			continue // its log was judged anew meanwhile
		}
		if err != nil {
			return nil, nil, err
		}
		findings = append(findings, f)
	}
	return runs, findings, nil
}

// write tells a handler of package report what a detector told of each run.
func (s *server) write(w io.Writer, format report.Format, runs []Run, findings []Finding) error {
	handler, err := format.New(w, s.Version)
	if err != nil {
		return err
	}
	for i := range runs {
		for j := range findings {
			if findings[j].Log != runs[i].Log {
				continue
			}
			if err := handler.Finding(findings[j].detected(runs[i].Class)); err != nil {
				return err
			}
		}
		if err := handler.Summary(runs[i].summary()); err != nil {
			return err
		}
	}
	if c, ok := handler.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func (r *Run) summary() *detect.Summary {
	return &detect.Summary{
		Log: r.Log, Model: r.Model, Threshold: r.Threshold, Events: r.Events, Cut: r.Events, Sites: r.Sites, Leaks: r.Leaks,
		Leaked:      ingest.Amount{Blocks: r.LeakedBlocks, Bytes: r.LeakedBytes},
		Outstanding: ingest.Amount{Blocks: r.OutstandingBlocks, Bytes: r.OutstandingBytes},
		FalseAlarms: r.FalseAlarms, ReferenceRuns: r.ReferenceRuns, Warnings: r.Warnings, Course: r.Course,
	}
}

// detected is a finding as a detector tells it, as far as it is known. One block stands
// for all that it means, and has no address.
func (f *Finding) detected(class ingest.Class) *detect.Finding {
	block := tokenize.Block{Size: f.Bytes, Count: uint32(f.Blocks), Born: f.First.Event, Died: tokenize.Alive}
	if f.Lost {
		block.Loss = ingest.Definite
	}
	site := tokenize.Site{Exact: f.Key.Exact, Names: f.Key.Names, Label: f.Site}
	for _, frame := range f.Frames {
		site.Frames = append(site.Frames, frame.frame())
	}
	d := &detect.Finding{
		Log: f.Log, Site: f.Site, Frames: site.Frames, Probability: f.Probability, Leak: f.Leak, Outstanding: f.Outstanding,
		Blocks: []int32{0}, Run: &tokenize.Run{Name: f.Log, Program: f.Program, Class: class, Sites: []tokenize.Site{site}, Blocks: tokenize.BlocksOf(block)},
		Group: &detect.Group{Number: f.Group, Findings: 1}, First: f.First, Last: f.Last, Rate: f.Rate, Why: f.Why, Attribution: f.Attribution,
	}
	if f.Leak {
		d.Leaked = ingest.Amount{Blocks: f.Blocks, Bytes: f.Bytes}
	}
	return d
}
