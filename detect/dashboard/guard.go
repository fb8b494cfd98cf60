package dashboard

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// policy lets the page load what this server has, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// outermost counts the requests, bounds how many there are, and sets the headers that
// all answers have.
func (s *server) outermost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		counted := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() { s.counts.add(counted.status) }()
		address, _, _ := net.SplitHostPort(r.RemoteAddr)
		if !s.limit.allow(address, time.Now()) {
			h.Set("Retry-After", "1")
			refuse(counted, http.StatusTooManyRequests, "too many requests")
			return
		}
		next.ServeHTTP(counted, r)
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

const tokenCookie = "leakformer"

// guard asks for the token: in the header Authorization, or in the cookie that opening
// the page with ?token= sets. Without a token the name by which the server is called has
// to be a loopback's: else any web page could, by a name of its own that leads here.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch given := r.URL.Query().Get("token"); {
		case s.Token == "" && !Loopback(r.Host):
			refuse(w, http.StatusForbidden, "this server answers to names of the loopback alone")
		case s.Token == "":
			next.ServeHTTP(w, r)
		case r.URL.Path == "/" && given != "" && same(given, s.Token):
			http.SetCookie(w, &http.Cookie{Name: tokenCookie, Value: s.Token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
			http.Redirect(w, r, "/", http.StatusSeeOther)
		case s.known(r):
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "a token is needed: open /?token=TOKEN, or send Authorization: Bearer TOKEN")
		}
	})
}

func (s *server) known(r *http.Request) bool {
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return same(given, s.Token)
	}
	c, err := r.Cookie(tokenCookie)
	return err == nil && same(c.Value, s.Token)
}

// same compares in a time that tells nothing.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// Loopback reports whether an address, with or without a port, is of this machine's
// loopback.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// limiter lets each address have so many requests a second, and at once as many as in
// two seconds.
type limiter struct {
	rate float64

	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// maxBuckets bounds the addresses that are remembered.
const maxBuckets = 4096

func newLimiter(rate float64) *limiter { return &limiter{rate: rate, buckets: map[string]bucket{}} }

func (l *limiter) allow(address string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.buckets[address]
	if !known {
		if len(l.buckets) >= maxBuckets {
			clear(l.buckets)
		}
		b.left = 2 * l.rate
	} else {
		b.left = min(2*l.rate, b.left+l.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	ok := b.left >= 1
	if ok {
		b.left--
	}
	l.buckets[address] = b
	return ok
}
