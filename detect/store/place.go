package store

import (
	"crypto/sha256"
	"database/sql"
	"sync"

	"leakformer/detect/dashboard"
)

// sum tells call stacks apart, by their JSON.
type sum [sha256.Size]byte

// place is a call stack as it is kept, once for all findings there.
type place struct {
	Site       string            `json:"site"`
	StackTrace []string          `json:"stack_trace"`
	Frames     []dashboard.Frame `json:"frames,omitempty"`
}

// places are call stacks that were read before: most of what a list shows, and the same
// in one list after the other.
type places struct {
	mu    sync.Mutex
	known map[sum]*place
}

// maxPlaces bounds what is remembered, to some 30 MB where stacks are a dozen deep.
const maxPlaces = 8192

// of is the place with a sum, which is read from its JSON the first time.
func (p *places) of(key, body sql.RawBytes) (*place, error) {
	if len(key) != sha256.Size {
		return nil, ErrDamaged
	}
	p.mu.Lock()
	at := p.known[sum(key)]
	p.mu.Unlock()
	if at != nil {
		return at, nil
	}
	at = &place{}
	if err := decode(body, at); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxPlaces || p.known == nil {
		p.known = map[sum]*place{}
	}
	p.known[sum(key)] = at
	return at, nil
}
