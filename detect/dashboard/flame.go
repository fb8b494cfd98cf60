package dashboard

import (
	"net/http"
	"regexp"
	"slices"

	"leakformer/detect/report"
	"leakformer/ingest"
)

// Flame is a flame graph, and the functions in it with the most bytes.
type Flame struct {
	Graph     *report.Flame     `json:"graph"`
	Functions []report.FlameRow `json:"functions"`
}

// maxPattern bounds a regular expression.
const maxPattern = 500

// flame answers with the leaked bytes of the findings that a query means, by call stack:
// callers first or, inverted, the functions that allocate. Functions that match hide
// are left out.
func (s *server) flame(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	hide, err := regexp.Compile(v.Get("hide"))
	if err != nil || len(v.Get("hide")) > maxPattern {
		refuse(w, http.StatusBadRequest, "hide: want a regular expression of Go, of at most 500 bytes")
		return
	}
	findings, err := s.Store.List(r.Context(), query(v))
	if err != nil {
		s.fail(w, err)
		return
	}
	graph := report.NewFlame()
	for i := range findings {
		f := &findings[i]
		if !f.Leak {
			continue
		}
		path := report.Calls(f.detected(ingest.Events))
		if v.Get("hide") != "" {
			path = slices.DeleteFunc(path, hide.MatchString)
		}
		if v.Get("invert") != "" {
			slices.Reverse(path)
		}
		graph.Add(path, f.Bytes)
	}
	graph.Finish()
	answer(w, Flame{graph, append([]report.FlameRow{}, graph.Functions()...)})
}
