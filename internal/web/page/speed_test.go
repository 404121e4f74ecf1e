package page

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store/storetest"
	"github.com/millrace/millrace/internal/web"
)

// busy is a world whose workspace has a month behind it, and a browser of its administrator. Statements are those that the
// store has been sent.
func busy(t testing.TB, connectors int) (b *browser, paths []string, statements *[]string) {
	t.Helper()
	statements = new([]string)
	w := newWorldOf(t, web.OIDC{}, func(sql string) { *statements = append(*statements, sql) })
	w.installs()
	first := storetest.Month(t, w.store, w.acme, connectors)
	root := control.WithActor(t.Context(), control.CommandLine())
	for i := range connectors { // as many of everything else
		_, err := w.plane.SaveDraft(root, w.acme.Number, "", control.Edit{Name: new(fmt.Sprint("draft ", i))}, nil)
		must(t, err)
		_, _, err = w.plane.CreateKey(root, control.APIKey{Workspace: w.acme.Number, Name: fmt.Sprint("key ", i), Scopes: []control.Scope{"events.write"}}, secret.Value{})
		must(t, err)
	}
	hour := eventlog.HourOf(time.Now()).Start().Format("2006-01-02T15")
	current := w.at("/currents/" + string(first))
	for _, path := range []string{"", "/currents", "/currents/new", "/events", "/events/users.messages.email.Open", "/partners", "/partners/s3", "/notices",
		"/settings", "/settings/members", "/settings/keys", "/settings/webhooks", "/settings/changes"} {
		paths = append(paths, w.at(path))
	}
	for _, path := range []string{"", "?by=minute", "?by=day", "/files", "/files?q=nowhere", "/audit", "/audit/" + hour, "/losses", "/checks", "/settings", "/credentials", "/replay", "/delete"} {
		paths = append(paths, current+path)
	}
	return w.signedIn("en"), append(paths, "/me", "/me/security", "/me/tokens", "/workspaces", "/installation", "/installation/people", "/installation/notices"), statements
}

// No page asks the store more often because there is more to show.
func TestNoPageAsksRowByRow(t *testing.T) {
	t.Parallel()
	asked := map[int]map[int][]string{}
	for _, n := range []int{2, 12} {
		asked[n] = map[int][]string{}
		b, paths, statements := busy(t, n)
		for i, path := range paths {
			*statements = nil
			if p := b.get(path); p.status != http.StatusOK {
				t.Fatalf("%s: status %d\n%s", path, p.status, p.body)
			}
			asked[n][i] = append(slices.Clone(*statements), path)
		}
	}
	for i, few := range asked[2] {
		if many := asked[12][i]; len(many) > len(few) {
			t.Errorf("%s: %d statements with 2 of everything and %d with 12:\n%s", many[len(many)-1], len(few)-1, len(many)-1, strings.Join(many, "\n"))
		}
	}
}

// A browser that has nothing yet loads less than 60 KB for any page, all that stands beside it included.
func TestAFirstLoadIsSmall(t *testing.T) {
	t.Parallel()
	b, paths, _ := busy(t, 200)
	l, err := newLook()
	must(t, err)
	beside := 0
	for _, a := range l.assets {
		beside += len(a.packed)
	}
	for _, path := range paths {
		p := b.get(path)
		if size := beside + len(pack([]byte(p.body), gzip.DefaultCompression)); p.status != http.StatusOK || size >= 60<<10 {
			t.Errorf("%s: status %d, %d bytes in gzip, of which %d are style, script and icons", path, p.status, size, beside)
		}
	}
}

// BenchmarkPages is how long each page takes to answer in a workspace of 200 Currents with a month behind it. p95-ms is what one
// of twenty takes longer than; KB is the page in gzip.
func BenchmarkPages(b *testing.B) {
	in, paths, statements := busy(b, 200)
	for _, path := range paths {
		b.Run(patternOf(path), func(b *testing.B) {
			var took []time.Duration
			*statements = nil
			var size int
			before := cpu(b)
			for b.Loop() {
				began := time.Now()
				w := httptest.NewRecorder()
				in.w.h.ServeHTTP(w, in.request(path))
				took = append(took, time.Since(began))
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
				size = w.Body.Len()
			}
			b.ReportMetric(float64((cpu(b)-before)/time.Duration(len(took)))/float64(time.Millisecond), "cpu-ms")
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*95/100])/float64(time.Millisecond), "p95-ms")
			b.ReportMetric(float64(len(*statements)/len(took)), "statements")
			b.ReportMetric(float64(size)/1024, "KB")
		})
	}
}

// cpu is how long the processors have worked for this process.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// patternOf is a path without its ids.
func patternOf(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if i > 0 && (parts[i-1] == "w" || parts[i-1] == "currents" && len(p) >= 24) {
			_, query, found := strings.Cut(p, "?")
			if parts[i] = "{}"; found {
				parts[i] += "?" + query
			}
		}
	}
	return strings.Join(parts, "/")
}

// request is what the browser asks for a page with.
func (b *browser) request(path string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, path, bytes.NewReader(nil))
	r.Header.Set("Accept-Encoding", "gzip, deflate, br")
	for k, v := range b.cookies {
		r.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	return r
}
