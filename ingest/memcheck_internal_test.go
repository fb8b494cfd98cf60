package ingest

import (
	"testing"
	"time"
)

func TestParseWhere(t *testing.T) {
	for _, c := range []struct {
		where string
		want  Frame
	}{
		{"main (leak.c:17)", Frame{Function: "main", File: "leak.c", Line: 17}},
		{"main (/src/a b (copy)/leak.c:17)", Frame{Function: "main", File: "/src/a b (copy)/leak.c", Line: 17}},
		{"main (in /opt/x (1)/demo)", Frame{Function: "main", Module: "/opt/x (1)/demo"}},
		{"main (C:\\src\\leak.c:17)", Frame{Function: "main", File: "C:\\src\\leak.c", Line: 17}},
		{"malloc (in ???)", Frame{Function: "malloc"}},
		{"??? (in /lib/libz.so)", Frame{Module: "/lib/libz.so"}},
		{"??? (stub.S:3)", Frame{File: "stub.S", Line: 3}},
		{"???", Frame{}},
		{"operator new[](unsigned long) (in /usr/lib/vgpreload.so)", Frame{Function: "operator new[](unsigned long)", Module: "/usr/lib/vgpreload.so"}},
		{"main::{lambda()#1}::operator()() const (a.cpp:4)", Frame{Function: "main::{lambda()#1}::operator()() const", File: "a.cpp", Line: 4}},
		{"main::{lambda()#1}::operator()() const", Frame{Function: "main::{lambda()#1}::operator()() const"}},
		{"<T as core::fmt::Display>::fmt (lib.rs:9)", Frame{Function: "<T as core::fmt::Display>::fmt", File: "lib.rs", Line: 9}},
		{"memcpy@@GLIBC_2.14 (vg_replace_strmem.c:1)", Frame{Function: "memcpy", File: "vg_replace_strmem.c", Line: 1}},
		{"main+60 (leak.c:17)", Frame{Function: "main", File: "leak.c", Line: 17}},
		{"lose.constprop.0+28 (leak.c:25)", Frame{Function: "lose", File: "leak.c", Line: 25}},
		{"_ZN3app4connC2EPKc (a.cpp:2)", Frame{Function: "app::conn::conn(char const*)", File: "a.cpp", Line: 2}},
		{"vector<int, std::less<(anonymous", Frame{Function: "vector<int, std::less<(anonymous"}},
		{"", Frame{}},
		{")", Frame{Function: ")"}},
		{" ()", Frame{Function: "()"}},
	} {
		if got := parseWhere(c.where); got != c.want {
			t.Errorf("%q: %+v, want %+v", c.where, got, c.want)
		}
	}
}

func TestCutPrefix(t *testing.T) {
	for _, c := range []struct {
		line, before, text string
		pid                int32
		at                 time.Duration
		ok                 bool
	}{
		{line: "==7== text", text: "text", pid: 7, ok: true},
		{line: "==7==", pid: 7, ok: true},
		{line: "==7==   text", text: "  text", pid: 7, ok: true},
		{line: ">>==7== text", before: ">>", text: "text", pid: 7, ok: true},
		{line: "no newline==7== text", before: "no newline", text: "text", pid: 7, ok: true},
		{line: "=====7== text", before: "===", text: "text", pid: 7, ok: true},
		{line: "a==b ==7== c", before: "a==b ", text: "c", pid: 7, ok: true},
		{line: "==01:02:03:04.567 7== text", text: "text", pid: 7, at: 26*time.Hour + 3*time.Minute + 4567*time.Millisecond, ok: true},
		{line: "==123:00:00:00.000 7== x", text: "x", pid: 7, at: 123 * 24 * time.Hour, ok: true},
		{line: "--7-- malloc(8) = 0x10", before: "--7-- malloc(8) = 0x10"},
		{line: "==7==ERROR: LeakSanitizer", before: "==7==ERROR: LeakSanitizer"},
		{line: "==99999999999== x", before: "==99999999999== x"},
		{line: "==01:02:03 7== x", before: "==01:02:03 7== x"},
		{line: "==", before: "=="},
		{line: ""},
	} {
		before, p, ok := cutPrefix([]byte(c.line))
		if string(before) != c.before || string(p.text) != c.text || p.pid != c.pid || p.at != c.at || ok != c.ok || p.stamped != (c.at != 0) {
			t.Errorf("%q: %q, %+v (text %q), %v", c.line, before, p, p.text, ok)
		}
	}
}

func TestParseLoss(t *testing.T) {
	for _, c := range []struct {
		text string
		want loss
	}{
		{"6 bytes in 1 blocks are definitely lost in loss record 1 of 6", loss{Definite, 6, 1, 1, false}},
		{"1,234,567 bytes in 1,000 blocks are still reachable in loss record 12,345 of 20,000", loss{Reachable, 1234567, 1000, 12345, false}},
		{"24 (16 direct, 8 indirect) bytes in 1 blocks are definitely lost in loss record 2 of 2", loss{Definite, 16, 1, 2, false}},
		{"20 (+10) bytes in 2 (+1) blocks are possibly lost in new loss record 3 of 4", loss{Possible, 20, 2, 3, true}},
		{"24 (-8) (16 (-8) direct, 8 (+0) indirect) bytes in 1 (-1) blocks are definitely lost in loss record 2 of 2", loss{Definite, 16, 1, 2, true}},
		{"0 (-8) bytes in 0 (-1) blocks are indirectly lost in loss record 2 of 2", loss{Indirect, 0, 0, 2, true}},
	} {
		if got, ok := parseLoss([]byte(c.text)); got != c.want || !ok {
			t.Errorf("%q: %+v, %v; want %+v", c.text, got, ok, c.want)
		}
	}
	for _, text := range []string{"", "6", "6 bytes", "6 bytes in 1 blocks are definitely lost", "bytes in 1 blocks are definitely lost in loss record 1 of 6",
		"6 bytes in 0 blocks are definitely lost in loss record 1 of 6", "6 (7 direct, indirect) bytes in 1 blocks are definitely lost in loss record 1 of 6",
		"6 bytes in 1 blocks are suppressed in loss record 1 of 6", "6 bytes in 1 blocks are definitely lost in loss record one of 6"} {
		if got, ok := parseLoss([]byte(text)); ok {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// Frames with one address are inlined into the outermost of them; the same frame
// twice is recursion.
func TestMarkInlined(t *testing.T) {
	frame := func(name string, address uint64) Frame { return Frame{Function: name, Address: address} }
	for _, c := range []struct{ stack, want string }{
		{"a1 b2 c3", "..."},
		{"a1 b1 c2", "i.."},
		{"a1 b1 c1 d2 e2", "ii.i."},
		{"f1 f1 f1 m2", "...."},
		{"i1 f1 i1 f1 m2", "i.i.."},
		{"", ""},
	} {
		var stack []Frame
		for i := 0; i+1 < len(c.stack); i += 3 {
			stack = append(stack, frame(c.stack[i:i+1], uint64(c.stack[i+1])))
		}
		markInlined(stack)
		got := ""
		for _, f := range stack {
			got += map[bool]string{true: "i", false: "."}[f.Inlined]
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.stack, got, c.want)
		}
	}
}

func TestParseKernelFrame(t *testing.T) {
	for _, c := range []struct {
		text string
		want Frame
		skip bool
		ok   bool
	}{
		{"kmem_cache_alloc+0x1c0/0x3c0", Frame{Function: "kmem_cache_alloc"}, false, true},
		{"do_ipv6_setsockopt.isra.7+0x15d0/0x2830 net/ipv6/ipv6_sockglue.c:483", Frame{Function: "do_ipv6_setsockopt", File: "net/ipv6/ipv6_sockglue.c", Line: 483}, false, true},
		{"kmalloc include/linux/slab.h:557 [inline]", Frame{Function: "kmalloc", File: "include/linux/slab.h", Line: 557, Inlined: true}, false, true},
		{"f+0x1/0x2 [nvme]", Frame{Function: "f", Module: "nvme"}, false, true},
		{"f+0x1/0x2 [8021q 0123456789abcdef]", Frame{Function: "f", Module: "8021q"}, false, true},
		{"f+0x1/0x2 [nvme] drivers/nvme/core.c:7", Frame{Function: "f", Module: "nvme", File: "drivers/nvme/core.c", Line: 7}, false, true},
		{"0xffffffffc0108000", Frame{Address: 0xffffffffc0108000}, false, true},
		{"0xffffffff", Frame{Address: 0xffffffff}, true, true},
		{"0xffffffffffffffff", Frame{Address: 1<<64 - 1}, true, true},
		{"f+0x1/0x2 [  101.941505] random: fast init done", Frame{}, false, false},
		{"f+0x1/0x2[  101.941505] random", Frame{}, false, false},
		{"? dump_stack+0x10/0x20", Frame{}, false, false},
		{"usb 1-1: new device", Frame{}, false, false},
		{"+0x1/0x2", Frame{}, false, false},
		{"", Frame{}, false, false},
	} {
		got, skip, ok := parseKernelFrame([]byte(c.text))
		if ok != c.ok || ok && (got != c.want || skip != c.skip) {
			t.Errorf("%q: %+v, %v, %v", c.text, got, skip, ok)
		}
	}
}
