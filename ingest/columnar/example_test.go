package columnar_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"leakformer/ingest"
	"leakformer/ingest/columnar"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "run.arrow")

	// Any source will do; for a log, it is what ingest.Open returns.
	src := &memory{stacks: ingest.NewStacks(), report: ingest.Report{Name: "app.log", Format: "valgrind-trace", Class: ingest.Events}}
	main := src.stacks.Stack([]ingest.FrameID{src.stacks.Frame(ingest.Frame{Function: "main", File: "app.c", Line: 3})})
	src.events = []ingest.Event{
		{Op: ingest.Alloc, Seq: 0, Line: 1, Block: 0, Addr: 0x4a37040, Size: 24, Count: 1, Stack: main},
		{Op: ingest.Free, Seq: 1, Line: 2, Block: 0, Addr: 0x4a37040, Size: 24, Count: 1, Stack: main},
	}
	if err := columnar.Write(context.Background(), path, src, columnar.Options{}); err != nil {
		panic(err)
	}

	run, err := columnar.Open(path)
	if err != nil {
		panic(err)
	}
	defer run.Close()
	for e, err := range run.Events() {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s:%d: %s\n", run.Report().Name, e.Line, ingest.AppendText(nil, e))
		for _, f := range run.Stacks().Frames(e.Stack) {
			fmt.Println("\t" + f.String())
		}
	}
	// Output:
	// app.log:1: alloc seq=0 line=1 block=0 addr=0x4a37040 size=24 stack=1
	// 	main (app.c:3)
	// app.log:2: free seq=1 line=2 block=0 addr=0x4a37040 size=24 stack=1
	// 	main (app.c:3)
}
