package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"leakformer/detect"
)

// IsJSONLines reports whether a file that begins so holds findings as [JSONLines]
// writes them.
func IsJSONLines(head []byte) bool { return bytes.HasPrefix(head, []byte(`{"type":"`)) }

// ReadLeaks reads which sites leak by findings that [JSONLines] wrote. Errors name the
// file and the line. Findings that do not end in a summary are an error: some may be
// missing.
func ReadLeaks(name string, r io.Reader) ([]detect.SiteKey, error) {
	var leaks []detect.SiteKey
	lines := bufio.NewReader(r)
	last := ""
	for n := 1; ; n++ {
		text, err := lines.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		if err == io.EOF && len(text) == 0 {
			break
		}
		var f struct {
			Type string
			Leak bool
			Key  *detect.SiteKey
		}
		if err := json.Unmarshal(text, &f); err != nil {
			return nil, fmt.Errorf("%s:%d: not a finding: %v", name, n, err)
		}
		switch {
		case f.Type != "finding" && f.Type != "summary":
			return nil, fmt.Errorf("%s:%d: an object of type %q: want a finding or a summary", name, n, f.Type)
		case f.Leak && f.Key == nil:
			return nil, fmt.Errorf("%s:%d: the finding has no key: write it anew with leakformer score --format jsonl", name, n)
		case f.Leak:
			leaks = append(leaks, *f.Key)
		}
		last = f.Type
	}
	if last != "summary" {
		return nil, fmt.Errorf("%s: ends without a summary: findings may be missing", name)
	}
	return leaks, nil
}
