package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"leakformer/detect/dashboard"
	"leakformer/detect/store/storetest"
)

// writer is the environment variable that makes the test program one that writes into
// the store that it names until it is killed.
const writer = "LEAKFORMER_STORE_WRITER"

// fewKills is how often TestKill kills; LEAKFORMER_KILLS is another number.
const fewKills = 5

func TestMain(m *testing.M) {
	if path := os.Getenv(writer); path != "" {
		fmt.Fprintln(os.Stderr, write(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// record is the n-th thing that the writer writes. It is in four tables.
type record struct {
	run      dashboard.Run
	findings []dashboard.Finding
	history  dashboard.History
}

// perRun is how many findings a record has, perTime how many snapshots.
const perRun, perTime = 3, 10

const forEver = 100 * 365 * 24 * time.Hour

func newRecord(n int) record {
	name := strconv.Itoa(n)
	r := record{run: storetest.Run(name, "app")}
	at := time.UnixMilli(int64(n)) // the same in each life
	for i := range perRun {
		r.findings = append(r.findings, storetest.Finding(r.run, i))
	}
	for i := range perTime {
		r.history.Snapshots = append(r.history.Snapshots, dashboard.Snapshot{Log: "log", ID: strconv.Itoa(i), Timestamp: at, Live: int64(n)})
	}
	r.history.Alerts = []dashboard.Alert{{ID: name, Log: "log", Timestamp: at}}
	return r
}

// write acknowledges each record on standard output when the store has. It begins with
// the last that is there, which may not be whole: a record is three transactions.
func write(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, Config{Path: path, Retention: forEver})
	if err != nil {
		return err
	}
	// Every few records the log is moved into the file: that too is to be interrupted.
	if _, err := s.writer.Exec("PRAGMA wal_autocheckpoint = 20"); err != nil {
		return err
	}
	runs, err := s.Runs(ctx)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for n := max(len(runs)-1, 0); ; n++ {
		r := newRecord(n)
		if err := errors.Join(s.Put(ctx, r.run, r.findings), s.Add(ctx, r.history)); err != nil {
			return err
		}
		if d := r.findings[0]; n%10 == 0 {
			if err := s.Decide(ctx, d.ID, dashboard.Confirmed); err != nil {
				return err
			}
		}
		fmt.Println(n)
	}
}

// A process that is killed while it writes loses nothing that it has acknowledged, and
// leaves nothing that is half written.
func TestKill(t *testing.T) {
	kills := fewKills
	if text := os.Getenv("LEAKFORMER_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "a.db")
	acknowledged, ahead := 0, 0
	for range kills {
		last := killed(t, path)
		if last >= 0 {
			acknowledged = last + 1
		}
		if there := checkRecords(t, path, acknowledged); there > acknowledged {
			ahead++
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills: %d records, each with %d findings, %d snapshots and an alert, none lost; %d times the next had been begun",
		kills, acknowledged, perRun, perTime, ahead)
	if acknowledged < kills {
		t.Errorf("only %d records in %d lives", acknowledged, kills)
	}
}

// killed starts a writer, kills it while it writes what follows a few acknowledgements,
// and returns the last record that it acknowledged, -1 where there was none.
func killed(t *testing.T, path string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writer+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Errorf("the writer says %q", lines.Text())
	}
	last, more := -1, rand.IntN(10)
	kill := func() {
		time.AfterFunc(time.Duration(rand.IntN(20_000))*time.Microsecond, func() { cmd.Process.Kill() })
	}
	for ; ; more-- {
		if more == 0 {
			kill()
		}
		if !lines.Scan() { // what was acknowledged before the kill is in the pipe after it
			break
		}
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Wait()
	return last
}

// checkRecords looks for all records in a store, whole, and returns how many there are.
func checkRecords(t *testing.T, path string, acknowledged int) int {
	t.Helper()
	ctx := context.Background()
	s, err := Open(ctx, Config{Path: path, Retention: forEver})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if result := ""; s.reader.QueryRow("PRAGMA integrity_check").Scan(&result) != nil || result != "ok" {
		t.Errorf("the check of the file says %s", result)
	}
	runs, err := s.Runs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) < acknowledged || len(runs) > acknowledged+1 {
		t.Errorf("%d runs, acknowledged were %d", len(runs), acknowledged)
	}
	if n := count(t, s); n != perRun*len(runs) {
		t.Errorf("%d findings of %d runs", n, len(runs))
	}
	told := 0
	for i := range perTime {
		h, err := s.History(ctx, dashboard.Window{Log: "log", ID: strconv.Itoa(i)})
		if err != nil {
			t.Fatal(err)
		}
		for n, p := range h.Snapshots {
			if p.Live != int64(n) {
				t.Fatalf("course %d has %d where record %d should be", i, p.Live, n)
			}
		}
		told = len(h.Snapshots)
		if told < acknowledged || told > len(runs) {
			t.Errorf("course %d has %d snapshots, acknowledged were %d", i, told, acknowledged)
		}
	}
	h, err := s.History(ctx, dashboard.Window{})
	if err != nil || len(h.Alerts) != told {
		t.Errorf("%d alerts, %v, and %d snapshots", len(h.Alerts), err, told)
	}
	confirmed, err := s.Count(ctx, dashboard.Query{Decision: dashboard.Confirmed})
	if err != nil || confirmed < (acknowledged+9)/10 {
		t.Errorf("%d decisions, %v, of %d records", confirmed, err, acknowledged)
	}
	return len(runs)
}
