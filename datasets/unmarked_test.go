package datasets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"leakformer/ingest"
)

// faultOf is what gives the collector away in a log of heaptrack.
func faultOf(t *testing.T, log io.Reader, folder string) error {
	t.Helper()
	src, err := ingest.NewSource("log", log, ingest.Options{Format: "heaptrack"})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for _, err := range (&unmarked{src, folder}).Events() {
		var syntax *ingest.SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			return err
		}
	}
	return nil
}

// Nothing is left in a log that was stripped; in the log before that, there is.
func TestStrippedLogsAreUnmarked(t *testing.T) {
	r := newRig(t)
	_, _, counted := r.run(newControl(modeCount, 1), "200")
	log, s, _ := r.run(dropEverywhere(counted, 7, 0.3), "200")
	if len(s.leaks) == 0 {
		t.Fatal("nothing leaked")
	}
	if err := faultOf(t, bytes.NewReader(log), ""); err != nil {
		t.Errorf("stripped: %v", err)
	}
	if err := faultOf(t, bytes.NewReader(log), r.dir); err == nil || !strings.Contains(err.Error(), r.dir) {
		t.Errorf("the folder of the program was not found: %v", err)
	}
	raw, err := os.Open(r.raw)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := faultOf(t, raw, ""); err == nil || !strings.Contains(err.Error(), "a marker of the collector is left") {
		t.Errorf("not stripped: %v", err)
	}
}

func TestMarksAreFound(t *testing.T) {
	const head = "v 10400 3\nx 4 /bin\nX /bin/app\nm 8 /bin/app 1000 0 1000\n"
	for what, c := range map[string]struct{ log, want string }{
		"nothing":     {head + "t 1001 0\n+ 10 1 a000\n- a000\n", ""},
		"a marker":    {head + fmt.Sprintf("t 1001 0\n+ %x 1 a000\n- a000\n", markerBytes+3), "line 6: a marker"},
		"the library": {head + "m f /t/libforget.so 5000 0 1000\nt 1001 0\nt 5001 1\n+ 10 2 a000\n", "libforget.so"},
		"the folder":  {strings.ReplaceAll(head, "X /bin/app", "X /secret/folder/app -x") + "t 1001 0\n+ 10 1 a000\n", "/secret/folder"},
	} {
		err := faultOf(t, strings.NewReader(c.log), "/secret/folder")
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got error %v, want %q", what, err, c.want)
		}
	}
}

// A collector that forgets to strip makes no sample.
func TestUnstrippedRunIsNoSample(t *testing.T) {
	cfg := small(t)
	p := requests(t)
	tracer, err := findTracer(context.Background(), "", "")
	if err != nil {
		t.Skip(err)
	}
	strip := tracer.strip
	tracer.strip = func(w io.Writer, raw *os.File, c *control) (*stripped, error) {
		s, err := strip(io.Discard, raw, c)
		if err == nil {
			_, err = raw.Seek(0, io.SeekStart)
		}
		if err == nil {
			_, err = io.Copy(w, raw)
		}
		return s, err
	}
	cfg.Programs, cfg.Clean = []Program{p}, -1
	cfg = cfg.withDefaults()
	work := t.TempDir()
	library, err := BuildForget(context.Background(), work)
	if err != nil {
		t.Fatal(err)
	}
	all := &collection{cfg: cfg, tracer: tracer, library: library, work: work, earlier: new(Manifest), done: make([]*collector, 1)}
	m, err := all.run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Runs) != 0 || len(m.Failed) == 0 {
		t.Fatalf("%d runs with marks became samples", len(m.Runs))
	}
	marked := slices.ContainsFunc(m.Failed, func(f Failure) bool { return strings.Contains(f.Reason, "a marker of the collector is left") })
	if !marked {
		t.Errorf("failed: %+v", m.Failed)
	}
}
