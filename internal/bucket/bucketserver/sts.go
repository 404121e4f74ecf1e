package bucketserver

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// STSConfig is what an STS needs.
type STSConfig struct {
	Users  map[string]User // by access key id: who may ask
	Roles  []Role
	Region string // for which requests must be signed; empty: us-east-1

	// Now is the clock of sessions and signatures; nil: time.Now.
	Now func() time.Time

	// Lifetime > 0: a session ends after it, whatever was asked for. For tests: AWS gives none below 15 minutes.
	Lifetime time.Duration

	// Fault is asked before each request is looked at; nil: nothing ever fails. For tests.
	Fault func(*http.Request) Fault
}

// User is somebody with an access key of their own.
type User struct {
	ARN    string // arn:aws:iam::123456789012:user/NAME
	Secret secret.Value
	Policy string // what the user may do, as a policy document; empty: everything
}

// Role is what can be taken on.
type Role struct {
	ARN        string        // arn:aws:iam::210987654321:role/NAME
	Trust      string        // its trust policy: who may take it on
	Policy     string        // what its sessions may do, as a policy document; empty: everything
	MaxSession time.Duration // longest session; 0: one hour
}

// STS is an http.Handler that speaks the query protocol of AWS STS: AssumeRole and GetCallerIdentity.
//
// It is strict where AWS is: signatures (version 4) are verified, parameters are checked, both the caller's policy
// and the role's trust policy must allow, and a refusal does not tell which of them did not, nor whether the role
// exists. A Server that is given the STS lets its sessions in until they expire. Sessions live in memory.
//
// Source: AWS STS API reference, AssumeRole, GetCallerIdentity, common errors; IAM user guide, signature version 4.
// Safe for concurrent use.
type STS struct {
	region   string
	now      func() time.Time
	lifetime time.Duration
	fault    func(*http.Request) Fault

	mu       sync.Mutex
	users    map[string]user
	roles    map[string]role
	sessions map[string]session
	requests int64
}

type user struct {
	caller
	secret secret.Value
}

type role struct {
	Role
	partition, account, name, id string
	trust, rights                *rights
}

// session is what temporary credentials stand for.
type session struct {
	user
	token   string
	expires time.Time
}

// NewSTS makes an STS. Errors: invalid, for ARNs and policies that are not understood.
func NewSTS(cfg STSConfig) (*STS, error) {
	s := &STS{
		region: cfg.Region, now: cfg.Now, lifetime: cfg.Lifetime, fault: cfg.Fault,
		users: map[string]user{}, roles: map[string]role{}, sessions: map[string]session{},
	}
	if s.region == "" {
		s.region = "us-east-1"
	}
	if s.now == nil {
		s.now = time.Now
	}
	for id, u := range cfg.Users {
		if err := s.SetUser(id, u); err != nil {
			return nil, err
		}
	}
	for _, r := range cfg.Roles {
		if err := s.SetRole(r); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// SetUser gives accessKeyID to u from now on. Errors: invalid.
func (s *STS) SetUser(accessKeyID string, u User) error {
	_, account, name, ok := arnParts(u.ARN, "user")
	if !ok || accessKeyID == "" || u.Secret.Empty() {
		return fault.New(fault.Invalid, "define user", "%q is not the ARN of a user, or its key is empty", u.ARN)
	}
	made := user{caller{account: account, arn: u.ARN, id: "AIDA" + strings.ToUpper(name)}, u.Secret}
	if u.Policy != "" {
		var err error
		if made.rights, err = parseRights(u.Policy, false); err != nil {
			return fault.Wrap(err, "define user "+u.ARN)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[accessKeyID] = made
	return nil
}

// DeleteUser takes an access key away.
func (s *STS) DeleteUser(accessKeyID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.users, accessKeyID)
}

// SetRole makes a role, or changes it; sessions that it has go on with its new rights. Errors: invalid.
func (s *STS) SetRole(r Role) error {
	made := role{Role: r}
	var ok bool
	if made.partition, made.account, made.name, ok = arnParts(r.ARN, "role"); !ok {
		return fault.New(fault.Invalid, "define role", "%q is not the ARN of a role", r.ARN)
	}
	made.id = "AROA" + strings.ToUpper(made.name)
	var err error
	if made.trust, err = parseRights(r.Trust, true); err == nil && r.Policy != "" {
		made.rights, err = parseRights(r.Policy, false)
	}
	if err != nil {
		return fault.Wrap(err, "define role "+r.ARN)
	}
	if made.MaxSession == 0 {
		made.MaxSession = time.Hour
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[r.ARN] = made
	return nil
}

// DeleteRole takes a role away; its sessions may do nothing any more.
func (s *STS) DeleteRole(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.roles, arn)
}

// who gives the caller behind temporary credentials, with its rights as they are now, and their secret. expired: they
// have ended.
func (s *STS) who(accessKeyID string) (found session, expired, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok = s.sessions[accessKeyID]
	if !ok {
		return session{}, false, false
	}
	if r, exists := s.roles[found.role]; exists {
		found.rights = r.rights
	} else {
		found.rights = &rights{} // nothing
	}
	return found, !s.now().Before(found.expires), true
}

// The limits of AssumeRole. Source: AWS STS API reference.
const (
	maxForm        = 16 << 10
	minSession     = 15 * time.Minute
	defaultSession = time.Hour
	maxChained     = time.Hour // of a session that a session asks for
	stsSkew        = 5 * time.Minute
)

var (
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalID  = regexp.MustCompile(`^[\w+=,.@:/-]+$`)
)

// refusal is an error as STS answers it.
type refusal struct {
	status        int
	code, message string
}

// ServeHTTP answers one call.
func (s *STS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.fault != nil {
		if f := s.fault(r); f.Lost {
			panic(http.ErrAbortHandler)
		} else if f.Status > 0 {
			s.refuse(w, refusal{f.Status, f.Code, "A fault was asked for."})
			return
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		s.refuse(w, refusal{http.StatusBadRequest, "ValidationError", "The request cannot be read, or is too large."})
		return
	}
	form, err := url.ParseQuery(string(body))
	if r.Method == http.MethodGet {
		form, err = r.URL.Query(), nil
	}
	who, bad := s.verify(r, body)
	switch {
	case bad != nil:
	case err != nil || r.URL.Path != "/":
		bad = &refusal{http.StatusBadRequest, "ValidationError", "The request is malformed."}
	case form.Get("Version") != "2011-06-15":
		bad = &refusal{http.StatusBadRequest, "InvalidAction", fmt.Sprintf("Could not find operation %s for version %s", form.Get("Action"), form.Get("Version"))}
	case form.Get("Action") == "GetCallerIdentity":
		s.answer(w, "GetCallerIdentity", struct{ Arn, UserId, Account string }{who.arn, who.id, who.account})
		return
	case form.Get("Action") == "AssumeRole":
		var result any
		if result, bad = s.assume(who, form); bad == nil {
			s.answer(w, "AssumeRole", result)
			return
		}
	default:
		bad = &refusal{http.StatusBadRequest, "InvalidAction", fmt.Sprintf("Could not find operation %s for version %s", form.Get("Action"), form.Get("Version"))}
	}
	s.refuse(w, *bad)
}

type assumed struct {
	AssumedRoleUser struct{ AssumedRoleId, Arn string }
	Credentials     struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
}

// assume checks the parameters, then whether it may be, and makes a session.
func (s *STS) assume(who caller, form url.Values) (any, *refusal) {
	invalid := func(value, field, want string) *refusal {
		return &refusal{http.StatusBadRequest, "ValidationError", fmt.Sprintf("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, field, want)}
	}
	arn, name, external := form.Get("RoleArn"), form.Get("RoleSessionName"), form.Get("ExternalId")
	length := defaultSession
	switch {
	case len(arn) < 20 || len(arn) > 2048:
		return nil, invalid(arn, "roleArn", "Member must have length between 20 and 2048")
	case !sessionName.MatchString(name):
		return nil, invalid(name, "roleSessionName", `Member must satisfy regular expression pattern: [\w+=,.@-]*`)
	case form.Has("ExternalId") && (len(external) < 2 || len(external) > 1224 || !externalID.MatchString(external)):
		return nil, invalid(external, "externalId", `Member must satisfy regular expression pattern: [\w+=,.@:\/-]*`)
	}
	if text := form.Get("DurationSeconds"); text != "" {
		n, err := strconv.Atoi(text)
		if length = time.Duration(n) * time.Second; err != nil || length < minSession || length > 12*time.Hour {
			return nil, invalid(text, "durationSeconds", "Member must have value between 900 and 43200")
		}
	}
	if _, _, _, ok := arnParts(arn, "role"); !ok {
		return nil, &refusal{http.StatusBadRequest, "ValidationError", arn + " is invalid"}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	r, exists := s.roles[arn]
	if !exists || !r.trust.trusts(who, external) || !who.rights.allow("sts:AssumeRole", arn) {
		return nil, &refusal{http.StatusForbidden, "AccessDenied", who.denied("sts:AssumeRole", arn)}
	}
	switch {
	case who.role != "" && length > maxChained:
		return nil, &refusal{http.StatusBadRequest, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"}
	case length > r.MaxSession:
		return nil, &refusal{http.StatusBadRequest, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."}
	}
	if s.lifetime > 0 {
		length = s.lifetime
	}
	now := s.now()
	for id, old := range s.sessions {
		if now.Sub(old.expires) > time.Hour { // until then its holder is told that it has expired
			delete(s.sessions, id)
		}
	}
	key, token := "ASIA"+rand.Text()[:16], base64.StdEncoding.EncodeToString([]byte("session "+rand.Text()+rand.Text()))
	made := session{
		user: user{caller{
			account: r.account, role: arn, id: r.id + ":" + name,
			arn: "arn:" + r.partition + ":sts::" + r.account + ":assumed-role/" + r.name + "/" + name,
		}, secret.New(rand.Text() + rand.Text())},
		token: token, expires: now.Add(length),
	}
	s.sessions[key] = made
	var a assumed
	a.AssumedRoleUser.AssumedRoleId, a.AssumedRoleUser.Arn = made.id, made.arn
	a.Credentials.AccessKeyId, a.Credentials.SecretAccessKey, a.Credentials.SessionToken = key, made.secret.Reveal(), token
	a.Credentials.Expiration = made.expires.UTC().Format("2006-01-02T15:04:05.999Z")
	return a, nil
}

// signed is a signature version 4 as it stands in the header.
type signed struct {
	key, date, region, service string
	headers                    []string
	signature                  string
}

func parseSigned(header string) (signed, bool) {
	rest, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return signed{}, false
	}
	var s signed
	var scope []string
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			scope = strings.Split(value, "/")
		case "SignedHeaders":
			s.headers = strings.Split(value, ";")
		case "Signature":
			s.signature = value
		}
	}
	if len(scope) != 5 || scope[4] != "aws4_request" || len(s.headers) == 0 || s.signature == "" {
		return signed{}, false
	}
	s.key, s.date, s.region, s.service = scope[0], scope[1], scope[2], scope[3]
	return s, true
}

// verify finds who signed r. Source: IAM user guide, create a signed AWS API request; STS API reference, common errors.
func (s *STS) verify(r *http.Request, body []byte) (caller, *refusal) {
	forbidden := func(code, format string, args ...any) (caller, *refusal) {
		return caller{}, &refusal{http.StatusForbidden, code, fmt.Sprintf(format, args...)}
	}
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		return forbidden("MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	sig, ok := parseSigned(authorization)
	if !ok {
		return caller{}, &refusal{http.StatusBadRequest, "IncompleteSignature", "The request signature does not conform to AWS standards."}
	}
	switch {
	case sig.service != "sts":
		return forbidden("SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'.")
	case sig.region != s.region:
		return forbidden("SignatureDoesNotMatch", "Credential should be scoped to a valid region.")
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || at.Format("20060102") != sig.date {
		return caller{}, &refusal{http.StatusBadRequest, "IncompleteSignature", "Date must be in ISO-8601 'basic format', and in the credential's scope."}
	}
	for name := range r.Header {
		if l := strings.ToLower(name); strings.HasPrefix(l, "x-amz-") && !slices.Contains(sig.headers, l) {
			return forbidden("SignatureDoesNotMatch", "'%s' must be a 'SignedHeader' in the AWS Authorization header.", l)
		}
	}
	if !slices.Contains(sig.headers, "host") {
		return forbidden("SignatureDoesNotMatch", "'Host' must be a 'SignedHeader' in the AWS Authorization header.")
	}

	token := r.Header.Get("X-Amz-Security-Token")
	s.mu.Lock()
	who, known := s.users[sig.key]
	s.mu.Unlock()
	expired := false
	if known {
		known = token == ""
	} else {
		var in session
		if in, expired, known = s.who(sig.key); known {
			who, known = in.user, equal(in.token, token)
		}
	}
	if !known {
		return forbidden("InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	if !equal(sig.signature, sig.over(r, body, at, who.secret.Reveal())) {
		return forbidden("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.")
	}
	const day = "20060102T150405Z"
	switch now := s.now().UTC(); {
	case now.Sub(at) > stsSkew:
		return forbidden("SignatureDoesNotMatch", "Signature expired: %s is now earlier than %s (%s - 5 min.)", at.Format(day), now.Add(-stsSkew).Format(day), now.Format(day))
	case at.Sub(now) > stsSkew:
		return forbidden("SignatureDoesNotMatch", "Signature not yet current: %s is still later than %s (%s + 5 min.)", at.Format(day), now.Add(stsSkew).Format(day), now.Format(day))
	case expired:
		return forbidden("ExpiredToken", "The security token included in the request is expired")
	}
	return who.caller, nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// over computes the signature of r with secretKey.
func (s signed) over(r *http.Request, body []byte, at time.Time, secretKey string) string {
	var c bytes.Buffer
	fmt.Fprintf(&c, "%s\n/\n%s\n", r.Method, strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20"))
	for _, h := range s.headers {
		value := strings.Join(r.Header.Values(h), ",")
		switch h {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		fmt.Fprintf(&c, "%s:%s\n", h, strings.Join(strings.Fields(value), " "))
	}
	hash := sha256.Sum256(body)
	fmt.Fprintf(&c, "\n%s\n%x", strings.Join(s.headers, ";"), hash)
	hash = sha256.Sum256(c.Bytes())
	text := fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%x", at.Format("20060102T150405Z"), s.date, s.region, s.service, hash)
	key := []byte("AWS4" + secretKey)
	for _, part := range []string{s.date, s.region, s.service, "aws4_request", text} {
		m := hmac.New(sha256.New, key)
		io.WriteString(m, part)
		key = m.Sum(nil)
	}
	return hex.EncodeToString(key)
}

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

func (s *STS) requestID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", s.requests)
}

func (s *STS) answer(w http.ResponseWriter, action string, result any) {
	id := s.requestID()
	var b bytes.Buffer
	e := xml.NewEncoder(&b)
	root := xml.StartElement{Name: xml.Name{Local: action + "Response"}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: stsNamespace}}}
	err := e.EncodeToken(root)
	if err == nil {
		err = e.EncodeElement(result, xml.StartElement{Name: xml.Name{Local: action + "Result"}})
	}
	if err == nil {
		err = e.EncodeElement(struct{ RequestId string }{id}, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}})
	}
	if err == nil {
		err = e.EncodeToken(root.End())
	}
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		panic("bucketserver: an answer of plain strings did not encode: " + err.Error())
	}
	send(w, http.StatusOK, id, b.Bytes())
}

func (s *STS) refuse(w http.ResponseWriter, f refusal) {
	type problem struct{ Type, Code, Message string }
	kind := "Sender"
	if f.status >= 500 {
		kind = "Receiver"
	}
	id := s.requestID()
	b, err := xml.Marshal(struct {
		XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Error     problem
		RequestId string
	}{Error: problem{kind, f.code, f.message}, RequestId: id})
	if err != nil {
		panic("bucketserver: an error of plain strings did not encode: " + err.Error())
	}
	send(w, f.status, id, b)
}

func send(w http.ResponseWriter, status int, id string, b []byte) {
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("X-Amzn-Requestid", id)
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that has gone misses nothing
}
