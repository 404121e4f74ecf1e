package app

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/web"
)

// Pages gives the documents that are made from tables in the code, by file name.
func Pages() map[string]string {
	return map[string]string{
		"settings.md":  config.Markdown(),
		"metrics.md":   MetricsMarkdown(),
		"errors.md":    errorsMarkdown(),
		"openapi.json": string(web.Description()),
	}
}

func errorsMarkdown() string {
	var b strings.Builder
	b.WriteString(`# Errors

<!-- Generated from internal/fault/codes.go; a test compares. -->

Every failure has one of these codes. Answers over HTTP carry it as ` + "`error.code`" + ` beside a message, a hint where there is
one, and a request id; the command line turns it into an exit code. A status or exit code alone may stand for several
codes.

| code | HTTP status | exit code | what it means |
|---|---|---|---|
`)
	for _, r := range fault.Table {
		fmt.Fprintf(&b, "| `%s` | %d | %d (%s) | %s |\n", r.Code, r.HTTP, r.Exit, r.Status, r.Means)
	}
	b.WriteString(`
Exit code 0 is success. Exit code 1 is also what ` + "`verify`" + ` and ` + "`demo --for`" + ` end with when they find a difference, and
` + "`apply`" + ` and ` + "`replay --dropped`" + ` when something was refused and the rest was done. Exit code 3 is what ` + "`wait`" + `
ends with when the hour is complete and some of its events were dropped. An interrupted command ends with 130.

Over HTTP, 429 and 503 carry ` + "`Retry-After`" + `: the same request can succeed later. Under the same ` + "`Idempotency-Key`" + ` it counts
once, however often it is repeated.
`)
	return b.String()
}
