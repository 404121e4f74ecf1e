package app

import (
	"context"

	"github.com/millrace/millrace/internal/config"
)

// Serve runs the server.
type Serve struct{}

// Help teaches.
func (Serve) Help() string {
	return `Settings come from a YAML file (--config FILE), the environment (MILLRACE_…) and flags, each over the one before. On the first run the data folder is made, with the master key that seals credentials: keep a copy of that key apart.

    MILLRACE_DATA_DIR=/var/lib/millrace millrace serve

SIGINT or SIGTERM ends it in order: requests are finished, what is gathered is written to the buckets. A second one ends it at once, which loses nothing either: it takes up where it was. A second server on the same folder waits until the first ends.

Settings as flags:

` + indent(config.FlagHelp())
}

// Run serves until ctx ends.
func (Serve) Run(ctx context.Context, c *Console, s Settings) error {
	cfg, err := s.Load()
	if err != nil {
		return err
	}
	sys, err := openSystem(ctx, cfg, c)
	if err != nil {
		return err
	}
	return sys.run(ctx)
}
