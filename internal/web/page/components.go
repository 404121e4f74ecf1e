package page

import "time"

// componentsPage shows every component, for whoever works on pages. It has sentences of its own, which are no
// reader's, so they stand here and in one language.
type componentsPage struct {
	Frame    frame
	Buttons  []button
	Fields   []field
	Choices  choices
	Switch   check
	Tree     tree
	Pills    []pill
	Banners  []banner
	Steps    []step
	Code     code
	Line     line
	Table    table
	None     table
	Pairs    pairs
	Progress progress
	Feed     feed
	Figures  []figure
	Filter   filter
	Chart    chart
}

func components(now time.Time) componentsPage {
	at := moment{"40 s ago", "22 November 2026, 10:42 UTC", now}
	return componentsPage{
		Frame: frame{
			Title: "Components",
			Rail: []railItem{{"Overview", "#", "gauge", false}, {"Data export", "#", "waves", true}, {"Technology partners", "#", "puzzle", false},
				{"Events", "#", "activity", false}, {"Settings", "#", "settings", false}},
			Workspaces: &menu{Text: "acme", Icon: "chevron-down", Left: true, Items: []menuItem{{Text: "acme", Here: true, Icon: "check"}, {Text: "globex"}}},
			Inbox:      &inbox{Text: "2 unread notices", Number: "2", Href: "#"},
			Person:     menu{Text: "ada@acme.example", Icon: "user", Items: []menuItem{{Text: "Your settings", Href: "#", Icon: "settings"}, {Text: "Sign out", Post: true, Icon: "log-out", Line: true}}},
			Language:   menu{Text: "EN", Label: "Language", Icon: "globe", Items: []menuItem{{Text: "English", Here: true}, {Text: "Português"}, {Text: "Español"}}},
			Crumbs:     []crumb{{"Data export", "#"}, {"warehouse", ""}},
			Says:       &says{good, "circle-check", "Delivering. 12,480 events in the last hour, last file 40 seconds ago, nothing waiting."},
			Actions:    []button{{Text: "Send test events", Icon: "send", Href: "#"}},
			More:       &menu{Label: "More actions", Icon: "ellipsis", Items: []menuItem{{Text: "Pause", Icon: "pause", Post: true}, {Text: "Delete", Icon: "trash-2", Danger: true, Line: true, Href: "#"}}},
			Tabs:       []tab{{"Overview", "#", true}, {"Files", "#", false}, {"Audit", "#", false}, {"Losses", "#", false}, {"Checks", "#", false}, {"Settings", "#", false}},
		},
		Buttons: []button{{Text: "Launch Current", Kind: "primary"}, {Text: "Check now"}, {Text: "Cancel", Kind: "quiet"}, {Text: "Delete Current", Kind: "danger"}, {Text: "Not now", Disabled: true}},
		Fields: []field{
			{Name: "a", Label: "Name", Hint: "How it is called on pages and in mails.", Value: "warehouse"},
			{Name: "b", Label: "Bucket", Value: "Acme Currents", Mono: true, Error: "A bucket's name has lower-case letters, digits, dots and hyphens.", Help: &help{"How to make a bucket", "<p>In the S3 console choose <b>Create bucket</b>. A bucket of its own keeps rights narrow.</p>"}},
			{Name: "c", Label: "Codec", Options: []option{{"deflate", "Deflate", true}, {"zstandard", "Zstandard", false}}},
		},
		Choices: choices{Name: "method", Legend: "How should Millrace sign in to your AWS account?", Options: []choice{
			{"role", "Role ARN, recommended", "Nothing secret changes hands.", true}, {"key", "Secret access key", "Of a user who may do this and nothing else.", false}}},
		Switch: check{Name: "encryption", Label: "Encrypt on the server (AES-256)", Hint: "Each file is written with x-amz-server-side-encryption.", On: true, Switch: true},
		Tree: tree{Name: "events", Legend: "What should it carry?", Search: "Search event types", Groups: []treeGroup{
			{Label: "Message engagement", Name: "group", Value: "engagement", All: true, Open: true, Items: []check{{Name: "event", Value: "users.messages.email.Open", Label: "users.messages.email.Open", On: true, Mono: true}, {Name: "event", Value: "users.messages.pushnotification.Send", Label: "users.messages.pushnotification.Send", On: true, Mono: true}}},
			{Label: "Customer behavior", Name: "group", Value: "behavior", Items: []check{{Name: "event", Label: "users.behaviors.Purchase", On: true, Mono: true}, {Name: "event", Label: "users.behaviors.CustomEvent", Mono: true}}},
		}},
		Pills: []pill{{good, "circle-check", "Active"}, {bad, "circle-alert", "Failing"}, {warn, "pause", "Paused"}, {plain, "circle-dashed", "Draft"}, {info, "info", "New"}},
		Banners: []banner{
			{Tone: bad, Icon: "circle-alert", Title: "Failing since 08:12 UTC: the key is disabled.", Texts: []string{"12,480 events are kept until 24 November, 08:12 UTC. After that the oldest are lost."}, Said: "The AWS Access Key Id you provided does not exist in our records.", Details: "PutObject acme-currents/currents: unknown_key (403 InvalidAccessKeyId)", Actions: []button{{Text: "Check now", Kind: "primary"}, {Text: "Rotate credentials", Href: "#"}}},
			{Tone: warn, Icon: "triangle-alert", Title: "The role can be assumed without the external id.", Texts: []string{"Add the condition to its trust policy."}},
			{Tone: good, Icon: "circle-check", Title: "Saved."},
		},
		Steps: []step{
			{State: "passed", Title: "Sign in", Text: "as arn:aws:iam::111122223333:role/millrace-currents"}, {State: "failed", Title: "Write a file (s3:PutObject)", Text: "AccessDenied: the policy does not allow it.", Hint: "Add this statement to the policy.", Remedy: &formatted{"r1", "What would mend it", []formattedItem{{"json", true, code{"r1-json", "JSON", "{\n  \"Effect\": \"Allow\",\n  \"Action\": \"s3:PutObject\"\n}"}}}}},
			{State: "trying", Title: "Read it back", Text: "again for up to 1 minute"}, {State: "waiting", Title: "Write it once more"},
		},
		Code: code{"policy", "Policy, as JSON", "{\n  \"Version\": \"2012-10-17\"\n}"},
		Line: line{"external", "External id", "mlr-9f2c0b7ad1e84f6c8d3a55b0e7f1c2d4"},
		Table: table{Caption: "Files", Columns: []column{{"Time", false}, {"Key", false}, {"State", false}, {"Events", true}}, Next: "#", Rows: []row{
			{[]cell{{Time: &at}, {Text: "currents/dataexport.prod-01.S3.integration.5f1e/event_type=users.messages.email.Open/date=2026-11-22-10/475/part-0000000001.avro", Mono: true, Href: "#"}, {Pill: &pill{good, "circle-check", "Delivered"}}, {Text: "12,480"}}},
			{[]cell{{Time: &at}, {Text: "short.avro", Mono: true}, {Spark: &spark{"Events an hour", "M0 20L24 8L48 14L72 4L96 10"}}, {Text: "3"}}},
		}},
		None:  table{Empty: &empty{"Nothing has ever been lost.", "If events are dropped by a rule, each range stands here with its reason and count.", &button{Text: "What can be lost", Href: "#"}}},
		Pairs: pairs{{Name: "Bucket", Text: "acme-currents", Mono: true}, {Name: "External id", Copy: &line{"e2", "External id", "mlr-9f2c0b7a"}}, {Name: "Since", Time: &at}},
		Feed: feed{Next: "#", Items: []feedItem{
			{Tone: bad, Icon: "circle-alert", Title: "warehouse is failing", Texts: []string{"The key is disabled.", "Its events are kept until 24 November, 08:12 UTC."}, At: &at, New: "New", Link: "To the Current", Href: "#"},
			{Tone: good, Icon: "circle-check", Title: "warehouse delivers again", At: &at}}},
		Progress: progress{"45,000 of 100,000 users", 45, 100},
		Figures:  []figure{{Name: "Waiting", Text: "312", Small: "the oldest for 40 s"}, {Name: "Last file", Time: &at}, {Name: "Last 24 hours", Text: "1,248,000", Href: "#"}},
		Filter:   filter{[]field{{Name: "q", Label: "Search", Value: "warehouse"}, {Name: "type", Label: "Event type", Options: []option{{"", "All", true}}}}, "Filter", &button{Text: "Clear", Kind: "quiet", Href: "#"}},
		Chart:    sampleChart(),
	}
}
