// Package store keeps what the dashboard shows in a file, so that it outlives the
// program, and several programs can write and show it at once.
//
// [Open] opens the file, a database of SQLite; [Share] puts a Redis before it, where
// several dashboards share answers. Both are a [dashboard.Store].
package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"leakformer/detect/dashboard"
)

// Config says where to keep what for how long.
type Config struct {
	// Path of the file; it is made where there is none.
	Path string
	// Retention is how long runs, findings and the history are kept; 0: 24 hours.
	Retention time.Duration
	// Now is the machine's clock; nil: time.Now.
	Now func() time.Time
	// Log is told what goes wrong without being in the way; nil: nobody.
	Log *slog.Logger
}

// Store is a [dashboard.Store] in a file. What it has acknowledged is on the disk: it
// is there again after the program was killed, and after a loss of power.
type Store struct {
	cfg  Config
	path string // whole
	id   string
	// One connection writes; SQLite lets no more do so at a time anyway.
	writer, reader *sql.DB
	stop           context.CancelFunc
	watching       sync.WaitGroup
	places         places

	mu      sync.Mutex
	seen    uint64 // the changes that were told of
	changed chan struct{}
}

const (
	// readers is how many queries are answered at once.
	readers = 4
	// busyTime is how long it is waited for who has the file locked, as in settings.
	busyTime = 10 * time.Second
	// glance is how often it is looked whether another program has written.
	glance = 500 * time.Millisecond
	// maxLog is the size from which on the write-ahead log is emptied by force.
	maxLog = 32 << 20
	// settings of every connection: who finds the file locked waits, a commit is on
	// the disk, the log is cut down after a large transaction, 16 MiB of pages are
	// kept, and damaged pages are noticed.
	settings = "?_pragma=busy_timeout(10000)&_pragma=synchronous(full)&_pragma=journal_size_limit(16777216)&_pragma=cache_size(-16384)&_pragma=cell_size_check(1)&_error_rc=1"
)

// Open opens a store. A file that is something else, is damaged, or was written by a
// later version is left as it is.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg.Retention = cmp.Or(cfg.Retention, 24*time.Hour)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{cfg: cfg, changed: make(chan struct{})}
	var err error
	if s.path, err = filepath.Abs(cfg.Path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Dir(s.path)); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Path, err)
	}
	name := (&url.URL{Scheme: "file", Path: s.path}).String() + settings
	if s.writer, err = sql.Open("sqlite", name+"&_txlock=immediate"); err != nil {
		return nil, err
	}
	s.writer.SetMaxOpenConns(1)
	if s.reader, err = sql.Open("sqlite", name+"&_query_only=1"); err != nil {
		return nil, errors.Join(err, s.writer.Close())
	}
	s.reader.SetMaxOpenConns(readers)
	s.reader.SetMaxIdleConns(readers)
	if err := s.beginInTurn(ctx); err != nil {
		return nil, errors.Join(s.explain(err), s.writer.Close(), s.reader.Close())
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.watching.Go(func() { s.watch(watch) })
	return s, nil
}

// ID tells the store from all others.
func (s *Store) ID() string { return s.id }

// Close waits for what is being written and read. Nobody else having it open, the
// file is whole then, with no write-ahead log beside it.
func (s *Store) Close() error {
	s.stop()
	s.watching.Wait()
	return s.explain(errors.Join(closeIdle(s.reader), closeIdle(s.writer)))
}

// closeIdle closes a database once nobody uses its connections: [sql.DB.Close] does not
// wait for transactions whose contexts have ended and that are being rolled back, and
// the last connection to be closed is the one that empties the write-ahead log.
func closeIdle(db *sql.DB) error {
	var conns []*sql.Conn
	var err error
	for range db.Stats().OpenConnections {
		c, e := db.Conn(context.Background())
		if err = errors.Join(err, e); e == nil {
			conns = append(conns, c)
		}
	}
	for _, c := range conns {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(err, db.Close())
}

// beginInTurn begins, and waits for others who do. SQLite waits for a lock by itself, but
// not where a file is to get its write-ahead log.
func (s *Store) beginInTurn(ctx context.Context) error {
	for end := time.Now().Add(busyTime); ; {
		err := s.begin(ctx)
		e, ok := errors.AsType[*sqlite.Error](err)
		if !ok || e.Code()&0xff != sqlite3.SQLITE_BUSY || time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin looks what the file is, and makes an empty one a store.
func (s *Store) begin(ctx context.Context) error {
	empty, err := s.identify(ctx, s.writer)
	if err != nil {
		return err
	}
	if empty {
		if err := s.found(ctx); err != nil {
			return err
		}
	}
	if err := s.writer.QueryRowContext(ctx, theID).Scan(&s.id); err != nil {
		return err
	}
	s.seen, err = s.changes(ctx)
	return err
}

// querier is a database, or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// identify reports whether the file is empty; it is an error if it is neither that nor
// a store that can be used.
func (s *Store) identify(ctx context.Context, db querier) (empty bool, err error) {
	var app, made, tables int
	err = db.QueryRowContext(ctx, "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id, pragma_user_version").Scan(&app, &made, &tables)
	switch {
	case err != nil:
		return false, err
	case app == 0 && made == 0 && tables == 0:
		return true, nil
	case app != application:
		return false, errors.New("is a database of another program, and was left as it is: name another file")
	case made > version:
		return false, fmt.Errorf("was written by a later leakformer (schema %d; this one knows up to %d), and was left as it is: use that leakformer, or name another file", made, version)
	}
	return false, nil
}

// found makes an empty file a store, unless somebody else is quicker.
func (s *Store) found(ctx context.Context) error {
	var mode string
	if err := s.writer.QueryRowContext(ctx, "PRAGMA journal_mode = wal").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return errors.New("the folder's file system keeps no write-ahead log (is it of a network?): name a file on a local disk")
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if empty, err := s.identify(ctx, tx); err != nil || !empty {
		return err
	}
	if _, err := tx.ExecContext(ctx, schema+fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", application, version)); err != nil {
		return err
	}
	return tx.Commit()
}

// ErrDamaged says that the file is no database, or not a whole one.
var ErrDamaged = errors.New("the store is damaged, and was left as it is: move it away to begin a new one; sqlite3 FILE .recover saves what can be read")

// ErrFull says that the disk is full.
var ErrFull = errors.New("the disk is full: nothing of this was kept: make room")

// explain adds the file's name to an error, and what to do.
func (s *Store) explain(err error) error {
	for _, plain := range []error{context.Canceled, context.DeadlineExceeded, dashboard.ErrNotFound} {
		if errors.Is(err, plain) {
			return err
		}
	}
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%s: %w (%w)", s.cfg.Path, ErrDamaged, err)
		case sqlite3.SQLITE_FULL:
			return fmt.Errorf("%s: %w (%w)", s.cfg.Path, ErrFull, err)
		}
	}
	return fmt.Errorf("%s: %w", s.cfg.Path, err)
}

// watch tells of what others write, and removes what is too old.
func (s *Store) watch(ctx context.Context) {
	look, clear := time.NewTicker(glance), time.NewTicker(min(max(s.cfg.Retention/100, time.Second), 10*time.Minute))
	defer look.Stop()
	defer clear.Stop()
	expire := func() {
		if err := s.Expire(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("what is too old could not be removed", "error", err)
		}
	}
	expire()
	for {
		select {
		case <-look.C:
			s.Version()
			s.shorten(ctx)
		case <-clear.C:
			expire()
		case <-ctx.Done():
			return
		}
	}
}

// shorten empties a write-ahead log that has grown long. SQLite does so by itself when
// nobody reads; where somebody always does, new readers have to be kept off it.
func (s *Store) shorten(ctx context.Context) {
	if log, err := os.Stat(s.path + "-wal"); err != nil || log.Size() < maxLog {
		return
	}
	if _, err := s.writer.ExecContext(ctx, "PRAGMA wal_checkpoint(truncate)"); err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("the write-ahead log could not be emptied", "error", err)
	}
}

// Version implements [dashboard.Store]. It counts the changes of all programs.
func (s *Store) Version() (uint64, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, err := s.changes(context.Background()); err == nil && n != s.seen {
		s.seen = n
		close(s.changed)
		s.changed = make(chan struct{})
	}
	return s.seen, s.changed
}

func (s *Store) changes(ctx context.Context) (n uint64, err error) {
	err = s.reader.QueryRowContext(ctx, theChanges).Scan(&n)
	return n, err
}
