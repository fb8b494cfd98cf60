package datasets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"leakformer/ingest"
)

// memcheck is Valgrind's leak check at the end of a run, as text or as XML. Its
// reports name no blocks, so their labels name allocation sites: for each leaked
// block the preload library has memcheck say where it was allocated (the monitor
// command v.info location), in the report itself or, for XML, in a log beside it.
func memcheck(ctx context.Context, xml bool) (*tracer, error) {
	launcher, program, version, err := findValgrind(ctx)
	if err != nil {
		return nil, err
	}
	wrap := func(p *process, library, raw string) {
		args := []string{"--leak-check=full", "--show-leak-kinds=all", "--undef-value-errors=no", "--num-callers=20",
			"--child-silent-after-fork=yes", "--vgdb=no", "--soname-synonyms=somalloc=nouserintercepts"}
		if xml {
			args = append(args, "--xml=yes", "--xml-file="+raw, "--log-file="+raw+besideXML)
		} else {
			args = append(args, "--log-file="+raw)
		}
		p.args = append(append(args, p.path), p.args...)
		p.path = program
		p.env = append(p.env, "LD_PRELOAD="+library, "VALGRIND_LAUNCHER="+launcher)
	}
	t := &tracer{format: "memcheck", suffix: "memcheck.zst", scale: 0.1, libc: true, report: true, wrap: wrap, strip: stripMemcheckText}
	if xml {
		t.format, t.suffix, t.strip = "memcheck-xml", "memcheck.xml.zst", stripMemcheckXML
	}
	strip := t.strip
	t.strip = func(w io.Writer, raw *os.File, c *control) (*stripped, error) {
		s, err := strip(w, raw, c)
		if err == nil {
			s.tool = version + " memcheck"
		}
		return s, err
	}
	return t, nil
}

// besideXML is added to the name of an XML report to name the log.
const besideXML = ".log"

// findValgrind returns the command, the program that it starts, and the version
// in the form "valgrind 3.19.0".
func findValgrind(ctx context.Context) (launcher, program, version string, err error) {
	if launcher, err = exec.LookPath("valgrind"); err != nil {
		return "", "", "", errors.New("valgrind is not installed: apt-get install valgrind")
	}
	if program = findMemcheck(); program == "" {
		return "", "", "", errors.New("valgrind is there, but not its program memcheck-ARCH-linux: apt-get install --reinstall valgrind")
	}
	out, err := exec.CommandContext(ctx, launcher, "--version").Output()
	if err != nil {
		return "", "", "", fmt.Errorf("valgrind --version: %w", err)
	}
	return launcher, program, strings.Replace(strings.TrimSpace(string(out)), "-", " ", 1), nil
}

func stripMemcheckText(w io.Writer, raw *os.File, c *control) (*stripped, error) {
	d := &descriptions{drops: c.drops}
	var report bytes.Buffer
	if err := eachLine(raw, func(line []byte) error {
		if !d.take(line) {
			report.Write(c.anonymous(line))
			report.WriteByte('\n')
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return finishReport(w, report.Bytes(), "memcheck", d)
}

func stripMemcheckXML(w io.Writer, raw *os.File, c *control) (*stripped, error) {
	log, err := os.Open(raw.Name() + besideXML)
	if err != nil {
		return nil, fmt.Errorf("memcheck left no log beside its XML: %w", err)
	}
	defer log.Close()
	d := &descriptions{drops: c.drops}
	if err := eachLine(log, func(line []byte) error { d.take(line); return nil }); err != nil {
		return nil, err
	}
	var report bytes.Buffer
	if err := eachLine(raw, func(line []byte) error {
		if ours := bytes.TrimSpace(line); bytes.HasPrefix(ours, []byte("<arg>--xml-file=")) || bytes.HasPrefix(ours, []byte("<arg>--log-file=")) {
			return nil
		}
		report.Write(c.anonymous(line))
		report.WriteByte('\n')
		return nil
	}); err != nil {
		return nil, err
	}
	return finishReport(w, report.Bytes(), "memcheck-xml", d)
}

// finishReport counts what is in a report, labels it and writes it.
func finishReport(w io.Writer, report []byte, format string, d *descriptions) (*stripped, error) {
	if bytes.Contains(report, []byte(libraryName)) {
		return nil, errors.New("the preload library is on a stack of the report")
	}
	s := &stripped{markers: int64(d.next)}
	src, err := ingest.NewSource("report", bytes.NewReader(report), ingest.Options{Format: format})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	for e, err := range src.Events() {
		if err != nil {
			return nil, fmt.Errorf("memcheck's report: %w", err)
		}
		s.events++
		s.outstanding += e.Count
	}
	if src.Report().Truncated {
		return nil, errors.New("memcheck's report is cut off")
	}
	if s.sites, err = d.sites(); err != nil {
		return nil, err
	}
	s.unplaced = int64(len(d.drops)) - d.placed
	if err := verifySites(report, format, s); err != nil {
		return nil, err
	}
	_, err = w.Write(report)
	return s, err
}

// verifySites refuses labels that the report does not bear out, for example since
// a suppression hides the blocks.
func verifySites(report []byte, format string, s *stripped) error {
	src, err := ingest.NewSource("report", bytes.NewReader(report), ingest.Options{Format: format})
	if err != nil {
		return err
	}
	defer src.Close()
	l := LogLabels{Log: "report", Events: s.events, Sites: s.sites}
	return l.VerifyEvents(src)
}

// descriptions takes memcheck's descriptions of leaked blocks out of its log:
//
//	==9== Address 0x4a450a0 is 0 bytes inside a block of size 30 alloc'd
//	==9==    at 0x48417B4: malloc (in /usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so)
//	==9==    by 0x10922B: mk (t.c:5)
type descriptions struct {
	drops  []dropRecord
	next   int   // first drop not described so far
	placed int64 // drops described with a stack
	inside bool  // the line before belonged to a description
	site   *described
	byKey  map[string]*described
	causes map[dropRecord]int // numbers, by what drops of one cause have in common
	order  []*described
}

// described is the blocks of one call stack that one cause lost.
type described struct {
	kind          uint64
	cause         int
	blocks, bytes int64
	stack         []byte // lines of a report, without the process number
}

// take says whether the line belongs to a description.
func (d *descriptions) take(line []byte) bool {
	_, text, ok := bytes.Cut(line, []byte("== "))
	if !ok || !bytes.HasPrefix(line, []byte("==")) {
		return false
	}
	if size, ok := d.begins(text); ok {
		d.close()
		d.inside, d.site = true, nil
		if size >= 0 {
			drop := d.drops[d.next-1]
			d.site = &described{kind: drop.Kind, cause: d.cause(drop), blocks: 1, bytes: size}
		}
		return true
	}
	frame := bytes.HasPrefix(text, []byte("   at 0x")) || bytes.HasPrefix(text, []byte("   by 0x"))
	if d.inside && frame {
		if d.site != nil {
			d.site.stack = append(append(append(d.site.stack, "==1== "...), text...), '\n')
		}
		return true
	}
	if d.inside && bytes.HasPrefix(text, []byte(" Block was alloc'd by thread")) {
		return true
	}
	d.close()
	return false
}

// cause numbers what lost a block: a path of frees, or the one bug of a program of ours.
func (d *descriptions) cause(drop dropRecord) int {
	same := dropRecord{Kind: drop.Kind}
	if leakKinds[drop.Kind%3] == Forgotten {
		same.Path = drop.Path
	}
	if d.causes == nil {
		d.causes = map[dropRecord]int{}
	}
	if d.causes[same] == 0 {
		d.causes[same] = len(d.causes) + 1
	}
	return d.causes[same]
}

// begins says whether a description of one of the next drops begins here, and
// gives the size of the block: -1 when memcheck does not know it.
func (d *descriptions) begins(text []byte) (int64, bool) {
	rest, ok := bytes.CutPrefix(text, []byte(" Address 0x"))
	digits, what, ok2 := bytes.Cut(rest, []byte(" is "))
	address, err := strconv.ParseUint(string(digits), 16, 64)
	if !ok || !ok2 || err != nil {
		return 0, false
	}
	for i := d.next; i < len(d.drops); i++ {
		if d.drops[i].Address != address {
			continue
		}
		d.next = i + 1
		size, ok := bytes.CutPrefix(what, []byte("0 bytes inside a block of size "))
		size, ok2 := bytes.CutSuffix(size, []byte(" alloc'd"))
		n, err := strconv.ParseInt(strings.ReplaceAll(string(size), ",", ""), 10, 64)
		if !ok || !ok2 || err != nil {
			n = -1
		}
		return n, true
	}
	return 0, false
}

// close adds the description in progress to those of the same stack and cause.
func (d *descriptions) close() {
	s := d.site
	d.inside, d.site = false, nil
	if s == nil || len(s.stack) == 0 {
		return
	}
	d.placed++
	key := strconv.Itoa(s.cause) + string(s.stack)
	if known := d.byKey[key]; known != nil {
		known.blocks++
		known.bytes += s.bytes
		return
	}
	if d.byKey == nil {
		d.byKey = map[string]*described{}
	}
	d.byKey[key] = s
	d.order = append(d.order, s)
}

// sites turns the descriptions into labels. A report is made of them and read by
// the reader of reports, so that labels and logs name functions in one way.
func (d *descriptions) sites() ([]Site, error) {
	d.close()
	if len(d.order) == 0 {
		return nil, nil
	}
	var report bytes.Buffer
	for i, s := range d.order {
		fmt.Fprintf(&report, "==1== %d bytes in %d blocks are definitely lost in loss record %d of %d\n%s==1== \n", s.bytes, s.blocks, i+1, len(d.order), s.stack)
	}
	src, err := ingest.NewSource("descriptions", &report, ingest.Options{Format: "memcheck"})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	var sites []Site
	for e, err := range src.Events() {
		if err != nil {
			return nil, fmt.Errorf("memcheck's description of a block: %w", err)
		}
		s := Site{Blocks: e.Count, Bytes: e.Size, Frames: framesOf(src.Stacks().Frames(e.Stack))}
		if len(s.Frames) == 0 {
			return nil, errors.New("memcheck knows no caller of a leaked block's allocation")
		}
		if len(sites) < len(d.order) {
			s.Kind, s.Cause = leakKinds[d.order[len(sites)].kind%3], d.order[len(sites)].cause
		}
		sites = append(sites, s)
	}
	if len(sites) != len(d.order) {
		return nil, fmt.Errorf("%d of %d descriptions of blocks were understood", len(sites), len(d.order))
	}
	return sites, nil
}
