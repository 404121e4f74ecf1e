// Package config reads the settings: defaults, then a YAML file, then the environment, then flags, each over the one
// before.
//
// One table (table.go) names every setting with its kind, default and documentation. Reading, the names in the
// environment and of flags, `config print`, `config check` and the settings page are all made from it, so that a
// setting is one row and nothing else. No other room reads the environment.
//
// A Config is complete and checked when Load gives it, and never changes afterwards. Everything that is wrong is
// reported in one error, each problem with the place where it stands. Start reading at Load, then at the table.
package config

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/millrace/millrace/internal/secret"
)

// Config is all settings, one struct for each room that needs some.
type Config struct {
	DataDir   string // folder of log, database and keys
	SchemaDir string // folder of the operator's own schema files; empty: none

	Server   Server
	Database Database
	Log      Log
	Delivery Delivery
	AWS      AWS
	Exports  Exports
	Mail     Mail
	Keys     Keys
	Dial     Dial
	OIDC     OIDC
	Logging  Logging

	// Profiles says whether people are kept up from the log.
	Profiles bool

	// MemoryBudget is what requests and connectors together may hold, in bytes.
	MemoryBudget int64

	entries []Entry
}

// Server is for httpd and ingest.
type Server struct {
	Listen         string // host:port; port 0 takes a free one
	MetricsListen  string // likewise
	BaseURL        string // how users reach the server, without a slash at its end; empty: http(s)://Listen
	TLSCertFile    string // PEM; both or neither
	TLSKeyFile     string
	TrustedProxies []netip.Prefix
	AccessLog      bool
	KeyRateLimit   int // requests a second of one API key; 0: no limit
	TrackObjects   int // in one request to /users/track
	APIRateLimit   int // requests a second of one session or personal token; 0: no limit
}

// OIDC is for signing in at an OpenID Connect provider.
type OIDC struct {
	Issuer       string // https://…; empty: nobody signs in elsewhere
	ClientID     string
	ClientSecret secret.Value
	Name         string // of the provider, on the button
}

// Database is for store.
type Database struct {
	URL secret.Value // postgres:// or postgresql://; empty: SQLite in the data folder
}

// Log is for eventlog.
type Log struct {
	MaxBytes          int64 // 0: half of the file system that holds the data folder
	Retention         time.Duration
	IdempotencyWindow time.Duration
}

// Delivery is for delivery.
type Delivery struct {
	Cluster       string // frozen into a connector at launch, part of its object keys
	Zone          string // likewise
	GracePeriod   time.Duration
	PauseLimit    time.Duration
	AttemptLimit  time.Duration
	QuotaPatience time.Duration
	TestCap       int // events of a workspace's test connectors within TestCapWindow
	TestCapWindow time.Duration
}

// AWS is for the parts that talk about or with Amazon's accounts.
type AWS struct {
	AccountID   string // 12 digits; empty: not known
	STSEndpoint string // empty: Amazon's
	RoleRetry   time.Duration
}

// Exports is for exports.
type Exports struct {
	Retry time.Duration

	// Where files lie that can be downloaded.
	Bucket   string // of the operator's; empty: the data folder
	Region   string // empty: looked up
	Endpoint string // empty: Amazon S3
}

// Mail is for notify.
type Mail struct {
	SMTPURL secret.Value  // smtp:// or smtps://; empty: no mail is sent
	From    string        // of mails, as in their header; empty: made from the host of BaseURL
	Quiet   time.Duration // how long notices of one recipient are gathered into one mail
}

// Keys is for secret.
type Keys struct {
	MasterKeyFile string // empty: made in the data folder on the first run
}

// Dial is for dial.
type Dial struct {
	AllowedNetworks []netip.Prefix // that customers' endpoints may lie in although they are not public
}

// Logging is for the log lines of the process.
type Logging struct {
	Level  slog.Level
	Format string // text, json
}

// Entry is one setting with the value that holds.
type Entry struct {
	Name   string `json:"name"`
	Value  string `json:"value"`  // as it would be written; [redacted] for a secret that is set
	Origin string `json:"origin"` // default, FILE:LINE, MILLRACE_NAME, --name
}

// Given reports whether anybody set it.
func (e Entry) Given() bool { return e.Origin != originDefault }

// Entries gives every setting in the table's order, with the value that holds and where it comes from. Secrets
// are redacted.
func (c *Config) Entries() []Entry { return append([]Entry(nil), c.entries...) }
