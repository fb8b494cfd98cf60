package dashboard_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leakformer/detect"
	"leakformer/detect/dashboard"
	"leakformer/detect/detecttest"
)

// told is a history of the first finding.
func told(t *testing.T, store dashboard.Store) dashboard.History {
	t.Helper()
	found, err := store.List(t.Context(), dashboard.Query{})
	if err != nil {
		t.Fatal(err)
	}
	f, p := &found[0], 0.9
	h := dashboard.History{Alerts: []dashboard.Alert{{ID: "1", Timestamp: time.Now().UTC(), Level: "WARNING", Log: f.Log, Finding: f.ID, Site: f.Site,
		StackTrace: f.StackTrace, SizeMB: f.SizeMB, Bytes: f.Bytes, Probability: &p, FiredBy: []string{"model"}, Message: "it leaks"}}}
	for i := range 5 {
		h.Snapshots = append(h.Snapshots, dashboard.Snapshot{Log: f.Log, Timestamp: h.Alerts[0].Timestamp.Add(time.Duration(i) * time.Second), Live: int64(100 * i), Leaked: int64(10 * i)})
	}
	return h
}

// two is a store with two runs of a program: in the second one leak is gone, one is new,
// and one, which has moved, is larger.
func two(t *testing.T) *dashboard.Memory {
	t.Helper()
	store := &dashboard.Memory{}
	for _, run := range []struct {
		log    string
		blocks map[string]int
	}{{"old.log", map[string]int{"gone<main": 3, "both<main": 10}}, {"new.log", map[string]int{"both<main": 14, "new<main": 5}}} {
		log := detecttest.NewLog(run.log, "app")
		for _, site := range []string{"gone<main", "both<main", "new<main"} {
			for range run.blocks[site] {
				log.Alloc(site, 100)
			}
		}
		d := detect.Detector{Scorer: &detecttest.Scorer{Sites: map[string]float64{"gone": 0.9, "both": 0.8, "new": 0.7}}, Threshold: 0.5, Model: "fake"}
		if _, err := d.Detect(context.Background(), log.Scene(t), &dashboard.Collector{Store: store, Level: level}); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

func read[T any](t *testing.T, h http.Handler, target string) (v T) {
	t.Helper()
	w := call(t, h, "GET", target, "")
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: status %d, %v: %s", target, w.Code, err, w.Body)
	}
	return v
}

func TestCompare(t *testing.T) {
	h := dashboard.New(dashboard.Config{Store: two(t)})
	c := read[dashboard.Comparison](t, h, "/api/compare?a=log:old.log&b=log:new.log")
	bytes := func(s *dashboard.SiteBytes) int64 {
		if s == nil {
			return -1
		}
		return s.Bytes
	}
	var got []string
	for _, s := range c.Sites {
		got = append(got, s.Site)
		want := map[string][3]int64{"new < main": {-1, 500, 500}, "both < main": {1000, 1400, 400}, "gone < main": {300, -1, -300}}[s.Site]
		if have := [3]int64{bytes(s.A), bytes(s.B), s.Change}; have != want {
			t.Errorf("%s: %v, want %v", s.Site, have, want)
		}
	}
	if want := []string{"new < main", "both < main", "gone < main"}; !slices.Equal(got, want) || c.A != (dashboard.Side{Runs: 1, Leaks: 2, Bytes: 1300}) || c.B != (dashboard.Side{Runs: 1, Leaks: 2, Bytes: 1900}) {
		t.Errorf("%q, %+v, %+v", got, c.A, c.B)
	}
	// A program is the mean of its runs.
	c = read[dashboard.Comparison](t, h, "/api/compare?a=program:app&b=log:new.log")
	if c.A != (dashboard.Side{Runs: 2, Leaks: 3, Bytes: 1600}) || bytes(c.Sites[0].A) != 250 || c.Sites[0].Change != 250 {
		t.Errorf("%+v, %+v", c.A, c.Sites[0])
	}
}

// Sites of another build are the same where their functions have the same names.
func TestCompareBuilds(t *testing.T) {
	store := &dashboard.Memory{}
	for i, log := range []string{"a", "b"} {
		f := dashboard.Finding{ID: log, Log: log, Site: "f", Leak: true, Bytes: int64(100 * (i + 1)), Key: detect.SiteKey{Exact: 1 << i, Names: 7}}
		other := dashboard.Finding{ID: log + "2", Log: log, Site: "nameless", Leak: true, Bytes: 1, Key: detect.SiteKey{Exact: 16 << i}}
		if err := store.Put(t.Context(), dashboard.Run{Log: log}, []dashboard.Finding{f, other}); err != nil {
			t.Fatal(err)
		}
	}
	c := read[dashboard.Comparison](t, dashboard.New(dashboard.Config{Store: store}), "/api/compare?a=log:a&b=log:b")
	if len(c.Sites) != 3 || c.Sites[0].A == nil || c.Sites[0].B == nil || c.Sites[0].Change != 100 {
		t.Errorf("%+v", c.Sites)
	}
}

func TestFlame(t *testing.T) {
	h := dashboard.New(dashboard.Config{Store: two(t)})
	outline := func(f dashboard.Flame) string {
		var b strings.Builder
		var walk func(depth int, v any)
		walk = func(depth int, v any) {
			m := v.(map[string]any)
			b.WriteString(strings.Repeat(">", depth) + m["name"].(string) + " ")
			calls, _ := m["calls"].([]any)
			for _, c := range calls {
				walk(depth+1, c)
			}
		}
		text, _ := json.Marshal(f.Graph)
		var v any
		json.Unmarshal(text, &v)
		walk(0, v)
		return strings.TrimSpace(b.String())
	}
	for query, want := range map[string]string{
		"":                               "all leaks >main >>both >>new >>gone",
		"?invert=1":                      "all leaks >both >>main >new >>main >gone >>main",
		"?hide=^main$":                   "all leaks >both >new >gone",
		"?hide=.":                        "all leaks",
		"?log=old.log":                   "all leaks >main >>both >>gone",
		"?q=new+<":                       "all leaks >main >>new",
		"?program=other":                 "all leaks",
		"?level=" + url.QueryEscape("x"): "all leaks",
	} {
		if got := outline(read[dashboard.Flame](t, h, "/api/flame"+query)); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	f := read[dashboard.Flame](t, h, "/api/flame")
	if f.Graph.Bytes != 3200 || f.Functions[0].Name != "main" || f.Functions[0].Share != "100.00" || f.Functions[1].Name != "both" {
		t.Errorf("%d bytes, %+v", f.Graph.Bytes, f.Functions)
	}
	for _, bad := range []string{"?hide=(", "?hide=" + strings.Repeat("x", 501)} {
		if w := call(t, h, "GET", "/api/flame"+bad, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%.20s: status %d", bad, w.Code)
		}
	}
}

// An export has what the filter means, as the tools for it read it.
func TestExport(t *testing.T) {
	h := dashboard.New(dashboard.Config{Store: scored(t, false), Version: "1.2.3"})
	export := func(format, query string) []byte {
		w := call(t, h, "GET", "/api/export?format="+format+query, "")
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Disposition"), `attachment; filename="leaks.`) {
			t.Fatalf("%s: status %d, %v: %s", format, w.Code, w.Header(), w.Body)
		}
		return w.Body.Bytes()
	}
	var found []dashboard.Finding
	if err := json.Unmarshal(export("json", ""), &found); err != nil || len(found) != 2 || found[0].Course == nil || found[0].Sequence == nil || len(found[0].Frames) != 2 {
		t.Errorf("json: %v: %+v", err, found)
	}
	rows, err := csv.NewReader(bytes.NewReader(export("csv", "&level=CRITICAL"))).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][1] != "leak < main" || rows[1][5] != "2000" {
		t.Errorf("csv: %v: %q", err, rows)
	}
	var sarif struct {
		Version string
		Runs    []struct {
			Tool    struct{ Driver struct{ Version string } }
			Results []struct {
				Level        string
				Fingerprints map[string]string `json:"partialFingerprints"`
			}
		}
	}
	if err := json.Unmarshal(export("sarif", ""), &sarif); err != nil || sarif.Version != "2.1.0" || len(sarif.Runs) != 1 || len(sarif.Runs[0].Results) != 2 ||
		sarif.Runs[0].Tool.Driver.Version != "1.2.3" || sarif.Runs[0].Results[0].Fingerprints["leakformerSite/v1"] == "0000000000000000" {
		t.Errorf("sarif: %v: %+v", err, sarif)
	}
	if got := string(export("collapsed", "&q=leak")); got != "main;leak 2000\n" {
		t.Errorf("collapsed: %q", got)
	}
	page := string(export("html", ""))
	if !strings.Contains(page, "script&gt;alert(1)") || strings.Contains(page, "script>alert") || !strings.Contains(page, "<polyline") || !strings.Contains(page, "20 blocks, 2.0 KiB") {
		t.Errorf("html: %.3000s", page[strings.Index(page, "<body>"):])
	}
	file := filepath.Join(t.TempDir(), "leaks.pb.gz")
	if err := os.WriteFile(file, export("pprof", ""), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "tool", "pprof", "-top", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "2000B 99.50%") {
		t.Errorf("go tool pprof: %v: %s", err, out)
	}
}

// The events of a site are those of the blocks that are meant, and of others.
func TestSequence(t *testing.T) {
	log := detecttest.NewLog("app.log", "app")
	for i := range 200 {
		b := log.Alloc("leak<main", 100)
		if i < 100 {
			log.Free(b)
		}
	}
	store := &dashboard.Memory{}
	d := detect.Detector{Scorer: &detecttest.Scorer{Sites: map[string]float64{"leak": 0.9}}, Threshold: 0.5}
	if _, err := d.Detect(context.Background(), log.Scene(t), &dashboard.Collector{Store: store, Level: level}); err != nil {
		t.Fatal(err)
	}
	h := dashboard.New(dashboard.Config{Store: store})
	f := read[dashboard.Finding](t, h, "/api/memory-leaks/"+list(t, h, "")[0].ID)
	s := f.Sequence
	if s == nil || s.Blocks != 200 || s.Freed != 100 || len(s.Shown) != 60 {
		t.Fatalf("%+v", s)
	}
	first, last := s.Shown[0], s.Shown[59]
	if first.Died == nil || first.Died.Event != 1 || first.Leaked || first.Size != 100 || first.Address != "0x1000" || last.Died != nil || !last.Leaked || last.Born.Event != 299 {
		t.Errorf("%+v to %+v", first, last)
	}
	if !slices.IsSortedFunc(s.Shown, func(a, b dashboard.Life) int { return int(a.Born.Event) - int(b.Born.Event) }) {
		t.Error("not in order of birth")
	}
}
