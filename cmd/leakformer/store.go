package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"leakformer/detect/dashboard"
	"leakformer/detect/store"
)

func storeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "store", Usage: "`FILE` to keep findings, live bytes, alerts and decisions in, for later and for other programs (default: they are forgotten at the end)"},
		&cli.DurationFlag{Name: "retention", Value: 24 * time.Hour, Usage: "`TIME` after which --store forgets"},
		&cli.StringFlag{Name: "redis", EnvVars: []string{"LEAKFORMER_REDIS"}, Usage: "`URL` of a Redis by which dashboards of one --store share answers"},
	}
}

func checkStore(c *cli.Context) error {
	switch {
	case c.String("store") == "" && (c.IsSet("retention") || c.String("redis") != ""):
		return usagef("%s: --retention and --redis need --store", c.Command.Name)
	case c.Duration("retention") <= 0:
		return usagef("%s: --retention %v: want more than 0", c.Command.Name, c.Duration("retention"))
	}
	return nil
}

// openStore opens the store that the flags name; without one everything is in memory.
func (sh *shell) openStore(c *cli.Context) (opened dashboard.Store, done func() error, err error) {
	if c.String("store") == "" {
		return &dashboard.Memory{}, func() error { return nil }, nil
	}
	s, err := store.Open(c.Context, store.Config{Path: c.String("store"), Retention: c.Duration("retention"), Log: sh.troubles()})
	if err != nil {
		return nil, nil, fmt.Errorf("--store: %w", err)
	}
	if c.String("redis") == "" {
		return s, s.Close, nil
	}
	shared, err := store.Share(c.Context, s, c.String("redis"))
	if err != nil {
		s.Close()
		return nil, nil, fmt.Errorf("--redis: %w", err)
	}
	return shared, shared.Close, nil
}
