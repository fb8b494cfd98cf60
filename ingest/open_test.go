package ingest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// smallTrace is a log with n allocations of which every third is freed.
func smallTrace(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "--7-- malloc(%d) = 0x%X\n", i, 4096+16*i)
		if i%3 == 0 {
			fmt.Fprintf(&b, "--7-- free(0x%X)\n", 4096+16*i)
		}
	}
	return b.String()
}

// readLog reads a log to its end under the validator.
func readLog(t testing.TB, r io.Reader, format string) ([]ingest.Event, *ingest.Report, error) {
	t.Helper()
	src, err := ingest.NewSource("log", r, ingest.Options{Format: format})
	if err != nil {
		return nil, nil, err
	}
	events, err := ingesttest.ReadAll(t, src)
	return events, src.Report(), err
}

func packed(t testing.TB, pack func(io.Writer) (io.WriteCloser, error), text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pack(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func packGzip(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
func packZstd(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }
func packXZ(w io.Writer) (io.WriteCloser, error)   { return xz.NewWriter(w) }

func inUTF16(order binary.AppendByteOrder, text string) []byte {
	b := order.AppendUint16(nil, 0xfeff)
	for _, u := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, u)
	}
	return b
}

func TestPackings(t *testing.T) {
	text := smallTrace(20000) // more than one zstd block
	want, _, err := readLog(t, strings.NewReader(text), "auto")
	if err != nil || len(want) != 26667 {
		t.Fatalf("%d events, %v", len(want), err)
	}
	zst := packed(t, packZstd, []byte(text))
	for name, b := range map[string][]byte{
		"gzip":       packed(t, packGzip, []byte(text)),
		"zstd":       zst,
		"xz":         packed(t, packXZ, []byte(text)),
		"twice":      packed(t, packGzip, zst),
		"two frames": slices.Concat(packed(t, packZstd, []byte(text[:99])), packed(t, packZstd, []byte(text[99:]))),
		"two gzips":  slices.Concat(packed(t, packGzip, []byte(text[:99])), packed(t, packGzip, []byte(text[99:]))),
		"UTF-16LE":   inUTF16(binary.LittleEndian, text),
		"UTF-16BE":   packed(t, packGzip, inUTF16(binary.BigEndian, text)),
		"CRLF":       []byte(strings.ReplaceAll(text, "\n", "\r\n")),
		"BOM":        []byte("\xef\xbb\xbf" + text),
	} {
		got, report, err := readLog(t, iotest.HalfReader(bytes.NewReader(b)), "auto")
		if err != nil || report.Truncated || !slices.Equal(got, want) {
			t.Errorf("%s: %d events of %d, truncated %v, %v", name, len(got), len(want), report.Truncated, err)
		}
	}
}

// Wherever packed data are cut off or damaged, what came before is used, and the
// report says so.
func TestPackingsCutOff(t *testing.T) {
	text := []byte(smallTrace(20000))
	want, _, _ := readLog(t, bytes.NewReader(text), "auto")
	for name, b := range map[string][]byte{
		"gzip": packed(t, packGzip, text), "zstd": packed(t, packZstd, text), "xz": packed(t, packXZ, text),
		"UTF-16": inUTF16(binary.LittleEndian, string(text)),
	} {
		for i := range 12 {
			n := len(b) * (2*i + 1) / 24
			if name == "UTF-16" {
				n |= 1
			}
			got, report, err := readLog(t, bytes.NewReader(b[:n]), "auto")
			if report == nil {
				const cut = "the compressed data are damaged or end early"
				if i > 9 || err == nil || !strings.Contains(err.Error(), cut) {
					t.Errorf("%s cut at %d of %d: %v", name, n, len(b), err)
				}
				continue
			}
			if err != nil || !report.Truncated || len(got) >= len(want) || !slices.Equal(got, want[:len(got)]) {
				t.Errorf("%s cut at %d of %d: %d events, truncated %v, %v", name, n, len(b), len(got), report.Truncated, err)
			}
			if !strings.Contains(strings.Join(report.Messages, "\n"), "what came before is used") {
				t.Errorf("%s: messages %q", name, report.Messages)
			}
		}
		for i := range 12 {
			bad := slices.Clone(b)
			bad[len(b)*(2*i+1)/24] ^= 0x10
			readLog(t, bytes.NewReader(bad), "trace-malloc") // must end, and keep the laws
		}
	}
}

func TestTooManyPackings(t *testing.T) {
	b := []byte(smallTrace(3))
	for range 5 {
		b = packed(t, packGzip, b)
	}
	_, _, err := readLog(t, bytes.NewReader(b), "auto")
	if err == nil || err.Error() != "log: compressed more than 3 times over; unpack it first" {
		t.Error(err)
	}
}

// An xz file may ask for gigabytes of memory before it has given one byte.
func TestXZDictionaryIsBounded(t *testing.T) {
	b := packed(t, packXZ, []byte(smallTrace(3)))
	b[16] = 40 // 4 GB
	_, _, err := readLog(t, bytes.NewReader(b), "auto")
	if err == nil || !strings.Contains(err.Error(), "log: the xz file asks for a dictionary of 4096 MB; unpack it first") {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	why := "\n  heaptrack: the first line is not \"v VERSION FILEVERSION\""
	for _, c := range []struct{ name, log, format, want string }{
		{"empty", "", "auto", "log: is empty: no log to read"},
		{"blank", " \n\r\n\t\n", "auto", "log: is empty: no log to read"},
		{"empty, named", "", "heaptrack", "log: is empty: no log to read"},
		{"binary", "\x7fELF\x02\x01\x01\x00\x00\n\xff\xfe\x00", "auto",
			"log: unknown format" + why},
		{"binary line", strings.Repeat("\x00\x01\x02", 99999), "auto",
			"log: unknown format" + why},
		{"other text", "hello\nworld\n", "", "log: unknown format" + why},
		{"damaged gzip", "\x1f\x8b\x08\xff\xff\xff", "auto", "log: the compressed data are damaged or end early (unexpected EOF)"},
		{"damaged zstd", "\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "auto",
			"log: the compressed data are damaged or end early ("},
		{"damaged bzip2", "BZh9junkjunkjunk", "auto", "log: the compressed data are damaged or end early (bzip2 data invalid"},
		{"damaged xz", "\xfd7zXZ\x00junkjunk", "auto", "log: the compressed data are damaged or end early ("},
		{"unknown name", "v 10400 3\n", "heaptracks", `unknown format "heaptracks": use auto or one of heaptrack, `},
	} {
		_, _, err := readLog(t, strings.NewReader(c.log), c.format)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, unknown := errors.AsType[*ingest.FormatError](err); strings.HasPrefix(c.want, "log: unknown") && !unknown {
			t.Errorf("%s: %T", c.name, err)
		}
	}
	if _, err := ingest.Open(t.TempDir(), ingest.Options{}); err == nil || !strings.HasSuffix(err.Error(), "is a directory; name the log files in it") {
		t.Error(err)
	}
	if _, err := ingest.Open(filepath.Join(t.TempDir(), "none"), ingest.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Every format explains why a file is not of it.
func TestRefusalNamesEveryFormat(t *testing.T) {
	_, _, err := readLog(t, strings.NewReader("hello\n"), "auto")
	if err == nil {
		t.Fatal("read")
	}
	for _, f := range ingest.Formats() {
		if !strings.Contains(err.Error(), "\n  "+f.Name+": ") {
			t.Errorf("%s is missing: %v", f.Name, err)
		}
	}
}

// A failure to read is not damage: it ends the events with an error.
func TestReadError(t *testing.T) {
	broken := errors.New("the disk is on fire")
	for name, text := range map[string][]byte{
		"plain": []byte(smallTrace(9000)), "gzip": packed(t, packGzip, []byte(smallTrace(90000))),
		"zstd": packed(t, packZstd, []byte(smallTrace(90000))),
	} {
		r := io.MultiReader(bytes.NewReader(text[:len(text)-9]), iotest.ErrReader(broken))
		events, _, err := readLog(t, r, "auto")
		if !errors.Is(err, broken) || len(events) == 0 {
			t.Errorf("%s: %d events, %v", name, len(events), err)
		}
		if _, _, err := readLog(t, iotest.ErrReader(broken), "auto"); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// repeat gives n times the same byte.
type repeat struct {
	c byte
	n int64
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.n)]
	for i := range p {
		p[i] = r.c
	}
	r.n -= int64(len(p))
	return len(p), nil
}

// A line of a gigabyte is skipped and counted, in little memory.
func TestLongLine(t *testing.T) {
	text := smallTrace(99)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := io.MultiReader(strings.NewReader(text), &repeat{'a', 1 << 30}, strings.NewReader("\n--7-- malloc(5) = 0x99\n"))
	events, report, err := readLog(t, r, "auto")
	runtime.ReadMemStats(&after)
	if err != nil || len(events) != 133 || report.Errors != 1 || report.Lines != 134 {
		t.Errorf("%d events, %d errors, %d lines, %v", len(events), report.Errors, report.Lines, err)
	}
	if want := []string{"log:133: 1 lines longer than 1048576 bytes skipped (the last of them here)"}; !slices.Equal(report.Messages, want) {
		t.Errorf("messages %q", report.Messages)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
	_, _, err = readLog(t, &repeat{'a', 1 << 30}, "auto")
	if _, unknown := errors.AsType[*ingest.FormatError](err); !unknown {
		t.Error(err)
	}
}

func TestEventsOnce(t *testing.T) {
	src, err := ingest.NewSource("log", strings.NewReader(smallTrace(9)), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range src.Events() {
		if n++; n == 4 {
			break
		}
	}
	for _, err := range src.Events() {
		if err == nil || err.Error() != "log: the events of a source can be read once" {
			t.Error(err)
		}
		n++
	}
	if n != 5 || src.Report().Events != 4 {
		t.Errorf("%d pairs, %d events", n, src.Report().Events)
	}
}

type closer struct {
	io.Reader
	closed int
}

func (c *closer) Close() error { c.closed++; return nil }

func TestCloseClosesReader(t *testing.T) {
	c := &closer{Reader: bytes.NewReader(packed(t, packGzip, []byte(smallTrace(9))))}
	src, err := ingest.NewSource("log", c, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Close(); err != nil || c.closed != 1 {
		t.Error(err, c.closed)
	}
}

// A file that is closed half-way, or refused, leaves nothing that goes on unpacking it.
func TestCloseEndsUnpacking(t *testing.T) {
	once := packed(t, packZstd, []byte(smallTrace(1<<18)))
	refused := packed(t, packZstd, bytes.Repeat([]byte("no log\n"), 1<<20))
	for name, data := range map[string][]byte{"once": once, "twice": packed(t, packZstd, once), "refused": refused} {
		path := filepath.Join(t.TempDir(), "log.zst")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		before := runtime.NumGoroutine()
		for range 20 {
			src, err := ingest.Open(path, ingest.Options{})
			if err != nil {
				if name != "refused" {
					t.Fatal(err)
				}
				continue
			}
			for range src.Events() {
				break
			}
			if err := src.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for begun := time.Now(); runtime.NumGoroutine() > before && time.Since(begun) < 5*time.Second; {
			time.Sleep(time.Millisecond)
		}
		if n := runtime.NumGoroutine(); n > before {
			t.Errorf("%s: %d goroutines before, %d after", name, before, n)
		}
	}
}

// A log of nothing but bad lines keeps the first messages and counts the rest.
func TestMessagesAreBounded(t *testing.T) {
	log := "v 10400 3\n" + strings.Repeat("+ zz\n", 1000)
	events, report, err := readLog(t, strings.NewReader(log), "auto")
	if report.Errors != 1000 || len(report.Messages) != 20 || len(events) != 0 {
		t.Errorf("%d errors, %d messages", report.Errors, len(report.Messages))
	}
	if n := strings.Count(err.Error(), "\n"); n != 999 {
		t.Errorf("%d errors were handed out", n+1)
	}
}
