// Package dashboard shows findings to people in a browser, and to programs by HTTP.
//
// A [Collector] turns what a detector says into [Finding] values and puts them into a
// [Store]; [New] makes the [net/http.Handler] that serves what is there.
package dashboard

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"leakformer/detect"
	"leakformer/detect/report"
	"leakformer/ingest"
)

// Finding is the verdict on one allocation site, as the page and the API tell it.
// What comes from a log may hold any character.
type Finding struct {
	// ID is the same for the same site of the same log, whenever it is judged.
	ID  string `json:"id"`
	Log string `json:"log"`
	// Program is what ran; Key is what the site is called in its other runs.
	Program string         `json:"program"`
	Key     detect.SiteKey `json:"key"`
	// Timestamp is when the verdict was made.
	Timestamp time.Time `json:"timestamp"`
	Site      string    `json:"site"`
	// StackTrace is the call stack, innermost first.
	StackTrace []string `json:"stack_trace"`
	// Frames is the same part by part.
	Frames      []Frame `json:"frames,omitempty"`
	Level       string  `json:"level"`
	Probability float64 `json:"probability"`
	Leak        bool    `json:"leak"`
	// Bytes and Blocks are what is judged leaked, of a site that is not called a leak
	// what is outstanding; SizeMB is Bytes in millions.
	SizeMB float64 `json:"size_mb"`
	Bytes  int64   `json:"bytes"`
	Blocks int64   `json:"blocks"`
	// Outstanding is all that is live at the site.
	Outstanding ingest.Amount `json:"outstanding"`
	// Lost: a leak checker found no pointer to it. Group is the same number for
	// findings of a run that are likely one leak; 0 where that is not known.
	Lost  bool `json:"lost"`
	Group int  `json:"group"`
	// Rate is how fast it grows; nil where there is too little to tell.
	Rate *detect.Rate `json:"rate,omitempty"`
	// First and Last are the births of the first and the last of the blocks.
	First detect.Place `json:"first"`
	Last  detect.Place `json:"last"`
	Why   []string     `json:"why"`
	// Attribution is what the verdict rests on; nil where it is not known.
	Attribution []detect.Effect `json:"attribution,omitempty"`
	// Decision is what somebody said of the finding; Decidable whether one can.
	Decision  Decision `json:"decision"`
	Decidable bool     `json:"decidable"`
	// Course is the site's live bytes over the run, Sequence what it allocated and
	// freed; nil where the log does not show it, or is not at hand.
	Course   *detect.Course `json:"course,omitempty"`
	Sequence *Sequence      `json:"sequence,omitempty"`
}

// Frame is one call of a stack, as in findings in JSON Lines.
type Frame report.Frame

func (f Frame) frame() ingest.Frame {
	at, _ := strconv.ParseUint(f.Address, 0, 64) // what is no number is not known
	return ingest.Frame{Function: f.Function, Module: f.Module, File: f.File, Line: f.Line, Address: at, Inlined: f.Inlined}
}

func address(a uint64) string { return "0x" + strconv.FormatUint(a, 16) }

// String is the frame for people.
func (f Frame) String() string {
	s := f.Function
	if s == "" {
		s = f.Address
	}
	switch {
	case f.File != "" && f.Line > 0:
		return fmt.Sprintf("%s (%s:%d)", s, f.File, f.Line)
	case f.File != "":
		return s + " (" + f.File + ")"
	case f.Module != "":
		return s + " in " + f.Module
	}
	return s
}

// stackTrace is a call stack for people.
func stackTrace(frames []Frame) []string {
	lines := make([]string, len(frames))
	for i, f := range frames {
		lines[i] = f.String()
	}
	return lines
}

// Decision is what people say of a finding.
type Decision string

// The decisions.
const (
	Undecided Decision = ""
	Confirmed Decision = "confirmed" // it is a leak
	Dismissed Decision = "dismissed" // it is none
)

// Valid reports whether d is one of the decisions.
func (d Decision) Valid() bool { return d == Undecided || d == Confirmed || d == Dismissed }

// Leveler says how bad a leak of so many bytes, weighted with its probability, at a
// call stack of so many frames is.
type Leveler func(weighted float64, frames int) string

// ID of a finding that a detector made.
func ID(f *detect.Finding) string {
	return SiteID(f.Log, strconv.FormatUint(uint64(f.Key().Exact), 10))
}

// SiteID is the ID of a finding on a site of a log, by what tells the site from others.
func SiteID(log, site string) string {
	sum := sha256.Sum256([]byte(log + "\x00" + site))
	return hex.EncodeToString(sum[:8])
}

// level of a finding; sites that are not called leaks have none.
func (f *Finding) level(of Leveler) string {
	if !f.Leak {
		return "NONE"
	}
	return of(float64(f.Bytes)*f.Probability, len(f.StackTrace))
}
