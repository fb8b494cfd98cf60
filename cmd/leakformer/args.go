package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// reorder puts a command's flags before its arguments, where cli looks for them:
// people write `leakformer score app.log --format jsonl`. A list flag takes all
// arguments up to the next flag, but leaves one for a command that has no other.
func reorder(flags []cli.Flag, commands []*cli.Command, args []string) []string {
	for i, arg := range args {
		if isFlag(arg) {
			continue
		}
		for _, c := range commands {
			if c.HasName(arg) {
				return append(args[:i+1:i+1], reorder(c.Flags, c.Subcommands, args[i+1:])...)
			}
		}
		break
	}
	var front, rest []string
	spare := 0 // where in front the latest value is that the command may have back
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			rest, args = append(rest, args...), nil
		case !isFlag(arg):
			rest = append(rest, arg)
		default:
			front = append(front, arg)
			f := find(flags, arg)
			if takesValue(f) && len(args) > 0 {
				front, args = append(front, args[0]), args[1:]
			}
			for _, many := f.(*listFlag); many && len(args) > 0 && !isFlag(args[0]); args = args[1:] {
				spare = len(front)
				front = append(front, arg, args[0])
			}
		}
	}
	if len(rest) == 0 && spare > 0 {
		rest = front[spare+1 : spare+2 : spare+2]
		front = slices.Delete(slices.Clone(front), spare, spare+2)
	}
	if len(rest) > 0 {
		front = append(append(front, "--"), rest...)
	}
	return front
}

// listFlag is a flag that takes all arguments up to the next flag.
type listFlag struct{ *cli.StringSliceFlag }

func isFlag(arg string) bool { return strings.HasPrefix(arg, "-") && arg != "-" }

// find returns the flag that an argument names; nil for none and for --name=value.
func find(flags []cli.Flag, arg string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), strings.TrimLeft(arg, "-")) {
			return f
		}
	}
	return nil
}

// takesValue reports whether the argument behind a flag is its value.
func takesValue(f cli.Flag) bool {
	_, isBool := f.(*cli.BoolFlag)
	return f != nil && !isBool
}
