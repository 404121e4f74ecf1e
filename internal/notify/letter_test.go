package notify

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/text"
)

func theLetter(kind control.TicketKind, language, workspace string) control.Letter {
	return control.Letter{Kind: kind, To: "new@acme.example", Language: language, Workspace: workspace, By: "ana@acme.example",
		Link: secret.New("https://millrace.example/invitations/abc"), ExpiresAt: time.Date(2026, 11, 29, 10, 30, 0, 0, time.UTC)}
}

func TestALetterSaysWhatItIsAbout(t *testing.T) {
	for _, row := range []struct {
		letter control.Letter
		want   string // subject, title, link
	}{
		{theLetter(control.TicketInvitation, "", "acme"), "Your invitation to acme | ana@acme.example invites you to the workspace acme in Millrace. | Accept the invitation"},
		{theLetter(control.TicketInvitation, "pt-BR", "acme"), "Seu convite para acme | ana@acme.example convida você para o espaço de trabalho acme no Millrace. | Aceitar o convite"},
		{theLetter(control.TicketInvitation, "es", ""), "Su invitación para administrar Millrace | ana@acme.example le invita a administrar una instalación de Millrace. | Aceptar la invitación"},
		{theLetter(control.TicketReset, "fr", ""), "A new password for Millrace | Somebody asked for a link that sets a new password for your account in Millrace. | Set a new password"},
	} {
		c := composeLetter(row.letter)
		if got := c.Subject + " | " + c.Parts[0].Title + " | " + c.Link; got != row.want {
			t.Errorf("got  %s\nwant %s", got, row.want)
		}
	}
	c := composeLetter(theLetter(control.TicketInvitation, "en", "<b>acme</b>\r\nBcc: victim@example.test"))
	page, err := c.HTML()
	if err != nil {
		t.Fatal(err)
	}
	want := "https://millrace.example/invitations/abc"
	until := text.English.Time(time.Date(2026, 11, 29, 10, 30, 0, 0, time.UTC), time.UTC)
	for what, s := range map[string]string{"plain text": c.Plain(), "page": page} {
		if strings.Count(s, want) != 1 || !strings.Contains(s, until) || strings.Contains(s, "Current") || strings.Contains(s, "\r") {
			t.Errorf("the %s: %s", what, s)
		}
	}
	if strings.Contains(page, "<b>acme") || strings.ContainsAny(c.Subject, "\r\n") {
		t.Errorf("what an administrator wrote is taken for more than text: %q %s", c.Subject, page)
	}
}

func TestALetterLeavesAtOnceOrNotAtAll(t *testing.T) {
	srv := &mailServer{}
	serveMail(t, srv, nil, false)
	sender := func(cfg Config) *Notifier {
		t.Helper()
		cfg.From = "millrace@example.test"
		n, err := New(cfg, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	l := theLetter(control.TicketInvitation, "en", "acme")
	if err := sender(Config{SMTPURL: secretURL("smtp://" + srv.addr)}).SendLetter(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if got := string(srv.mails[0]); !strings.Contains(got, "To: <new@acme.example>") || strings.Contains(got, "List-Id") || !strings.Contains(got, ".millrace@example.test>") {
		t.Errorf("the mail:\n%s", got)
	}
	refusing := &mailServer{rcptErr: &smtp.SMTPError{Code: 550, Message: "no such user"}}
	serveMail(t, refusing, nil, false)
	for name, cfg := range map[string]Config{
		"no mail server":                  {},
		"a server that does not answer":   {SMTPURL: secretURL("smtp://127.0.0.1:1")},
		"one that does not know the name": {SMTPURL: secretURL("smtp://" + refusing.addr)},
	} {
		err := sender(cfg).SendLetter(t.Context(), l)
		if e := fault.As(err); e == nil || e.Code != fault.Unavailable || e.HintText() == "" || strings.Contains(fmt.Sprint(err, errors.Unwrap(err)), "invitations/abc") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
