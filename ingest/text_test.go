package ingest_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"leakformer/ingest"
)

func TestAppendText(t *testing.T) {
	for want, e := range map[string]ingest.Event{
		"alloc seq=0 line=7 block=0 addr=0x4a size=24 stack=1 pid=31 tid=32 comm=\"a \\\"b\\xff\" time=10ms": {
			Op: ingest.Alloc, Line: 7, Addr: 0x4a, Size: 24, Count: 1, Stack: 1, PID: 31, TID: 32, Comm: "a \"b\xff", Time: 10 * time.Millisecond},
		"free seq=3 line=0 block=-1 size=0 stack=0 realloc inferred approximate": {
			Op: ingest.Free, Seq: 3, Block: -1, Count: 1, Flags: ingest.Realloc | ingest.Inferred | ingest.Approximate},
		"outstanding seq=0 line=1 block=0 size=24 count=3 loss=\"possibly lost\" scan=2 stack=0": {
			Op: ingest.Outstanding, Line: 1, Size: 24, Count: 3, Loss: ingest.Possible, Scan: 2},
	} {
		if got := string(ingest.AppendText([]byte("> "), e)); got != "> "+want {
			t.Errorf("got  %s\nwant > %s", got, want)
		}
	}
}

// Names that would break a line or are no text are quoted.
func TestAppendStackText(t *testing.T) {
	s := ingest.NewStacks()
	var ids []ingest.FrameID
	for _, f := range []ingest.Frame{
		{Function: "f(int, char)", File: "/src/a b.c", Line: 12, Module: "/bin/a", Address: 0x1f, Inlined: true},
		{Function: "bad\xffname", File: "new\nline"}, {Address: 5, Module: "m"}, {},
	} {
		ids = append(ids, s.Frame(f))
	}
	want := "stack 1\n\t0x1f f(int, char) at /src/a b.c:12 in /bin/a inlined\n\t0x0 \"bad\\xffname\" at \"new\\nline\"\n\t0x5 in m\n\t0x0\n"
	if got := string(ingest.AppendStackText(nil, s, s.Stack(ids))); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Bad records stand where they were met, and the report ends the text.
func TestWriteText(t *testing.T) {
	src, err := ingest.NewSource("log", strings.NewReader("v 10400 3\nt 5 0\n+ 8 1 10\n+ 8 9 10\n- 10\n"), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := ingest.WriteText(&b, src); err != nil {
		t.Fatal(err)
	}
	want := "stack 1\n\t0x5\nalloc seq=0 line=3 block=0 addr=0x10 size=8 stack=1\n" +
		"error: log:4: allocation from trace 0x9, of 0x1\n" +
		"free seq=1 line=5 block=0 addr=0x10 size=8 stack=1\nreport {\n  \"log\": \"log\",\n"
	if !strings.HasPrefix(b.String(), want) || !strings.HasSuffix(b.String(), "\n}\n") {
		t.Error(b.String())
	}
}

func TestWriteTextErrors(t *testing.T) {
	src, err := ingest.NewSource("log", strings.NewReader("v 20000 4\n+ 8 1 10\n"), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	err = ingest.WriteText(&b, src)
	if _, refused := errors.AsType[*ingest.FormatError](err); !refused || b.Len() != 0 {
		t.Errorf("%v, %q", err, b.String())
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	if src, err = ingest.NewSource("log", strings.NewReader(smallTrace(9999)), ingest.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := ingest.WriteText(full, src); err == nil {
		t.Error("written to a full disk")
	}
	if n := src.Report().Allocs; n > 999 {
		t.Errorf("went on reading for %d allocs", n)
	}
}
