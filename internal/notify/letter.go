package notify

import (
	"cmp"
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// SendLetter mails a letter at once. Unlike a notice it is not kept and not tried again: its link is for one person, who
// asks again if it does not come.
//
// Errors: unavailable if no mail server is set, or it did not take the letter, within 30 s.
func (n *Notifier) SendLetter(ctx context.Context, l control.Letter) error {
	const op = "send letter"
	if n.mailer == nil {
		return &fault.Error{Code: fault.Unavailable, Op: op,
			Msg:  fault.Message{Key: "notify.no_mail", Text: "This installation sends no mail."},
			Hint: fault.Message{Key: "notify.no_mail_hint", Text: "The operator sets a mail server with MILLRACE_SMTP_URL."}}
	}
	ctx, cancel := context.WithTimeout(ctx, smtpTimeout)
	defer cancel()
	session, err := n.mailer.open(ctx)
	if err == nil {
		defer session.close()
		err = session.send(ctx, letter{
			To: l.To, MessageID: strings.ToLower(rand.Text()) + ".millrace@" + n.domain(), Date: time.Now(), Content: composeLetter(l),
		})
	}
	if err != nil {
		return &fault.Error{Code: fault.Unavailable, Op: op, Cause: err,
			Msg:  fault.Message{Key: "notify.unsent", Text: "The mail server did not take the letter."},
			Hint: fault.Message{Key: "notify.unsent_hint", Text: "The operator finds the reason in the log."}}
	}
	return nil
}

// composeLetter writes a letter in its reader's language.
func composeLetter(l control.Letter) content {
	lang, _ := text.Parse(cmp.Or(l.Language, control.DefaultLanguage))
	p := text.Params{"by": clean(l.By), "workspace": clean(l.Workspace), "until": lang.Time(l.ExpiresAt, time.UTC)}
	c := content{Language: lang, URL: l.Link.Reveal(), Footer: text.T(lang, "letter.footer", nil)}
	var title string
	switch {
	case l.Kind == control.TicketReset:
		title, c.Subject, c.Link = text.T(lang, "letter.reset", p), text.T(lang, "letter.reset.subject", p), text.T(lang, "letter.reset.open", nil)
	case l.Workspace == "":
		title, c.Subject, c.Link = text.T(lang, "letter.installation", p), text.T(lang, "letter.installation.subject", p), text.T(lang, "letter.invitation.open", nil)
	default:
		title, c.Subject, c.Link = text.T(lang, "letter.invitation", p), text.T(lang, "letter.invitation.subject", p), text.T(lang, "letter.invitation.open", nil)
	}
	c.Subject = cut(c.Subject, maxSubject)
	c.Parts = []part{{Title: title, Says: []says{{"", text.T(lang, "letter.until", p)}}}}
	return c
}
