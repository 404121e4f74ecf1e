package bucket

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/secret"
)

func TestParseFolder(t *testing.T) {
	for in, want := range map[string]string{
		"currents": "currents", "/currents/": "currents", "//a/b//": "a/b", "": "", "/": "", "a b/ü": "a b/ü",
		strings.Repeat("x", 512): strings.Repeat("x", 512), "a/segment-export": "a/segment-export", "...": "...",
	} {
		if got, problems := ParseFolder("folder", in); got != want || problems != nil {
			t.Errorf("%q: got %q %v, want %q", in, got, problems, want)
		}
	}
	for in, code := range map[string]string{
		"a//b": "invalid", "a/./b": "invalid", "..": "invalid", "a/..": "invalid", "a\nb": "invalid", "a\u0085b": "invalid",
		strings.Repeat("x", 513): "too_long", "a\xff": "invalid_utf8",
		"segment-export": "reserved", "/engagement-report-export/x": "reserved",
	} {
		if _, problems := ParseFolder("folder", in); len(problems) != 1 || problems[0].Code != code || problems[0].Field != "folder" {
			t.Errorf("%q: got %v, want one problem %s", in, problems, code)
		}
	}
}

func TestValidateName(t *testing.T) {
	for _, good := range []string{"abc", "acme-currents", "a.b.c", "1st", strings.Repeat("a", 63)} {
		if p := ValidateName("bucket", good); p != nil {
			t.Errorf("%q: %v", good, p)
		}
	}
	for _, bad := range []string{
		"", "ab", "Acme", "a_b", "-ab", "ab-", "a..b", "a.-b", "192.168.1.1", "xn--abc", "abc-s3alias", "use1--x-s3",
		"arn:aws:s3:::abc", "s3://abc", "abc/def", strings.Repeat("a", 64), "a b c",
	} {
		if p := ValidateName("bucket", bad); len(p) != 1 {
			t.Errorf("%q: %v, want one problem", bad, p)
		}
	}
}

func TestValidateEndpoint(t *testing.T) {
	for _, good := range []string{"", "http://127.0.0.1:9000", "https://s3.example.com", "https://[::1]:9000/", "https://example.com/base", "http://my_store:9000", "https://store.example.", "https://büro.example", "https://s3.1a.example", "https://例え.example", "https://exam\u00adple.com"} {
		if p := ValidateEndpoint("endpoint", good); p != nil {
			t.Errorf("%q: %v", good, p)
		}
	}
	for _, bad := range []string{
		"example.com", "ftp://example.com", "http://", "https://u:p@example.com", "https://example.com?x", "https://example.com#x",
		"https://example.com:0", "https://example.com:99999", "https://exa mple.com", "http://%zz", "//example.com",
		"https://a..b", "https://-", "https://a-.b", "https://.", "https://example.com:", "https://0x7f.1", "https://0X7F", "https://2130706433", "https://127.1", "https://１２７.０.０.１", "https://0ｘ7f000001", "https://①②⑦.1", "https://127．0．0．1", "https://127。0。0。1",
		"https://127.0.0.1\u034f", "https://127\ufe0f.0.0.1", "https://\u034f", "https://a.\ufe0f.b", "https://١٢٧.٠.٠.١", "https://2130706433\u2064", "https://٤.example",
		"https://127.0.0.01", "https://" + strings.Repeat("a", 64) + ".example", "https://" + strings.Repeat("a.", 130) + "b", "https://exa*mple.com", "https://[::1]:",
	} {
		if p := ValidateEndpoint("endpoint", bad); len(p) != 1 {
			t.Errorf("%q: %v, want one problem", bad, p)
		}
	}
}

func TestValidateAccessReportsEverything(t *testing.T) {
	var fields []string
	for _, p := range ValidateAccess(Access{Bucket: "A", Endpoint: "x", Region: "evil.example.com/", AccessKeyID: "a b"}) {
		fields = append(fields, p.Field)
	}
	if got, want := strings.Join(fields, " "), "bucket endpoint region access_key_id secret_access_key"; got != want {
		t.Errorf("problems of %s, want %s", got, want)
	}
	if p := ValidateAccess(Access{Bucket: "abc", AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: secret.New("s")}); p != nil {
		t.Errorf("a good access has problems: %v", p)
	}
}
