package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestRecordAttachedUsage(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	for args, want := range map[string]string{
		"--pid 1 -- prog":            `--pid 1 runs already: what is "prog" for?`,
		"--pid 1 --tool mtrace":      "--tool is for programs that are started",
		"--pid 1 --sample 0":         "--sample 0: want at least 1",
		"--pid 1073741824 -o " + log: "no process 1073741824 runs",
		"--pid 0 -o " + log:          "no process 0 runs",
		"--pid -5 -o " + log:         "no process -5 runs",
		"--pid one -o " + log:        `invalid value "one"`,
		fmt.Sprintf("--pid %d -o /no/such/dir/log", os.Getpid()): "no such file or directory",
	} {
		var stdout, stderr output
		sh := &shell{stdout: &stdout, stderr: &stderr}
		status := sh.main(t.Context(), append([]string{"leakformer", "record"}, strings.Fields(args)...))
		if status == 0 || !strings.Contains(stderr.String(), want) {
			t.Errorf("record %s: status %d, %s, want %q", args, status, &stderr, want)
		}
	}
	if _, err := os.Stat(log); err == nil {
		t.Error("a log was left behind")
	}
}

// A process is recorded until the command is interrupted; the process goes on.
func TestRecordAttached(t *testing.T) {
	process := exec.Command("cat")
	in, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Skip(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	var stdout, stderr output
	sh := &shell{stdout: &stdout, stderr: &stderr}
	ctx, interrupt := context.WithCancel(t.Context())
	status := make(chan int, 1)
	go func() {
		status <- sh.main(ctx, []string{"leakformer", "record", "--pid", strconv.Itoa(process.Process.Pid), "-o", log})
	}()
	stderr.waitFor(t, "leakformer: rec") // that it does, or cannot
	interrupt()
	if got := <-status; got != 0 {
		if _, err := os.Stat(log); err == nil {
			t.Error("a log was left behind")
		}
		t.Skipf("attaching is for root, on a kernel that lets it: %s", &stderr)
	}
	if data, err := os.ReadFile(log); err != nil || !strings.HasPrefix(string(data), "v 10500 3\nx ") {
		t.Errorf("the log begins %.40q (%v)", data, err)
	}
	in.Close()
	if err := process.Wait(); err != nil {
		t.Errorf("the process: %v", err)
	}
}
