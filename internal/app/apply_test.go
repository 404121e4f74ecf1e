package app

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
)

func TestAFileOfApplyThatHoldsNoWorkspacesIsRefusedByName(t *testing.T) {
	for name, content := range map[string]string{"nothing": "", "a comment": "# later\n", "an empty list": "workspaces: []\n", "only anchors": "x-keys: {a: 1}\n"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.apply(content)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(Sentence(err), "apply.yaml") || !strings.Contains(Sentence(err), "workspaces") {
				t.Errorf("a file: %v", err)
			}
			var out bytes.Buffer
			err = Apply{File: "-"}.Run(t.Context(), &Console{In: strings.NewReader(content), Out: &out, Err: &out}, w.s)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(Sentence(err), "standard input") {
				t.Errorf("standard input: %v\n%s", err, &out)
			}
			if _, err := os.Stat(w.data(databaseName)); err == nil {
				t.Error("a data folder was made for it")
			}
		})
	}
}

func TestAPipeIsReadWhole(t *testing.T) {
	w := newWorld(t)
	name := filepath.Join(w.dir, "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(name, []byte(w.manifest("")), 0) }()
	if out := w.must(Apply{File: name}); !strings.Contains(out, "connector acme/warehouse") {
		t.Errorf("apply prints %q", out)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// A refusal says where in the file it belongs, and names rights as rights and fields as fields.
func TestARefusalOfApplySaysWhere(t *testing.T) {
	w := newWorld(t)
	if _, err := w.apply(w.manifest("")); err != nil {
		t.Fatal(Sentence(err))
	}
	more := func(name, folder, secret string) string {
		_, connectors, _ := strings.Cut(w.manifest(""), "    connectors:\n")
		return strings.NewReplacer("warehouse", name, "bucket: acme-currents", "bucket: acme-currents, folder: "+folder, "env: SECRET", "env: "+secret).Replace(connectors)
	}
	file := "workspaces:\n  - name: acme\n    connectors:\n" + more("nested", "currents/in", "SECRET") + more("locked", "other", "WRONG")
	_, err := w.apply(file)
	for _, want := range []string{
		`connector acme/nested (apply.yaml:4:9): The folder`,
		`connector acme/locked (apply.yaml:10:9): check credentials: S3 credentials are invalid`,
		"\n  s3:GetBucketLocation: ",
	} {
		if text := Sentence(err); ExitCode(err) != 1 || !strings.Contains(text, want) {
			t.Errorf("exit %d, without %q:\n%s", ExitCode(err), want, text)
		}
	}
}

// Of a file in which something is invalid nothing is changed, and a dry run says so too.
func TestADryRunOfAnInvalidFileWouldChangeNothing(t *testing.T) {
	w := newWorld(t)
	for _, dry := range []bool{true, false} {
		name := filepath.Join(w.dir, "apply.yaml")
		if err := os.WriteFile(name, []byte(strings.Replace(w.manifest(""), "[all]", "[nothing]", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := w.play(Apply{File: name, DryRun: dry})
		if !fault.Is(err, fault.Invalid) || out != "" || !strings.Contains(Sentence(err), "nothing was changed") {
			t.Errorf("dry run %t: %v\n%s", dry, err, out)
		}
	}
}

// What to do about one refusal is wrong for another: a role's external id printed under a connector that needs none.
func TestEachRefusalOfApplyKeepsItsOwnHint(t *testing.T) {
	err := applyError(client.Applied{Failures: []client.ApplyFailure{
		{Kind: "connector", Workspace: "acme", Name: "a", Code: "forbidden", Message: "No.", Hint: "Mend a."},
		{Kind: "connector", Workspace: "acme", Name: "b", Code: "forbidden", Message: "No."},
		{Kind: "data export", Workspace: "acme", Code: "forbidden", Message: "No.", Hint: "Mend the role."},
	}})
	want := "refused: connector acme/a: No.\n  → Mend a.\nrefused: connector acme/b: No.\nrefused: data export acme: No.\n  → Mend the role."
	if Sentence(err) != want || Hint(err) != "" || ExitCode(err) != 1 {
		t.Errorf("exit %d, hint %q:\n%s", ExitCode(err), Hint(err), Sentence(err))
	}
}

// What is no key and what is no valid value are told together, in the order of the file.
func TestAFileOfApplyIsMendedInOneRound(t *testing.T) {
	w := newWorld(t)
	_, err := w.apply(`workspaces:
  - name: acme
    api_keys: [{name: producer, scopes: [events.wrote], secret_env: KEY}]
    webhooks:
      - {url: nowhere, secret_env: NOBODYS}
    connectors:
      - name: warehouse
        contact_mail: data@acme.example
        destination: {bucket: A_B, access_key_id: AKIAWORLD, secret_access_key_env: SECRET}
        events: [nothing]
    unknown_fields: perhaps
`)
	e := fault.As(err)
	if e == nil || e.Code != fault.Invalid {
		t.Fatal(err)
	}
	var at []string
	for _, p := range e.Fields {
		line, path, _ := strings.Cut(strings.TrimPrefix(p.Field, "apply.yaml:"), ":")
		at = append(at, line+path[strings.LastIndexAny(path, ".[ "):])
	}
	want := []string{"3[0]", "5.url", "5.secret_env", "8.contact_mail", "9.bucket", "10[0]", "11.unknown_fields"}
	if !slices.Equal(at, want) {
		t.Errorf("it tells of %q, want %q\n%s", at, want, Sentence(err))
	}
}

// Another spelling of an address makes no second webhook.
func TestAWebhookStaysTheSameHoweverItsAddressIsWritten(t *testing.T) {
	w := newWorld(t)
	file := func(url string) string {
		return "workspaces: [{name: acme, webhooks: [{url: '" + url + "', secret: a-secret-of-many-characters, kinds: [failing]}]}]"
	}
	if _, err := w.apply(file("https://hooks.acme.example/In")); err != nil {
		t.Fatal(err)
	}
	if out, err := w.apply(file("HTTPS://Hooks.acme.example:443/In")); err != nil || out != "nothing to change\n" {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := w.apply(strings.Replace(file("HTTPS://hooks.acme.example/In"), "failing", "dropped", 1)); err != nil || !strings.Contains(out, "kinds") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := w.apply(file("https://hooks.acme.example/in")); err != nil || out == "nothing to change\n" {
		t.Errorf("a path in another case: %v\n%s", err, out)
	}
}

func TestWhatIsToBeGoneMakesNoWorkspace(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		out, err := w.apply("workspaces: [{name: nobodys, connectors: [{name: x, deleted: true}], data_export: {deleted: true}}]")
		if err != nil || out != "nothing to change\n" {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// Such a webhook would never be called: who makes it learns that now, and not from deliveries that fail.
func TestAWebhookAtAnAddressInsideIsRefusedWhenItIsMade(t *testing.T) {
	w := newWorld(t)
	file := func(url string) string {
		return "workspaces: [{name: acme, webhooks: [{url: '" + url + "', secret: a-secret-of-many-characters}]}]"
	}
	for _, url := range []string{"http://10.1.2.3/hook", "https://[fd00::1]:8443/hook"} {
		if out, err := w.apply(file(url)); !fault.Is(err, fault.Invalid) || !strings.Contains(Sentence(err), "MILLRACE_ALLOWED_ENDPOINT_NETWORKS") {
			t.Errorf("%s: %v\n%s", url, err, out)
		}
	}
	for _, url := range []string{"http://127.0.0.1/hook", "https://hook.example/hook"} { // an allowed network, and a name
		if out, err := w.apply(file(url)); err != nil {
			t.Errorf("%s: %v\n%s", url, err, out)
		}
	}
}

// What a file says of a store that nobody may connect to is refused before anything of the file is done.
func TestAStoreAtAnAddressInsideIsRefusedWithItsPlace(t *testing.T) {
	w := newWorld(t)
	out, err := w.apply(`workspaces:
  - name: inner
    connectors:
      - name: warehouse
        contact_email: data@acme.example
        destination: {bucket: acme-currents, endpoint: "http://10.1.2.3:9000", access_key_id: AKIAWORLD, secret_access_key_env: SECRET}
        events: [all]
    data_export: {bucket: acme-exports, endpoint: "http://[fd00::1]", access_key_id: AKIAWORLD, secret_access_key_env: SECRET}
`)
	for _, want := range []string{"destination.endpoint", "data_export.endpoint", "10.1.2.3", "fd00::1", "MILLRACE_ALLOWED_ENDPOINT_NETWORKS"} {
		if !fault.Is(err, fault.Invalid) || !strings.Contains(Sentence(err), want) {
			t.Errorf("nothing of %s: %v\n%s", want, err, out)
		}
	}
	if out, err := w.apply("workspaces: [{name: inner, connectors: [{name: warehouse, deleted: true}]}]"); err != nil || out != "nothing to change\n" {
		t.Errorf("something was made: %v\n%s", err, out)
	}
}
