package app

import (
	"time"

	"github.com/millrace/millrace/internal/export"
	"github.com/millrace/millrace/internal/web/compat"
)

// exportWriter writes people for the calls that answer with them.
func exportWriter(fields, custom []string, now time.Time) (compat.Writer, error) {
	return export.NewUsers(fields, custom, now)
}
