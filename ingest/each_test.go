package ingest_test

import (
	"fmt"
	"strings"
	"testing"

	"leakformer/ingest"
)

// Each hands out what Events does, also from a Source of another kind.
func TestEach(t *testing.T) {
	const log = "v 10400 3\nt 1 0\n+ 8 1 10\n+ 9 1 10\nbad\n- 10\n- 10\n"
	type other struct{ ingest.Source }
	open := func() ingest.Source {
		src, err := ingest.NewSource("log", strings.NewReader(log), ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	for name, src := range map[string]ingest.Source{"log": open(), "other": other{open()}} {
		var got, want []string
		for e, err := range open().Events() {
			want = append(want, fmt.Sprint(e, err))
		}
		ingest.Each(src, func(e *ingest.Event, err error) bool {
			got = append(got, fmt.Sprint(*e, err))
			return len(got) < 5
		})
		if len(want) != 6 || fmt.Sprint(got) != fmt.Sprint(want[:5]) {
			t.Errorf("%s:\n%v, want\n%v", name, got, want)
		}
	}
}
