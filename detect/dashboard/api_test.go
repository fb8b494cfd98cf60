package dashboard_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"leakformer/detect/dashboard"
)

// document is what the test needs of an OpenAPI document.
type document struct {
	Paths      map[string]map[string]json.RawMessage
	Components struct {
		Schemas   map[string]*schema
		Responses map[string]response
	}
}

type (
	operation struct {
		Parameters []json.RawMessage
		Responses  map[string]response
	}
	response struct {
		Ref     string `json:"$ref"`
		Content map[string]struct{ Schema *schema }
	}
	schema struct {
		Ref        string `json:"$ref"`
		Type       any
		Properties map[string]*schema
		Required   []string
		Items      *schema
		Enum       []any
		Minimum    *float64
		Maximum    *float64
		Format     string
	}
)

func described(t *testing.T, h http.Handler) *document {
	t.Helper()
	d := &document{}
	if err := json.Unmarshal(call(t, h, "GET", "/api/openapi.json", "").Body.Bytes(), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// check holds a value against a schema: its type, and of objects that all members are
// described and those that have to be are there.
func (d *document) check(s *schema, at string, v any) (wrong []string) {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		if s = d.Components.Schemas[name]; s == nil {
			return []string{at + ": there is no schema " + name}
		}
	}
	bad := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	types, _ := s.Type.([]any)
	if types == nil {
		types = []any{s.Type}
	}
	kind := "null"
	switch v := v.(type) {
	case map[string]any:
		kind = "object"
		for name, member := range v {
			if s.Properties[name] == nil {
				bad("%s is not described", name)
				continue
			}
			wrong = append(wrong, d.check(s.Properties[name], at+"."+name, member)...)
		}
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				bad("there is no %s", name)
			}
		}
	case []any:
		kind = "array"
		for i, item := range v {
			wrong = append(wrong, d.check(s.Items, fmt.Sprintf("%s[%d]", at, i), item)...)
		}
	case string:
		kind = "string"
	case bool:
		kind = "boolean"
	case float64:
		kind = "number"
		if v == float64(int64(v)) && !slices.Contains(types, "number") {
			kind = "integer"
		}
		if s.Minimum != nil && v < *s.Minimum || s.Maximum != nil && v > *s.Maximum {
			bad("%v is out of bounds", v)
		}
	}
	if !slices.Contains(types, any(kind)) {
		bad("%v is of type %s, want %v", v, kind, s.Type)
	}
	if s.Enum != nil && !slices.Contains(s.Enum, v) {
		bad("%v is none of %v", v, s.Enum)
	}
	return wrong
}

// The description names every path that the server has, and no other; every answer is
// what it says.
func TestOpenAPI(t *testing.T) {
	store := scored(t, true)
	if err := store.Add(t.Context(), told(t, store)); err != nil {
		t.Fatal(err)
	}
	h := dashboard.New(dashboard.Config{Store: store, Decide: func(*dashboard.Finding, dashboard.Decision) error { return nil }})
	d := described(t, h)
	var paths []string
	for path, methods := range d.Paths {
		for method := range methods {
			if method != "parameters" {
				paths = append(paths, strings.ToUpper(method)+" "+path)
			}
		}
	}
	want := append(dashboard.API(), "GET /healthz")
	slices.Sort(paths)
	slices.Sort(want)
	if !slices.Equal(paths, want) {
		t.Errorf("described are %q, and there are %q", paths, want)
	}
	id := list(t, h, "")[0].ID
	for _, c := range []struct {
		path, query, body string
		status            string
	}{
		{"/api/memory-leaks", "?program=app&level=CRITICAL&q=leak&log=logs/app.log&decision=&limit=5", "", "200"},
		{"/api/memory-leaks", "?limit=0", "", "400"},
		{"/api/memory-leaks/" + id, "", "", "200"},
		{"/api/memory-leaks/0", "", "", "404"},
		{"/api/memory-leaks/" + id + "/decision", "", `{"decision": "confirmed"}`, "200"},
		{"/api/memory-leaks/" + id + "/decision", "", `{"decision": "maybe"}`, "400"},
		{"/api/memory-leaks/0/decision", "", `{"decision": ""}`, "404"},
		{"/api/runs", "", "", "200"},
		{"/api/history", "?log=logs/app.log&since=2026-01-01T00:00:00Z&until=2036-01-01T00:00:00Z&points=10&limit=10", "", "200"},
		{"/api/history", "?since=yesterday&points=many", "", "400"},
		{"/api/flame", "?hide=^main$&invert=yes", "", "200"},
		{"/api/flame", "?hide=(", "", "400"},
		{"/api/compare", "?a=log:logs/app.log&b=program:app", "", "200"},
		{"/api/compare", "?a=logs/app.log&b=program:", "", "400"},
		{"/api/export", "?format=json", "", "200"},
		{"/api/export", "?format=exe", "", "400"},
		{"/healthz", "", "", "200"},
	} {
		method, body := "GET", c.body
		if body != "" {
			method = "POST"
		}
		w := call(t, h, method, c.path+c.query, body, "Content-Type", "application/json")
		s := d.answer(t, strings.ToLower(method), strings.Replace(strings.Replace(c.path, id, "{id}", 1), "/0", "/{id}", 1), c.status)
		var v any
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || fmt.Sprint(w.Code) != c.status {
			t.Errorf("%s%s: status %d, want %s, %v: %.200s", c.path, c.query, w.Code, c.status, err, w.Body)
			continue
		}
		for _, wrong := range d.check(s, c.path+c.query, v) {
			t.Error(wrong)
		}
	}
}

// answer is the schema of an answer in JSON.
func (d *document) answer(t *testing.T, method, path, status string) *schema {
	t.Helper()
	var o operation
	if err := json.Unmarshal(d.Paths[path][method], &o); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	r := o.Responses[status]
	if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
		r = d.Components.Responses[name]
	}
	s := r.Content["application/json"].Schema
	if s == nil {
		t.Fatalf("%s %s: no answer %s is described, but %q", method, path, status, slices.Sorted(maps.Keys(o.Responses)))
	}
	return s
}
