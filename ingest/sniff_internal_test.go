package ingest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A log looks like its own format and like no other, so that the order of the table
// matters only where one log holds two formats.
func TestSniffersAgree(t *testing.T) {
	// Valgrind writes its report behind the trace.
	both := map[string]string{"trace-malloc": "memcheck"}
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]bool{}
	for _, f := range formats {
		byName[f.Name] = true
	}
	read := 0
	for _, file := range files {
		own := filepath.Base(filepath.Dir(file))
		if strings.HasSuffix(file, ".golden") || !byName[own] {
			continue
		}
		read++
		head := headOf(t, file)
		for _, f := range formats {
			if looks := f.sniff(head) == ""; looks != (f.Name == own) && (!looks || both[own] != f.Name) {
				t.Errorf("%s: looks like %s: %v", file, f.Name, looks)
			}
		}
	}
	if read == 0 {
		t.Fatal("no logs")
	}
}

func headOf(t *testing.T, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := newInput(f)
	defer in.close()
	plain, err := in.unpack()
	if err != nil {
		t.Fatal(err)
	}
	head, err := newLines(plain).peek(peekSize)
	if err != nil {
		t.Fatal(err)
	}
	return head
}
