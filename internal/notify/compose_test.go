package notify

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/text"
)

var update = flag.Bool("update", false, "write the golden mails")

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// samples has a notice of each kind that is sent by mail.
func samples() []control.Notice {
	stop := failing(1, "warehouse").Params
	with := func(kind control.NoticeKind, params map[string]string, more ...string) control.Notice {
		p := map[string]string{"workspace": "acme"}
		maps.Copy(p, params)
		for i := 0; i < len(more); i += 2 {
			p[more[i]] = more[i+1]
		}
		return control.Notice{Workspace: 1, Connector: control.ConnectorID(p["connector"]), Kind: kind, Episode: string(kind), At: noon, Params: p}
	}
	current := map[string]string{"connector": "warehouse", "bucket": "acme-currents"}
	pause := map[string]string{"connector": "warehouse", "since": "2026-11-19T00:00:00Z", "until": "2026-11-26T00:00:00Z"}
	return []control.Notice{
		with(control.NoticeCheckPassed, current),
		with(control.NoticeCheckFailed, current, "problem", "access_denied", "message", "s3:PutObject is not allowed on the bucket acme-currents.", "hint", "Add the statement to the policy of the user."),
		with(control.NoticeFailing, stop),
		with(control.NoticeHalfTime, stop, "problem", "role_refused", "message", "AssumeRole arn:aws:iam::482109371166:role/millrace: role_refused (403 AccessDenied)"),
		with(control.NoticeLastCall, stop, "until", "2026-11-22T16:00:00Z"),
		with(control.NoticeDropped, current, "reason", "grace", "events", "12480", "first_hour", "2026-11-20-10", "last_hour", "2026-11-20-11", "types", "users.messages.email.Open: 12000, users.behaviors.Purchase: 480"),
		with(control.NoticeResumed, current, "since", "2026-11-22T10:15:00Z"),
		with(control.NoticeSlow, current, "problem", "server_error", "message", "PutObject acme-currents/currents: server_error (503 SlowDown)", "since", "2026-11-22T11:40:00Z"),
		with(control.NoticePauseHalf, pause),
		with(control.NoticePauseLast, pause),
		with(control.NoticeKeyUnused, nil, "key", "producer", "since", "2026-08-01T00:00:00Z"),
		with(control.NoticeKeyExpiring, nil, "key", "producer", "at", "2026-11-29T00:00:00Z"),
		with(control.NoticeKeyExpired, nil, "key", "producer", "at", "2026-11-22T00:00:00Z"),
		with(control.NoticeExportReady, nil, "export", "01a204f8-8c7f-7bcd-9213-cc707b0640e0", "export_kind", "users_csv", "name", "Spring buyers", "by", "ana@acme.example", "people", "12480", "bytes", "5242880",
			"until", "2026-11-22T16:00:00Z", "bucket", "acme-exports", "folder", "segment-export/s1/2026-11-22/", "to", "ana@acme.example"),
		with(control.NoticeExportFailed, nil, "export", "01a204f8-8c7f-7bcd-9213-cc707b0640e0", "export_kind", "engagement", "name", "Weekly", "by", "ana@acme.example",
			"said", `{"message":{"key":"control.forbidden","text":"x"},"hint":{"key":"control.forbidden_hint","text":"y"}}`, "to", "ana@acme.example"),
		with(control.NoticeSchedulePaused, nil, "schedule", "01a204f8-8c7f-7bcd-9213-cc707b0640e0", "export_kind", "engagement", "name", "Weekly", "by", "ana@acme.example",
			"said", `{"message":{"key":"control.schedule_maker","text":"x"},"hint":{"key":"control.schedule_maker_hint","text":"y"}}`, "to", "ana@acme.example"),
		with(control.NoticeDiskQuota, nil, "used", "9663676416", "limit", "10737418240"),
		with(control.NoticeProfilesStill, nil, "since", "2026-11-22T11:40:00Z"),
		with(control.NoticeSetAside, nil, "offset", "48213", "type", "users.behaviors.Purchase", "reason", "the catalogue does not know schema 1000007"),
	}
}

// golden compares got with a file below testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; write it with -update and read it", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; after -update look at the difference\n%s", file, got)
	}
}

func TestEachKindInEachLanguage(t *testing.T) {
	for _, l := range text.Languages() {
		var b strings.Builder
		for _, n := range samples() {
			c := compose(l, []control.Notice{n}, noon, "https://millrace.example.test")
			fmt.Fprintf(&b, "==== %s\nSubject: %s\n\n%s\n", n.Kind, c.Subject, c.Plain())
			for what, s := range map[string]string{"subject": c.Subject, "text": c.Plain()} {
				if strings.ContainsAny(s, "{}") || strings.Contains(s, "notice.") || strings.Contains(s, "bucket.") {
					t.Errorf("%s %s: the %s has a place that is not filled, or a key: %s", l, n.Kind, what, s)
				}
			}
		}
		golden(t, "mails."+string(l)+".txt", b.String())
	}
}

func TestEachKindThatIsMailedHasASample(t *testing.T) {
	have := map[control.NoticeKind]bool{}
	for _, n := range samples() {
		have[n.Kind] = true
	}
	for _, k := range urgency {
		if !have[k] {
			t.Errorf("no sample of %s", k)
		}
	}
	if len(have) != len(urgency) {
		t.Errorf("%d kinds have samples, %d have an urgency", len(have), len(urgency))
	}
}

func TestSeveralNoticesInOneMail(t *testing.T) {
	var ns []control.Notice
	for i := range 3 {
		n := failing(1, fmt.Sprintf("current-%d", 3-i))
		n.Params["until"] = noon.Add(time.Duration(i+20) * time.Hour).Format(time.RFC3339)
		ns = append(ns, n)
	}
	ns = append(ns, samples()[0], samples()[5])
	for _, l := range text.Languages() {
		c := compose(l, ns, noon, "")
		html, err := c.HTML()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "several."+string(l)+".txt", "Subject: "+c.Subject+"\n\n"+c.Plain())
		golden(t, "several."+string(l)+".html", html)
	}
}

// A list that no mail program shows helps nobody.
func TestThousandNoticesAreCountedNotListed(t *testing.T) {
	var ns []control.Notice
	for i := range 1000 {
		ns = append(ns, failing(1, fmt.Sprintf("current-%04d", i)))
	}
	c := compose(text.Spanish, ns, noon, "")
	if want := "Se han detenido las entregas de 1000 Currents"; c.Subject != want {
		t.Errorf("subject %q, want %q", c.Subject, want)
	}
	lines := c.Parts[0].Lines
	if len(lines) != maxLines+1 || lines[maxLines] != "Hay 700 más que no figuran en esta lista." {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

func TestADropThatNobodyCounted(t *testing.T) {
	n := samples()[5]
	n.Params["events"], n.Params["reason"] = "-1", "trimmed"
	c := compose(text.English, []control.Notice{n}, noon, "")
	if c.Subject != "warehouse (acme): events were dropped" || !strings.Contains(c.Plain(), "How many is not known") {
		t.Errorf("%s\n%s", c.Subject, c.Plain())
	}
	if strings.Contains(c.Plain(), "replay") {
		t.Error("a replay is advised for what the log no longer holds")
	}
}

// Replay refuses a deleted connector: whatever the reason of its losses, nobody is sent there.
func TestLossesOfADeletedConnectorStayLost(t *testing.T) {
	n := samples()[5]
	lives := n
	n.Params = maps.Clone(n.Params)
	n.Params[control.ParamDeleted] = "true"
	for l, says := range map[text.Language]string{text.English: "stays dropped", text.Portuguese: "permanece descartado", text.Spanish: "queda descartado"} {
		if plain := compose(l, []control.Notice{n}, noon, "").Plain(); strings.Contains(plain, "replay") || !strings.Contains(plain, says) {
			t.Errorf("%s:\n%s", l, plain)
		}
		both := compose(l, []control.Notice{lives, n}, noon, "")
		if plain := both.Plain(); len(both.Parts) != 2 || strings.Count(plain, "--dropped") != 1 || strings.Count(plain, says) != 1 {
			t.Errorf("%s, with one that lives:\n%s", l, plain)
		}
	}
}

func TestHostileNamesStayText(t *testing.T) {
	n := failing(1, "x")
	n.Params["connector"] = "a\r\nBcc: victim@example.test\r\n\r\n<script>alert(1)</script>{bucket}\u202Etxt.exe"
	n.Params["message"] = strings.Repeat("<b>&", 10_000)
	c := compose(text.English, []control.Notice{n}, noon, "https://millrace.example.test/?a=1&b=<2>")
	html, err := c.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(c.Subject, "\r\n\u202e") {
		t.Errorf("the subject has lines or turns: %q", c.Subject)
	}
	for _, bad := range []string{"<script", "<b>", "\u202e", "\r"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if !strings.Contains(html, "&lt;script&gt;") || strings.Contains(html, "acme-currents}") {
		t.Error("the name is not shown as it is")
	}
	if len(c.Plain()) > 4000 {
		t.Errorf("a long message makes a mail of %d bytes", len(c.Plain()))
	}
	if strings.Contains(c.Plain(), "\nBcc:") {
		t.Errorf("a name began a line of its own:\n%s", c.Plain())
	}
}

func TestHoursAreReadInEachForm(t *testing.T) {
	want := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, s := range []string{"2026-11-22-10", "2026-11-22T10", "2026-11-22T10:00:00Z"} {
		if got, ok := parseHour(s); !ok || !got.Equal(want) {
			t.Errorf("%s: %v %v", s, got, ok)
		}
	}
	if _, ok := parseHour("yesterday"); ok {
		t.Error("yesterday is an hour")
	}
}

func TestALaterStageOfAnEpisodeStandsForTheEarlier(t *testing.T) {
	of := func(kind control.NoticeKind, connector, episode string) control.Notice {
		n := failing(1, connector)
		n.Kind, n.Episode = kind, episode
		return n
	}
	ns := []control.Notice{
		of(control.NoticeFailing, "a", "1"), of(control.NoticeHalfTime, "a", "1"), of(control.NoticeResumed, "a", "1"), // over
		of(control.NoticeFailing, "a", "2"),                                       // again
		of(control.NoticeFailing, "b", "1"), of(control.NoticeLastCall, "b", "1"), // another's
		of(control.NoticePauseHalf, "c", "1"), of(control.NoticePauseLast, "c", "1"), // paused
		of(control.NoticeSlow, "a", "1"), of(control.NoticeDropped, "b", "1"),
	}
	var got []string
	for _, n := range stillTrue(ns) {
		got = append(got, fmt.Sprint(n.Connector, n.Episode, " ", n.Kind))
	}
	want := []string{"a1 resumed", "a2 failing", "b1 last_call", "c1 pause_last", "a1 slow", "b1 dropped"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestOrderOfUrgency(t *testing.T) {
	ns := samples()
	slices.Reverse(ns)
	for i := range ns {
		ns[i].Params["connector"] = fmt.Sprint("current-", i) // of one the later check would stand for the earlier
	}
	c := compose(text.English, ns, noon, "")
	if len(c.Parts) != len(urgency) || !strings.Contains(c.Subject, fmt.Sprintf("event log is nearly full (and %d more notices)", len(urgency)-1)) {
		t.Errorf("%d parts, subject %q", len(c.Parts), c.Subject)
	}
}

// Three tries of one connector are one connector, of which the last says how it stands; those of others are told with
// what each of them lacks.
func TestTriesOfOneConnectorAreNotSeveralConnectors(t *testing.T) {
	try := func(id, connector, message string) control.Notice {
		return control.Notice{Workspace: 1, Connector: control.ConnectorID(id), Kind: control.NoticeCheckFailed, Episode: id, At: noon, Params: map[string]string{
			"workspace": "acme", "connector": connector, "bucket": "acme-currents", "trigger": "launch", "problem": "access_denied", "message": message}}
	}
	tries := []control.Notice{
		try("1", "warehouse", "s3:ListBucket is not allowed."), try("2", "warehouse", "s3:PutObject is not allowed."), try("3", "warehouse", "s3:GetObject is not allowed."),
	}
	c := compose(text.English, tries, noon, "")
	if plain := c.Plain(); c.Subject != "warehouse (acme): the credential check failed" || !strings.Contains(plain, "s3:GetObject") || strings.Contains(plain, "s3:PutObject is") {
		t.Errorf("%s\n%s", c.Subject, plain)
	}
	c = compose(text.English, append(tries, try("4", "lake", "s3:ListBucket is not allowed.")), noon, "")
	if plain := c.Plain(); c.Subject != "The credential check of 2 Currents failed" || !strings.Contains(plain, "warehouse (acme), bucket acme-currents: s3:GetObject is") || !strings.Contains(plain, "lake (acme), bucket acme-currents: s3:ListBucket is") {
		t.Errorf("%s\n%s", c.Subject, plain)
	}
	passed := try("5", "warehouse", "")
	passed.Kind = control.NoticeCheckPassed
	if c := compose(text.English, append(tries, passed), noon, ""); len(c.Parts) != 1 || c.Subject != "warehouse (acme): the credential check passed" {
		t.Errorf("a check that passed at last: %s\n%s", c.Subject, c.Plain())
	}

	// Losses of one connector stay several lines.
	lost := samples()[5]
	more := lost
	more.Episode, more.Params = "another", maps.Clone(lost.Params)
	if c := compose(text.English, []control.Notice{lost, more}, noon, ""); c.Subject != "Events of 1 Current were dropped" || len(c.Parts[0].Lines) != 2 {
		t.Errorf("%s\n%s", c.Subject, c.Plain())
	}
}

func TestEachExportOfOneMailHasItsLinkItsSizeAndItsTime(t *testing.T) {
	export := func(id, bytes, until string) control.Notice {
		return control.Notice{Workspace: 7, Kind: control.NoticeExportReady, Episode: id, At: noon, Params: map[string]string{"workspace": "acme", "export": id,
			"export_kind": "users_csv", "name": "Buyers " + id, "by": "ana@acme.example", "people": "3", "bytes": bytes, "until": until}}
	}
	ns := []control.Notice{export("one", "2097152", "2026-11-22T16:00:00Z"), export("two", "5242880", "2026-11-22T17:30:00Z")}
	for _, l := range text.Languages() {
		c := compose(l, ns, noon, "https://millrace.example.test")
		html, err := c.HTML()
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range []struct{ id, size, hour string }{{"one", "2", "16"}, {"two", "5", "17"}} {
			link := "https://millrace.example.test/w/7/exports/" + at.id
			if p := c.Parts[i]; p.URL != link || !strings.Contains(p.Title, at.id) || !strings.Contains(p.Title, at.size) || len(p.Says) == 0 || !strings.Contains(p.Says[0].Text, at.hour) {
				t.Errorf("%s: %s is told of as %+v", l, at.id, p)
			}
			if strings.Count(c.Plain(), link+"\n") != 1 || strings.Count(html, `href="`+link+`"`) != 1 {
				t.Errorf("%s: the link of %s is not there once:\n%s", l, at.id, c.Plain())
			}
		}
		if c.URL != "" {
			t.Errorf("%s: there is another link, %s", l, c.URL)
		}
		mixed := compose(l, append(ns[:1:1], failing(1, "warehouse")), noon, "https://millrace.example.test")
		if plain := mixed.Plain(); mixed.URL != "https://millrace.example.test" || !strings.Contains(plain, "/w/7/exports/one\n") {
			t.Errorf("%s: among others:\n%s", l, plain)
		}
	}
}
