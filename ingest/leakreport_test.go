package ingest_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// The tests that the readers of leak reports share: memcheck's text and XML, and
// kmemleak.

// readText reads a log that stands in a string.
func readText(t testing.TB, format, log string) ([]ingest.Event, ingest.Source, error) {
	t.Helper()
	src, err := ingest.NewSource("log", strings.NewReader(log), ingest.Options{Format: format})
	if err != nil {
		t.Fatal(err)
	}
	events, err := ingesttest.ReadAll(t, src)
	return events, src, err
}

func readTestdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// describe says what an event means, without its place in the log.
func describe(src ingest.Source, e ingest.Event) string {
	e.Line, e.Seq, e.Block = 0, 0, 0
	stack := ingest.AppendStackText(nil, src.Stacks(), e.Stack)
	_, frames, _ := bytes.Cut(stack, []byte("\n"))
	e.Stack = 0
	return string(ingest.AppendText(nil, e)) + "\n" + string(frames)
}

func describeAll(src ingest.Source, events []ingest.Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, describe(src, e))
	}
	return all
}

// samples are published logs; they lie beside the project where they are there
// at all.
func TestLeakReportSamples(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "samples")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no sample logs: %v", err)
	}
	for _, c := range []struct {
		file, format string
		records      int64
		live         ingest.Amount
		oracle       bool
	}{
		{"valgrind-text/captured-3.19-full.txt", "auto", 6, ingest.Amount{Blocks: 6, Bytes: 418}, true},
		{"valgrind-text/captured-3.19-timestamp-errors.txt", "auto", 6, ingest.Amount{Blocks: 6, Bytes: 418}, true},
		{"valgrind-trace-malloc/captured-3.19-c.txt", "memcheck", 6, ingest.Amount{Blocks: 6, Bytes: 418}, true},
		{"valgrind-trace-malloc/captured-3.19-fork-exec-interleaved.txt", "memcheck", 12, ingest.Amount{Blocks: 12, Bytes: 836}, true},
		{"valgrind-xml/captured-3.19-p4.xml", "auto", 2, ingest.Amount{Blocks: 50, Bytes: 9600}, false},
		{"valgrind-xml/cargo-version4.xml", "auto", 8, ingest.Amount{Blocks: 13, Bytes: 79623}, false},
		{"valgrind-xml/cargo-version6.xml", "auto", 0, ingest.Amount{}, false},
		{"valgrind-xml/jenkins-simple.xml", "auto", 1, ingest.Amount{Blocks: 1, Bytes: 4}, false},
		{"kmemleak/lkml-ptrval-interleaved.txt", "auto", 2, ingest.Amount{Blocks: 2, Bytes: 384}, false},
		{"kmemleak/syzkaller-guilty-47.txt", "auto", 2, ingest.Amount{Blocks: 2, Bytes: 384}, false},
		{"kmemleak/syzkaller-report-151.txt", "auto", 2, ingest.Amount{Blocks: 2, Bytes: 1040}, false},
		{"kmemleak/syzkaller-report-51.txt", "auto", 1, ingest.Amount{Blocks: 1, Bytes: 64}, false},
		{"kmemleak/syzkaller-report-53.txt", "auto", 1, ingest.Amount{Blocks: 1, Bytes: 1024}, false},
		{"kmemleak/syzkaller-report-55.txt", "auto", 1, ingest.Amount{Blocks: 1, Bytes: 20}, false},
	} {
		t.Run(c.file, func(t *testing.T) {
			src, err := ingest.Open(filepath.Join(dir, c.file), ingest.Options{Format: c.format})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			if _, err := ingesttest.ReadAll(t, src); err != nil {
				t.Error(err)
			}
			r := src.Report()
			if r.Records != c.records || r.Outstanding != c.live || r.Truncated {
				t.Errorf("%d records, %+v outstanding, truncated %v; want %d and %+v", r.Records, r.Outstanding, r.Truncated, c.records, c.live)
			}
			if c.oracle != (r.Oracle != nil && r.Oracle.OK) {
				t.Errorf("oracle %+v", r.Oracle)
			}
		})
	}
}

// Bad lines: each gives exactly this error, and the record behind it is read.
func TestLeakReportBadLines(t *testing.T) {
	const goodText = "==1== 8 bytes in 1 blocks are definitely lost in loss record 9 of 9\n==1==    at 0x10: f (f.c:1)\n==1== \n"
	const goodObject = "unreferenced object 0xffff0000 (size 8):\n  comm \"c\", pid 1, jiffies 4294900000\n  backtrace:\n    f+0x1/0x2\n"
	const xmlHead = "<?xml version=\"1.0\"?>\n<valgrindoutput>\n<protocolversion>4</protocolversion>\n<pid>1</pid>\n"
	const goodXML = "<error><kind>Leak_DefinitelyLost</kind><xwhat><text>8 bytes in 1 blocks are definitely lost in loss record 9 of 9</text></xwhat>" +
		"<stack><frame><ip>0x10</ip><fn>f</fn></frame></stack></error>\n</valgrindoutput>\n"
	for _, c := range []struct{ name, format, log, want string }{
		{"no number of blocks", "memcheck", "==1== 8 bytes in blocks are definitely lost in loss record 1 of 9\n" + goodText,
			`log:1: loss record not understood: "8 bytes in blocks are definitely lost in loss record 1 of 9"`},
		{"unknown kind", "memcheck", "==1== 8 bytes in 1 blocks are nearly lost in loss record 1 of 9\n" + goodText,
			`log:1: loss record not understood: "8 bytes in 1 blocks are nearly lost in loss record 1 of 9"`},
		{"number out of range", "memcheck", "==1== 99,999,999,999,999,999,999 bytes in 1 blocks are definitely lost in loss record 1 of 9\n" + goodText,
			`log:1: loss record not understood: "99,999,999,999,999,999,999 bytes in 1 blocks are definitely lost in loss record 1 of 9"`},
		{"no call stack", "memcheck", "\n==1== 8 bytes in 1 blocks are definitely lost in loss record 1 of 9\n==1== \n" + goodText,
			`log:2: loss record without a call stack`},
		{"broken frame", "memcheck", strings.Replace(goodText, "0x10: f (f.c:1)", "0x1z: f (f.c:1)\n==1==    by 0x10: f (f.c:1)", 1),
			`log:2: call stack entry not understood: "1z: f (f.c:1)"`},
		{"XML record not understood", "memcheck-xml", xmlHead + strings.Replace(goodXML, "8 bytes", "eight bytes", 1)[:len(goodXML)-len("</valgrindoutput>")+3] + goodXML,
			`log:5: loss record not understood: "eight bytes in 1 blocks are definitely lost in loss record 9 of 9"`},
		{"XML without a call stack", "memcheck-xml", xmlHead + "<error>\n<kind>Leak_PossiblyLost</kind>\n<xwhat><text>8 bytes in 1 blocks are possibly lost in loss record 1 of 9</text></xwhat></error>" + goodXML,
			`log:5: loss record without a call stack`},
		{"XML not well-formed", "memcheck-xml", xmlHead + "<error>\n<kind>Leak_PossiblyLost</kind\n<xwhat>" + goodXML,
			`log:7: damaged XML (invalid characters between </kind and >); reading goes on at the next <error>`},
		{"XML text too long", "memcheck-xml", xmlHead + "<error>\n<kind>" + strings.Repeat("x", 3<<20) + goodXML,
			`log:6: damaged XML (an element or text longer than 1048576 bytes); reading goes on at the next <error>`},
		{"no size", "kmemleak", "unreferenced object 0xffff0010:\n" + goodObject,
			`log:1: object not understood: " 0xffff0010:"`},
		{"address out of range", "kmemleak", "unreferenced object 0x1ffffffffffffffff (size 8):\n" + goodObject,
			`log:1: object not understood: " 0x1ffffffffffffffff (size 8):"`},
		{"no backtrace", "kmemleak", "unreferenced object 0xffff0010 (size 8):\n  comm \"c\", pid 1, jiffies 4294900000\n" + goodObject,
			`log:1: object 0xffff0010 has no backtrace`},
		{"no address of the code", "kmemleak", strings.Replace(goodObject, "f+0x1", "[<0000 g+0x1/0x2\n    f+0x1", 1),
			`log:4: call stack entry not understood: "[<0000 g+0x1/0x2"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, src, err := readText(t, c.format, c.log)
			if err == nil || err.Error() != c.want {
				t.Errorf("error\n\t%v\nwant\n\t%s", err, c.want)
			}
			if len(events) != 1 || events[0].Size != 8 || src.Report().Errors != 1 {
				t.Errorf("%d events, %d errors; want the one good record and one error", len(events), src.Report().Errors)
			}
		})
	}
	// A comm line that cannot be read costs the process and the time, not the object.
	events, _, err := readText(t, "kmemleak", strings.Replace(goodObject, "pid 1", "pid x", 1))
	if want := `log:2: process and time not understood: "comm \"c\", pid x, jiffies 4294900000"`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if len(events) != 1 || events[0].Size != 8 || events[0].PID != 0 || events[0].Time != 0 {
		t.Errorf("events %+v", events)
	}
}

// What cannot be used at all ends the reading with one error.
func TestLeakReportRefused(t *testing.T) {
	for _, c := range []struct{ log, want string }{
		{"<valgrindoutput><protocolversion>3</protocolversion>", "XML protocol \"3\" is not supported"},
		{"<valgrindoutput>\n<protocolversion>4</protocolversion>\n<protocoltool>helgrind</protocoltool>", "log:3: the report is of Valgrind's tool \"helgrind\""},
	} {
		events, _, err := readText(t, "memcheck-xml", c.log)
		var syntax *ingest.SyntaxError
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &syntax) || len(events) != 0 {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
}

// A report that is cut off anywhere says so, and gives a part of its records.
func TestLeakReportCutOff(t *testing.T) {
	for _, c := range []struct {
		file, format string
		from, to     string // of the stretch that is not complete
	}{
		{"memcheck/kinds.log", "memcheck", "HEAP SUMMARY:\n", "suppressed: "},
		{"memcheck-xml/kinds.xml", "memcheck-xml", "<valgrindoutput>", "</valgrindoutput>"},
	} {
		log := readTestdata(t, c.file)
		all, src, err := readText(t, c.format, log)
		if err != nil {
			t.Fatal(err)
		}
		want := describeAll(src, all)
		from, to := strings.Index(log, c.from)+len(c.from), strings.Index(log, c.to)
		for cut := from; cut < to; cut += 7 {
			events, src, err := readText(t, c.format, log[:cut])
			if err != nil {
				t.Fatalf("%s cut at %d: %v", c.file, cut, err)
			}
			if !src.Report().Truncated {
				t.Fatalf("%s cut at %d: not said to be cut off", c.file, cut)
			}
			// The last record may lack the end of its stack.
			for i, d := range describeAll(src, events) {
				if d != want[i] && i != len(events)-1 {
					t.Fatalf("%s cut at %d: record %d is\n%swant\n%s", c.file, cut, i, d, want[i])
				}
			}
		}
	}
}

// The text and the XML report of one program agree.
func TestMemcheckTextAndXML(t *testing.T) {
	for _, name := range []string{"kinds", "templates", "checks"} {
		text, textSrc, err := readText(t, "memcheck", readTestdata(t, "memcheck/"+name+".log"))
		if err != nil {
			t.Fatal(err)
		}
		xml, xmlSrc, err := readText(t, "memcheck-xml", readTestdata(t, "memcheck-xml/"+name+".xml"))
		if err != nil {
			t.Fatal(err)
		}
		if len(text) != len(xml) {
			t.Fatalf("%s: %d records in the text, %d in the XML", name, len(text), len(xml))
		}
		for i := range text {
			a, b := text[i], xml[i]
			if a.Size != b.Size || a.Count != b.Count || a.Loss != b.Loss || a.Scan != b.Scan {
				t.Errorf("%s: record %d: %s\nand %s", name, i, ingest.AppendText(nil, a), ingest.AppendText(nil, b))
			}
			f, g := textSrc.Stacks().Frames(a.Stack), xmlSrc.Stacks().Frames(b.Stack)
			// The text was made with more callers.
			for j := range min(len(f), len(g)) {
				if f[j].Function != g[j].Function || f[j].Line != g[j].Line || f[j].Address != g[j].Address || f[j].Inlined != g[j].Inlined {
					t.Errorf("%s: record %d, frame %d: %v and %v", name, i, j, f[j], g[j])
				}
			}
		}
	}
}

// Lines of several processes in one file do not disturb one another, however
// they are shuffled, and neither does what the program itself prints.
func TestMemcheckJumbled(t *testing.T) {
	logs := []string{readTestdata(t, "memcheck/kinds.log"), readTestdata(t, "memcheck/threads.log"), readTestdata(t, "memcheck/templates.log")}
	var want []string
	for _, log := range logs {
		events, src, err := readText(t, "memcheck", log)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, describeAll(src, events)...)
	}
	slices.Sort(want)
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var rest [][]string
		left := 0
		for _, log := range logs {
			rest = append(rest, strings.SplitAfter(log, "\n"))
			left += len(rest[len(rest)-1])
		}
		var mixed strings.Builder
		for left > 0 {
			i := random.IntN(len(rest))
			if len(rest[i]) == 0 {
				continue
			}
			if random.IntN(4) == 0 {
				mixed.WriteString([]string{"done\n", "a == b, 3", "==x== 5 bytes in 1 blocks\n", "\x80\xfe\n", "50% ==="}[random.IntN(5)])
			}
			mixed.WriteString(rest[i][0])
			rest[i] = rest[i][1:]
			left--
		}
		events, src, err := readText(t, "memcheck", mixed.String())
		if err != nil {
			t.Fatal(err)
		}
		got := describeAll(src, events)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("got\n%s\nwant\n%s\nfrom\n%s", strings.Join(got, ""), strings.Join(want, ""), mixed.String())
		}
		if o := src.Report().Oracle; o == nil || !o.OK {
			t.Fatalf("oracle %+v", o)
		}
	}
}

// A record that is missing from the middle shows in the oracle.
func TestMemcheckOracleNotices(t *testing.T) {
	log := readTestdata(t, "memcheck/kinds.log")
	i := strings.Index(log, "loss record 5 of 9")
	i = strings.LastIndex(log[:i], "\n") + 1
	end := i + strings.Index(log[i:], "== \n") + len("== \n")
	_, src, err := readText(t, "memcheck", log[:i]+log[end:])
	if err != nil {
		t.Fatal(err)
	}
	o := src.Report().Oracle
	if o == nil || o.OK || !strings.HasPrefix(o.Expected, "definitely lost: 476 bytes in 7 blocks") ||
		!strings.HasPrefix(o.Got, "definitely lost: 376 bytes in 6 blocks") {
		t.Errorf("oracle %+v", o)
	}
}

// Old versions of Valgrind cut long lines together with their newline.
func TestMemcheckTwoFramesInALine(t *testing.T) {
	events, src, err := readText(t, "memcheck", "==7== 8 bytes in 1 blocks are definitely lost in loss record 1 of 1\n"+
		"==7==    at 0x10: malloc (vg_replace_malloc.c:299)\n"+
		"==7==    by 0x20: std::map<int, std::hash<==7==    by 0x30: main (main.cpp:3)\n==7== \n")
	if err != nil || len(events) != 1 {
		t.Fatal(err, events)
	}
	var got []string
	for _, f := range src.Stacks().Frames(events[0].Stack) {
		got = append(got, f.Function)
	}
	if want := []string{"malloc", "std::map<int, std::hash<", "main"}; !slices.Equal(got, want) {
		t.Errorf("frames %q, want %q", got, want)
	}
}

// Whatever a log or a mail puts before the lines of kmemleak, the objects are
// the same.
func TestKmemleakPrefixes(t *testing.T) {
	for _, file := range []string{"4.19-debugfs.txt", "6.8-debugfs.txt", "6.15-debugfs.txt", "3.0-vendor.txt"} {
		log := readTestdata(t, "kmemleak/"+file)
		events, src, err := readText(t, "kmemleak", log)
		if err != nil {
			t.Fatal(err)
		}
		want := describeAll(src, events)
		line := regexp.MustCompile(`(?m)^`)
		blanks := regexp.MustCompile(`(?m)^ +`)
		for name, changed := range map[string]string{
			"CRLF":            strings.ReplaceAll(log, "\n", "\r\n"),
			"trailing blanks": strings.ReplaceAll(log, "\n", "  \n"),
			"no indentation":  blanks.ReplaceAllString(log, ""),
			"tabs":            blanks.ReplaceAllString(log, "\t"),
			"quoted":          line.ReplaceAllString(log, "> "),
			"quoted twice":    line.ReplaceAllString(log, ">> > "),
			"dmesg":           line.ReplaceAllString(log, "[  900.123456] kmemleak: "),
			"dmesg, caller":   line.ReplaceAllString(log, "[  900.123456][  T170] kmemleak: "),
			"dmesg, level":    line.ReplaceAllString(log, "<4>[  900.123456] kmemleak: "),
			"dmesg -T":        line.ReplaceAllString(log, "[Mon Nov 21 07:09:10 2022] kmemleak: "),
			"dmesg -x":        line.ReplaceAllString(log, "kern  :warn  : [  900.123456] kmemleak: "),
			"dmesg iso":       line.ReplaceAllString(log, "2022-11-21T07:09:10,123456+00:00 kmemleak: "),
			"syslog":          line.ReplaceAllString(log, "Nov 21 07:09:10 box kernel: [  900.123456] kmemleak: "),
			"journald":        line.ReplaceAllString(log, "2022-11-21T07:09:10+0000 box kernel: kmemleak: "),
			"android":         line.ReplaceAllString(log, "[  900.123]c6 [ T5491] kmemleak: "),
			"console":         line.ReplaceAllString(log, "[  900.123456] "),
			"syzkaller":       line.ReplaceAllString(log, "2018/01/09 14:28:48 "),
		} {
			events, src, err := readText(t, "kmemleak", changed)
			if err != nil {
				t.Errorf("%s, %s: %v", file, name, err)
				continue
			}
			// A stamp tells the tick rate where the age does; that is not asked here.
			if got := describeAll(src, events); !slices.Equal(withoutTime(got), withoutTime(want)) {
				t.Errorf("%s, %s: got\n%s\nwant\n%s", file, name, strings.Join(got, ""), strings.Join(want, ""))
			}
		}
	}
}

func withoutTime(descriptions []string) []string {
	time := regexp.MustCompile(` time=\S+`)
	var out []string
	for _, d := range descriptions {
		out = append(out, time.ReplaceAllString(d, ""))
	}
	return out
}

// On a serial console a message of the kernel may stand anywhere in a line.
func TestKmemleakBrokenAnywhere(t *testing.T) {
	log := readTestdata(t, "kmemleak/4.19-debugfs.txt")
	log = log[:strings.Index(log, "unreferenced object 0xffff9a7c0a11f2e0")]
	events, src, err := readText(t, "kmemleak", log)
	if err != nil {
		t.Fatal(err)
	}
	want := describeAll(src, events)
	const message = "[  101.941505] random: fast init done\n"
	first := strings.Index(log, "\n") + 1
	for i := first; i < len(log); i++ {
		events, src, err := readText(t, "kmemleak", log[:i]+message+log[i:])
		if err != nil {
			t.Fatalf("at %q: %v", log[max(0, i-20):i], err)
		}
		if got := describeAll(src, events); !slices.Equal(got, want) {
			t.Fatalf("at %q: got\n%s\nwant\n%s", log[max(0, i-20):i], strings.Join(got, ""), strings.Join(want, ""))
		}
	}
}

// The tick rate is read off the records: of two objects with the time t of their
// birth and what the log shows of them.
func TestKmemleakTickRate(t *testing.T) {
	for _, hz := range []int64{100, 250, 300, 1000} {
		boot := int64(1<<32) - 300*hz
		object := func(addr int, comm string, pid int, seconds int64, age string) string {
			return fmt.Sprintf("unreferenced object 0xffff%04x (size 8):\n  comm \"%s\", pid %d, jiffies %d%s\n  backtrace:\n    f+0x1/0x2\n",
				addr, comm, pid, boot+seconds*hz, age)
		}
		for name, log := range map[string]string{
			"two ages": object(16, "a", 9, 500, " (age 120.000s)") + object(32, "b", 9, 560, " (age 60.004s)"),
			"stamps": "[  620.0] kmemleak: " + strings.ReplaceAll(object(16, "a", 9, 500, " (age 120.000s)"), "\n  ", "\n[  620.0] kmemleak:   ") +
				object(32, "b", 9, 560, ""),
			"a mark": fmt.Sprintf("# kmemleak scan 1 CONFIG_HZ=%d \n", hz) + object(16, "a", 9, 500, "") + object(32, "b", 9, 560, ""),
			"a stamp soon after boot": "[   20.0] kmemleak: " + strings.ReplaceAll(object(16, "a", 9, 2, ""), "\n  ", "\n[   20.0] kmemleak:   ") +
				object(32, "b", 9, 560, ""),
			"the kernel's start": object(16, "swapper/0", 1, 2, "") + object(32, "b", 9, 560, ""),
		} {
			events, src, err := readText(t, "kmemleak", log)
			if err != nil || len(events) != 2 {
				t.Fatalf("%d Hz, %s: %v, %d events", hz, name, err, len(events))
			}
			if got := events[1].Time.Seconds(); got != 560 {
				t.Errorf("%d Hz, %s: %v s since boot, want 560", hz, name, got)
			}
			if len(src.Report().Messages) > 0 {
				t.Errorf("%d Hz, %s: %v", hz, name, src.Report().Messages)
			}
		}
	}
}

// Scans are told apart by the objects that come up again, also where older
// objects come up late; without any, one list stays one scan.
func TestKmemleakScans(t *testing.T) {
	object := func(n int, jiffies int64) string {
		return fmt.Sprintf("unreferenced object 0xffff%04x (size %d):\n  comm \"c\", pid 7, jiffies %d\n  backtrace:\n    f+0x1/0x2\n", n*64, n, 4294900000+jiffies)
	}
	a, b, c, d := object(1, 1000), object(2, 2000), object(3, 3000), object(4, 4000)
	for _, k := range []struct{ name, log, want string }{
		{"one", a + b + c, "000"},
		{"unordered", c + a + b + d, "0000"},
		{"two", a + b + a + b, "0011"},
		{"growing", a + a + b + a + b + c, "011222"},
		{"shrinking", a + b + c + b + c, "00011"},
		{"older one late", b + c + a + b + c, "00111"},
		{"older ones late", c + d + a + b + c, "00111"},
		{"older one only", b + c + a, "000"},
		{"told by the kernel", b + c + "kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)\n" + a + d, "0011"},
		{"marked", "# kmemleak scan\n" + b + "# kmemleak scan 2\n" + a, "01"},
		{"an address again", object(1, 1000) + object(1, 5000), "00"},
	} {
		events, src, err := readText(t, "kmemleak", k.log)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, e := range events {
			got += fmt.Sprint(e.Scan)
		}
		if got != k.want {
			t.Errorf("%s: scans %s, want %s", k.name, got, k.want)
		}
		if class := src.Report().Class; (class == ingest.Snapshots) != strings.Contains(got, "1") {
			t.Errorf("%s: class %s", k.name, class)
		}
	}
	// Nothing found is a result too.
	for _, log := range []string{"# kmemleak scan 1\n# kmemleak scan 2\n", "[    1.204411] kmemleak: Kernel memory leak detector initialized (mem pool available: 13907)\n"} {
		if events, src, err := readText(t, "auto", log); err != nil || len(events) != 0 || src.Report().Format != "kmemleak" {
			t.Errorf("%q: %v, %d events, %s", log, err, len(events), src.Report().Format)
		}
	}
	// A last scan without suspects: those of the scans before it are gone.
	for log, want := range map[string]int64{
		"# kmemleak scan 1\n" + a + b + "# kmemleak scan 2\n":                        0,
		"# kmemleak scan 1\n" + a + b + "# kmemleak scan 2\n# kmemleak scan 3\n" + a: 1,
	} {
		_, src, err := readText(t, "kmemleak", log)
		if r := src.Report(); err != nil || r.Outstanding.Blocks != want || r.LastEmpty != (want == 0) || r.Class != ingest.Snapshots {
			t.Errorf("%v, %+v outstanding, last scan empty: %v, class %s, want %d blocks", err, r.Outstanding, r.LastEmpty, r.Class, want)
		}
	}
	// What the kernel log told stands in the file too, once.
	log := strings.ReplaceAll("\n"+strings.TrimSuffix(a+b, "\n"), "\n", "\n[   12.5] kmemleak: ") + "\n"
	events, src, err := readText(t, "kmemleak", log+"[   12.6] kmemleak: 2 new suspected memory leaks\n"+a+b+c)
	if err != nil || len(events) != 3 || src.Report().Class != ingest.EndReport {
		t.Errorf("%v, %d events, want 3 of one scan", err, len(events))
	}
	if o := src.Report().Oracle; o == nil || !o.OK || o.Expected != "2" {
		t.Errorf("oracle %+v", o)
	}
}

// A scan of many objects needs little memory beside them, in any order.
func TestKmemleakHeldIsBounded(t *testing.T) {
	var log strings.Builder
	const n = 20000
	for i := range n {
		fmt.Fprintf(&log, "unreferenced object 0x%x (size 8):\n  comm \"c\", pid 7, jiffies %d\n  backtrace:\n    f+0x1/0x2\n", 0xffff0000+i*64, 4295000000-i*20)
	}
	src, err := ingest.NewSource("log", strings.NewReader(log.String()), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	for e, err := range ingesttest.Valid(t, src).Events() {
		if err != nil {
			t.Fatal(err)
		}
		// An object is handed out at most 2 x 1024 objects of 4 lines after it
		// was read; the report counts what was recognised so far.
		if lag := src.Report().Recognised - e.Line; lag > 4*2*1024+8 {
			t.Fatalf("object %d is held for %d lines", events, lag)
		}
		events++
	}
	if events != n {
		t.Errorf("%d objects, want %d", events, n)
	}
}

// Elements in one another without end, and a comment that is not XML.
func TestMemcheckXMLHostile(t *testing.T) {
	const tail = "<error><kind>Leak_DefinitelyLost</kind><xwhat><text>8 bytes in 1 blocks are definitely lost in loss record 1 of 1</text></xwhat>" +
		"<stack><frame><ip>0x10</ip><fn>f\x01\xff</fn></frame></stack></error></valgrindoutput>"
	for name, head := range map[string]string{
		"comment":      "<valgrindoutput><usercomment>a < b && <error> </usercommen></usercomment>",
		"two comments": "<valgrindoutput><usercomment></usercomment><usercomment><<<</usercomment>",
		"depth":        "<valgrindoutput>" + strings.Repeat("<a>", 100000) + strings.Repeat("</a>", 100000),
		"marks":        "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><!DOCTYPE x><valgrindoutput>",
	} {
		events, src, err := readText(t, "memcheck-xml", head+tail)
		if err != nil || len(events) != 1 || src.Report().Truncated {
			t.Errorf("%s: %v, %d events, truncated %v", name, err, len(events), src.Report().Truncated)
			continue
		}
		if f := src.Stacks().Frames(events[0].Stack); len(f) != 1 || f[0].Function != "f?\ufffd" {
			t.Errorf("%s: frames %q", name, f)
		}
	}
}

func fuzzReader(f *testing.F, format string) {
	files, err := filepath.Glob(filepath.Join("testdata", format, "*"))
	if err != nil || len(files) == 0 {
		f.Fatal(err, "no seeds")
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".golden") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 6000)])
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		src, err := ingest.NewSource("log", bytes.NewReader(log), ingest.Options{Format: format})
		if err != nil {
			return
		}
		events, err := ingesttest.ReadAll(t, src)
		if r := src.Report(); int64(len(events)) != r.Records || (err == nil) != (r.Errors == 0) && format != "memcheck-xml" && format != "dhat" {
			t.Fatalf("%d events, %d records, %d errors, %v", len(events), r.Records, r.Errors, err)
		}
	})
}

func FuzzMemcheck(f *testing.F)    { fuzzReader(f, "memcheck") }
func FuzzMemcheckXML(f *testing.F) { fuzzReader(f, "memcheck-xml") }
func FuzzKmemleak(f *testing.F)    { fuzzReader(f, "kmemleak") }

// benchmarkReader reads a log that repeats unit, changed a little each time.
func benchmarkReader(b *testing.B, format string, head string, unit func(i int) string, tail string) {
	var log strings.Builder
	log.WriteString(head)
	for i := 0; log.Len() < 16<<20; i++ {
		log.WriteString(unit(i))
	}
	log.WriteString(tail)
	benchmarkLog(b, log.String(), format)
}

func BenchmarkKmemleak(b *testing.B) {
	log := readTestdata(b, "kmemleak/4.19-debugfs.txt")
	records := strings.SplitAfter(log, "unreferenced object")[1:]
	at := 0
	benchmarkReader(b, "kmemleak", "", func(i int) string {
		at++
		rec := strings.TrimSuffix(records[i%2], "unreferenced object")
		return "unreferenced object" + strings.Replace(rec, "0xffff9a7c06c3d4", fmt.Sprintf("0xffff9a7c%06x", at), 1)
	}, "")
}

func BenchmarkMemcheck(b *testing.B) {
	log := readTestdata(b, "memcheck/templates.log")
	from, to := strings.Index(log, "128 bytes in 1 blocks"), strings.Index(log, "LEAK SUMMARY")
	from, to = strings.LastIndex(log[:from], "\n")+1, strings.LastIndex(log[:to], "\n")+1
	benchmarkReader(b, "memcheck", log[:from], func(int) string { return log[from:to] }, "")
}

func BenchmarkMemcheckXML(b *testing.B) {
	log := readTestdata(b, "memcheck-xml/templates.xml")
	from, to := strings.Index(log, "<error>"), strings.LastIndex(log, "</error>")+len("</error>\n")
	benchmarkReader(b, "memcheck-xml", log[:from], func(int) string { return log[from:to] }, log[to:])
}
