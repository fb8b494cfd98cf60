package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"leakformer/detect"
	"leakformer/detect/dashboard"
	"leakformer/detect/monitor"
)

func (sh *shell) serve() *cli.Command {
	return &cli.Command{
		Name:      "serve",
		Usage:     "show the leaks in logs in a browser",
		ArgsUsage: "[LOG|FINDINGS...]",
		Description: "Scores logs as score does, and shows what is found on a page, each log when it is done.\n" +
			"FINDINGS are what score --format jsonl wrote. With --labels, people say on the page which findings are leaks; the FILE gets a log\n" +
			"when each leak found in it was confirmed or dismissed, and is what train --labels and eval --labels take.\n" +
			"With --store, what is found is kept in a file, and without LOG what the file holds is shown: what monitor --store writes there, live.",
		Flags: append(append([]cli.Flag{
			addrFlag(), tokenFlag(),
			&cli.StringFlag{Name: "labels", Usage: "`FILE` for what people decide; FILE.decisions beside it has the decisions one by one"},
			allFlag(),
		}, storeFlags()...), scoringFlags()...),
		Action: sh.serveAction,
	}
}

func addrFlag() cli.Flag {
	return &cli.StringFlag{Name: "addr", Value: "127.0.0.1:7787", Usage: "`HOST:PORT` that the page listens on"}
}

func tokenFlag() cli.Flag {
	return &cli.StringFlag{Name: "token", EnvVars: []string{"LEAKFORMER_TOKEN"}, Usage: "`SECRET` that requests have to bring; needed for hosts beyond the loopback"}
}

func (sh *shell) serveAction(c *cli.Context) error {
	if err := checkServe(c); err != nil {
		return err
	}
	s := &serving{sh: sh, c: c}
	if path := c.String("labels"); path != "" {
		var err error
		if s.labels, err = openJudgements(path); err != nil {
			return err
		}
	}
	logs, findings, err := s.sources()
	if err != nil {
		return err
	}
	var done func() error
	if s.store, done, err = sh.openStore(c); err != nil {
		return err
	}
	listener, err := listen(c)
	if err != nil {
		return errors.Join(err, done())
	}
	defer listener.Close()
	err = s.run(listener, logs, findings)
	return errors.Join(err, done())
}

// listen opens the address of a page.
func listen(c *cli.Context) (net.Listener, error) {
	listener, err := net.Listen("tcp", c.String("addr"))
	if err != nil {
		return nil, err
	}
	if c.String("token") == "" && !dashboard.Loopback(listener.Addr().String()) {
		listener.Close()
		return nil, usagef("%s: --addr %s can be reached from other machines: that needs a --token", c.Command.Name, c.String("addr"))
	}
	return listener, nil
}

func checkServe(c *cli.Context) error {
	switch {
	case !c.Args().Present() && c.String("store") == "":
		return usagef("serve: name a log, or --store")
	case c.String("labels") != "" && (c.Float64("cut") != 1 || c.IsSet("suppressions")):
		return usagef("serve: --labels needs whole logs and all of their leaks, without --cut and --suppressions")
	}
	return checkStore(c)
}

// serving is one serve command.
type serving struct {
	sh     *shell
	c      *cli.Context
	store  dashboard.Store
	labels *judgements // nil: nobody is asked
}

// sources tells the logs that are named from the findings.
func (s *serving) sources() (logs []logFile, findings []string, err error) {
	files, err := expandSeries(s.c.Args().Slice())
	for _, f := range files {
		if f.path != "-" && holdsFindings(f.path) {
			findings = append(findings, f.path)
		} else {
			logs = append(logs, f)
		}
	}
	return logs, findings, err
}

// run serves until the command is interrupted, while the logs are scored one after the
// other. Nothing to show is an error; a log that cannot be read beside others is not.
func (s *serving) run(listener net.Listener, logs []logFile, findings []string) error {
	ctx, stop := context.WithCancelCause(s.c.Context)
	defer stop(nil)
	s.c.Context = ctx
	fmt.Fprintf(s.sh.stdout, "http://%s/\n", listener.Addr())
	scored := make(chan struct{})
	go func() {
		defer close(scored)
		err := s.fill(logs, findings)
		if runs, _ := s.store.Runs(ctx); err != nil && len(runs) == 0 {
			stop(err)
		} else if err != nil && ctx.Err() == nil {
			s.sh.warn("%v", err)
		}
	}()
	err := s.answer(ctx, listener)
	stop(nil)
	<-scored
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// fill puts everything into the store.
func (s *serving) fill(logs []logFile, findings []string) error {
	var failed error
	for _, path := range findings {
		f, err := os.Open(path)
		if err == nil {
			err = dashboard.Read(s.c.Context, path, f, s.store, level)
			f.Close()
		}
		failed = errors.Join(failed, err)
	}
	if len(logs) == 0 {
		return failed
	}
	collector := &dashboard.Collector{Store: s.store, Level: level}
	switch {
	case s.labels != nil:
		collector.Decided = s.labels.add
	case s.stored():
		collector.Decided = askAll
	}
	scoring, err := s.sh.newScoring(s.c, collector)
	if err != nil {
		return errors.Join(failed, err)
	}
	defer scoring.model.Close()
	scoring.byFile = true
	if err = scoring.logs(logs); errors.Is(err, errLeaks) {
		err = nil
	}
	return errors.Join(failed, err)
}

// stored reports whether decisions are kept in a file.
func (s *serving) stored() bool { return s.c.String("store") != "" }

// askAll asks people of every leak; what they said before is in the store.
func askAll(*detect.Finding) (dashboard.Decision, bool) { return dashboard.Undecided, true }

// decide makes a decision a label. One on a finding of another day, whose log is not at
// hand, is the store's alone.
func (s *serving) decide(f *dashboard.Finding, d dashboard.Decision) error {
	if s.labels == nil {
		return nil
	}
	err := s.labels.decide(f.ID, d)
	if s.stored() && errors.Is(err, dashboard.ErrNotFound) {
		return nil
	}
	return err
}

// level is what monitor calls an alert of that size.
func level(weighted float64, frames int) string {
	return monitor.Limits{}.Level(weighted, frames).String()
}

// answer answers requests until the context ends.
func (s *serving) answer(ctx context.Context, listener net.Listener) error {
	cfg := dashboard.Config{Store: s.store, Token: s.c.String("token"), Version: version(), Log: s.sh.log}
	if s.labels != nil || s.stored() {
		cfg.Decide = s.decide
	}
	server := &http.Server{
		Handler: dashboard.New(cfg), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }, // ends the event streams
	}
	defer context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(late) != nil {
			server.Close()
		}
	})()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
