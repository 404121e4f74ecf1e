package config_test

import (
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/fault"
)

func files(m map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		s, ok := m[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(s), nil
	}
}

func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	c, err := config.Load(config.Source{})
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	check("data_dir", c.DataDir, "./millrace-data")
	check("listen", c.Server.Listen, "127.0.0.1:8080")
	check("metrics_listen", c.Server.MetricsListen, "127.0.0.1:9464")
	check("cluster", c.Delivery.Cluster, "prod-01")
	check("zone", c.Delivery.Zone, "default")
	check("grace_period", c.Delivery.GracePeriod, 48*time.Hour)
	check("pause_limit", c.Delivery.PauseLimit, 7*24*time.Hour)
	check("attempt_limit", c.Delivery.AttemptLimit, 30*time.Second)
	check("export_retry", c.Exports.Retry, 10*time.Minute)
	check("role_retry", c.AWS.RoleRetry, 2*time.Minute)
	check("quota_patience", c.Delivery.QuotaPatience, time.Hour)
	check("log_max_bytes", c.Log.MaxBytes, int64(0))
	check("log_retention", c.Log.Retention, 72*time.Hour)
	check("memory_budget", c.MemoryBudget, int64(256<<20))
	check("idempotency_window", c.Log.IdempotencyWindow, 24*time.Hour)
	check("networks", len(c.Dial.AllowedNetworks), 0)
	check("smtp_url", c.Mail.SMTPURL.Empty(), true)
	check("key_rate_limit", c.Server.KeyRateLimit, 0)
	check("api_rate_limit", c.Server.APIRateLimit, 50)
	check("oidc_issuer", c.OIDC.Issuer, "")
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	src := config.Source{
		Env:   []string{"MILLRACE_CONFIG=m.yaml", "MILLRACE_CLUSTER=env", "MILLRACE_ZONE=env", "PATH=/bin", "MILLRACE_SCHEMA_DIR="},
		Flags: []string{"--zone=flag", "--grace-period", "36h", "--access_log"},
		Read: files(map[string]string{"m.yaml": `
# a comment
cluster: file
zone: file
schema_dir: file
aws_account_id: 012345678901
pause_limit: 1d12h
memory_budget: 300MiB
trusted_proxies: [10.0.0.0/8, "::1"]
allowed_endpoint_networks: 127.0.0.0/8, 192.168.1.5
base_url: "https://millrace.example/"
sts_endpoint:
`}),
	}
	c, err := config.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	if c.Delivery.Zone != "flag" || c.Delivery.Cluster != "env" || c.SchemaDir != "file" {
		t.Errorf("zone %q cluster %q schema_dir %q", c.Delivery.Zone, c.Delivery.Cluster, c.SchemaDir)
	}
	if c.Delivery.GracePeriod != 36*time.Hour || c.Delivery.PauseLimit != 36*time.Hour || !c.Server.AccessLog {
		t.Errorf("grace %v pause %v access log %v", c.Delivery.GracePeriod, c.Delivery.PauseLimit, c.Server.AccessLog)
	}
	if c.AWS.AccountID != "012345678901" || c.MemoryBudget != 300<<20 || c.Server.BaseURL != "https://millrace.example" {
		t.Errorf("account %q memory %d base %q", c.AWS.AccountID, c.MemoryBudget, c.Server.BaseURL)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}; !slices.Equal(c.Server.TrustedProxies, want) {
		t.Errorf("proxies %v", c.Server.TrustedProxies)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.168.1.5/32")}; !slices.Equal(c.Dial.AllowedNetworks, want) {
		t.Errorf("networks %v", c.Dial.AllowedNetworks)
	}
	origin := map[string]string{}
	for _, e := range c.Entries() {
		origin[e.Name] = e.Origin
	}
	if origin["zone"] != "--zone" || origin["cluster"] != "MILLRACE_CLUSTER" || origin["schema_dir"] != "m.yaml:5: schema_dir" || origin["listen"] != "default" {
		t.Errorf("origins %v", origin)
	}
}

func TestWhatAPersonNeedsToAskAServerIsNoSetting(t *testing.T) {
	if _, err := config.Load(config.Source{Env: []string{config.TokenVariable + "=mrp_x", config.URLVariable + "=http://127.0.0.1:8080"}}); err != nil {
		t.Error(err)
	}
}

func TestMistakesAreNamedWithTheirPlace(t *testing.T) {
	for _, row := range []struct {
		name                string
		src                 config.Source
		field, code, within string
	}{
		{"unknown in the environment", config.Source{Env: []string{"MILLRACE_LISTN=x"}}, "MILLRACE_LISTN", "unknown_setting", "nearest is MILLRACE_LISTEN"},
		{"wrong case in the environment", config.Source{Env: []string{"MILLRACE_listen=:1"}}, "MILLRACE_listen", "unknown_setting", "MILLRACE_LISTEN"},
		{"unknown flag", config.Source{Flags: []string{"--data-dri", "x"}}, "--data-dri", "unknown_setting", "nearest is --data-dir"},
		{"a word that is no flag", config.Source{Flags: []string{"x"}}, "x", "unknown_setting", "--name VALUE"},
		{"flag without value", config.Source{Flags: []string{"--zone"}}, "--zone", "invalid_value", "needs a value"},
		{"flag twice", config.Source{Flags: []string{"--zone=a", "--zone=b"}}, "--zone", "duplicate_setting", "twice"},
		{"unknown in the file", yaml("a: 1\n"), "f.yaml:1: a", "unknown_setting", "nearest is"},
		{"typo in the file", yaml("\ngrace_perod: 1h\n"), "f.yaml:2: grace_perod", "unknown_setting", "nearest is grace_period"},
		{"kafka", yaml("kafka_brokers: [a:9092]\n"), "f.yaml:1: kafka_brokers", "not_yet", "not yet"},
		{"another database", config.Source{Env: []string{"MILLRACE_DATABASE_URL=mysql://u:p@db/m"}}, "MILLRACE_DATABASE_URL", "invalid_value", "begins with postgres:// or postgresql://"},
		{"another database, by a file", config.Source{Env: []string{"MILLRACE_DATABASE_URL_FILE=f"}, Read: files(map[string]string{"f": "postgres:///m"})}, "MILLRACE_DATABASE_URL_FILE", "invalid_value", "postgres://"},
		{"a number", yaml("key_rate_limit: 1.5\n"), "f.yaml:1: key_rate_limit", "invalid_value", `"1.5" is not a whole number`},
		{"a value out of its bounds", yaml("log_max_bytes: 12\n"), "f.yaml:1: log_max_bytes", "invalid_value", `"12" must be from 64MiB`},
		{"an item of a list", yaml("trusted_proxies: [10.0.0.0/8, here]\n"), "f.yaml:1: trusted_proxies", "invalid_value", `"here" is not a network`},
		{"size", config.Source{Env: []string{"MILLRACE_MEMORY_BUDGET=lots"}}, "MILLRACE_MEMORY_BUDGET", "invalid_value", "is not a size"},
		{"size too small", config.Source{Env: []string{"MILLRACE_MEMORY_BUDGET=1MiB"}}, "MILLRACE_MEMORY_BUDGET", "invalid_value", "from 64MiB"},
		{"duration", yaml("zone: a\ngrace_period: 48\n"), "f.yaml:2: grace_period", "invalid_value", "is not a duration"},
		{"network", yaml("trusted_proxies: [10.1.0.0/8]"), "f.yaml:1: trusted_proxies", "invalid_value", "did you mean 10.0.0.0/8"},
		{"address", config.Source{Flags: []string{"--listen", "8080"}}, "--listen", "invalid_value", "host:port"},
		{"port", config.Source{Flags: []string{"--listen", ":99999"}}, "--listen", "invalid_value", "65535"},
		{"a part of OpenID Connect", config.Source{Flags: []string{"--oidc-issuer", "https://id.example"}}, "--oidc-issuer", "missing_setting", "oidc_client_id"},
		{"a provider by http", config.Source{Env: []string{"MILLRACE_OIDC_ISSUER=http://id.example"}}, "MILLRACE_OIDC_ISSUER", "invalid_value", "https:// is needed"},
		{"a provider with a query", yaml("oidc_issuer: https://id.example/?x=1"), "f.yaml:1: oidc_issuer", "invalid_value", "query"},
		{"a port that is none", yaml("base_url: https://mill.example:0"), "f.yaml:1: base_url", "invalid_value", "1 to 65535"},
		{"a port that is none, of a mail server", config.Source{Env: []string{"MILLRACE_SMTP_URL=smtp://mail.example:99999"}}, "MILLRACE_SMTP_URL", "invalid_value", "1 to 65535"},
		{"one half of TLS", config.Source{Flags: []string{"--tls-key-file", "k.pem"}}, "--tls-key-file", "missing_setting", "tls_cert_file"},
		{"list for one value", yaml("zone: [a]"), "f.yaml:1: zone", "invalid_value", "not a list"},
		{"mapping for one value", yaml("zone: {a: b}"), "f.yaml:1: zone", "invalid_value", "plain value"},
		{"empty value", yaml("zone: ''"), "f.yaml:1: zone", "invalid_value", "is empty"},
		{"slash in cluster", yaml("cluster: a/b"), "f.yaml:1: cluster", "invalid_value", "letters"},
		{"broken yaml", yaml("zone: a\n  b: [\n"), "f.yaml:", "invalid_yaml", ""},
		{"a name twice in the file", yaml("zone: a\nzone: b\n"), "f.yaml:2", "", ""},
		{"two documents", yaml("zone: a\n---\nzone: b\n"), "f.yaml:3", "invalid_yaml", "second document"},
		{"a list as file", yaml("- a\n"), "f.yaml:1", "invalid_yaml", "name: value"},
		{"no such file", config.Source{File: "gone.yaml", Read: files(nil)}, "gone.yaml", "unreadable_file", "cannot be read"},
		{"no such secret file", config.Source{Env: []string{"MILLRACE_SMTP_URL_FILE=gone"}, Read: files(nil)}, "MILLRACE_SMTP_URL_FILE", "unreadable_file", "cannot be read"},
		{"secret twice", config.Source{Env: []string{"MILLRACE_SMTP_URL=smtp://a", "MILLRACE_SMTP_URL_FILE=f"}, Read: files(map[string]string{"f": "smtp://b"})}, "MILLRACE_SMTP_URL_FILE", "duplicate_setting", "MILLRACE_SMTP_URL says"},
		{"log level", yaml("log_level: loud"), "f.yaml:1: log_level", "invalid_value", "debug"},
		{"switch", yaml("access_log: yes"), "f.yaml:1: access_log", "invalid_value", "true or false"},
		{"account", yaml("aws_account_id: 12"), "f.yaml:1: aws_account_id", "invalid_value", "12 digits"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := config.Load(row.src)
			e := fault.As(err)
			if e == nil || e.Code != fault.Invalid {
				t.Fatalf("got %v, want invalid", err)
			}
			for _, p := range e.Fields {
				if strings.HasPrefix(p.Field, row.field) && (row.code == "" || p.Code == row.code) && strings.Contains(p.Message, row.within) {
					return
				}
			}
			t.Errorf("no problem %q %s %q in %+v", row.field, row.code, row.within, e.Fields)
		})
	}
}

// What is shown to everybody holds no password: an address that has one is refused, and not repeated.
func TestAnAddressWithAPasswordIsRefusedWithoutSayingIt(t *testing.T) {
	for _, name := range []string{"oidc_issuer", "base_url", "sts_endpoint"} {
		for _, at := range []string{"https://millrace:hunter2@id.example", "ftp://millrace:hunter2@id.example", "https://millrace:hunter2@%zz", "https://hunter2@id.example:0"} {
			_, err := config.Load(yaml(name + ": '" + at + "'\n"))
			e := fault.As(err)
			if e == nil || e.Code != fault.Invalid || !slices.ContainsFunc(e.Fields, func(p fault.Problem) bool { return p.Field == "f.yaml:1: "+name }) {
				t.Fatalf("%s: %s: %v", name, at, err)
			}
			if strings.Contains(fmt.Sprint(err, e.Fields), "hunter2") {
				t.Errorf("%s: %v", name, e.Fields)
			}
		}
	}
	for _, at := range []string{"https://id.example/realms/mill", "http://127.0.0.1:8081", "http://localhost:8081/", "http://[::1]:8081", "https://id.example:8443"} {
		if _, err := config.Load(yaml("oidc_issuer: '" + at + "'\noidc_client_id: a\noidc_client_secret: b\n")); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func yaml(s string) config.Source {
	return config.Source{File: "f.yaml", Read: files(map[string]string{"f.yaml": s})}
}

func TestAllProblemsComeTogether(t *testing.T) {
	src := yaml("grace_period: soon\nzonne: a\nkafka_brokers: b\n")
	src.Env = []string{"MILLRACE_ZONNE=b", "MILLRACE_LISTEN=nowhere"}
	src.Flags = []string{"--clusterr=c", "--log-max-bytes", "12"}
	_, err := config.Load(src)
	e := fault.As(err)
	if e == nil || len(e.Fields) != 7 {
		t.Fatalf("want all 7 problems, got %v", err)
	}
}

func TestSecretsAreReadFromFilesAndNeverShown(t *testing.T) {
	src := yaml("smtp_url_file: mail\n")
	src.Read = files(map[string]string{"f.yaml": "smtp_url_file: mail\n", "mail": "smtps://u:hunter2@mail.example\n"})
	c, err := config.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Mail.SMTPURL.Reveal(); got != "smtps://u:hunter2@mail.example" {
		t.Errorf("mail %q", got)
	}
	var b strings.Builder
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "hunter2") || !strings.Contains(b.String(), "# smtp_url: [redacted]  # f.yaml:1: smtp_url_file") {
		t.Errorf("printed:\n%s", b.String())
	}
	for _, refused := range []string{"MILLRACE_DATABASE_URL=mysql://u:hunter2@db/m", "MILLRACE_SMTP_URL=pop://u:hunter2@db%zz"} {
		_, err = config.Load(config.Source{Env: []string{refused}})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a refused secret: %v", err)
		}
	}
}

func TestADatabaseIsAtAHostOrASocket(t *testing.T) {
	for _, u := range []string{"postgres://u:hunter2@db.example:5432/m?sslmode=verify-full", "postgresql://db/m", "postgres:///m?host=/run/postgresql&user=u"} {
		c, err := config.Load(config.Source{Env: []string{"MILLRACE_DATABASE_URL=" + u}})
		if err != nil || c.Database.URL.Reveal() != u {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestReservedSettingsSayThatNothingReadsThemYet(t *testing.T) {
	c, err := config.Load(config.Source{})
	if err != nil {
		t.Fatal(err)
	}
	reserved := 0
	for _, s := range config.Table() {
		if !s.Reserved {
			continue
		}
		reserved++
		_, err := config.Load(config.Source{Env: []string{s.Env() + "=a:1"}})
		if err == nil || !strings.Contains(err.Error(), "not yet") {
			t.Errorf("%s is taken, and nothing reads it: %v", s.Name, err)
		}
	}
	if reserved == 0 {
		t.Error("no setting is reserved any more: take the notion away")
	}
	var b strings.Builder
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	page := config.Markdown()
	for _, s := range config.Table() {
		for line := range strings.Lines(b.String()) {
			if strings.HasPrefix(strings.TrimPrefix(line, "# "), s.Name+":") && strings.Contains(line, "not built yet") != s.Reserved {
				t.Errorf("%s: reserved %v, printed %s", s.Name, s.Reserved, line)
			}
		}
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, "| `"+s.Name+"`") && strings.Contains(line, "Reserved: not built yet.") != s.Reserved {
				t.Errorf("%s: reserved %v, documented %s", s.Name, s.Reserved, line)
			}
		}
	}
}

func TestWhatIsPrintedReadsBackTheSame(t *testing.T) {
	src := yaml("zone: \"a-b\"\ntrusted_proxies: [10.0.0.0/8, \"::1\"]\nlog_max_bytes: 10GB\ngrace_period: 2d\n")
	first, err := config.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := first.Print(&b); err != nil {
		t.Fatal(err)
	}
	again, err := config.Load(yaml(b.String()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	x, y := first.Entries(), again.Entries()
	for i := range x {
		if x[i].Value != y[i].Value {
			t.Errorf("%s: %q became %q", x[i].Name, x[i].Value, y[i].Value)
		}
	}
	if again.Log.MaxBytes != 10_000_000_000 || again.Delivery.GracePeriod != 48*time.Hour {
		t.Errorf("%d %v", again.Log.MaxBytes, again.Delivery.GracePeriod)
	}
}

func TestEverySettingOfTheProductIsInTheTableOnceAndDocumented(t *testing.T) {
	want := strings.Fields(`data_dir listen metrics_listen base_url tls_cert_file tls_key_file trusted_proxies database_url kafka_brokers
		master_key_file schema_dir smtp_url cluster zone aws_account_id sts_endpoint grace_period pause_limit attempt_limit role_retry export_retry
		quota_patience log_max_bytes log_retention memory_budget idempotency_window allowed_endpoint_networks key_rate_limit track_objects
		api_rate_limit oidc_issuer oidc_client_id oidc_client_secret oidc_name
		smtp_from notice_quiet test_connector_cap test_connector_window`)
	seen := map[string]bool{}
	page, help := config.Markdown(), config.FlagHelp()
	for _, s := range config.Table() {
		if seen[s.Name] {
			t.Errorf("%s stands twice", s.Name)
		}
		seen[s.Name] = true
		if s.Doc == "" || (s.Default == "") == (s.Absent == "") {
			t.Errorf("%s: doc %q, default %q, absent %q", s.Name, s.Doc, s.Default, s.Absent)
		}
		if !strings.Contains(page, "`"+s.Env()+"` `"+s.Flag()+"`") || !strings.Contains(help, s.Flag()+" ") {
			t.Errorf("%s is not on the page or in the help", s.Name)
		}
	}
	for _, n := range want {
		if !seen[n] {
			t.Errorf("%s is missing", n)
		}
	}
}

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "1048576": 1 << 20, "1B": 1, "256MiB": 256 << 20, "1.5GiB": 3 << 29, "10GB": 1e10, "2 TiB": 2 << 40, "1PiB": 1 << 50} {
		if got, err := config.ParseSize(s); err != nil || got != want {
			t.Errorf("%q gives %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "MiB", "-1", "1.5", "1M", "1mib", "1XiB", "9999999PiB", "1.2.3MiB", "1KMiB", "0x10", "9223372036854775808"} {
		if got, err := config.ParseSize(s); err == nil {
			t.Errorf("%q gives %d", s, got)
		}
	}
}

func TestDurations(t *testing.T) {
	for s, want := range map[string]time.Duration{"0s": 0, "30s": 30 * time.Second, "48h": 48 * time.Hour, "7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute} {
		if got, err := config.ParseDuration(s); err != nil || got != want {
			t.Errorf("%q gives %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "7", "-1s", "+1s", "d", "1.5d", "1d-1h", "1h1d", "999999999d", "106751d25h", "7days"} {
		if got, err := config.ParseDuration(s); err == nil {
			t.Errorf("%q gives %v", s, got)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("zone: a\n", "MILLRACE_ZONE=b", "--zone=c")
	f.Add("trusted_proxies: [10.0.0.0/8, ::1]\nx: &a b\ny: *a\n<<: {}", "MILLRACE_CONFIG=", "--")
	f.Add("? [a]\n: b", "MILLRACE_=", "--=")
	f.Add("- a: 1\n  - b", "MILLRACE_SMTP_URL_FILE=f.yaml", "--access-log")
	f.Fuzz(func(t *testing.T, text, env, flag string) {
		src := yaml(text)
		src.Env, src.Flags = []string{env}, []string{flag}
		c, err := config.Load(src)
		if (c == nil) == (err == nil) {
			t.Fatal("neither settings nor an error, or both")
		}
		if err != nil && fault.CodeOf(err) != fault.Invalid {
			t.Fatalf("code of %v", err)
		}
	})
}

func TestTheSenderOfMailsIsAnAddress(t *testing.T) {
	for text, want := range map[string]string{"ops@example.com": "<ops@example.com>", "Millrace <ops@example.com>": `"Millrace" <ops@example.com>`} {
		c, err := config.Load(config.Source{Flags: []string{"--smtp-from=" + text}})
		if err != nil || c.Mail.From != want {
			t.Errorf("%s: %v %v", text, c, err)
		}
	}
	for _, text := range []string{"ops", "ops@", "a@b, c@d", "a@b\r\nBcc: c@d"} {
		if _, err := config.Load(config.Source{Flags: []string{"--smtp-from=" + text}}); err == nil {
			t.Errorf("%q is taken for an address", text)
		}
	}
}
