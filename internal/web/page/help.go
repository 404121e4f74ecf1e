package page

import (
	"html/template"
	"regexp"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
)

// topic is something that people look up beside a field: its sentences, of which each is paragraphs and steps as prose
// has them.
type topic struct {
	title string
	texts []string
}

// topics are all there are, by the name that forms use. docs/aws.md says the same at length.
var topics = map[string]topic{
	"name":            {"page.help_name", []string{"page.help_name_text"}},
	"contact":         {"page.help_contact", []string{"page.help_contact_text"}},
	"method":          {"page.help_method", []string{"page.help_method_text"}},
	"account":         {"page.help_account", []string{"page.help_account_text"}},
	"external_id":     {"page.help_external_id", []string{"page.help_external_id_text"}},
	"trust":           {"page.help_trust", []string{"page.help_trust_text"}},
	"role":            {"page.help_role", []string{"page.help_role_text", "page.help_role_wait"}},
	"role_exports":    {"page.help_role", []string{"page.help_role_exports_text", "page.help_role_wait"}},
	"key":             {"page.help_key", []string{"page.help_key_user", "page.help_key_text", "page.help_key_kept"}},
	"key_exports":     {"page.help_key", []string{"page.help_key_exports_user", "page.help_key_text", "page.help_key_exports_kept"}},
	"secret":          {"page.help_secret", []string{"page.help_secret_text"}},
	"bucket":          {"page.help_bucket", []string{"page.help_bucket_text"}},
	"folder":          {"page.help_folder", []string{"page.help_folder_text"}},
	"region":          {"page.help_region", []string{"page.help_region_text"}},
	"endpoint":        {"page.help_endpoint", []string{"page.help_endpoint_text"}},
	"encryption":      {"page.help_encryption", []string{"page.help_encryption_text"}},
	"events":          {"page.help_events", []string{"page.help_events_text"}},
	"transformations": {"page.help_transformations", []string{"page.help_transformations_text"}},
	"codec":           {"page.help_codec", []string{"page.help_codec_text"}},
	"flush":           {"page.help_flush", []string{"page.help_flush_text"}},
	"policy":          {"page.help_policy", []string{"page.help_policy_how", "page.help_policy_why", "page.help_policy_kms"}},
	"policy_exports":  {"page.help_policy", []string{"page.help_policy_exports_how", "page.help_policy_exports_why", "page.help_policy_kms"}},
	"rotate":          {"page.help_rotate", []string{"page.help_rotate_text", "page.help_key_text", "page.help_rotate_after", "page.help_key_kept"}},
	"rotate_exports":  {"page.help_rotate", []string{"page.help_rotate_text", "page.help_key_text", "page.help_rotate_after", "page.help_key_exports_kept"}},
	"rotate_role":     {"page.help_rotate_role", []string{"page.help_rotate_role_text"}},
	"failing_exports": {"page.help_failing", []string{"page.help_failing_exports_text", "page.help_key_text", "page.help_failing_role"}},
	"failing":         {"page.help_failing", []string{"page.help_failing_text", "page.help_key_text", "page.help_failing_role", "page.help_key_kept"}},
}

// help gives what to do on the other side about a topic. It gives nil, and so leaves the help out, if it names the
// grace period and that cannot be had: then nothing of the page can. A topic that there is none of is an error of this
// program.
func (v *visit) help(name string) *help {
	about, ok := topics[name]
	if !ok {
		panic("page: there is no help about " + name)
	}
	h := &help{Title: v.t(about.title)}
	for _, key := range about.texts {
		said := v.t(key, "rotate", v.t("page.form_rotate"))
		if strings.Contains(said, "{grace}") {
			grace, ok := v.grace()
			if !ok {
				return nil
			}
			said = strings.ReplaceAll(said, "{grace}", v.lang.Duration(grace))
		}
		h.Body += prose(said)
	}
	return h
}

// grace is how long events of a failing Current are kept here.
func (v *visit) grace() (time.Duration, bool) {
	r, err := v.installed()
	return time.Duration(r.GracePeriod * float64(time.Second)), err == nil
}

// installed gives what this installation has decided for all Currents.
func (v *visit) installed() (client.Rules, error) {
	if v.rules == nil {
		r, err := v.api.GetRules(v)
		if err != nil {
			return r, v.said(err)
		}
		v.rules = &r
	}
	return *v.rules, nil
}

// signs are what the catalogue marks in a sentence: `code`, and *the words of a screen*.
var signs = regexp.MustCompile("`[^`]+`|\\*[^*]+\\*")

// prose makes HTML of a sentence of the catalogue, in which " | " ends a paragraph, one that begins with "# " is the next
// of numbered steps and one with "- " the next of a list, `code` is to be typed and *words* stand on a screen. Whatever else
// it holds is text.
func prose(s string) template.HTML {
	var b strings.Builder
	within := "" // the list that is open
	for block := range strings.SplitSeq(s, " | ") {
		list, tag := "", "p"
		if mark, item, ok := strings.Cut(block, " "); ok && (mark == "#" || mark == "-") {
			block, list, tag = item, map[string]string{"#": "ol", "-": "ul"}[mark], "li"
		}
		if list != within {
			if within != "" {
				b.WriteString("</" + within + ">")
			}
			if list != "" {
				b.WriteString("<" + list + ">")
			}
			within = list
		}
		words := signs.ReplaceAllStringFunc(template.HTMLEscapeString(block), func(marked string) string {
			tag := map[byte]string{'`': "code", '*': "b"}[marked[0]]
			return "<" + tag + ">" + marked[1:len(marked)-1] + "</" + tag + ">"
		})
		b.WriteString("<" + tag + ">" + words + "</" + tag + ">")
	}
	if within != "" {
		b.WriteString("</" + within + ">")
	}
	return template.HTML(b.String())
}
