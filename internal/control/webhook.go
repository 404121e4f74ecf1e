package control

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// NoticeKinds are all kinds of notices, in the order in which they are shown.
func NoticeKinds() []NoticeKind {
	return []NoticeKind{
		NoticeCheckPassed, NoticeCheckFailed, NoticeFailing, NoticeHalfTime, NoticeLastCall, NoticeDropped, NoticeResumed, NoticeSlow,
		NoticePauseHalf, NoticePauseLast, NoticeHourComplete, NoticeKeyUnused, NoticeKeyExpiring, NoticeKeyExpired, NoticeExportReady, NoticeExportFailed, NoticeSchedulePaused, NoticeDiskQuota, NoticeProfilesStill, NoticeSetAside,
	}
}

// ParamStatus is the parameter of the error of a trial call that says which status of HTTP the receiver answered with, a
// whole number; 0 if nothing came.
const ParamStatus = "status"

// Limits of webhooks.
const (
	maxWebhookURL    = 2048
	minWebhookSecret = 16 // characters: whoever guesses it can forge calls
)

// Validate gives every problem of a webhook's fields. Where its address leads is checked when it is called, by
// dial.Guard.
func (w Webhook) Validate() (ps []fault.Problem) {
	problem := func(field, code, key, message string) {
		ps = append(ps, fault.Field(field, code, key, message))
	}
	u, err := url.Parse(w.URL)
	switch {
	case w.URL == "":
		problem("url", "required", "field.webhook_needed", "The address that is called is needed.")
	case len(w.URL) > maxWebhookURL:
		problem("url", "too_long", "field.webhook_long", "An address has at most 2,048 bytes.")
	case err != nil || strings.ContainsFunc(w.URL, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }),
		u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		problem("url", "invalid", "field.webhook_form", "This is not an address such as https://example.com/millrace.")
	case u.User != nil:
		problem("url", "invalid", "field.webhook_user", "The address holds no user and password: calls are signed with the secret.")
	case !bucket.PortExists(u):
		problem("url", "invalid", "field.webhook_port", "The address's port lies between 1 and 65535.")
	case u.Fragment != "":
		problem("url", "invalid", "field.webhook_end", "The address ends before the number sign.")
	default:
		ps = append(ps, bucket.ValidateHost("url", u)...)
	}
	switch s := w.Secret.Reveal(); {
	case s == "":
		problem("secret", "required", "field.webhook_secret_needed", "The secret is needed with which calls are signed.")
	case len(s) < minWebhookSecret:
		problem("secret", "too_short", "field.webhook_secret_short", "A secret has at least 16 characters.")
	}
	for i, k := range w.Kinds {
		if !slices.Contains(NoticeKinds(), k) {
			ps = append(ps, oneOfKinds(index("kinds", i), k))
		} else if slices.Contains(w.Kinds[:i], k) {
			problem(index("kinds", i), "duplicate", "field.webhook_kind_twice", "This kind is named twice.")
		}
	}
	return ps
}

// SameWebhook reports whether two addresses lead to the same receiver: scheme and host in any case, a port that is the
// scheme's own or left out, and no path as /. All else of an address is the receiver's to tell apart, as is http from https.
// Source: RFC 9110 §4.2.3.
func SameWebhook(a, b string) bool { return receiver(a) == receiver(b) }

// receiver gives the address of a webhook in the one form in which two that lead to the same are equal.
func receiver(at string) string {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" {
		return at
	}
	host, port := connectedTo(u)
	u.Host = net.JoinHostPort(host, port)
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String() // the scheme in lower case, as Parse gives it
}

func oneOfKinds(field string, got NoticeKind) fault.Problem {
	names := make([]string, len(NoticeKinds()))
	for i, k := range NoticeKinds() {
		names[i] = string(k)
	}
	return oneOf(field, string(got), names...)
}

// validateNewWebhook is Validate, and looks at an address that stands in w itself.
func (p *Plane) validateNewWebhook(w Webhook) []fault.Problem {
	problems := w.Validate()
	if a := p.inside(w.URL); a.IsValid() {
		problems = append(problems, fault.Field("url", "address_forbidden", "field.webhook_inside",
			"{address} lies inside the operator's own network, which may not be called. The operator can allow the network with the setting MILLRACE_ALLOWED_ENDPOINT_NETWORKS.", "address", a.String()))
	}
	return problems
}

// inside gives the address that stands in a URL itself, if it will never be connected to, so that this is told at once;
// else none. What a name leads to is looked at whenever it is connected.
func (p *Plane) inside(at string) netip.Addr {
	u, err := url.Parse(at)
	if err != nil || p.MayConnect == nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(u.Hostname())
	if err != nil || p.MayConnect(a) == nil {
		return netip.Addr{}
	}
	return a
}

// LookAtWebhook says what CreateWebhook would refuse of the fields of w, which has a secret, and does nothing. Errors: invalid.
func (p *Plane) LookAtWebhook(w Webhook) error { return invalid("", p.validateNewWebhook(w)) }

// SaveWebhook makes the webhook of w's workspace and address as w says. Errors: invalid with every problem.
func (p *Plane) SaveWebhook(ctx context.Context, w Webhook) error {
	const op = "save webhook"
	if err := invalid(op, w.Validate()); err != nil {
		return err
	}
	w.CreatedAt = p.now()
	all, err := p.Store.Webhooks(ctx, w.Workspace)
	if err != nil {
		return fault.Wrap(err, op)
	}
	var before any
	var secrets []string
	if i := slices.IndexFunc(all, func(o Webhook) bool { return SameWebhook(o.URL, w.URL) }); i >= 0 {
		w.URL = all[i].URL // it is called, and its secret sealed, as it was first written
		before = viewWebhook(all[i])
		if all[i].Secret.Reveal() != w.Secret.Reveal() {
			secrets = []string{"secret"}
		}
	}
	ctx = p.logged(ctx, "webhook.save", subjectWebhook(w), before, viewWebhook(w), secrets...)
	return fault.Wrap(p.Store.SaveWebhook(ctx, w), op)
}

// CreateWebhook makes a webhook, with a secret of its own if w has none, and gives it as it is then. Errors: invalid with
// every problem; conflict if the workspace has one to that address.
func (p *Plane) CreateWebhook(ctx context.Context, w Webhook) (Webhook, error) {
	const op = "create webhook"
	if w.Secret.Empty() {
		w.Secret = secret.New(webhookSecretPrefix + strings.ToLower(rand.Text()))
	}
	if err := invalid(op, p.validateNewWebhook(w)); err != nil {
		return w, err
	}
	w.CreatedAt = p.now()
	var err error
	w.ID, err = p.Store.CreateWebhook(p.logged(ctx, "webhook.create", subjectWebhook(w), nil, viewWebhook(w)), w)
	return w, fault.Wrap(err, op)
}

// webhookSecretPrefix makes a leaked secret recognisable to people and scanners.
const webhookSecretPrefix = "mrw_"

// DeleteWebhook removes a webhook: what waits to be sent to it is given up. Errors: not_found.
func (p *Plane) DeleteWebhook(ctx context.Context, workspace uint32, id int64) error {
	const op = "delete webhook"
	all, err := p.Store.Webhooks(ctx, workspace)
	if err != nil {
		return fault.Wrap(err, op)
	}
	i := slices.IndexFunc(all, func(w Webhook) bool { return w.ID == id })
	if i < 0 {
		return &fault.Error{Code: fault.NotFound, Op: op, Msg: fault.Message{Key: "control.no_webhook", Text: "There is no such webhook."}}
	}
	ctx = p.logged(ctx, "webhook.delete", subjectWebhook(all[i]), viewWebhook(all[i]), nil)
	return fault.Wrap(p.Store.DeleteWebhook(ctx, workspace, id), op)
}
