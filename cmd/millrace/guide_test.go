package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/app"
	"github.com/millrace/millrace/internal/bucket"
)

// prints stands before a block of a guide and names the command whose output the block is.
var prints = regexp.MustCompile("(?m)^<!-- prints: millrace (.+) -->\n```([a-z]*)\n((?s:.*?))```$")

// A block of a guide that says which command prints it holds what that command prints.
func TestDocsGuidesShowWhatCommandsPrint(t *testing.T) {
	for _, name := range []string{"aws.md"} {
		t.Run(name, func(t *testing.T) {
			text := guide(t, name)
			n := 0
			fresh := prints.ReplaceAllStringFunc(text, func(block string) string {
				n++
				m := prints.FindStringSubmatch(block)
				var out, warnings bytes.Buffer
				c := &app.Console{Out: &out, Err: &warnings, Version: "test"}
				if code := run(t.Context(), c, strings.Fields(m[1]), nil); code != 0 {
					t.Fatalf("millrace %s: exit %d\n%s", m[1], code, warnings.String())
				}
				return "<!-- prints: millrace " + m[1] + " -->\n```" + m[2] + "\n" + out.String() + "```"
			})
			if want := strings.Count(text, "<!-- prints:"); n != want || n == 0 {
				t.Errorf("%d of %d blocks could be read", n, want)
			}
			settle(t, name, text, fresh)
		})
	}
}

// What a guide offers for pasting as JSON is JSON.
func TestDocsGuidesHoldValidJSON(t *testing.T) {
	block := regexp.MustCompile("(?m)^```json\n((?s:.*?))```$")
	n := 0
	for _, name := range guides(t) {
		for _, m := range block.FindAllStringSubmatch(guide(t, name), -1) {
			n++
			if !json.Valid([]byte(m[1])) {
				t.Errorf("docs/%s: this is not JSON:\n%s", name, m[1])
			}
		}
	}
	if n == 0 {
		t.Error("no block was found")
	}
}

// A link of a guide leads somewhere: to a page that is there, and to a heading or an anchor of it.
func TestDocsGuidesLinkToWhatIsThere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([a-z0-9_.-]*\.md)?(?:#([^)]+))?\)`)
	for _, name := range guides(t) {
		for _, m := range link.FindAllStringSubmatch(guide(t, name), -1) {
			page, anchor := m[1], m[2]
			if page == "" {
				page = name
			}
			if _, err := os.Stat(docs(page)); err != nil {
				t.Errorf("docs/%s links to %s, which is not there", name, page)
			} else if anchor != "" && !slices.Contains(anchors(guide(t, page)), anchor) {
				t.Errorf("docs/%s links to %s#%s, which is not there", name, page, anchor)
			}
		}
	}
}

// entry is the head of an entry of troubleshooting.md: an anchor, a heading, and what the product says.
var entry = regexp.MustCompile(`(?m)^<a id="([a-z_.]+)"></a>\n\n(###+ .+)\n\n((?:> .*\n)*)`)

// Whatever the check can say, a connector can be in, can lose events for or can be told about has an entry, and the
// sentences that an entry quotes are those of the product.
func TestDocsTroubleshootingHasEveryEntry(t *testing.T) {
	const name = "troubleshooting.md"
	says := map[string]string{}
	hints := map[string]string{}
	for _, m := range bucket.CheckMessages() {
		if key, is := strings.CutSuffix(m.Key, ".hint"); is {
			hints[key] = m.Text
		} else {
			says[m.Key] = m.Text
		}
	}
	// Not everything is in an exported list; the sources know the rest.
	for key, quoted := range notes(t) {
		text, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatal(err)
		}
		says[key] = text
	}
	wanted := slices.Collect(maps.Keys(says))
	for _, s := range []struct{ glob, pattern, prefix string }{
		{"../../internal/bucket/*.go", `"(check\.[a-z_.]*[a-z_])"`, ""},
		{"../../internal/bucket/error.go", `Problem\s+= "([a-z_]+)"`, "problem."},
		{"../../internal/control/connector.go", `LaneState\s+= "([a-z_]+)"`, "state."},
		{"../../internal/control/connector.go", `DropReason\s+= "([a-z_]+)"`, "drop."},
		{"../../internal/control/notice.go", `NoticeKind\s+= "([a-z_]+)"`, "notice."},
	} {
		wanted = append(wanted, scan(t, s.glob, s.pattern, s.prefix)...)
	}
	wanted = slices.DeleteFunc(wanted, func(key string) bool { return strings.HasSuffix(key, ".hint") })
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)

	text := guide(t, name)
	there := anchors(text)
	for _, key := range wanted {
		if !slices.Contains(there, key) {
			t.Errorf("docs/%s has no entry for %s; begin it with <a id=%q></a>", name, key, key)
		}
	}
	quoted := map[string]bool{}
	fresh := entry.ReplaceAllStringFunc(text, func(head string) string {
		m := entry.FindStringSubmatch(head)
		key := m[1]
		quoted[key] = true
		if says[key] == "" {
			if m[3] != "" {
				t.Errorf("docs/%s: what the entry for %s quotes is nowhere in the code", name, key)
			}
			return head
		}
		quote := "> " + says[key] + "\n"
		if hints[key] != "" {
			quote += "> *" + hints[key] + "*\n"
		}
		return "<a id=\"" + key + "\"></a>\n\n" + m[2] + "\n\n" + quote
	})
	for key := range says {
		if !quoted[key] {
			t.Errorf("docs/%s: the entry for %s has no heading below its anchor, and cannot quote the message", name, key)
		}
	}
	settle(t, name, text, fresh)
}

// notes are the sentences of a check that are no failures, as they stand in the source, by key.
func notes(t *testing.T) map[string]string {
	t.Helper()
	source, err := os.ReadFile("../../internal/bucket/check.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`c\.note\("(check\.[a-z_.]+)", ("(?:[^"\\]|\\.)*")`).FindAllSubmatch(source, -1) {
		found[string(m[1])] = string(m[2])
	}
	return found
}

// scan gives what pattern's group finds in the sources, tests left out.
func scan(t *testing.T, glob, pattern, prefix string) []string {
	t.Helper()
	var found []string
	paths, err := filepath.Glob(glob)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(source, -1) {
			found = append(found, prefix+string(m[1]))
		}
	}
	if len(found) == 0 {
		t.Errorf("nothing in %s looks like %s", glob, pattern)
	}
	return found
}

// anchors are the places of a page that a link can lead to, named as GitHub names them.
func anchors(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`<a id="([^"]+)">`).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	dropped := regexp.MustCompile(`[^a-z0-9 _-]`)
	fence := false
	for line := range strings.Lines(text) {
		fence = fence != strings.HasPrefix(line, "```")
		if title := strings.TrimLeft(line, "#"); title != line && !fence {
			title = dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			all = append(all, strings.ReplaceAll(title, " ", "-"))
		}
	}
	return all
}

// guides are the pages of docs that are written by hand for users.
func guides(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, name := range []string{"aws.md", "troubleshooting.md", "data-engineer.md", "producer.md", "notifications.md"} {
		if _, err := os.Stat(docs(name)); err != nil {
			t.Error(err)
			continue
		}
		names = append(names, name)
	}
	return names
}

func docs(name string) string { return filepath.Join("..", "..", "docs", name) }

func guide(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(docs(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settle compares a page with what it should be, or writes it.
func settle(t *testing.T, name, is, should string) {
	t.Helper()
	if is == should {
		return
	}
	if !*update {
		t.Errorf("docs/%s is not what the code says; run make docs", name)
		return
	}
	if err := os.WriteFile(docs(name), []byte(should), 0o644); err != nil {
		t.Fatal(err)
	}
}
