package ingest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// follow opens a file to be followed, with short times.
func follow(t *testing.T, ctx context.Context, path string) *ingest.Follower {
	t.Helper()
	f, err := ingest.Follow(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	f.Poll = time.Millisecond
	return f
}

// grow writes text to a file in pieces of odd sizes, each with a sync, while it is read.
func grow(t *testing.T, path string, text []byte) <-chan error {
	t.Helper()
	w, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for i := 0; len(text) > 0 && err == nil; i++ {
			n := min(len(text), 1+i*7919%4001)
			_, err = w.Write(text[:n])
			text = text[n:]
			time.Sleep(500 * time.Microsecond)
		}
		w.Close()
		done <- err
	}()
	return done
}

// A log that grows in the middle of lines and of compressed blocks reads as the whole
// one does.
func TestFollowGrowing(t *testing.T) {
	text := []byte(smallTrace(9000))
	want, _, err := readLog(t, bytes.NewReader(text), "auto")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"plain": text, "gzip": packed(t, packGzip, text), "zstd": packed(t, packZstd, text), "xz": packed(t, packXZ, text),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			f := follow(t, ctx, path)
			done := grow(t, path, b)
			written := false
			f.Quiet = func() {
				if written {
					cancel() // All of it has been read.
				}
				select {
				case err := <-done:
					if written = true; err != nil {
						t.Error(err)
					}
				default:
				}
			}
			events, report, err := readLog(t, f, "trace-malloc")
			if err != nil || len(events) != len(want) || report.Truncated || f.Replaced() {
				t.Errorf("%d events of %d, truncated %v, replaced %v, %v", len(events), len(want), report.Truncated, f.Replaced(), err)
			}
		})
	}
}

// Cancelling ends the log, after which what was read can be used: a part of a line
// and of a compressed block are told as the end of a log that is cut off.
func TestFollowCancelled(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, smallTrace(300))
	w.Flush()
	for name, text := range map[string][]byte{"plain": []byte(smallTrace(300) + "--7-- malloc(5) = 0x"), "gzip": b.Bytes()} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		f := follow(t, ctx, path)
		f.Quiet = cancel
		events, report, err := readLog(t, f, "trace-malloc")
		if err != nil || len(events) != 400 || !report.Truncated || f.Replaced() {
			t.Errorf("%s: %d events, truncated %v, %v", name, len(events), report.Truncated, err)
		}
	}
}

// A file that is replaced or cut short is another log.
func TestFollowReplaced(t *testing.T) {
	for name, replace := range map[string]func(path string) error{
		"cut short": func(path string) error { return os.WriteFile(path, []byte("--7-- malloc(1) = 0x10\n"), 0o644) },
		"renamed": func(path string) error {
			if err := os.Rename(path, path+".1"); err != nil {
				return err
			}
			return os.WriteFile(path, []byte(smallTrace(99)), 0o644)
		},
	} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(smallTrace(30)), 0o644); err != nil {
			t.Fatal(err)
		}
		f := follow(t, t.Context(), path)
		once := false
		f.Quiet = func() {
			if !once {
				once = true
				if err := replace(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		events, _, err := readLog(t, f, "trace-malloc")
		if err != nil || len(events) != 40 || !f.Replaced() {
			t.Errorf("%s: %d events, replaced %v, %v", name, len(events), f.Replaced(), err)
		}
	}
	// A file that is only gone may still grow.
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(smallTrace(30)), 0o644); err != nil {
		t.Fatal(err)
	}
	f := follow(t, t.Context(), path)
	f.Idle = 20 * time.Millisecond
	os.Remove(path)
	if b, err := io.ReadAll(f); err != nil || f.Replaced() || len(b) != len(smallTrace(30)) {
		t.Errorf("%d bytes, replaced %v, %v", len(b), f.Replaced(), err)
	}
}

func TestFollowRefused(t *testing.T) {
	if _, err := ingest.Follow(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "is no regular file, and cannot be followed") {
		t.Error(err)
	}
	if _, err := ingest.Follow(t.Context(), filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// A named format is taken at the first byte: a log that grows slowly has no head to
// look at.
func TestNamedFormatStartsAtOnce(t *testing.T) {
	r, w := io.Pipe()
	go io.WriteString(w, "--7-- malloc(8) = 0x10\n--7-- malloc(9) = 0x20\n--7-- free(0x10)\n")
	src, err := ingest.NewSource("log", r, ingest.Options{Format: "trace-malloc"})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range ingesttest.Valid(t, src).Events() {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			w.Close()
		}
	}
	if n != 3 {
		t.Errorf("%d events", n)
	}
}

// The format is found when the head is there, and not in what stands before it.
func TestFollowDetect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f := follow(t, t.Context(), path)
	f.Poll = 5 * time.Millisecond
	go func() {
		for _, text := range []string{"starting\n", "the server", " listens\n--7-- mal", "loc(8) = 0x10\n"} {
			time.Sleep(60 * time.Millisecond)
			w, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				io.WriteString(w, text)
				w.Close()
			}
		}
	}()
	if format, err := f.Detect(); format != "trace-malloc" || err != nil {
		t.Errorf("%q, %v", format, err)
	}
	// A log that never rests is not waited for.
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan bool)
	go func() {
		defer close(stopped)
		for ctx.Err() == nil {
			if w, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0); err == nil {
				io.WriteString(w, "--7-- malloc(8) = 0x10\n")
				w.Close()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if format, err := f.Detect(); format != "trace-malloc" || err != nil {
		t.Errorf("%q, %v", format, err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() >= 256<<10 {
		t.Errorf("%d bytes had to be there, %v", st.Size(), err)
	}
	cancel()
	<-stopped
	// What cannot become a log ends the waiting.
	if err := os.WriteFile(path, []byte("PERFILE2"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Detect(); err == nil || !strings.Contains(err.Error(), "perf script") {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.Idle = 50 * time.Millisecond
	if _, err := f.Detect(); err == nil || !strings.Contains(err.Error(), "unknown format") {
		t.Error(err)
	}
}

// A log that has rested before it is followed is not waited for.
func TestFollowDetectAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(smallTrace(9)), 0o644); err != nil {
		t.Fatal(err)
	}
	f := follow(t, t.Context(), path)
	f.Poll = time.Hour
	before := time.Now().Add(-6 * time.Hour)
	if err := os.Chtimes(path, before, before); err != nil {
		t.Fatal(err)
	}
	if format, err := f.Detect(); format != "trace-malloc" || err != nil {
		t.Errorf("%q, %v", format, err)
	}
}
