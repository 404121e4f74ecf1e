package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
)

// verify stands in docs/notifications.md as it stands here.
func verify(secret []byte, h http.Header, body []byte, now time.Time) bool {
	id, stamp := h.Get("Millrace-Id"), h.Get("Millrace-Timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	want := "v1=" + hex.EncodeToString(mac.Sum(nil))
	for _, got := range strings.Fields(h.Get("Millrace-Signature")) {
		if hmac.Equal([]byte(want), []byte(got)) {
			return true
		}
	}
	return false
}

func guide(t *testing.T) string {
	b, err := os.ReadFile("../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTheGuidesVerifier(t *testing.T) {
	src, err := os.ReadFile("guide_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(src), "\nfunc verify(")
	code, _, ok := strings.Cut(rest, "\n}\n")
	if code = "func verify(" + code + "\n}\n"; !ok || !strings.Contains(guide(t), code) {
		t.Error("docs/notifications.md shows another verifier than the one that is tried here")
	}

	secret, id, stamp, body := "a-secret-of-16-or-more", "prod-01-42", "1795348800", `{"id":"prod-01-42"}`
	signature := Sign(secret, id, stamp, []byte(body))
	for what, s := range map[string]string{"secret": secret, "id": "the id `" + id, "timestamp": "`" + stamp + "`", "body": body, "signature": "\n" + signature + "\n"} {
		if !strings.Contains(guide(t), s) {
			t.Errorf("the guide's example has another %s than %s", what, s)
		}
	}
	now := time.Unix(1795348800, 0)
	call := func(id, stamp, signature string) http.Header {
		return http.Header{"Millrace-Id": {id}, "Millrace-Timestamp": {stamp}, "Millrace-Signature": {signature}}
	}
	for _, row := range []struct {
		name   string
		header http.Header
		body   string
		secret string
		at     time.Time
		want   bool
	}{
		{"as it was sent", call(id, stamp, signature), body, secret, now, true},
		{"four minutes later", call(id, stamp, signature), body, secret, now.Add(4 * time.Minute), true},
		{"beside another signature", call(id, stamp, "v2=xx "+signature), body, secret, now, true},
		{"replayed later", call(id, stamp, signature), body, secret, now.Add(6 * time.Minute), false},
		{"from the future", call(id, stamp, signature), body, secret, now.Add(-6 * time.Minute), false},
		{"under another timestamp", call(id, "1795348860", signature), body, secret, now, false},
		{"under another id", call("prod-01-43", stamp, signature), body, secret, now, false},
		{"with another body", call(id, stamp, signature), body + " ", secret, now, false},
		{"with another secret", call(id, stamp, signature), body, secret + "x", now, false},
		{"with the border moved", call("prod-01-42.1795348800", `{"id":"prod-01-42"}`, signature), "", secret, now, false},
		{"unsigned", call(id, stamp, ""), body, secret, now, false},
	} {
		if got := verify([]byte(row.secret), row.header, []byte(row.body), row.at); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

func TestTheGuideNamesEachKindAndWhetherItIsMailed(t *testing.T) {
	rows := map[string][]string{}
	for line := range strings.Lines(guide(t)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		for name := range strings.SplitSeq(cells[1], ",") {
			rows[strings.Trim(strings.TrimSpace(name), "`")] = cells
		}
	}
	for _, k := range control.NoticeKinds() {
		cells := rows[string(k)]
		if cells == nil {
			t.Errorf("the guide's table has no row for %s", k)
			continue
		}
		want := byMail(control.Notice{Kind: k})
		if said := strings.TrimSpace(cells[3]) != "no"; said != want {
			t.Errorf("%s: the guide says mail %q", k, cells[3])
		}
	}
}
