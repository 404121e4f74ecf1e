package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// APIKey lets a program act for a workspace. The key itself is shown once; only its hash is kept.
type APIKey struct {
	ID        KeyID
	Workspace uint32
	Name      string // unique in the workspace
	Scopes    []Scope
	Networks  []netip.Prefix // from which it works; empty: from anywhere
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	UsedAt    time.Time // zero: never. Up to a minute behind
}

// KeyID names an API key for ever: 24 hex digits. It is no secret.
type KeyID string

// Scope is one thing that an API key allows.
type Scope string

// The scope of the native batch endpoint. All others are named as Braze's calls are, with dots for slashes.
const (
	ScopeEventsWrite Scope = "events.write" // POST /v1/events
	ScopeUsersTrack  Scope = "users.track"  // POST /users/track
)

// Scopes are all scopes there are, in the order in which they are shown.
// Source of the names: Braze REST API, "API key permissions".
func Scopes() []Scope {
	return []Scope{
		ScopeEventsWrite, ScopeUsersTrack, "users.track.bulk", "users.delete", "users.alias.new", "users.alias.update", "users.identify",
		"users.merge", "users.external_ids.rename", "users.external_ids.remove",
		"users.export.ids", "users.export.segment", "users.export.global_control_group",
		"segments.list", "segments.details", "segments.data_series",
		"campaigns.list", "campaigns.details", "campaigns.data_series", "sends.data_series",
		"canvas.list", "canvas.details", "canvas.data_series", "canvas.data_summary",
		"events.list", "events.data_series",
		"purchases.product_list", "purchases.revenue_series", "purchases.quantity_series",
		"sessions.data_series", "kpi.mau.data_series", "kpi.dau.data_series", "kpi.new_users.data_series", "kpi.uninstalls.data_series",
	}
}

// PersonalData reports whether what s allows is answered with what stands in people's profiles.
func (s Scope) PersonalData() bool { return strings.HasPrefix(string(s), "users.export.") }

// lettingOut holds who makes k, or makes it what it is by a change, to the right to export user data if k has a scope of
// personal data: whoever knows a key's secret, and may come from its networks, has what its scopes give. Errors: forbidden.
func (k APIKey) lettingOut(ctx context.Context) (context.Context, error) {
	if !slices.ContainsFunc(k.Scopes, Scope.PersonalData) {
		return ctx, nil
	}
	return takingData(ctx, k.Workspace, dataRights().At("scopes", "forbidden"))
}

// Grant is what a presented key allows.
type Grant struct {
	Key           KeyID
	Workspace     uint32
	Scopes        []Scope
	Networks      []netip.Prefix // from which it works; empty: from anywhere
	ExpiresAt     time.Time      // zero: never
	UnknownFields UnknownFields  // of the workspace
}

// Allows reports whether the key has scope s.
func (g Grant) Allows(s Scope) bool { return slices.Contains(g.Scopes, s) }

// KeyHash is the SHA-256 of an API key: what is stored and looked up.
//
// A plain hash is enough because keys are long and random (or checked to be long when somebody brings their own):
// there is no list of likely keys to try.
type KeyHash [sha256.Size]byte

// HashKey gives the hash of key as it stands in an Authorization header.
func HashKey(key string) KeyHash { return sha256.Sum256([]byte(key)) }

// keyPrefix makes a leaked key recognisable to people and scanners.
const keyPrefix = "mr_"

// NewKey makes an API key: mr_ and 26 random characters (130 bits).
func NewKey() secret.Value { return secret.New(keyPrefix + strings.ToLower(rand.Text())) }

// MinKeyLength is the fewest characters of a key that somebody brings themselves.
const MinKeyLength = 20

// validateKey gives the problem of a key that was brought, if it has one.
func validateKey(field string, key secret.Value) []fault.Problem {
	k := key.Reveal()
	for i := range len(k) {
		if k[i] <= ' ' || k[i] > '~' {
			return []fault.Problem{fault.Field(field, "invalid", "field.key_ascii", "A key consists of visible ASCII characters, without spaces.")}
		}
	}
	if len(k) < MinKeyLength {
		return []fault.Problem{fault.Field(field, "too_short", "field.key_short", "A key has at least 20 characters.")}
	}
	if len(k) > 255 {
		return []fault.Problem{fault.Field(field, "too_long", "field.key_long", "A key has at most 255 characters.")}
	}
	return nil
}

// Validate gives every problem of a key's fields. A key does not end before it was made.
func (k APIKey) Validate() []fault.Problem {
	ps := validateName("name", k.Name)
	if len(k.Scopes) == 0 {
		ps = append(ps, fault.Field("scopes", "required", "field.scopes_needed", "A key needs at least one scope."))
	}
	for i, s := range k.Scopes {
		if !slices.Contains(Scopes(), s) {
			ps = append(ps, oneOfScopes(index("scopes", i), s))
		} else if slices.Contains(k.Scopes[:i], s) {
			ps = append(ps, fault.Field(index("scopes", i), "duplicate", "field.scope_twice", "This scope is named twice."))
		}
	}
	if len(k.Networks) > maxNetworks {
		ps = append(ps, fault.Field("networks", "too_many", "field.networks_many", "A key has at most 100 networks."))
	}
	return append(ps, validateExpiry("expires_at", k.ExpiresAt, k.CreatedAt)...)
}

// maxNetworks bounds the networks of one key: each request looks through them.
const maxNetworks = 100

// ParseNetworks reads networks as 203.0.113.0/24 or single addresses. What lies outside the prefix is cut off, and IPv4 that
// is written as IPv6 becomes IPv4. It gives a problem for each that is none.
func ParseNetworks(field string, list []string) ([]netip.Prefix, []fault.Problem) {
	out, problems := []netip.Prefix{}, []fault.Problem(nil)
	for i, s := range list {
		p, err := netip.ParsePrefix(s)
		if a, none := netip.ParseAddr(s); none == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96) // as clients' addresses are written
		}
		if err != nil {
			problems = append(problems, fault.Field(index(field, i), "invalid",
				"field.network", `"{value}" is neither a network such as 203.0.113.0/24 nor an address.`, "value", fault.Escaped(s)))
			continue
		}
		out = append(out, p.Masked())
	}
	return out, problems
}

// oneOfScopes is oneOf without the list, which is long.
func oneOfScopes(field string, got Scope) fault.Problem {
	var all []string
	for _, s := range Scopes() {
		all = append(all, string(s))
	}
	value := fault.Escaped(string(got))
	if near := fault.Nearest(string(got), all); near != "" {
		return fault.Field(field, "unknown_value", "field.scope_unknown_near", `There is no scope "{value}". Did you mean "{near}"?`, "value", value, "near", near)
	}
	return fault.Field(field, "unknown_value", "field.scope_unknown", `There is no scope "{value}".`, "value", value)
}
