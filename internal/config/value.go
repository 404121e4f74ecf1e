package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/secret"
)

// notYetError refuses a setting whose part of the product does not exist yet; it says what there is instead.
type notYetError string

func (e notYetError) Error() string { return "not yet: " + string(e) + "; leave this setting out" }

func text(field func(*Config) *string, check func(string) (string, error)) func(*Config, []string) error {
	return func(c *Config, items []string) (err error) {
		*field(c), err = check(items[0])
		return err
	}
}

func plain(s string) (string, error) {
	if strings.ContainsRune(s, 0) {
		return "", errors.New("holds a zero byte")
	}
	return s, nil
}

func hostPort(s string) (string, error) {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("is not host:port, as in 127.0.0.1:8080")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", fmt.Errorf("has no port from 0 to 65535 after its colon")
	}
	return s, nil
}

// httpURL takes an address without user and password: it is no secret, and is shown.
func httpURL(s string) (string, error) {
	s, err := parseURL(s, "http", "https")
	if err != nil {
		return "", err
	}
	if u, err := url.Parse(s); err != nil || u.User != nil {
		return "", errors.New("holds a user or a password, which have no place in an address that everybody sees")
	}
	return s, nil
}

// issuerURL takes the address of an OpenID Connect provider. By http anybody on the way could sign in as anybody.
// Source: OpenID Connect Discovery 1.0 §3, issuer.
func issuerURL(s string) (string, error) {
	s, err := httpURL(s)
	if err != nil {
		return "", err
	}
	switch u, err := url.Parse(s); {
	case err != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("may not have a query or a fragment")
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		return "", errors.New("begins with http://, by which anybody on the way could sign in as anybody; https:// is needed, except on this machine itself")
	}
	return s, nil
}

// Loopback reports whether a host is this machine, so that nobody listens on the way.
func Loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.IsLoopback()
}

func baseURL(s string) (string, error) {
	s, err := httpURL(s)
	if err == nil && strings.ContainsAny(s, "?#") {
		return "", errors.New("may not have a query or a fragment")
	}
	return strings.TrimRight(s, "/"), err
}

// parseURL never puts s or the parser's error into its own: both may hold a password.
func parseURL(s string, schemes ...string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || !slices.Contains(schemes, u.Scheme) || u.Host == "" {
		return "", fmt.Errorf("is not a URL that begins with %s", strings.Join(schemes, ":// or ")+"://")
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || n == 0) {
		return "", errors.New("has no port from 1 to 65535 after the colon")
	}
	return s, nil
}

func secretURL(field func(*Config) *secret.Value, schemes ...string) func(*Config, []string) error {
	return func(c *Config, items []string) error {
		s, err := parseURL(items[0], schemes...)
		*field(c) = secret.New(s)
		return err
	}
}

// databaseURL takes postgres://host/name, and postgres:///name?host=/run/postgresql: the folder of a socket has no room
// where a host stands.
func databaseURL(c *Config, items []string) error {
	s := items[0]
	c.Database.URL = secret.New(s)
	if u, err := url.Parse(s); err == nil && u.Host == "" && u.Query().Get("host") != "" {
		u.Host = "socket"
		s = u.String()
	}
	_, err := parseURL(s, "postgres", "postgresql")
	return err
}

func secretText(field func(*Config) *secret.Value) func(*Config, []string) error {
	return func(c *Config, items []string) error {
		*field(c) = secret.New(items[0])
		return nil
	}
}

// keyPart holds for a part of an object key: what every store takes as it is.
func keyPart(s string) (string, error) {
	ok := len(s) <= 64 && s != "." && s != ".."
	for i := range len(s) {
		c := s[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	}
	if !ok {
		return "", errors.New("must be 1 to 64 letters, digits, dots, dashes and underscores")
	}
	return s, nil
}

func accountID(s string) (string, error) {
	if len(s) != 12 || strings.Trim(s, "0123456789") != "" {
		return "", errors.New("is not an AWS account id: 12 digits")
	}
	return s, nil
}

func mailAddress(s string) (string, error) {
	a, err := mail.ParseAddress(s)
	if err != nil {
		return "", errors.New("is not a mail address as ops@example.com or Millrace <ops@example.com>")
	}
	return a.String(), nil
}

func oneOf(values ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(values, s) {
			return "", fmt.Errorf("must be %s", strings.Join(values, " or "))
		}
		return s, nil
	}
}

func boolean(field func(*Config) *bool) func(*Config, []string) error {
	return func(c *Config, items []string) error {
		switch items[0] {
		case "true":
			*field(c) = true
		case "false":
			*field(c) = false
		default:
			return errors.New("must be true or false")
		}
		return nil
	}
}

func level(c *Config, items []string) error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, items[0]) {
		return errors.New("must be debug, info, warn or error")
	}
	return c.Logging.Level.UnmarshalText([]byte(items[0]))
}

func notYet(instead string) func(*Config, []string) error {
	return func(_ *Config, items []string) error {
		if len(items) == 0 {
			return nil
		}
		return notYetError(instead)
	}
}

func number(field func(*Config) *int, low, high int) func(*Config, []string) error {
	return func(c *Config, items []string) error {
		n, err := strconv.Atoi(items[0])
		if err != nil || n < low || n > high {
			return fmt.Errorf("is not a whole number from %d to %d", low, high)
		}
		*field(c) = n
		return nil
	}
}

func networks(field func(*Config) *[]netip.Prefix) func(*Config, []string) error {
	return func(c *Config, items []string) error {
		var list []netip.Prefix
		var errs []error
		for _, s := range items {
			p, err := ParseNetwork(s)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			list = append(list, p)
		}
		*field(c) = list
		return errors.Join(errs...)
	}
}

// ParseNetwork reads a network as 10.0.0.0/8, or a single address.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is not a network as 10.0.0.0/8 or an address", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q has bits behind its length; did you mean %s?", s, p.Masked())
	}
	return p, nil
}

func duration(field func(*Config) *time.Duration, low, high string) func(*Config, []string) error {
	return func(c *Config, items []string) error {
		d, err := ParseDuration(items[0])
		if err != nil {
			return err
		}
		lo, _ := ParseDuration(low) // constants of the table; its test reads each of them
		hi, _ := ParseDuration(high)
		if d < lo || d > hi {
			return fmt.Errorf("must be from %s to %s", low, high)
		}
		*field(c) = d
		return nil
	}
}

const day = 24 * time.Hour

// ParseDuration reads a duration as 30s, 48h, 1h30m, and with days: 7d, 1d12h. It is never negative.
func ParseDuration(s string) (time.Duration, error) {
	bad := errors.New("is not a duration as 30s, 48h or 7d")
	var days time.Duration
	rest := s
	if n, after, ok := strings.Cut(s, "d"); ok {
		v, err := strconv.ParseUint(n, 10, 32)
		if err != nil || v > uint64(math.MaxInt64/day) {
			return 0, bad
		}
		days, rest = time.Duration(v)*day, after
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || rest[0] == '+' || rest[0] == '-' || days > math.MaxInt64-d {
		return 0, bad
	}
	return days + d, nil
}

func size(field func(*Config) *int64, low, high string) func(*Config, []string) error {
	return func(c *Config, items []string) error {
		n, err := ParseSize(items[0])
		if err != nil {
			return err
		}
		lo, _ := ParseSize(low) // constants of the table; its test reads each of them
		hi, _ := ParseSize(high)
		if n < lo || n > hi {
			return fmt.Errorf("must be from %s to %s", low, high)
		}
		*field(c) = n
		return nil
	}
}

// ParseSize reads a number of bytes: 1048576, 256MiB, 1.5GiB, 10GB. KB, MB … count by 1000, KiB, MiB … by 1024.
func ParseSize(s string) (int64, error) {
	bad := errors.New("is not a size as 1048576, 256MiB or 10GB")
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	num, unit := s[:i], strings.TrimSpace(s[i:])
	mul := int64(1)
	if unit != "" && unit != "B" {
		base := int64(1000)
		prefix, ok := strings.CutSuffix(unit, "iB")
		if ok {
			base = 1024
		} else if prefix, ok = strings.CutSuffix(unit, "B"); !ok {
			return 0, bad
		}
		exp := strings.Index("KMGTP", prefix) + 1
		if len(prefix) != 1 || exp == 0 {
			return 0, bad
		}
		for range exp {
			mul *= base
		}
	}
	if n, err := strconv.ParseInt(num, 10, 64); err == nil {
		if n > math.MaxInt64/mul {
			return 0, bad
		}
		return n * mul, nil
	}
	f, err := strconv.ParseFloat(num, 64)
	if err != nil || mul == 1 || f*float64(mul) >= math.MaxInt64 {
		return 0, bad
	}
	return int64(f * float64(mul)), nil
}
