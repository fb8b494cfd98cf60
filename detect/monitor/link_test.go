package monitor

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"leakformer/ingest"
	"leakformer/tokenize"
)

// kernelLeak is a kmemleak report of so many megabytes in one place.
func kernelLeak(t *testing.T, megabytes int) *tokenize.Run {
	t.Helper()
	var text strings.Builder
	for i := range megabytes {
		text.WriteString(strings.Replace(suspect(1, 10), "0xffff888000000001 (size 128)", "0xffff8880"+string(rune('a'+i/10))+string(rune('0'+i%10))+"000000 (size 1000000)", 1))
	}
	src, err := ingest.NewSource("kmemleak", strings.NewReader(text.String()), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	run, err := tokenize.Load(context.Background(), src)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// What the kernel and a program lose at the same time, and alike, is one story: it is
// told once, with both call stacks.
func TestLinked(t *testing.T) {
	for _, c := range []struct {
		name         string
		user, kernel []int64 // MB at each look
		apart        time.Duration
		same         bool // both are programs
		want         []string
	}{
		{"alike", []int64{20, 22, 24, 26, 28, 30}, []int64{2, 4, 6, 8, 10, 12}, time.Second, false, []string{"user", "kernel+user"}},
		{"just in time", []int64{20, 22, 24, 26}, []int64{2, 4, 6, 8}, 5 * time.Second, false, []string{"user", "kernel+user"}},
		{"too far apart", []int64{20, 22, 24, 26}, []int64{2, 4, 6, 8}, 30 * time.Second, false, []string{"user", "kernel"}},
		{"unlike", []int64{20, 22, 24, 26, 28, 30}, []int64{12, 22, 32, 42, 52, 62}, time.Second, false, []string{"user", "kernel"}},
		{"the program first, linked when the kernel follows", []int64{20, 22, 24, 26, 28}, []int64{1, 1, 1, 4, 8}, time.Second, false, []string{"user", "kernel+user"}},
		{"two programs", []int64{20, 22, 24, 26}, []int64{2, 4, 6, 8}, time.Second, true, []string{"user", "kernel"}},
	} {
		now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		sink := &recorder{name: "log"}
		m, err := New(Config{Growth: Growth{Threshold: 0.02, Consecutive: 2}, Limits: Limits{Warning: 1e9, Critical: 1e9, Shallow: 1e9}, Now: func() time.Time { return now }}, sink)
		if err != nil {
			t.Fatal(err)
		}
		look := func(s Source, run *tokenize.Run) {
			if err := m.Look(context.Background(), s, run, run.Events, nil); err != nil {
				t.Fatal(err)
			}
		}
		for i := range c.user {
			look(Source{Name: "user"}, heap(t, c.user[i]))
			now = now.Add(c.apart)
			look(Source{Name: "kernel", Kernel: !c.same}, kernelLeak(t, int(c.kernel[i])))
			now = now.Add(time.Minute)
		}
		if err := m.Outboxes()[0].Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range sink.got {
			name := a.Source
			if l := a.Linked; l != nil {
				name += "+" + l.Source
				if !strings.Contains(a.Message, "; together with user: ") || l.Site == "" || len(a.Stack) < 2 || len(l.Stack) == 0 || l.Bytes == 0 {
					t.Errorf("%s: %+v", c.name, a)
				}
			}
			got = append(got, name)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What is remembered for linking does not hold on to all that was linked before.
func TestLinksForget(t *testing.T) {
	l := links{window: time.Second}
	now := time.Now()
	for range 3 {
		for _, kernel := range []bool{true, false} {
			s := &sighting{source: Source{Kernel: kernel}, id: map[bool]string{true: "k", false: "u"}[kernel], model: true, leaked: 5}
			s.linked = l.of(s, now)
			l.add(s, now)
			if s.linked != nil && s.linked.linked != nil {
				t.Fatal("a chain of links")
			}
		}
	}
	l.add(&sighting{id: "late"}, now.Add(time.Hour))
	if len(l.seen) != 1 {
		t.Errorf("%d are remembered, want the last alone", len(l.seen))
	}
}
