package dashboard

import (
	"bytes"
	"context"
	"net/http"
	"sync"
)

// cache keeps answers until the store changes: when it does, all pages that are open ask
// the same at once.
type cache struct {
	mu      sync.Mutex
	version uint64
	answers map[string]*kept
	bytes   int
}

// kept is an answer, as soon as it was made.
type kept struct {
	once   sync.Once
	status int
	header http.Header
	body   bytes.Buffer
}

// maxKept bounds the answers that are kept, and maxKeptBytes what they hold: when there
// are more, all are forgotten.
const (
	maxKept      = 256
	maxKeptBytes = 32 << 20
)

// at finds the answer to a request at a version of the store, made or not.
func (c *cache) at(version uint64, request string) *kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil || version != c.version || len(c.answers) >= maxKept || c.bytes > maxKeptBytes {
		c.answers, c.version, c.bytes = map[string]*kept{}, version, 0
	}
	k := c.answers[request]
	if k == nil {
		k = &kept{}
		c.answers[request] = k
	}
	return k
}

// made books an answer, and forgets one that is an error.
func (c *cache) made(k *kept, request string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += k.body.Len()
	if k.status != http.StatusOK && c.answers[request] == k {
		delete(c.answers, request)
	}
}

// cached answers with what was answered before at the same version of the store. It is
// for answers that depend on the store and on the address alone.
func (s *server) cached(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		version, _ := s.Store.Version()
		k := s.cache.at(version, r.URL.RequestURI())
		k.once.Do(func() {
			k.status, k.header = http.StatusOK, http.Header{}
			next(k, r.WithContext(context.WithoutCancel(r.Context()))) // others may wait for it
			s.cache.made(k, r.URL.RequestURI())
		})
		for name, values := range k.header {
			w.Header()[name] = values
		}
		w.WriteHeader(k.status)
		w.Write(k.body.Bytes())
	}
}

// Header implements [http.ResponseWriter].
func (k *kept) Header() http.Header { return k.header }

// WriteHeader implements [http.ResponseWriter].
func (k *kept) WriteHeader(status int) { k.status = status }

// Write implements [http.ResponseWriter].
func (k *kept) Write(data []byte) (int, error) { return k.body.Write(data) }
