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

// A check that somebody asked for launches nothing, and what it found is said in the reader's language.
func TestANoticeOfACheckSaysWhatItWasMadeFor(t *testing.T) {
	for _, l := range text.Languages() {
		for trigger, key := range map[control.CheckTrigger]string{
			control.CheckLaunch: "notice.check_passed.meaning", control.CheckDemand: "notice.check_passed.unchanged", control.CheckSave: "notice.check_passed.saved"} {
			n := control.Notice{Workspace: 1, Connector: "c", Kind: control.NoticeCheckPassed, Params: map[string]string{"connector": "warehouse", "bucket": "b", "trigger": string(trigger)}}
			_, words := Say(l, n, noon)
			if launched := trigger == control.CheckLaunch; !strings.Contains(words, text.T(l, key, nil)) || strings.Contains(words, text.T(l, "notice.check_passed.action", nil)) != launched {
				t.Errorf("%s %s: %s", l, trigger, words)
			}
			n.Connector = ""
			if _, words = Say(l, n, noon); strings.Contains(words, text.T(l, "notice.check_passed.meaning", nil)) {
				t.Errorf("%s %s, of the data export: %s", l, trigger, words)
			}
		}
		said, err := json.Marshal(control.Said{Message: fault.Message{Key: "check.access_denied", Text: "x"}, Hint: fault.Message{Key: "check.access_denied.hint", Text: "x"},
			Params: fault.Params{"action": "s3:ListBucket", "bucket": "acme-currents"}})
		if err != nil {
			t.Fatal(err)
		}
		n := control.Notice{Workspace: 1, Kind: control.NoticeCheckFailed, Params: map[string]string{"bucket": "b", "trigger": "test", "problem": "access_denied", "message": "in English", control.ParamSaid: string(said)}}
		_, words := Say(l, n, noon)
		if !strings.Contains(words, text.T(l, "check.access_denied", text.Params{"action": "s3:ListBucket", "bucket": "acme-currents"})) || strings.Contains(words, "in English") ||
			!strings.Contains(words, text.T(l, "notice.check_failed.exports_meaning", nil)) {
			t.Errorf("%s: %s", l, words)
		}
		if advice := text.T(l, "check.access_denied.hint", nil); strings.Count(words, advice) != 1 || strings.Contains(words, text.T(l, "bucket.access_denied.hint", nil)) {
			t.Errorf("%s: what to do does not stand there once: %s", l, words)
		}
		if mail := compose(l, []control.Notice{n}, noon, "").Plain(); !strings.Contains(mail, text.T(l, "mail.footer_administrators", nil)) {
			t.Errorf("%s: %s", l, mail)
		}
	}
}
