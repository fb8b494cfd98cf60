package ingest

import (
	"slices"
	"strings"
	"testing"
)

// A table that is full forgets the call stack, not the allocation.
func TestStacksAreBounded(t *testing.T) {
	src, err := NewSource("log", strings.NewReader("v 10400 3\nt 1 0\nt 2 1\nt 3 2\nt 4 0\n+ 8 1 10\n+ 8 2 20\n+ 8 3 30\n+ 8 4 40\n+ 8 1 50\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	src.Stacks().maxDepth = 4
	var depths []int
	for e, err := range src.Events() {
		if err != nil {
			t.Fatal(err)
		}
		depths = append(depths, len(src.Stacks().FrameIDs(e.Stack)))
	}
	if want := []int{1, 2, 0, 1, 1}; !slices.Equal(depths, want) {
		t.Errorf("depths %v, want %v", depths, want)
	}
	if r := src.Report(); r.Allocs != 5 || len(r.Messages) != 1 || !strings.Contains(r.Messages[0], "1 times a call stack was left out") {
		t.Errorf("%+v", r)
	}
}

// The queue of a class gives back what it was given, in order, in little memory.
func TestFifo(t *testing.T) {
	var q fifo
	next := int64(0)
	for i := range int64(100000) {
		q.push(i)
		if i%3 != 0 || i > 50000 {
			if b, ok := q.pop(); !ok || b != next {
				t.Fatalf("%d, %v; want %d", b, ok, next)
			}
			next++
		}
	}
	for ; next < 100000; next++ {
		if b, ok := q.pop(); !ok || b != next {
			t.Fatalf("%d, %v; want %d", b, ok, next)
		}
	}
	if b, ok := q.pop(); ok || b != -1 {
		t.Errorf("%d from an empty queue", b)
	}
	if cap(q.blocks) > 1<<17 {
		t.Errorf("room for %d", cap(q.blocks))
	}
}
