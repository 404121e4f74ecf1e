// Package s3 is bucket.Bucket on Amazon S3 and compatible stores.
//
// An Opener makes buckets that share a configuration; each has an HTTP transport of its own, so that one
// customer's dead endpoint holds nobody else's connections. A call is one attempt: nothing is repeated here,
// except that a wrong region is followed once, because delivery owns the patience. Whose fault an error is, is
// decided in error.go and role.go, by the store's code and the status alone.
//
// Where a customer lets us in by a role, the installation's own credentials (base.go) take it on, and all buckets of
// that role share its session (role.go).
//
// An upload costs one pass of CRC-32C over the bytes (hardware does it at the speed of memory) and, only where
// the connection is not encrypted, the SHA-256 of the signature. Start reading at Bucket.Put.
package s3

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"iter"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
)

// defaultRegion is where a look-up of the region begins. Source: GetBucketLocation answers there for the buckets
// of every region of the partition (Amazon S3 API reference).
const defaultRegion = "us-east-1"

// Config is what all buckets of an Opener share.
type Config struct {
	// Dial connects to endpoints that customers give: a dial.Guard's DialContext. Amazon's own endpoints, whose
	// names are made here, are dialled without it: inside a cloud they may well have private addresses.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// TLS replaces the default client configuration; nil: the system's roots.
	TLS *tls.Config

	// STSEndpoint is where roles are asked for, for S3-compatible stores; empty: AWS, in the installation's region.
	// It is the operator's own, so the guard does not stand before it.
	STSEndpoint string

	// AccountID is the installation's AWS account; empty: STS is asked.
	AccountID string

	// Chain lets the installation's own credentials and region be looked for where AWS's tools look: environment,
	// shared files, web identity, container, machine. Without it and without Base roles cannot be taken on.
	Chain bool

	// Base, if set, stands for the installation's own credentials and nothing is looked for. For demo and tests.
	Base Key
}

// Opener opens buckets on S3. Safe for concurrent use.
type Opener struct {
	cfg    Config
	tokens *tokens
	roles  *roles
}

// NewOpener makes an Opener. A nil cfg.Dial is a mistake of the program, since it would leave the guard out.
func NewOpener(cfg Config) *Opener {
	if cfg.Dial == nil {
		panic("s3: Config.Dial is nil")
	}
	o := &Opener{cfg: cfg}
	o.tokens = &tokens{cfg: cfg, transport: o.transport(ownDial()), clients: map[string]*sts.Client{}}
	o.roles = &roles{ask: o.tokens.ask, leases: map[roleKey]*lease{}}
	return o
}

var regionName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// Open gives the bucket of a. It connects to nothing.
//
// Errors: invalid, with field problems named as in the file of apply.
func (o *Opener) Open(a bucket.Access) (bucket.Bucket, error) {
	problems := bucket.ValidateAccess(a)
	if a.ByRole() && a.ExternalID == "" {
		problems = append(problems, fault.Problem{Field: "external_id", Code: "required", Message: "A role is not taken on without an external id."})
	}
	if len(problems) > 0 {
		return nil, &fault.Error{Code: fault.Invalid, Op: "open bucket", Fields: problems}
	}
	dial := ownDial()
	if a.Endpoint != "" {
		dial = o.cfg.Dial
	}
	return o.open(a, o.credentials(a), dial), nil
}

// OpenOwn gives a bucket of the operator's. It connects to nothing.
//
// Errors: invalid, with field problems.
func (o *Opener) OpenOwn(a bucket.Access) (bucket.Bucket, error) {
	if problems := bucket.ValidatePlace(a); len(problems) > 0 {
		return nil, &fault.Error{Code: fault.Invalid, Op: "open own bucket", Fields: problems}
	}
	return o.open(a, o.tokens.own(), ownDial()), nil
}

func (o *Opener) open(a bucket.Access, who aws.CredentialsProvider, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *Bucket {
	transport := o.transport(dial)
	b := &Bucket{
		access: a,
		roles:  o.roles,
		door:   &door{transport: transport},
		lookup: make(chan struct{}, 1),
	}
	b.options = sdk.Options{
		AppID:                      "millrace",
		Credentials:                who,
		HTTPClient:                 b.door,
		Retryer:                    aws.NopRetryer{},
		UsePathStyle:               a.PathStyle,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		DisableLogOutputChecksumValidationSkipped: true,
		DisableS3ExpressSessionAuth:               aws.Bool(true),
	}
	if a.Features.RefusesChecksums {
		b.options.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	}
	if a.Endpoint != "" {
		b.options.BaseEndpoint = aws.String(strings.TrimRight(a.Endpoint, "/"))
	}
	if !strings.HasPrefix(a.Endpoint, "http://") {
		// TLS guards the bytes on their way and the checksum in the signed headers guards them whole; another
		// SHA-256 over everything would only cost time. Without TLS the signature covers them.
		b.unsigned = sdk.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
	if a.Region != "" {
		b.client = b.in(a.Region)
	}
	return b
}

// credentials gives what signs the calls of a.
func (o *Opener) credentials(a bucket.Access) aws.CredentialsProvider {
	if a.ByRole() {
		return provider{o.roles, keyOf(a), a.Region}
	}
	return credentials.NewStaticCredentialsProvider(a.AccessKeyID, a.SecretAccessKey.Reveal(), "")
}

// Bucket is one bucket of S3. Safe for concurrent use.
type Bucket struct {
	access   bucket.Access
	roles    *roles
	options  sdk.Options
	unsigned func(*sdk.Options) // nil: the signature covers the bytes
	door     *door

	lookup chan struct{} // held by the one call that looks the region up
	mu     sync.Mutex
	client *sdk.Client // of the region known now; nil: not looked up yet
}

// Put writes an object in one request.
//
// The bytes travel with their CRC-32C, which the store compares and keeps; a store that refuses checksums gets
// Content-MD5 instead. Source: Amazon S3 API reference, PutObject, conditional writes, checksums.
func (b *Bucket) Put(ctx context.Context, key string, body bucket.Body, opt bucket.PutOptions) error {
	return b.put(ctx, key, body.Size(), func() io.ReadSeeker { return newReader(body) }, opt)
}

// PutFile writes a file in one request, as Put. It is read twice: for its checksum, and to be sent.
func (b *Bucket) PutFile(ctx context.Context, key string, f bucket.File, opt bucket.PutOptions) error {
	size, err := f.Size()
	if err != nil {
		return b.fail("PutObject", key, err)
	}
	if size > bucket.MaxPut {
		return bucket.TooLarge(b.access.Bucket, key, size)
	}
	return b.put(ctx, key, size, func() io.ReadSeeker { return io.NewSectionReader(f, 0, size) }, opt)
}

// put writes the size bytes that open gives from the beginning, as often as it is called.
func (b *Bucket) put(ctx context.Context, key string, size int64, open func() io.ReadSeeker, opt bucket.PutOptions) error {
	in := &sdk.PutObjectInput{
		Bucket:        &b.access.Bucket,
		Key:           &key,
		ContentLength: aws.Int64(size),
		Metadata:      opt.Metadata,
	}
	if opt.ContentType != "" {
		in.ContentType = &opt.ContentType
	}
	if opt.CreateOnly && !b.access.Features.IgnoresCreateOnly {
		in.IfNoneMatch = aws.String("*")
	}
	if b.access.Encryption {
		in.ServerSideEncryption = types.ServerSideEncryptionAes256
	}
	if b.access.Features.RefusesChecksums {
		sum, err := sumOf(md5.New(), open())
		if err != nil {
			return b.fail("PutObject", key, err)
		}
		in.ContentMD5 = &sum
	} else {
		sum, err := sumOf(crc32.New(castagnoli), open())
		if err != nil {
			return b.fail("PutObject", key, err)
		}
		in.ChecksumCRC32C = &sum
	}
	return b.call(ctx, "PutObject", key, func(c *sdk.Client) error {
		in.Body = open()
		var opts []func(*sdk.Options)
		if b.unsigned != nil {
			opts = append(opts, b.unsigned)
		}
		out, err := c.PutObject(ctx, in, opts...)
		if err == nil && aws.ToString(out.ETag) == "" {
			return b.stranger("PutObject", key)
		}
		return err
	})
}

// stranger is a success that did not come from a store: every S3 names the entity that it wrote or gives, and the
// bucket that it lists. Something in between has answered, or an error in the clothes of a 200. To believe it would
// be to take an object of ours for a stranger's, or a full bucket for an empty one.
func (b *Bucket) stranger(op, key string) *bucket.Error {
	return &bucket.Error{Problem: bucket.ServerError, Op: op, Bucket: b.access.Bucket, Key: key, Status: 200}
}

// Head asks for an object's size, time and metadata.
func (b *Bucket) Head(ctx context.Context, key string) (info bucket.Info, err error) {
	err = b.call(ctx, "HeadObject", key, func(c *sdk.Client) error {
		out, err := c.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: &b.access.Bucket, Key: &key})
		if err != nil {
			return err
		}
		if aws.ToString(out.ETag) == "" {
			return b.stranger("HeadObject", key)
		}
		info = bucket.Info{
			Key: key, Size: aws.ToInt64(out.ContentLength), ETag: etag(out.ETag), Modified: aws.ToTime(out.LastModified),
			Metadata: out.Metadata, Encryption: string(out.ServerSideEncryption), Lock: string(out.ObjectLockMode),
		}
		return nil
	})
	return info, err
}

// Get reads an object. Where the store keeps a checksum of the whole, a body that differs from it ends in an
// error instead of io.EOF.
func (b *Bucket) Get(ctx context.Context, key string) (io.ReadCloser, bucket.Info, error) {
	return b.GetFrom(ctx, key, 0)
}

// GetFrom reads an object from an offset on; of what does not begin at 0 no checksum is compared.
func (b *Bucket) GetFrom(ctx context.Context, key string, offset int64) (rc io.ReadCloser, info bucket.Info, err error) {
	in := &sdk.GetObjectInput{Bucket: &b.access.Bucket, Key: &key}
	var opts []func(*sdk.Options)
	if offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
		opts = append(opts, func(o *sdk.Options) { o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired })
	}
	err = b.call(ctx, "GetObject", key, func(c *sdk.Client) error {
		out, err := c.GetObject(ctx, in, opts...)
		if err != nil {
			return err
		}
		if aws.ToString(out.ETag) == "" {
			_ = out.Body.Close() // nothing in it is ours to read
			return b.stranger("GetObject", key)
		}
		if offset > 0 && !strings.HasPrefix(aws.ToString(out.ContentRange), fmt.Sprintf("bytes %d-", offset)) {
			_ = out.Body.Close() // it begins elsewhere
			return b.stranger("GetObject", key)
		}
		info = bucket.Info{
			Key: key, Size: offset + aws.ToInt64(out.ContentLength), ETag: etag(out.ETag), Modified: aws.ToTime(out.LastModified),
			Metadata: out.Metadata, Encryption: string(out.ServerSideEncryption), Lock: string(out.ObjectLockMode),
		}
		rc = &download{ReadCloser: out.Body, bucket: b, key: key}
		return nil
	})
	return rc, info, err
}

// List walks over the keys that begin with prefix, 1,000 a request.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		in := &sdk.ListObjectsV2Input{Bucket: &b.access.Bucket, Prefix: &prefix}
		for {
			var page *sdk.ListObjectsV2Output
			err := b.call(ctx, "ListObjectsV2", prefix, func(c *sdk.Client) (err error) {
				page, err = c.ListObjectsV2(ctx, in)
				if err == nil && page.Name == nil && len(page.Contents) == 0 {
					return b.stranger("ListObjectsV2", prefix)
				}
				return err
			})
			if err != nil {
				yield(bucket.Info{}, err)
				return
			}
			for _, o := range page.Contents {
				info := bucket.Info{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), ETag: etag(o.ETag), Modified: aws.ToTime(o.LastModified)}
				if !yield(info, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) {
				return
			}
			next := aws.ToString(page.NextContinuationToken)
			if next == "" || next == aws.ToString(in.ContinuationToken) {
				// A list that says it goes on but not where would be taken for whole, or never end.
				yield(bucket.Info{}, b.stranger("ListObjectsV2", prefix))
				return
			}
			in.ContinuationToken = &next
		}
	}
}

// Delete removes an object.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	return b.call(ctx, "DeleteObject", key, func(c *sdk.Client) error {
		_, err := c.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: &b.access.Bucket, Key: &key})
		return err
	})
}

// Location asks where the bucket lies.
func (b *Bucket) Location(ctx context.Context) (region string, err error) {
	err = b.follow(ctx, "GetBucketLocation", "", b.current(), func(c *sdk.Client) (err error) {
		region, err = location(ctx, c, b.access.Bucket)
		return err
	})
	return region, err
}

// Close lets go of idle connections; calls under way go on.
func (b *Bucket) Close() error {
	b.door.transport.CloseIdleConnections()
	return nil
}

// call makes one attempt in the bucket's region, which is looked up first if nobody knows it.
func (b *Bucket) call(ctx context.Context, op, key string, do func(*sdk.Client) error) error {
	c, err := b.located(ctx)
	if err != nil {
		return b.fail(op, key, err)
	}
	return b.follow(ctx, op, key, c, do)
}

// follow runs do, and once more in the right region if the store says that this one is wrong. The right one is
// remembered.
func (b *Bucket) follow(ctx context.Context, op, key string, c *sdk.Client, do func(*sdk.Client) error) error {
	err := b.try(op, key, c, do)
	if err == nil || err.Problem != bucket.WrongRegion {
		return asError(err)
	}
	right := err.Region
	if right == c.Options().Region && err.Op == "HeadObject" {
		err.Problem = bucket.BadRequest // the region was right, so something else in the request is not
		return err
	}
	if right == "" {
		if r, lookErr := location(ctx, b.in(defaultRegion), b.access.Bucket); lookErr == nil {
			right = r
		}
	}
	if right == "" || right == c.Options().Region || !regionName.MatchString(right) {
		return err
	}
	again := b.in(right)
	if err := b.try(op, key, again, do); err != nil {
		return err
	}
	b.remember(again)
	return nil
}

// try runs do. A session that the store does not take is given up, and do runs once more with a new one: whether the
// role may still be taken on, and nothing else, is the customer's to say. If the store does not take the new one
// either, that may pass.
func (b *Bucket) try(op, key string, c *sdk.Client, do func(*sdk.Client) error) *bucket.Error {
	begun := time.Now()
	err := b.fail(op, key, do(c))
	if !b.access.ByRole() || !aboutSession(err) {
		return err
	}
	b.roles.forget(keyOf(b.access), begun)
	if err = b.fail(op, key, do(c)); aboutSession(err) {
		err.Problem = bucket.Unknown
	}
	return err
}

// aboutSession tells whether a store refuses the credentials themselves.
func aboutSession(err *bucket.Error) bool {
	return err != nil && (err.Problem == bucket.ExpiredToken || err.Problem == bucket.UnknownKey || err.Problem == bucket.BadSecret)
}

// asError keeps a nil *bucket.Error from becoming an error that is not nil.
func asError(err *bucket.Error) error {
	if err == nil {
		return nil
	}
	return err
}

// located gives the client of the bucket's region. The first caller looks the region up, the others wait for it.
//
// Errors: those of a look-up that got no answer or one of a store in trouble; the next call looks again. Where the
// store answers but does not tell (the right is missing, the call is unknown), the default region is taken, and a
// wrong one is followed by the call itself.
func (b *Bucket) located(ctx context.Context) (*sdk.Client, error) {
	if c := b.known(); c != nil {
		return c, nil
	}
	select {
	case b.lookup <- struct{}{}:
		defer func() { <-b.lookup }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := b.known(); c != nil {
		return c, nil
	}
	c := b.in(defaultRegion)
	region, err := location(ctx, c, b.access.Bucket)
	if err != nil {
		e := b.fail("GetBucketLocation", "", err)
		switch e.Problem {
		case bucket.Network, bucket.AddressForbidden, bucket.ServerError, bucket.Throttled, bucket.RoleRefused, bucket.OwnCredentials:
			return nil, e
		}
		region = e.Region // with WrongRegion, if it was told
	}
	if region != defaultRegion && regionName.MatchString(region) {
		c = b.in(region)
	}
	b.remember(c)
	return c, nil
}

func (b *Bucket) known() *sdk.Client {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.client
}

func (b *Bucket) current() *sdk.Client {
	if c := b.known(); c != nil {
		return c
	}
	return b.in(defaultRegion)
}

func (b *Bucket) remember(c *sdk.Client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.client = c
}

// in gives a client for region; all share connections and credentials.
func (b *Bucket) in(region string) *sdk.Client {
	o := b.options.Copy()
	o.Region = region
	return sdk.New(o)
}

// location asks the store for the bucket's region. Source: GetBucketLocation; an empty constraint is us-east-1 and
// EU the oldest name of eu-west-1.
func location(ctx context.Context, c *sdk.Client, name string) (string, error) {
	out, err := c.GetBucketLocation(ctx, &sdk.GetBucketLocationInput{Bucket: &name})
	if err != nil {
		return "", err
	}
	switch out.LocationConstraint {
	case "":
		return defaultRegion, nil
	case types.BucketLocationConstraintEu:
		return "eu-west-1", nil
	}
	return string(out.LocationConstraint), nil
}

func etag(s *string) string { return strings.Trim(aws.ToString(s), `"`) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf gives h of what from holds, as headers say it. Errors: those of from.
func sumOf(h hash.Hash, from io.Reader) (string, error) {
	_, err := io.Copy(h, from)
	return base64.StdEncoding.EncodeToString(h.Sum(nil)), err
}

var (
	_ bucket.Opener = (*Opener)(nil)
	_ bucket.Bucket = (*Bucket)(nil)
)
