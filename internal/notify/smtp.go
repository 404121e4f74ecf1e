package notify

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// smtpTimeout bounds connecting to a mail server, and then each mail.
const smtpTimeout = 30 * time.Second

// letter is a mail as it is handed over.
type letter struct {
	To        string
	MessageID string // without angle brackets
	Date      time.Time
	Content   content
	Notice    bool // of the list that recipients may filter by
}

// mailer hands letters to a mail server. open connects once for several letters.
type mailer interface {
	open(ctx context.Context) (mailSession, error)
}

type mailSession interface {
	// send gives nil once the server has accepted responsibility for the letter, a *refused if it never will.
	send(ctx context.Context, l letter) error
	close()
}

// refused is what a mail server will not take, now or later.
type refused struct{ error }

func (r *refused) Unwrap() error { return r.error }

// smtpMailer is a mailer over SMTP.
type smtpMailer struct {
	host    string
	options []gomail.Option
	tls     *tls.Config // from the first byte; nil: plain, or STARTTLS
	from    mail.Address
	label   string // of the list, for the recipients' filters
}

func newSMTP(cfg Config) (*smtpMailer, error) {
	var problems []fault.Problem
	bad := func(field, code, message string) {
		problems = append(problems, fault.Problem{Field: field, Code: code, Message: message})
	}
	m := &smtpMailer{}
	from, err := mail.ParseAddress(cfg.From)
	switch {
	case cfg.From == "":
		bad("smtp_from", "required", "Mails need a sender: an address that your mail server lets this installation use.")
	case err != nil:
		bad("smtp_from", "invalid", "This is no mail address.")
	default:
		m.from = *from
		if m.from.Name == "" {
			m.from.Name = "Millrace"
		}
		m.label = "<notices." + domainOf(m.from.Address) + ">"
	}
	// No message repeats the address: it holds a password.
	u, err := url.Parse(cfg.SMTPURL.Reveal())
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" {
		bad("smtp_url", "invalid", "The mail server is written smtp://user:password@host:587, or smtps:// for TLS from the first byte.")
		return nil, &fault.Error{Code: fault.Invalid, Fields: problems}
	}
	m.host = u.Hostname()
	port := 587
	if u.Scheme == "smtps" {
		port = 465
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			bad("smtp_url", "invalid", "The port of the mail server is not between 1 and 65535.")
		}
	}
	if len(problems) > 0 {
		return nil, &fault.Error{Code: fault.Invalid, Fields: problems}
	}
	password, _ := u.User.Password()
	secure := &tls.Config{ServerName: m.host, MinVersion: tls.VersionTLS12, RootCAs: cfg.Roots}
	m.options = []gomail.Option{
		gomail.WithPort(port), gomail.WithTimeout(smtpTimeout), gomail.WithoutNoop(),
		gomail.WithTLSConfig(secure),
	}
	switch {
	case u.Scheme == "smtps":
		m.tls = secure
		m.options = append(m.options, gomail.WithTLSPolicy(gomail.NoTLS)) // it is there already
	case u.User != nil:
		m.options = append(m.options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	default:
		m.options = append(m.options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	}
	if u.User != nil {
		m.options = append(m.options, gomail.WithUsername(u.User.Username()), gomail.WithPassword(password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthCramMD5))
	}
	_, err = gomail.NewClient(m.host, m.options...)
	return m, fault.From(err, fault.Invalid, "configure the mail client")
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

func (m *smtpMailer) open(ctx context.Context) (mailSession, error) {
	// The connection is kept here: the library lets go of it without closing it when greeting, TLS or sign-in fail, and
	// closing it is the only way to end a call that hangs.
	var conn net.Conn
	stop := func() bool { return true }
	dialer := func(dialing context.Context, network, address string) (c net.Conn, err error) {
		if m.tls != nil {
			c, err = (&tls.Dialer{Config: m.tls}).DialContext(dialing, network, address)
		} else {
			c, err = (&net.Dialer{}).DialContext(dialing, network, address)
		}
		if err == nil {
			conn = c
			stop = context.AfterFunc(ctx, func() { _ = c.Close() })
		}
		return c, err
	}
	defer func() { stop() }()
	// A client is a connection's state; the next session begins anew.
	c, err := gomail.NewClient(m.host, append(slices.Clip(m.options), gomail.WithDialContextFunc(dialer))...)
	if err != nil {
		return nil, err
	}
	if err := c.DialWithContext(ctx); err != nil {
		if conn != nil {
			_ = conn.Close() // err says what went wrong
		}
		return nil, err
	}
	return &smtpSession{m, c, conn}, nil
}

type smtpSession struct {
	m    *smtpMailer
	c    *gomail.Client
	conn net.Conn
}

func (s *smtpSession) close() {
	_ = s.c.Close() // every accepted mail has its answer already
	_ = s.conn.Close()
}

func (s *smtpSession) send(ctx context.Context, l letter) error {
	to, err := mail.ParseAddress(l.To)
	if err != nil {
		return &refused{fmt.Errorf("%q is no mail address", l.To)}
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&s.m.from)
	msg.ToMailAddress(&mail.Address{Address: to.Address})
	msg.Subject(l.Content.Subject)
	msg.SetDateWithValue(l.Date)
	msg.SetMessageIDWithValue(l.MessageID)
	// Source: RFC 3834, section 5: it keeps vacation answers away.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	if l.Notice {
		msg.SetGenHeader("List-Id", s.m.label)
	}
	msg.SetGenHeader("Content-Language", string(l.Content.Language))
	msg.SetBodyString(gomail.TypeTextPlain, l.Content.Plain())
	page, err := l.Content.HTML()
	if err != nil {
		return err
	}
	msg.AddAlternativeString(gomail.TypeTextHTML, page)

	stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	defer stop()
	err = s.c.Send(msg)
	if msg.IsDelivered() {
		return nil // what failed came after the server's yes
	}
	var failed *gomail.SendError
	if errors.As(err, &failed) && !failed.IsTemp() {
		switch failed.Reason {
		// The sender and the session are the operator's to mend, and the mail can leave then.
		case gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose:
			if failed.ErrorCode() >= 500 {
				return &refused{err}
			}
		}
	}
	return err
}

// sendMails tries mails, each made of the sends in one group, which all have one address.
func (n *Notifier) sendMails(ctx context.Context, groups [][]control.Send) {
	work, cancel := lingering(ctx)
	defer cancel()
	var session mailSession
	var down error // why there is no session
	defer func() {
		if session != nil {
			session.close()
		}
	}()
	for _, group := range groups {
		if ctx.Err() != nil {
			return
		}
		if !n.beginAll(work, group) {
			continue
		}
		err := down
		if err == nil && n.mailer == nil {
			// Planned by a process that had one.
			err = &refused{errors.New("no mail server is set (smtp_url)")}
		}
		if err == nil && session == nil {
			if session, err = n.mailer.open(work); err != nil {
				// One server for all: nobody waits for it to time out again in this round.
				session, down = nil, fmt.Errorf("connect to the mail server: %w", err)
				err = down
			}
		}
		if down != nil {
			n.mu.Lock()
			delete(n.lastMail, group[0].Address) // nothing left, so nothing has to be kept apart
			n.mu.Unlock()
		}
		if err == nil {
			err = n.sendMail(work, session, group)
		}
		if ctx.Err() != nil && work.Err() != nil {
			return // begun in SQL, repeated by the next process
		}
		var no *refused
		final := errors.As(err, &no)
		for _, s := range group {
			n.end(work, s, err, final)
		}
		if err != nil && !final && session != nil {
			session.close() // its state is unknown
			session = nil
		}
	}
}

// beginAll notes that a mail is about to be tried. If that cannot be saved, it is not tried.
func (n *Notifier) beginAll(ctx context.Context, group []control.Send) bool {
	for i := range group {
		if err := n.begin(ctx, &group[i]); err != nil {
			n.deps.Logger.Error("a mail waits: its state could not be saved", "send", group[i].ID, "error", err)
			return false
		}
	}
	return true
}

func (n *Notifier) sendMail(ctx context.Context, session mailSession, group []control.Send) error {
	var ids []int64
	for _, s := range group {
		ids = append(ids, s.Notices...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	notices, err := n.deps.Store.NoticesByID(ctx, ids)
	if err != nil {
		return fault.Wrap(err, "read the notices of a mail")
	}
	if len(notices) == 0 {
		return &refused{errors.New("its notices are gone")}
	}
	address := group[0].Address
	l, err := n.languageOf(ctx, notices[0], address)
	if err != nil {
		return fault.Wrap(err, "find the recipient's language")
	}
	now := time.Now()
	ctx, cancel := context.WithTimeout(ctx, smtpTimeout)
	defer cancel()
	return session.send(ctx, letter{
		To: address, MessageID: n.messageID(address, ids), Date: now,
		Content: compose(l, notices, now, n.baseURL()), Notice: true,
	})
}

// languageOf gives the language of the recipient with that address.
func (n *Notifier) languageOf(ctx context.Context, notice control.Notice, address string) (text.Language, error) {
	people, err := n.deps.Store.Recipients(ctx, notice)
	for _, p := range people {
		if l, ok := text.Parse(p.Language); ok && strings.TrimSpace(p.Email) == address {
			return l, err
		}
	}
	return text.English, err
}

// messageID names a mail by what it says to whom: repeated after a crash it is the same, and mail programs show it
// once; with a notice more it is another, which must not be taken for the first.
func (n *Notifier) messageID(address string, notices []int64) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%v", n.cfg.Installation, address, notices)
	return hex.EncodeToString(h.Sum(nil)[:16]) + ".millrace@" + n.domain()
}

// domain is the one that ids of mails end in.
func (n *Notifier) domain() string {
	if from, err := mail.ParseAddress(n.cfg.From); err == nil {
		return domainOf(from.Address)
	}
	return "millrace.invalid"
}

// baseURL is where mails lead; empty: nowhere.
func (n *Notifier) baseURL() string {
	if n.cfg.BaseURL == nil {
		return ""
	}
	return n.cfg.BaseURL()
}
