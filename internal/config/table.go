package config

import (
	"net/netip"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/secret"
)

// Prefix begins the name of every setting in the environment.
const Prefix = "MILLRACE_"

// Variables of that prefix that are no settings, but what whoever asks a server needs: their personal token, and its address,
// for scripts.
const (
	TokenVariable = Prefix + "TOKEN"
	URLVariable   = Prefix + "URL"
)

// Setting is one row of the table.
type Setting struct {
	Name    string // snake_case, as in the file
	Kind    Kind
	Default string // as it would be written; empty: none
	Absent  string // what holds when there is no default, for the documentation
	Doc     string
	Secret  bool // never printed; also readable from the file that NAME_file names
	// Reserved: the part of the product that would read it is not built yet, and setting it is an error.
	Reserved bool

	parse func(c *Config, items []string) error
}

// Kind is the form of a setting's value.
type Kind string

// The kinds.
const (
	Text      Kind = "text"
	Path      Kind = "path"
	Address   Kind = "host:port"
	URL       Kind = "URL"
	Size      Kind = "size"     // 256MiB, 10GB, 1048576
	Duration  Kind = "duration" // 30s, 48h, 7d, 1d12h
	Networks  Kind = "networks" // 10.0.0.0/8, ::1; a list
	Names     Kind = "list"
	Number    Kind = "number"
	Switch    Kind = "true or false"
	LevelKind Kind = "debug, info, warn or error"
	FormKind  Kind = "text or json"
)

// Env is the setting's name in the environment.
func (s Setting) Env() string { return Prefix + strings.ToUpper(s.Name) }

// Flag is the setting's name as a flag, with its dashes.
func (s Setting) Flag() string { return "--" + strings.ReplaceAll(s.Name, "_", "-") }

// FileName is the name under which a secret's file is given; empty for what is not a secret.
func (s Setting) FileName() string {
	if !s.Secret {
		return ""
	}
	return s.Name + "_file"
}

func (s Setting) list() bool { return s.Kind == Networks || s.Kind == Names }

// Table gives every setting, in the order of the documentation.
func Table() []Setting {
	return []Setting{
		{
			Name: "data_dir", Kind: Path, Default: "./millrace-data",
			Doc:   "Folder of the event log, the master key and, without database_url, the SQLite database. One process at a time owns it.",
			parse: text(func(c *Config) *string { return &c.DataDir }, plain),
		},
		{
			Name: "listen", Kind: Address, Default: "127.0.0.1:8080",
			Doc:   "Address for producers, the API and the dashboard. Port 0 takes a free one.",
			parse: text(func(c *Config) *string { return &c.Server.Listen }, hostPort),
		},
		{
			Name: "metrics_listen", Kind: Address, Default: "127.0.0.1:9464",
			Doc:   "Address of /metrics, apart so that it need not be reachable from outside.",
			parse: text(func(c *Config) *string { return &c.Server.MetricsListen }, hostPort),
		},
		{
			Name: "base_url", Kind: URL, Absent: "made from listen",
			Doc:   "How the server is reached from outside, where that is not where it listens: the address that it prints.",
			parse: text(func(c *Config) *string { return &c.Server.BaseURL }, baseURL),
		},
		{
			Name: "tls_cert_file", Kind: Path, Absent: "plain HTTP",
			Doc:   "PEM file with the certificate chain; together with tls_key_file. Both are read again when they change.",
			parse: text(func(c *Config) *string { return &c.Server.TLSCertFile }, plain),
		},
		{
			Name: "tls_key_file", Kind: Path, Absent: "plain HTTP",
			Doc:   "PEM file with the certificate's private key.",
			parse: text(func(c *Config) *string { return &c.Server.TLSKeyFile }, plain),
		},
		{
			Name: "trusted_proxies", Kind: Networks, Absent: "none",
			Doc:   "Networks of reverse proxies whose X-Forwarded-For and X-Request-Id are believed.",
			parse: networks(func(c *Config) *[]netip.Prefix { return &c.Server.TrustedProxies }),
		},
		{
			Name: "access_log", Kind: Switch, Default: "false",
			Doc:   "A log line for every request, never with its body. Without it only answers of 500 and above have one.",
			parse: boolean(func(c *Config) *bool { return &c.Server.AccessLog }),
		},
		{
			Name: "key_rate_limit", Kind: Number, Default: "0",
			Doc:   "Requests a second that one API key may make on average, and at once after a rest; more get 429 with Retry-After. 0: no limit.",
			parse: number(func(c *Config) *int { return &c.Server.KeyRateLimit }, 0, 1_000_000),
		},
		{
			Name: "track_objects", Kind: Number, Default: "75",
			Doc:   "Attributes, events and purchases that one request to /users/track may hold together; more are refused with 400.",
			parse: number(func(c *Config) *int { return &c.Server.TrackObjects }, 1, 1_000),
		},
		{
			Name: "api_rate_limit", Kind: Number, Default: "50",
			Doc:   "Requests a second that one session or personal token may make of /api/v1 on average, and twice as many at once after a rest; an address that shows neither has a fifth. More get 429 with Retry-After. 0: no limit.",
			parse: number(func(c *Config) *int { return &c.Server.APIRateLimit }, 0, 1_000_000),
		},
		{
			Name: "oidc_issuer", Kind: URL, Absent: "people sign in with passwords only",
			Doc:   "OpenID Connect provider at which people may sign in, such as https://accounts.example.com (http:// on this machine only); together with oidc_client_id and oidc_client_secret. Register BASE_URL/auth/oidc/callback there.",
			parse: text(func(c *Config) *string { return &c.OIDC.Issuer }, issuerURL),
		},
		{
			Name: "oidc_client_id", Kind: Text, Absent: "none",
			Doc:   "What the provider calls this installation.",
			parse: text(func(c *Config) *string { return &c.OIDC.ClientID }, plain),
		},
		{
			Name: "oidc_client_secret", Kind: Text, Secret: true, Absent: "none",
			Doc:   "What the provider gave this installation to prove itself.",
			parse: secretText(func(c *Config) *secret.Value { return &c.OIDC.ClientSecret }),
		},
		{
			Name: "oidc_name", Kind: Text, Default: "single sign-on",
			Doc:   "What people call the provider; shown where they sign in.",
			parse: text(func(c *Config) *string { return &c.OIDC.Name }, plain),
		},
		{
			Name: "database_url", Kind: URL, Secret: true, Absent: "SQLite in the data folder",
			Doc:   "PostgreSQL for the control plane: postgres://user:password@host/name?sslmode=verify-full. The data folder keeps log and master key.",
			parse: databaseURL,
		},
		{
			Name: "kafka_brokers", Kind: Names, Absent: "the embedded log", Reserved: true,
			Doc:   "Brokers of a Kafka cluster that holds the log. Setting it is an error.",
			parse: notYet("the log is embedded"),
		},
		{
			Name: "master_key_file", Kind: Path, Absent: "made in the data folder on the first run",
			Doc:   "File with the key that seals stored credentials. Lose it, and they have to be entered again.",
			parse: text(func(c *Config) *string { return &c.Keys.MasterKeyFile }, plain),
		},
		{
			Name: "schema_dir", Kind: Path, Absent: "none",
			Doc:   "Folder with Avro schema files of event types of your own. The server does not start without a file that undelivered events may need.",
			parse: text(func(c *Config) *string { return &c.SchemaDir }, plain),
		},
		{
			Name: "smtp_url", Kind: URL, Secret: true, Absent: "no mail is sent",
			Doc:   "Mail server for notifications: smtp://user:password@host:587, or smtps:// for TLS from the first byte.",
			parse: secretURL(func(c *Config) *secret.Value { return &c.Mail.SMTPURL }, "smtp", "smtps"),
		},
		{
			Name: "smtp_from", Kind: Text, Absent: "millrace@ and the host of base_url, or of the machine",
			Doc:   "Sender of notifications by mail: ops@example.com, or Millrace <ops@example.com>.",
			parse: text(func(c *Config) *string { return &c.Mail.From }, mailAddress),
		},
		{
			Name: "notice_quiet", Kind: Duration, Default: "30s",
			Doc:   "How long notifications for one recipient are gathered into one mail; the next one to them leaves no sooner than twice this later.",
			parse: duration(func(c *Config) *time.Duration { return &c.Mail.Quiet }, "1s", "1h"),
		},
		{
			Name: "cluster", Kind: Text, Default: "prod-01",
			Doc:   "Name of this installation in object keys. Frozen into a connector when it is launched.",
			parse: text(func(c *Config) *string { return &c.Delivery.Cluster }, keyPart),
		},
		{
			Name: "zone", Kind: Text, Default: "default",
			Doc:   "Zone in object keys. Frozen into a connector when it is launched.",
			parse: text(func(c *Config) *string { return &c.Delivery.Zone }, keyPart),
		},
		{
			Name: "aws_account_id", Kind: Text, Absent: "asked of Amazon",
			Doc:   "The AWS account that assumes customers' roles, 12 digits: shown to customers and put into the trust policies that millrace policy prints.",
			parse: text(func(c *Config) *string { return &c.AWS.AccountID }, accountID),
		},
		{
			Name: "sts_endpoint", Kind: URL, Absent: "Amazon's, in the installation's region or else the bucket's",
			Doc:   "Security token service to assume customers' roles at, for stores that are compatible with Amazon's. The installation's own credentials are found as AWS's tools find them: environment, shared files and profiles, a service account's token, the container's or the machine's role.",
			parse: text(func(c *Config) *string { return &c.AWS.STSEndpoint }, httpURL),
		},
		{
			Name: "export_bucket", Kind: Text, Absent: "the data folder",
			Doc:   "Bucket of your own for the files of exports that can be downloaded, reached with the installation's own AWS credentials: see sts_endpoint. Links to them still lead to this server.",
			parse: text(func(c *Config) *string { return &c.Exports.Bucket }, plain),
		},
		{
			Name: "export_bucket_region", Kind: Text, Absent: "looked up",
			Doc:   "Region of export_bucket; without it the store is asked, which takes the right s3:GetBucketLocation.",
			parse: text(func(c *Config) *string { return &c.Exports.Region }, plain),
		},
		{
			Name: "export_bucket_endpoint", Kind: URL, Absent: "Amazon S3",
			Doc:   "S3-compatible store that has export_bucket, addressed path-style: https://storage.example.com. It may lie in a private network.",
			parse: text(func(c *Config) *string { return &c.Exports.Endpoint }, httpURL),
		},
		{
			Name: "export_retry", Kind: Duration, Default: "10m",
			Doc:   "How long an export is tried again, after the last of its files came through, while its bucket refuses or the disk is full. Then it fails, and whoever asked for it is mailed why: only then do they know that there is something to mend. More outlasts longer outages of a store.",
			parse: duration(func(c *Config) *time.Duration { return &c.Exports.Retry }, "1s", "7d"),
		},
		{
			Name: "role_retry", Kind: Duration, Default: "2m",
			Doc:   "How long a check tries a role again that cannot be assumed: one that was made seconds ago is not known everywhere yet.",
			parse: duration(func(c *Config) *time.Duration { return &c.AWS.RoleRetry }, "0s", "1h"),
		},
		{
			Name: "grace_period", Kind: Duration, Default: "48h",
			Doc:   "How long events of a connector that fails by its owner's fault are kept. After that much failing time the oldest are dropped into its ledger as they pass this age; its contact is told at once, at half time and at the last call. It also sets the pace of new tries: from a twentieth of it (60s at most) to a quarter (10m at most).",
			parse: duration(func(c *Config) *time.Duration { return &c.Delivery.GracePeriod }, "1s", "365d"),
		},
		{
			Name: "pause_limit", Kind: Duration, Default: "7d",
			Doc:   "How long events of a paused connector are kept before the oldest are dropped into its ledger; its contact is told at half time and at the last call.",
			parse: duration(func(c *Config) *time.Duration { return &c.Delivery.PauseLimit }, "1s", "365d"),
		},
		{
			Name: "test_connector_cap", Kind: Number, Default: "10000",
			Doc:   "How many events the test connectors of a workspace may deliver together within test_connector_window; what comes beyond is dropped into the ledger. Test events do not count.",
			parse: number(func(c *Config) *int { return &c.Delivery.TestCap }, 1, 1_000_000_000),
		},
		{
			Name: "test_connector_window", Kind: Duration, Default: "7d",
			Doc:   "The rolling time that test_connector_cap is counted over.",
			parse: duration(func(c *Config) *time.Duration { return &c.Delivery.TestCapWindow }, "1m", "365d"),
		},
		{
			Name: "attempt_limit", Kind: Duration, Default: "30s",
			Doc:   "How long one PUT or HEAD may take.",
			parse: duration(func(c *Config) *time.Duration { return &c.Delivery.AttemptLimit }, "100ms", "1h"),
		},
		{
			Name: "quota_patience", Kind: Duration, Default: "1h",
			Doc:   "How long a connector may deliver nothing before a full log may drop what only such connectors need.",
			parse: duration(func(c *Config) *time.Duration { return &c.Delivery.QuotaPatience }, "1s", "365d"),
		},
		{
			Name: "log_max_bytes", Kind: Size, Absent: "half of the file system",
			Doc:   "How much disk the event log may take. The default goes by all that the data folder's file system has, used or not.",
			parse: size(func(c *Config) *int64 { return &c.Log.MaxBytes }, "64MiB", "1PiB"),
		},
		{
			Name: "log_retention", Kind: Duration, Default: "72h",
			Doc:   "How long events stay in the log after everybody has read them: room for replay.",
			parse: duration(func(c *Config) *time.Duration { return &c.Log.Retention }, "0s", "3650d"),
		},
		{
			Name: "profiles", Kind: Switch, Default: "true",
			Doc:   "Keep user profiles and statistics up from the events, for segments, reports and exports, and take the calls about users. It costs several times the CPU time of taking the events in and delivering them, behind everything else, and some hundred bytes of database for each user and each thing they did or got. false, where only Currents are wanted: nothing is kept, and the calls that read it say so; what was kept stays, and what the log has lost until it is true again is in no profile.",
			parse: boolean(func(c *Config) *bool { return &c.Profiles }),
		},
		{
			Name: "memory_budget", Kind: Size, Default: "256MiB",
			Doc:   "What requests and connectors together may hold in memory. Requests beyond it get 503. Below 209MiB the largest body of a request is less than 64 MiB, too: 27 MiB with 128MiB, 11 MiB with 64MiB. User profiles take a quarter as much again, and up to 64 MiB while they catch up.",
			parse: size(func(c *Config) *int64 { return &c.MemoryBudget }, "64MiB", "1TiB"),
		},
		{
			Name: "idempotency_window", Kind: Duration, Default: "24h",
			Doc:   "How long a repeated Idempotency-Key is recognised, as far as memory allows.",
			parse: duration(func(c *Config) *time.Duration { return &c.Log.IdempotencyWindow }, "1m", "30d"),
		},
		{
			Name: "allowed_endpoint_networks", Kind: Networks, Absent: "public addresses only",
			Doc:   "Private networks that customers' endpoints and callbacks may lie in all the same.",
			parse: networks(func(c *Config) *[]netip.Prefix { return &c.Dial.AllowedNetworks }),
		},
		{
			Name: "log_level", Kind: LevelKind, Default: "info",
			Doc:   "Which lines the process logs.",
			parse: level,
		},
		{
			Name: "log_format", Kind: FormKind, Default: "text",
			Doc:   "Form of the log lines.",
			parse: text(func(c *Config) *string { return &c.Logging.Format }, oneOf("text", "json")),
		},
	}
}
