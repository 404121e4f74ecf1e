package notify

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
)

func TestNoticesOfOneRecipientBecomeOneMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, p := newMemStore(), &post{}
		n, _, _ := start(t, st, p, nil)
		began := time.Now()
		// 200 connectors of one customer fail within 20 seconds, and one of another customer.
		for i := range 200 {
			c := fmt.Sprintf("current-%03d", i)
			st.reach(c, "data@acme.example", "pt-BR")
			st.add(failing(1, c))
			n.Wake()
			time.Sleep(100 * time.Millisecond)
		}
		st.reach("other", "ops@other.example", "es")
		st.add(failing(2, "other"))
		time.Sleep(5 * time.Minute)

		letters := p.arrived()
		if len(letters) != 2 {
			t.Fatalf("%d mails, want one for each recipient", len(letters))
		}
		first := letters[0]
		if first.To != "data@acme.example" || first.Content.Subject != "As entregas de 200 Currents pararam" {
			t.Errorf("to %s: %q", first.To, first.Content.Subject)
		}
		if got := len(first.Content.Parts[0].Lines); got != 200 {
			t.Errorf("%d lines, want 200", got)
		}
		if late := first.Date.Sub(began); late > DefaultQuiet+time.Second {
			t.Errorf("the mail left %s after the first notice", late)
		}
		if letters[1].Content.Language != "es" {
			t.Errorf("the other mail is in %s", letters[1].Content.Language)
		}
		for _, s := range st.all() {
			if s.Done.IsZero() || s.Tries != 1 {
				t.Errorf("send %d: %d tries, done %v", s.ID, s.Tries, s.Done)
			}
		}
	})
}

func TestARecipientGetsNoMoreThanOneMailAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, p := newMemStore(), &post{}
		n, _, _ := start(t, st, p, nil)
		st.reach("w", "data@acme.example", "en")
		for i := range 60 { // one occasion every 10 seconds for ten minutes
			notice := failing(1, "w")
			notice.Episode = fmt.Sprint(i)
			st.add(notice)
			n.Wake()
			time.Sleep(10 * time.Second)
		}
		time.Sleep(5 * time.Minute)
		letters := p.arrived()
		if len(letters) > 11 || len(letters) < 9 {
			t.Errorf("%d mails in ten minutes", len(letters))
		}
		said := 0
		for i, l := range letters {
			if i > 0 {
				if gap := l.Date.Sub(letters[i-1].Date); gap < time.Minute {
					t.Errorf("mails %s apart", gap)
				}
			}
			said += max(len(l.Content.Parts[0].Lines), 1)
		}
		if said != 60 {
			t.Errorf("%d notices arrived, want 60", said)
		}
	})
}

func TestAMailIsTriedAgainForADayThenGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, p := newMemStore(), &post{openErr: errors.New("connection refused")}
		_, log, _ := start(t, st, p, nil)
		st.reach("w", "data@acme.example", "en")
		st.add(failing(1, "w"))
		time.Sleep(26 * time.Hour)

		s := st.all()[0]
		if s.Failed == "" || !strings.Contains(s.Failed, "connection refused") {
			t.Fatalf("after 26 hours: %+v", s)
		}
		p.mu.Lock()
		tries := slices.Clone(p.tries)
		p.mu.Unlock()
		if len(tries) < 20 || len(tries) > 40 {
			t.Errorf("%d tries in a day", len(tries))
		}
		if got := tries[1].Sub(tries[0]); got < firstPause || got > firstPause+poll {
			t.Errorf("the second try came after %s", got)
		}
		last := tries[len(tries)-1].Sub(tries[0])
		if last < GiveUp-time.Second || last > GiveUp+time.Minute {
			t.Errorf("the last try came %s after the first", last)
		}
		if !strings.Contains(log.String(), "given up") {
			t.Error("the log does not say so")
		}
	})
}

func TestATryThatPassesLaterSaysEverythingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, p := newMemStore(), &post{openErr: errors.New("connection refused")}
		var sent, failed atomic.Int32
		n, _, _ := start(t, st, p, func(_ *Config, d *Deps) {
			d.Hooks = Hooks{OnSent: func(control.Send) { sent.Add(1) }, OnFailed: func(control.Send, error) { failed.Add(1) }}
		})
		st.reach("a", "data@acme.example", "en")
		st.reach("b", "data@acme.example", "en")
		st.add(failing(1, "a"))
		time.Sleep(10 * time.Minute)
		st.add(failing(1, "b"))
		n.Wake()
		time.Sleep(10 * time.Minute)
		p.mu.Lock()
		p.openErr = nil
		p.mu.Unlock()
		time.Sleep(2 * time.Hour)
		letters := p.arrived()
		lines := 0
		for _, l := range letters {
			lines += max(1, len(l.Content.Parts[0].Lines))
		}
		if lines != 2 {
			t.Errorf("%d notices in %d mails, want 2", lines, len(letters))
		}
		if sent.Load() != 2 || failed.Load() < 4 {
			t.Errorf("hooks: %d sent, %d failed", sent.Load(), failed.Load())
		}
	})
}

func TestAnAddressThatIsRefusedIsGivenUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, p := newMemStore(), &post{}
		p.sendErr = func(l letter) error {
			if l.To == "gone@acme.example" {
				return &refused{errors.New("550 no such user")}
			}
			return nil
		}
		_, log, _ := start(t, st, p, nil)
		st.reach("a", "gone@acme.example", "en")
		st.reach("b", "data@acme.example", "en")
		st.add(failing(1, "a"))
		st.add(failing(1, "b"))
		time.Sleep(time.Minute)
		for _, s := range st.all() {
			if s.Address == "gone@acme.example" && (s.Failed != "550 no such user" || s.Tries != 1) {
				t.Errorf("refused: %+v", s)
			}
			if s.Address == "data@acme.example" && s.Done.IsZero() {
				t.Errorf("the other: %+v", s)
			}
		}
		if !strings.Contains(log.String(), "gone@acme.example") {
			t.Error("the log does not say which address")
		}
	})
}

// A crash after the server's yes and before it is saved repeats that mail, under the same id, and no other.
func TestACrashBetweenSendAndSaveRepeatsOneMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, p := newMemStore(), &post{}
		_, _, stop := start(t, st, p, nil)
		for i := range 5 {
			c := fmt.Sprint("current-", i)
			st.reach(c, c+"@acme.example", "en")
			st.add(failing(1, c))
		}
		dead := errors.New("the process is dead")
		st.dieBy(func(int, control.Send) error {
			if len(p.arrived()) >= 3 { // the third mail was accepted: nothing after that is saved
				return dead
			}
			return nil
		})
		time.Sleep(35 * time.Second)
		stop()
		before := p.arrived()
		if len(before) != 3 {
			t.Fatalf("%d mails before the crash", len(before))
		}

		st.dieBy(nil)
		start(t, st, p, nil)
		time.Sleep(10 * time.Minute)
		times := map[string]int{}
		ids := map[string]string{}
		for i, l := range p.arrived() {
			// A process that dies of a mail and is started again at once must not send it in a loop.
			if i >= 3 && times[l.To] == 1 && l.Date.Sub(before[2].Date) < firstPause {
				t.Errorf("%s: repeated after %s", l.To, l.Date.Sub(before[2].Date))
			}
			times[l.To]++
			if id, ok := ids[l.To]; ok && id != l.MessageID {
				t.Errorf("%s: repeated under another id", l.To)
			}
			ids[l.To] = l.MessageID
		}
		twice := 0
		for to, n := range times {
			if n > 2 {
				t.Errorf("%s got %d mails", to, n)
			}
			if n == 2 {
				twice++
			}
		}
		if len(times) != 5 || twice != 1 {
			t.Errorf("%v: want one mail for each, one of them twice", times)
		}
		for _, s := range st.all() {
			if s.Done.IsZero() {
				t.Errorf("not done: %+v", s)
			}
		}
	})
}

// The process dies at any save; whatever it had done, each notice arrives, and no mail more than once for each death.
func TestEachNoticeArrivesHoweverOftenTheProcessDies(t *testing.T) {
	runs := 5
	if os.Getenv("MILLRACE_SOAK") != "" {
		runs = 2000
	}
	seeds := []uint64{*seedFlag}
	if *seedFlag == 0 {
		seeds = nil
		for range runs {
			seeds = append(seeds, rand.Uint64())
		}
	}
	for _, seed := range seeds {
		diesAtRandom(t, seed)
		if t.Failed() {
			t.Fatalf("repeat it with -args -seed %d", seed)
		}
	}
}

var seedFlag = flag.Uint64("seed", 0, "choices of the test that dies at random; 0: new ones, and several times")

func diesAtRandom(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	synctest.Test(t, func(t *testing.T) {
		st, p := newMemStore(), &post{}
		for i := range 20 {
			c := fmt.Sprint("current-", i)
			st.reach(c, fmt.Sprintf("p%d@acme.example", i%7), "en")
		}
		deaths := 0
		for i := range 20 {
			st.add(failing(1, fmt.Sprint("current-", i)))
			st.mu.Lock()
			dieAt := st.saves + 1 + r.IntN(4)
			st.failSave = func(nth int, _ control.Send) error {
				if nth >= dieAt {
					return errors.New("dead")
				}
				return nil
			}
			st.mu.Unlock()
			_, _, stop := start(t, st, p, nil)
			time.Sleep(time.Duration(r.IntN(90)) * time.Second)
			stop()
			deaths++
		}
		st.dieBy(nil)
		start(t, st, p, nil)
		time.Sleep(3 * time.Hour)
		told := map[string]bool{}
		for _, l := range p.arrived() {
			plain := l.Content.Plain()
			for i := range 20 {
				if name := fmt.Sprint("current-", i); strings.Contains(plain, name+" ") || strings.Contains(plain, "“"+name+"”") {
					told[name] = true
				}
			}
		}
		if len(told) != 20 {
			t.Errorf("%d connectors of 20 were told of", len(told))
		}
		if extra := len(p.arrived()) - 20; extra > deaths {
			t.Errorf("%d mails for 20 notices and %d deaths", len(p.arrived()), deaths)
		}
		for _, s := range st.all() {
			if s.Done.IsZero() {
				t.Errorf("not done: %+v", s)
			}
		}
	})
}

// What is due is read while mails and calls are under way. Answers that come between the reading and what is made of it
// must not send them again.
func TestWhatEndsWhileDueSendsAreReadIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, p, r := newMemStore(), &post{}, &receiver{}
		st.readTakes = 700 * time.Millisecond
		p.accept = func(letter) { time.Sleep(300 * time.Millisecond) }
		net := listen(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			time.Sleep(300 * time.Millisecond)
			r.ServeHTTP(w, req)
		}))
		st.hooks[1] = []control.Webhook{hook(1, "http://receiver.test/")}
		n, _, _ := start(t, st, p, func(_ *Config, d *Deps) { d.Dial = net.dial })
		for i := range 40 {
			c := fmt.Sprint("current-", i)
			st.reach(c, fmt.Sprintf("p%d@acme.example", i%5), "en")
			st.add(failing(1, c))
			n.Wake()
			time.Sleep(450 * time.Millisecond)
		}
		for range 600 {
			n.Wake()
			time.Sleep(450 * time.Millisecond)
		}
		said := 0
		for _, l := range p.arrived() {
			for _, part := range l.Content.Parts {
				said += max(1, len(part.Lines))
			}
		}
		if said != 40 {
			t.Errorf("40 notices were said %d times by mail", said)
		}
		if got := len(r.got()); got != 40 {
			t.Errorf("40 notices made %d calls", got)
		}
	})
}

func TestWithoutAMailServerNoMailIsPlanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newMemStore()
		start(t, st, nil, nil)
		st.reach("w", "data@acme.example", "en")
		st.add(failing(1, "w"))
		time.Sleep(time.Minute)
		if left, _ := st.UnplannedNotices(t.Context(), 1); len(left) != 0 || len(st.all()) != 0 {
			t.Errorf("not planned: %v, sends %v", left, st.all())
		}
	})
}

func TestMailsThatWaitWhenTheServerIsTakenAwayAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newMemStore()
		st.reach("w", "data@acme.example", "en")
		n := st.add(failing(1, "w"))
		if err := st.PlanSends(context.Background(), []int64{n.ID}, []control.Send{{Notices: []int64{n.ID}, Channel: control.ChannelMail, Address: "data@acme.example", NextTry: time.Now()}}); err != nil {
			t.Fatal(err)
		}
		start(t, st, nil, nil)
		time.Sleep(time.Minute)
		if s := st.all()[0]; !strings.Contains(s.Failed, "no mail server") {
			t.Errorf("%+v", s)
		}
	})
}

func TestWhatIsSentByMail(t *testing.T) {
	for _, row := range []struct {
		kind    control.NoticeKind
		trigger string
		want    bool
	}{
		{control.NoticeFailing, "", true},
		{control.NoticeCheckPassed, "", true},
		{control.NoticeCheckPassed, "launch", true},
		{control.NoticeCheckPassed, "save", true},
		{control.NoticeCheckPassed, "demand", false},
		{control.NoticeCheckPassed, "test", false},
		{control.NoticeCheckPassed, "schedule", false},
		{control.NoticeCheckFailed, "demand", true},
		{control.NoticeHourComplete, "", false},
		{"of a newer program", "", false},
	} {
		if got := byMail(control.Notice{Kind: row.kind, Params: map[string]string{"trigger": row.trigger}}); got != row.want {
			t.Errorf("%s %s: %v", row.kind, row.trigger, got)
		}
	}
}

func TestAWorkspaceWhoseWebhooksCannotBeReadHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, p := newMemStore(), &post{}
		st.badHooks[1] = true
		_, log, _ := start(t, st, p, nil)
		st.reach("a", "a@acme.example", "en")
		st.reach("b", "b@other.example", "en")
		st.add(failing(1, "a"))
		st.add(failing(2, "b"))
		time.Sleep(2 * time.Minute)
		if l := p.arrived(); len(l) != 1 || l[0].To != "b@other.example" {
			t.Errorf("%d mails", len(l))
		}
		if !strings.Contains(log.String(), "webhooks cannot be read") {
			t.Error("nobody is told")
		}
		st.mu.Lock()
		st.badHooks[1] = false
		st.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if len(p.arrived()) != 2 {
			t.Error("the notice was lost")
		}
	})
}

func TestSettingsThatCannotBeUsedAreNamed(t *testing.T) {
	for _, row := range []struct{ url, from, want string }{
		{"smtp://mail.example.test", "", "smtp_from"},
		{"smtp://mail.example.test", "not an address", "smtp_from"},
		{"http://mail.example.test", "a@b.example", "smtp_url"},
		{"smtp://", "a@b.example", "smtp_url"},
		{"smtp://u:s3cret@mail.example.test:99999", "a@b.example", "smtp_url"},
	} {
		cfg := Config{SMTPURL: secretURL(row.url), From: row.from}
		_, err := New(cfg, Deps{Store: newMemStore()})
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s from %q: %v", row.url, row.from, err)
		}
	}
}
