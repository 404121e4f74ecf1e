// Package notify tells people: it turns notices, rows of the inbox, into mails to the contacts of connectors and into
// signed calls of a workspace's webhooks. It also calls the addresses that programs gave with the exports they asked for.
//
// A notice is planned once: in one commit it gets its sends, one for each mail and each call. A send is tried with
// growing pauses until it is accepted or given up, which is at the latest GiveUp after its first try. Its state is
// saved before and after each try, so that a crash between acceptance and its saving repeats that one message and no
// other, under the same Message-ID or Millrace-Id.
//
// It never is a storm: what concerns one recipient within Quiet is one mail, and the next mail to them leaves no
// sooner than twice Quiet later. Webhooks are called one by one, without waiting.
//
// Notices are written by the rooms that know (delivery, control); this one only reads them. What is sent stands in
// docs/notifications.md. Start reading at Notifier.
package notify

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// DefaultQuiet is how long the notices of one recipient are gathered into one mail.
const DefaultQuiet = 30 * time.Second

// GiveUp is how long after its first try a send is tried for the last time.
const GiveUp = 24 * time.Hour

const (
	// firstPause is the pause after the first failed try; each further one is twice as long, up to longestPause.
	firstPause   = 30 * time.Second
	longestPause = time.Hour
	// poll is how long notices that another process wrote wait at most to be seen.
	poll = 5 * time.Second
	// linger is how long a message under way may still take when the process is to stop.
	linger = 5 * time.Second
	// planAtOnce and sendAtOnce bound what one round holds in memory.
	planAtOnce = 1000
	sendAtOnce = 5000
	// callsAtOnce is how many webhooks are called at the same time, each by one call at a time.
	callsAtOnce = 8
)

// Config is what a Notifier is told once.
type Config struct {
	// SMTPURL is the mail server: smtp://user:password@host:587, or smtps:// for TLS from the first byte. Over
	// smtp:// TLS begins with STARTTLS if the server offers it, and must if there is a password. Empty: no mails.
	SMTPURL secret.Value
	From    string        // sender, "Name <a@b.example>" or the address alone; needed with SMTPURL
	BaseURL func() string // link in mails; nil: none
	// Quiet is how long notices of one recipient are gathered; 0: DefaultQuiet. Twice as long is the least time
	// between two mails to them.
	Quiet        time.Duration
	Installation string         // name of this installation: begins the ids of webhook calls, tells mails of several apart
	Roots        *x509.CertPool // who is believed about mail servers and webhooks; nil: the system's list
}

// Store is what notify needs of the control plane's SQL; each method is one transaction.
type Store interface {
	UnplannedNotices(ctx context.Context, limit int) ([]control.Notice, error)
	PlanSends(ctx context.Context, notices []int64, sends []control.Send) error
	DueSends(ctx context.Context, now time.Time, limit int) ([]control.Send, error)
	NoticesByID(ctx context.Context, ids []int64) ([]control.Notice, error)
	SaveSend(ctx context.Context, s control.Send) error
	Webhooks(ctx context.Context, workspace uint32) ([]control.Webhook, error)
	Recipients(ctx context.Context, n control.Notice) ([]control.Recipient, error)
	HourDone(ctx context.Context, workspace uint32, c control.ConnectorID, h eventlog.Hour) (control.HourDone, bool, error)
	ExportCalls(ctx context.Context) ([]control.Export, error)
	NoteExportCall(ctx context.Context, e control.Export) error
	KeyHash(ctx context.Context, workspace uint32, id control.KeyID) (control.KeyHash, error)
}

// Hooks are called after tries, from several goroutines; nil ones are left out.
type Hooks struct {
	OnSent func(control.Send) // it was accepted
	// OnFailed gets each try that failed; Send.Failed says whether it was the last.
	OnFailed func(control.Send, error)
}

// Deps are what a Notifier works with.
type Deps struct {
	Store Store
	// Dial connects to webhooks; it must refuse addresses that customers may not reach. Mail servers are the
	// operator's and are connected to directly.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Link   func(control.Export) string // where a program gets the file of an export; nil: nowhere
	Logger *slog.Logger
	Hooks  Hooks
}

// Notifier plans and sends. Make one with New, start it with Run. Wake may be called from anywhere.
type Notifier struct {
	cfg    Config
	deps   Deps
	mailer mailer       // nil: no mails
	https  *http.Client // for webhooks with TLS
	http   *http.Client // for those without, inside allowed networks only
	wake   chan struct{}

	mu       sync.Mutex
	mailing  bool                 // a batch of mails is under way
	calling  map[int64]bool       // webhooks whose batch is under way
	telling  map[listener]bool    // whose batch is under way
	lastMail map[string]time.Time // by address: when the last mail was tried
}

// New makes a Notifier. Errors: invalid, naming the settings.
func New(cfg Config, deps Deps) (*Notifier, error) {
	cfg.Quiet = cmp.Or(cfg.Quiet, DefaultQuiet)
	n := &Notifier{cfg: cfg, deps: deps, wake: make(chan struct{}, 1), calling: map[int64]bool{}, telling: map[listener]bool{}, lastMail: map[string]time.Time{}}
	n.https, n.http = webhookClients(deps.Dial, cfg.Roots)
	if !cfg.SMTPURL.Empty() {
		m, err := newSMTP(cfg)
		if err != nil {
			return nil, fault.Wrap(err, "set up mail")
		}
		n.mailer = m
	}
	return n, nil
}

// Wake says that there may be new notices. Without it they are seen within some seconds.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run plans and sends until ctx is done, then lets what is under way finish for some seconds. It returns nil; what
// fails is logged and tried again.
func (n *Notifier) Run(ctx context.Context) error {
	var under sync.WaitGroup
	defer under.Wait()
	defer n.https.CloseIdleConnections()
	defer n.http.CloseIdleConnections()
	for {
		pause, err := n.round(ctx, &under)
		next, failed := n.tellPrograms(ctx, &under)
		if err := errors.Join(err, failed); err != nil && ctx.Err() == nil {
			n.deps.Logger.Error("notifications wait: the control plane's database failed", "error", err)
		}
		t := time.NewTimer(min(pause, next))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-n.wake:
			t.Stop()
		case <-t.C:
		}
	}
}

// round plans what is new and starts what is due. pause is when to look again.
func (n *Notifier) round(ctx context.Context, under *sync.WaitGroup) (pause time.Duration, err error) {
	if err := n.plan(ctx); err != nil {
		return poll, fault.Wrap(err, "plan notices")
	}
	// Who is busy is asked before reading what is due: what they finish meanwhile still looks due in what was read. Only
	// this goroutine makes anybody busy.
	n.mu.Lock()
	mailing, calling := n.mailing, maps.Clone(n.calling)
	n.mu.Unlock()
	now := time.Now()
	// What falls due within Quiet is read too: it goes along with a mail that leaves now.
	sends, err := n.deps.Store.DueSends(ctx, now.Add(max(n.cfg.Quiet, poll)), sendAtOnce)
	if err != nil {
		return poll, fault.Wrap(err, "find due sends")
	}
	pause = poll
	mails, calls := map[string][]control.Send{}, map[int64][]control.Send{}
	for _, s := range sends {
		if s.Channel == control.ChannelMail {
			mails[s.Address] = append(mails[s.Address], s)
		} else if d := s.NextTry.Sub(now); d > 0 {
			pause = min(pause, d)
		} else {
			calls[s.Webhook] = append(calls[s.Webhook], s)
		}
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	for a, t := range n.lastMail {
		if now.Sub(t) >= n.gap() {
			delete(n.lastMail, a)
		}
	}
	if !mailing {
		var ready [][]control.Send
		for address, sends := range mails {
			due := slices.MinFunc(sends, func(a, b control.Send) int { return a.NextTry.Compare(b.NextTry) }).NextTry
			if last, ok := n.lastMail[address]; ok && last.Add(n.gap()).After(due) {
				due = last.Add(n.gap())
			}
			if d := due.Sub(now); d > 0 {
				pause = min(pause, d)
				continue
			}
			ready = append(ready, sends)
			n.lastMail[address] = now
		}
		if len(ready) > 0 {
			slices.SortFunc(ready, func(a, b []control.Send) int { return cmp.Compare(a[0].ID, b[0].ID) })
			n.mailing = true
			under.Go(func() {
				n.sendMails(ctx, ready)
				n.mu.Lock()
				n.mailing = false
				n.mu.Unlock()
				n.Wake()
			})
		}
	}
	for hook, sends := range calls {
		if calling[hook] || len(n.calling) >= callsAtOnce {
			continue
		}
		n.calling[hook] = true
		under.Go(func() {
			n.call(ctx, hook, sends)
			n.mu.Lock()
			delete(n.calling, hook)
			n.mu.Unlock()
			n.Wake()
		})
	}
	return pause, nil
}

// gap is the least time between two mails to one recipient.
func (n *Notifier) gap() time.Duration { return 2 * n.cfg.Quiet }

// begin notes in SQL that s is about to be tried.
func (n *Notifier) begin(ctx context.Context, s *control.Send) error {
	now := time.Now()
	s.Tries++
	if s.FirstTry.IsZero() {
		s.FirstTry = now
	}
	// If the process dies during the try, this is when it is repeated.
	s.NextTry = now.Add(pauseAfter(s.Tries))
	return n.deps.Store.SaveSend(ctx, *s)
}

// pauseAfter is the pause after so many tries.
func pauseAfter(tries int) time.Duration {
	return min(firstPause<<min(tries-1, 20), longestPause)
}

// end notes how a try ended. final: trying again cannot help.
func (n *Notifier) end(ctx context.Context, s control.Send, failed error, final bool) {
	now := time.Now()
	log := n.deps.Logger.With("channel", string(s.Channel), "send", s.ID, "tries", s.Tries)
	if s.Channel == control.ChannelMail {
		log = log.With("address", s.Address)
	} else {
		log = log.With("webhook", s.Webhook)
	}
	switch {
	case failed == nil:
		s.Done = now
	case final, now.Sub(s.FirstTry) >= GiveUp:
		s.Failed = cut(failed.Error(), maxReason)
		log.Warn("a notification was given up", "reason", s.Failed)
	default:
		s.NextTry = now.Add(pauseAfter(s.Tries))
		if last := s.FirstTry.Add(GiveUp); s.NextTry.After(last) {
			s.NextTry = last
		}
		log.Info("a notification is tried again later", "error", failed, "next", s.NextTry)
	}
	if err := n.deps.Store.SaveSend(ctx, s); err != nil {
		// It was begun in SQL: it is repeated, under the same id.
		log.Error("what became of a notification could not be saved", "error", err)
	}
	if failed == nil {
		if n.deps.Hooks.OnSent != nil {
			n.deps.Hooks.OnSent(s)
		}
	} else if n.deps.Hooks.OnFailed != nil {
		n.deps.Hooks.OnFailed(s, failed)
	}
}

// maxReason bounds what is kept of why a send was given up, in runes.
const maxReason = 300

// lingering is a context that outlives ctx by linger, for a message under way and for saving what became of it.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(linger)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-out.Done():
		}
	})
	return out, func() { stop(); cancel() }
}
