package page

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/text"
)

func TestProseIsHTMLOfWhatTheCatalogueMarks(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a paragraph", "Use one of its own.", "<p>Use one of its own.</p>"},
		{"paragraphs", "One. | Two.", "<p>One.</p><p>Two.</p>"},
		{"steps between paragraphs", "Do: | # this | # that | Done.", "<p>Do:</p><ol><li>this</li><li>that</li></ol><p>Done.</p>"},
		{"steps after a list", "- a | # b", "<ul><li>a</li></ul><ol><li>b</li></ol>"},
		{"code and words of a screen", "Paste `s3:*` at *IAM*.", "<p>Paste <code>s3:*</code> at <b>IAM</b>.</p>"},
		{"hostile text", "<script> `<b>` *\"x\"*", "<p>&lt;script&gt; <code>&lt;b&gt;</code> <b>&#34;x&#34;</b></p>"},
	} {
		if got := string(prose(c.in)); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

func TestEachTopicIsWholeInEveryLanguage(t *testing.T) {
	for name, about := range topics {
		for _, l := range text.Languages() {
			for _, key := range about.texts {
				got := string(prose(say(l, key, "grace", "2 days", "rotate", "Rotate")))
				if strings.ContainsAny(got, "*`|{}") || strings.Contains(got, "<p># ") || strings.Contains(got, "<p>- ") {
					t.Errorf("%s %s: a mark is left: %s", l, name, got)
				}
				if marks(got) != marks(string(prose(say(text.English, key)))) {
					t.Errorf("%s %s: %s has other steps, paragraphs or code than in English", l, name, key)
				}
			}
		}
	}
}

func TestHelpNamesTheGracePeriodOfThisInstallation(t *testing.T) {
	w := newWorld(t)
	for _, l := range text.Languages() {
		p := w.signedIn(string(l)).get(w.at("/currents/new"))
		p.has(t, http.StatusOK, `<details class="help">`, l.Duration(36*time.Hour))
	}
}

// marks is the shape of prose: its blocks, and what is code. Words of a screen may be said twice, in two languages.
func marks(html string) string {
	var b strings.Builder
	for _, tag := range []string{"<p>", "<ol>", "<ul>", "<li>", "<code>"} {
		b.WriteString(strings.Repeat(tag, strings.Count(html, tag)))
	}
	return b.String()
}
