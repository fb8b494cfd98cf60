package kernel

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"leakformer/datasets"
)

// record is an entry of kmemleak's file, for an object allocated that many ticks
// after boot.
func record(addr, size, ticks int) string {
	return fmt.Sprintf("unreferenced object 0x%x (size %d):\n  comm \"labnet\", pid 20, jiffies %d (age 9.000s)\n  backtrace:\n    [<0000000060012345>] kmalloc_trace+0x20/0x60\n    [<0000000060012345>] session_new+0x10/0x40 [labnet]\n",
		addr, size, 1<<32-300*hz+ticks)
}

// out fills a folder as a run leaves it: scans 20, 40 and 60 seconds after boot.
func out(t *testing.T, truth, log string) string {
	t.Helper()
	dir := t.TempDir()
	j := 1<<32 - 300*hz
	scans := fmt.Sprintf("%d 100\n%d 100\n%d 100\n", j+20*hz, j+40*hz, j+60*hz)
	for name, text := range map[string]string{"scans": scans, "truth": truth, "kmemleak.log": log} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// object is a line of labcore's truth; times in ticks after boot, 0: never.
func object(addr, size int, born, lost, freed int) string {
	at := func(ticks int) int {
		if ticks == 0 {
			return 0
		}
		return 1<<32 - 300*hz + ticks
	}
	return fmt.Sprintf("0x%x %d net.session %d %d %d\n", addr, size, at(born), at(lost), at(freed))
}

func TestJudge(t *testing.T) {
	truth := "dropped 0\n" +
		object(0x60001000, 64, 1000, 1500, 0) + // leaked before the first scan
		object(0x60002000, 64, 1100, 3000, 0) + // hidden, then leaked
		object(0x60003000, 64, 1200, 0, 4500) + // hidden, then freed
		object(0x60004000, 64, 1300, 0, 0) + // hidden for good
		object(0x60005000, 64, 1300, 1400, 0) + // leaked, but the last scan does not see it
		object(0x60006000, 64, 1300, 1400, 0) + // leaked, never seen
		object(0x60007000, 64, 1301, 0, 0) + // never suspected
		object(0x60003000, 64, 4600, 4700, 0) // leaked, at an address used before
	first := record(0x60001000, 64, 1000) + record(0x60002000, 64, 1099) + record(0x60003000, 64, 1200) + record(0x60004000, 64, 1300) + record(0x60005000, 64, 1300)
	log := "# kmemleak scan 1\n" + first + "# kmemleak scan 2\n" + first + "# kmemleak scan 3\n" +
		record(0x60001000, 64, 1000) + record(0x60002000, 64, 1099) + record(0x60004000, 64, 1300) + record(0x60009000, 64, 1310) + record(0x60003000, 64, 4600)
	got, labels, err := judge(out(t, truth, log))
	if err != nil {
		t.Fatal(err)
	}
	want := []datasets.Leak{
		{Event: 0, Address: 0x60001000, Size: 64, Kind: datasets.Lost, Cause: 1},
		{Event: 6, Address: 0x60002000, Size: 64, Kind: datasets.Lost, Cause: 1}, // its record of the second scan
		{Event: 14, Address: 0x60003000, Size: 64, Kind: datasets.Lost, Cause: 1},
	}
	if labels.Class != datasets.Leaky || labels.Events != 15 || !reflect.DeepEqual(labels.Leaks, want) {
		t.Errorf("labels %+v, want 15 events and %+v", labels, want)
	}
	wantScans := []Scan{
		{Time: 20 * time.Second, Suspects: 5, Leaked: 2, Unseen: 1},
		{Time: 40 * time.Second, Suspects: 5, Leaked: 3, Unseen: 1},
		{Time: 60 * time.Second, Suspects: 5, Leaked: 3, Unseen: 2, Foreign: 1},
	}
	if !reflect.DeepEqual(got.Scans, wantScans) {
		t.Errorf("scans\n%+v, want\n%+v", got.Scans, wantScans)
	}
	if freed, kept := got.Benign(); freed != 1 || kept != 1 || got.Lost() != 5 || got.Outstanding() != 5 {
		t.Errorf("%d lost, %d freed, %d kept, %d outstanding", got.Lost(), freed, kept, got.Outstanding())
	}
	var b bytes.Buffer
	n, err := got.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Errorf("%d bytes, %v; there are %d", n, err, b.Len())
	}
	for _, line := range []string{
		"scan\t2\t60.00\t5\t3\t2\t1\n", "object\t0\t0x60001000\t64\tnet.session\t10.00\t15.00\t-\t0-2\n",
		"object\t2\t0x60003000\t64\tnet.session\t12.00\t-\t45.00\t0-1\n", "object\t5\t0x60006000\t64\tnet.session\t13.00\t14.00\t-\t-\n",
	} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("no line %q in\n%s", line, b.String())
		}
	}
	if strings.Contains(b.String(), "0x60007000") {
		t.Error("an object is listed that neither leaked nor was suspected")
	}
}

func TestJudgeRefuses(t *testing.T) {
	log := "# kmemleak scan 1\n" + record(0x60001000, 64, 1000)
	four := strings.Repeat(log, 4)
	tests := []struct{ name, truth, log, want string }{
		{"rows dropped", "dropped 3\n", log, "truth:1: "},
		{"short row", "dropped 0\n0x1 2\n", log, "truth:2: 2 columns, want 6"},
		{"no number", "dropped 0\n0x1 x p 4294937300 0 0\n", log, "truth:2: "},
		{"no address", "dropped 0\n1 8 p 4294937300 0 0\n", log, "want hexadecimal digits after 0x"},
		{"not born", "dropped 0\n0x1 8 p 0 0 0\n", log, "want an object that is born"},
		{"lost and freed", "dropped 0\n" + object(0x1, 8, 10, 20, 30), log, "want an object that is born"},
		{"freed before it is born", "dropped 0\n" + object(0x1, 8, 10, 0, 5), log, "want an object that is born"},
		{"more scans than times", "dropped 0\n", four, "scan 3 of 3"},
		{"another log", "dropped 0\n", "# kmemleak scan 1\nunreferenced object 0xzz (size 1):\n", "object not understood"},
	}
	for _, test := range tests {
		if _, _, err := judge(out(t, test.truth, test.log)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one with %q", test.name, err, test.want)
		}
	}
	dir := out(t, "dropped 0\n", log)
	if err := os.WriteFile(filepath.Join(dir, "scans"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := judge(dir); err == nil || !strings.Contains(err.Error(), "no scan") {
		t.Errorf("a run without scans: %v", err)
	}
	for _, text := range []string{"4294940000\n", "4294940000 250\n", "now 100\n"} {
		if err := os.WriteFile(filepath.Join(dir, "scans"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := judge(dir); err == nil || !strings.Contains(err.Error(), "scans:1: ") {
			t.Errorf("times of scans %q: %v", text, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "scans")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := judge(dir); err == nil {
		t.Error("a run without times of scans was judged")
	}
}

func TestRanges(t *testing.T) {
	for want, list := range map[string][]int{"-": nil, "3": {3}, "0-1": {0, 1}, "1,3-5,7": {1, 3, 4, 5, 7}} {
		if got := ranges(list); got != want {
			t.Errorf("%v is written %s, want %s", list, got, want)
		}
	}
}

// Clean and leaky runs of one seed do the same work, and every plan is one that
// init.c can read.
func TestDraw(t *testing.T) {
	unloaded := 0
	for seed := range uint64(200) {
		p := draw(rand.New(rand.NewPCG(seed, 1)), "labnet", datasets.Leaky, 20)
		clean := draw(rand.New(rand.NewPCG(seed, 1)), "labnet", datasets.Clean, 20)
		if p.leaks == 0 || p.leaks > 7 || p.rate < 50 || p.rate > 1000 || p.after > p.duration()/2 || p.scans < 10 || p.scans > 20 {
			t.Fatalf("seed %d: %+v", seed, p)
		}
		leaky := p
		leaky.class, leaky.leaks, leaky.rate, leaky.after = datasets.Clean, 0, 0, 0
		if !reflect.DeepEqual(leaky, clean) {
			t.Errorf("seed %d: clean %+v, leaky %+v", seed, clean, p)
		}
		var b bytes.Buffer
		if err := p.write(&b); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(b.String(), "\n")
		if n := strings.Count(b.String(), "scan\n"); n != p.scans || lines[len(lines)-2] != "done" {
			t.Errorf("seed %d: %d scans in\n%s", seed, n, b.String())
		}
		if slices.Contains(lines, "unload labnet") {
			unloaded++
		}
	}
	if unloaded < 10 || unloaded > 100 {
		t.Errorf("%d of 200 runs unload the module", unloaded)
	}
}

func TestCollectRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Collect(context.Background(), Config{Kernel: dir, Dir: dir}); err == nil || !strings.Contains(err.Error(), "build.sh") {
		t.Errorf("no kernel: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "stamp"), []byte("6.1.1-1 123 4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var failed []string
	c := Config{Kernel: dir, Dir: dir, Clean: 1, Leaky: 1, Modules: []string{"labnet"}, Progress: func(_ datasets.Run, _ *Truth, f *datasets.Failure) {
		failed = append(failed, f.Reason)
	}}
	if _, err := Collect(context.Background(), c); err == nil || len(failed) != 2*attempts || !strings.Contains(failed[0], "build.sh") {
		t.Errorf("half a kernel: %v, %q", err, failed)
	}
}

func TestComplaints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dmesg.log")
	for text, bad := range map[string]bool{
		"[    0.1] Linux version 6.1\n[    0.2] kmemleak: Kernel memory leak detector initialized\n": false,
		"[    1.0] WARNING: CPU: 0 PID: 20 at labcore.c:80\n":                                        true,
		"[    1.0] kmemleak: Kernel memory leak detector disabled\n":                                 true,
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := complaints(path); (err != nil) != bad {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A machine that does not speak, does not end, or ends in a failure is no run.
func TestBootRefuses(t *testing.T) {
	tests := []struct{ name, script, want string }{
		{"dies", "echo panic; exit 3", "did not carry out its plan; its last words: panic"},
		{"hangs", "sleep 60", "did not switch itself off"},
		{"fails", "echo 'No such file: load labnet.ko' >out/status", "in the kernel: No such file: load labnet.ko"},
		{"warns", "echo done >out/status; echo 'WARNING: at labcore' >out/dmesg.log", "the kernel complained"},
	}
	kernel := t.TempDir()
	if err := os.Mkdir(filepath.Join(kernel, "modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"init", "modules/labcore.ko", "modules/labnet.ko"} {
		if err := os.WriteFile(filepath.Join(kernel, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range tests {
		if err := os.WriteFile(filepath.Join(kernel, "linux"), []byte("#!/bin/sh\n"+test.script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		err := boot(ctx, kernel, t.TempDir(), plan{module: "labnet", scans: 3})
		cancel()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one with %q", test.name, err, test.want)
		}
	}
}
