package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/dial"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// The headers of a call. Format: docs/notifications.md.
const (
	HeaderID        = "Millrace-Id"        // the same for each try of one message
	HeaderTimestamp = "Millrace-Timestamp" // seconds since 1970, of this try
	HeaderSignature = "Millrace-Signature" // what Sign gives
)

const (
	callTimeout = 10 * time.Second
	maxAnswer   = 4 << 10 // bytes of an answer that are read, and thrown away
)

// Sign gives the signature of a call: "v1=" and the HMAC-SHA256, in hex, of id, timestamp and body with dots between.
func Sign(secret, id, timestamp string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	io.WriteString(h, id+"."+timestamp+".") // a hash never fails
	h.Write(body)
	return "v1=" + hex.EncodeToString(h.Sum(nil))
}

// payload is the body of a call.
type payload struct {
	ID          string            `json:"id"`
	Kind        string            `json:"kind"`
	Workspace   string            `json:"workspace,omitempty"`
	Connector   string            `json:"connector,omitempty"`
	ConnectorID string            `json:"connector_id,omitempty"`
	Episode     string            `json:"episode"`
	At          string            `json:"at"`
	Params      map[string]string `json:"params"`
	Counts      []count           `json:"counts,omitempty"`
	Text        string            `json:"text"`
}

// count is one event type in a complete hour.
type count struct {
	EventType string `json:"event_type"`
	Accepted  int64  `json:"accepted"`
	Delivered int64  `json:"delivered"`
	Dropped   int64  `json:"dropped"`
}

// body makes the payload of n. It is the same in each try.
func (n *Notifier) body(ctx context.Context, notice control.Notice, id string) ([]byte, error) {
	p := payload{
		ID: id, Kind: string(notice.Kind), ConnectorID: string(notice.Connector), Episode: notice.Episode,
		At: notice.At.UTC().Format("2006-01-02T15:04:05.000Z"), Params: notice.Facts(),
	}
	p.Workspace, p.Connector = p.Params["workspace"], p.Params["connector"]
	delete(p.Params, "workspace")
	delete(p.Params, "connector")
	p.Text = sentence(text.English, notice, sentenceParams(text.English, []control.Notice{notice}, notice.At))
	if start, ok := parseHour(notice.Params["hour"]); ok && notice.Kind == control.NoticeHourComplete {
		done, found, err := n.deps.Store.HourDone(ctx, notice.Workspace, notice.Connector, eventlog.HourOf(start))
		if err != nil {
			return nil, fault.Wrap(err, "read the counts of the hour")
		}
		if found {
			for _, c := range done.Counts {
				p.Counts = append(p.Counts, count{c.EventType, c.Accepted, c.Delivered, c.Dropped})
			}
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(p)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// messageOf names what a send says, for receivers to drop repetitions by. Unlike the signed string it has no dots.
func (n *Notifier) messageOf(s control.Send) string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, n.cfg.Installation)
	return strings.TrimPrefix(safe+"-", "-") + strconv.FormatInt(s.ID, 10)
}

// errClear is a call without TLS to an address that is reached over public networks.
var errClear = errors.New("a webhook on a public address needs https")

// webhookClients makes the two ways to call: with TLS anywhere the guard lets through, without it only to addresses
// that are not public, which the operator has allowed by name.
func webhookClients(dialer func(context.Context, string, string) (net.Conn, error), roots *x509.CertPool) (secure, clear *http.Client) {
	public := dial.New(nil)
	inside := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dialer(ctx, network, address)
		if err != nil {
			return nil, err
		}
		at, err := netip.ParseAddrPort(c.RemoteAddr().String())
		if err != nil || public.Check(at.Addr()) == nil {
			_ = c.Close() // nothing was sent
			return nil, errClear
		}
		return c, nil
	}
	client := func(dialer func(context.Context, string, string) (net.Conn, error)) *http.Client {
		return &http.Client{
			Transport: &http.Transport{
				DialContext:       dialer, // and no proxy, which would dial in the guard's place
				TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
				ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, MaxIdleConns: 32, IdleConnTimeout: 30 * time.Second,
				TLSHandshakeTimeout: callTimeout, MaxResponseHeaderBytes: 16 << 10, DisableCompression: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return client(dialer), client(inside)
}

// outcome is how a call ended.
type outcome struct {
	err    error // nil: accepted
	final  bool  // it never will be
	down   bool  // the receiver as a whole is in trouble, not this message
	status int   // that it answered with; 0: nothing came
}

// inTurn tries what is due to one receiver, one after the other: begin saves that a try begins and says whether it could, end
// what came of it. Once the receiver is down the others count as tried: each of them would only wait for the same time-out.
func inTurn[T any](ctx context.Context, due []T, begin func(context.Context, *T) bool, once func(context.Context, T) outcome, end func(context.Context, T, outcome)) {
	work, cancel := lingering(ctx)
	defer cancel()
	var down error
	for _, d := range due {
		if ctx.Err() != nil {
			return
		}
		if !begin(work, &d) {
			continue
		}
		out := outcome{err: down}
		if down == nil {
			out = once(work, d)
		}
		if ctx.Err() != nil && work.Err() != nil {
			return // begun in SQL, repeated by the next process
		}
		if out.down {
			down = out.err
		}
		end(work, d, out)
	}
}

// call tries the due sends of one webhook.
func (n *Notifier) call(ctx context.Context, id int64, sends []control.Send) {
	inTurn(ctx, sends, func(ctx context.Context, s *control.Send) bool {
		err := n.begin(ctx, s)
		if err != nil {
			n.deps.Logger.Error("a call waits: its state could not be saved", "send", s.ID, "error", err)
		}
		return err == nil
	}, func(ctx context.Context, s control.Send) outcome {
		return n.callOnce(ctx, id, s)
	}, func(ctx context.Context, s control.Send, out outcome) {
		n.end(ctx, s, out.err, out.final)
	})
}

func (n *Notifier) callOnce(ctx context.Context, id int64, s control.Send) outcome {
	notices, err := n.deps.Store.NoticesByID(ctx, s.Notices)
	if err != nil {
		return outcome{err: fault.Wrap(err, "read the notice of a call")}
	}
	if len(notices) == 0 {
		return outcome{err: errors.New("its notice is gone"), final: true}
	}
	hooks, err := n.deps.Store.Webhooks(ctx, notices[0].Workspace)
	if err != nil {
		return outcome{err: fault.Wrap(err, "read the webhooks")}
	}
	i := slices.IndexFunc(hooks, func(w control.Webhook) bool { return w.ID == id })
	if i < 0 {
		return outcome{err: errors.New("the webhook was deleted"), final: true}
	}
	body, err := n.body(ctx, notices[0], n.messageOf(s))
	if err != nil {
		return outcome{err: err}
	}
	return n.post(ctx, hooks[i], n.messageOf(s), body)
}

// uncalled is what a call failed of, as its error says it to customers: neither the URL, nor addresses of this machine and its
// resolver, nor whether a name means something inside.
type uncalled struct{ cause error }

func (t uncalled) Unwrap() error { return t.cause }

func (t uncalled) Error() string {
	err := t.cause
	if x, ok := errors.AsType[*url.Error](err); ok {
		err = x.Err
	}
	if x, ok := errors.AsType[*net.OpError](err); ok {
		err = x.Err
	}
	if x, ok := errors.AsType[*net.DNSError](err); ok {
		if !x.IsNotFound {
			return "its name cannot be looked up just now"
		}
		err = &dial.Forbidden{}
	}
	if x, ok := errors.AsType[*os.SyscallError](err); ok {
		err = x.Err
	}
	return err.Error()
}

// post makes one call. Its errors name no part of the URL but the host: the rest may hold a token.
func (n *Notifier) post(ctx context.Context, w control.Webhook, id string, body []byte) outcome {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return outcome{err: errors.New("the webhook's address is no http or https address"), final: true}
	}
	client := n.https
	if u.Scheme == "http" {
		client = n.http
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return outcome{err: errors.New("the webhook's address cannot be called"), final: true}
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Millrace")
	req.Header.Set(HeaderID, id)
	req.Header.Set(HeaderTimestamp, timestamp)
	req.Header.Set(HeaderSignature, Sign(w.Secret.Reveal(), id, timestamp, body))
	resp, err := client.Do(req)
	if err != nil {
		return outcome{err: fmt.Errorf("call %s: %w", u.Host, uncalled{err}), down: true}
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // only so that the connection can be used again
	_ = resp.Body.Close()
	switch c := resp.StatusCode; {
	case c >= 200 && c < 300:
		return outcome{}
	case c == http.StatusGone:
		return outcome{err: fmt.Errorf("%s answered 410: it wants this no more", u.Host), final: true, status: c}
	default:
		return outcome{
			err:    fmt.Errorf("%s answered %d", u.Host, c),
			down:   c >= 500 || c == http.StatusTooManyRequests,
			status: c,
		}
	}
}
