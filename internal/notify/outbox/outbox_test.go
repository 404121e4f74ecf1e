package outbox

import (
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/fault"
)

func catch(t *testing.T) (*Server, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mail", "outbox")
	s, err := Listen(dir, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, dir
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestEachMailIsAFile(t *testing.T) {
	s, dir := catch(t)
	mail := "Subject: one\r\n\r\n.a line that begins with a dot\r\nolá\r\n"
	if err := smtp.SendMail(s.Addr(), nil, "millrace@example.test", []string{"data@acme.example", "ops@acme.example"}, []byte(mail)); err != nil {
		t.Fatal(err)
	}
	got := names(t, dir)
	if len(got) != 2 || !strings.HasSuffix(got[0], "Z-data@acme.example.eml") || !strings.HasSuffix(got[1], "Z-ops@acme.example.eml") {
		t.Fatalf("%q", got)
	}
	b, err := os.ReadFile(filepath.Join(dir, got[0]))
	if err != nil || string(b) != mail {
		t.Errorf("%q, %v", b, err)
	}
}

func TestNamesAreInOrderAndDistinct(t *testing.T) {
	s, dir := catch(t)
	var under sync.WaitGroup
	for range 20 {
		under.Go(func() {
			if err := smtp.SendMail(s.Addr(), nil, "m@example.test", []string{"data@acme.example"}, []byte("\r\nx\r\n")); err != nil {
				t.Error(err)
			}
		})
	}
	under.Wait()
	if got := names(t, dir); len(got) != 20 {
		t.Errorf("%d files: %q", len(got), got)
	}
}

func TestAnAddressIsNoPath(t *testing.T) {
	for in, want := range map[string]string{
		"../../etc/passwd@x":      "_.._etc_passwd@x",
		"a\x00b\\c:d@x":           "a_b_c_d@x",
		".hidden@x":               "hidden@x",
		strings.Repeat("a", 300):  strings.Repeat("a", 100),
		"ação+tag_1@acme.example": "a__o+tag_1@acme.example",
		strings.Repeat("é", 200):  strings.Repeat("_", 100),
		"data@acme.example":       "data@acme.example",
		"\"a/b\"@acme.example":    "_a_b_@acme.example",
		"":                        "",
	} {
		if got := fileName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWhatCannotBeKeptIsNotTaken(t *testing.T) {
	s, dir := catch(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	err := smtp.SendMail(s.Addr(), nil, "m@example.test", []string{"data@acme.example"}, []byte("\r\nx\r\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "452") {
		t.Errorf("%v", err)
	}
}

func TestAnAddressThatIsTaken(t *testing.T) {
	s, _ := catch(t)
	if _, err := Listen(t.TempDir(), s.Addr()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
	if !strings.HasPrefix(s.URL(), "smtp://127.0.0.1:") {
		t.Errorf("%s", s.URL())
	}
}

// Closed at once, the library had not yet begun to serve and never ended.
func TestCloseRightAfterListen(t *testing.T) {
	for range 300 {
		s, err := Listen(t.TempDir(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
