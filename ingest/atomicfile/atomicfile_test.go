package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

// fails writes a part, and then cannot go on.
func fails(w io.Writer) error {
	io.WriteString(w, "half")
	return io.ErrClosedPipe
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := Write(path, text("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, fails); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v", err)
	}
	expect(t, path, "old")
	if err := Write(filepath.Join(dir, "none", "file"), text("new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
	if err := Write(dir, text("new")); err == nil {
		t.Error("a folder was overwritten")
	}
	if err := Write(path, text("new")); err != nil {
		t.Fatal(err)
	}
	expect(t, path, "new")
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, want that of the file before", st.Mode())
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("in the folder lie %v", entries)
	}
}

// A link stays one, and what is no file is written to.
func TestWriteThrough(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := Write(path, text("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Skip(err)
	}
	if err := Write(link, text("new")); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Lstat(link); st.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link is gone")
	}
	expect(t, path, "new")
	if err := Write(os.DevNull, text("new")); err != nil {
		t.Error(err)
	}
	if err := Write(os.DevNull, fails); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v", err)
	}
	if st, err := os.Stat(os.DevNull); err != nil || st.Mode().IsRegular() {
		t.Fatalf("%s is %v now (%v)", os.DevNull, st.Mode(), err)
	}
}

func expect(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
	}
}
