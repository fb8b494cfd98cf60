package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"leakformer/tokenize"
)

// command runs leakformer in this process.
func command(stdin io.Reader, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	sh := &shell{stdin: stdin, stdout: &out, stderr: &errs}
	status = sh.main(context.Background(), append([]string{"leakformer"}, args...))
	return status, out.String(), errs.String()
}

// What is not understood ends with status 2, says what is wrong, and writes
// nothing to standard output.
func TestUsage(t *testing.T) {
	t.Setenv("LEAKFORMER_MODEL", "")
	for _, c := range []struct{ args, want string }{
		{"nonsense", `there is no command "nonsense"`},
		{"dataset nonsense", `there is no command "nonsense"`},
		{"score --nonsense x.log", "flag provided but not defined: -nonsense"},
		{"score", "score: name a log"},
		{"score --format xml a", "--format xml: want text, html, jsonl, sarif"},
		{"score --cut 1.5 a", "--cut 1.5: want a share"},
		{"score --threshold=-1 a", "--threshold -1: want a probability"},
		{"score --precision 0 a", "--precision 0: want a share"},
		{"score --precision 90 a", "--precision 90: want a share"},
		{"score --max-false-alarms-per-run 0 a", "want a number of more than 0"},
		{"score --precision 0.9 --threshold 0.5 a", "--threshold and --precision exclude each other"},
		{"score --precision 0.9 --max-false-alarms-per-run 1 a", "--precision and --max-false-alarms-per-run exclude each other"},
		{"score --explain=-1 a", "--explain -1: want a number"},
		{"score a --threshold x", `invalid value "x"`},
		{"train -o m --clean a --init default --dim 32", "are for --init none"},
		{"tokenize", "name one log; 0 are named"},
		{"tokenize a --cut 2", "--cut 2: want a share"},
		{"model info a b", "name one model; 2 are named"},
		{"model info --format xml", "want text or json"},
		{"check", "name a log"},
		{"check --format xml a", "want text or json"},
		{"ingest", "name a log"},
		{"ingest -", "with - for the log, -o has to name the file"},
		{"ingest a b -o main.go", "with several logs, -o has to be a folder"},
		{"train", "-o has to name the model"},
		{"train -o m", "--clean has to name logs"},
		{"train -o m --clean a --dim 33", "dim is 33; it must be a multiple of heads"},
		{"train -o m --clean a --optimiser sgdd", "sgdd"},
		{"eval", "--labels has to name"},
		{"eval --labels l --cut 0", "--cut 0: want a share"},
		{"eval --format xml", "--format xml: want text, summary, markdown or json"},
		{"dataset collect no-such-program", `unknown programs ["no-such-program"]`},
	} {
		status, stdout, stderr := command(nil, strings.Fields(c.args)...)
		if status != 2 || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: status %d, %q on stdout, %q on stderr, want %q", c.args, status, stdout, stderr, c.want)
		}
	}
}

// Help is no failure.
func TestHelp(t *testing.T) {
	for args, want := range map[string]string{
		"": "leakformer - find memory leaks", "help score": "--reference", "train --help": "--clean LOG",
		"dataset": "collect", "dataset programs": "sqlite3\t", "formats": "\nkmemleak ",
	} {
		if status, stdout, stderr := command(nil, strings.Fields(args)...); status != 0 || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("%q: status %d, %q on stderr, no %q in %q", args, status, stderr, want, stdout)
		}
	}
}

// folder is a folder of logs good and bad, and a model.
func folder(t *testing.T) string {
	t.Helper()
	const trace = "--31-- malloc(24) = 0x4A37040\n--31-- malloc(32) = 0x4A37090\n--31-- free(0x4A37040)\n"
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, "leaky", "4.raw"))
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := encoder.EncodeAll(good, nil)
	frame := encoder.EncodeAll([]byte(trace), nil)
	junk := make([]byte, 5000)
	for i := range junk {
		junk[i] = byte(i * i >> 3)
	}
	if status, _, stderr := command(nil, "ingest", filepath.Join(dir, "clean", "0.raw"), "-o", filepath.Join(dir, "run.arrow")); status != 0 {
		t.Fatal(stderr)
	}
	arrow, err := os.ReadFile(filepath.Join(dir, "run.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty.log":   nil,
		"junk.bin":    junk,
		"prose.txt":   []byte("It was a dark and stormy night.\n"),
		"notes/a.txt": []byte("Not a log.\n"),
		// In the middle of the line "+ 64 3 ...", so that what is left is no record.
		"cut.raw":         good[:bytes.LastIndex(good, []byte("\n+ "))+4],
		"cut.raw.zst":     packed[:len(packed)/2],
		"cut.log.zst":     append(bytes.Clone(frame), frame[:len(frame)-5]...),
		"damaged.raw":     []byte("v 10400 3\nx 8 /bin/app\nX /bin/app\n+ zz 1 10\n+ 10 0 1000\n- nonsense\n- 1000\n"),
		"crlf.log":        []byte(strings.ReplaceAll(trace, "\n", "\r\n")),
		"latin1.log":      []byte("--31-- malloc(24) = 0x4A37040\nd\xe9j\xe0 vu \xff\xfe\n--31-- free(0x4A37040)\n"),
		"pids.log":        []byte(strings.Replace(trace, "--31-- malloc(32)", "--32-- malloc(32)", 1)),
		"memcheck.log":    []byte("==7== Memcheck, a memory error detector\n==7== Command: ./app\n==7== All heap blocks were freed -- no leaks are possible\n"),
		"cut.arrow":       arrow[:len(arrow)/2],
		"short.arrow":     arrow[:8],
		"renamed/4.raw":   readFile(t, filepath.Join(dir, "leaky", "5.raw")),
		"labels.json":     []byte(`{"version":1,"logs":[{"log":"clean/0.raw","sha256":"","class":"leaky","program":"app","events":5959,"leaks":[{"event":9,"address":"0x1","size":1,"kind":"lost"}]}]}`),
		"hash.json":       []byte(`{"version":1,"logs":[{"log":"clean/0.raw","sha256":"` + strings.Repeat("00", 32) + `","class":"clean","program":"app","events":9999}]}`),
		"old.model":       readFile(t, filepath.Join(dir, "clean", "0.raw")),
		"file-not-folder": []byte("x"),
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "app.model"), modelFile(t), 0o644); err != nil {
		t.Fatal(err)
	}
	replaceInModel(t, filepath.Join(dir, "app.model"), filepath.Join(dir, "other.model"), tokenize.VocabHash, "0123456789abcdef")
	return dir
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Bad input gives one clear error, or a warning that is counted, with file and
// line; never a panic; and what was there before stays as it was.
func TestBadInput(t *testing.T) {
	dir := folder(t)
	t.Setenv("LEAKFORMER_MODEL", filepath.Join(dir, "app.model"))
	before := tree(t, dir)
	for _, c := range []struct {
		args   string
		status int
		want   string // on stdout or stderr, a regular expression
	}{
		{"score @no-such.log", 1, `leakformer: .*@no-such.log: no such file`},
		{"score @empty.log", 1, `leakformer: @empty.log: is empty: no log to read`},
		{"check @empty.log", 1, `@empty.log: is empty`},
		{"ingest @empty.log", 1, `@empty.log: is empty`},
		{"score @notes", 1, `@notes/a.txt: unknown format`},
		{"score @junk.bin", 1, `@junk.bin: unknown format`},
		{"score @prose.txt", 1, `@prose.txt: unknown format(?s:.*)heaptrack: the first line is not(?s:.*)name it with --log-format`},
		{"score @app.model", 1, `@app.model: `},
		{"ingest @clean/0.raw --log-format nonsense -o @x.arrow", 1, `unknown format "nonsense"`},
		{"check @clean/0.raw --log-format nonsense", 1, `unknown format "nonsense": use auto or one of heaptrack`},

		{"check @cut.raw", 0, `damage       \d+ bad records, truncated true\n(?s:.*)@cut.raw:\d+: `},
		{"score @cut.raw", 3, `warning: the log ends too early`},
		{"check @cut.log.zst", 0, `truncated true\n(?s:.*)@cut.log.zst:\d+: .*damaged or end early`},
		{"check @cut.raw.zst", 1, `@cut.raw.zst: .*damaged or end early`}, // nothing whole in it
		{"check @damaged.raw", 0, `@damaged.raw:4: (?s:.*)@damaged.raw:6: `},
		{"score @damaged.raw", 0, `warning: 2 records could not be read(?s:.*)warning: @damaged.raw:4: `},
		{"check --format json @crlf.log", 0, `"allocs":2,"frees":1,.*"errors":0`},
		{"check --format json @latin1.log", 0, `"allocs":1,"frees":1,`},
		{"check --format json @pids.log", 0, `"processes":2,.*"allocs":2,"frees":1,"orphan_frees":0,`},
		{"check --dump @latin1.log", 0, `free seq=1 line=3`},

		{"check @cut.arrow", 1, `@cut.arrow: `},
		{"score @cut.arrow", 1, `@cut.arrow: `},
		{"score @short.arrow", 1, `@short.arrow: `},

		{"score --model @no-such.model @clean/0.raw", 1, `@no-such.model: no such file`},
		{"score --model @prose.txt @clean/0.raw", 1, `@prose.txt: not a leakformer model`},
		{"score --model @other.model @clean/0.raw", 1, `@other.model: trained for vocabulary 0123456789abcdef, this program has [0-9a-f]+; train it again`},
		{"score --reference @notes @clean/0.raw", 1, `no log in @notes`},

		{"eval --labels @prose.txt @leaky/4.raw", 1, `labels: @prose.txt`},
		{"eval --labels @leaky/labels.json @prose.txt", 1, `no labels for log @prose.txt`},
		{"eval --labels @leaky/labels.json @renamed/4.raw", 1, `@renamed/4.raw: the labels are of a log with .*: they are of another run`},
		{"eval --labels @labels.json @clean/0.raw", 1, `cannot be evaluated: it was learned from`},
		{"eval --model @no-such.model --labels @labels.json @clean/0.raw", 1, `no such file`},

		{"train --clean @clean/0.raw -o @new.model", 1, `too few`},
		{"train --clean @notes -o @new.model", 1, `note: @notes/a.txt is no log: passed over\n(?s:.*)no log in @notes`},
		{"train --clean @memcheck.log -o @new.model", 1, `@memcheck.log: a memcheck has no frees to learn from`},
		{"train --clean @clean --init @prose.txt -o @new.model", 1, `@prose.txt: not a leakformer model`},
		{"train --clean @clean --resume -o @new.model", 1, `nothing to resume`},
		{"train --clean @clean -o @no/such/model", 1, `the model cannot be written: .*no such file`},

		{"ingest @cut.arrow -o @run.arrow", 1, `@cut.arrow: `},
		{"ingest @clean/0.raw -o @no/such/folder.arrow", 1, `no such file`},
		{"ingest @clean/0.raw -o @file-not-folder/x.arrow", 1, `not a directory`},
		{"dataset collect dash -o @file-not-folder", 1, `file-not-folder`},
	} {
		args := strings.Fields(strings.ReplaceAll(c.args, "@", dir+"/"))
		status, stdout, stderr := command(nil, args...)
		want := regexp.MustCompile(strings.ReplaceAll(c.want, "@", regexp.QuoteMeta(dir+"/")))
		if status != c.status || !want.MatchString(stdout+stderr) {
			t.Errorf("%s: status %d, want %d with %s\nstdout: %s\nstderr: %s", c.args, status, c.status, c.want, stdout, stderr)
		}
	}
	os.Remove(filepath.Join(dir, "new.model.metrics.jsonl"))
	after := tree(t, dir)
	for name, data := range after {
		if before[name] != data {
			t.Errorf("%s was written or changed", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files before, %d after", len(before), len(after))
	}
}

// A log that is another than the labelled one, by its hash.
func TestEvalHash(t *testing.T) {
	dir := folder(t)
	t.Setenv("LEAKFORMER_MODEL", "")
	_, _, stderr := command(nil, "eval", "--labels", filepath.Join(dir, "hash.json"), filepath.Join(dir, "clean", "0.raw"))
	if !strings.Contains(stderr, "its SHA-256 is") {
		t.Error(stderr)
	}
}

func tree(t *testing.T, dir string) map[string]string {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// replaceInModel copies a model with a text in its members replaced.
func replaceInModel(t *testing.T, from, to, old, new string) {
	t.Helper()
	in, err := zip.OpenReader(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var b bytes.Buffer
	out := zip.NewWriter(&b)
	for _, f := range in.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		w, err := out.Create(f.Name)
		if err == nil {
			_, err = w.Write(bytes.ReplaceAll(data, []byte(old), []byte(new)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(out.Close(), os.WriteFile(to, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// longLine is a trace with one line of a gigabyte in it.
type longLine struct{ left int }

func (l *longLine) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, io.EOF
	}
	n := min(len(p), l.left)
	for i := range p[:n] {
		p[i] = 'x'
	}
	l.left -= n
	return n, nil
}

// A line of a gigabyte is skipped and counted, in little memory.
func TestLongLine(t *testing.T) {
	const before, after = "--31-- malloc(24) = 0x4A37040\n", "\n--31-- free(0x4A37040)\n"
	stdin := io.MultiReader(strings.NewReader(before), &longLine{1 << 30}, strings.NewReader(after))
	status, stdout, stderr := command(stdin, "check", "--format", "json", "-")
	if status != 0 || !strings.Contains(stdout, `"allocs":1,"frees":1,`) || !strings.Contains(stdout, "longer than") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
}
