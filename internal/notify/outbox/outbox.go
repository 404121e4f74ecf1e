// Package outbox catches mail: a small mail server that keeps each mail as a file and sends nothing on. The demo shows
// its mails with it, tests read them.
//
// A file is the mail as it came, named by the time of its arrival and its recipient, for instance
// 20261122T101500.000000000Z-data@acme.example.eml; names in order are mails in order. It stands whole or not at
// all. Anybody who can reach the address can fill the folder: listen on loopback.
package outbox

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

const (
	maxMail = 10 << 20 // bytes
	timeout = time.Minute
)

// Server is a mail server that is listening.
type Server struct {
	server   *smtp.Server
	listener net.Listener
	done     chan struct{}

	mu   sync.Mutex // one file at a time: names in order, and one writer per name
	fs   vfs.FS
	last time.Time // of the newest name
}

// Listen catches mail at addr, host and port (port 0: a free one), into the folder dir, which is made if need be.
// Errors: unavailable if the address is taken; those of vfs.
func Listen(dir, addr string) (*Server, error) {
	fs := vfs.OS(dir)
	if err := fs.MkdirAll("."); err != nil {
		return nil, fault.Wrap(err, "make the outbox")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fault.From(err, fault.Unavailable, "listen for mail")
	}
	s := &Server{listener: l, done: make(chan struct{}), fs: fs}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{outbox: s}, nil }))
	s.server.Domain = "outbox"
	s.server.MaxMessageBytes = maxMail
	s.server.MaxRecipients = 100
	s.server.ReadTimeout, s.server.WriteTimeout = timeout, timeout
	s.server.ErrorLog = log.New(io.Discard, "", 0) // clients that hang up are none of anybody's business
	go func() {
		defer close(s.done)
		_ = s.server.Serve(l) // it ends with Close
	}()
	return s, nil
}

// Addr is host and port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is the address as the setting smtp_url takes it.
func (s *Server) URL() string { return "smtp://" + s.Addr() }

// Close stops listening, and gives mails under way a second to arrive; a connection that is still open then ends with
// the process or after a minute without a word.
func (s *Server) Close() error {
	// The library closes only a listener that it has begun to serve, which right after Listen it may not have.
	err := s.listener.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.server.Shutdown(ctx) // of what it may say, err has the one thing of weight
	<-s.done
	return err
}

// keep writes one mail for one recipient.
func (s *Server) keep(to string, mail []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	if !now.After(s.last) {
		now = s.last.Add(1)
	}
	s.last = now
	return vfs.WriteFile(s.fs, now.Format("20060102T150405.000000000Z")+"-"+fileName(to)+".eml", mail)
}

// fileName makes an address fit for a file's name on any system.
func fileName(address string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@.-_+", r) {
			return r
		}
		return '_'
	}, address)
	return strings.TrimLeft(name[:min(len(name), 100)], ".")
}

// session is one client's.
type session struct {
	outbox *Server
	to     []string
}

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	mail, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for _, to := range s.to {
		if err := s.outbox.keep(to, mail); err != nil {
			return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: fmt.Sprintf("cannot keep the mail: %s", fault.CodeOf(err))}
		}
	}
	return nil
}

func (s *session) Reset() { s.to = nil }

func (s *session) Logout() error { return nil }
