package control

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/secret"
)

// Edit is what somebody wants of a connector. Fields that are nil stay as they are, or take their default in a new
// connector. An empty list is a wish for an empty list.
type Edit struct {
	Name         *string `json:"name,omitempty"`
	ContactEmail *string `json:"contact_email,omitempty"`

	// SameAs takes bucket, region, endpoint, path style, encryption and credentials from another connector of the
	// workspace. What stands beside it wins.
	SameAs *ConnectorID `json:"same_as,omitempty"`

	Bucket    *string `json:"bucket,omitempty"`
	Folder    *string `json:"folder,omitempty"` // slashes at its ends do not count
	Region    *string `json:"region,omitempty"`
	Endpoint  *string `json:"endpoint,omitempty"`
	PathStyle *bool   `json:"path_style,omitempty"`
	// Either a key or a role: naming the one gives up the other.
	AccessKeyID     *string       `json:"access_key_id,omitempty"`
	SecretAccessKey *secret.Value `json:"-"` // never in clear, where an Edit is kept
	RoleARN         *string       `json:"role_arn,omitempty"`

	Encryption      *bool            `json:"encryption,omitempty"`
	Events          []string         `json:"events,omitempty"`
	Transformations []Transformation `json:"transformations,omitempty"`
	Codec           *string          `json:"codec,omitempty"`
	FlushInterval   *time.Duration   `json:"flush_interval,omitempty"` // nanoseconds
	FlushEvents     *int             `json:"flush_events,omitempty"`
	Paused          *bool            `json:"paused,omitempty"`
	Test            *bool            `json:"test,omitempty"`
}

// Defaults of a new connector. Source: the product's file of apply.
const (
	DefaultFolder        = "currents"
	DefaultCodec         = "deflate"
	DefaultFlushInterval = 5 * time.Minute
	DefaultFlushEvents   = 15_000
)

// newConnector is a connector of which nothing was decided yet.
func newConnector() Connector {
	return Connector{Config: Config{
		Destination:   Destination{Folder: DefaultFolder},
		Codec:         DefaultCodec,
		FlushInterval: DefaultFlushInterval,
		FlushEvents:   DefaultFlushEvents,
	}}
}

// apply gives c as e wants it, numbers and versions untouched, and what opens its bucket then, given what opens it
// now. changes says in words what is different; a secret is only said to be new.
func (e Edit) apply(c Connector, now bucket.Access) (next Connector, access bucket.Access, changes []string) {
	next = c
	change(&changes, "name", &next.Name, e.Name)
	change(&changes, "contact e-mail", &next.ContactEmail, e.ContactEmail)
	d := &next.Destination
	change(&changes, "bucket", &d.Bucket, e.Bucket)
	if e.Folder != nil {
		folder, problems := bucket.ParseFolder("", *e.Folder)
		if len(problems) > 0 {
			folder = *e.Folder // as it was typed, for Validate to refuse
		}
		change(&changes, "folder", &d.Folder, &folder)
	}
	change(&changes, "region", &d.Region, e.Region)
	change(&changes, "endpoint", &d.Endpoint, e.Endpoint)
	change(&changes, "path style", &d.PathStyle, e.PathStyle)
	secret := now.SecretAccessKey
	key, role := e.AccessKeyID, e.RoleARN
	none := ""
	switch given := e.namesKey(); {
	case role != nil && !given:
		key, secret = &none, bucket.Access{}.SecretAccessKey
	case role == nil && given:
		role = &none
	}
	change(&changes, "access key id", &next.AccessKeyID, key)
	change(&changes, "role", &next.RoleARN, role)
	change(&changes, "encryption", &d.Encryption, e.Encryption)
	if e.Events != nil {
		changeSet(&changes, "events", &next.Events, e.Events, func(s string) string { return s })
	}
	if e.Transformations != nil {
		changeSet(&changes, "transformations", &next.Transformations, e.Transformations, func(t Transformation) string { return t.Action + " " + t.Field })
	}
	change(&changes, "codec", &next.Codec, e.Codec)
	change(&changes, "flush interval", &next.FlushInterval, e.FlushInterval)
	change(&changes, "flush events", &next.FlushEvents, e.FlushEvents)
	change(&changes, "paused", &next.Paused, e.Paused)
	change(&changes, "test", &next.Test, e.Test)

	access = bucket.Access{
		Bucket: d.Bucket, Region: d.Region, Endpoint: d.Endpoint, PathStyle: d.PathStyle, Encryption: d.Encryption,
		AccessKeyID: next.AccessKeyID, SecretAccessKey: secret, RoleARN: next.RoleARN,
	}
	if e.SecretAccessKey != nil && e.SecretAccessKey.Reveal() != now.SecretAccessKey.Reveal() {
		access.SecretAccessKey = *e.SecretAccessKey
		changes = append(changes, "secret access key: new")
	}
	return next, access, changes
}

// namesKey reports whether e is about an access key.
func (e Edit) namesKey() bool { return e.AccessKeyID != nil || e.SecretAccessKey != nil }

func change[T comparable](changes *[]string, what string, have *T, want *T) {
	if want == nil || *want == *have {
		return
	}
	*changes = append(*changes, fmt.Sprintf("%s: %s → %s", what, word(*have), word(*want)))
	*have = *want
}

// changeSet takes want over unless it holds the same as have in another order.
func changeSet[T any](changes *[]string, what string, have *[]T, want []T, show func(T) string) {
	words := func(list []T) string {
		if len(list) == 0 {
			return "none"
		}
		shown := make([]string, len(list))
		for i, v := range list {
			shown[i] = show(v)
		}
		slices.Sort(shown)
		return strings.Join(shown, ", ")
	}
	from, to := words(*have), words(want)
	if from == to {
		return
	}
	*changes = append(*changes, fmt.Sprintf("%s: %s → %s", what, from, to))
	*have = want
}

func word(v any) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "on"
		}
		return "off"
	case string:
		if v == "" {
			return "none"
		}
		return v
	}
	return fmt.Sprint(v)
}

// like gives e with what it does not mention of the bucket and what opens it taken from d and a.
func (e Edit) like(d Destination, a bucket.Access) Edit {
	e.SameAs = nil
	if e.AccessKeyID == nil && e.SecretAccessKey == nil && e.RoleARN == nil {
		if a.RoleARN != "" {
			e.RoleARN = &a.RoleARN
		} else {
			e.AccessKeyID, e.SecretAccessKey = &a.AccessKeyID, &a.SecretAccessKey
		}
	}
	e.Bucket, e.Region, e.Endpoint = orElse(e.Bucket, d.Bucket), orElse(e.Region, d.Region), orElse(e.Endpoint, d.Endpoint)
	e.PathStyle, e.Encryption = orElse(e.PathStyle, d.PathStyle), orElse(e.Encryption, d.Encryption)
	return e
}

func orElse[T any](v *T, other T) *T {
	if v != nil {
		return v
	}
	return &other
}

// sameConfig reports whether a and b say the same, number of version apart.
func sameConfig(a, b Config) bool {
	a.Version = b.Version
	return string(EncodeConfig(a)) == string(EncodeConfig(b))
}

// samePlace reports whether a and b are one chain of files: same store, bucket and folder.
func samePlace(a, b Destination) bool {
	return a.Bucket == b.Bucket && a.Folder == b.Folder && storeOf(a.Endpoint) == storeOf(b.Endpoint)
}
