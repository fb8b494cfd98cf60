package dashboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"leakformer/detect"
	"leakformer/detect/dashboard"
	"leakformer/detect/detecttest"
)

func level(weighted float64, frames int) string {
	if weighted > 1000 {
		return "CRITICAL"
	}
	return "INFO"
}

// scored is a store with a run of two leaks, one of which has a name that is markup.
func scored(t *testing.T, decidable bool) *dashboard.Memory {
	t.Helper()
	log := detecttest.NewLog("logs/app.log", "app")
	for range 20 {
		log.Alloc("leak<main", 100)
		log.Free(log.Alloc("fine<main", 10))
	}
	log.Alloc("<script>alert(1)</script><main", 10)
	store := &dashboard.Memory{}
	c := &dashboard.Collector{Store: store, Level: level}
	if decidable {
		c.Decided = func(*detect.Finding) (dashboard.Decision, bool) { return dashboard.Undecided, true }
	}
	d := detect.Detector{Scorer: &detecttest.Scorer{Sites: map[string]float64{"leak": 0.9, "": 0.8}}, Threshold: 0.5, All: true, Model: "fake"}
	if _, err := d.Detect(context.Background(), log.Scene(t), c); err != nil {
		t.Fatal(err)
	}
	return store
}

func call(t *testing.T, h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "localhost:7787"
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func list(t *testing.T, h http.Handler, query string) []dashboard.Finding {
	t.Helper()
	w := call(t, h, "GET", "/api/memory-leaks"+query, "")
	var found []dashboard.Finding
	if err := json.Unmarshal(w.Body.Bytes(), &found); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: status %d, %v: %s", query, w.Code, err, w.Body)
	}
	return found
}

func TestList(t *testing.T) {
	h := dashboard.New(dashboard.Config{Store: scored(t, false)})
	found := list(t, h, "")
	if len(found) != 2 {
		t.Fatalf("%d findings, want 2: %+v", len(found), found)
	}
	f := found[0]
	if f.Site != "leak < main" || f.Bytes != 2000 || f.Blocks != 20 || f.SizeMB != 0.002 || f.Probability != 0.9 || !f.Leak || f.Level != "CRITICAL" ||
		!slices.Equal(f.StackTrace, []string{"leak in /bin/test", "main in /bin/test"}) || f.Timestamp.IsZero() || f.Course != nil {
		t.Errorf("%+v", f)
	}
	for query, want := range map[string]int{"?q=SCRIPT": 1, "?q=bin/test": 2, "?q=app.log": 2, "?q=nothing": 0, "?level=CRITICAL": 1, "?log=logs/app.log": 2, "?log=app": 0, "?limit=1": 1} {
		if got := len(list(t, h, query)); got != want {
			t.Errorf("%s: %d findings, want %d", query, got, want)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=x", "?limit=100000"} {
		if w := call(t, h, "GET", "/api/memory-leaks"+query, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, w.Code)
		}
	}
}

// The course ends with what is live at the end, of which the leaked bytes are a part.
func TestCourse(t *testing.T) {
	h := dashboard.New(dashboard.Config{Store: scored(t, false)})
	w := call(t, h, "GET", "/api/memory-leaks/"+list(t, h, "")[0].ID, "")
	var f dashboard.Finding
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || f.Course == nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	c := f.Course
	n := len(c.Events)
	if len(c.Live) != n || len(c.Leaked) != n || len(c.Seconds) != n || c.Live[n-1] != 2000 || c.Leaked[n-1] != 2000 || c.Events[n-1] != 61 || c.Seconds[n-1] != 0.06 {
		t.Errorf("%+v", c)
	}
	if !slices.IsSorted(c.Live) || c.Live[0] != 100 || c.Live[n/2] < 900 || c.Live[n/2] > 1100 {
		t.Errorf("live bytes do not grow evenly: %v", c.Live)
	}
}

// What JSON gives of a name that is markup cannot be markup either.
func TestEscaping(t *testing.T) {
	h := dashboard.New(dashboard.Config{Store: scored(t, false)})
	for _, path := range []string{"/api/memory-leaks", "/metrics", "/"} {
		w := call(t, h, "GET", path, "")
		if strings.Contains(w.Body.String(), "<script>") {
			t.Errorf("%s has a name out of the log as it is", path)
		}
		if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'") || strings.Contains(got, "unsafe") {
			t.Errorf("%s: policy %q", path, got)
		}
	}
}

func TestDecide(t *testing.T) {
	store := scored(t, true)
	var kept []string
	fail := false
	cfg := dashboard.Config{Store: store, Decide: func(f *dashboard.Finding, d dashboard.Decision) error {
		if fail {
			return errors.New("disk full")
		}
		kept = append(kept, f.Site+": "+string(d))
		return nil
	}}
	h := dashboard.New(cfg)
	leak := list(t, h, "")[0]
	target := "/api/memory-leaks/" + leak.ID + "/decision"
	post := func(h http.Handler, target, body string, header ...string) int {
		return call(t, h, "POST", target, body, append([]string{"Content-Type", "application/json"}, header...)...).Code
	}
	for _, bad := range []struct {
		target, body string
		want         int
		header       []string
	}{
		{target, `{"decision":"perhaps"}`, 400, nil},
		{target, `{}`, 400, nil},
		{target, `{"decision":"confirmed","more":1}`, 400, nil},
		{target, `{"decision":"` + strings.Repeat("x", 5000) + `"}`, 400, nil},
		{target, `{"decision":"confirmed"}`, 400, []string{"Content-Type", "text/plain"}},
		{target, `{"decision":"confirmed"}`, 403, []string{"Sec-Fetch-Site", "cross-site"}},
		{target, `{"decision":"confirmed"}`, 403, []string{"Host", "evil.example"}},
		{"/api/memory-leaks/0/decision", `{"decision":"confirmed"}`, 404, nil},
	} {
		if got := post(h, bad.target, bad.body, bad.header...); got != bad.want {
			t.Errorf("%s %.60s %v: status %d, want %d", bad.target, bad.body, bad.header, got, bad.want)
		}
	}
	if got := post(dashboard.New(dashboard.Config{Store: store}), target, `{"decision":"confirmed"}`); got != http.StatusConflict {
		t.Errorf("status %d where nothing is kept", got)
	}
	fail = true
	if got := post(h, target, `{"decision":"confirmed"}`); got != 500 || list(t, h, "")[0].Decision != dashboard.Undecided {
		t.Errorf("status %d, decision %q where it could not be kept", got, list(t, h, "")[0].Decision)
	}
	fail = false
	if got := post(h, target, `{"decision":"confirmed"}`); got != 200 || list(t, h, "")[0].Decision != dashboard.Confirmed {
		t.Errorf("status %d, decision %q", got, list(t, h, "")[0].Decision)
	}
	if want := []string{"leak < main: confirmed"}; !slices.Equal(kept, want) {
		t.Errorf("kept %q, want %q", kept, want)
	}
	if got := call(t, h, "GET", "/metrics", "").Body.String(); !strings.Contains(got, `leakformer_decisions{decision="confirmed"} 1`) ||
		!strings.Contains(got, `leakformer_leaked_bytes{log="logs/app.log"} 2010`) || !strings.Contains(got, `leakformer_http_requests_total{code="403"} 2`) {
		t.Error(got)
	}
}

func TestAccess(t *testing.T) {
	store := scored(t, false)
	open, closed := dashboard.New(dashboard.Config{Store: store}), dashboard.New(dashboard.Config{Store: store, Token: "s3cret"})
	for _, c := range []struct {
		h      http.Handler
		target string
		want   int
		header []string
	}{
		{open, "/", 200, nil},
		{open, "/", 200, []string{"Host", "[::1]:7787"}},
		{open, "/", 403, []string{"Host", "evil.example:7787"}},
		{open, "/healthz", 200, nil},
		{open, "/nothing", 404, nil},
		{open, "/assets/page.html", 404, nil},
		{open, "/%2e%2e/%2e%2e/etc/passwd", 404, nil},
		{open, "/etc/passwd", 404, nil},
		{open, "/api/memory-leaks/..%2f..%2fetc", 404, nil},
		{closed, "/", 401, nil},
		{closed, "/?token=wrong", 401, nil},
		{closed, "/?token=s3cret", 303, nil},
		{closed, "/api/memory-leaks?token=s3cret", 401, nil}, // addresses end up in logs
		{closed, "/metrics", 401, []string{"Authorization", "Bearer wrong"}},
		{closed, "/api/export?format=csv", 401, nil},
		{closed, "/echarts.js", 401, nil},
		{closed, "/metrics", 200, []string{"Authorization", "Bearer s3cret", "Host", "leaks.example"}},
		{closed, "/page.js", 200, []string{"Cookie", "leakformer=s3cret"}},
		{closed, "/healthz", 200, nil},
	} {
		if got := call(t, c.h, "GET", c.target, "", c.header...).Code; got != c.want {
			t.Errorf("%s %v: status %d, want %d", c.target, c.header, got, c.want)
		}
	}
	if w := call(t, closed, "GET", "/?token=s3cret", ""); w.Header().Get("Location") != "/" || !strings.Contains(w.Header().Get("Set-Cookie"), "HttpOnly; SameSite=Strict") {
		t.Errorf("%v", w.Header())
	}
	if w := call(t, open, "DELETE", "/api/memory-leaks", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: status %d", w.Code)
	}
}

func TestRate(t *testing.T) {
	h := dashboard.New(dashboard.Config{Store: &dashboard.Memory{}, Rate: 5})
	refused := 0
	for range 30 {
		if call(t, h, "GET", "/healthz", "").Code == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < 15 || refused > 20 {
		t.Errorf("%d of 30 requests at once refused, want 20 at 5 a second", refused)
	}
}

// A stream tells of each change, and ends when the client goes; no more are open than
// may be.
func TestEvents(t *testing.T) {
	store := scored(t, false)
	server := httptest.NewServer(dashboard.New(dashboard.Config{Store: store, Streams: 1, Quiet: time.Millisecond}))
	defer server.Close()
	ctx, leave := context.WithTimeout(context.Background(), 20*time.Second)
	defer leave()
	open := func() *http.Response {
		r, _ := http.NewRequestWithContext(ctx, "GET", server.URL+"/api/events", nil)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	first := open()
	defer first.Body.Close()
	lines := bufio.NewScanner(first.Body)
	next := func() string {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return data
			}
		}
		return "ended: " + lines.Err().Error()
	}
	if got := next(); got != "1" {
		t.Errorf("first event %s, want 1", got)
	}
	second := open()
	second.Body.Close()
	if second.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a second stream: status %d", second.StatusCode)
	}
	all, _ := store.List(ctx, dashboard.Query{})
	if err := store.Decide(ctx, all[0].ID, dashboard.Dismissed); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "2" {
		t.Errorf("second event %s, want 2", got)
	}
}

const summaryLine = `{"type":"summary","log":"a.log","model":"m","threshold":0.5,"events":9,"cut":9,"sites":2,"leaks":1,"leaked":{"blocks":1,"bytes":5},"outstanding":{"blocks":1,"bytes":5},"report":null}` + "\n"

func TestRead(t *testing.T) {
	f, err := os.Open("../report/testdata/findings.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	store := &dashboard.Memory{}
	if err := dashboard.Read(context.Background(), "findings.jsonl", f, store, level); err != nil {
		t.Fatal(err)
	}
	found, _ := store.List(context.Background(), dashboard.Query{})
	runs, _ := store.Runs(context.Background())
	if len(runs) != 1 || runs[0].Leaks != 1 || runs[0].LeakedBytes != 800 || len(found) != 2 || found[0].Site != "leak < main" || found[0].Bytes != 800 ||
		found[0].First.Line != 10 || found[0].Program != runs[0].Program || found[0].StackTrace[1] != "main in /bin/test" || found[0].ID == found[1].ID {
		t.Errorf("%+v\n%+v", runs, found)
	}
	if whole, err := store.Get(context.Background(), found[0].ID); err != nil || len(whole.Attribution) == 0 {
		t.Errorf("%+v, %v", whole, err)
	}
}

func TestReadBad(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "x: ends without a summary"},
		{"{}\n", `x:1: an object of type "": want`},
		{summaryLine + "nonsense\n", "x:2: invalid character"},
		{summaryLine + `{"type":"finding","probability":0.5}`, "x: ends without a summary"},
		{`{"type":"finding","probability":7}` + "\n" + summaryLine, "x:1: probability 7: want 0 to 1"},
		{`{"type":"finding","frames":5}` + "\n" + summaryLine, "x:1: json: cannot unmarshal number"},
		{`{"type":"summary","leaks":"many"}`, "x:1: json: cannot unmarshal string"},
	} {
		err := dashboard.Read(context.Background(), "x", strings.NewReader(c.text), &dashboard.Memory{}, level)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%.50q: %v, want %s", c.text, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	if data, err := os.ReadFile("../report/testdata/findings.jsonl"); err == nil {
		f.Add(string(data))
	}
	f.Add(summaryLine)
	f.Fuzz(func(t *testing.T, text string) {
		store := &dashboard.Memory{}
		if dashboard.Read(context.Background(), "x", strings.NewReader(text), store, level) != nil {
			return
		}
		h := dashboard.New(dashboard.Config{Store: store})
		for _, path := range []string{"/api/memory-leaks", "/api/runs", "/metrics"} {
			if w := call(t, h, "GET", path, ""); w.Code != http.StatusOK {
				body, _ := io.ReadAll(w.Body)
				t.Errorf("%s: status %d: %s", path, w.Code, body)
			}
		}
	})
}
