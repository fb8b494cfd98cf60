package datasets

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sample returns labels that are right in themselves.
func sample() *Labels {
	return &Labels{Version: Version, Logs: []LogLabels{
		{Log: "a.raw.zst", SHA256: strings.Repeat("ab", 32), Class: Clean, Program: "a", Events: 10},
		{Log: "sub/b.raw.zst", Class: Leaky, Program: "b", Command: "b -x", Events: 10, Leaks: []Leak{
			{Event: 3, Address: 0x55d0, Size: 0, Kind: Forgotten}, {Event: 3, Address: 0x55e0, Size: 24, Kind: Lost}, {Event: 10, Address: 0xffff7fffffffffff, Size: 1, Kind: Growth}}},
		{Log: "c.xml", Class: Leaky, Program: "c", Sites: []Site{{Frames: []Frame{{Function: "f(int)", Module: "c"}}, Blocks: 2, Bytes: 48, Kind: Lost}}},
	}}
}

func TestLabelsRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "labels.json")
	if err := sample().Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLabels(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sample()) {
		t.Errorf("read back:\n%+v\nwant\n%+v", got, sample())
	}
}

func TestBadLabelsAreRefused(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty file", ``, "labels.json:1: EOF"},
		{"not JSON", "{\n\"version\": 1,\n!", "labels.json:3: invalid character '!'"},
		{"cut off", `{"version":1,"logs":[`, "unexpected EOF"},
		{"two objects", `{"version":1,"logs":[]}{}`, "more after the end"},
		{"other version", `{"version":2,"logs":[]}`, "this program reads version 1"},
		{"unknown field", `{"version":1,"log":[]}`, `unknown field "log"`},
		{"no name", `{"version":1,"logs":[{"class":"clean","program":"p"}]}`, "want a file name"},
		{"absolute name", `{"version":1,"logs":[{"log":"/x","class":"clean","program":"p"}]}`, "want a file name relative"},
		{"no program", `{"version":1,"logs":[{"log":"x","class":"clean"}]}`, "no program"},
		{"no class", `{"version":1,"logs":[{"log":"x","program":"p"}]}`, `class ""`},
		{"short hash", `{"version":1,"logs":[{"log":"x","program":"p","class":"clean","sha256":"ab"}]}`, "want 64 hexadecimal digits"},
		{"twice", `{"version":1,"logs":[{"log":"x","program":"p","class":"clean"},{"log":"x","program":"p","class":"clean"}]}`, "listed twice"},
		{"leaky without leaks", `{"version":1,"logs":[{"log":"x","program":"p","class":"leaky"}]}`, "lists no leak"},
		{"clean with leaks", leakText("clean", 9, `{"event":1,"address":"0x1","size":1,"kind":"lost"}`), "class clean, but it lists leaks"},
		{"event past the end", leakText("leaky", 9, `{"event":10,"address":"0x1","size":1,"kind":"lost"}`), "event 10 is not in 0..9"},
		{"event below zero", leakText("leaky", 9, `{"event":-1,"address":"0x1","size":1,"kind":"lost"}`), "event -1 is not in 0..9"},
		{"out of order", leakText("leaky", 9, `{"event":5,"address":"0x1","size":1,"kind":"lost"},{"event":4,"address":"0x2","size":1,"kind":"lost"}`), "want them in order"},
		{"address twice", leakText("leaky", 9, `{"event":5,"address":"0x1","size":1,"kind":"lost"},{"event":6,"address":"0x1","size":1,"kind":"lost"}`), "leaked twice"},
		{"address zero", leakText("leaky", 9, `{"event":5,"address":"0x0","size":1,"kind":"lost"}`), "not those of a block"},
		{"address too long", leakText("leaky", 9, `{"event":5,"address":"0x10000000000000000","size":1,"kind":"lost"}`), "want hexadecimal digits"},
		{"address decimal", leakText("leaky", 9, `{"event":5,"address":"12","size":1,"kind":"lost"}`), "after 0x"},
		{"address a number", leakText("leaky", 9, `{"event":5,"address":12,"size":1,"kind":"lost"}`), "Address"},
		{"size below zero", leakText("leaky", 9, `{"event":5,"address":"0x1","size":-1,"kind":"lost"}`), "not those of a block"},
		{"unknown kind", leakText("leaky", 9, `{"event":5,"address":"0x1","size":1,"kind":"gone"}`), `kind "gone"`},
		{"site without frames", `{"version":1,"logs":[{"log":"x","program":"p","class":"leaky","sites":[{"frames":[],"kind":"lost"}]}]}`, "want frames"},
	}
	path := filepath.Join(t.TempDir(), "labels.json")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := ReadLabels(path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got error %v, want one with %q and the file's name", err, test.want)
			}
		})
	}
	if _, err := ReadLabels(path + ".missing"); err == nil {
		t.Error("a missing file was read")
	}
}

func leakText(class string, events int, leaks string) string {
	return fmt.Sprintf(`{"version":1,"logs":[{"log":"x","program":"p","class":%q,"events":%d,"leaks":[%s]}]}`, class, events, leaks)
}

func TestFindAndVerify(t *testing.T) {
	l := sample()
	dir := t.TempDir()
	path := filepath.Join(dir, "b.raw.zst")
	if err := os.WriteFile(path, []byte("log"), 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := l.Find(path)
	if err != nil || found.Log != "sub/b.raw.zst" {
		t.Fatalf("found %+v, %v", found, err)
	}
	if err := found.Verify(path); err != nil { // no hash in the labels
		t.Error(err)
	}
	found.SHA256 = "9c6b057a2b9d96a4067a749ee3b3b0158d390cf1e5d8c5a6e5f4e5d6c7b8a901"
	if err := found.Verify(path); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("another file was accepted: %v", err)
	}
	if found.SHA256, err = HashFile(path); err != nil || found.Verify(path) != nil {
		t.Errorf("the right file was refused: %v", err)
	}
	if err := found.Verify(path + ".missing"); err == nil {
		t.Error("a missing log was accepted")
	}
	if _, err := l.Find("other"); err == nil {
		t.Error("labels of a log that has none")
	}
	l.Logs[0].Log = "top/b.raw.zst"
	if _, err := l.Find(path); err == nil || !strings.Contains(err.Error(), "two logs") {
		t.Errorf("an ambiguous name was accepted: %v", err)
	}
}

func TestWriteFileKeepsTheOldOneOnFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "labels.json")
	if err := sample().Write(path); err != nil {
		t.Fatal(err)
	}
	bad := sample()
	bad.Logs[0].Program = ""
	if err := bad.Write(path); err == nil {
		t.Error("bad labels were written")
	}
	if _, err := ReadLabels(path); err != nil {
		t.Errorf("what was there is damaged: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := sample().Write(filepath.Join(dir, "no", "folder")); err == nil {
		t.Error("wrote into a folder that is not there")
	}
}

func TestBadManifestsAreRefused(t *testing.T) {
	good := Run{Log: "p/x", Labels: "p/labels.json", SHA256: strings.Repeat("ab", 32), Program: "p", Class: Leaky, Events: 9, Outstanding: 4, Leaked: 2}
	tests := []struct {
		name, want string
		change     func(r *Run)
	}{
		{"absolute log", "relative to the manifest", func(r *Run) { r.Log = "/x" }},
		{"no labels", "relative to the manifest", func(r *Run) { r.Labels = "" }},
		{"no hash", "sha256", func(r *Run) { r.SHA256 = "" }},
		{"no program", "no program", func(r *Run) { r.Program = "" }},
		{"unknown class", `class "odd"`, func(r *Run) { r.Class = "odd" }},
		{"leaky without leaks", "0 leaked blocks", func(r *Run) { r.Leaked = 0 }},
		{"clean with leaks", "class clean, but 2", func(r *Run) { r.Class = Clean }},
		{"more leaked than live", "5 leaked of 4", func(r *Run) { r.Leaked = 5 }},
		{"more live than events", "10 outstanding", func(r *Run) { r.Outstanding = 10 }},
	}
	if err := (&Manifest{Version: Version, Runs: []Run{good}}).Validate(); err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		run := good
		test.change(&run)
		err := (&Manifest{Version: Version, Runs: []Run{run}}).Validate()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one with %q", test.name, err, test.want)
		}
	}
	twin := good
	twin.Log = "p/y"
	if err := (&Manifest{Version: Version, Runs: []Run{good, twin}}).Validate(); err == nil || !strings.Contains(err.Error(), "the same log as") {
		t.Errorf("the same run twice was accepted: %v", err)
	}
}

func FuzzReadLabels(f *testing.F) {
	f.Add([]byte(leakText("leaky", 9, `{"event":5,"address":"0x1","size":1,"kind":"lost"}`)))
	f.Add([]byte(`{"version":1,"logs":null}`))
	path := filepath.Join(f.TempDir(), "labels.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := ReadLabels(path)
		if err != nil {
			return
		}
		if err := l.Write(path); err != nil {
			t.Fatalf("labels that were read cannot be written: %v", err)
		}
		again, err := ReadLabels(path)
		if err != nil || !reflect.DeepEqual(l.Validate(), again.Validate()) || len(l.Logs) != len(again.Logs) {
			t.Fatalf("labels that were written cannot be read: %v", err)
		}
	})
}
