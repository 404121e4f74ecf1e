package e2e_test

import (
	"archive/zip"
	"bytes"
	"database/sql"
	"encoding/csv"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/notify/outbox"
	"github.com/millrace/millrace/internal/text"
)

// exporting is a server that keeps people and sends mails, with a workspace of which things are exported.
type exporting struct {
	*server
	t         *testing.T
	data      string // folder
	mails     string // folder
	root      asker  // an installation administrator
	program   asker  // with an API key
	workspace string // the path of its pages
}

func newExporting(t *testing.T, env ...string) *exporting {
	t.Helper()
	x := &exporting{t: t, data: t.TempDir(), mails: t.TempDir()}
	box, err := outbox.Listen(x.mails, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	x.server = newServer(t, x.data, append(env, "MILLRACE_PROFILES=true", "MILLRACE_API_RATE_LIMIT=0", "MILLRACE_SMTP_URL="+box.URL(), "MILLRACE_SMTP_FROM=millrace@ops.example", "MILLRACE_NOTICE_QUIET=1s")...)
	x.start()
	x.root = x.asks("root@mill.example", "--installation-administrator")
	x.workspace = "/w/" + x.root.want(201, "POST", "/api/v1/workspaces", jsonObject{"name": "acme"}).at("id").(string)
	key := strings.TrimSpace(must(t, x.env, "key", "create", "--workspace", "acme", "--name", "crm", "--scope", "events.write", "--scope", "users.track", "--scope", "users.export.segment"))
	x.program = asker{t, "http://" + x.addr, key, http.DefaultClient}
	return x
}

// track tells of people, each with at least an external_id, and gives a segment of all of them once they are kept.
func (x *exporting) track(people ...jsonObject) (segment string) {
	x.t.Helper()
	for some := range slices.Chunk(people, 75) {
		x.program.want(201, "POST", "/users/track", jsonObject{"attributes": some})
	}
	segment = x.root.want(201, "POST", api(x.workspace)+"/segments", jsonObject{"name": "everybody"}).at("id").(string)
	x.root.until(api(x.workspace)+"/segments/"+segment+"/size", func(a told) bool { return a.at("people") == float64(len(people)) })
	return segment
}

// comes gives a window of a new member of the workspace who may export user data, where they have signed in.
func (x *exporting) comes(t *testing.T, email string, as screen, rights ...string) *window {
	t.Helper()
	link := must(t, x.env, append([]string{"member", "add", "--email", email, "--workspace", "acme", "--role", "editor", "--export-user-data"}, rights...)...)
	w := x.open(t, as)
	w.comesBy(link, email)
	return w
}

// takes takes the right to export user data away from a member.
func (x *exporting) takes(email string) {
	x.t.Helper()
	all := x.root.want(200, "GET", api(x.workspace)+"/members", nil)
	for i := 0; all.at(fmt.Sprint("items.", i)) != nil; i++ {
		if item := fmt.Sprint("items.", i, "."); all.at(item+"email") == email {
			x.root.want(200, "PATCH", api(x.workspace)+"/members/"+all.at(item+"id").(string), jsonObject{"export_user_data": false})
			return
		}
	}
	x.t.Fatalf("%s is not among %s", email, all.text)
}

// exec changes so many rows of the server's database: what else only time does, which no test can wait for.
func (x *exporting) exec(rows int64, query string, args ...any) {
	x.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(x.data, "millrace.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		x.t.Fatal(err)
	}
	defer db.Close()
	r, err := db.Exec(query, args...)
	if err != nil {
		x.t.Fatal(err)
	}
	if n, err := r.RowsAffected(); err != nil || n != rows {
		x.t.Fatalf("%s meets %d rows of %d, %v", query, n, rows, err)
	}
}

// letter is a mail as its reader has it.
type letter struct{ subject, plain, html string }

// mailTo waits for a mail to somebody that good says is the one.
func (x *exporting) mailTo(t *testing.T, address string, good func(letter) bool) (found letter) {
	t.Helper()
	eventually(t, time.Minute, "a mail to "+address, func() bool {
		names, err := filepath.Glob(filepath.Join(x.mails, "*-"+address+".eml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if found = readLetter(t, name); good(found) {
				return true
			}
		}
		return false
	})
	return found
}

func readLetter(t *testing.T, file string) (l letter) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	b, err := os.ReadFile(file)
	check(err)
	m, err := netmail.ReadMessage(bytes.NewReader(b))
	check(err)
	l.subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	check(err)
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	check(err)
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return l
		}
		check(err)
		if got := p.Header.Get("Content-Transfer-Encoding"); got != "quoted-printable" {
			t.Fatalf("%s: a part is %s", file, got)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(p))
		check(err)
		whole := strings.ReplaceAll(string(text), "\r\n", "\n")
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			l.html = whole
		} else {
			l.plain = whole
		}
	}
}

// link is the one address in a mail, which both of its forms have.
func (l letter) link(t *testing.T) string {
	t.Helper()
	at := regexp.MustCompile(`http://\S+`).FindString(l.plain)
	if at == "" || !strings.Contains(l.html, `href="`+at+`"`) {
		t.Fatalf("the mail leads to %q:\n%s\n%s", at, l.plain, l.html)
	}
	return at
}

// saves does what has the browser save a file, and gives its name and bytes.
func (w *window) saves(do func()) (name string, file []byte) {
	w.t.Helper()
	folder := w.t.TempDir()
	w.do(tell(browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow,
		BrowserContextID: chromedp.FromContext(w.ctx).BrowserContextID, DownloadPath: folder}))
	do()
	eventually(w.t, patience, "a file is saved", func() bool {
		all, err := os.ReadDir(folder)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range all {
			if strings.HasSuffix(f.Name(), ".zip") {
				name = f.Name()
			}
		}
		return name != "" && len(all) == 1
	})
	file, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return name, file
}

// unzip gives the files of an archive by name.
func unzip(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatalf("%v in %.200q", err, archive)
	}
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// rows reads a CSV as a spreadsheet does that expects this delimiter.
func rows(t *testing.T, file []byte, delimiter rune) [][]string {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(file, []byte("\ufeff"))))
	r.Comma = delimiter
	all, err := r.ReadAll()
	if err != nil {
		t.Fatalf("%v in %q", err, file)
	}
	return all
}

// enters goes to what has these words on it with the keyboard alone, and presses it.
func (w *window) enters(words string) {
	w.t.Helper()
	w.tabTo(words)
	w.keys(kb.Enter)
}

// From a segment's page to the bytes of its CSV, as a member goes there: with the keyboard alone, on a phone, by the mail's
// link into a browser that has not signed in. Then each page that says why there is nothing to download. In each language.
func TestASegmentIsExportedMailedAndDownloaded(t *testing.T) {
	t.Parallel()
	x := newExporting(t)
	segment := x.track(
		jsonObject{"external_id": "=1+1", "first_name": "María; \"José\"", "country": "ES", "plan": "-gold"},
		jsonObject{"external_id": "user-2", "first_name": "@SUM(A1)", "home_city": "São Paulo", "plan": "ouro"},
	)
	for _, l := range text.Languages() {
		t.Run(string(l), func(t *testing.T) {
			email := strings.ToLower(string(l)) + "@acme.example"
			w := x.comes(t, email, screen{lang: l, width: 320})
			w.visit(x.workspace + "/segments/" + segment)
			w.enters(w.says("page.export_users"))
			w.at("/export")
			w.sound()
			w.tabTo("custom_attributes_to_export")
			w.keys(" ")
			w.tabTo("delimiter")
			w.keys(w.says("page.export_semicolon"))
			if l == text.English { // elsewhere it is proposed
				w.tabTo("bom")
				w.keys(" ")
			}
			w.enters(w.says("page.export_start"))
			w.at("/exports/[0-9a-f-]{36}$")
			at := w.path()
			w.sees(w.says("page.export_asked", "email", email), w.says("page.export_n_people", "n", 2), w.says("page.export_download"))
			w.sound()

			what := "everybody (" + w.says("page.export_users") + ")"
			m := x.mailTo(t, email, func(m letter) bool {
				return m.subject == w.says("notice.export_ready.subject", "workspace", "acme", "what", what)
			})
			for _, says := range []string{w.says("mail.open_exports"), w.says("mail.footer_exports")} {
				if !strings.Contains(m.plain, says) || !strings.Contains(m.html, says) {
					t.Errorf("no %q in the mail\n%s\n%s", says, m.plain, m.html)
				}
			}
			if strings.Contains(m.plain+m.html, "María") {
				t.Error("the mail has what is in the file")
			}
			link := m.link(t)
			if link != w.base+at {
				t.Errorf("the mail leads to %s, the export is at %s", link, at)
			}

			other := x.open(t, screen{lang: l, width: 320})
			other.visit(strings.TrimPrefix(link, other.base))
			other.at("^/sign-in")
			other.sound()
			other.tabTo("email")
			other.keys(email)
			other.tabTo("password")
			other.keys(adaPassword, kb.Enter)
			other.at(regexp.QuoteMeta(at) + "$")
			other.sees(other.says("page.export_n_people", "n", 2))
			name, archive := other.saves(func() { other.enters(other.says("page.export_download")) })
			if !regexp.MustCompile(`^users_csv-\d{4}-\d\d-\d\d-[0-9a-f]{8}\.zip$`).MatchString(name) {
				t.Errorf("the file is called %s", name)
			}
			files := unzip(t, archive)
			if len(files) != 1 {
				t.Errorf("the archive has %d files", len(files))
			}
			for name, file := range files {
				if !strings.HasSuffix(name, ".csv") || !bytes.HasPrefix(file, []byte("\ufeffAppboy ID;country;created_at;")) {
					t.Errorf("%s begins with %.60q", name, file)
				}
				got := rows(t, file, ';')
				if len(got) != 3 || len(got[0]) != 36 {
					t.Fatalf("there are %d lines of %d cells", len(got), len(got[0]))
				}
				cell := func(line int, column string) string { return got[line][slices.Index(got[0], column)] }
				for i, want := range []map[string]string{
					{"user_id": "'=1+1", "first_name": "María; \"José\"", "country": "ES", "city": "", "custom_attributes.plan": "'-gold"},
					{"user_id": "user-2", "first_name": "'@SUM(A1)", "country": "", "city": "São Paulo", "custom_attributes.plan": "ouro"},
				} {
					for column, want := range want {
						if got := cell(i+1, column); got != want {
							t.Errorf("line %d has %q under %s, want %q", i+1, got, column, want)
						}
					}
				}
				for _, line := range got {
					for _, cell := range line {
						if strings.ContainsAny(cell[:min(1, len(cell))], "=+-@\t\r") {
							t.Errorf("a spreadsheet would run %q", cell)
						}
					}
				}
			}

			// Somebody has emptied the folder; the file's time is over; the right is taken away.
			id := at[strings.LastIndex(at, "/")+1:]
			if err := os.RemoveAll(filepath.Join(x.data, "exports", id)); err != nil {
				t.Fatal(err)
			}
			other.visit(at + "/download")
			other.sees(other.says("page.export_no_download"), other.says("control.export_gone"), other.says("control.export_gone_hint"))
			other.sound()
			x.exec(1, "UPDATE exports SET expires_at = ? WHERE id = ?", time.Now().Add(-time.Minute).UnixMilli(), id)
			other.visit(at + "/download")
			other.sees(other.says("page.export_no_download"), other.says("page.export_expired_text"))
			other.sound()
			other.enters(other.says("page.export_to"))
			other.at(regexp.QuoteMeta(at) + "$")
			other.sees(other.says("page.export_says_past", "content", other.says("page.export_n_people", "n", 2)))
			other.sound()
			x.takes(email)
			for _, page := range []string{at, at + "/download", x.workspace + "/segments/" + segment + "/export", x.workspace + "/exports"} {
				other.visit(page)
				other.sees(other.says("page.export_right"), other.says("page.export_right_text"))
				other.sound()
			}
		})
	}
}

// A report is made on a schedule by the form, each time it is due, and told of by mail to who is to have it; when who made the
// schedule may not any more it stops, and says so on its page and by mail. In each language.
func TestAReportRunsOnItsSchedule(t *testing.T) {
	t.Parallel()
	x := newExporting(t)
	var lines []string
	yesterday := time.Now().Add(-24 * time.Hour).Unix() // a report is of whole days
	for i := range 3 {
		lines = append(lines, fmt.Sprintf(`{"event_type":"users.messages.email.Send","user_id":"u%d","external_user_id":"u%d","email_address":"u%d@x.example","campaign_id":"spring","campaign_name":"=Spring, \"sale\"","message_variation_id":"v1","time":%d}`, i, i, i, yesterday))
	}
	if status, _, answer, err := x.post(x.program.token, "", []byte(strings.Join(lines, "\n"))); err != nil || status != 200 {
		t.Fatalf("status %d: %s %v", status, answer, err)
	}
	x.root.until(api(x.workspace)+"/campaigns", func(a told) bool { return a.at("items.0.sent_7_days") == 3.0 })

	windows := map[text.Language]*window{}
	for _, l := range text.Languages() {
		email := strings.ToLower(string(l)) + "@acme.example"
		w := x.comes(t, email, screen{lang: l, width: 320})
		windows[l] = w
		w.visit(x.workspace + "/exports")
		w.enters(w.says("page.report_new"))
		w.at("/reports/new")
		w.sound()
		w.tabTo("report.campaigns")
		w.keys(" ")
		w.tabTo("report.per")
		w.keys(w.says("page.report_whole"))
		w.tabTo("recipients")
		w.keys(email)
		w.enters(w.says("page.report_schedule"))
		w.tabTo("scheduled")
		w.keys(" ")
		w.tabTo("name")
		w.keys("Report " + string(l))
		w.tabTo("unit")
		w.keys(w.says("page.report_days"))
		w.tabTo("hour")
		w.keys("9")
		w.tabTo("zone")
		w.keys("America/Sao_Paulo")
		w.enters(w.says("page.report_make"))
		w.at("/reports$")
		w.sees(w.says("page.report_scheduled", "name", "Report "+string(l)), w.says("page.status_active"))
		w.sound()
	}
	now := time.Now().UTC()
	nine := time.Date(now.Year(), now.Month(), now.Day(), 12, 0, 0, 0, time.UTC)
	if !nine.After(now) {
		nine = nine.AddDate(0, 0, 1)
	}
	eva := x.asks("eva@acme.example", "--workspace", "acme", "--role", "viewer", "--export-user-data")
	all := eva.want(200, "GET", api(x.workspace)+"/report-schedules", nil)
	for i := range text.Languages() {
		if got := all.at(fmt.Sprintf("items.%d.next_at", i)); got != nine.Format(time.RFC3339) {
			t.Errorf("it is to run at %v, not %s", got, nine.Format(time.RFC3339))
		}
	}
	due := func() {
		x.exec(3, "UPDATE report_schedules SET next_run = ? WHERE paused = 0", time.Now().Add(-time.Minute).UnixMilli())
	}
	due()
	for _, l := range text.Languages() {
		t.Run(string(l), func(t *testing.T) {
			w, email, name := windows[l], strings.ToLower(string(l))+"@acme.example", "Report "+string(l)
			m := x.mailTo(t, email, func(m letter) bool {
				return m.subject == w.says("notice.export_ready.subject", "workspace", "acme", "what", name+" ("+w.says("page.export_engagement")+")")
			})
			link := m.link(t)
			w.visit(strings.TrimPrefix(link, w.base))
			w.sees(name, w.says("page.export_by_schedule"), w.says("page.export_n_lines", "n", 1))
			w.sound()
			_, archive := w.saves(func() { w.enters(w.says("page.export_download")) })
			files := unzip(t, archive)
			delimiter := ';'
			if l == text.English {
				delimiter = ','
			}
			got := rows(t, files["campaigns.csv"], delimiter)
			if len(files) != 1 || len(got) != 2 || got[0][0] != "Campaign Name" || got[1][0] != `'=Spring, "sale"` || got[1][1] != "spring" || got[1][slices.Index(got[0], "Email Sends")] != "3" {
				t.Errorf("the report is %q", got)
			}
			w.visit(x.workspace + "/reports")
			w.sees(name, w.says("page.status_active"))
			w.sound()
		})
	}
}

// What a program asks for is followed on the page of exports: how far it is, cancelled in the middle, downloaded; and once a
// bucket is linked, on its own page too, it is found there and nowhere else.
func TestAnExportOfAProgramIsFollowedOnThePage(t *testing.T) {
	t.Parallel()
	const name, crowd = "acme-exports", 6000 // two parts
	v := buckettest.StartVersity(t)
	v.CreateBucket(t, name, false)
	user := v.CreateUser(t, "exports", must(t, nil, "policy", "exports", "--method", "key", "--bucket", name, "--strict"))
	store := startProxy(t, v.Endpoint)
	x := newExporting(t)
	people := make([]jsonObject, crowd)
	for i := range people {
		people[i] = jsonObject{"external_id": fmt.Sprint("user-", i)}
	}
	segment := x.track(people...)
	w := x.comes(t, "ana@acme.example", screen{lang: text.Portuguese, width: 320})
	ask := func() (at string, out told) {
		t.Helper()
		out = x.program.want(200, "POST", "/users/export/segment", jsonObject{"segment_id": segment, "fields_to_export": []string{"external_id"}})
		return x.workspace + "/exports/" + out.at("object_prefix").(string)[:36], out
	}

	// Without a bucket.
	_, out := ask()
	url := out.at("url").(string)
	w.visit(x.workspace + "/exports")
	w.sees(w.says("page.export_lines"), w.says("page.export_by_api"), w.says("page.export_done"), text.Portuguese.Number(crowd))
	w.sound()
	_, saved := w.saves(func() { w.enters(w.says("page.export_download")) })
	if n := once(t, map[string]bool{}, saved); n != crowd {
		t.Errorf("%d users are in the file", n)
	}
	if status, b := fetch(t, url); status != 200 || !bytes.Equal(b, saved) {
		t.Errorf("the link of the answer gives %d and %d bytes, the page %d", status, len(b), len(saved))
	}

	// The bucket is linked on its page.
	w.visit(x.workspace + "/partners/s3/link")
	w.choose("method", "key")
	w.fill("access_key_id", user.AccessKeyID)
	w.fill("secret_access_key", user.SecretAccessKey.Reveal())
	w.fill("bucket", name)
	w.unfold(w.says("page.partner_compatible"))
	w.fill("endpoint", store.URL)
	w.choose("path_style", "on")
	w.fill("region", "us-east-1")
	w.sound()
	w.press(w.says("page.partner_save"))
	w.at("/partners/s3$")
	w.sees(w.says("page.partner_saved"), name)
	w.sound()

	// The second file hangs: what has come through shows, and it is cancelled.
	var files int
	store.set(func(r *http.Request) mishap {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/segment-export/") {
			if files++; files == 2 {
				return stall
			}
		}
		return none
	})
	at, out := ask()
	if out.at("url") != nil {
		t.Errorf("with a linked bucket the answer has a url: %s", out.text)
	}
	w.visit(x.workspace + "/exports")
	w.until("how far it is", `document.querySelector("progress")?.value === 5000`)
	w.sees(w.says("page.exports_open", "n", 1), w.says("page.export_running"), w.says("page.export_of_about", "n", 5000, "all", js[int](w, `document.querySelector("progress").max`)))
	w.sound()
	w.visit(at)
	w.until("how far it is", `document.querySelector("progress")?.value === 5000`)
	w.sees("s3://" + name + "/segment-export/" + segment)
	w.sound()
	w.enters(w.says("page.export_cancel"))
	w.sees(w.says("page.export_was_cancelled"), w.says("page.export_says_cancelled"))
	w.sound()
	store.calm()
	in := func(out told, file string) string {
		return filepath.Join(v.Dir, name, "segment-export", segment, "*", out.at("object_prefix").(string), file)
	}
	cancelled := in(out, "*")

	// The next is in the bucket, and nowhere else.
	at, out = ask()
	w.visit(at)
	w.sees(w.says("page.export_says_bucket", "content", w.says("page.export_n_people", "n", crowd), "bucket", name), out.at("object_prefix").(string))
	w.sound()
	if js[bool](w, "Boolean("+control(w.says("page.export_download"))+")") {
		t.Error("it can be downloaded")
	}
	w.visit(at + "/download")
	w.sees(w.says("page.export_no_download"), w.says("control.export_no_file"))
	w.sound()
	wholeExport(t, in(out, ""), crowd)
	if left, err := filepath.Glob(cancelled); err != nil || len(left) != 1 || strings.HasSuffix(left[0], "manifest.json") {
		t.Errorf("of what was cancelled there is %v %v", left, err)
	}

	// A CSV of a person's is in both places.
	w.visit(x.workspace + "/segments/" + segment + "/export?kind=users_csv")
	w.sees(w.says("page.export_copy", "bucket", name))
	w.enters(w.says("page.export_start"))
	w.at("/exports/[0-9a-f-]{36}$")
	w.sees(w.says("page.export_download"), "s3://"+name+"/segment-export/"+segment)
	w.sound()
	_, saved = w.saves(func() { w.enters(w.says("page.export_download")) })
	copies, err := filepath.Glob(filepath.Join(v.Dir, name, "segment-export", segment, "*", "users-*.zip"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("in the bucket are %v %v", copies, err)
	}
	if b, err := os.ReadFile(copies[0]); err != nil || !bytes.Equal(b, saved) {
		t.Errorf("the copy in the bucket is another one: %v", err)
	}
	m := x.mailTo(t, "ana@acme.example", func(letter) bool { return true })
	if !strings.Contains(m.plain, w.says("notice.export_ready.bucket", "bucket", name, "folder", "segment-export/"+segment+"/"+time.Now().UTC().Format(time.DateOnly)+"/")) {
		t.Errorf("the mail does not say where the copy is:\n%s", m.plain)
	}
}

// fetch gets an address without any sign of who asks.
func fetch(t *testing.T, url string) (status int, body []byte) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}
