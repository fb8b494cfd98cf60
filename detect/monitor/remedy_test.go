package monitor

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// rules reads remedies from the members of their objects.
func rules(t *testing.T, objects ...string) []Remedy {
	t.Helper()
	r, err := ReadRemedies("remedies.json", strings.NewReader(`{"remedies": [`+strings.Join(objects, ",")+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// acting is a sink with rules, and what it has done.
func acting(rules []Remedy, allowed bool) (*Remedies, *[]Action) {
	var done []Action
	return &Remedies{Rules: rules, Allowed: allowed, Told: func(a Action) { done = append(done, a) }}, &done
}

func act(t *testing.T, s *Remedies, a *Alert) {
	t.Helper()
	if err := s.Send(context.Background(), a); err != nil {
		t.Fatal(err)
	}
}

// sleeper is a process, which the test ends, and an alert about it.
func sleeper(t *testing.T) (*exec.Cmd, *Alert) {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Skip(err)
	}
	return cmd, &Alert{ID: "7", Level: Warning, Source: "pid 5", Site: "f < main", Stack: []string{"f", "main"}, Process: p, Bytes: 12}
}

// What an alert holds reaches a program as it is, whatever it looks like.
func TestRemedyRuns(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	_, alert := sleeper(t)
	alert.Source, alert.Site = "; rm -rf "+dir, "$(touch "+dir+"/pwned)\x00`id` *\n--help"
	program := filepath.Join(dir, "jcmd")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nprintf '<%s>' \"$@\" >'"+out+"'\necho said; exit 5\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	argv, _ := json.Marshal([]string{program, "{pid}", "GC.run", "{source}", "{site}", "{level}", "{bytes}", "{id}", "*", ""})
	s, done := acting(rules(t, `{"name": "gc", "run": `+string(argv)+`}`), true)
	act(t, s, alert)
	got, err := os.ReadFile(out)
	want := "<" + placeholders["{pid}"](alert) + "><GC.run><; rm -rf " + dir + "><$(touch " + dir + "/pwned)`id` *\n--help><WARNING><12><7><*><>"
	if err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if a := (*done)[0]; len(*done) != 1 || a.Status != 5 || a.Output != "said" || a.Error == "" || a.DryRun || a.Alert != "7" || a.Remedy != "gc" {
		t.Errorf("%+v", *done)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "*")); len(found) != 2 {
		t.Errorf("a shell has run: %v", found)
	}
}

// Without leave nothing is done, and is told.
func TestRemedyDryRun(t *testing.T) {
	dir := t.TempDir()
	caches := filepath.Join(dir, "drop_caches")
	if err := os.WriteFile(caches, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd, alert := sleeper(t)
	s, done := acting(rules(t, `{"name": "a", "run": ["touch", "`+dir+`/x"]}`, `{"name": "b", "signal": "KILL"}`, `{"name": "c", "drop_caches": 3}`), false)
	s.DropCaches = caches
	act(t, s, alert)
	if len(*done) != 3 || !alert.Process.Alive() {
		t.Errorf("%+v", *done)
	}
	for _, a := range *done {
		if !a.DryRun || len(a.Done) == 0 || a.Error != "" {
			t.Errorf("%+v", a)
		}
	}
	if data, _ := os.ReadFile(caches); len(data) > 0 {
		t.Errorf("%q was written", data)
	}
	if _, err := os.Stat(dir + "/x"); err == nil {
		t.Error("the program was run")
	}
	s.Allowed, s.last = true, nil
	act(t, s, alert)
	cmd.Wait()
	if data, _ := os.ReadFile(caches); string(data) != "3\n" || alert.Process.Alive() {
		t.Errorf("with leave: %q written; process alive: %v", data, alert.Process.Alive())
	}
}

// A rule acts on what fits, and not again before its time, whatever the clock says.
func TestRemedyRate(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s, done := acting(rules(t, `{"name": "often", "source": "pid *", "level": "WARNING", "run": ["true"], "every": "1m"}`,
		`{"name": "site", "site": "g*", "run": ["true"]}`), true)
	s.Now = func() time.Time { return now }
	alert := func(source string, level Level, site string, resolved bool) {
		act(t, s, &Alert{Source: source, Level: level, Site: site, Resolved: resolved, Stack: []string{}})
	}
	alert("pid 1", Info, "f", false)
	alert("app.log", Critical, "f", false)
	alert("pid 1", Critical, "g", true)
	if len(*done) != 0 {
		t.Fatalf("what does not fit: %+v", *done)
	}
	for range 100 {
		alert("pid 1", Warning, "f", false)
	}
	now = now.Add(59 * time.Second)
	alert("pid 2", Warning, "f", false)
	alert("app.log", Info, "g < main", false)
	now = now.Add(time.Second)
	alert("pid 2", Warning, "f", false)
	now = now.AddDate(-1, 0, 0)
	alert("pid 2", Warning, "f", false)
	alert("pid 2", Warning, "f", false)
	var names []string
	for _, a := range *done {
		names = append(names, a.Remedy)
		if a.Status != 0 || a.Error != "" {
			t.Errorf("%+v", a)
		}
	}
	if want := []string{"often", "site", "often", "often"}; !reflect.DeepEqual(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}

// A process that has ended is left alone, also where another has its number.
func TestRemedyWrongProcess(t *testing.T) {
	cmd, alert := sleeper(t)
	alert.Process.Started += "0"
	none := *alert
	none.Process = nil
	for _, a := range []*Alert{alert, &none} {
		s, done := acting(rules(t, `{"name": "a", "signal": "SIGKILL"}`, `{"name": "b", "run": ["kill", "{pid}"]}`), true)
		act(t, s, a)
		for _, d := range *done {
			if d.Error == "" || d.Done != nil {
				t.Errorf("%+v", d)
			}
		}
	}
	if p, err := identify(cmd.Process.Pid); err != nil || !p.Alive() {
		t.Errorf("the process was hit: %v", err)
	}
	for argv, want := range map[string]string{`["/no/such/program"]`: "no such file", `["sh", "-c", "exit 3"]`: "exit status 3", `["sleep", "60"], "timeout": "50ms"`: "signal: killed"} {
		s, done := acting(rules(t, `{"name": "a", "run": `+argv+`}`), true)
		act(t, s, alert)
		if !strings.Contains((*done)[0].Error, want) {
			t.Errorf("%s: %+v, want %q", argv, *done, want)
		}
	}
}

// A real Java machine collects its garbage.
func TestRemedyJcmd(t *testing.T) {
	for _, tool := range []string{"jcmd", "java"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	source := filepath.Join(t.TempDir(), "Wait.java")
	if err := os.WriteFile(source, []byte("public class Wait { public static void main(String[] a) throws Exception { System.out.println(1); Thread.sleep(60000); } }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("java", "-Xmx64m", "-Xlog:gc:stderr", source)
	var said strings.Builder
	cmd.Stderr = &said
	ready, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		cmd.Wait()
		t.Skipf("java does not run: %v: %s", err, &said)
	}
	probe, err := Process(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	s, done := acting(rules(t, `{"name": "gc", "source": "pid *", "run": ["jcmd", "{pid}", "GC.run"]}`), true)
	act(t, s, &Alert{Source: probe.Name, Process: probe.Process, Level: Info})
	cmd.Process.Kill()
	cmd.Wait()
	if a := (*done)[0]; a.Status != 0 || !strings.Contains(a.Output, "Command executed successfully") || !strings.Contains(said.String(), "Pause Full (Diagnostic Command)") {
		t.Errorf("%+v\n%s", a, &said)
	}
}

func TestBadRemedies(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{``, `f:1: want {"remedies": [`}, {`[]`, `f:1: want {"remedies": [`}, {`{"rules": []}`, `f:1: want {"remedies": [`},
		{"{\"remedies\": [\n{\"name\": \"a\",\n\"run\": [}]}", "f:3: invalid character"},
		{"{\"remedies\": [\n\n{\"name\": \"a\", \"shell\": \"x\"}]}", `f:3: json: unknown field "shell"`},
		{"{\"remedies\": [{\"name\": \"a\", \"signal\": \"HUP\"},\n{\"signal\": \"HUP\"}]}", "f:2: a remedy without a name"},
		{`{"remedies": [{"name": "a"}]}`, `f:1: remedy "a": want one of run, signal and drop_caches`},
		{`{"remedies": [{"name": "a", "signal": "HUP", "drop_caches": 1}]}`, "want one of run, signal and drop_caches"},
		{`{"remedies": [{"name": "a", "signal": "STOP"}]}`, `signal "STOP": want one of HUP, INT`},
		{`{"remedies": [{"name": "a", "drop_caches": 4}]}`, "drop_caches 4: want 1, 2 or 3"},
		{`{"remedies": [{"name": "a", "drop_caches": "1"}]}`, "f:1: json: cannot unmarshal string"},
		{`{"remedies": [{"name": "a", "run": ["{pid}"]}]}`, "{pid} cannot be the program"},
		{`{"remedies": [{"name": "a", "run": [""]}]}`, "run names no program"},
		{`{"remedies": [{"name": "a", "run": ["kill", "-p{pid}"]}]}`, "{pid} has to be an argument of its own"},
		{`{"remedies": [{"name": "a", "run": ["a\u0000b"]}]}`, "holds a zero byte"},
		{`{"remedies": [{"name": "a", "signal": "HUP", "every": "5"}]}`, "missing unit in duration"},
		{`{"remedies": [{"name": "a", "signal": "HUP", "every": "-5m"}]}`, "want more than 0"},
		{`{"remedies": [{"name": "a", "signal": "HUP", "level": "LOUD"}]}`, `no level "LOUD"`},
		{`{"remedies": []}]`, "behind the end"}, {`{"remedies": []`, "want } after the rules"}, {`{"remedies": [], "x": 1}`, "want } after the rules"},
		{`{"remedies": [` + strings.Repeat(" ", maxRemedies), "bytes are no remedies"},
	} {
		if _, err := ReadRemedies("f", strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80s: %v, want %q", c.text, err, c.want)
		}
	}
}

func FuzzRemedies(f *testing.F) {
	f.Add(`{"remedies": [{"name": "gc", "source": "pid *", "level": "WARNING", "run": ["jcmd", "{pid}", "GC.run"], "every": "10m"}]}`)
	f.Add(`{"remedies": [{"name": "caches", "drop_caches": 1}, {"name": "dump", "signal": "USR1"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := ReadRemedies("f", strings.NewReader(text))
		if err != nil {
			return
		}
		// Nothing is done, but all is prepared.
		s, done := acting(rules, false)
		s.Send(context.Background(), &Alert{Level: Critical, Source: "pid 1", Site: "f"})
		for _, a := range *done {
			if !a.DryRun || a.Output != "" {
				t.Errorf("%+v", a)
			}
		}
	})
}
