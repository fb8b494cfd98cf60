package detect_test

import (
	"fmt"
	"strings"
	"testing"

	"leakformer/detect"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// sitesOf makes sites of stacks like "inner<outer"; "[f]" has no code of its own,
// and "0x10" no name.
func sitesOf(stacks ...string) (sites []*tokenize.Site) {
	for _, stack := range stacks {
		s := &tokenize.Site{Label: stack}
		for line, f := range strings.Split(stack, "<") {
			frame := ingest.Frame{Function: strings.Trim(f, "[]"), Inlined: f[0] == '[', Module: "/bin/app", Line: 10*len(sites) + line + 1}
			if n, err := fmt.Sscanf(f, "0x%x", &frame.Address); n == 1 && err == nil {
				frame.Function = ""
			}
			s.Frames = append(s.Frames, frame)
		}
		sites = append(sites, s)
	}
	return sites
}

func TestGroups(t *testing.T) {
	for _, c := range []struct {
		name   string
		stacks []string
		want   []int
	}{
		{"other lines", []string{"a<b", "a<b", "c<b"}, []int{0, 0, 1}},
		{"outer end", []string{"a<b<c<main", "a<b<d<e<main"}, []int{0, 0}},
		{"two callers", []string{"a<b<main", "a<c<main", "b<main"}, []int{0, 0, 1}},
		{"allocates for others", []string{"dup<a", "dup<b", "dup<c", "dup<a<x", "own<a"}, []int{0, 1, 2, 0, 3}},
		{"others of others", []string{"x<dup<a", "x<dup<b", "x<dup<c", "x<y", "x<z"}, []int{0, 0, 0, 1, 2}},
		{"recursion", []string{"walk<walk<walk<main", "walk<main", "walk<walk<other"}, []int{0, 0, 0}},
		{"recursion is no caller", []string{"w<w<a", "w<b", "w<w<w<b"}, []int{0, 0, 0}},
		{"inlined", []string{"[get]<[node]<insert<main", "insert<main", "[get]<other<main"}, []int{0, 0, 1}},
		{"inlined in what is not known", []string{"[get]<[node]", "[put]<[node]"}, []int{0, 0}},
		{"no names", []string{"0x10<0x20", "0x10<0x30", "0x11<0x20"}, []int{0, 0, 1}},
		{"no stacks", []string{"malloc", "calloc", "malloc"}, []int{0, 1, 0}},
		{"one frame", []string{"a", "a<b", "b"}, []int{0, 0, 1}},
	} {
		if got := (detect.Grouping{}).Groups(sitesOf(c.stacks...)); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: groups %v, want %v", c.name, got, c.want)
		}
	}
	if got := (detect.Grouping{}).Groups([]*tokenize.Site{{Label: "unknown stack(8)"}, {Label: "unknown stack(9)"}}); got[0] == got[1] {
		t.Error("sites without a stack are one group")
	}
	if got := (detect.Grouping{Callers: 1, Frames: 3}).Groups(sitesOf("a<b<x", "a<b<y", "a<c")); fmt.Sprint(got) != "[0 1 2]" {
		t.Errorf("strict grouping: %v", got)
	}
}

// A run may have a million sites: groups take no more than one pass over them.
func TestGroupsOfManySites(t *testing.T) {
	var stacks []string
	for i := range 50_000 {
		stacks = append(stacks, fmt.Sprintf("dup<f%d<main", i))
	}
	got := detect.Grouping{}.Groups(sitesOf(stacks...))
	if got[len(got)-1] != len(got)-1 {
		t.Errorf("%d groups of %d sites", got[len(got)-1]+1, len(got))
	}
}
