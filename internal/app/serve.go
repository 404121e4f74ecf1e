package app

import (
	"context"
	"log/slog"
	"math"
	"runtime/debug"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
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
	budget := cfg.MemoryBudget
	if cfg.Profiles {
		budget += peopleMemory(cfg) + peopleBatch
	}
	limitMemory(budget)
	ctx = control.WithActor(ctx, control.Itself()) // the operator asks for the server, and not for what it does
	return keepServing(ctx, newLogger(cfg, c), openAgain, func() (*system, error) { return openSystem(ctx, cfg, c) })
}

// keepServing runs what open gives until ctx ends or something fails that does not pass. A server whose database is gone
// for longer than its lease must end; once the database is back it begins anew. The first one has to open at once:
// whoever starts it looks.
func keepServing(ctx context.Context, logger *slog.Logger, pause time.Duration, open func() (*system, error)) error {
	for begun := false; ; begun = true {
		sys, err := open()
		if err != nil && !begun {
			return err
		}
		if err == nil {
			err = sys.run(ctx)
		}
		if e := fault.As(err); e == nil || e.Code != fault.Unavailable || !e.Retry || ctx.Err() != nil {
			return err
		}
		logger.Error("the server ended and begins again", "error", err)
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

// besides is what the process needs beyond its budget: code, indexes of the log, its newest commits.
const besides = 24 << 20

// limitMemory makes the collector keep the whole process near its budget; without it garbage may grow to the size
// of what lives. At full load on two cores that took the peak from 400 to 290 MiB and no more CPU time. An operator
// who sets GOMEMLIMIT has decided otherwise.
func limitMemory(budget int64) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(budget + besides)
	}
}
