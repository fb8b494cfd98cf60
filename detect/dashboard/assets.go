package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// The page is plain HTML, CSS and JavaScript. Its one library comes along compressed:
// assets/echarts/README.md says where it is from.
//
//go:generate assets/echarts/fetch.sh
//go:embed assets/*.* assets/echarts/echarts.js.gz assets/echarts/LICENSE.txt
var assets embed.FS

// asset serves a file of the page. One that is compressed stays so for who can read it.
func asset(name string) http.HandlerFunc {
	data, err := assets.ReadFile("assets/" + name)
	plain := data
	plainName, compressed := strings.CutSuffix(name, ".gz")
	if compressed && err == nil {
		plain, err = decompress(data)
	}
	if err != nil {
		panic(err) // the program was built without it
	}
	sum := sha256.Sum256(data)
	tag := hex.EncodeToString(sum[:8])
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", mime.TypeByExtension(path.Ext(plainName)))
		h.Set("Cache-Control", "no-cache") // it may be kept, but asked for again
		h.Set("Vary", "Accept-Encoding")
		body := plain
		if compressed && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = data
		}
		h.Set("ETag", `"`+tag+h.Get("Content-Encoding")+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}
}

func decompress(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
