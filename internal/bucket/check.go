package bucket

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// untold stands for a right of which nothing can be found out.
const untold Problem = "untold"

// Names of the check's objects, below the folder. Readers of the bucket skip names that begin with an underscore.
const (
	probeName = "_millrace-check"
	neverName = "_millrace-check-delete" // deleted by the check and never written by anybody
)

// probeText is what the probe holds: no object of ours is empty.
const probeText = "Millrace checked here that it may write. This file is never changed; it may be deleted.\n"

// The check's own patience with a store in trouble; delivery has another.
const (
	checkTries = 3
	checkPause = 500 * time.Millisecond
)

// CheckInput is what Check needs.
type CheckInput struct {
	Kind   Kind   // Currents or Exports
	Access Access // its Features are left aside: they are found anew
	Folder string

	// RoleRetry is how long, over the whole check, a role is tried again that is refused or lacks a right: what was
	// changed in IAM a moment ago takes a while to be felt everywhere. 0: each step is tried once.
	RoleRetry time.Duration

	// Progress, if set, is called with each step as it ends, and with a step of the state Trying whenever one is about
	// to be tried again. It is called by the check's own goroutine and holds it up.
	Progress func(Step)
}

// check is one run.
type check struct {
	opener Opener
	until  time.Time // end of RoleRetry
	trust  Remedy    // of a role that is refused
	in     CheckInput
	access Access // as far as it is known by now
	report Report
	open   []Bucket
}

// attempt is one step: what it tries, and how.
type attempt struct {
	action string
	try    func(context.Context, *Step) error
}

// Check tries every right that in.Kind needs, on the folder itself, and names each that is missing together with the
// statement that would grant it.
//
// A role is taken on first. Then it is tried without and with a wrong external id: if it lets us in so, anybody who
// has this installation work for them could name it as theirs, and a note says so. That is only found out after the
// right id was accepted, since before it a refusal shows nothing.
//
// It writes one object, create-only, and never deletes it, so that it works with Object Lock and without the right
// to delete; repeating it writes nothing. A wrong region is followed and told. What the store has of its own is told
// in Features.
//
// Errors: invalid, with field problems: nothing was tried. What the store refuses stands in the Report.
// Source: product, credential check; Amazon S3 API reference for what each call needs.
func Check(ctx context.Context, o Opener, in CheckInput) (Report, error) {
	problems := ValidateAccess(in.Access)
	if in.Access.ByRole() && in.Access.ExternalID == "" {
		problems = append(problems, fault.Problem{Field: "external_id", Code: "required", Message: "A role is not taken on without an external id."})
	}
	folder, p := ParseFolder("folder", in.Folder)
	problems = append(problems, p...)
	if in.Kind != Currents && in.Kind != Exports {
		problems = append(problems, fault.Problem{Field: "kind", Code: "unknown_value", Message: "A check is for currents or exports."})
	}
	if len(problems) > 0 {
		return Report{}, &fault.Error{Code: fault.Invalid, Op: "check credentials", Fields: problems}
	}
	in.Folder, in.Access.Features = folder, Features{}
	c := &check{opener: o, in: in, access: in.Access, until: time.Now().Add(in.RoleRetry)}
	defer c.close()

	steps := []attempt{
		{"s3:GetBucketLocation", c.location},
		{"s3:ListBucket", c.list},
		{"s3:PutObject", c.put},
		{"s3:GetObject", c.get},
	}
	if in.Access.ByRole() {
		steps = append([]attempt{{"sts:AssumeRole", c.assume}}, steps...)
	}
	if in.Kind == Exports {
		steps = append(steps, attempt{"s3:DeleteObject", c.delete})
	}
	hopeless := false
	for _, s := range steps {
		step := Step{Action: s.action, State: Skipped}
		if !hopeless {
			var err error
			step, err = c.run(ctx, s)
			if f := fault.As(err); f != nil && f.Code == fault.Invalid {
				return Report{}, err // the opener refuses the access
			}
			hopeless = err != nil && !aboutOneRight(step.Problem)
		}
		c.report.Steps = append(c.report.Steps, step)
		if in.Progress != nil {
			in.Progress(step)
		}
	}
	c.conclude()
	return c.report, nil
}

// maxRolePause is the longest wait between two tries of a role that may have been made a moment ago.
const maxRolePause = 5 * time.Second

// run makes one step, again and again while it may be that IAM has not heard of the role's making yet. err is what it
// ended with.
func (c *check) run(ctx context.Context, s attempt) (step Step, err error) {
	for pause := time.Second; ; pause = min(2*pause, maxRolePause) {
		step = Step{Action: s.action, State: Passed}
		if err = s.try(ctx, &step); err == nil {
			return step, nil
		}
		c.fail(&step, err)
		left := time.Until(c.until)
		if !c.mayBeLate(err) || left <= 0 || ctx.Err() != nil {
			return step, err
		}
		if c.in.Progress != nil {
			trying := step
			trying.State, trying.Left = Trying, left
			c.in.Progress(trying)
		}
		t := time.NewTimer(min(pause, left))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return step, err
		}
	}
}

// mayBeLate tells whether err is how a role looks that was made, or given its policy, a moment ago. Source: IAM user
// guide, troubleshoot: changes that I make are not always immediately visible.
func (c *check) mayBeLate(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || !c.access.ByRole() {
		return false
	}
	switch e.Problem {
	case RoleRefused:
		return e.Said == "" // what STS has words for is a request that will never do
	case AccessDenied, UnknownKey, ExpiredToken:
		return true
	}
	return false
}

// aboutOneRight tells whether the next step can end otherwise than this one.
func aboutOneRight(p Problem) bool {
	switch p {
	case AccessDenied, KMSDenied, ObjectLocked, NotImplemented, BadRequest, NotFound, Unknown:
		return true
	}
	return false
}

func (c *check) key(name string) string {
	if c.in.Folder == "" {
		return name
	}
	return c.in.Folder + "/" + name
}

// bucket opens the bucket as far as it is known by now, with change.
func (c *check) bucket(change func(*Access)) (Bucket, error) {
	a := c.access
	a.Features = c.report.Features
	if change != nil {
		change(&a)
	}
	b, err := c.opener.Open(a)
	if err == nil {
		c.open = append(c.open, b)
	}
	return b, err
}

func (c *check) close() {
	for _, b := range c.open {
		_ = b.Close() // only idle connections
	}
}

// insist repeats do while the store is in trouble.
func (c *check) insist(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		switch ProblemOf(err) {
		case Network, ServerError, Throttled, Busy:
		default:
			return err
		}
		if try == checkTries || ctx.Err() != nil {
			return err
		}
		t := time.NewTimer(checkPause * time.Duration(try))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
	}
}

// noSuchHost reports whether the name of the store does not exist.
func noSuchHost(e *Error) bool {
	dns, ok := errors.AsType[*net.DNSError](e.Cause)
	return ok && dns.IsNotFound
}

// assume takes the role on, and finds out whether it asks for the external id.
func (c *check) assume(ctx context.Context, _ *Step) error {
	assumer, ok := c.opener.(Assumer)
	if !ok {
		return fault.New(fault.Invalid, "check credentials", "roles cannot be taken on here")
	}
	err := c.insist(ctx, func() error { return assumer.Assume(ctx, c.access) })
	if ProblemOf(err) == RoleRefused && c.trust == nil {
		c.trust = c.trustPolicy(ctx, assumer)
	}
	if err != nil {
		return err
	}
	for _, wrong := range []string{"", "millrace-check-" + rand.Text()} {
		a := c.access
		a.ExternalID = wrong
		err := c.insist(ctx, func() error { return assumer.Assume(ctx, a) })
		switch {
		case ProblemOf(err) == RoleRefused:
			continue
		case err == nil:
			c.note("check.external_id_ignored", "The role {role} can be taken on without its external id. Whoever learns its ARN could give it to this installation as theirs and have it write into your bucket.", fault.Params{"role": c.access.RoleARN})
			c.report.Notes[len(c.report.Notes)-1].Remedy = c.trustPolicy(ctx, assumer)
		default:
			c.note("check.external_id_untested", "Whether the role {role} asks for its external id could not be found out.", fault.Params{"role": c.access.RoleARN})
		}
		break
	}
	return nil
}

// trustPolicy gives the trust policy that the role should have; nil where our account is not known, for then there is
// nobody to name in it.
func (c *check) trustPolicy(ctx context.Context, a Assumer) Remedy {
	account, err := a.Account(ctx)
	if err != nil {
		return nil
	}
	return trusting(c.access, account)
}

func (c *check) location(ctx context.Context, step *Step) error {
	b, err := c.bucket(nil)
	if err != nil {
		return err
	}
	var region string
	err = c.insist(ctx, func() (err error) { region, err = b.Location(ctx); return err })
	asked := c.access.Region
	switch {
	case c.access.Endpoint != "" && (ProblemOf(err) == NotImplemented || ProblemOf(err) == BadRequest):
		// Some stores have no such call; their buckets have no regions either.
		c.note("check.no_location", "The store does not tell where the bucket lies; that is no obstacle.", nil)
	case err != nil:
		return err
	case !regionName.MatchString(region):
		// Not a name that could be signed for; what was given stands.
	case asked == "" || c.access.Endpoint == "" || region != asked && c.outranks(ctx, region, asked):
		c.access.Region = region
	}
	if asked != "" && c.access.Region != asked {
		c.note("check.region", "The bucket lies in {region}, not in {given}; the right region is used.", fault.Params{"region": c.access.Region, "given": asked})
	}
	c.report.Region = c.access.Region
	return nil
}

// outranks tells whether what a store at an endpoint says of the bucket's region is right and what was given is not.
// Stores without regions say the default, or nothing, which is the same: then what was given stands if requests for it
// are answered, be it by way of the right region.
func (c *check) outranks(ctx context.Context, told, given string) bool {
	return c.answersIn(ctx, told) && (told != defaultRegion || !c.answersIn(ctx, given))
}

// answersIn tells whether the store takes requests that are signed for region. Others are followed where their answer
// says the region; that to a HEAD has no words for it.
func (c *check) answersIn(ctx context.Context, region string) bool {
	b, err := c.bucket(func(a *Access) { a.Region = region })
	if err == nil {
		err = c.insist(ctx, func() error { _, err := b.Head(ctx, c.key(probeName)); return err })
	}
	switch ProblemOf(err) {
	case "", NotFound, AccessDenied:
		return true
	}
	return false
}

// defaultRegion is what a bucket without a region is in. Source: Amazon S3 API reference, GetBucketLocation.
const defaultRegion = "us-east-1"

func (c *check) list(ctx context.Context, _ *Step) error {
	b, err := c.bucket(nil)
	if err != nil {
		return err
	}
	return c.insist(ctx, func() error {
		for _, err := range b.List(ctx, c.key("")) {
			return err // one page shows that it may be done
		}
		return nil
	})
}

// put writes the probe and finds out how the store differs.
func (c *check) put(ctx context.Context, step *Step) error {
	wrote, err := c.probe(ctx, c.report.Features, c.access.Encryption)
	switch ProblemOf(err) {
	case NotImplemented, BadRequest:
		for _, f := range []Features{{RefusesChecksums: true}, {IgnoresCreateOnly: true}, {RefusesChecksums: true, IgnoresCreateOnly: true}} {
			if wroteNow, again := c.probe(ctx, f, c.access.Encryption); again == nil {
				c.report.Features = f
				wrote, err = wroteNow, nil
				break
			}
		}
	}
	if err != nil {
		return c.diagnosePut(ctx, step, err)
	}
	if wrote && !c.report.Features.IgnoresCreateOnly {
		again, err := c.probe(ctx, c.report.Features, c.access.Encryption)
		if err != nil {
			return err
		}
		c.report.Features.IgnoresCreateOnly = again
	}
	if c.report.Features.IgnoresCreateOnly {
		c.note("check.ignores_create_only", "The store writes over existing objects although it is asked not to. One process at a time may deliver to it; two at once are not supported.", nil)
	}
	if c.report.Features.RefusesChecksums {
		c.note("check.refuses_checksums", "The store refuses checksums of S3; MD5 is sent in their place.", nil)
	}
	return nil
}

// probe puts the probe once. wrote: it was not there, or was written over.
func (c *check) probe(ctx context.Context, f Features, encryption bool) (wrote bool, err error) {
	b, err := c.bucket(func(a *Access) { a.Features, a.Encryption = f, encryption })
	if err != nil {
		return false, err
	}
	err = c.insist(ctx, func() error {
		return b.Put(ctx, c.key(probeName), Body{[]byte(probeText)}, PutOptions{CreateOnly: true, ContentType: "text/plain; charset=utf-8"})
	})
	if ProblemOf(err) == Exists {
		return false, nil
	}
	return err == nil, err
}

// diagnosePut tells a missing right from a bucket that wants another encryption: it tries the other way. No text of
// the store is read for it.
func (c *check) diagnosePut(ctx context.Context, step *Step, err error) error {
	switch ProblemOf(err) {
	case AccessDenied, KMSDenied, BadRequest, NotImplemented:
	default:
		return err
	}
	if _, other := c.probe(ctx, c.report.Features, !c.access.Encryption); other != nil {
		return err
	}
	e, _ := errors.AsType[*Error](err)
	step.Problem = e.Problem
	step.Finding = c.finding(step.Action, e)
	if c.access.Encryption {
		step.Finding.Message = messages["check.encryption_unwanted"]
		step.Finding.Hint = messages["check.encryption_unwanted.hint"]
	} else {
		step.Finding.Message = messages["check.encryption_wanted"]
		step.Finding.Hint = messages["check.encryption_wanted.hint"]
		if c.access.ByRole() {
			step.Finding.Hint = messages["check.encryption_wanted.role.hint"]
		}
		c.grant(step, grantKMS(c.access))
	}
	return err
}

func (c *check) get(ctx context.Context, step *Step) error {
	b, err := c.bucket(nil)
	if err != nil {
		return err
	}
	var info Info
	err = c.insist(ctx, func() error {
		rc, i, err := b.Get(ctx, c.key(probeName))
		if err != nil {
			return err
		}
		info = i
		_, err = io.Copy(io.Discard, io.LimitReader(rc, 64<<10))
		_ = rc.Close() // read only
		if err == io.ErrUnexpectedEOF {
			return &Error{Problem: Network, Op: "GetObject", Bucket: c.access.Bucket, Key: c.key(probeName), Cause: err}
		}
		return err
	})
	listFailed, putFailed := c.failed("s3:ListBucket"), c.failed("s3:PutObject")
	switch p := ProblemOf(err); {
	case p == NotFound && putFailed:
		return nil // there is nothing to read, and only one with the right is told so
	case p == AccessDenied && putFailed && listFailed:
		// Without ListBucket a free key is answered like a forbidden one.
		step.State = Skipped
		step.Finding = c.finding(step.Action, &Error{Problem: untold})
		c.grant(step, grant(step.Action, c.access))
		return nil
	case p == AccessDenied:
		if i, headErr := b.Head(ctx, c.key(probeName)); headErr == nil {
			// The right itself is there: what is refused is the key that the bytes are encrypted with.
			e, _ := errors.AsType[*Error](err)
			kms := *e
			kms.Problem = KMSDenied
			c.report.Lock = i.Lock != ""
			return &kms
		}
	}
	if err != nil {
		return err
	}
	c.report.Lock = info.Lock != ""
	if c.report.Lock {
		c.note("check.object_lock", "Object Lock keeps what is written here. Deliveries work with it: they never change or delete an object.", nil)
	}
	if strings.HasPrefix(info.Encryption, "aws:kms") {
		c.note("check.kms", "The bucket encrypts with a key of AWS KMS, and that key may be used.", nil)
	}
	return nil
}

func (c *check) delete(ctx context.Context, _ *Step) error {
	b, err := c.bucket(nil)
	if err != nil {
		return err
	}
	return c.insist(ctx, func() error { return b.Delete(ctx, c.key(neverName)) })
}

func (c *check) failed(action string) bool {
	return slices.ContainsFunc(c.report.Steps, func(s Step) bool { return s.Action == action && s.State == Failed })
}

func (c *check) note(key, text string, params fault.Params) {
	c.report.Notes = append(c.report.Notes, Finding{Message: fault.Message{Key: key, Text: text}, Hint: messages[key+".hint"], Params: params})
}

// fail fills a step with what err means.
func (c *check) fail(step *Step, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Problem: Unknown, Op: step.Action, Bucket: c.access.Bucket, Cause: err}
	}
	step.State = Failed
	if step.Problem != "" {
		return // diagnosed already
	}
	step.Problem = e.Problem
	step.Finding = c.finding(step.Action, e)
	switch e.Problem {
	case AccessDenied:
		c.grant(step, grant(step.Action, c.access))
	case KMSDenied:
		c.grant(step, grantKMS(c.access))
	case RoleRefused:
		step.Finding.Remedy = c.trust
	}
}

// grant says how to add what is missing.
func (c *check) grant(step *Step, st statement) {
	step.Statement = encode(st, "", "")
	step.Finding.Remedy = grants(st, c.access)
}

// finding gives the sentences for e.
func (c *check) finding(action string, e *Error) Finding {
	key := "check." + string(e.Problem)
	if _, ok := messages[key]; !ok {
		key = "check.unknown"
	}
	host := ""
	if noSuchHost(e) {
		dns, _ := errors.AsType[*net.DNSError](e.Cause)
		key, host = "check.no_such_host", dns.Name
	}
	hint := messages[key+".hint"]
	if own, ok := messages[key+".role.hint"]; ok && c.access.ByRole() {
		hint = own
	}
	region := e.Region
	if region == "" {
		region = "?"
	}
	endpoint := c.access.Endpoint
	if endpoint == "" {
		endpoint = "Amazon S3"
	}
	folder := c.in.Folder
	if folder == "" {
		folder = "/"
	}
	cause := fmt.Sprintf("%d %s", e.Status, e.StoreCode)
	if e.Status == 0 && e.Cause != nil {
		cause = e.Cause.Error()
	}
	return Finding{
		Message: messages[key], Hint: hint, Said: e.Said,
		Params: fault.Params{
			"action": action, "bucket": c.access.Bucket, "folder": folder, "endpoint": endpoint, "region": region,
			"host": host, "access_key_id": c.access.AccessKeyID, "role": c.access.RoleARN,
			"status": e.Status, "code": e.StoreCode, "cause": cause,
		},
	}
}

// allDenied tells whether every right that was tried is denied: that is seldom a policy which lacks four statements.
func (c *check) allDenied() bool {
	denied := 0
	for _, s := range c.report.Steps {
		switch {
		case s.Action == "sts:AssumeRole", s.State == Skipped:
		case s.State == Failed && s.Problem == AccessDenied:
			denied++
		default:
			return false
		}
	}
	return denied >= 3
}

// conclude finds the heading.
func (c *check) conclude() {
	r := &c.report
	r.OK, r.Passing = true, true
	refused := false
	for _, s := range r.Steps {
		if s.State != Failed {
			continue
		}
		r.OK = false
		if s.Problem.Owner() != Passing || s.Problem == AddressForbidden || s.Problem == NotImplemented || s.Problem == BadRequest || s.Problem == NotFound {
			r.Passing = false
		}
		// The clock is ours to mend, yet what the store says is that the signature is not valid.
		refused = refused || s.Problem != OwnCredentials && s.Problem.Owner() != Passing
	}
	if c.allDenied() {
		c.note("check.all_denied", "Not one right is there on the bucket {bucket}.", fault.Params{"bucket": c.access.Bucket})
	}
	switch {
	case r.OK:
		r.Passing = false
	case slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Problem == NoSuchBucket }):
		r.Heading = messages["check.heading.no_such_bucket"]
	case refused:
		r.Heading = messages["check.heading.invalid"]
	default:
		r.Heading = messages["check.heading.unreachable"]
	}
}

// CheckMessages gives every message that a check can put into a step or a heading, for catalogues of other
// languages, ordered by key.
func CheckMessages() []fault.Message {
	var out []fault.Message
	for _, key := range slices.Sorted(maps.Keys(messages)) {
		out = append(out, messages[key])
	}
	return out
}

// messages are the check's sentences by key; the key of a problem's sentence is "check." and the problem.
var messages = func() map[string]fault.Message {
	m := map[string]fault.Message{}
	for _, row := range [][2]string{
		{"check.heading.invalid", "S3 credentials are invalid"},
		{"check.heading.no_such_bucket", "S3 credentials are invalid: no such bucket"},
		{"check.heading.unreachable", "The store could not be checked"},

		{"check.access_denied", "{action} is not allowed on the bucket {bucket}."},
		{"check.access_denied.hint", "Add the statement to the policy of the user. If it stands there already, a policy of the bucket, of the organization or a permissions boundary denies it."},
		{"check.access_denied.role.hint", "Add the statement to the policy of the role. If it stands there already, a policy of the bucket, of the organization or a permissions boundary denies it."},
		{"check.all_denied.hint", "Either the user or role has no policy for this bucket yet, or a policy of the bucket denies everything from outside some network or account: then it must let this one through."},
		{"check.untold", "Whether {action} is allowed too can be told only when the other rights are there."},
		{"check.untold.hint", "It is needed as well: add the statement together with theirs."},
		{"check.unknown_key", "The access key id {access_key_id} is not known to the store."},
		{"check.unknown_key.hint", "Copy it again, without spaces, or make a new access key for the user. A key that was made a moment ago may need some seconds."},
		{"check.bad_secret", "The secret access key does not belong to the access key id {access_key_id}."},
		{"check.bad_secret.hint", "Enter the secret again. It is shown only once, when the key is made; if it is lost, make a new access key."},
		{"check.expired_token", "The credentials have expired."},
		{"check.expired_token.hint", "Use the access key of a user, not temporary credentials."},
		{"check.no_such_bucket", "There is no bucket called {bucket}."},
		{"check.no_such_bucket.hint", "Compare the name with the one in S3, and make the bucket if it is not there yet. The folder has a field of its own."},
		{"check.wrong_region", "The bucket {bucket} lies in another region: {region}."},
		{"check.wrong_region.hint", "Enter the region that S3 shows for the bucket."},
		{"check.clock_skew", "The store's clock and that of this installation differ too much."},
		{"check.clock_skew.hint", "The operator of this installation must set its clock, best by NTP. The credentials may well be right."},
		{"check.kms_denied", "The key that encrypts the bucket {bucket} may not be used."},
		{"check.kms_denied.hint", "Add the statement to the policy of the user, with the account and id of that key, and see that the key is enabled and its own policy allows the user."},
		{"check.kms_denied.role.hint", "Add the statement to the policy of the role, with the account and id of that key, and see that the key is enabled and its own policy allows the role."},
		{"check.object_locked", "Object Lock does not let {action} happen on the bucket {bucket}."},
		{"check.object_locked.hint", "Deliveries need only new objects; see whether a legal hold or a retention rule goes beyond that."},
		{"check.role_refused", "The role cannot be assumed."},
		{"check.role_refused.hint", "Compare account id and external id in the role's trust policy with those that Millrace shows for this workspace."},
		{"check.external_id_ignored.hint", "Put the trust policy shown here in place of the role's: its Condition lets in only who names the external id. If it was changed a moment ago, repeat the check in a minute."},
		{"check.external_id_untested.hint", "Repeat the check in some minutes."},
		{"check.own_credentials", "This installation's own AWS credentials fail: {cause}. Yours were not tried."},
		{"check.own_credentials.hint", "The operator of this installation has to mend them. They are looked for as AWS's tools do it: in the environment of server and commands, in profiles, and in the role of the container or machine."},
		{"check.encryption_wanted", "The bucket {bucket} refuses objects without AES-256 encryption, or encrypts them with a key of AWS KMS that may not be used."},
		{"check.encryption_wanted.hint", "Either turn on server-side AES-256 encryption for this Current, or, for a key of AWS KMS, add the statement to the policy of the user."},
		{"check.encryption_wanted.role.hint", "Either turn on server-side AES-256 encryption for this Current, or, for a key of AWS KMS, add the statement to the policy of the role."},
		{"check.encryption_unwanted", "The bucket {bucket} refuses objects with the header for AES-256 encryption; without it they are taken."},
		{"check.encryption_unwanted.hint", "Turn server-side AES-256 encryption off for this Current: the bucket encrypts by itself."},

		{"check.network", "{endpoint} did not answer."},
		{"check.network.hint", "Compare the address, and see whether a firewall lies between. The check can be repeated at any time."},
		{"check.no_such_host", "There is no address under the name {host}: the name does not exist."},
		{"check.no_such_host.hint", "Compare the region with the one that S3 shows for the bucket."},
		{"check.address_forbidden", "{endpoint} has no public address."},
		{"check.address_forbidden.hint", "Compare the endpoint with what the store's documentation says; if it is right, the bucket may be reached with path style only. If the store stands in the operator's own network, the operator can allow that network with the setting MILLRACE_ALLOWED_ENDPOINT_NETWORKS."},
		{"check.throttled", "The store asks for fewer requests."},
		{"check.throttled.hint", "Repeat the check in some minutes."},
		{"check.server_error", "The store had an error of its own."},
		{"check.server_error.hint", "Repeat the check in some minutes."},
		{"check.not_implemented", "The store does not know {action} as it is asked for here ({status} {code})."},
		{"check.not_implemented.hint", "See whether its documentation says how it differs from Amazon S3."},
		{"check.bad_request", "The store does not accept {action} as it is asked for here ({status} {code})."},
		{"check.bad_request.hint", "See whether endpoint, region and path style are those that its documentation asks for."},
		{"check.not_found", "What was written a moment ago in the folder {folder} is not there."},
		{"check.not_found.hint", "See whether a rule of the bucket takes new objects away at once."},
		{"check.unknown", "{action} failed in a way that is not known here ({status} {code})."},
		{"check.unknown.hint", "Repeat the check; if it stays, the operator's log says more."},
	} {
		m[row[0]] = fault.Message{Key: row[0], Text: row[1]}
	}
	return m
}()
