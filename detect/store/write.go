package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"leakformer/detect/dashboard"
)

// errNothing is what do of write returns when it has changed nothing.
var errNothing = errors.New("nothing has changed")

// write does something whole or not at all, and then counts as a change.
func (s *Store) write(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return s.explain(err)
	}
	defer tx.Rollback()
	if err := do(tx); errors.Is(err, errNothing) {
		return nil
	} else if err != nil {
		return s.explain(err)
	}
	if _, err := tx.ExecContext(ctx, countChange); err != nil {
		return s.explain(err)
	}
	if err := tx.Commit(); err != nil {
		return s.explain(err)
	}
	s.Version()
	return nil
}

// Put implements [dashboard.Store].
func (s *Store) Put(ctx context.Context, run dashboard.Run, findings []dashboard.Finding) error {
	body, err := json.Marshal(run)
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		p := putting{ctx: ctx, tx: tx, stacks: map[sum]int64{}, now: s.cfg.Now().UnixMilli()}
		if err := tx.QueryRowContext(ctx, putRun, run.Log, lowered(run.Log), run.Timestamp.UnixMilli(), body).Scan(&p.run); err != nil {
			return err
		}
		for _, drop := range []string{dropTexts, dropFindings} {
			if _, err := tx.ExecContext(ctx, drop, p.run); err != nil {
				return err
			}
		}
		for _, statement := range []struct {
			to  **sql.Stmt
			sql string
		}{{&p.known, theStack}, {&p.stack, putStack}, {&p.place, putPlace}, {&p.finding, putFinding}, {&p.text, putText}, {&p.decision, putDecision}} {
			if *statement.to, err = tx.PrepareContext(ctx, statement.sql); err != nil {
				return err
			}
		}
		for i := range findings {
			if err := p.put(&findings[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// putting is the findings of one run on their way into the file. Its statements end
// with the transaction.
type putting struct {
	ctx                                          context.Context
	tx                                           *sql.Tx
	known, stack, place, finding, text, decision *sql.Stmt
	stacks                                       map[sum]int64 // those that are there
	run, now                                     int64
}

func (p *putting) put(f *dashboard.Finding) error {
	short, whole, err := texts(f)
	if err != nil {
		return err
	}
	stack, err := p.stackOf(f)
	if err != nil {
		return err
	}
	var n int64
	if err := p.finding.QueryRowContext(p.ctx, f.ID, p.run, stack, f.Program, f.Level, f.Leak, f.Probability, f.Bytes).Scan(&n); err != nil {
		return err
	}
	if _, err := p.text.ExecContext(p.ctx, n, short, whole); err != nil {
		return err
	}
	if f.Decision != dashboard.Undecided {
		_, err = p.decision.ExecContext(p.ctx, f.ID, string(f.Decision), p.now)
	}
	return err
}

// stackOf puts the call stack of a finding, if it is not there.
func (p *putting) stackOf(f *dashboard.Finding) (n int64, err error) {
	body, err := json.Marshal(place{f.Site, f.StackTrace, f.Frames})
	if err != nil {
		return 0, err
	}
	key := sum(sha256.Sum256(body))
	if n, known := p.stacks[key]; known {
		return n, nil
	}
	if err = p.known.QueryRowContext(p.ctx, key[:]).Scan(&n); errors.Is(err, sql.ErrNoRows) {
		if err = p.stack.QueryRowContext(p.ctx, key[:], lowered(append([]string{f.Site}, f.StackTrace...)...)).Scan(&n); err == nil {
			_, err = p.place.ExecContext(p.ctx, n, body)
		}
	}
	p.stacks[key] = n
	return n, err
}

// lowered is texts in lower case, with the byte between them that no text has.
func lowered(texts ...string) []byte {
	var b bytes.Buffer
	for _, t := range texts {
		b.WriteString(strings.ToLower(strings.ToValidUTF8(t, "\uFFFD")))
		b.WriteByte(0xff)
	}
	return b.Bytes()
}

// texts writes a finding as JSON without its call stack, in short and whole; whole is
// empty where that is the same.
func texts(f *dashboard.Finding) (short, whole []byte, err error) {
	of := *f
	of.Site, of.StackTrace, of.Frames = "", nil, nil
	if short, err = json.Marshal(of.Short()); err != nil {
		return nil, nil, err
	}
	if whole, err = json.Marshal(of); err != nil {
		return nil, nil, err
	}
	if bytes.Equal(short, whole) {
		whole = []byte{}
	}
	return short, whole, nil
}

// Decide implements [dashboard.Store].
func (s *Store) Decide(ctx context.Context, id string, d dashboard.Decision) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, isFinding, id).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return dashboard.ErrNotFound
		}
		_, err := tx.ExecContext(ctx, putDecision, id, string(d), s.cfg.Now().UnixMilli())
		return err
	})
}

// Add implements [dashboard.Store].
func (s *Store) Add(ctx context.Context, h dashboard.History) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		if err := addSnapshots(ctx, tx, h.Snapshots); err != nil {
			return err
		}
		for _, a := range h.Alerts {
			a.Timestamp = a.Timestamp.UTC().Truncate(time.Millisecond)
			body, err := json.Marshal(a)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, putAlert, a.ID, a.Log, a.Finding, a.Timestamp.UnixMilli(), body); err != nil {
				return err
			}
		}
		return nil
	})
}

func addSnapshots(ctx context.Context, tx *sql.Tx, snapshots []dashboard.Snapshot) error {
	if len(snapshots) == 0 {
		return nil
	}
	insert, err := tx.PrepareContext(ctx, putSnapshot)
	if err != nil {
		return err
	}
	type course struct{ log, id string }
	courses := map[course]int64{}
	for _, p := range snapshots {
		n, known := courses[course{p.Log, p.ID}]
		if !known {
			err := tx.QueryRowContext(ctx, theCourse, p.Log, p.ID).Scan(&n)
			if errors.Is(err, sql.ErrNoRows) {
				err = tx.QueryRowContext(ctx, putCourse, p.Log, p.ID).Scan(&n)
			}
			if err != nil {
				return err
			}
			courses[course{p.Log, p.ID}] = n
		}
		if _, err := insert.ExecContext(ctx, n, p.Timestamp.UnixMilli(), p.Live, p.Leaked); err != nil {
			return err
		}
	}
	return nil
}

// Expire removes what is older than the retention.
func (s *Store) Expire(ctx context.Context) error {
	before := s.cfg.Now().Add(-s.cfg.Retention).UnixMilli()
	return s.write(ctx, func(tx *sql.Tx) error {
		gone := int64(0)
		for _, statement := range expiry {
			r, err := tx.ExecContext(ctx, statement, before)
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			gone += n
		}
		if gone == 0 {
			return errNothing
		}
		for _, statement := range sweep {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}
