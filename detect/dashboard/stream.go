package dashboard

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// beat is how often a stream says something, so that both sides find out when the
	// other has gone.
	beat = 15 * time.Second
	// patience is how long a client may take to read an event.
	patience = 10 * time.Second
)

// events is a stream of server-sent events: "change" and the number of the change, once
// at the beginning and whenever the store has changed. Changes that follow one another
// quickly are one event.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		refuse(w, http.StatusServiceUnavailable, "too many event streams are open")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	send := func(format string, args ...any) bool {
		control.SetWriteDeadline(time.Now().Add(patience)) // one who cannot set it has none
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && control.Flush() == nil
	}
	for {
		version, changed := s.Store.Version()
		if !send("event: change\nid: %d\ndata: %d\n\n", version, version) || !pause(r, s.Quiet) {
			return
		}
		for waiting := true; waiting; {
			select {
			case <-changed:
				waiting = false
			case <-r.Context().Done():
				return
			case <-time.After(beat):
				if !send(": still here\n\n") {
					return
				}
			}
		}
	}
}

// pause waits; false means that the client has gone.
func pause(r *http.Request, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		return false
	}
}
