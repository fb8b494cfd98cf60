package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// boot carries out a plan on a kernel of the folder kernel. The machine's root is
// the host's folder root, which is empty before and holds the results in out
// afterwards. Time passes while the machine idles, so that minutes take seconds.
func boot(ctx context.Context, kernel, root string, p plan) error {
	if err := furnish(kernel, root, p); err != nil {
		return err
	}
	linux, err := filepath.Abs(filepath.Join(kernel, "linux"))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, linux, "mem=128M", "rootfstype=hostfs", "rootflags="+root, "rw", "init=/init",
		"time-travel", "con=null", "con0=null,fd:1", "kmemleak=on", "panic=-1")
	cmd.Dir = root
	cmd.Env = []string{"HOME=" + root, "TMPDIR=" + os.TempDir(), "PATH=/usr/bin:/bin:/usr/sbin:/sbin"}
	// The machine is several processes: they end together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &bounded{w: &console, n: 1 << 20}, io.Discard
	err = cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("the kernel did not switch itself off: %w", ctx.Err())
	}
	status, readErr := os.ReadFile(filepath.Join(root, "out", "status"))
	if readErr != nil {
		return errors.Join(fmt.Errorf("the kernel did not carry out its plan; its last words: %s", tail(console.Bytes())), err)
	}
	if s := strings.TrimSpace(string(status)); s != "done" {
		return fmt.Errorf("in the kernel: %s; its last words: %s", s, tail(console.Bytes()))
	}
	return complaints(filepath.Join(root, "out", "dmesg.log"))
}

// furnish fills the machine's root folder.
func furnish(kernel, root string, p plan) error {
	for _, dir := range []string{"proc", "sys", "dev", "out"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	files := map[string]string{"init": "init", "labcore.ko": "modules/labcore.ko", p.module + ".ko": "modules/" + p.module + ".ko"}
	for to, from := range files {
		data, err := os.ReadFile(filepath.Join(kernel, from))
		if err != nil {
			return fmt.Errorf("%w: run datasets/kernel/build.sh", err)
		}
		if err := os.WriteFile(filepath.Join(root, to), data, 0o755); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := p.write(&b); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "plan"), b.Bytes(), 0o644)
}

// complaints refuses a run in which the kernel complained: a warning of labcore's
// means that the truth is wrong, kmemleak switches itself off when it runs out of
// memory.
func complaints(dmesg string) error {
	data, err := os.ReadFile(dmesg)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		for _, bad := range []string{"WARNING:", "BUG:", "Oops", "kmemleak: Kernel memory leak detector disabled", "kmemleak: Memory pool empty", "Out of memory"} {
			if bytes.Contains(line, []byte(bad)) {
				return fmt.Errorf("the kernel complained: %s", bytes.TrimSpace(line))
			}
		}
	}
	return nil
}

// bounded passes the first n bytes on and swallows the rest.
type bounded struct {
	w io.Writer
	n int
}

func (b *bounded) Write(p []byte) (int, error) {
	k := min(len(p), b.n)
	b.n -= k
	if _, err := b.w.Write(p[:k]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// tail is the last 400 bytes of a text.
func tail(b []byte) string {
	b = bytes.TrimSpace(b)
	return string(bytes.ToValidUTF8(b[max(0, len(b)-400):], []byte("?")))
}
