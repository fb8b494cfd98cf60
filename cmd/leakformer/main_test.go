package main

import (
	"slices"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestReorder(t *testing.T) {
	sh := &shell{}
	app := sh.app()
	for _, c := range []struct{ in, want []string }{
		{[]string{"score", "app.log", "--format", "jsonl"}, []string{"score", "--format", "jsonl", "--", "app.log"}},
		{[]string{"score", "--all", "app.log"}, []string{"score", "--all", "--", "app.log"}},
		{[]string{"score", "-", "--format=jsonl", "-v"}, []string{"score", "--format=jsonl", "-v", "--", "-"}},
		{[]string{"score", "--all", "--", "--odd.log"}, []string{"score", "--all", "--", "--odd.log"}},
		// --reference takes what follows, but for the log itself.
		{[]string{"score", "--reference", "a", "b", "app.log"}, []string{"score", "--reference", "a", "--reference", "b", "--", "app.log"}},
		{[]string{"score", "-r", "a", "app.log", "--all"}, []string{"score", "-r", "a", "--all", "--", "app.log"}},
		{[]string{"score", "app.log", "-r", "a", "b"}, []string{"score", "-r", "a", "-r", "b", "--", "app.log"}},
		{[]string{"score", "-r", "a"}, []string{"score", "-r", "a"}},
		// In eval each takes one value.
		{[]string{"eval", "-r", "a", "x.log", "y.log"}, []string{"eval", "-r", "a", "--", "x.log", "y.log"}},
		{[]string{"train", "-o", "m", "--clean", "a", "b"}, []string{"train", "-o", "m", "--clean", "a", "--", "b"}},
		{[]string{"dataset", "collect", "lua", "-o", "d"}, []string{"dataset", "collect", "-o", "d", "--", "lua"}},
		{[]string{"nothing", "-x"}, []string{"-x", "--", "nothing"}},
		{nil, nil},
	} {
		if got := reorder(app.Flags, app.Commands, c.in); !slices.Equal(got, c.want) {
			t.Errorf("%q becomes %q, want %q", c.in, got, c.want)
		}
	}
}

// A flag and its aliases must not mean two things in one command.
func TestFlagsDiffer(t *testing.T) {
	app := (&shell{}).app()
	var check func(cs []*cli.Command)
	check = func(cs []*cli.Command) {
		for _, c := range cs {
			seen := map[string]bool{}
			for _, f := range c.Flags {
				for _, name := range f.Names() {
					if seen[name] {
						t.Errorf("%s: flag %s twice", c.Name, name)
					}
					seen[name] = true
				}
			}
			if c.Usage == "" {
				t.Errorf("%s has no usage line", c.Name)
			}
			check(c.Subcommands)
		}
	}
	check(app.Commands)
}

// The table of imports_test.go is not empty words.
func TestPermits(t *testing.T) {
	for _, c := range []struct {
		folder, imported string
		want             bool
	}{
		{"ingest", "fmt", true}, {"ingest", "archive/zip", true}, {"ingest", "github.com/klauspost/compress/zstd", true},
		{"ingest", "leakformer/tokenize", false}, {"detect", "leakformer/train", false}, {"detect", "github.com/sugarme/gotch/libtch", false},
		{"detect/report", "leakformer/detect", true}, {"model/torch", "github.com/sugarme/gotch/ts", false}, {"datasets", "github.com/klauspost/compressor", false},
	} {
		if got := permits(allowed[c.folder], c.imported); got != c.want {
			t.Errorf("%s imports %s: %v", c.folder, c.imported, got)
		}
	}
}
