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
)

// Finding is the verdict on one allocation site, as the page and the API tell it.
// What comes from a log may hold any character.
type Finding struct {
	// ID is the same for the same site of the same log, whenever it is judged.
	ID  string `json:"id"`
	Log string `json:"log"`
	// Timestamp is when the verdict was made.
	Timestamp time.Time `json:"timestamp"`
	Site      string    `json:"site"`
	// StackTrace is the call stack, innermost first.
	StackTrace  []string `json:"stack_trace"`
	Level       string   `json:"level"`
	Probability float64  `json:"probability"`
	Leak        bool     `json:"leak"`
	// Bytes and Blocks are what is judged leaked, of a site that is not called a leak
	// what is outstanding; SizeMB is Bytes in millions.
	SizeMB float64 `json:"size_mb"`
	Bytes  int64   `json:"bytes"`
	Blocks int64   `json:"blocks"`
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
	// Course is nil where the log shows no events, or is not at hand.
	Course *Course `json:"course,omitempty"`
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
	return id(f.Log, strconv.FormatUint(uint64(f.Run.Sites[f.Run.Blocks[f.Blocks[0]].Site].Exact), 10))
}

func id(log, site string) string {
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

// frameLine is a frame for people.
func frameLine(function, module, file string, line int, address uint64) string {
	s := function
	if s == "" {
		s = fmt.Sprintf("0x%x", address)
	}
	switch {
	case file != "" && line > 0:
		return fmt.Sprintf("%s (%s:%d)", s, file, line)
	case file != "":
		return s + " (" + file + ")"
	case module != "":
		return s + " in " + module
	}
	return s
}
