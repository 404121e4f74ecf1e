package bucket

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// Problem is what went wrong, in the words of the field rather than of one store.
type Problem string

// The problems.
const (
	Exists           Problem = "exists"            // 412: the key is taken
	Busy             Problem = "busy"              // 409: another write of the key is under way
	NotFound         Problem = "not_found"         // no such key
	AccessDenied     Problem = "access_denied"     // the policy does not allow the action
	UnknownKey       Problem = "unknown_key"       // no such access key id
	BadSecret        Problem = "bad_secret"        // the signature does not match
	ExpiredToken     Problem = "expired_token"     // temporary credentials have ended
	NoSuchBucket     Problem = "no_such_bucket"    //
	WrongRegion      Problem = "wrong_region"      // Error.Region holds the right one if the store told it
	ClockSkew        Problem = "clock_skew"        // our clock and theirs differ too much
	KMSDenied        Problem = "kms_denied"        // the key of the bucket's encryption may not be used
	ObjectLocked     Problem = "object_locked"     // Object Lock forbids it
	RoleRefused      Problem = "role_refused"      // AssumeRole was refused
	OwnCredentials   Problem = "own_credentials"   // the installation's base credentials fail
	Throttled        Problem = "throttled"         // SlowDown, 429
	ServerError      Problem = "server_error"      // 5xx, or 200 with an error inside
	Network          Problem = "network"           // no answer: refused, reset, timed out, name not found
	AddressForbidden Problem = "address_forbidden" // the endpoint has no address, or none that our guard lets through: which, no customer shall learn
	NotImplemented   Problem = "not_implemented"   // the store does not know the call
	BadRequest       Problem = "bad_request"       // the store did not understand or accept the call
	Damaged          Problem = "damaged"           // checksum or length differ from what was sent
	Unknown          Problem = "unknown"           //
)

// Owner is who can mend a problem.
type Owner string

// The owners. Source: design, "Errors from S3 and STS have an owner".
const (
	Customer Owner = "customer" // park, keep, notify, probe
	Passing  Owner = "passing"  // retry with backoff, for ever
	Ours     Owner = "ours"     // alarm for the operator; no customer is blamed
)

// Owner says who can mend p; what is not known is passing.
func (p Problem) Owner() Owner {
	switch p {
	case AccessDenied, UnknownKey, BadSecret, ExpiredToken, NoSuchBucket, WrongRegion, KMSDenied, ObjectLocked,
		RoleRefused:
		return Customer
	case OwnCredentials, ClockSkew:
		return Ours
	}
	return Passing
}

// Error is a failed call.
type Error struct {
	Problem    Problem
	Op         string // the S3 action: PutObject, HeadObject, …
	Bucket     string
	Key        string
	Role       string // ARN, with AssumeRole
	Status     int    // HTTP status; 0: no answer
	StoreCode  string // the store's own error code, e.g. InvalidAccessKeyId
	Said       string // the store's own sentence about a refusal, to be shown as a quotation; nothing is decided by it
	Region     string // with WrongRegion, if known
	RequestID  string
	RetryAfter time.Duration
	Cause      error
}

// Error names call, object, problem and the store's code. Never a secret.
func (e *Error) Error() string {
	s := e.Op
	switch {
	case e.Role != "":
		s += " " + e.Role
	case e.Bucket != "" || e.Key != "":
		s += " " + e.Bucket + "/" + e.Key
	}
	s += ": " + string(e.Problem)
	if e.StoreCode != "" || e.Status != 0 {
		s += fmt.Sprintf(" (%d %s)", e.Status, e.StoreCode)
	}
	if e.Cause != nil && e.Status == 0 {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// As lets fault.CodeOf see a code.
func (e *Error) As(target any) bool {
	t, ok := target.(**fault.Error)
	if !ok {
		return false
	}
	code := fault.Unavailable
	switch e.Problem {
	case Exists, Busy:
		code = fault.Conflict
	case NotFound, NoSuchBucket:
		code = fault.NotFound
	case AccessDenied, UnknownKey, BadSecret, ExpiredToken, KMSDenied, RoleRefused, ObjectLocked, AddressForbidden:
		code = fault.Forbidden
	case Damaged:
		code = fault.Corrupt
	}
	*t = &fault.Error{Code: code, Op: e.Op, Msg: fault.Message{Key: "bucket." + string(e.Problem), Text: e.Error()},
		Hint: fault.Message{Key: "bucket." + string(e.Problem) + ".hint"}, Retry: e.Problem.Owner() == Passing, RetryAfter: e.RetryAfter}
	return true
}

// ProblemOf gives the problem of the first Error in err's chain; Unknown if there is none, "" for nil.
func ProblemOf(err error) Problem {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Problem
	}
	return Unknown
}
