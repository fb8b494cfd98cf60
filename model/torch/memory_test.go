package torch

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// What libtorch takes while it is loaded is in the first thread's arena, which is in
// huge pages.
func TestKeepMemory(t *testing.T) {
	if err := load(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	resident := 0 // KiB
	for mapping := range strings.SplitAfterSeq(string(text), "\nVmFlags:") {
		name, figures, _ := strings.Cut(mapping, "\nRss:")
		if kib := 0; strings.Contains(name, "[heap]") {
			fmt.Sscan(figures, &kib)
			resident += kib
		}
	}
	if resident < 10<<10 {
		t.Errorf("%d KiB are resident in the first arena: libtorch takes more", resident)
	}
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err == nil && !strings.Contains(string(text), " hg ") {
		t.Error("no memory is asked for in huge pages")
	}
}
