package dashboard

import (
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"time"
)

// Config says what to serve, and to whom.
type Config struct {
	// Store has the findings; it has to be set.
	Store Store
	// Token is what requests have to bring; "" lets everybody in who calls the server
	// by a name of this machine's loopback.
	Token string
	// Decide keeps what people decide, before it is shown; nil: nobody is asked.
	Decide func(*Finding, Decision) error
	// Rate is how many requests a second are answered to one address; 0: 400.
	Rate float64
	// Streams is how many event streams may be open at once; 0: 200.
	Streams int
	// Quiet is the shortest time between two events of a stream; 0: a second.
	Quiet time.Duration
	// Version is the program's, for what is exported.
	Version string
	// Log is told what goes wrong; nil: nobody.
	Log *slog.Logger
}

// maxBody bounds what a request may bring.
const maxBody = 4096

// server is a handler and its counters.
type server struct {
	Config
	limit   *limiter
	streams chan struct{} // full when no more may be opened
	counts  counts
	cache   cache
}

// New returns the handler of the page and the API.
func New(cfg Config) http.Handler {
	if cfg.Rate == 0 {
		cfg.Rate = 400
	}
	if cfg.Streams == 0 {
		cfg.Streams = 200
	}
	if cfg.Quiet == 0 {
		cfg.Quiet = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &server{Config: cfg, limit: newLimiter(cfg.Rate), streams: make(chan struct{}, cfg.Streams)}
	mux := http.NewServeMux()
	for pattern, handle := range s.routes() {
		mux.HandleFunc(pattern, handle)
	}
	open := http.NewServeMux() // no token needed
	open.HandleFunc("GET /healthz", s.healthy)
	open.Handle("/", s.guard(mux))
	return s.outermost(http.NewCrossOriginProtection().Handler(open))
}

// routes are what is behind the token, by pattern. There is no other way to a file.
func (s *server) routes() map[string]http.HandlerFunc {
	routes := map[string]http.HandlerFunc{
		"GET /api/memory-leaks":                s.cached(s.list),
		"GET /api/memory-leaks/{id}":           s.get,
		"POST /api/memory-leaks/{id}/decision": s.decide,
		"GET /api/runs":                        s.cached(s.runs),
		"GET /api/history":                     s.history,
		"GET /api/flame":                       s.cached(s.flame),
		"GET /api/compare":                     s.cached(s.compare),
		"GET /api/export":                      s.export,
		"GET /api/events":                      s.events,
		"GET /api/openapi.json":                asset("openapi.json"),
		"GET /metrics":                         s.metrics,
		"GET /{$}":                             asset("page.html"),
		"GET /echarts.js":                      asset("echarts/echarts.js.gz"),
		"GET /echarts.txt":                     asset("echarts/LICENSE.txt"),
	}
	for _, name := range []string{"page.css", "icon.svg", "chart.js", "timeline.js", "flame.js", "compare.js", "page.js"} {
		routes["GET /"+name] = asset(name)
	}
	return routes
}

func (s *server) healthy(w http.ResponseWriter, r *http.Request) {
	if _, err := s.Store.Runs(r.Context()); err != nil {
		s.fail(w, err)
		return
	}
	answer(w, map[string]string{"status": "ok"})
}

// maxList is how many findings an answer has at most.
const maxList = 1000

// list answers with findings, without what only one of them alone needs.
func (s *server) list(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	q := query(v)
	var err error
	if q.Limit, err = number(v, "limit", maxList); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	found, err := s.Store.List(r.Context(), q)
	if err != nil {
		s.fail(w, err)
		return
	}
	for i := range found {
		found[i].Frames = nil
	}
	answer(w, found)
}

func (s *server) get(w http.ResponseWriter, r *http.Request) {
	f, err := s.Store.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		s.fail(w, err)
		return
	}
	answer(w, f)
}

func (s *server) runs(w http.ResponseWriter, r *http.Request) {
	runs, err := s.Store.Runs(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	answer(w, append([]Run{}, runs...))
}

// decide takes {"decision": "confirmed"} and answers with the finding.
func (s *server) decide(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Decision *Decision `json:"decision"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/json" || d.Decode(&body) != nil || body.Decision == nil || !body.Decision.Valid() {
		refuse(w, http.StatusBadRequest, `want {"decision": "confirmed"}, "dismissed" or "" as application/json`)
		return
	}
	f, err := s.Store.Get(r.Context(), r.PathValue("id"))
	switch {
	case err != nil:
		s.fail(w, err)
		return
	case s.Decide == nil || !f.Decidable:
		refuse(w, http.StatusConflict, "decisions on this finding are not kept: start leakformer serve with --labels and its log")
		return
	}
	if err = s.Decide(&f, *body.Decision); err == nil {
		err = s.Store.Decide(r.Context(), f.ID, *body.Decision)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	f.Decision = *body.Decision
	answer(w, f)
}

// answer writes JSON.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // an error is the client's, who went away
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": message})
}

// fail answers for an error that is not the client's. What went wrong is for the log.
func (s *server) fail(w http.ResponseWriter, err error) {
	if errors.Is(err, ErrNotFound) {
		refuse(w, http.StatusNotFound, err.Error())
		return
	}
	s.Log.Error("request failed", "error", err)
	refuse(w, http.StatusInternalServerError, "it could not be done: the server's log says why")
}
