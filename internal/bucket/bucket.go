// Package bucket is a customer's object store as the rest of the program sees it: create-only put, head, get,
// list, and errors that say whose they are.
//
// Bucket is the seam: s3 implements it for Amazon S3 and compatible stores, buckettest is the suite that every
// implementation passes, bucketserver is the demo's own S3 server. The rules about IAM policies and the
// credential check live here too, because they follow from what the seam calls. No caller sees an AWS type.
// Start reading at Bucket; then Check, NewPolicy and ParseFolder.
package bucket

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// Bucket is one bucket with one set of credentials. All methods are safe for concurrent use and return *Error.
type Bucket interface {
	// Put writes an object whole: nothing is visible unless all of it arrived and its checksum matched.
	//
	// With CreateOnly it fails with Exists if the key is taken and never changes what is there. A time-out or a
	// reset says nothing about whether the object was written.
	Put(ctx context.Context, key string, body Body, opt PutOptions) error

	// PutFile is Put of all that a file holds, which is read again for each attempt: for objects that are too large for
	// memory. More than MaxPut bytes are refused as BadRequest, and nothing is sent.
	PutFile(ctx context.Context, key string, f File, opt PutOptions) error

	// Head gives what is known about an object without its bytes. NotFound if the key is free.
	Head(ctx context.Context, key string) (Info, error)

	// Get reads a whole object; the caller closes it. A body cut short surfaces as io.ErrUnexpectedEOF.
	Get(ctx context.Context, key string) (io.ReadCloser, Info, error)

	// GetFrom is Get of the bytes of an object from an offset on, which lies within it; Size is that of the whole.
	GetFrom(ctx context.Context, key string, offset int64) (io.ReadCloser, Info, error)

	// List gives keys that begin with prefix, in byte order, page by page. Infos carry key, size, ETag and time
	// only. It ends after the first error.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// Delete removes an object; no error if there is none. Exports only: Currents never deletes.
	Delete(ctx context.Context, key string) error

	// Location asks the store in which region the bucket lies.
	Location(ctx context.Context) (string, error)

	// Close lets go of idle connections.
	Close() error
}

// Body is an object's bytes in one or several parts, which are read again for each attempt and not changed.
type Body [][]byte

// File is bytes that lie on a disk, and do not change while they are put. vfs.File is one.
type File interface {
	io.ReaderAt
	Size() (int64, error)
}

// MaxPut is the most that one request puts. Source: Amazon S3 user guide, "Uploading objects": 5 GB.
const MaxPut = 5 << 30

// TooLarge refuses an object of more than MaxPut bytes.
func TooLarge(name, key string, size int64) *Error {
	return &Error{Problem: BadRequest, Op: "PutObject", Bucket: name, Key: key, StoreCode: "EntityTooLarge",
		Cause: fault.New(fault.TooLarge, "", "the object would have %d bytes; one request takes %d at most", size, int64(MaxPut))}
}

// Size is the number of bytes.
func (b Body) Size() int64 {
	var n int64
	for _, p := range b {
		n += int64(len(p))
	}
	return n
}

// PutOptions are what a write carries besides its bytes.
type PutOptions struct {
	CreateOnly  bool // If-None-Match: *
	ContentType string
	Metadata    map[string]string // keys in lower case; user metadata of the object
}

// Info is what a store tells about an object.
type Info struct {
	Key      string
	Size     int64
	ETag     string
	Modified time.Time
	Metadata map[string]string // keys in lower case; nil from List

	Encryption string // how the store keeps it: AES256, aws:kms …; empty if not told, as by List
	Lock       string // mode of Object Lock: GOVERNANCE, COMPLIANCE; empty if none or not told
}

// Access is everything needed to open a bucket.
type Access struct {
	Bucket    string
	Region    string // empty: looked up
	Endpoint  string // empty: Amazon S3
	PathStyle bool

	// Either a key of the customer's …
	AccessKeyID     string
	SecretAccessKey secret.Value
	// … or a role of theirs, which is assumed with the installation's own credentials.
	RoleARN     string
	ExternalID  string // made by us, told to the customer; the role's trust policy asks for it
	SessionName string // stands in the customer's audit trail: names the connector

	Encryption bool     // x-amz-server-side-encryption: AES256 on every write
	Features   Features // as remembered from the last check
}

// Features is how a store differs from Amazon S3, found by the credential check. The zero value is Amazon S3.
type Features struct {
	IgnoresCreateOnly bool `json:"ignores_create_only,omitempty"` // If-None-Match has no effect
	RefusesChecksums  bool `json:"refuses_checksums,omitempty"`   // additional checksums are answered with an error
}

// ByRole tells whether the customer lets us in by a role rather than by a key.
func (a Access) ByRole() bool { return a.RoleARN != "" }

// Opener opens buckets. It checks nothing on the network.
type Opener interface {
	// Open gives the bucket of a, to be closed by the caller. Errors: invalid, naming the fields of a.
	Open(a Access) (Bucket, error)
}

// Assumer is an Opener that takes on the roles of customers with the installation's own credentials.
type Assumer interface {
	Opener

	// OpenOwn is Open for a bucket of the operator's, with the installation's own credentials in place of a's. It may lie
	// in networks that customers' endpoints may not.
	OpenOwn(a Access) (Bucket, error)

	// Assume takes on the role of a with exactly a.ExternalID, or without any if it is empty. It asks anew each time,
	// and touches no bucket.
	//
	// Errors, as *Error: RoleRefused if the role cannot be taken on so; OwnCredentials if the installation's own
	// credentials are missing or not valid, and then nothing is said about the role; passing ones.
	Assume(ctx context.Context, a Access) error

	// Account gives the installation's AWS account id, 12 digits, which customers name in trust policies.
	//
	// Errors: unavailable if it is not set and cannot be asked for.
	Account(ctx context.Context) (string, error)
}
