package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

func TestANoticeByItselfSaysWhatItsMailWould(t *testing.T) {
	n := failing(1, "warehouse")
	for _, l := range text.Languages() {
		title, words := Say(l, n, noon)
		mail := compose(l, []control.Notice{n}, noon, "").Plain()
		if title == "" || words == "" || !strings.Contains(mail, title) || !strings.Contains(mail, words) {
			t.Errorf("%s: %q, %q, and the mail\n%s", l, title, words, mail)
		}
	}
	n.Kind = "of_a_newer_program"
	if title, words := Say(text.English, n, noon); title != "" || strings.Contains(words, "notice.") {
		t.Errorf("a kind that is not known: %q, %q", title, words)
	}
}

func TestATrialCallIsSignedAndSaysHowItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		net := listen(t, r)
		n, err := New(Config{Installation: "prod-01"}, Deps{Store: newMemStore(), Dial: net.dial})
		if err != nil {
			t.Fatal(err)
		}
		w := hook(7, "http://receiver.test/millrace?token=x")
		if err := n.Try(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		c := r.got()[0]
		var body struct{ Kind string }
		if err := json.Unmarshal(c.body, &body); err != nil || body.Kind != KindTest {
			t.Errorf("%s: %v", c.body, err)
		}
		if c.signature != Sign("whsec-of-the-test", c.id, c.timestamp, c.body) {
			t.Errorf("signature %s", c.signature)
		}
		r.set(500)
		err = n.Try(t.Context(), w)
		if e := fault.As(err); e == nil || e.Code != fault.Unavailable || !strings.Contains(e.Message(), "receiver.test answered 500") || strings.Contains(err.Error(), "token") || e.Params[control.ParamStatus] != 500 {
			t.Errorf("%v", err)
		}
		n.https.CloseIdleConnections()
		n.http.CloseIdleConnections()
		time.Sleep(time.Second)
	})
}
