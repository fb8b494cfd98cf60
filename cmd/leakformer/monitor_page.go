package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"leakformer/detect"
	"leakformer/detect/dashboard"
	"leakformer/detect/monitor"
)

// page shows what a monitor finds while it watches, or has it kept for a page of
// another program. It is a sink of alerts.
type page struct {
	sh       *shell
	c        *cli.Context
	store    dashboard.Store
	done     func() error // closes the store
	model    string
	listener net.Listener // nil: nobody is answered
}

// openPage listens before anything is watched, so that an address that is taken is told
// at once, and has the looks shown.
func (sh *shell) openPage(c *cli.Context, cfg *monitor.Config) (p *page, err error) {
	p = &page{sh: sh, c: c, model: noModel}
	if p.store, p.done, err = sh.openStore(c); err != nil {
		return nil, err
	}
	if c.Bool("serve") {
		if p.listener, err = listen(c); err != nil {
			return nil, errors.Join(err, p.done())
		}
		sh.warn("the page is http://%s/", p.listener.Addr())
	}
	if t, ok := cfg.Scorer.(*trained); ok {
		p.model = t.id
	}
	cfg.Looked = p.look
	return p, nil
}

func (p *page) close() {
	if p.listener != nil {
		p.listener.Close()
	}
	if err := p.done(); err != nil {
		p.sh.warn("%v", err)
	}
}

// during answers requests while f runs, and after that until the context ends. An error
// of f is the end.
func (p *page) during(ctx context.Context, f func() error) error {
	if p.listener == nil {
		return f()
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		err := f()
		if err != nil {
			stop()
		} else if ctx.Err() == nil {
			p.sh.warn("all sources have ended; the page stays until it is interrupted")
		}
		ended <- err
	}()
	s := &serving{sh: p.sh, c: p.c, store: p.store}
	err := s.answer(ctx, p.listener)
	return errors.Join(err, <-ended)
}

// Name is that of a sink.
func (p *page) Name() string { return "page" }

// Send puts an alert into the store.
func (p *page) Send(ctx context.Context, a *monitor.Alert) error {
	return p.store.Add(ctx, dashboard.History{Alerts: []dashboard.Alert{{
		ID: a.ID, Timestamp: a.Time.UTC(), Level: a.Level.String(), Resolved: a.Resolved, Log: a.Source, Finding: dashboard.SiteID(a.Source, a.SiteID),
		Site: a.Site, StackTrace: a.Stack, SizeMB: a.SizeMB, Bytes: a.Bytes, Probability: a.Probability, FiredBy: a.FiredBy, Message: a.Message,
	}}})
}

// look puts what was seen of a source in place of what was seen before. That the page
// lacks a look keeps nobody from being told.
func (p *page) look(ctx context.Context, l *monitor.Look) error {
	s := &suspects{Store: p.store, look: l, bySite: map[int]*monitor.Suspect{}, byID: map[string]*monitor.Suspect{}}
	grown := false // The detector knows the model's leaks alone.
	for i := range l.Suspects {
		s.bySite[l.Suspects[i].Of] = &l.Suspects[i]
		grown = grown || !l.Suspects[i].Model
	}
	s.Handler = &dashboard.Collector{Store: s, Level: level}
	s.decidable = p.c.String("store") != ""
	d := detect.Detector{Scorer: l, Threshold: l.Threshold, Model: p.model, All: grown}
	_, err := d.Detect(ctx, l.Scene, s)
	if err == nil {
		err = p.store.Add(ctx, history(l))
	}
	if err != nil && ctx.Err() == nil {
		p.sh.warn("the page lacks a look at %s: %v", l.Source.Name, err)
	}
	return nil
}

// history is the live bytes of a source and of the suspects in it.
func history(l *monitor.Look) (h dashboard.History) {
	whole := dashboard.Snapshot{Log: l.Source.Name, Timestamp: l.Time.UTC(), Live: l.Bytes}
	for i := range l.Suspects {
		s := &l.Suspects[i]
		h.Snapshots = append(h.Snapshots, dashboard.Snapshot{Log: whole.Log, ID: dashboard.SiteID(whole.Log, s.SiteID), Timestamp: whole.Timestamp, Live: s.Live, Leaked: s.Bytes})
		if s.Of >= 0 { // else it is the whole
			whole.Leaked += s.Bytes
		}
	}
	h.Snapshots = append(h.Snapshots, whole)
	return h
}

// suspects makes the findings of the page from those of a detector, which knows the
// course and the reasons, and from the suspects of a monitor, which knows what grew.
type suspects struct {
	detect.Handler
	dashboard.Store
	look *monitor.Look
	// bySite and byID find the suspect of a site of the run, and of a finding.
	bySite map[int]*monitor.Suspect
	byID   map[string]*monitor.Suspect
	// decidable: decisions are kept.
	decidable bool
}

// Finding passes on findings on suspects.
func (s *suspects) Finding(f *detect.Finding) error {
	suspect := s.bySite[int(f.Run.Blocks.Site(f.Blocks[0]))]
	if suspect == nil {
		return nil
	}
	s.byID[dashboard.ID(f)] = suspect
	return s.Handler.Finding(f)
}

// Put adds what the monitor knows to the findings of a detector.
func (s *suspects) Put(ctx context.Context, run dashboard.Run, findings []dashboard.Finding) error {
	for i := range findings {
		s.amend(&run, &findings[i], s.byID[findings[i].ID])
	}
	for i := range s.look.Suspects {
		if suspect := &s.look.Suspects[i]; suspect.Of < 0 {
			f := dashboard.Finding{ID: dashboard.SiteID(run.Log, suspect.SiteID), Log: run.Log, Program: run.Program, Timestamp: suspect.Time, Site: suspect.Site, StackTrace: []string{}}
			s.amend(&run, &f, suspect)
			findings = append(findings, f)
		}
	}
	return s.Store.Put(ctx, run, findings)
}

// amend writes the verdict of the growth rule beside that of the model.
func (s *suspects) amend(run *dashboard.Run, f *dashboard.Finding, by *monitor.Suspect) {
	f.Level, f.Decidable = by.Level.String(), s.decidable
	if !by.Model {
		f.Leak, f.Bytes, f.SizeMB = true, by.Bytes, by.SizeMB
		run.Leaks++
		if by.Of >= 0 || len(s.look.Suspects) == 1 { // else its parts are counted
			run.LeakedBytes += by.Bytes
		}
		f.Course = above(f.Course, by.Live-by.Bytes)
	}
	reasons := slices.Clone(by.Reasons)
	if by.Linked != nil {
		reasons = append(reasons, fmt.Sprintf("together with %s: %d bytes at %s", by.Linked.Source, by.Linked.Bytes, strings.Join(append([]string{by.Linked.Site}, by.Linked.Stack...), " < ")))
	}
	if s.look.Judged {
		reasons = append(reasons, f.Why...)
	}
	f.Why = reasons
}

// above is a course in which what is above the bytes that growth began with is leaked.
func above(c *detect.Course, floor int64) *detect.Course {
	if c == nil {
		return nil
	}
	out := *c
	out.Leaked = make([]int64, len(c.Live))
	for i, live := range c.Live {
		out.Leaked[i] = max(live-floor, 0)
	}
	return &out
}
