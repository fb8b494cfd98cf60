package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"time"

	"leakformer/detect"
	"leakformer/ingest"
)

// maxLine bounds the length of a line: a finding with some ten million addresses.
const maxLine = 256 << 20

// Read puts findings that `score --format jsonl` wrote into the store. Errors name the
// file and the line. Findings behind the last summary are an error: some may be
// missing.
func Read(ctx context.Context, name string, r io.Reader, store Store, level Leveler) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	now := time.Now().UTC()
	var findings []Finding
	n, last := 0, ""
	for lines.Scan() {
		n++
		var head struct{ Type string }
		err := json.Unmarshal(lines.Bytes(), &head)
		switch last = head.Type; {
		case err != nil:
		case last == "finding" && len(findings) == maxFindings:
		case last == "finding":
			var f Finding
			if f, err = readFinding(lines.Bytes(), len(findings)); err == nil {
				f.Timestamp, f.Level = now, f.level(level)
				findings = append(findings, f)
			}
		case last == "summary":
			var s detect.Summary
			if err = json.Unmarshal(lines.Bytes(), &s); err == nil {
				run := newRun(&s, now)
				for i := range findings {
					findings[i].Program = run.Program
				}
				err = store.Put(ctx, run, findings)
				findings = nil
			}
		default:
			err = fmt.Errorf("an object of type %q: want a finding or a summary", last)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	if last != "summary" {
		return errors.New(name + ": ends without a summary: findings may be missing")
	}
	return nil
}

// readFinding reads the n-th finding of a run. Its place tells it apart: two sites may
// look the same. The addresses, of which there may be millions, are passed over.
func readFinding(text []byte, n int) (Finding, error) {
	var l struct {
		Log, Site           string
		Key                 detect.SiteKey
		Frames              []Frame
		Probability         float64
		Leak                bool
		Outstanding, Leaked ingest.Amount
		Group               int
		First, Last         detect.Place
		Rate                *detect.Rate
		Why                 []string
		Attribution         []detect.Effect
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return Finding{}, err
	}
	if !(l.Probability >= 0 && l.Probability <= 1) {
		return Finding{}, fmt.Errorf("probability %v: want 0 to 1", l.Probability)
	}
	of := l.Outstanding
	if l.Leak {
		of = l.Leaked
	}
	return Finding{
		ID: SiteID(l.Log, l.Site+"\x00"+strconv.Itoa(n)), Log: l.Log, Program: path.Base(l.Log), Key: l.Key, Site: l.Site,
		Frames: l.Frames, StackTrace: stackTrace(l.Frames), Probability: l.Probability, Leak: l.Leak,
		SizeMB: float64(of.Bytes) / 1e6, Bytes: of.Bytes, Blocks: of.Blocks, Outstanding: l.Outstanding, Group: l.Group,
		Rate: l.Rate, First: l.First, Last: l.Last, Why: append([]string{}, l.Why...), Attribution: l.Attribution,
	}, nil
}
