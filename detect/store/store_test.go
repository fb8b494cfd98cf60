package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leakformer/detect/dashboard"
	"leakformer/detect/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Test(t, func(*testing.T) dashboard.Store { return &dashboard.Memory{} })
}

func TestStore(t *testing.T) {
	storetest.Test(t, func(t *testing.T) dashboard.Store { return open(t, filepath.Join(t.TempDir(), "a.db")) })
}

// open opens a store until the test ends.
func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func count(t testing.TB, s dashboard.Store) int {
	t.Helper()
	n, err := s.Count(context.Background(), dashboard.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// filled is the path of a store with one finding, closed.
func filled(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "what? 100%#.db")
	s := open(t, path)
	run := storetest.Run("a.log", "app")
	if err := s.Put(context.Background(), run, []dashboard.Finding{storetest.Finding(run, 0)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("the file is called otherwise: ", err)
	}
	return path
}

// What was written is there when the file is opened again, and it is the same store.
func TestReopen(t *testing.T) {
	path := filled(t)
	a := open(t, path)
	b := open(t, path)
	if count(t, a) != 1 || a.ID() != b.ID() || len(a.ID()) != 16 {
		t.Errorf("%d findings, IDs %q and %q", count(t, a), a.ID(), b.ID())
	}
	if other := open(t, filepath.Join(t.TempDir(), "b.db")); other.ID() == a.ID() {
		t.Error("two stores have one ID")
	}
}

// The write-ahead log does not grow for ever where there is always somebody who reads.
func TestLongLog(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "a.db")
	s := open(t, path)
	ended, stop := context.WithTimeout(ctx, time.Minute)
	var reading sync.WaitGroup
	defer func() { stop(); reading.Wait() }()
	read := func() *sql.Tx {
		tx, err := s.reader.BeginTx(ctx, nil)
		if err == nil {
			err = tx.QueryRow(theChanges).Scan(new(int))
		}
		if err != nil {
			t.Error(err)
		}
		return tx
	}
	begun := read()
	reading.Go(func() {
		for ended.Err() == nil {
			next := read() // before the last has ended
			begun.Rollback()
			begun = next
			time.Sleep(5 * time.Millisecond)
		}
		begun.Rollback()
	})
	size := func() int64 {
		log, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return log.Size()
	}
	for i := 0; size() < maxLog; i++ {
		if i == 200 {
			t.Fatal("the log has not grown: nobody read")
		}
		if _, err := s.writer.Exec("INSERT INTO alerts (id, log, finding, time, body) VALUES (?, '', '', ?, zeroblob(1000000))", i, time.Now().UnixMilli()); err != nil {
			t.Fatal(err)
		}
	}
	for size() >= maxLog && ended.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
	if size() >= maxLog {
		t.Errorf("the log has %d bytes still", size())
	}
}

// Programs that are started at the same time make one store of a file.
func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	var all sync.WaitGroup
	ids := make([]string, 6)
	for i := range ids {
		all.Go(func() {
			s, err := Open(context.Background(), Config{Path: path})
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = s.ID()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if ids = slices.Compact(ids); len(ids) != 1 {
		t.Errorf("IDs %q", ids)
	}
}

// Two programs see what the other writes, and are told of it.
func TestTwoPrograms(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	a, b := open(t, path), open(t, path)
	_, changed := b.Version()
	run := storetest.Run("a.log", "app")
	if err := a.Put(context.Background(), run, []dashboard.Finding{storetest.Finding(run, 0)}); err != nil {
		t.Fatal(err)
	}
	if count(t, b) != 1 {
		t.Error("what one wrote the other does not see")
	}
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Error("nobody told of what another program wrote")
	}
	mine, _ := a.Version()
	if other, _ := b.Version(); mine != other {
		t.Errorf("versions %d and %d", mine, other)
	}
}

func TestExpire(t *testing.T) {
	ctx := context.Background()
	now := storetest.Start
	s, err := Open(ctx, Config{Path: filepath.Join(t.TempDir(), "a.db"), Retention: time.Hour, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	old, young := storetest.Run("old.log", "old"), storetest.Run("young.log", "young")
	young.Timestamp = now.Add(30 * time.Minute)
	for _, run := range []dashboard.Run{old, young} {
		h := dashboard.History{Snapshots: []dashboard.Snapshot{{Log: run.Log, Timestamp: run.Timestamp}}, Alerts: []dashboard.Alert{{ID: run.Log, Log: run.Log, Timestamp: run.Timestamp}}}
		if err := errors.Join(s.Put(ctx, run, []dashboard.Finding{storetest.Finding(run, 0)}), s.Add(ctx, h), s.Decide(ctx, storetest.Finding(run, 0).ID, dashboard.Confirmed)); err != nil {
			t.Fatal(err)
		}
	}
	expire := func(after time.Duration, want ...string) {
		t.Helper()
		now = storetest.Start.Add(after)
		if err := s.Expire(ctx); err != nil {
			t.Fatal(err)
		}
		var logs []string
		runs, err := s.Runs(ctx)
		for _, r := range runs {
			logs = append(logs, r.Log)
		}
		h, wrong := s.History(ctx, dashboard.Window{})
		if err := errors.Join(err, wrong); err != nil || strings.Join(logs, " ") != strings.Join(want, " ") || count(t, s) != len(want) || len(h.Alerts) != len(want) {
			t.Errorf("after %v: runs %q, %d findings, %d alerts, %v; want %q", after, logs, count(t, s), len(h.Alerts), err, want)
		}
	}
	expire(time.Hour, "old.log", "young.log")
	before, _ := s.Version()
	expire(time.Hour+time.Second, "young.log")
	if after, _ := s.Version(); after == before {
		t.Error("what has expired is no change")
	}
	before, _ = s.Version()
	expire(time.Hour+2*time.Second, "young.log")
	if after, _ := s.Version(); after != before {
		t.Error("nothing has expired, and that is a change")
	}
	expire(2 * time.Hour)
	for _, table := range []string{"runs", "stacks", "places", "findings", "texts", "courses", "snapshots", "alerts", "decisions"} {
		var n int
		if err := s.reader.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s has %d rows left, %v", table, n, err)
		}
	}
}

// A decision that is kept on is younger than its finding's, and outlives it.
func TestDecisionOutlives(t *testing.T) {
	ctx := context.Background()
	now := storetest.Start
	s, err := Open(ctx, Config{Path: filepath.Join(t.TempDir(), "a.db"), Retention: time.Hour, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	run := storetest.Run("a.log", "app")
	f := storetest.Finding(run, 0)
	put := func() {
		if err := s.Put(ctx, run, []dashboard.Finding{f}); err != nil {
			t.Fatal(err)
		}
	}
	put()
	now = now.Add(50 * time.Minute)
	if err := s.Decide(ctx, f.ID, dashboard.Dismissed); err != nil {
		t.Fatal(err)
	}
	now = now.Add(20 * time.Minute)
	if err := s.Expire(ctx); err != nil || count(t, s) != 0 {
		t.Fatalf("%d findings, %v", count(t, s), err)
	}
	put()
	if got, err := s.Get(ctx, f.ID); err != nil || got.Decision != dashboard.Dismissed {
		t.Errorf("decision %q, %v", got.Decision, err)
	}
}

// What cannot be used is refused, and left as it was.
func TestRefused(t *testing.T) {
	damage := func(from, to int) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if to < 0 {
				data = data[:from]
			} else {
				for i := from; i < min(to, len(data)); i++ {
					data[i] = 0xa5
				}
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	run := func(statement string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			s := open(t, path)
			if _, err := s.writer.Exec(statement); err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, path string)
		want  string
	}{
		{"later schema", run("PRAGMA user_version = 7"), "was written by a later leakformer (schema 7; this one knows up to 1)"},
		{"another program's", run("PRAGMA application_id = 5"), "is a database of another program"},
		{"no database", damage(0, 1<<20), ErrDamaged.Error()},
		{"header", damage(0, 16), ErrDamaged.Error()},
		{"schema page", damage(100, 4096), ErrDamaged.Error()},
		{"truncated", damage(4096, -1), ErrDamaged.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filled(t)
			c.spoil(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(context.Background(), Config{Path: path})
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if !strings.HasPrefix(err.Error(), path+": "+c.want) {
				t.Errorf("%v\nwant %s", err, c.want)
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Errorf("the file was changed, %v", err)
			}
		})
	}
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "no", "a.db"): "no such file or directory",
		t.TempDir():                              "unable to open",
	} {
		if s, err := Open(context.Background(), Config{Path: path}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, want %s", err, want)
			if err == nil {
				s.Close()
			}
		}
	}
}

// Whoever closes a store may copy its file, even if something was given up just then.
func TestCloseLeavesWholeFile(t *testing.T) {
	for range 50 {
		path := filepath.Join(t.TempDir(), "a.db")
		s := open(t, path)
		if err := s.Put(context.Background(), storetest.Run("a.log", "app"), nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		for _, db := range []*sql.DB{s.writer, s.reader} {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			running.Go(func() {
				<-ctx.Done()
				tx.Rollback()
			})
		}
		cancel()
		running.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("there is a write-ahead log: %v", err)
		}
	}
}

// Damage that is found only later is told then.
func TestDamagedPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s := open(t, path)
	run := storetest.Run("a.log", "app")
	var findings []dashboard.Finding
	for i := range 500 {
		findings = append(findings, storetest.Finding(run, i))
	}
	if err := s.Put(context.Background(), run, findings); err != nil {
		t.Fatal(err)
	}
	s.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(data) / 2; i < len(data)-4096; i++ {
		data[i] = 0xa5
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err = Open(context.Background(), Config{Path: path})
	if err == nil {
		defer s.Close()
		_, err = s.List(context.Background(), dashboard.Query{})
	}
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}
