// Package secret holds values that never print, and seals them for storage.
//
// A Value shows as [redacted] in every format, in logs, in JSON and in panics; only Reveal gives what it holds,
// so that a search for Reveal finds every place where a secret leaves its wrapping.
package secret

import (
	"encoding/json"
	"errors"
	"log/slog"
)

const redacted = "[redacted]"

// Value is a secret. The zero value is empty.
type Value struct{ s string }

// New wraps s.
func New(s string) Value { return Value{s} }

// Reveal gives the secret itself.
func (v Value) Reveal() string { return v.s }

// Empty reports whether there is nothing inside.
func (v Value) Empty() bool { return v.s == "" }

// String is [redacted].
func (v Value) String() string { return redacted }

// GoString is [redacted].
func (v Value) GoString() string { return redacted }

// LogValue is [redacted].
func (v Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is [redacted].
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON is "[redacted]".
func (v Value) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// UnmarshalText refuses: secrets are read on purpose, never as part of something else.
func (v *Value) UnmarshalText([]byte) error {
	return errors.New("a secret cannot be read from text; use secret.New")
}
