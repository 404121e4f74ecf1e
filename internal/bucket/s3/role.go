package s3

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
)

const (
	// stsTimeout bounds one call of STS, and one way to the installation's own credentials.
	stsTimeout = 15 * time.Second

	// sessionLength is what is asked for. Every role allows it, and more is refused to an installation that itself
	// runs under a role. Source: AWS STS API reference, AssumeRole, DurationSeconds; IAM user guide, role chaining.
	sessionLength = time.Hour

	// failurePause is how long a failure is told again without asking: as many lanes as a role may have, STS hears of
	// them once in that time.
	failurePause = 5 * time.Second

	// forgetAfter is when a session that nobody renewed leaves memory.
	forgetAfter = time.Hour

	defaultSessionName = "millrace"
)

// roleKey is what a session is for.
type roleKey struct{ arn, externalID, name string }

func keyOf(a bucket.Access) roleKey {
	k := roleKey{a.RoleARN, a.ExternalID, a.SessionName}
	if k.name == "" {
		k.name = defaultSessionName
	}
	return k
}

// roles keeps the sessions of roles that were taken on, shared by all buckets of an Opener: however many lanes a role
// has, it is asked for once. Safe for concurrent use.
type roles struct {
	ask func(ctx context.Context, k roleKey, region string) (aws.Credentials, *bucket.Error)

	mu     sync.Mutex
	leases map[roleKey]*lease
}

// lease is the session of one role, from when to renew it, and what became of the last try.
type lease struct {
	creds  aws.Credentials // of the session; zero: none
	issued time.Time       // when it was asked for
	soft   time.Time       // from then on it is renewed while it is still used
	hard   time.Time       // from then on it is not used

	asking *asking // under way; nil: nothing
	err    *bucket.Error
	again  time.Time // until then err is told without asking
}

// asking is one call of AssumeRole that several callers may wait for.
type asking struct {
	done  chan struct{}
	creds aws.Credentials
	err   *bucket.Error
}

// session gives credentials of k that hold for some time yet.
//
// A session is renewed from two thirds of its time on, beside its use, so that an hour's session outlives an STS
// that is out of reach for a third of an hour. A refusal ends it at once: the customer has said that they no longer
// want it.
func (r *roles) session(ctx context.Context, k roleKey, region string) (aws.Credentials, error) {
	r.mu.Lock()
	now := time.Now()
	l := r.leases[k]
	if l == nil {
		r.forgetOld(now)
		l = &lease{}
		r.leases[k] = l
	}
	usable := l.creds.AccessKeyID != "" && now.Before(l.hard)
	if usable && now.Before(l.soft) {
		defer r.mu.Unlock()
		return l.creds, nil
	}
	if l.asking == nil && now.Before(l.again) {
		defer r.mu.Unlock()
		if usable {
			return l.creds, nil
		}
		return aws.Credentials{}, l.err
	}
	if l.asking == nil {
		l.asking = &asking{done: make(chan struct{})}
		// Others wait for it too: it does not end with the caller who happened to come first.
		go r.renew(context.WithoutCancel(ctx), k, region, l.asking)
	}
	wait := l.asking
	creds := l.creds
	r.mu.Unlock()
	if usable {
		return creds, nil
	}
	select {
	case <-wait.done:
	case <-ctx.Done():
		return aws.Credentials{}, ctx.Err()
	}
	if wait.err != nil {
		return aws.Credentials{}, wait.err
	}
	return wait.creds, nil
}

func (r *roles) renew(ctx context.Context, k roleKey, region string, a *asking) {
	issued := time.Now()
	a.creds, a.err = r.ask(ctx, k, region)
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(a.done)
	if l := r.leases[k]; l != nil {
		l.asking = nil
		l.take(a.creds, a.err, issued)
	}
}

// take keeps what asking gave.
func (l *lease) take(creds aws.Credentials, err *bucket.Error, issued time.Time) {
	now := time.Now()
	l.err, l.again = err, now.Add(failurePause)
	if err != nil {
		if err.Problem == bucket.RoleRefused {
			l.creds = aws.Credentials{}
		}
		return
	}
	length := creds.Expires.Sub(issued)
	l.creds, l.issued, l.again = creds, issued, time.Time{}
	l.soft, l.hard = issued.Add(length*2/3), creds.Expires.Add(-min(time.Minute, length/10))
}

// forget drops the session of k if it was asked for before at: a store does not take it any more.
func (r *roles) forget(k roleKey, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.leases[k]; l != nil && l.issued.Before(at) {
		l.creds = aws.Credentials{}
	}
}

// tell lets the waiting lanes of k profit from, or heed, what somebody else was just told.
func (r *roles) tell(k roleKey, creds aws.Credentials, err *bucket.Error, issued time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.leases[k]; l != nil && l.asking == nil {
		l.take(creds, err, issued)
	}
}

// forgetOld needs r.mu.
func (r *roles) forgetOld(now time.Time) {
	for k, l := range r.leases {
		if l.asking == nil && now.Sub(l.hard) > forgetAfter && now.Sub(l.again) > forgetAfter {
			delete(r.leases, k)
		}
	}
}

// provider signs the calls of one bucket with the session of its role.
type provider struct {
	roles  *roles
	key    roleKey
	region string
}

func (p provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	return p.roles.session(ctx, p.key, p.region)
}

// tokens asks STS.
type tokens struct {
	cfg       Config
	transport *http.Transport

	mu      sync.Mutex
	base    *base                  // nil: not looked for yet
	clients map[string]*sts.Client // by region
	account string                 // empty: not known yet
}

// region is where the STS of a role is asked: in the installation's own region, else in the bucket's. Which of them
// does not matter to the session, which holds in all regions of the partition; but the installation's account has its
// own region switched on for sure. Source: IAM user guide, manage AWS STS in an AWS Region.
func (t *tokens) region(partition, ofBucket string) string {
	for _, r := range []string{t.own().region, ofBucket} {
		if regionName.MatchString(r) {
			return r
		}
	}
	switch partition {
	case "aws-cn":
		return "cn-north-1"
	case "aws-us-gov":
		return "us-gov-west-1"
	}
	return defaultRegion
}

// own gives the installation's own credentials and region.
func (t *tokens) own() base {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.base == nil {
		b := newBase(t.cfg)
		t.base = &b
	}
	return *t.base
}

// client gives the STS client of a region, signing with the installation's own credentials.
func (t *tokens) client(region string) *sts.Client {
	own := t.own()
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[region]; c != nil {
		return c
	}
	o := sts.Options{
		AppID: "millrace", Region: region, Credentials: own, Retryer: aws.NopRetryer{},
		HTTPClient: direct{t.transport},
	}
	if t.cfg.STSEndpoint != "" {
		o.BaseEndpoint = aws.String(strings.TrimRight(t.cfg.STSEndpoint, "/"))
	}
	c := sts.New(o)
	t.clients[region] = c
	return c
}

// direct sends requests and follows no redirects, since those are signed for one host.
type direct struct{ transport *http.Transport }

func (d direct) Do(req *http.Request) (*http.Response, error) { return d.transport.RoundTrip(req) }

// ask takes a role on, and finds out whose fault it is if that fails.
func (t *tokens) ask(ctx context.Context, k roleKey, region string) (aws.Credentials, *bucket.Error) {
	ctx, cancel := context.WithTimeout(ctx, stsTimeout)
	defer cancel()
	c := t.client(t.region(strings.SplitN(k.arn, ":", 3)[1], region))
	in := &sts.AssumeRoleInput{
		RoleArn: &k.arn, RoleSessionName: &k.name,
		DurationSeconds: aws.Int32(int32(sessionLength / time.Second)),
	}
	if k.externalID != "" {
		in.ExternalId = &k.externalID
	}
	out, err := c.AssumeRole(ctx, in)
	if err != nil {
		return aws.Credentials{}, t.blame(ctx, c, k.arn, err)
	}
	s := out.Credentials
	if s == nil || aws.ToString(s.AccessKeyId) == "" || aws.ToString(s.SecretAccessKey) == "" || !aws.ToTime(s.Expiration).After(time.Now()) {
		return aws.Credentials{}, &bucket.Error{Problem: bucket.ServerError, Op: opAssume, Role: k.arn, Status: http.StatusOK}
	}
	return aws.Credentials{
		AccessKeyID: *s.AccessKeyId, SecretAccessKey: *s.SecretAccessKey, SessionToken: aws.ToString(s.SessionToken),
		CanExpire: true, Expires: *s.Expiration,
	}, nil
}

const opAssume = "AssumeRole"

// aboutCaller are codes that speak of who signed the request: here always the installation. Source: AWS STS API
// reference, common errors; RegionDisabledException of AssumeRole, for the account that signs.
var aboutCaller = map[string]bool{
	"InvalidClientTokenId": true, "SignatureDoesNotMatch": true, "MissingAuthenticationToken": true,
	"MissingAuthenticationTokenException": true, "IncompleteSignature": true, "UnrecognizedClientException": true,
	"InvalidAccessKeyId": true, "InvalidToken": true, "ExpiredToken": true, "ExpiredTokenException": true, "RequestExpired": true,
	"RequestTimeTooSkewed": true, "OptInRequired": true, "RegionDisabledException": true,
}

// untaught are answers of stores whose STS does not know GetCallerIdentity.
var untaught = map[string]bool{"InvalidAction": true, "UnknownOperationException": true, "NotImplemented": true, "MethodNotAllowed": true}

// blame tells whose an error of AssumeRole is.
//
// STS says AccessDenied for a role that does not exist, for one whose trust policy does not let us in, and for a
// caller of ours who may not take on roles: by design it does not tell which. What can be told is whether our own
// credentials are good: GetCallerIdentity needs no right at all and cannot be denied by a policy of IAM, so if it
// fails, they are not, and the error is ours; if it succeeds, the refusal counts as the customer's. What remains is
// an installation whose own policy lacks sts:AssumeRole: every role is refused to it, and no answer of STS sets that
// apart from customers who refuse.
// Source: AWS STS API reference, GetCallerIdentity, AssumeRole.
func (t *tokens) blame(ctx context.Context, c *sts.Client, arn string, err error) *bucket.Error {
	e := answered(opAssume, err)
	e.Role = arn
	if e.Problem != bucket.RoleRefused {
		return e
	}
	if e.StoreCode != "AccessDenied" {
		var api smithy.APIError
		if errors.As(err, &api) {
			e.Said = shorten(api.ErrorMessage(), 400)
		}
	}
	if _, err := c.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err != nil {
		own := answered("GetCallerIdentity", err)
		own.Role = arn
		switch {
		case own.Problem == bucket.RoleRefused && (untaught[own.StoreCode] || own.Status == http.StatusNotFound || own.Status == http.StatusMethodNotAllowed):
			return e
		case own.Problem == bucket.RoleRefused:
			own.Problem = bucket.OwnCredentials
		}
		return own
	}
	return e
}

// answered sorts an error of STS; RoleRefused stands for every refusal that is not about who signed.
func answered(op string, err error) *bucket.Error {
	e := &bucket.Error{Problem: bucket.Network, Op: op, Cause: err}
	if own, ok := errors.AsType[*noBase](err); ok {
		e.Problem, e.Cause = bucket.OwnCredentials, own
		return e
	}
	resp, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || resp.Response == nil || resp.Response.Response == nil {
		return e
	}
	if e.Status = resp.HTTPStatusCode(); e.Status == 0 {
		return e
	}
	e.RequestID = resp.ServiceRequestID()
	e.RetryAfter = retryAfter(resp.Response.Header)
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		e.StoreCode = api.ErrorCode()
	}
	switch {
	case aboutCaller[e.StoreCode]:
		e.Problem = bucket.OwnCredentials
	case codes[e.StoreCode] == bucket.Throttled, e.Status == http.StatusTooManyRequests:
		e.Problem = bucket.Throttled
	case e.Status >= 500, e.Status < 400:
		e.Problem = bucket.ServerError
	default:
		e.Problem = bucket.RoleRefused
	}
	return e
}

// Assume takes on the role of a with exactly a.ExternalID, or without any if it is empty, asking STS each time. What
// it is told also counts for the buckets of that role that are open.
//
// Errors: invalid, naming the fields of a; else *bucket.Error as bucket.Assumer says.
func (o *Opener) Assume(ctx context.Context, a bucket.Access) error {
	problems := bucket.ValidateAccess(a)
	if !a.ByRole() {
		problems = append(problems, fault.Problem{Field: "role_arn", Code: "required", Message: "The ARN of the role is needed."})
	}
	if len(problems) > 0 {
		return &fault.Error{Code: fault.Invalid, Op: "assume role", Fields: problems}
	}
	issued := time.Now()
	k := keyOf(a)
	creds, err := o.tokens.ask(ctx, k, a.Region)
	o.roles.tell(k, creds, err, issued)
	return asError(err)
}

// Account gives the installation's AWS account id: the one of the configuration, else what GetCallerIdentity says,
// asked once.
//
// Errors: unavailable, with the setting to make as its hint.
func (o *Opener) Account(ctx context.Context) (string, error) {
	t := o.tokens
	if t.cfg.AccountID != "" {
		return t.cfg.AccountID, nil
	}
	t.mu.Lock()
	known := t.account
	t.mu.Unlock()
	if known != "" {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, stsTimeout)
	defer cancel()
	out, err := t.client(t.region("aws", "")).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", fault.New(fault.Unavailable, "find AWS account", "AWS does not tell which account this installation has").
			WithCause(answered("GetCallerIdentity", err)).WithRetry(failurePause).
			WithHint("Set MILLRACE_AWS_ACCOUNT_ID, or give the installation AWS credentials.")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.account = aws.ToString(out.Account)
	return t.account, nil
}

var _ bucket.Assumer = (*Opener)(nil)
