package detecttest

import (
	"syscall"
	"testing"
)

// SmallDisk is a folder on a disk of a size as tmpfs takes it, for example 64k. The test
// is skipped where it may not mount one; who leaves a file open there fails it.
func SmallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}
