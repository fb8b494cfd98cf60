package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"leakformer/ingest"
)

func (sh *shell) reset() *cli.Command {
	return &cli.Command{
		Name:   "reset",
		Usage:  "have monitor forget what it took for normal, what it told, and what it could not deliver",
		Flags:  []cli.Flag{&cli.StringFlag{Name: "state", Usage: "`FILE` to forget (default: all in the user's cache folder)"}},
		Action: sh.resetAction,
	}
}

func (sh *shell) resetAction(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("reset: what is %q for? Name a state with --state", c.Args().First())
	}
	files := []string{c.String("state")}
	if files[0] == "" {
		dir, err := stateDir()
		if err != nil {
			return err
		}
		if files, err = filepath.Glob(filepath.Join(ingest.EscapeGlob(dir), "*.json")); err != nil {
			return err
		}
	}
	forgotten := 0
	for _, f := range files {
		err := os.Remove(f)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil {
			forgotten++
		}
	}
	fmt.Fprintf(sh.stdout, "forgotten: %d\n", forgotten)
	return nil
}

// stateDir is where monitors keep what they know.
func stateDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w; name a file with --state", err)
	}
	return filepath.Join(dir, "leakformer", "monitor"), nil
}

// statePath is the state of a monitor of these sources.
func statePath(sources []string) (string, error) {
	dir, err := stateDir()
	if err != nil {
		return "", err
	}
	sources = slices.Sorted(slices.Values(sources))
	hash := fnv.New64a()
	hash.Write([]byte(strings.Join(sources, "\x00")))
	return filepath.Join(dir, fmt.Sprintf("%016x.json", hash.Sum64())), nil
}
