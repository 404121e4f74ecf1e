package notify

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/text"
)

func secretURL(s string) secret.Value { return secret.New(s) }

// authority makes a certificate for 127.0.0.1 and the pool that believes it.
func authority(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// mailServer is a real SMTP server with what the tests want of it.
type mailServer struct {
	addr     string
	user     string // with password "pa:ss word"; empty: no sign-in
	rcptErr  error
	fromErr  error
	hangUp   bool // after accepting a mail, without another word
	mu       sync.Mutex
	mails    [][]byte
	secured  []bool // by mail: whether it came over TLS
	signedIn []string
}

type mailSessionOf struct {
	m    *mailServer
	conn *smtp.Conn
	user string
}

func (s *mailSessionOf) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *mailSessionOf) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.m.user || password != "pa:ss word" {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

func (s *mailSessionOf) Mail(string, *smtp.MailOptions) error {
	if s.m.user != "" && s.user == "" {
		return smtp.ErrAuthRequired
	}
	return s.m.fromErr
}
func (s *mailSessionOf) Rcpt(string, *smtp.RcptOptions) error { return s.m.rcptErr }
func (s *mailSessionOf) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	_, secured := s.conn.TLSConnectionState()
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.mails = append(s.m.mails, b)
	s.m.secured = append(s.m.secured, secured)
	s.m.signedIn = append(s.m.signedIn, s.user)
	return err
}
func (s *mailSessionOf) Reset() {
	if s.m.hangUp && s.m.count() > 0 {
		_ = s.conn.Conn().Close()
	}
}
func (m *mailServer) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mails)
}

func (s *mailSessionOf) Logout() error { return nil }

// serveMail starts m. secure: TLS from the first byte; else STARTTLS if there is a certificate.
func serveMail(t *testing.T, m *mailServer, cert *tls.Certificate, secure bool) {
	t.Helper()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &mailSessionOf{m: m, conn: c}, nil }))
	srv.ErrorLog = log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.addr = l.Addr().String()
	if cert != nil {
		conf := &tls.Config{Certificates: []tls.Certificate{*cert}}
		if secure {
			l = tls.NewListener(l, conf)
		} else {
			srv.TLSConfig = conf
		}
	}
	go srv.Serve(l)
	t.Cleanup(func() { _ = srv.Close() })
}

// deliver sends one mail about one notice through the server of cfg.
func deliver(t *testing.T, cfg Config, n control.Notice) error {
	t.Helper()
	if cfg.From == "" {
		cfg.From = "millrace@example.test"
	}
	m, err := newSMTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.open(context.Background())
	if err != nil {
		return err
	}
	defer s.close()
	return s.send(context.Background(), letter{
		To: "data@acme.example", MessageID: "abc@example.test", Date: noon, Content: compose(text.Portuguese, []control.Notice{n}, noon, "https://m.example.test"), Notice: true,
	})
}

func TestMailOverEachKindOfConnection(t *testing.T) {
	cert, pool := authority(t)
	for _, row := range []struct {
		name              string
		scheme            string
		user              string
		cert, secure      bool
		trust             bool
		wantTLS, wantMail bool
	}{
		{name: "plain, where nothing else is offered", scheme: "smtp://", wantMail: true},
		{name: "STARTTLS when it is offered", scheme: "smtp://", cert: true, trust: true, wantTLS: true, wantMail: true},
		{name: "STARTTLS with sign-in", scheme: "smtp://", user: "mill", cert: true, trust: true, wantTLS: true, wantMail: true},
		{name: "no password without TLS", scheme: "smtp://", user: "mill"},
		{name: "TLS from the first byte with sign-in", scheme: "smtps://", user: "mill", cert: true, secure: true, trust: true, wantTLS: true, wantMail: true},
		{name: "a certificate that nobody vouches for", scheme: "smtps://", cert: true, secure: true},
		{name: "a certificate that nobody vouches for, by STARTTLS", scheme: "smtp://", cert: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := &mailServer{user: row.user}
			var c *tls.Certificate
			if row.cert {
				c = &cert
			}
			serveMail(t, srv, c, row.secure)
			cfg := Config{SMTPURL: secretURL(row.scheme + srv.addr)}
			if row.user != "" {
				cfg.SMTPURL = secretURL(row.scheme + row.user + ":pa%3Ass%20word@" + srv.addr)
			}
			if row.trust {
				cfg.Roots = pool
			} else {
				cfg.Roots = x509.NewCertPool()
			}
			err := deliver(t, cfg, failing(1, "warehouse"))
			if (err == nil) != row.wantMail || (srv.count() == 1) != row.wantMail {
				t.Fatalf("error %v, %d mails", err, len(srv.mails))
			}
			if err != nil && strings.Contains(err.Error(), "pa:ss") {
				t.Errorf("the error tells the password: %v", err)
			}
			if row.wantMail && (srv.secured[0] != row.wantTLS || srv.signedIn[0] != row.user) {
				t.Errorf("TLS %v, signed in as %q", srv.secured[0], srv.signedIn[0])
			}
		})
	}
}

func TestTheMailItself(t *testing.T) {
	srv := &mailServer{}
	serveMail(t, srv, nil, false)
	n := failing(1, "warehouse")
	n.Params["connector"] = "w\r\nBcc: victim@example.test\r\nSubject: x"
	n.Params["workspace"] = "ação"
	if err := deliver(t, Config{SMTPURL: secretURL("smtp://" + srv.addr), From: `"Mill, race" <millrace@example.test>`}, n); err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(bytes.NewReader(srv.mails[0]))
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{
		"Date": "Sun, 22 Nov 2026 12:00:00 +0000", "Message-Id": "<abc@example.test>", "Auto-Submitted": "auto-generated",
		"From": `"Mill, race" <millrace@example.test>`, "To": "<data@acme.example>", "Mime-Version": "1.0",
		"List-Id": "<notices.example.test>", "Content-Language": "pt-BR", "Bcc": "", "User-Agent": "", "X-Mailer": "",
	} {
		if got := m.Header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if want := "w  Bcc: victim@example.test  Subject: x (ação): as entregas pararam"; err != nil || subject != want {
		t.Errorf("subject %q, %v; want %q", subject, err, want)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s %v", kind, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	var got []string
	for {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e := p.Header.Get("Content-Transfer-Encoding"); e != "quoted-printable" {
			t.Errorf("encoding %s", e)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.Header.Get("Content-Type")+"\n"+string(b))
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], "text/plain; charset=UTF-8") || !strings.HasPrefix(got[1], "text/html; charset=UTF-8") {
		t.Fatalf("parts: %.60q", got)
	}
	for _, part := range got {
		if !strings.Contains(part, "não consegue gravar") || !strings.Contains(part, "https://m.example.test") {
			t.Errorf("the part lacks its sentence or its link:\n%s", part)
		}
	}
}

func TestWhatTheServerRefusesForGood(t *testing.T) {
	temporary := &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "later"}
	permanent := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	for _, row := range []struct {
		name         string
		rcpt, from   error
		wantFailed   bool
		wantFinished bool
	}{
		{name: "nothing"},
		{name: "the recipient for good", rcpt: permanent, wantFailed: true, wantFinished: true},
		{name: "the recipient for now", rcpt: temporary, wantFailed: true},
		{name: "the sender for good, which the operator can mend", from: permanent, wantFailed: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := &mailServer{rcptErr: row.rcpt, fromErr: row.from}
			serveMail(t, srv, nil, false)
			err := deliver(t, Config{SMTPURL: secretURL("smtp://" + srv.addr)}, failing(1, "warehouse"))
			var no *refused
			if (err != nil) != row.wantFailed || errors.As(err, &no) != row.wantFinished {
				t.Errorf("%v, given up: %v", err, errors.As(err, &no))
			}
		})
	}
	srv := &mailServer{}
	serveMail(t, srv, nil, false)
	m, err := newSMTP(Config{SMTPURL: secretURL("smtp://" + srv.addr), From: "millrace@example.test"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, to := range []string{"not an address", "a@b.example\r\nRCPT TO:<victim@example.test>", ""} {
		var no *refused
		if err := s.send(context.Background(), letter{To: to, Content: compose(text.English, []control.Notice{failing(1, "w")}, noon, "")}); !errors.As(err, &no) {
			t.Errorf("%q: %v", to, err)
		}
	}
	if srv.count() != 0 {
		t.Error("a mail left")
	}
}

// What is accepted is done, whatever happens to the connection afterwards.
func TestAServerThatHangsUpAfterItsYes(t *testing.T) {
	srv := &mailServer{hangUp: true}
	serveMail(t, srv, nil, false)
	if err := deliver(t, Config{SMTPURL: secretURL("smtp://" + srv.addr)}, failing(1, "warehouse")); err != nil || srv.count() != 1 {
		t.Errorf("%v, %d mails", err, len(srv.mails))
	}
}

// A server that says nothing more must not hold up the process's end.
func TestAServerThatHangsIsLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m, err := newSMTP(Config{SMTPURL: secretURL("smtp://" + l.Addr().String()), From: "millrace@example.test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if s, err := m.open(ctx); err == nil {
		s.close()
		t.Error("a server without a greeting was believed")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
