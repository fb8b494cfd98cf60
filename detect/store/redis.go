package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"leakformer/detect/dashboard"
)

// Shared is a store whose answers several programs share by way of a Redis. The store
// alone says what is true: an answer is kept for one version of it. Without the Redis
// everything is as before, only slower.
type Shared struct {
	*Store
	client *redis.Client
	log    *slog.Logger
	// rests is the time in nanoseconds until which the Redis is not asked, because it
	// did not answer.
	rests atomic.Int64
}

const (
	// kept is how long an answer stays in the Redis: its version passes sooner.
	kept = 5 * time.Minute
	// maxKept bounds the bytes of an answer that is kept there.
	maxKept = 8 << 20
	// rest is how long a Redis that did not answer is left alone.
	rest = 5 * time.Second
	// patience is how long it has for an answer.
	patience = 500 * time.Millisecond
)

// Share puts the Redis at a URL before a store, redis://HOST:PORT/DATABASE or
// unix://FILE. The store belongs to what is returned. It is an error if the Redis does
// not answer now; later it may.
func Share(ctx context.Context, s *Store, address string) (*Shared, error) {
	options, err := redis.ParseURL(address)
	if err != nil {
		return nil, fmt.Errorf("the URL of the Redis: %w", withoutURL(err))
	}
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = patience, patience, patience
	options.MaxRetries, options.DialerRetries = -1, 1
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	hush()
	c := &Shared{Store: s, client: redis.NewClient(options), log: s.cfg.Log}
	if err := c.client.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("the Redis at %s: %w", options.Addr, err), c.client.Close())
	}
	return c, nil
}

// hush keeps the client from writing to standard error by itself: its errors come back
// to who asks.
var hush = sync.OnceFunc(func() { redis.SetLogger(mute{}) })

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

// withoutURL keeps a password out of a message.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// Close closes the store too.
func (c *Shared) Close() error { return errors.Join(c.client.Close(), c.Store.Close()) }

// Runs implements [dashboard.Store].
func (c *Shared) Runs(ctx context.Context) ([]dashboard.Run, error) {
	return shared(ctx, c, "runs", nil, func() ([]dashboard.Run, error) { return c.Store.Runs(ctx) })
}

// List implements [dashboard.Store].
func (c *Shared) List(ctx context.Context, q dashboard.Query) ([]dashboard.Finding, error) {
	return shared(ctx, c, "list", q, func() ([]dashboard.Finding, error) { return c.Store.List(ctx, q) })
}

// Count implements [dashboard.Store].
func (c *Shared) Count(ctx context.Context, q dashboard.Query) (int, error) {
	return shared(ctx, c, "count", q, func() (int, error) { return c.Store.Count(ctx, q) })
}

// Get implements [dashboard.Store].
func (c *Shared) Get(ctx context.Context, id string) (dashboard.Finding, error) {
	return shared(ctx, c, "get", id, func() (dashboard.Finding, error) { return c.Store.Get(ctx, id) })
}

// History implements [dashboard.Store].
func (c *Shared) History(ctx context.Context, w dashboard.Window) (dashboard.History, error) {
	return shared(ctx, c, "history", w, func() (dashboard.History, error) { return c.Store.History(ctx, w) })
}

// shared is the answer to a question: that in the Redis, or else the store's, which is
// then kept there. The version is read before the store is, so that no answer is older
// than its version.
func shared[T any](ctx context.Context, c *Shared, kind string, question any, ask func() (T, error)) (T, error) {
	key, err := c.key(kind, question)
	if err != nil || time.Now().UnixNano() < c.rests.Load() {
		return ask()
	}
	body, err := c.client.Get(ctx, key).Bytes()
	if err == nil {
		var answer T
		if json.Unmarshal(body, &answer) == nil {
			return answer, nil
		}
	} else if !errors.Is(err, redis.Nil) {
		c.pause(ctx, err)
		return ask()
	}
	answer, err := ask()
	if err != nil {
		return answer, err
	}
	if body, err = json.Marshal(answer); err == nil && len(body) <= maxKept {
		if err := c.client.Set(ctx, key, body, kept).Err(); err != nil {
			c.pause(ctx, err)
		}
	}
	return answer, nil
}

// key names an answer: that of this store, in this version, to this question.
func (c *Shared) key(kind string, question any) (string, error) {
	text, err := json.Marshal(question)
	if err != nil {
		return "", err
	}
	n, err := c.changes(context.Background())
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return "leakformer:" + c.ID() + ":" + strconv.FormatUint(n, 10) + ":" + kind + ":" + hex.EncodeToString(sum[:]), nil
}

// pause leaves a Redis that does not answer alone for a while.
func (c *Shared) pause(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // It is who asks that has gone.
	}
	if c.rests.Swap(time.Now().Add(rest).UnixNano()) == 0 {
		c.log.Warn("the Redis does not answer: the store does without it", "error", err)
	}
}
