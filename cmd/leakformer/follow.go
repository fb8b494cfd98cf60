package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"leakformer/ingest"
)

// followFlags are for commands that can read a log while it is being written.
func followFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "read on while the log grows, until interrupted (SIGINT or SIGTERM) or --idle is over"},
		&cli.DurationFlag{Name: "idle", Usage: "with --follow, take a log that has not grown for this `TIME` for ended (0: never)"},
	}
}

// checkFollow checks the flags and arguments of a command that may follow a log.
func checkFollow(c *cli.Context) error {
	switch {
	case !c.Bool("follow") && c.IsSet("idle"):
		return usagef("%s: --idle needs --follow", c.Command.Name)
	case c.Duration("idle") < 0:
		return usagef("%s: --idle %v: want a time", c.Command.Name, c.Duration("idle"))
	case c.Bool("follow") && (c.NArg() != 1 || c.Args().First() == "-"):
		return usagef("%s: with --follow, name one file (standard input is read to its end anyway)", c.Command.Name)
	}
	return nil
}

// follow reads a log that is still being written, and when its file is replaced or
// cut short, the next one. An interruption ends the reading, and not what use does
// with what was read: the context that it gets is not cancelled.
func (sh *shell) follow(c *cli.Context, path, format string, use func(ctx context.Context, src ingest.Source, f *ingest.Follower) error) error {
	for first := true; ; first = false {
		replaced, err := sh.followOne(c, path, format, use)
		if _, none := errors.AsType[*ingest.FormatError](err); none && !first {
			sh.warn("%v", err)
			return nil // The logs before it have been used.
		}
		if err != nil || !replaced {
			return err
		}
		sh.warn("%s was replaced or cut short: a new log begins", path)
	}
}

func (sh *shell) followOne(c *cli.Context, path, format string, use func(ctx context.Context, src ingest.Source, f *ingest.Follower) error) (replaced bool, err error) {
	f, err := ingest.Follow(c.Context, path)
	if err != nil {
		return false, err
	}
	f.Idle = c.Duration("idle")
	if format == "" || format == "auto" {
		if format, err = f.Detect(); err != nil {
			return false, errors.Join(err, f.Close())
		}
	}
	src, err := ingest.NewSource(path, f, ingest.Options{Format: format})
	if err != nil {
		return false, errors.Join(err, f.Close())
	}
	sh.log.Debug("following", "log", path, "format", format)
	err = use(context.WithoutCancel(c.Context), src, f)
	return f.Replaced(), errors.Join(err, src.Close())
}
