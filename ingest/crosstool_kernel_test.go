package ingest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// One run of a program under the kernel's trace buffer and perf at once: both tell the
// same events, with the same sizes, from the same functions. Only root may trace; the
// buffer is one of the test's own.
func TestKernelToolsAgree(t *testing.T) {
	const tracing = "/sys/kernel/tracing"
	instance := filepath.Join(tracing, "instances", fmt.Sprintf("leakformer-%d", os.Getpid()))
	if _, err := exec.LookPath("perf"); err != nil {
		t.Skip("perf is not installed")
	}
	if _, err := os.Stat(filepath.Join(tracing, "events", "kmem")); err != nil {
		t.Skip("no kmem events to trace here (root may: mount -t tracefs tracefs /sys/kernel/tracing): ", err)
	}
	if err := os.Mkdir(instance, 0o755); err != nil {
		t.Skip("tracing is not allowed here: ", err)
	}
	defer os.Remove(instance)
	dir := t.TempDir()
	const events = "kmalloc kfree kmem_cache_alloc kmem_cache_free mm_page_alloc mm_page_free"
	out, err := shell(dir, fmt.Sprintf(`cd %s && echo 1 >options/event-fork && for e in %s; do echo 1 >events/kmem/$e/enable || exit; done && echo 1 >tracing_on
		sh -c 'echo $$ >set_event_pid; exec perf record -q -g -e kmem:%s -o %s/data /bin/true'; code=$?
		echo 0 >tracing_on; cat trace >%[4]s/ftrace; exit $code`, instance, events, strings.ReplaceAll(events, " ", ",kmem:"), dir))
	if err != nil {
		t.Skip("perf may not record here: ", out, err)
	}
	if out, err := shell(dir, "perf script -i data >perf"); err != nil {
		t.Fatal(out, err)
	}
	var task int32
	perf := kernelEvents(t, filepath.Join(dir, "perf"), &task)
	ftrace := kernelEvents(t, filepath.Join(dir, "ftrace"), &task)
	if len(perf) < 50 {
		t.Fatalf("only %d events", len(perf))
	}
	// perf begins at the start of the program, the buffer before it.
	for i := range len(ftrace) - len(perf) + 1 {
		if slices.Equal(ftrace[i:i+len(perf)], perf) {
			t.Logf("%d events agree", len(perf))
			return
		}
	}
	t.Errorf("the events of perf are not among those of the buffer:\n%s\n\n%s", strings.Join(perf, "\n"), strings.Join(ftrace, "\n"))
}

// kernelEvents reads what a task did, the first one where task is 0.
func kernelEvents(t *testing.T, file string, task *int32) (all []string) {
	t.Helper()
	src, err := ingest.Open(file, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	events, err := ingesttest.ReadAll(t, src)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if *task == 0 {
			*task = e.TID
		}
		switch {
		case e.TID != *task || e.Flags&ingest.Inferred != 0:
		case e.Op == ingest.Free:
			all = append(all, "free")
		default:
			// The buffer tells the call site, perf the whole stack: the first that
			// is not the allocator's. Pages have no call site in the buffer.
			from := "pages"
			stack := slices.DeleteFunc(src.Stacks().Frames(e.Stack), ingest.IsAllocator)
			physical := src.Report().Format == "perf-kmem" && e.Addr < 1<<44
			if len(stack) > 0 && !physical {
				from = stack[0].Function
			}
			all = append(all, fmt.Sprintf("%d bytes, %s", e.Size, from))
		}
	}
	return all
}
