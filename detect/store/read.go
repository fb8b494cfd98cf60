package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"leakformer/detect/dashboard"
)

// each calls do for every row of an answer.
func (s *Store) each(ctx context.Context, query string, args []any, do func(*sql.Rows) error) error {
	rows, err := s.reader.QueryContext(ctx, query, args...)
	if err != nil {
		return s.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := do(rows); err != nil {
			return s.explain(err)
		}
	}
	return s.explain(rows.Err())
}

// decode reads JSON that this package wrote.
func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	return nil
}

// bodies reads an answer of one column.
func bodies[T any](ctx context.Context, s *Store, query string, args ...any) ([]T, error) {
	out := []T{}
	return out, s.each(ctx, query, args, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		out = append(out, *new(T))
		return decode(body, &out[len(out)-1])
	})
}

// Runs implements [dashboard.Store].
func (s *Store) Runs(ctx context.Context) ([]dashboard.Run, error) {
	return bodies[dashboard.Run](ctx, s, allRuns)
}

// List implements [dashboard.Store].
func (s *Store) List(ctx context.Context, q dashboard.Query) ([]dashboard.Finding, error) {
	found := []dashboard.Finding{}
	query, args := listed(q)
	return found, s.each(ctx, query, args, func(rows *sql.Rows) error {
		var short sql.RawBytes
		var f dashboard.Finding
		var decision string
		if err := rows.Scan(&short, &decision); err != nil {
			return err
		}
		if err := decode(short, &f); err != nil {
			return err
		}
		f.Decision = dashboard.Decision(decision)
		found = append(found, f)
		return nil
	})
}

// Count implements [dashboard.Store].
func (s *Store) Count(ctx context.Context, q dashboard.Query) (n int, err error) {
	query, args := counted(q)
	return n, s.explain(s.reader.QueryRowContext(ctx, query, args...).Scan(&n))
}

// Get implements [dashboard.Store].
func (s *Store) Get(ctx context.Context, id string) (f dashboard.Finding, err error) {
	var body []byte
	var decision string
	err = s.reader.QueryRowContext(ctx, oneFinding, id).Scan(&body, &decision)
	if errors.Is(err, sql.ErrNoRows) {
		return f, dashboard.ErrNotFound
	}
	if err == nil {
		err = decode(body, &f)
	}
	f.Decision = dashboard.Decision(decision)
	return f, s.explain(err)
}

// bounds are those of a window in milliseconds.
func bounds(w dashboard.Window) (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	if !w.Since.IsZero() {
		from = ceilMilli(w.Since)
	}
	if !w.Until.IsZero() {
		to = ceilMilli(w.Until)
	}
	return from, to
}

// ceilMilli is the first millisecond that is not before a time.
func ceilMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

// History implements [dashboard.Store].
func (s *Store) History(ctx context.Context, w dashboard.Window) (dashboard.History, error) {
	h := dashboard.History{Snapshots: []dashboard.Snapshot{}}
	var err error
	if w.Log != "" {
		if h.Snapshots, err = s.snapshots(ctx, w); err != nil {
			return h, err
		}
	}
	query, args := told(w)
	h.Alerts, err = bodies[dashboard.Alert](ctx, s, query, args...)
	slices.Reverse(h.Alerts)
	return h, err
}

func (s *Store) snapshots(ctx context.Context, w dashboard.Window) ([]dashboard.Snapshot, error) {
	from, to := bounds(w)
	query, args := someSnapshots, []any{w.Log, w.ID, from, to}
	if w.Points > 0 {
		query, args = thinSnapshots, append(args, w.Points)
	}
	out := []dashboard.Snapshot{}
	return out, s.each(ctx, query, args, func(rows *sql.Rows) error {
		at, p := int64(0), dashboard.Snapshot{Log: w.Log, ID: w.ID}
		if err := rows.Scan(&at, &p.Live, &p.Leaked); err != nil {
			return err
		}
		p.Timestamp = time.UnixMilli(at).UTC()
		out = append(out, p)
		return nil
	})
}
