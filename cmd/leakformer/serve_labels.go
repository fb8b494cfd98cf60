package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"leakformer/datasets"
	"leakformer/detect"
	"leakformer/detect/dashboard"
	"leakformer/ingest"
	"leakformer/tokenize"
)

// judgements are what people say of findings, on their way to a label file. A label
// file is the whole truth about a log: a log gets into it when each leak that was found
// in it is decided. Until then FILE.decisions keeps what was said.
type judgements struct {
	path string

	mu     sync.Mutex
	kept   *os.File                      // FILE.decisions, to append to
	past   map[string]dashboard.Decision // by log and site, see judgement.key
	labels *datasets.Labels
	logs   map[string]*judged // by path
	byID   map[string]*verdict
}

// judged is a log that is not labelled yet, or is.
type judged struct {
	labels   datasets.LogLabels // but for its leaks
	verdicts []*verdict
}

// verdict is one leak that was found, what it would be in a label file, and what was
// said of it.
type verdict struct {
	log      *judged
	site     string // its number
	name     string
	leaks    []datasets.Leak
	frames   datasets.Site
	decision dashboard.Decision
}

// judgement is a line of FILE.decisions.
type judgement struct {
	Time     time.Time          `json:"time"`
	SHA256   string             `json:"sha256"` // of the log
	Site     string             `json:"site"`   // its number, the same in each reading
	Name     string             `json:"name"`
	Decision dashboard.Decision `json:"decision"`
}

func (j judgement) key() string { return j.SHA256 + " " + j.Site }

// openJudgements reads a label file and the decisions beside it, if they are there.
func openJudgements(path string) (*judgements, error) {
	j := &judgements{path: path, past: map[string]dashboard.Decision{}, labels: &datasets.Labels{}, logs: map[string]*judged{}, byID: map[string]*verdict{}}
	if labels, err := datasets.ReadLabels(path); err == nil {
		j.labels = labels
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path+".decisions", os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var d judgement
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil || !d.Decision.Valid() {
			f.Close()
			return nil, fmt.Errorf("%s:%d: not a decision: remove the line", f.Name(), n)
		}
		j.past[d.key()] = d.Decision
	}
	j.kept = f
	return j, lines.Err()
}

// add takes a leak that was found, and returns what was said of it before. It is false
// where the log cannot be labelled: it is no file, or one of several processes.
func (j *judgements) add(f *detect.Finding) (dashboard.Decision, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	log, ok := j.logs[f.Log]
	if !ok {
		log = j.newLog(f)
		j.logs[f.Log] = log
	}
	if log == nil {
		return dashboard.Undecided, false
	}
	v := &verdict{log: log, name: f.Site, site: strconv.FormatUint(uint64(f.Key().Exact), 10)}
	v.label(f)
	v.decision = j.past[judgement{SHA256: log.labels.SHA256, Site: v.site}.key()]
	log.verdicts = append(log.verdicts, v)
	j.byID[dashboard.ID(f)] = v
	return v.decision, true
}

// newLog is nil for what is no file that a label file could name.
func (j *judgements) newLog(f *detect.Finding) *judged {
	sum, err := datasets.HashFile(f.Log)
	if err != nil {
		return nil
	}
	name, err := relative(filepath.Dir(j.path), f.Log)
	if err != nil {
		return nil
	}
	return &judged{labels: datasets.LogLabels{Log: name, SHA256: sum, Program: cmp.Or(f.Run.Program, path.Base(f.Log)), Events: int64(f.Run.Events)}}
}

func relative(dir, file string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if file, err = filepath.Abs(file); err != nil {
		return "", err
	}
	return filepath.Rel(dir, file)
}

// label writes a finding as a label: block by block where the log is of events with
// addresses, else the site.
func (v *verdict) label(f *detect.Finding) {
	overdue := medianLife(f) + 1
	at := map[datasets.Address]int{}
	byBlock := f.Run.Class == ingest.Events
	for _, i := range f.Blocks {
		b := f.Run.Blocks.At(i)
		leak := datasets.Leak{Event: min(int64(b.Born)+overdue, int64(f.Run.Events)), Address: datasets.Address(f.Run.Blocks.Addr(i)), Size: b.Size, Kind: datasets.Lost}
		if k, again := at[leak.Address]; again {
			v.leaks[k] = leak // the log lost a free; the last block is the one that is there
			continue
		}
		at[leak.Address] = len(v.leaks)
		v.leaks = append(v.leaks, leak)
		byBlock = byBlock && leak.Address != 0
	}
	if byBlock {
		return
	}
	v.leaks = nil
	v.frames = datasets.Site{Blocks: f.Leaked.Blocks, Bytes: f.Leaked.Bytes, Kind: datasets.Lost}
	for _, fr := range f.Frames {
		frame := datasets.Frame{Function: fr.Function}
		if fr.Module != "" {
			frame.Module = path.Base(fr.Module)
		}
		if fr.Function == "" {
			frame.Address = datasets.Address(fr.Address)
		}
		v.frames.Frames = append(v.frames.Frames, frame)
	}
}

// medianLife is how many events half of the freed blocks of a finding's site lived at
// most; 0 if none was freed.
//
// Nobody says since when a block is leaked. This long after its birth it is overdue, and
// taken to be leaked.
//
// Note: birth itself, the longest life and the 90th percentile are all worse. Of the
// 26,327 leaked blocks of event logs in datasets/corpus, of which it is known, birth has
// 21 % on the wrong side of a cut at 30, 60 or 90 % of the run, the longest life 23 %,
// the 90th percentile 20 %, and the median 17 %.
func medianLife(f *detect.Finding) int64 {
	var lives []uint32
	for _, i := range f.Run.BySite[f.Run.Blocks.Site(f.Blocks[0])] {
		if b := f.Run.Blocks.At(i); b.Died != tokenize.Alive {
			lives = append(lives, b.Died-b.Born)
		}
	}
	if len(lives) == 0 {
		return 0
	}
	slices.Sort(lives)
	return int64(lives[(len(lives)-1)/2])
}

// decide keeps a decision, and labels the log if it was the last.
func (j *judgements) decide(id string, d dashboard.Decision) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	v, ok := j.byID[id]
	if !ok {
		return dashboard.ErrNotFound
	}
	line, err := json.Marshal(judgement{time.Now().UTC(), v.log.labels.SHA256, v.site, v.name, d})
	if err != nil {
		return err
	}
	if _, err := j.kept.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := j.kept.Sync(); err != nil {
		return err
	}
	v.decision = d
	return j.write(v.log)
}

// write puts a log into the label file, or takes it out while decisions are missing.
func (j *judgements) write(log *judged) error {
	before := len(j.labels.Logs)
	j.labels.Logs = slices.DeleteFunc(j.labels.Logs, func(l datasets.LogLabels) bool { return l.Log == log.labels.Log })
	if labels, done := log.whole(); done {
		j.labels.Logs = append(j.labels.Logs, labels)
	} else if len(j.labels.Logs) == before {
		return nil
	}
	return j.labels.Write(j.path)
}

// whole is the truth about a log; false while decisions are missing.
func (log *judged) whole() (datasets.LogLabels, bool) {
	l := log.labels
	l.Class = datasets.Clean
	for _, v := range log.verdicts {
		switch v.decision {
		case dashboard.Undecided:
			return l, false
		case dashboard.Confirmed:
			l.Class = datasets.Leaky
			l.Leaks = append(l.Leaks, v.leaks...)
			if len(v.frames.Frames) > 0 {
				l.Sites = append(l.Sites, v.frames)
			}
		}
	}
	slices.SortFunc(l.Leaks, func(a, b datasets.Leak) int { return cmp.Compare(a.Event, b.Event) })
	return l, true
}
