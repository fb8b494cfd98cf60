package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
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
	err := s.each(ctx, query, args, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		out = append(out, *new(T))
		return decode(body, &out[len(out)-1])
	})
	return out, err
}

// Runs implements [dashboard.Store].
func (s *Store) Runs(ctx context.Context) ([]dashboard.Run, error) {
	return bodies[dashboard.Run](ctx, s, allRuns)
}

// List implements [dashboard.Store].
func (s *Store) List(ctx context.Context, q dashboard.Query) ([]dashboard.Finding, error) {
	found := []dashboard.Finding{}
	text, err := s.having(ctx, q)
	if err != nil {
		return nil, err
	}
	query, args := listed(q, text)
	err = s.each(ctx, query, args, func(rows *sql.Rows) error {
		var r row
		if err := rows.Scan(&r.short, &r.decision, &r.sum, &r.stack); err != nil {
			return err
		}
		f, err := s.finding(&r)
		found = append(found, f)
		return err
	})
	return found, err
}

// row is a finding as it is in the file. The bytes are the driver's.
type row struct {
	short, sum, stack sql.RawBytes
	decision          string
}

func (s *Store) finding(r *row) (f dashboard.Finding, err error) {
	if err := decode(r.short, &f); err != nil {
		return f, err
	}
	at, err := s.places.of(r.sum, r.stack)
	if err != nil {
		return f, err
	}
	f.Site, f.StackTrace, f.Frames, f.Decision = at.Site, at.StackTrace, at.Frames, dashboard.Decision(r.decision)
	return f, nil
}

// Count implements [dashboard.Store].
func (s *Store) Count(ctx context.Context, q dashboard.Query) (n int, err error) {
	text, err := s.having(ctx, q)
	if err != nil {
		return 0, err
	}
	query, args := counted(q, text)
	err = s.reader.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, s.explain(err)
}

// having looks whether a query's text is rare, and where it is.
func (s *Store) having(ctx context.Context, q dashboard.Query) (h having, err error) {
	if q.Text == "" {
		return h, nil
	}
	stacks, err := s.with(ctx, stacksWith, rareStacks, q)
	if stacks == nil || err != nil {
		return h, err
	}
	runs, err := s.with(ctx, runsWith, rareRuns, q)
	if runs == nil || err != nil {
		return h, err
	}
	return having{true, stacks, runs}, nil
}

// with is the numbers of what has a query's text, nil if they are not few.
func (s *Store) with(ctx context.Context, those, few string, q dashboard.Query) ([]string, error) {
	var most int
	if err := s.reader.QueryRowContext(ctx, few).Scan(&most); err != nil {
		return nil, s.explain(err)
	}
	numbers := []string{}
	err := s.each(ctx, those, []any{needle(q)}, func(rows *sql.Rows) error {
		var n string
		err := rows.Scan(&n)
		numbers = append(numbers, n)
		return err
	})
	if len(numbers) > most {
		return nil, err
	}
	return numbers, err
}

// Get implements [dashboard.Store].
func (s *Store) Get(ctx context.Context, id string) (f dashboard.Finding, err error) {
	err = dashboard.ErrNotFound
	wrong := s.each(ctx, oneFinding, []any{id}, func(rows *sql.Rows) error {
		var r row
		var whole sql.RawBytes
		if err := rows.Scan(&r.short, &r.decision, &r.sum, &r.stack, &whole); err != nil {
			return err
		}
		if len(whole) > 0 {
			r.short = whole
		}
		var failed error
		f, failed = s.finding(&r)
		err = nil
		return failed
	})
	return f, cmp.Or(wrong, err)
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
	out := []dashboard.Snapshot{}
	err := s.each(ctx, someSnapshots, []any{w.Log, w.ID, from, to}, func(rows *sql.Rows) error {
		at, p := int64(0), dashboard.Snapshot{Log: w.Log, ID: w.ID}
		if err := rows.Scan(&at, &p.Live, &p.Leaked); err != nil {
			return err
		}
		p.Timestamp = time.UnixMilli(at).UTC()
		out = append(out, p)
		return nil
	})
	return w.Thin(out), err
}
