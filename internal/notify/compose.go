package notify

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/text"
)

const (
	maxLines   = 300 // of one mail's lists
	maxSubject = 160 // runes
	maxValue   = 600 // runes of one parameter
)

// content is what a mail says, before it is written as plain text and as HTML.
type content struct {
	Language text.Language
	Subject  string
	Parts    []part
	Link     string // label of URL
	URL      string // empty: no link
	Footer   string
}

// part is about one notice, or about several of which the same is to be said.
type part struct {
	Title string
	Lines []string // one for each notice, if there are several
	Says  []says
	Link  string // label of URL
	URL   string // of what it is about alone; empty: no link
}

// says is a paragraph, under a label of its own if it has one.
type says struct{ Label, Text string }

// urgency orders the kinds of a mail: what cannot wait comes first. Kinds that are not here come last.
var urgency = []control.NoticeKind{
	control.NoticeDiskQuota, control.NoticeLastCall, control.NoticePauseLast, control.NoticeDropped, control.NoticeFailing,
	control.NoticeHalfTime, control.NoticeCheckFailed, control.NoticeExportFailed, control.NoticeSchedulePaused, control.NoticeKeyExpired, control.NoticeKeyExpiring, control.NoticeSlow,
	control.NoticePauseHalf, control.NoticeProfilesStill, control.NoticeSetAside, control.NoticeKeyUnused, control.NoticeResumed, control.NoticeExportReady, control.NoticeCheckPassed,
}

// compose makes one mail of notices. Times are in UTC, because a contact's zone is not known.
func compose(l text.Language, notices []control.Notice, now time.Time, baseURL string) content {
	type group struct {
		kind   control.NoticeKind
		reason string // problem of the store, or reason of a drop and whether its connector is deleted: what the advice depends on; or which export it is
	}
	groups := map[group][]control.Notice{}
	var order []group
	notices = stillTrue(notices)
	for _, n := range notices {
		g := group{n.Kind, meaning(n) + n.Params["problem"] + n.Params["reason"] + "/" + n.Params[control.ParamDeleted] + n.Params["export"]}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], n)
	}
	rank := func(k control.NoticeKind) int {
		if i := slices.Index(urgency, k); i >= 0 {
			return i
		}
		return len(urgency)
	}
	slices.SortStableFunc(order, func(a, b group) int { return cmp.Compare(rank(a.kind), rank(b.kind)) })

	c := content{
		Language: l, Subject: subject(l, groups[order[0]], len(notices), now),
		Footer: text.T(l, "mail.footer", nil),
	}
	if !slices.ContainsFunc(notices, func(n control.Notice) bool { return n.Connector != "" }) { // no contact is told of these
		c.Footer = text.T(l, "mail.footer_administrators", nil)
	}
	if baseURL != "" {
		c.Link, c.URL = text.T(l, "mail.open", nil), baseURL
	}
	if !slices.ContainsFunc(notices, func(n control.Notice) bool { return n.Params["export"] == "" }) { // each part has its own link
		c.Footer, c.URL = text.T(l, "mail.footer_exports", nil), ""
	}
	if at := schedulesPath(notices); at != "" {
		c.Footer = text.T(l, "mail.footer_schedules", nil)
		if baseURL != "" {
			c.Link, c.URL = text.T(l, "mail.open_schedules", nil), baseURL+at
		}
	}
	room := maxLines
	for _, g := range order {
		p := describe(l, groups[g], now, &room)
		if at := exportPath(groups[g][0]); at != "" && baseURL != "" {
			p.Link, p.URL = text.T(l, "mail.open_exports", nil), baseURL+at
		}
		c.Parts = append(c.Parts, p)
	}
	return c
}

// stages are the kinds that follow each other in one episode: the later says all that still holds of the earlier.
var stages = [][]control.NoticeKind{
	{control.NoticeFailing, control.NoticeHalfTime, control.NoticeLastCall, control.NoticeResumed},
	{control.NoticePauseHalf, control.NoticePauseLast},
}

// stillTrue leaves out what a later notice has made untrue: of an episode its earlier stages, so that a mail that was
// held up does not begin with a connector that delivers again; of several checks all but the last. notices stand in the
// order in which they were written.
func stillTrue(notices []control.Notice) []control.Notice {
	type matter struct {
		workspace uint32
		connector control.ConnectorID
		name      string // of the episode; of the connector where it may not have been stored, and has another id with each try
		row       int
	}
	place := func(at int, n control.Notice) (matter, int) {
		if n.Kind == control.NoticeCheckPassed || n.Kind == control.NoticeCheckFailed {
			return matter{n.Workspace, "", n.Params["connector"], checkOf(n)}, at
		}
		for row, kinds := range stages {
			if i := slices.Index(kinds, n.Kind); i >= 0 {
				return matter{n.Workspace, n.Connector, n.Episode, row}, i
			}
		}
		return matter{}, -1
	}
	latest := map[matter]int{}
	for at, n := range notices {
		if m, i := place(at, n); i >= 0 {
			latest[m] = max(latest[m], i)
		}
	}
	var kept []control.Notice
	for at, n := range notices {
		if m, i := place(at, n); i < 0 || i == latest[m] {
			kept = append(kept, n)
		}
	}
	return kept
}

// checkOf sets the checks of connectors apart from those of data exports, which may be called alike.
func checkOf(n control.Notice) int {
	if n.Connector == "" {
		return -1
	}
	return -2
}

// subjects is how many connectors, or keys, ns are about.
func subjects(ns []control.Notice) int {
	type subject struct {
		workspace      uint32
		connector, key string
	}
	seen := map[subject]bool{}
	for _, n := range ns {
		seen[subject{n.Workspace, n.Params["connector"], n.Params["key"]}] = true
	}
	return len(seen)
}

// sentence is what happened, of one notice.
func sentence(l text.Language, n control.Notice, p text.Params) string {
	key := "notice." + string(n.Kind)
	switch {
	case uncounted(n):
		key = "notice.dropped.uncounted"
	case n.Kind == control.NoticeExportReady && control.ExportKind(n.Params["export_kind"]).Counts():
		key = "notice.export_ready.report"
	case n.Connector == "" && n.Kind == control.NoticeCheckPassed:
		key = "notice.check_passed.exports"
	case n.Connector == "" && n.Kind == control.NoticeCheckFailed:
		key = "notice.check_failed.exports"
	}
	if !text.Has(key) {
		return "" // a kind of a newer program that shares this inbox
	}
	return text.T(l, key, p)
}

// subject is what the first group is about, and how much more there is.
func subject(l text.Language, first []control.Notice, all int, now time.Time) string {
	p := sentenceParams(l, first, now)
	key := "notice." + string(first[0].Kind)
	var s string
	switch {
	case len(first) > 1:
		s = text.T(l, key+".many", p)
	case uncounted(first[0]):
		s = text.T(l, "notice.dropped.uncounted.subject", p)
	default:
		s = text.T(l, key+".subject", p)
	}
	if more := all - len(first); more > 0 {
		return text.T(l, "mail.subject.mixed", text.Params{"first": cut(s, maxSubject), "n": more})
	}
	return cut(s, maxSubject)
}

// describe says what there is to say about notices of one kind and reason.
func describe(l text.Language, ns []control.Notice, now time.Time, room *int) part {
	kind, p := ns[0].Kind, sentenceParams(l, ns, now)
	key := "notice." + string(kind)
	out := part{}
	say := func(label, s string) {
		if label != "" {
			label = text.T(l, label, nil)
		}
		out.Says = append(out.Says, says{label, s})
	}
	if len(ns) == 1 {
		out.Title = sentence(l, ns[0], p)
		if kind == control.NoticeDropped && ns[0].Params["types"] != "" {
			say("", text.T(l, "notice.dropped.types", p))
		}
	} else {
		out.Title = text.T(l, key+".many", p)
		slices.SortStableFunc(ns, func(a, b control.Notice) int {
			return cmp.Or(cmp.Compare(a.Params["workspace"], b.Params["workspace"]), cmp.Compare(a.Params["connector"], b.Params["connector"]))
		})
		left := 0
		for _, n := range ns {
			if *room == 0 {
				left++
				continue
			}
			*room--
			out.Lines = append(out.Lines, line(l, n, now))
		}
		if left > 0 {
			out.Lines = append(out.Lines, text.T(l, "mail.more", text.Params{"n": left}))
		}
	}
	problem, reason := ns[0].Params["problem"], ns[0].Params["reason"]
	hint := ""
	switch {
	case problem != "":
		k := "bucket." + problem
		if !text.Has(k) {
			k = "bucket.unknown"
		}
		say("mail.why", text.T(l, k, nil))
		hint = text.T(l, k+".hint", nil)
		if m := ns[0].Params["message"]; m != "" && len(ns) == 1 {
			if found, advice, ok := told(l, ns[0]); ok {
				say("", found)
				hint = cmp.Or(advice, hint) // the general one says the same with less
				break
			}
			quoted := clean(m)
			if h := ns[0].Params["hint"]; h != "" && l == text.English {
				quoted += " " + clean(h)
			}
			say("", text.T(l, "mail.details", text.Params{"message": quoted}))
		}
	case (kind == control.NoticeExportFailed || kind == control.NoticeSchedulePaused) && len(ns) == 1:
		why, advice, ok := told(l, ns[0])
		if !ok {
			why = text.T(l, "notice.export_failed.unknown", nil)
		}
		hint = advice
		say("mail.why", why)
	case reason != "" && text.Has("drop."+reason):
		say("mail.why", text.T(l, "drop."+reason, nil))
	}
	if m := meaning(ns[0]); text.Has(m) {
		say("", text.T(l, m, p))
	}
	if kind == control.NoticeExportReady && ns[0].Params["bucket"] != "" && len(ns) == 1 {
		say("", text.T(l, "notice.export_ready.bucket", p))
	}
	if ofDeleted(ns[0]) {
		say("", text.T(l, "notice.dropped.deleted", nil))
	}
	if text.Has(key+".action") && canReplay(ns[0]) && (kind != control.NoticeCheckPassed || meaning(ns[0]) == key+".meaning") {
		hint = strings.TrimSpace(hint + " " + text.T(l, key+".action", p))
	}
	if hint != "" {
		say("mail.todo", hint)
	}
	return out
}

// meaning gives the key of what a notice comes to. What a check comes to depends on what it was made for.
func meaning(n control.Notice) string {
	if n.Kind == control.NoticeCheckFailed && n.Connector == "" {
		return "notice.check_failed.exports_meaning"
	}
	if n.Kind == control.NoticeCheckPassed {
		saved := control.CheckTrigger(n.Params["trigger"]) == control.CheckSave
		switch {
		case n.Connector == "" && saved:
			return "notice.check_passed.exports_saved"
		case n.Connector == "":
			return "notice.check_passed.exports_unchanged"
		case saved:
			return "notice.check_passed.saved"
		case control.CheckTrigger(n.Params["trigger"]) != control.CheckLaunch:
			return "notice.check_passed.unchanged"
		}
	}
	return "notice." + string(n.Kind) + ".meaning"
}

// told gives what was found, and what to do about it, in the reader's language; ok is false where no catalogue has it.
func told(l text.Language, n control.Notice) (words, advice string, ok bool) {
	var s control.Said
	if json.Unmarshal([]byte(n.Params[control.ParamSaid]), &s) != nil || !text.Has(s.Message.Key) {
		return "", "", false // of an older program
	}
	return clean(text.Say(l, s.Message, s.Params)), clean(text.Say(l, s.Hint, s.Params)), true
}

// canReplay reports whether the advice to replay what was dropped makes sense: what is gone from the log cannot come
// back, and a deleted connector has no destination any more.
func canReplay(n control.Notice) bool {
	if n.Kind != control.NoticeDropped {
		return true
	}
	switch control.DropReason(n.Params["reason"]) {
	case control.DropLogLost, control.DropTrimmed, control.DropDamaged:
		return false
	}
	return !ofDeleted(n)
}

// ofDeleted reports whether n tells of losses of a connector that is deleted.
func ofDeleted(n control.Notice) bool {
	return n.Kind == control.NoticeDropped && (n.Params[control.ParamDeleted] != "" || n.Params["reason"] == string(control.DropDeleted))
}

// uncounted reports whether n is a drop of which nobody knows how many events it was.
func uncounted(n control.Notice) bool {
	v, err := strconv.ParseInt(n.Params["events"], 10, 64)
	return n.Kind == control.NoticeDropped && (err != nil || v < 0)
}

// line is one notice in a list.
func line(l text.Language, n control.Notice, now time.Time) string {
	key := "mail.line.bucket"
	switch n.Kind {
	case control.NoticeFailing, control.NoticeHalfTime, control.NoticeLastCall:
		key = "mail.line.until"
	case control.NoticeCheckFailed:
		key = "mail.line.check"
	case control.NoticePauseHalf, control.NoticePauseLast:
		key = "mail.line.paused"
	case control.NoticeResumed, control.NoticeSlow:
		key = "mail.line.since"
	case control.NoticeDropped:
		key = "mail.line.dropped"
	case control.NoticeKeyUnused, control.NoticeKeyExpiring, control.NoticeKeyExpired:
		key = "mail.line.key"
	case control.NoticeExportReady, control.NoticeExportFailed, control.NoticeSchedulePaused:
		key = "mail.line.export"
	case control.NoticeDiskQuota, control.NoticeProfilesStill, control.NoticeSetAside:
		key = "notice." + string(n.Kind)
	}
	return text.T(l, key, sentenceParams(l, []control.Notice{n}, now))
}

// sentenceParams gives what sentences about ns name. Of several, since and until are the earliest: what is said then
// holds for each of them.
func sentenceParams(l text.Language, ns []control.Notice, now time.Time) text.Params {
	p := text.Params{"n": subjects(ns)}
	if ns[0].Params["export_kind"] != "" {
		p["n"], p["what"] = len(ns), exported(l, ns[0])
	}
	for k, v := range ns[0].Params {
		switch k {
		case "since", "until", "at":
			p[k] = clean(v)
			if t, ok := earliest(ns, k); ok {
				p[k] = l.Time(t, time.UTC)
				if k == "until" {
					p["left"] = max(t.Sub(now), 0)
				}
			}
		case "hour", "first_hour", "last_hour":
			name, after := k, time.Duration(0)
			switch k {
			case "first_hour":
				name = "from"
			case "last_hour":
				name, after = "to", time.Hour // where it ends
			}
			p[name] = clean(v)
			if h, ok := parseHour(v); ok {
				p[name] = l.Time(h.Add(after), time.UTC)
			}
		case "types":
			p[k] = typeCounts(l, v)
		case "used", "limit", "bytes":
			p[k] = clean(v)
			if b, err := strconv.ParseInt(v, 10, 64); err == nil {
				p[k] = text.Bytes(b)
			}
		case "events", "delivered", "dropped", "people":
			p[k] = clean(v)
			if c, err := strconv.ParseInt(v, 10, 64); err == nil {
				p[k] = c
			}
		default:
			p[k] = clean(v)
		}
	}
	return p
}

// exportKinds are what exports are called, by their kind.
var exportKinds = map[control.ExportKind]string{
	control.ExportSegmentUsers: "page.export_lines", control.ExportControlGroup: "page.export_control", control.ExportUsersCSV: "page.export_users",
	control.ExportEmailsCSV: "page.export_emails", control.ExportCampaignUsers: "page.export_recipients", control.ExportCanvasUsers: "page.export_entrants",
	control.ExportPerformance: "page.export_performance", control.ExportCustomEvents: "page.export_custom_events", control.ExportRevenue: "page.export_revenue",
	control.ExportEngagement: "page.export_engagement",
}

// exported is what an export is called: by what it is of and its kind.
func exported(l text.Language, n control.Notice) string {
	kind := n.Params["export_kind"]
	if key := exportKinds[control.ExportKind(kind)]; key != "" {
		kind = text.T(l, key, nil)
	}
	if name := n.Params["name"]; name != "" {
		return clean(name) + " (" + kind + ")"
	}
	return kind
}

// schedulesPath is where notices lead that are all of schedules of one workspace.
func schedulesPath(ns []control.Notice) string {
	for _, n := range ns {
		if n.Kind != control.NoticeSchedulePaused || n.Workspace != ns[0].Workspace {
			return ""
		}
	}
	return "/w/" + strconv.FormatUint(uint64(ns[0].Workspace), 10) + "/reports"
}

// exportPath is where a notice of an export leads; empty: it is of something else. Notices of several are never told of
// together.
func exportPath(n control.Notice) string {
	if n.Params["export"] == "" {
		return ""
	}
	return "/w/" + strconv.FormatUint(uint64(n.Workspace), 10) + "/exports/" + n.Params["export"]
}

// typeCounts writes "type: 12480, type: 7" with the language's numbers.
func typeCounts(l text.Language, s string) string {
	parts := strings.Split(clean(s), ", ")
	for i, part := range parts {
		name, count, _ := strings.Cut(part, ": ")
		if n, err := strconv.ParseInt(count, 10, 64); err == nil {
			parts[i] = name + ": " + l.Number(n)
		}
	}
	return strings.Join(parts, ", ")
}

func earliest(ns []control.Notice, param string) (first time.Time, ok bool) {
	for _, n := range ns {
		t, err := time.Parse(time.RFC3339, n.Params[param])
		if err == nil && (!ok || t.Before(first)) {
			first, ok = t, true
		}
	}
	return first, ok
}

// parseHour reads an hour in the forms in which notices name it: as in folders, as in commands, or as its first
// moment.
func parseHour(s string) (time.Time, bool) {
	for _, form := range []string{"2006-01-02-15", "2006-01-02T15", time.RFC3339} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// clean makes a value from outside fit for a line of text: without control characters, and without those that turn
// the direction of what follows.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	return cut(s, maxValue)
}

// cut shortens s to so many runes.
func cut(s string, runes int) string {
	if len(s) <= runes {
		return s
	}
	if r := []rune(s); len(r) > runes {
		return string(r[:runes-1]) + "…"
	}
	return s
}

// Plain writes c as plain text. Lines are not wrapped: mail programs do it by the reader's window.
func (c content) Plain() string {
	var b strings.Builder
	for i, p := range c.Parts {
		if i > 0 {
			b.WriteString("\n----\n\n")
		}
		b.WriteString(p.Title + "\n\n")
		for _, l := range p.Lines {
			b.WriteString("- " + l + "\n")
		}
		if len(p.Lines) > 0 {
			b.WriteByte('\n')
		}
		for _, s := range p.Says {
			if s.Label != "" {
				b.WriteString(s.Label + ": ")
			}
			b.WriteString(s.Text + "\n\n")
		}
		if p.URL != "" {
			b.WriteString(p.Link + ": " + p.URL + "\n\n")
		}
	}
	if c.URL != "" {
		b.WriteString(c.Link + ": " + c.URL + "\n\n")
	}
	// RFC 3676, section 4.3: what follows is not part of the message proper.
	b.WriteString("-- \n" + c.Footer + "\n")
	return b.String()
}

//go:embed mail.html
var page string

var pageTemplate = template.Must(template.New("mail").Parse(page))

// HTML writes c as a page that needs nothing from elsewhere.
func (c content) HTML() (string, error) {
	var b strings.Builder
	err := pageTemplate.Execute(&b, c)
	return b.String(), err
}
