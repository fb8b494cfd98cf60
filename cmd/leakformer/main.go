package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	sh := &shell{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	code := sh.main(ctx, os.Args)
	stop()
	os.Exit(code)
}

// Exit statuses.
const (
	exitFailure = 1
	exitUsage   = 2
	exitLeaks   = 3
)

// errLeaks says that leaks were found: a result, not a failure.
var errLeaks = errors.New("leaks found")

// usageError is a command that was not understood.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// shell is the surroundings that a command runs in.
type shell struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// log is silent without -v.
	log *slog.Logger
}

// main runs the command and returns the exit status.
func (sh *shell) main(ctx context.Context, args []string) int {
	err := sh.run(ctx, args)
	var usage *usageError
	var passed exitStatus
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errLeaks):
		return exitLeaks
	case errors.As(err, &passed):
		return int(passed)
	case errors.As(err, &usage):
		fmt.Fprintf(sh.stderr, "leakformer: %v (leakformer help tells more)\n", err)
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(sh.stderr, "leakformer: interrupted: %v\n", err)
	default:
		fmt.Fprintf(sh.stderr, "leakformer: %v\n", err)
	}
	return exitFailure
}

func (sh *shell) run(ctx context.Context, args []string) error {
	sh.log = slog.New(slog.DiscardHandler)
	app := sh.app()
	app.Setup()
	return app.RunContext(ctx, append(args[:1:1], reorder(app.Flags, app.Commands, args[1:])...))
}

func (sh *shell) app() *cli.App {
	wrong := func(_ *cli.Context, err error, _ bool) error { return usagef("%v", err) }
	app := &cli.App{
		Name:                      "leakformer",
		Usage:                     "find memory leaks in allocation logs",
		Commands:                  []*cli.Command{sh.ingest(), sh.check(), sh.tokenize(), sh.train(), sh.score(), sh.gate(), sh.report(), sh.eval(), sh.dataset(), sh.model(), sh.formats(), sh.record(), sh.monitor(), sh.checkGrowth(), sh.simulate(), sh.reset(), sh.serve(), sh.version()},
		Reader:                    sh.stdin,
		Writer:                    sh.stdout,
		ErrWriter:                 sh.stderr,
		ExitErrHandler:            func(*cli.Context, error) {},
		HideVersion:               true,
		DisableSliceFlagSeparator: true,
		OnUsageError:              wrong,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("there is no command %q", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	adapt(app.Commands, wrong, sh.verbose)
	return app
}

// adapt gives every command that does something the flag -v, and what else all
// of them have.
func adapt(commands []*cli.Command, wrong cli.OnUsageErrorFunc, verbose func(*cli.Context) error) {
	for _, c := range commands {
		c.OnUsageError = wrong
		adapt(c.Subcommands, wrong, verbose)
		if len(c.Subcommands) > 0 {
			c.Action = func(c *cli.Context) error {
				if c.Args().Present() {
					return usagef("there is no command %q", c.Args().First())
				}
				return cli.ShowSubcommandHelp(c)
			}
			continue
		}
		c.Flags = append(c.Flags, &cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "tell on standard error what is done"})
		c.Before = verbose
	}
}

// troubles is for what goes wrong while a command goes on, whether or not it is verbose.
func (sh *shell) troubles() *slog.Logger { return slog.New(slog.NewTextHandler(sh.stderr, nil)) }

func (sh *shell) verbose(c *cli.Context) error {
	if c.Bool("verbose") {
		sh.log = slog.New(slog.NewTextHandler(sh.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return nil
}

// warn writes a message for people.
func (sh *shell) warn(format string, args ...any) {
	fmt.Fprintf(sh.stderr, "leakformer: "+format+"\n", args...)
}

// terminal reports whether somebody may be watching standard error.
func (sh *shell) terminal() bool {
	f, ok := sh.stderr.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
