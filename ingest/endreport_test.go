package ingest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// Tests of the readers of LeakSanitizer's, DHAT's and the CRT's reports.

func TestEndReportSamples(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "samples")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no sample logs: %v", err)
	}
	for _, c := range []struct {
		file, format string
		live         ingest.Amount
		oracle       bool
	}{
		{"lsan/captured-gcc12-asan.txt", "lsan", ingest.Amount{Blocks: 9, Bytes: 546}, true},
		{"lsan/captured-gcc12-lsan-cpp.txt", "lsan", ingest.Amount{Blocks: 50, Bytes: 9600}, true},
		{"lsan/captured-gcc12-lsan-report_objects.txt", "lsan", ingest.Amount{Blocks: 9, Bytes: 546}, true},
		{"lsan/kc3-lang__kc3-asan.log", "lsan", ingest.Amount{Blocks: 3, Bytes: 496}, true},
		{"dhat/captured-valgrind-3.19-dhat.out", "dhat", ingest.Amount{Blocks: 50, Bytes: 9600}, false},
		{"dhat/valgrind-dh_test-v1-3.15-sig.json", "dhat", ingest.Amount{Blocks: 16, Bytes: 102}, false},
		{"dhat/valgrind-dh_test-v2-3.19-sig.json", "dhat", ingest.Amount{Blocks: 16, Bytes: 102}, false},
	} {
		t.Run(c.file, func(t *testing.T) {
			src, err := ingest.Open(filepath.Join(dir, c.file), ingest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			if _, err := ingesttest.ReadAll(t, src); err != nil {
				t.Error(err)
			}
			r := src.Report()
			if r.Format != c.format || r.Outstanding != c.live || r.Truncated || r.Errors > 0 {
				t.Errorf("%s, %+v outstanding, truncated %v, %d errors; want %s and %+v", r.Format, r.Outstanding, r.Truncated, r.Errors, c.format, c.live)
			}
			if c.oracle != (r.Oracle != nil && r.Oracle.OK) {
				t.Errorf("oracle %+v", r.Oracle)
			}
		})
	}
}

// Bad records: each gives exactly this error, and the record behind it is read.
func TestEndReportBadLines(t *testing.T) {
	const goodPoint = "{\"dhatFileVersion\":2,\"mode\":\"heap\",\"bklt\":true,\n\"pps\":[{\"tb\":9,\"tbk\":2,\"eb\":8,\"ebk\":1,\"fs\":[1]}\n],\n\"ftbl\":[\"[root]\"\n,\"0x10: f (f.c:1)\"]}"
	const goodBlock = "{1} normal block at 0x20, 8 bytes long.\nObject dump complete.\n"
	const goodLeak = "Direct leak of 8 byte(s) in 1 object(s) allocated from:\n    #0 0x10 in f /f.c:1\n\n"
	for _, c := range []struct{ name, format, log, want string }{
		{"no number", "lsan", "Direct leak of many byte(s) in 1 object(s) allocated from:\n" + goodLeak,
			`log:1: leak not understood: "Direct leak of many byte(s) in 1 object(s) allocated from:"`},
		{"number out of range", "lsan", "Direct leak of 9999999999999999999 byte(s) in 1 object(s) allocated from:\n" + goodLeak,
			`log:1: leak not understood: "Direct leak of 9999999999999999999 byte(s) in 1 object(s) allocated from:"`},
		{"no objects", "lsan", "Indirect leak of 8 byte(s) in 0 object(s) allocated from:\n" + goodLeak,
			`log:1: leak not understood: "Indirect leak of 8 byte(s) in 0 object(s) allocated from:"`},
		{"no call stack", "lsan", "\nDirect leak of 8 byte(s) in 1 object(s) allocated from:\n\n" + goodLeak,
			`log:2: leak without a call stack`},
		{"broken frame", "lsan", strings.Replace(goodLeak, "#0 0x10", "#0 0x1z in g\n    #1 0x10", 1),
			`log:2: call stack entry not understood: "#0 0x1z in g"`},
		{"object too large", "lsan", goodLeak[:len(goodLeak)-1] + "\nObjects leaked above:\n0x20 (9 bytes)\n0x30 (8 bytes)\n",
			`log:5: object of 9 bytes, where the leak has 8 bytes in 1 objects left`},
		{"no size", "crt", "{9} normal block at 0x10, many bytes long.\n" + goodBlock, `log:1: block not understood: "{9} normal block at 0x10, many bytes long."`},
		{"unknown kind", "crt", "{9} lost block at 0x10, 9 bytes long.\n" + goodBlock, `log:1: block not understood: "{9} lost block at 0x10, 9 bytes long."`},
		{"no number", "crt", "a.c(3) : {x} normal block at 0x10, 9 bytes long.\n" + goodBlock,
			`log:1: block not understood: "a.c(3) : {x} normal block at 0x10, 9 bytes long."`},
		{"size out of range", "crt", "{9} normal block at 0x10, 281474976710657 bytes long.\n" + goodBlock,
			`log:1: block not understood: "{9} normal block at 0x10, 281474976710657 bytes long."`},
		{"more at the end than in all", "dhat", strings.Replace(goodPoint, "\n]", "\n,{\"tb\":8,\"tbk\":1,\"eb\":9,\"ebk\":1,\"fs\":[1]}]", 1),
			`log:3: 9 bytes in 1 blocks at the end of 8 bytes in 1 blocks`},
		{"blocks without end", "dhat", strings.Replace(goodPoint, "\n]", "\n,{\"eb\":9,\"ebk\":9223372036854775807,\"fs\":[1]}]", 1),
			`log:3: 9 bytes in 9223372036854775807 blocks at the end of 9223372036854775807 bytes in 9223372036854775807 blocks`},
		{"no such frame", "dhat", strings.Replace(goodPoint, "\n]", "\n,{\"tb\":8,\"tbk\":1,\"eb\":8,\"ebk\":1,\"fs\":[2]}]", 1),
			`log:3: a call stack with a frame that is not in the table of 2`},
		{"frame without address", "dhat", strings.Replace(goodPoint, "\"]}", "\",\n\"main\"]}", 1),
			`log:6: frame not understood: "main"`},
		{"no number", "dhat", strings.Replace(goodPoint, "\"]}", "\"],\n\n\"pid\":\"seven\"}", 1),
			`log:7: damaged JSON (seven where a number is expected); what follows is left out`},
		{"not JSON", "dhat", strings.Replace(goodPoint, "\"]}", "\"],\n\nx}", 1),
			`log:7: damaged JSON (invalid character 'x' looking for beginning of object key string); what follows is left out`},
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
}

// A function, a path and a module may hold blanks.
func TestLSanFrames(t *testing.T) {
	for _, c := range []struct {
		line string
		want ingest.Frame
	}{
		{"in main /a/b.c:3:5", ingest.Frame{Function: "main", File: "/a/b.c", Line: 3, Address: 0x10}},
		{"in operator new(unsigned long) ../../src/new.cpp:9", ingest.Frame{Function: "operator new(unsigned long)", File: "../../src/new.cpp", Line: 9, Address: 0x10}},
		{"in f(int, char const*) /home/My Project/a b.c:12", ingest.Frame{Function: "f(int, char const*)", File: "/home/My Project/a b.c", Line: 12, Address: 0x10}},
		{`in f C:\My Project\a.c:12:1`, ingest.Frame{Function: "f", File: `C:\My Project\a.c`, Line: 12, Address: 0x10}},
		{"in app::conn::conn(char const*) work.cpp:7", ingest.Frame{Function: "app::conn::conn(char const*)", File: "work.cpp", Line: 7, Address: 0x10}},
		{"in std::string::operator=[abi:ne200100](char const*) /usr/include/string:2", ingest.Frame{Function: "std::string::operator=(char const*)", File: "/usr/include/string", Line: 2, Address: 0x10}},
		{"in operator new(unsigned long) (/lib/x y/libasan.so+0xff) (BuildId: 0a1b)", ingest.Frame{Function: "operator new(unsigned long)", Module: "/lib/x y/libasan.so", Address: 0xff}},
		{"in main (/bin/a+0x1f)", ingest.Frame{Function: "main", Module: "/bin/a", Address: 0x1f}},
		{"in f(int (*)(char)) (/bin/a+0x1f)", ingest.Frame{Function: "f(int (*)(char))", Module: "/bin/a", Address: 0x1f}},
		{" (/bin/a+0x1f) (BuildId: 0a1b)", ingest.Frame{Module: "/bin/a", Address: 0x1f}},
		{" (<unknown module>)", ingest.Frame{Address: 0x10}},
		{"in <null> (/bin/a+0x1f)", ingest.Frame{Module: "/bin/a", Address: 0x1f}},
		{"in ___interceptor_strdup /a.c:1", ingest.Frame{Function: "strdup", File: "/a.c", Line: 1, Address: 0x10}},
		{"in interceptor_of_mine /a.c:1", ingest.Frame{Function: "interceptor_of_mine", File: "/a.c", Line: 1, Address: 0x10}},
		{"in f(int)", ingest.Frame{Function: "f(int)", Address: 0x10}},
		{"in operator delete(void*)", ingest.Frame{Function: "operator delete(void*)", Address: 0x10}},
		{"", ingest.Frame{Address: 0x10}},
	} {
		events, src, err := readText(t, "lsan", "Direct leak of 8 byte(s) in 1 object(s) allocated from:\n    #0 0x10 "+c.line+"\n\n")
		if err != nil || len(events) != 1 {
			t.Errorf("%q: %v, %d events", c.line, err, len(events))
			continue
		}
		if got := src.Stacks().Frames(events[0].Stack); len(got) != 1 || got[0] != c.want {
			t.Errorf("%q:\n\tgot  %#v\n\twant %#v", c.line, got, c.want)
		}
	}
}

// A report that is cut off anywhere says so, and gives the first of its records.
func TestLSanCutOff(t *testing.T) {
	log := readTestdata(t, "lsan/objects.log")
	all, src, err := readText(t, "lsan", log)
	if err != nil {
		t.Fatal(err)
	}
	want := describeAll(src, all)
	from, to := strings.Index(log, "Direct"), strings.Index(log, "SUMMARY")
	for cut := from + 1; cut < to+20; cut += 7 {
		events, src, err := readText(t, "lsan", log[:cut])
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if !src.Report().Truncated {
			t.Fatalf("cut at %d: not said to be cut off", cut)
		}
		// The last record may lack the end of its stack, or its objects.
		got := describeAll(src, events)
		if n := max(0, len(got)-1); !slices.Equal(got[:n], want[:n]) {
			t.Fatalf("cut at %d: records\n%s", cut, strings.Join(got, ""))
		}
	}
}

// With and without the list of objects, in colour and with a runner's marks before
// the lines, the report of one program says the same.
func TestLSanForms(t *testing.T) {
	read := func(file string) (ingest.Amount, int) {
		events, src, err := readText(t, "auto", readTestdata(t, file))
		if err != nil || src.Report().Format != "lsan" {
			t.Fatal(file, src.Report().Format, err)
		}
		sites := map[string]bool{}
		for _, e := range events {
			var names []string
			for _, f := range src.Stacks().Frames(e.Stack) {
				names = append(names, f.String())
			}
			sites[strings.Join(names, " < ")] = true
		}
		return src.Report().Outstanding, len(sites)
	}
	live, sites := read("lsan/colour.log")
	for _, file := range []string{"lsan/objects.log"} {
		if l, s := read(file); l != live || s != sites {
			t.Errorf("%s: %+v from %d sites, want %+v from %d", file, l, s, live, sites)
		}
	}
	live, sites = read("lsan/kinds.log")
	if l, s := read("lsan/runner.log"); l != live || s != sites {
		t.Errorf("%+v from %d sites, want %+v from %d", l, s, live, sites)
	}
}

func FuzzLSan(f *testing.F) { fuzzReader(f, "lsan") }

// What DHAT itself says at the end ("At t-end: 1,068 bytes in 13 blocks") is what the
// file adds up to, in every form that the file can have.
func TestDHATForms(t *testing.T) {
	for _, c := range []struct {
		file string
		live ingest.Amount
	}{
		{"kinds.json", ingest.Amount{Blocks: 13, Bytes: 1068}},
		{"templates.json", ingest.Amount{Blocks: 7, Bytes: 984}},
		{"rust.json", ingest.Amount{Blocks: 2, Bytes: 64}},
	} {
		log := readTestdata(t, "dhat/"+c.file)
		events, src, err := readText(t, "auto", log)
		if err != nil || src.Report().Outstanding != c.live {
			t.Fatalf("%s: %+v, %v", c.file, src.Report().Outstanding, err)
		}
		want := describeAll(src, events)
		var line bytes.Buffer
		if err := json.Compact(&line, []byte(log)); err != nil {
			t.Fatal(err)
		}
		version1 := strings.NewReplacer(`"dhatFileVersion":2`, `"dhatFileVersion":1`, `"mode":"heap",`, "", `"verb":"Allocated",`, "",
			`"bklt":true,`, "", `"te":`, `"ei":`, `"tg":`, `"mi":`, `"pps":`, `"aps":`, `"eb":`, `"fb":`, `"ebk":`, `"fbk":`, `"tl":`, `"tli":`)
		tableFirst := line.String()
		if i := strings.Index(tableFirst, `,"pps":`); i > 0 {
			j := strings.Index(tableFirst, `,"ftbl":`)
			tableFirst = tableFirst[:i] + tableFirst[j:len(tableFirst)-1] + tableFirst[i:j] + "}"
		}
		for name, form := range map[string]string{
			"one line": line.String(), "table first": tableFirst, "BOM, CRLF": "\xef\xbb\xbf" + strings.ReplaceAll(log, "\n", "\r\n"),
			"version 1": version1.Replace(strings.Replace(line.String(), `"mode":"rust-heap",`, "", 1)),
		} {
			events, src, err := readText(t, "auto", form)
			if got := describeAll(src, events); err != nil || src.Report().Truncated || !slices.Equal(got, want) {
				t.Errorf("%s, %s: %v, truncated %v\n%s", c.file, name, err, src.Report().Truncated, strings.Join(got, ""))
			}
		}
	}
}

// What is no heap profile is refused, and what would take memory without end ends.
func TestDHATRefused(t *testing.T) {
	const head = "{\"dhatFileVersion\":2,"
	for _, c := range []struct{ log, want string }{
		{head + `"mode":"copy","bklt":false,"pps":[{"tb":8,"tbk":1,"fs":[1]}],"ftbl":["[root]"]}`,
			`log: is no profile of a heap: its mode is "copy" (run valgrind --tool=dhat without --mode)`},
		{head + `"mode":"ad-hoc"}`, `log: is no profile of a heap: its mode is "ad-hoc" (run valgrind --tool=dhat without --mode)`},
		{head + `"mode":"heap","bklt":false}`, `log: is no profile of a heap: it does not say what was there at the end`},
		{`{"dhatFileVersion":3}`, `log: DHAT file version 3 is not supported (1 and 2 are)`},
		{head + `"cmd":"` + strings.Repeat("x", 8<<20), `log:1: damaged JSON (an element or text longer than 1048576 bytes); what follows is left out`},
		{head + `"acc":` + strings.Repeat("[", 1<<20), `log:1: damaged JSON (more than 64 levels deep); what follows is left out`},
	} {
		events, _, err := readText(t, "dhat", c.log)
		if err == nil || err.Error() != c.want || len(events) != 0 {
			t.Errorf("error %v\nwant  %s", err, c.want)
		}
	}
}

func FuzzDHAT(f *testing.F) { fuzzReader(f, "dhat") }

func FuzzCRT(f *testing.F) { fuzzReader(f, "crt") }
