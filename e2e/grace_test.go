package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/notify/outbox"
)

// A connector whose rights are taken away parks, its contact gets a mail, and with the rights back everything is
// delivered once. If they stay away for longer than the grace period its oldest events are dropped: after the mails,
// counted exactly, and `replay --dropped` brings them back.
func TestCredentialsGoBadForAWhileAndForTooLong(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	mail, err := outbox.Listen(folder, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mail.Close() })
	w := newWorld(t, "MILLRACE_SMTP_URL="+mail.URL(), "MILLRACE_SMTP_FROM=millrace@ops.example", "MILLRACE_NOTICE_QUIET=1s")
	const user = "currents"
	disable := func() {
		w.store.versity.DeletePolicy(t, user)
		time.Sleep(iamDelay)
	}
	enable := func() { w.store.versity.SetPolicy(t, user, buckettest.CurrentsPolicy(w.store.bucket)) }

	// For a while.
	w.stop()
	quickGrace := w.env
	w.env = append(w.env[:len(w.env):len(w.env)], "MILLRACE_GRACE_PERIOD=1m")
	w.start()
	w.send("good", 90)
	w.delivered()
	disable()
	w.send("parked", 90)
	mailed(t, folder, "Millrace has not been able to write the events", 50*time.Second)
	enable()
	w.delivered()
	if d := w.drops(); len(d) > 0 {
		t.Errorf("something was dropped: %v", d)
	}

	// For too long.
	w.stop()
	w.env = quickGrace
	w.start()
	disable()
	w.send("lost", 150)
	began := time.Now()
	for {
		b := ledgerOf(t, w.server)
		if s := b.sum(); s[2] == 150 && s[3] == 0 {
			break
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("nothing is dropped: %+v", b)
		}
		time.Sleep(500 * time.Millisecond)
	}
	if took := time.Since(began); took < 20*time.Second {
		t.Errorf("dropped after %v, before the grace period was over", took)
	}
	enable()
	w.forget("lost")
	w.send("after", 60)
	w.delivered()
	for settled := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		b := ledgerOf(t, w.server)
		open := 0
		for _, d := range b.Dropped {
			if d.Reason != "grace" {
				t.Fatalf("dropped for %s", d.Reason)
			}
			if !d.Settled {
				open++
			}
		}
		if open == 0 {
			if got := b.sum(); got != [4]int64{390, 240, 150, 0} {
				t.Errorf("accepted, delivered, dropped, waiting: %v", got)
			}
			break
		}
		if time.Since(settled) > 30*time.Second {
			t.Fatalf("the losses are not settled: %+v", b)
		}
	}
	// With a period this short the mail at half time may be one with the last call, which then stands for both.
	mailed(t, folder, "Last call for the Current", 30*time.Second)
	mailed(t, folder, "150 events of the Current", 30*time.Second)

	// What was dropped is brought back, into files of its own, once.
	must(t, w.env, "replay", "--connector", "acme/warehouse", "--from", time.Now().UTC().Add(-24*time.Hour).Format(time.DateOnly), "--dropped")
	for n := range 150 {
		w.sent[fmt.Sprintf("lost-%d", n)] = true
	}
	w.delivered()
	if b := ledgerOf(t, w.server); b.sum() != [4]int64{390, 390, 0, 0} || len(b.Dropped) > 0 {
		t.Errorf("after the replay: %+v", b)
	}
	w.agrees()
}

// mailed waits until a mail with that text has come, and gives it.
func mailed(t *testing.T, folder, text string, limit time.Duration) string {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		names, err := filepath.Glob(filepath.Join(folder, "*.eml"))
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, n := range names {
			b, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			whole := strings.ReplaceAll(string(b), "=\r\n", "") // lines of quoted-printable
			if strings.Contains(whole, text) {
				return whole
			}
			all.WriteString(whole)
		}
		if time.Now().After(deadline) {
			t.Fatalf("no mail with %q among %d:\n%s", text, len(names), &all)
		}
	}
}
