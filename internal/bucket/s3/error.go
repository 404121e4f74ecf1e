package s3

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/dial"
)

// codes maps the store's own error codes. Source: Amazon S3 API reference, List of error codes; AWS KMS error
// codes; and names that compatible stores use for the same. A code that stands nowhere falls to its status.
var codes = map[string]bucket.Problem{
	"PreconditionFailed":         bucket.Exists,
	"ConditionalRequestConflict": bucket.Busy,
	"OperationAborted":           bucket.Busy,

	"NoSuchKey":         bucket.NotFound,
	"NoSuchBucket":      bucket.NoSuchBucket,
	"InvalidBucketName": bucket.NoSuchBucket,

	"AccessDenied":       bucket.AccessDenied,
	"AllAccessDisabled":  bucket.AccessDenied,
	"AccountProblem":     bucket.AccessDenied,
	"NotSignedUp":        bucket.AccessDenied,
	"UnauthorizedAccess": bucket.AccessDenied,
	"Forbidden":          bucket.AccessDenied, // the SDK's word for a 403 without a body

	"InvalidAccessKeyId":    bucket.UnknownKey,
	"InvalidClientTokenId":  bucket.UnknownKey,
	"SignatureDoesNotMatch": bucket.BadSecret,
	"ExpiredToken":          bucket.ExpiredToken,
	"ExpiredTokenException": bucket.ExpiredToken,
	"InvalidToken":          bucket.ExpiredToken,
	"TokenRefreshRequired":  bucket.ExpiredToken,

	"PermanentRedirect":            bucket.WrongRegion,
	"TemporaryRedirect":            bucket.WrongRegion,
	"Redirect":                     bucket.WrongRegion,
	"MovedPermanently":             bucket.WrongRegion, // the SDK's word for a 301 without a body
	"AuthorizationHeaderMalformed": bucket.WrongRegion,
	"IncorrectEndpoint":            bucket.WrongRegion,

	"RequestTimeTooSkewed": bucket.ClockSkew,

	"KMS.DisabledException":             bucket.KMSDenied,
	"KMS.InvalidKeyUsageException":      bucket.KMSDenied,
	"KMS.InvalidStateException":         bucket.KMSDenied,
	"KMS.KMSInvalidStateException":      bucket.KMSDenied,
	"KMS.NotFoundException":             bucket.KMSDenied,
	"KMS.AccessDeniedException":         bucket.KMSDenied,
	"KMS.IncorrectKeyException":         bucket.KMSDenied,
	"KMS.ThrottlingException":           bucket.Throttled,
	"KMS.LimitExceededException":        bucket.Throttled,
	"KMS.KMSInternalException":          bucket.ServerError,
	"KMS.DependencyTimeoutException":    bucket.ServerError,
	"KMS.KeyUnavailableException":       bucket.ServerError,
	"KMS.InternalException":             bucket.ServerError,
	"KMSKeyDisabledException":           bucket.KMSDenied,
	"KMSKeyNotFoundException":           bucket.KMSDenied,
	"ObjectLocked":                      bucket.ObjectLocked,
	"InvalidObjectState":                bucket.ObjectLocked,
	"ObjectLockConfigurationNotAllowed": bucket.ObjectLocked,

	"SlowDown":               bucket.Throttled,
	"SlowDownRead":           bucket.Throttled,
	"SlowDownWrite":          bucket.Throttled,
	"ServiceUnavailable":     bucket.Throttled,
	"RequestLimitExceeded":   bucket.Throttled,
	"Throttling":             bucket.Throttled,
	"ThrottlingException":    bucket.Throttled,
	"TooManyRequests":        bucket.Throttled,
	"BandwidthLimitExceeded": bucket.Throttled,

	"InternalError":  bucket.ServerError,
	"RequestTimeout": bucket.Network,
	"IncompleteBody": bucket.Network,

	"BadDigest":                   bucket.Damaged,
	"InvalidDigest":               bucket.Damaged,
	"XAmzContentSHA256Mismatch":   bucket.Damaged,
	"XAmzContentChecksumMismatch": bucket.Damaged,

	"NotImplemented":   bucket.NotImplemented,
	"MethodNotAllowed": bucket.NotImplemented,
}

// statuses maps answers without a known code.
var statuses = map[int]bucket.Problem{
	http.StatusMovedPermanently:   bucket.WrongRegion,
	http.StatusTemporaryRedirect:  bucket.WrongRegion,
	http.StatusBadRequest:         bucket.BadRequest,
	http.StatusRequestTimeout:     bucket.Network,
	http.StatusConflict:           bucket.Busy,
	http.StatusPreconditionFailed: bucket.Exists,
	http.StatusTooManyRequests:    bucket.Throttled,
	http.StatusNotImplemented:     bucket.NotImplemented,
	http.StatusServiceUnavailable: bucket.Throttled,
}

// fail turns an error of the SDK into one of the seam; nil stays nil.
func (b *Bucket) fail(op, key string, err error) *bucket.Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*bucket.Error](err); ok {
		own := *e // that of a role is shared by all who use it
		if own.Bucket == "" {
			own.Bucket, own.Key = b.access.Bucket, key
		}
		return &own
	}
	e := &bucket.Error{Problem: bucket.Unknown, Op: op, Bucket: b.access.Bucket, Key: key, Cause: err}
	resp, answered := errors.AsType[*awshttp.ResponseError](err)
	if answered && resp.Response != nil && resp.Response.Response != nil {
		e.Status = resp.HTTPStatusCode()
		e.RequestID = resp.ServiceRequestID()
		e.RetryAfter = retryAfter(resp.Response.Header)
		e.Region = resp.Response.Header.Get(regionHeader)
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		// The rest of an answer, and further lines in stores that write all into the message, may hold what was signed.
		said, _, _ := strings.Cut(api.ErrorMessage(), "\n")
		e.StoreCode, e.Said = api.ErrorCode(), shorten(said, 400)
	}
	if e.Problem = problem(e, err); e.Problem != bucket.WrongRegion {
		e.Region = ""
	}
	if e.Problem == bucket.AddressForbidden || e.Problem == bucket.Network && b.access.Endpoint != "" && noSuchHost(err) {
		e.Problem, e.Cause = bucket.AddressForbidden, &dial.Forbidden{} // nothing of the one tells it from the other
	}
	return e
}

func noSuchHost(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

func problem(e *bucket.Error, err error) bucket.Problem {
	if e.Status == 0 {
		if _, ok := errors.AsType[*dial.Forbidden](err); ok {
			return bucket.AddressForbidden
		}
		if _, ok := errors.AsType[*noBase](err); ok {
			return bucket.OwnCredentials
		}
		// Whatever kept an answer away (refused, reset, cut off, timed out, name not found, certificate) may pass.
		return bucket.Network
	}
	if e.Op == "HeadObject" && e.Status == http.StatusNotFound {
		return bucket.NotFound // without a body the store cannot say whether it means key or bucket
	}
	if e.Status == http.StatusBadRequest && e.Op == "HeadObject" && e.Region != "" {
		return bucket.WrongRegion // likewise: a region in the answer to a malformed request is the right one
	}
	if p, ok := codes[e.StoreCode]; ok {
		return p
	}
	if strings.HasPrefix(e.StoreCode, "KMS.") && e.Status < 500 {
		return bucket.KMSDenied
	}
	if p, ok := statuses[e.Status]; ok {
		return p
	}
	switch {
	case e.Status >= 500, e.Status < 300: // or success that could not be read
		return bucket.ServerError
	case e.Status == http.StatusNotFound && e.Op == "GetObject":
		return bucket.NotFound
	}
	return bucket.Unknown
}

// retryAfter reads the header's seconds; dates are not used by S3.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, time.Hour)
}

// shorten keeps a foreign sentence printable and short.
func shorten(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > n {
		s = string(r[:n]) + "…"
	}
	return s
}
