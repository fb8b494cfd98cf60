package dashboard_test

import (
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"leakformer/detect/dashboard"
)

// The chart library is the one that its description names, compressed or not.
func TestChartLibrary(t *testing.T) {
	readme, err := os.ReadFile("assets/echarts/README.md")
	if err != nil {
		t.Fatal(err)
	}
	h := dashboard.New(dashboard.Config{Store: &dashboard.Memory{}})
	plain := call(t, h, "GET", "/echarts.js", "")
	sum := fmt.Sprintf("%x", sha256.Sum256(plain.Body.Bytes()))
	if !strings.Contains(string(readme), sum) {
		t.Errorf("SHA-256 %s is not that of the description: go generate, and look what has changed", sum)
	}
	small := call(t, h, "GET", "/echarts.js", "", "Accept-Encoding", "br, gzip")
	if small.Header().Get("Content-Encoding") != "gzip" || small.Header().Get("Content-Type") != plain.Header().Get("Content-Type") || small.Body.Len() > 300_000 {
		t.Errorf("%d bytes, %v", small.Body.Len(), small.Header())
	}
	r, err := gzip.NewReader(small.Body)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(r); err != nil || fmt.Sprintf("%x", sha256.Sum256(data)) != sum {
		t.Errorf("compressed, it is another: %v", err)
	}
	if w := call(t, h, "GET", "/echarts.js", "", "If-None-Match", plain.Header().Get("ETag")); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("what is there already: status %d, %d bytes", w.Code, w.Body.Len())
	}
	if w := call(t, h, "GET", "/echarts.txt", ""); !strings.Contains(w.Body.String(), "Apache License") || !strings.Contains(w.Body.String(), "Baidu") {
		t.Error("the licences are missing")
	}
}
