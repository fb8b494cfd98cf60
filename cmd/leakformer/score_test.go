package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What score and eval say of the imaginary server's logs with a real model.
func TestScoreAndEval(t *testing.T) {
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app.model"), modelFile(t), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LEAKFORMER_MODEL", filepath.Join(dir, "app.model"))
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"score @leaky/4.raw", 3, `(?m)^   1  [01]\.\d+  LEAK .* app\+0x400 < app\+0x100$(?s:.*)^4.raw: leaks at 1 of 2 sites: .*compared with 4 clean runs`},
		{"score --reference @clean/0.raw @clean/1.raw @leaky/4.raw", 3, `compared with 2 clean runs`},
		{"score --reference @clean @leaky/4.raw", 3, `compared with 4 clean runs`},
		{"score --reference @other.raw @leaky/4.raw", 3, `warning: the reference logs know only 0 % of this run's allocations and are not used`},
		{"score --threshold 1 @leaky/4.raw", 0, `no leak found.*threshold 1.000`},
		{"score --precision 1 @leaky/4.raw", 0, `no leak found.*threshold 1.000; model`},
		{"score --precision 0.01 @leaky/4.raw", 3, `leaks at 1 of 2 sites`},
		{"score --max-false-alarms-per-run 1.5 @leaky/4.raw", 3, `(?m)^      rests on .*\(P [01]\.\d{3} without\)(?s:.*)leaks at .*: expected precision [01]\.\d{3}, false alarms [01]\.\d; model`},
		{"score --threshold 0 --cut 0.5 @clean/0.raw", 3, `after \d+ events of \d+ `},
		{"score --all --format jsonl @clean/0.raw", 0, `^{"type":"finding",.*"leak":false`},

		{"eval --labels @leaky/labels.json --cut 0.9 @leaky/4.raw @leaky/5.raw", 0,
			`known program, cut at 90 %, all sites: 2 runs, \d+ sites, 2 leak(?s:.*)\nleakformer app.model@[0-9a-f]+ +2 +\d+ +0 (?s:.*)\nnot freed +2 +[1-9](?s:.*)\nmore live than in clean runs `},
		{"eval --labels @leaky/labels.json --format json --programs", 0, `"program": "app"`},
		{"eval --labels @leaky/labels.json --format markdown @leaky/4.raw --reference @clean/0.raw --known --cut 0.9", 0,
			`\*\*known program, cut at 90 %, all sites: 1 runs`},
		{"eval --labels @leaky/labels.json --reference @leaky/5.raw @leaky/4.raw", 1, `5.raw cannot be a reference: it is labelled leaky`},
		{"eval --labels @leaky/labels.json @clean/0.raw", 1, `0.raw cannot be evaluated: it was learned from`},
	} {
		if err := os.WriteFile(filepath.Join(dir, "other.raw"), []byte("v 10400 3\nx 4 /bin\nm 4 /bin 1000 0 1000\nt 1001 0\n+ 8 1 5000\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := command(nil, strings.Fields(strings.ReplaceAll(c.args, "@", dir+"/"))...)
		if status != c.status || !regexp.MustCompile(c.want).MatchString(stdout+stderr) {
			t.Errorf("%s: status %d, want %d with %s\nstdout: %s\nstderr: %s", c.args, status, c.status, c.want, stdout, stderr)
		}
	}
}

// A training that is stopped and resumed gives the model that an unbroken one gives.
func TestTrainResume(t *testing.T) {
	dir := t.TempDir()
	if err := writeLogs(dir); err != nil {
		t.Fatal(err)
	}
	train := func(out string, more ...string) string {
		t.Helper()
		args := append([]string{"train", "--clean", filepath.Join(dir, "clean"), "-o", filepath.Join(dir, out),
			"--batch", "8", "--dim", "16", "--layers", "1", "--steps", "16"}, more...)
		status, _, stderr := command(nil, args...)
		if status != 0 {
			t.Fatalf("%s: status %d: %s", args, status, stderr)
		}
		return string(readFile(t, filepath.Join(dir, out)))
	}
	whole := train("whole.model")
	ctx, cancel := context.WithCancel(context.Background())
	stop := &stopper{at: "judged step=6 ", stop: cancel}
	sh := &shell{stdout: io.Discard, stderr: stop}
	status := sh.main(ctx, []string{"leakformer", "train", "-v", "--clean", filepath.Join(dir, "clean"), "-o", filepath.Join(dir, "parts.model"),
		"--batch", "8", "--dim", "16", "--layers", "1", "--steps", "16"})
	if status != 1 || !strings.Contains(stop.String(), "interrupted: context canceled; go on with --resume") {
		t.Fatalf("stopped: status %d: %s", status, stop)
	}
	if parts := train("parts.model", "--resume"); parts != whole {
		t.Error("the resumed training made another model")
	}
	if _, err := os.Stat(filepath.Join(dir, "parts.model.state")); err == nil {
		t.Error("the state is left behind")
	}
}

// stopper stops a command when it writes a certain message.
type stopper struct {
	strings.Builder
	at   string
	stop func()
}

func (s *stopper) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.at) {
		s.stop()
	}
	return s.Builder.Write(p)
}
