package report

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"strings"

	"leakformer/detect"
	"leakformer/ingest"
)

// SARIF is a handler that writes one document in the Static Analysis Results
// Interchange Format, version 2.1.0: a result for each leak. It has to be closed.
type SARIF struct {
	w        *bufio.Writer
	results  int
	warnings []sarifNotification
}

// NewSARIF returns a handler that writes to w; version is that of the program.
func NewSARIF(w io.Writer, version string) (*SARIF, error) {
	driver, err := object(sarifDriver{Name: "leakformer", Version: version, Rules: sarifRules})
	if err != nil {
		return nil, err
	}
	s := &SARIF{w: bufio.NewWriter(w)}
	fmt.Fprintf(s.w, "{\"$schema\":\"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json\",\n"+
		"\"version\":\"2.1.0\",\"runs\":[{\"tool\":{\"driver\":%s},\n\"columnKind\":\"utf16CodeUnits\",\"results\":[", driver)
	return s, nil
}

// Rules: who says that it is a leak.
const (
	ruleJudged = iota
	ruleLost
)

var sarifRules = []sarifRule{
	ruleJudged: {
		ID: "memory-leak", Name: "MemoryLeak", Short: sarifText{"Memory is allocated and most likely never freed"},
		Full:    sarifText{"What was allocated at this site stays, unlike what else the program allocates and unlike what the site does in clean runs."},
		Default: sarifLevel{"warning"},
	},
	ruleLost: {
		ID: "memory-lost", Name: "MemoryLost", Short: sarifText{"No pointer to allocated memory is left"},
		Full:    sarifText{"A leak checker found no pointer to what was allocated at this site: it can no longer be freed."},
		Default: sarifLevel{"error"},
	},
}

// The parts of the format that are used.
type (
	sarifText struct {
		Text string `json:"text"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string     `json:"id"`
		Name    string     `json:"name"`
		Short   sarifText  `json:"shortDescription"`
		Full    sarifText  `json:"fullDescription"`
		Default sarifLevel `json:"defaultConfiguration"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Rank         float64           `json:"rank"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Stacks       []sarifStack      `json:"stacks"`
		Count        int64             `json:"occurrenceCount,omitempty"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		Properties   sarifProperties   `json:"properties"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region struct {
			Line int `json:"startLine"`
		} `json:"region"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
	sarifStack struct {
		Message sarifText    `json:"message"`
		Frames  []sarifFrame `json:"frames"`
	}
	sarifFrame struct {
		Location sarifLocation `json:"location"`
		Module   string        `json:"module,omitempty"`
	}
	sarifProperties struct {
		Log         string        `json:"log"`
		Probability float64       `json:"probability"`
		Leaked      ingest.Amount `json:"leaked"`
		Rate        *detect.Rate  `json:"rate,omitempty"`
	}
	sarifNotification struct {
		Level   string    `json:"level"`
		Message sarifText `json:"message"`
	}
)

// Finding writes one result, or none if it is no leak.
func (s *SARIF) Finding(f *detect.Finding) error {
	if !f.Leak {
		return nil
	}
	key := f.Key()
	r := sarifResult{
		RuleIndex: ruleJudged, Level: "warning", Rank: 100 * f.Probability,
		Message:      sarifText{Amount(f.Leaked) + " leaked at " + printable(f.Site) + ": " + strings.Join(f.Why, "; ")},
		Stacks:       []sarifStack{{Message: sarifText{"the call stack of the allocation"}, Frames: []sarifFrame{}}},
		Count:        f.Leaked.Blocks,
		Fingerprints: map[string]string{"leakformerSite/v1": fmt.Sprintf("%016x", uint64(key.Exact))},
		Properties:   sarifProperties{f.Log, f.Probability, f.Leaked, f.Rate},
	}
	if key.Names != 0 {
		r.Fingerprints["leakformerNames/v1"] = fmt.Sprintf("%016x", uint64(key.Names))
	}
	if loss := f.Run.Blocks.Loss(f.Blocks[0]); loss == ingest.Definite || loss == ingest.Indirect {
		r.RuleIndex = ruleLost
	}
	if r.RuleIndex == ruleLost || f.Probability >= 0.9 {
		r.Level = "error"
	}
	r.RuleID = sarifRules[r.RuleIndex].ID
	for _, frame := range f.Frames {
		r.Stacks[0].Frames = append(r.Stacks[0].Frames, sarifFrame{sarifPlace(frame), frame.Module})
	}
	r.Locations = []sarifLocation{{Logical: []sarifLogical{{printable(f.Site), "function"}}}}
	if at := max(0, sourced(f.Frames)); at < len(f.Frames) {
		r.Locations[0] = sarifPlace(f.Frames[at])
	}
	text, err := object(r)
	if err != nil {
		return err
	}
	if s.results++; s.results > 1 {
		s.w.WriteByte(',')
	}
	s.w.WriteByte('\n')
	s.w.Write(text)
	return s.w.Flush()
}

// sarifPlace is where a frame is: its function, and its line where that is known.
func sarifPlace(f ingest.Frame) sarifLocation {
	l := sarifLocation{Logical: []sarifLogical{{frameName(f), "function"}}}
	if f.File == "" || f.Line <= 0 {
		return l
	}
	l.Physical = &sarifPhysical{}
	l.Physical.Artifact.URI = fileURI(f.File)
	l.Physical.Region.Line = f.Line
	return l
}

// fileURI is a file's name as a reference: relative where the name is.
func fileURI(file string) string {
	u := url.URL{Path: strings.ReplaceAll(file, `\`, "/")}
	if len(u.Path) > 1 && u.Path[1] == ':' {
		u.Path = "/" + u.Path
	}
	if strings.HasPrefix(u.Path, "/") {
		u.Scheme = "file"
	}
	return u.String()
}

// Summary keeps the warnings for the end of the document.
func (s *SARIF) Summary(sum *detect.Summary) error {
	for _, warning := range sum.Warnings {
		s.warnings = append(s.warnings, sarifNotification{"warning", sarifText{sum.Log + ": " + warning}})
	}
	return s.w.Flush()
}

// Close ends the document.
func (s *SARIF) Close() error {
	text, err := object(append([]sarifNotification{}, s.warnings...))
	if err != nil {
		return err
	}
	fmt.Fprintf(s.w, "],\n\"invocations\":[{\"executionSuccessful\":true,\"toolExecutionNotifications\":%s}]}]}\n", text)
	return s.w.Flush()
}
