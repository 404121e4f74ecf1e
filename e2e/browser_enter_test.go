package e2e_test

import (
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/millrace/millrace/internal/text"
)

const (
	ada         = "ada@acme.example"
	adaPassword = "correct horse battery"
)

// comesIn makes the first administrator by the printed link.
func (s *server) comesIn(t *testing.T, as screen) *window {
	t.Helper()
	w := s.open(t, as)
	w.visit(s.firstLink(t))
	w.fill("email", ada)
	w.fill("name", "Ada")
	w.fill("password", adaPassword)
	w.press(w.says("page.join"))
	w.at("^/(w/|workspaces|$)")
	return w
}

// signsIn signs Ada in.
func (s *server) signsIn(t *testing.T, as screen) *window {
	t.Helper()
	w := s.open(t, as)
	w.visit("/sign-in")
	w.fill("email", ada)
	w.fill("password", adaPassword)
	w.press(w.says("page.sign_in"))
	w.at("^/(w/|workspaces|$)")
	return w
}

// The first administrator comes in by the link that the first start prints, in each language, and every page on the way
// is sound.
func TestTheFirstSignIn(t *testing.T) {
	t.Parallel()
	for _, l := range text.Languages() {
		t.Run(string(l), func(t *testing.T) {
			s := newServer(t, t.TempDir())
			s.start()
			w := s.open(t, screen{lang: l, width: 320})
			w.visit(s.firstLink(t))
			w.sees(w.says("page.first"))
			w.sound()
			w.fill("email", "nobody")
			w.press(w.says("page.join"))
			w.sees(w.says("page.form_wrong"))
			w.sound()
			w.fill("email", ada)
			w.fill("name", "Ada")
			w.fill("password", adaPassword)
			w.press(w.says("page.join"))
			w.at("^/workspaces$")
			w.sound()

			again := s.open(t, screen{lang: l, dark: true, noScript: true})
			again.visit("/sign-in")
			again.sound()
			again.fill("email", ada)
			again.fill("password", adaPassword+"?")
			again.keys(kb.Enter)
			again.sees(w.says("control.wrong_password"))
			again.sound()
		})
	}
}
