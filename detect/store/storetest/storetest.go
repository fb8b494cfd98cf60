// Package storetest is what every [dashboard.Store] has to pass, whatever it keeps
// things in.
package storetest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"leakformer/detect"
	"leakformer/detect/dashboard"
	"leakformer/ingest"
)

// Start is the time of what the tests put.
var Start = time.Now().UTC().Truncate(time.Millisecond).Add(-time.Hour)

// Test runs all tests, each on a store that open makes, empty.
func Test(t *testing.T, open func(t *testing.T) dashboard.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, dashboard.Store)
	}{
		{"Empty", testEmpty}, {"Put", testPut}, {"Replace", testReplace}, {"Order", testOrder}, {"Query", testQuery}, {"Many", testMany}, {"Hostile", testHostile},
		{"Decide", testDecide}, {"Snapshots", testSnapshots}, {"Alerts", testAlerts}, {"Version", testVersion}, {"Concurrent", testConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Run is a run of a log of this name.
func Run(log, program string) dashboard.Run {
	return dashboard.Run{Log: log, Program: program, Timestamp: Start, Model: "fake", Threshold: 0.5, Sites: 3, Leaks: 2, Warnings: []string{"<b>"}}
}

// Finding is the n-th finding of a run, with all that findings can have.
func Finding(run dashboard.Run, n int) dashboard.Finding {
	site := fmt.Sprintf("site%d < main", n)
	return dashboard.Finding{
		ID: dashboard.SiteID(run.Log, site), Log: run.Log, Program: run.Program, Timestamp: run.Timestamp, Site: site,
		StackTrace: []string{fmt.Sprintf("site%d (a.c:%d)", n, n), "main in /bin/" + run.Program}, Level: "INFO", Probability: 1 / float64(n+1), Leak: n%2 == 0,
		SizeMB: float64(n), Bytes: int64(n) * 1e6, Blocks: int64(n), Outstanding: ingest.Amount{Blocks: int64(n), Bytes: int64(n) * 1e6},
		First: detect.Place{Event: 1, Line: 2, Time: 3}, Why: []string{"never freed"}, Decidable: true,
		Attribution: []detect.Effect{{What: "the lifetimes", Effect: 1.5}}, Course: &detect.Course{Live: []int64{1, 2}, Leaked: []int64{0, 1}},
	}
}

func put(t *testing.T, s dashboard.Store, run dashboard.Run, findings ...dashboard.Finding) {
	t.Helper()
	if err := s.Put(context.Background(), run, findings); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, s dashboard.Store, q dashboard.Query) []dashboard.Finding {
	t.Helper()
	found, err := s.List(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sites are those of a list, for comparing.
func sites(found []dashboard.Finding) []string {
	out := []string{}
	for _, f := range found {
		out = append(out, f.Log+": "+f.Site)
	}
	return out
}

func history(t *testing.T, s dashboard.Store, w dashboard.Window) dashboard.History {
	t.Helper()
	h, err := s.History(context.Background(), w)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// same compares what the page would be told.
func same(t *testing.T, got, want any) {
	t.Helper()
	a, err := json.Marshal(got)
	b, wrong := json.Marshal(want)
	if err := errors.Join(err, wrong); err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("got  %s\nwant %s", a, b)
	}
}

func testEmpty(t *testing.T, s dashboard.Store) {
	ctx := context.Background()
	runs, err := s.Runs(ctx)
	n, errCount := s.Count(ctx, dashboard.Query{})
	if err := errors.Join(err, errCount); err != nil || len(runs) != 0 || n != 0 {
		t.Errorf("%d runs, %d findings, %v", len(runs), n, err)
	}
	same(t, list(t, s, dashboard.Query{Text: "x"}), []dashboard.Finding{})
	same(t, history(t, s, dashboard.Window{Log: "x", Points: 5}), dashboard.History{Snapshots: []dashboard.Snapshot{}, Alerts: []dashboard.Alert{}})
	if _, err := s.Get(ctx, "x"); !errors.Is(err, dashboard.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if err := s.Decide(ctx, "x", dashboard.Confirmed); err != dashboard.ErrNotFound { // as it is: clients are told
		t.Errorf("Decide: %v", err)
	}
}

// What was put comes back whole.
func testPut(t *testing.T, s dashboard.Store) {
	run := Run("a.log", "app")
	f := Finding(run, 0)
	put(t, s, run, f)
	got, err := s.Get(context.Background(), f.ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, f)
	if !reflect.DeepEqual(got.Course, f.Course) || !reflect.DeepEqual(got.Attribution, f.Attribution) {
		t.Errorf("%+v, want %+v", got, f)
	}
	short := f
	short.Course, short.Attribution = nil, nil
	same(t, list(t, s, dashboard.Query{}), []dashboard.Finding{short})
	runs, err := s.Runs(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	same(t, runs, []dashboard.Run{run})
}

// A log that is put again keeps its place among the runs, and nothing else.
func testReplace(t *testing.T, s dashboard.Store) {
	a, b := Run("a.log", "app"), Run("b.log", "app")
	put(t, s, a, Finding(a, 1), Finding(a, 2))
	put(t, s, b, Finding(b, 1))
	a.Leaks = 7
	put(t, s, a, Finding(a, 3))
	runs, err := s.Runs(context.Background())
	if err != nil || len(runs) != 2 || runs[0].Leaks != 7 || runs[1].Log != "b.log" {
		t.Errorf("%+v, %v", runs, err)
	}
	same(t, sites(list(t, s, dashboard.Query{Log: "a.log"})), []string{"a.log: site3 < main"})
	if _, err := s.Get(context.Background(), Finding(a, 1).ID); !errors.Is(err, dashboard.ErrNotFound) {
		t.Errorf("what was replaced: %v", err)
	}
	if n, err := s.Count(context.Background(), dashboard.Query{}); n != 2 || err != nil {
		t.Errorf("%d findings, %v", n, err)
	}
}

// Leaks come first, then the probable ones, then the large ones, then the earlier ones.
func testOrder(t *testing.T, s dashboard.Store) {
	run, other := Run("a.log", "app"), Run("b.log", "app")
	make := func(run dashboard.Run, n int, leak bool, p float64, bytes int64) dashboard.Finding {
		f := Finding(run, n)
		f.Leak, f.Probability, f.Bytes = leak, p, bytes
		return f
	}
	put(t, s, run, make(run, 1, false, 0.9, 9), make(run, 2, true, 0.5, 1), make(run, 3, true, 0.5, 2), make(run, 4, true, 0.6, 0), make(run, 5, true, 0.5, 1))
	put(t, s, other, make(other, 1, true, 0.5, 1))
	want := []string{"a.log: site4 < main", "a.log: site3 < main", "a.log: site2 < main", "a.log: site5 < main", "b.log: site1 < main", "a.log: site1 < main"}
	same(t, sites(list(t, s, dashboard.Query{})), want)
	same(t, sites(list(t, s, dashboard.Query{Limit: 2})), want[:2])
	same(t, sites(list(t, s, dashboard.Query{Limit: 20})), want)
}

func testQuery(t *testing.T, s dashboard.Store) {
	app, web := Run("logs/App.log", "app"), Run("logs/web.log", "wéb")
	first, second, third := Finding(app, 0), Finding(app, 2), Finding(web, 0)
	second.Level, third.Site, third.Decision = "CRITICAL", "GRÖSSE < main", dashboard.Dismissed
	put(t, s, app, first, second)
	put(t, s, web, third)
	for _, c := range []struct {
		q    dashboard.Query
		want []string
	}{
		{dashboard.Query{}, []string{first.ID, third.ID, second.ID}},
		{dashboard.Query{Log: "logs/web.log"}, []string{third.ID}},
		{dashboard.Query{Log: "logs"}, []string{}},
		{dashboard.Query{Program: "app"}, []string{first.ID, second.ID}},
		{dashboard.Query{Level: "CRITICAL"}, []string{second.ID}},
		{dashboard.Query{Level: "critical"}, []string{}},
		{dashboard.Query{Decision: dashboard.Dismissed}, []string{third.ID}},
		{dashboard.Query{Decision: dashboard.Confirmed}, []string{}},
		{dashboard.Query{Text: "grösse"}, []string{third.ID}},
		{dashboard.Query{Text: "SITE2"}, []string{second.ID}},
		{dashboard.Query{Text: "A.C:0"}, []string{first.ID, third.ID}},
		{dashboard.Query{Text: "logs/app"}, []string{first.ID, second.ID}},
		{dashboard.Query{Text: "BIN/WÉB"}, []string{third.ID}},
		{dashboard.Query{Text: "main" + "site"}, []string{}}, // in no single text
		{dashboard.Query{Text: "%"}, []string{}},
		{dashboard.Query{Text: "site_"}, []string{}},
		{dashboard.Query{Text: "main", Program: "app", Level: "INFO", Log: "logs/App.log"}, []string{first.ID}},
	} {
		found := list(t, s, c.q)
		ids := []string{}
		for _, f := range found {
			ids = append(ids, f.ID)
		}
		n, err := s.Count(context.Background(), c.q)
		if !slices.Equal(ids, c.want) || n != len(c.want) || err != nil {
			t.Errorf("%+v: %q, counted %d, %v; want %q", c.q, sites(found), n, err, c.want)
		}
		c.q.Limit = 1
		if n, err := s.Count(context.Background(), c.q); n != len(c.want) || err != nil {
			t.Errorf("%+v: counted %d, %v; a limit is none of a count's", c.q, n, err)
		}
	}
}

// Among many findings a query means those that [dashboard.Query.Match] does, whether they
// are few or most.
func testMany(t *testing.T, s dashboard.Store) {
	var all []dashboard.Finding
	for r := range 20 {
		run := Run(fmt.Sprintf("log%d", r), fmt.Sprint("program", r%3))
		var findings []dashboard.Finding
		for i := range 30 {
			f := Finding(run, i)
			f.Probability = float64((r*31+i*17)%100) / 100
			if i%10 == 0 {
				f.Level = "CRITICAL"
			}
			findings = append(findings, f)
		}
		put(t, s, run, findings...)
		all = append(all, findings...)
	}
	slices.SortStableFunc(all, func(a, b dashboard.Finding) int {
		if a.Leak != b.Leak {
			return map[bool]int{true: -1, false: 1}[a.Leak]
		}
		return cmp.Or(cmp.Compare(b.Probability, a.Probability), cmp.Compare(b.Bytes, a.Bytes))
	})
	for _, q := range []dashboard.Query{
		{}, {Text: "site7 "}, {Text: "site7 ", Limit: 3}, {Text: "A.C:29"}, {Text: "log19"}, {Text: "log1"}, {Text: "main"}, {Text: "program1", Limit: 40}, {Text: "nowhere"},
		{Text: "site7 ", Program: "program1"}, {Text: "site10 ", Level: "CRITICAL"}, {Text: "log3", Log: "log3"}, {Program: "program2", Level: "CRITICAL"}, {Log: "log4", Limit: 7},
	} {
		want := []string{}
		for i := range all {
			if q.Match(&all[i]) {
				want = append(want, all[i].Log+": "+all[i].Site)
			}
		}
		if n, err := s.Count(context.Background(), q); n != len(want) || err != nil {
			t.Errorf("%+v: counted %d, %v, want %d", q, n, err, len(want))
		}
		if q.Limit > 0 {
			want = want[:q.Limit]
		}
		if got := sites(list(t, s, q)); !slices.Equal(got, want) {
			t.Errorf("%+v:\n%q\nwant\n%q", q, got, want)
		}
	}
}

// Names come out of logs, and may hold anything.
func testHostile(t *testing.T, s dashboard.Store) {
	for i, name := range []string{`'; DROP TABLE findings; --`, `"`, "a\x00b", "line\nbreak", "<script>", "%s%n", "\u202e", "日本", `\`} {
		run := Run(name, name)
		f := Finding(run, i)
		f.Site, f.Level = name, name
		put(t, s, run, f)
		for _, q := range []dashboard.Query{{Log: name}, {Program: name}, {Level: name}, {Text: name, Log: name}} {
			if found := list(t, s, q); len(found) != 1 || found[0].Site != name || found[0].Log != name {
				t.Errorf("%+v: %q", q, sites(found))
			}
		}
		if err := s.Add(context.Background(), dashboard.History{Snapshots: []dashboard.Snapshot{{Log: name, ID: name, Timestamp: Start, Live: 1}}}); err != nil {
			t.Error(err)
		}
		if got := history(t, s, dashboard.Window{Log: name, ID: name}).Snapshots; len(got) != 1 || got[0].Log != name {
			t.Errorf("%q: %+v", name, got)
		}
	}
}

// A decision holds until another, also where the log is put again without.
func testDecide(t *testing.T, s dashboard.Store) {
	ctx := context.Background()
	run := Run("a.log", "app")
	f, decided := Finding(run, 0), Finding(run, 2)
	decided.Decision = dashboard.Dismissed
	put(t, s, run, f, decided)
	want := func(first, second dashboard.Decision) {
		t.Helper()
		for id, want := range map[string]dashboard.Decision{f.ID: first, decided.ID: second} {
			if got, err := s.Get(ctx, id); err != nil || got.Decision != want {
				t.Errorf("decision %q, %v, want %q", got.Decision, err, want)
			}
		}
		if found := list(t, s, dashboard.Query{}); found[0].Decision != first || found[1].Decision != second {
			t.Errorf("listed %q and %q, want %q and %q", found[0].Decision, found[1].Decision, first, second)
		}
	}
	want("", dashboard.Dismissed)
	decide := func(id string, d dashboard.Decision) {
		t.Helper()
		if err := s.Decide(ctx, id, d); err != nil {
			t.Fatal(err)
		}
	}
	decide(f.ID, dashboard.Confirmed)
	want(dashboard.Confirmed, dashboard.Dismissed)
	decided.Decision = dashboard.Undecided
	put(t, s, run, f, decided)
	want(dashboard.Confirmed, dashboard.Dismissed)
	decide(f.ID, dashboard.Undecided)
	put(t, s, run, f, decided)
	want(dashboard.Undecided, dashboard.Dismissed)
}

func testSnapshots(t *testing.T, s dashboard.Store) {
	var all []dashboard.Snapshot
	for i := range 100 {
		all = append(all, dashboard.Snapshot{Log: "pid 1", ID: "x", Timestamp: Start.Add(time.Duration(i) * 10 * time.Second), Live: int64(i), Leaked: int64(i / 2)})
	}
	whole := dashboard.Snapshot{Log: "pid 1", Timestamp: Start, Live: 5}
	again := all[3]
	again.Live = 33
	add := func(h dashboard.History) {
		t.Helper()
		if err := s.Add(context.Background(), h); err != nil {
			t.Fatal(err)
		}
	}
	add(dashboard.History{Snapshots: append(slices.Clone(all[50:]), whole)})
	add(dashboard.History{Snapshots: all[:50]}) // a clock that was set back
	add(dashboard.History{Snapshots: []dashboard.Snapshot{again}})
	all[3] = again
	of := dashboard.Window{Log: "pid 1", ID: "x"}
	same(t, history(t, s, of).Snapshots, all)
	same(t, history(t, s, dashboard.Window{Log: "pid 1"}).Snapshots, []dashboard.Snapshot{whole})
	for _, w := range []dashboard.Window{{}, {ID: "x"}, {Log: "pid 2"}, {Log: "pid 1", ID: "y"}, {Log: "pid 1", ID: "x", Since: Start.Add(time.Hour)}} {
		same(t, history(t, s, w).Snapshots, []dashboard.Snapshot{})
	}
	of.Since, of.Until = all[10].Timestamp, all[90].Timestamp
	same(t, history(t, s, of).Snapshots, all[10:90])
	of.Since, of.Until = all[10].Timestamp.Add(time.Microsecond), all[90].Timestamp.Add(time.Microsecond)
	same(t, history(t, s, of).Snapshots, all[11:91])
	testThin(t, s, of)
}

// Of each part there is the last snapshot; all, if they are no more.
func testThin(t *testing.T, s dashboard.Store, w dashboard.Window) {
	all := history(t, s, w).Snapshots
	for _, points := range []int{1, 2, 7, 50, 80, 1000} {
		w.Points = points
		part := all[len(all)-1].Timestamp.Sub(all[0].Timestamp).Milliseconds()/int64(points) + 1
		last := map[int64]dashboard.Snapshot{}
		for _, p := range all {
			last[p.Timestamp.Sub(all[0].Timestamp).Milliseconds()/part] = p
		}
		want := []dashboard.Snapshot{}
		for _, p := range all {
			if last[p.Timestamp.Sub(all[0].Timestamp).Milliseconds()/part] == p {
				want = append(want, p)
			}
		}
		got := history(t, s, w).Snapshots
		same(t, got, want)
		if len(got) > points || len(got) == 0 {
			t.Errorf("%d snapshots where there may be %d", len(got), points)
		}
	}
}

func testAlerts(t *testing.T, s dashboard.Store) {
	p := 0.5
	at := func(n int) dashboard.Alert {
		return dashboard.Alert{ID: fmt.Sprint("run-", n), Timestamp: Start.Add(time.Duration(n) * time.Minute), Level: "WARNING", Log: "pid 1", Finding: fmt.Sprint(n % 2),
			Site: "f < main", StackTrace: []string{"f"}, SizeMB: 1, Bytes: 1e6, Probability: &p, FiredBy: []string{"model"}, Message: "1 MB at f"}
	}
	other := at(2)
	other.ID, other.Log = "other", "pid 2"
	all := []dashboard.Alert{at(0), at(1), at(2), other, at(3)}
	for _, h := range [][]dashboard.Alert{{all[4], all[1]}, {all[0], all[2], other}, {all[1]}, nil} {
		if err := s.Add(context.Background(), dashboard.History{Alerts: h}); err != nil {
			t.Fatal(err)
		}
	}
	twice := at(1)
	twice.Message = "told otherwise"
	if err := s.Add(context.Background(), dashboard.History{Alerts: []dashboard.Alert{twice}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		w    dashboard.Window
		want []dashboard.Alert
	}{
		{dashboard.Window{}, all},
		{dashboard.Window{Limit: 2}, all[3:]},
		{dashboard.Window{Log: "pid 2"}, all[3:4]},
		{dashboard.Window{Log: "pid 1", ID: "1"}, []dashboard.Alert{at(1), at(3)}},
		{dashboard.Window{ID: "0"}, []dashboard.Alert{at(0), at(2), other}},
		{dashboard.Window{Since: Start.Add(time.Minute), Until: Start.Add(3 * time.Minute)}, all[1:4]},
		{dashboard.Window{Until: Start}, []dashboard.Alert{}},
	} {
		same(t, history(t, s, c.w).Alerts, c.want)
	}
}

// Each change counts, and is told to who waits; what changes nothing need not.
func testVersion(t *testing.T, s dashboard.Store) {
	run := Run("a.log", "app")
	f := Finding(run, 0)
	for i, change := range []func() error{
		func() error { return s.Put(context.Background(), run, []dashboard.Finding{f}) },
		func() error { return s.Decide(context.Background(), f.ID, dashboard.Confirmed) },
		func() error {
			return s.Add(context.Background(), dashboard.History{Snapshots: []dashboard.Snapshot{{Log: "a.log", Timestamp: Start}}})
		},
	} {
		before, changed := s.Version()
		select {
		case <-changed:
			t.Errorf("change %d was told before it was made", i)
		default:
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Errorf("change %d was not told", i)
		}
		if after, _ := s.Version(); after <= before {
			t.Errorf("change %d: version %d, before it %d", i, after, before)
		}
	}
}

// Many write and read at once; what a reader sees is whole.
func testConcurrent(t *testing.T, s dashboard.Store) {
	ctx := context.Background()
	var all sync.WaitGroup
	for w := range 4 {
		run := Run(fmt.Sprint(w, ".log"), "app")
		all.Go(func() {
			for i := range 20 {
				findings := []dashboard.Finding{Finding(run, 2*i), Finding(run, 2*i+1)}
				err := s.Put(ctx, run, findings)
				err = errors.Join(err, s.Add(ctx, dashboard.History{Snapshots: []dashboard.Snapshot{{Log: run.Log, Timestamp: Start.Add(time.Duration(i) * time.Second)}}}))
				if err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range 20 {
				found, err := s.List(ctx, dashboard.Query{Log: run.Log})
				if err != nil || len(found) != 0 && len(found) != 2 {
					t.Errorf("%d findings, %v", len(found), err)
				}
			}
		})
	}
	all.Wait()
	for w := range 4 {
		if got := len(history(t, s, dashboard.Window{Log: fmt.Sprint(w, ".log")}).Snapshots); got != 20 {
			t.Errorf("%d snapshots, want 20", got)
		}
	}
	if n, err := s.Count(ctx, dashboard.Query{}); n != 8 || err != nil {
		t.Errorf("%d findings, %v, want 8", n, err)
	}
}
