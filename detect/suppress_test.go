package detect_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leakformer/detect"
	"leakformer/detect/detecttest"
	"leakformer/ingest"
	"leakformer/tokenize"
)

func suppressions(t testing.TB, text string) detect.Suppressions {
	t.Helper()
	s, err := detect.ReadSuppressions("x.supp", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// memcheck writes an entry of Valgrind's with these lines.
func memcheck(lines ...string) string {
	return "{\nname\nMemcheck:Leak\n" + strings.Join(lines, "\n") + "\n}\n"
}

// leakAt is a leak at a stack like "inner<outer".
func leakAt(stack string, losses ...ingest.Loss) *detect.Finding {
	f := &detect.Finding{Leak: true, Run: &tokenize.Run{}}
	for name := range strings.SplitSeq(stack, "<") {
		f.Frames = append(f.Frames, ingest.Frame{Function: name, Module: "/opt/app/bin/app", File: "/src/" + name + ".c", Line: 7})
	}
	for i, l := range losses {
		f.Run.Blocks.Add(tokenize.Block{Loss: l}, 0, 0)
		f.Blocks = append(f.Blocks, int32(i))
	}
	return f
}

func TestSuppressionFits(t *testing.T) {
	definite := leakAt("dup<copy<parse<main", ingest.Definite)
	for _, c := range []struct {
		entry string
		leak  *detect.Finding
		want  bool
	}{
		{memcheck("fun:dup"), definite, true},
		{memcheck("fun:malloc", "fun:dup", "fun:copy"), definite, true},
		{memcheck("fun:*alloc", "fun:dup"), definite, true},
		{memcheck("obj:*/vgpreload_memcheck-amd64-linux.so", "fun:dup"), definite, true},
		{memcheck("fun:_Znwm", "fun:dup"), definite, true},
		{memcheck("fun:_Znw*", "fun:dup"), definite, true},
		{memcheck("fun:_Znw*", "fun:_Znam", "fun:dup"), definite, true},
		{memcheck("fun:malloc"), definite, true},
		{memcheck("fun:copy"), definite, false},
		{memcheck("fun:other", "fun:dup"), definite, false},
		{memcheck("fun:du?"), definite, true},
		{memcheck("fun:?"), definite, false},
		{memcheck("fun:d*", "fun:c*y", "fun:*"), definite, true},
		{memcheck("fun:dup", "fun:parse"), definite, false},
		{memcheck("fun:dup", "...", "fun:parse"), definite, true},
		{memcheck("fun:dup", "...", "fun:copy"), definite, true},
		{memcheck("...", "fun:main"), definite, true},
		{memcheck("...", "fun:parse", "fun:main"), definite, true},
		{memcheck("...", "fun:main", "fun:parse"), definite, false},
		{memcheck("...", "fun:main", "..."), definite, true},
		{memcheck("...", "fun:main", "...", "fun:main"), definite, false},
		{memcheck("...", "obj:*/bin/app", "...", "fun:m*"), definite, true},
		{memcheck("fun:dup", "fun:copy", "fun:parse", "fun:main", "fun:start"), definite, false}, // the stack ends there
		{memcheck("src:dup.c", "src:/src/copy.c:7"), definite, true},
		{memcheck("src:dup.c:8"), definite, false},
		// Only the innermost five frames are known of a longer stack.
		{memcheck("fun:malloc", "fun:a", "fun:b", "fun:c", "fun:d", "fun:e", "fun:f"), leakAt("a<b<c<d<e", ingest.Definite), true},
		{memcheck("fun:malloc", "fun:a", "fun:b", "fun:c", "fun:d", "fun:x", "fun:f"), leakAt("a<b<c<d<e", ingest.Definite), false},
		{memcheck("...", "fun:e", "fun:f"), leakAt("a<b<c<d<e", ingest.Definite), false},
		// Names are compared as logs write them.
		{memcheck("fun:_ZN3app5Cache4fillEv"), leakAt("app::Cache::fill()"), true},
		{memcheck("fun:_ZN3app5Cache*"), leakAt("app::Cache::fill()"), true},
		{memcheck("fun:_ZN3app*"), leakAt("other::fill()"), false},
		{memcheck("fun:_Z4fill*"), leakAt("fill(int)"), true},
		// A site without a caller.
		{memcheck("fun:malloc", "fun:dup"), leakAt("malloc"), false},
		{memcheck("fun:malloc"), leakAt("malloc"), true},
		// Kinds of loss.
		{memcheck("match-leak-kinds: possible,definite", "fun:dup"), definite, true},
		{memcheck("match-leak-kinds: all", "fun:dup"), leakAt("dup", ingest.Reachable), true},
		{memcheck("match-leak-kinds: none", "fun:dup"), definite, false},
		{memcheck("match-leak-kinds: reachable", "fun:dup"), definite, false},
		{memcheck("match-leak-kinds: definite", "fun:dup"), leakAt("dup", ingest.Definite, ingest.Possible), false},
		{memcheck("match-leak-kinds: definite", "fun:dup"), leakAt("dup", ingest.NotJudged), true},
		{memcheck("match-leak-kinds: reachable,indirect", "fun:dup"), leakAt("dup", ingest.NotJudged), false},
		// LeakSanitizer's patterns fit anywhere in a function, a file or a module, of any frame.
		{"leak:ars", definite, true},
		{"  leak:^parse$\r\n", definite, true},
		{"leak:^arse", definite, false},
		{"leak:pars$", definite, false},
		{"leak:p*se", definite, true},
		{"leak:pars?", definite, false},
		{"leak:copy.c", definite, true},
		{"leak:bin/app$", definite, true},
		{"leak:nothing", definite, false},
	} {
		if got := suppressions(t, c.entry)[0].Fits(c.leak); got != c.want {
			t.Errorf("%q fits %v: %v", c.entry, c.leak.Frames, got)
		}
	}
}

// What Valgrind writes with --gen-suppressions=all behind each record of its report,
// fits that record and no other.
func TestSuppressionsOfValgrind(t *testing.T) {
	file, err := os.Open("testdata/memcheck-cpp.supp")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	entries, err := detect.ReadSuppressions("memcheck-cpp.supp", file)
	if err != nil {
		t.Fatal(err)
	}
	src, err := ingest.Open("testdata/memcheck-cpp.log", ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	run, err := tokenize.Load(context.Background(), src)
	if err != nil {
		t.Fatal(err)
	}
	if run.Blocks.Len() != 4 || len(entries) != 4 {
		t.Fatalf("%d records, %d entries", run.Blocks.Len(), len(entries))
	}
	for i, b := range run.Blocks.All() {
		leak := &detect.Finding{Frames: run.Sites[b.Site].Frames, Run: run, Blocks: []int32{i}}
		for k := range entries {
			if got := entries[k].Fits(leak); got != (int(i) == k) {
				t.Errorf("%q fits record %d at %s: %v", entries[k].Name, i+1, run.Sites[b.Site].Label, got)
			}
		}
	}
}

// As many frames are known of a stack as suppressions reckon with.
func TestSuppressionDepth(t *testing.T) {
	l := detecttest.NewLog("x", "x")
	l.Alloc("a<b<c<d<e<f<g", 1)
	leak := leakAt("")
	leak.Frames = l.Run(t).Sites[0].Frames
	for entry, want := range map[string]bool{
		memcheck("fun:a", "fun:b", "fun:c", "fun:d", "fun:e", "fun:f", "fun:g"): true,
		memcheck("fun:a", "fun:b", "fun:c", "fun:d", "fun:x", "fun:f", "fun:g"): false,
	} {
		if got := suppressions(t, entry)[0].Fits(leak); got != want {
			t.Errorf("%q: %v", entry, got)
		}
	}
}

func TestReadSuppressions(t *testing.T) {
	all := suppressions(t, `# The suppressions of a service.

# until 2027-01-31: bounded as of version 3
{
   <cache of "names">
   # a comment
   Addrcheck,Memcheck:Leak

   fun:dup
}
# it is a singleton
leak:^table$
{
   a race
   Helgrind:Race
   anything
}
{
   a read
   Memcheck:Addr4
   fun:x
}

leak:last
`)
	var got []string
	for _, s := range all {
		got = append(got, s.String()+s.Until.Format(" 2006-01-02"))
	}
	want := []string{
		`x.supp:4: <cache of "names"> (bounded as of version 3) 2027-01-31`,
		"x.supp:12: ^table$ (it is a singleton) 0001-01-01",
		"x.supp:24: last 0001-01-01",
	}
	if !slices.Equal(got, want) {
		t.Errorf("read\n%s", strings.Join(got, "\n"))
	}
	for day, expired := range map[string]int{"2027-01-31": 0, "2027-02-01": 1, "2020-01-01": 0} {
		at, _ := time.Parse(time.DateOnly, day)
		if valid, gone := all.On(at.Add(23 * time.Hour)); len(gone) != expired || len(valid) != 3-expired {
			t.Errorf("%s: %d expired, %d valid", day, len(gone), len(valid))
		}
	}
}

func TestBadSuppressions(t *testing.T) {
	for text, want := range map[string]string{
		"\nnonsense\n":                    `x.supp:2: "nonsense": want { or leak:PATTERN`,
		"leak:\n":                         `x.supp:1: "leak:": want { or leak:PATTERN`,
		"race:x\n":                        `x.supp:1: "race:x": want { or leak:PATTERN`,
		"}\n":                             `x.supp:1: "}": want { or leak:PATTERN`,
		"\n{\nname\nMemcheck:Leak\n":      "x.supp:2: the entry has no end",
		"{\nname\n{\n":                    "x.supp:1: the entry has no end",
		"{\nname\n}\n":                    "x.supp:1: want { NAME Memcheck:Leak FRAMES }, each on a line",
		"{\nname\nfun malloc\n}\n":        `x.supp:3: "fun malloc": want TOOL:KIND, as Memcheck:Leak`,
		memcheck():                        `x.supp:1: the entry "name" has no frames`,
		memcheck("fun:"):                  `x.supp:4: "fun:": want fun:, obj: or src: with a pattern, or ...`,
		memcheck("fun:a", "malloc"):       `x.supp:5: "malloc": want fun:, obj: or src: with a pattern, or ...`,
		memcheck("match-leak-kinds: odd"): `x.supp:4: leak kind "odd": want definite, indirect, possible, reachable, all or none`,
		memcheck("match-leak-kinds: all"): `x.supp:1: the entry "name" has no frames`,
		"# until 2027-13-01: x\n":         `x.supp:1: until "2027-13-01": want a day such as 2027-01-31`,
		"# until 1.2.2027\n":              `x.supp:1: until "1.2.2027": want a day such as 2027-01-31`,
		"\n" + strings.Repeat("x", 2<<20): "x.supp:2: a line of more than 1048576 bytes",
	} {
		if _, err := detect.ReadSuppressions("x.supp", strings.NewReader(text)); err == nil || err.Error() != want {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

// Suppressed and known leaks are counted, and take no part in anything else.
func TestLeaveOut(t *testing.T) {
	l := detecttest.NewReport("x", "x")
	scorer := &detecttest.Scorer{Sites: map[string]float64{}}
	var baseline detect.Baseline
	for i, site := range []string{"old<main", "ours<main", "fresh<main", "fine<main"} {
		l.Outstanding(site, 2, 100, ingest.Definite)
		scorer.Sites[strings.TrimSuffix(site, "<main")] = 0.9 - 0.2*float64(i)
	}
	scene := l.Scene(t)
	baseline.Add(detect.SiteKey{Exact: scene.Run.Sites[0].Exact})
	d := &detect.Detector{Scorer: scorer, Threshold: 0.5, All: true, Baseline: &baseline, Suppressions: suppressions(t, "# on purpose\nleak:^ours$\nleak:fine\n")}
	got := run(t, d, scene)
	var sites []string
	for _, f := range got.findings {
		sites = append(sites, fmt.Sprint(f.Site, " ", f.Leak, " ", f.Group.Number, "/", f.Group.Findings))
	}
	if want := []string{"fresh < main true 1/1", "fine < main false 2/1"}; !slices.Equal(sites, want) {
		t.Errorf("listed: %q", sites)
	}
	s := got.summary
	if s.Leaks != 1 || s.Leaked != (ingest.Amount{Blocks: 2, Bytes: 100}) || s.FalseAlarms != 0.5 || s.Sites != 4 || s.Outstanding.Blocks != 8 {
		t.Errorf("summary %+v", s)
	}
	amount := ingest.Amount{Blocks: 2, Bytes: 100}
	if want := []detect.LeftOut{{Site: "ours < main", Leaked: amount, By: "x.supp:2: ^ours$ (on purpose)"}}; !slices.Equal(s.Suppressed, want) {
		t.Errorf("suppressed: %+v", s.Suppressed)
	}
	if want := []detect.LeftOut{{Site: "old < main", Leaked: amount}}; !slices.Equal(s.Known, want) {
		t.Errorf("known: %+v", s.Known)
	}
}

func TestBaseline(t *testing.T) {
	type K = detect.SiteKey
	for name, c := range map[string]struct {
		baseline, leaks []K
		known           []bool
	}{
		"nothing known":          {nil, []K{{1, 1}}, []bool{false}},
		"the same":               {[]K{{1, 9}}, []K{{1, 9}, {2, 8}}, []bool{true, false}},
		"lines moved":            {[]K{{1, 9}}, []K{{2, 9}}, []bool{true}},
		"a second in it":         {[]K{{1, 9}}, []K{{2, 9}, {1, 9}}, []bool{false, true}},
		"two of three moved":     {[]K{{1, 9}, {2, 9}}, []K{{3, 9}, {4, 9}, {5, 9}}, []bool{true, true, false}},
		"no names":               {[]K{{1, 0}}, []K{{2, 0}}, []bool{false}},
		"known twice, as by two": {[]K{{1, 9}, {1, 9}}, []K{{2, 9}, {3, 9}}, []bool{true, false}},
	} {
		var b detect.Baseline
		for _, k := range c.baseline {
			b.Add(k)
		}
		if got := b.Known(c.leaks); !slices.Equal(got, c.known) {
			t.Errorf("%s: known %v, want %v", name, got, c.known)
		}
	}
}

// Patterns mean what they do as regular expressions, and never more work than that.
func TestSuppressionGlobs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*?]{1,9}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[ab]{0,9}`).Draw(t, "name")
		s, err := detect.ReadSuppressions("x", strings.NewReader(memcheck("fun:x"+pattern))) // not the allocator
		if err != nil {
			t.Fatal(err)
		}
		want := regexp.MustCompile("^" + strings.NewReplacer("*", ".*", "?", ".").Replace(pattern) + "$").MatchString(name)
		if got := s[0].Fits(leakAt("x" + name)); got != want {
			t.Fatalf("x%q fits x%q: %v", pattern, name, got)
		}
	})
	long := strings.Repeat("a*", 500) + "b"
	if suppressions(t, memcheck("fun:"+long))[0].Fits(leakAt(strings.Repeat("a", 5000))) {
		t.Error("a pattern fits what has no b")
	}
}

// An entry made of a leak's own frames fits it, also with some of them as "...".
func TestSuppressionOfFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "main"}), 1, 5).Draw(t, "names")
		var lines []string
		for _, n := range names {
			switch rapid.IntRange(0, 3).Draw(t, "how") {
			case 0:
				lines = append(lines, "...")
			case 1:
				lines = append(lines, "...", "fun:"+n)
			default:
				lines = append(lines, "fun:"+n)
			}
		}
		s, err := detect.ReadSuppressions("x", strings.NewReader(memcheck(lines...)))
		if err != nil {
			t.Fatal(err)
		}
		if !s[0].Fits(leakAt(strings.Join(names, "<"))) {
			t.Fatalf("%q does not fit %q", lines, names)
		}
	})
}

// Any text is read or refused with file and line, and what is read can be held against
// any leak.
func FuzzSuppressions(f *testing.F) {
	files, err := filepath.Glob("testdata/*.supp")
	if err != nil || len(files) == 0 {
		f.Fatal("no samples")
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "main")
	}
	f.Add([]byte("# until 2027-01-01: x\nleak:^a*b$\n"+memcheck("match-leak-kinds: definite", "...", "src:a.c:3", "obj:*")), "a<b<main")
	where := regexp.MustCompile(`^x\.supp:[1-9]\d*: `)
	f.Fuzz(func(t *testing.T, data []byte, stack string) {
		all, err := detect.ReadSuppressions("x.supp", bytes.NewReader(data))
		if err != nil && !where.MatchString(err.Error()) {
			t.Fatal(err)
		}
		for i := range all {
			all[i].Fits(leakAt(stack, ingest.Definite))
			if all[i].Line < 1 || all[i].Name == "" {
				t.Fatalf("an entry without a place or a name: %v", &all[i])
			}
		}
	})
}
