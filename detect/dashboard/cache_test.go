package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"leakformer/detect/dashboard"
)

// counting is a store that counts what it is asked, and fails when it is told to.
type counting struct {
	*dashboard.Memory
	lists atomic.Int64
	fails atomic.Bool
}

// List implements [dashboard.Store].
func (c *counting) List(ctx context.Context, q dashboard.Query) ([]dashboard.Finding, error) {
	c.lists.Add(1)
	if c.fails.Load() {
		return nil, errors.New("disk full")
	}
	return c.Memory.List(ctx, q)
}

// The store is asked once for all that ask the same, until it changes; errors are not
// kept.
func TestCache(t *testing.T) {
	store := &counting{Memory: scored(t, false)}
	h := dashboard.New(dashboard.Config{Store: store, Rate: 1e6})
	store.fails.Store(true)
	if w := call(t, h, "GET", "/api/memory-leaks", ""); w.Code != http.StatusInternalServerError {
		t.Errorf("status %d", w.Code)
	}
	store.fails.Store(false)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if w := call(t, h, "GET", "/api/memory-leaks", ""); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || w.Body.Len() < 100 {
				t.Errorf("status %d, %v", w.Code, w.Header())
			}
		})
	}
	all.Wait()
	if n := store.lists.Load(); n != 2 {
		t.Errorf("the store was asked %d times, want twice", n)
	}
	first := list(t, h, "")[0]
	if err := store.Decide(t.Context(), first.ID, dashboard.Confirmed); err != nil {
		t.Fatal(err)
	}
	if got := list(t, h, "")[0].Decision; got != dashboard.Confirmed {
		t.Errorf("after a change the answer is an old one: %q", got)
	}
	for i := range 1000 { // no end of different requests fills the memory
		list(t, h, fmt.Sprintf("?q=%d", i))
	}
	if got := list(t, h, ""); len(got) != 2 {
		t.Errorf("%d findings", len(got))
	}
}
