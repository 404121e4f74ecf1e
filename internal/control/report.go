package control

import (
	"slices"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// ReportSpec is what somebody wants of a report, as far as its kind knows it. Its days are the workspace's, as those of statistics are.
type ReportSpec struct {
	// What it is about. Of engagement: campaigns and Canvases by their ids, or all that have tags. Of performance: one campaign.
	Campaigns []string `json:"campaigns,omitempty"`
	Canvases  []string `json:"canvases,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	AllTags   bool     `json:"all_tags,omitempty"` // each of the tags is needed, not one at least
	// Of custom events and revenue: names of events, ids of products; none: all.
	Names []string `json:"names,omitempty"`

	Statistics []string `json:"statistics,omitempty"` // of engagement: names of ReportStatistics; none: all
	Variations bool     `json:"variations,omitempty"` // of performance: a line for each variation

	// When: from the first day to the last, or the last so many whole days before the one on which it is made. The first that
	// is not said is that of the oldest number there is; the last that is not said is today.
	FirstDay string `json:"first_day,omitempty"` // 2026-11-22
	LastDay  string `json:"last_day,omitempty"`
	LastDays int    `json:"last_days,omitempty"`

	// A line is of so many of these; zero values: one, a day.
	Every int        `json:"every,omitempty"`
	Per   ReportStep `json:"per,omitempty"`
}

// ReportStep is what a line of a report is of.
type ReportStep string

// The steps.
const (
	PerHour  ReportStep = "hour" // of custom events and revenue, which are counted so
	PerDay   ReportStep = "day"
	PerWeek  ReportStep = "week" // seven days from the first on
	PerRange ReportStep = "range"
)

// Statistic is a number that reports tell of messages.
type Statistic struct {
	Name string // email.unique_opens
	Head string // of its column, in English as programs read it: Email Unique Opens
	// Channel is a channel, or "ios_push" and so on, or "push" for all but those to browsers; empty: all together.
	Channel string
	Of      []Counter // what is added up; none: no event tells it, and its cells are empty
	Per     []Counter // what that is divided by; none: nothing
}

// Has reports whether messages of c are counted in the statistic.
func (s Statistic) Has(c MessageChannel) bool {
	switch s.Channel {
	case "":
		return true
	case "ios_push":
		return c == "push/ios"
	case "android_push":
		return c == "push/android"
	case "web_push":
		return c == "push/web"
	case "push":
		return c.Medium() == MediumPush && c != "push/web"
	}
	return c.Medium() == Medium(s.Channel)
}

// ReportStatistics are the statistics of engagement reports, in the order of their columns.
// Source: Braze, "Engagement reports". Nothing is sent that tells of opens that a push brought about without a tap.
func ReportStatistics() []Statistic {
	of := func(all ...Counter) []Counter { return all }
	return []Statistic{
		{"email.sends", "Email Sends", "email", of(CountSent), nil},
		{"email.opens", "Email Opens", "email", of(CountOpens, CountMachineOpens), nil},
		{"email.unique_opens", "Email Unique Opens", "email", of(CountUniqueOpens), nil},
		{"email.clicks", "Email Clicks", "email", of(CountClicks), nil},
		{"email.unique_clicks", "Email Unique Clicks", "email", of(CountUniqueClicks), nil},
		{"email.click_to_open", "Email Click to Open", "email", of(CountUniqueClicks), of(CountUniqueOpens)},
		{"email.unsubscribes", "Email Unsubscribes", "email", of(CountUnsubscribes), nil},
		{"email.bounces", "Email Bounces", "email", of(CountBounces), nil},
		{"email.delivered", "Email Delivered", "email", of(CountDelivered), nil},
		{"email.reported_spam", "Email Reported Spam", "email", of(CountSpam), nil},
		{"push.sends", "Push Sends", "push", of(CountSent), nil},
		{"push.opens", "Push Opens", "push", of(CountOpens), nil},
		{"push.influenced_opens", "Push Influenced Opens", "push", nil, nil},
		{"push.bounces", "Push Bounces", "push", of(CountBounces), nil},
		{"push.body_clicks", "Push Body Clicks", "push", of(CountBodyClicks), nil},
		{"web_push.sends", "Web Push Sends", "web_push", of(CountSent), nil},
		{"web_push.opens", "Web Push Opens", "web_push", of(CountOpens), nil},
		{"web_push.bounces", "Web Push Bounces", "web_push", of(CountBounces), nil},
		{"web_push.body_clicks", "Web Push Body Clicks", "web_push", of(CountBodyClicks), nil},
		{"in_app.impressions", "In-App Message Impressions", "in_app", of(CountImpressions), nil},
		{"in_app.clicks", "In-App Message Clicks", "in_app", of(CountClicks), nil},
		{"in_app.first_button_clicks", "In-App Message First Button Clicks", "in_app", of(CountFirstButton), nil},
		{"in_app.second_button_clicks", "In-App Message Second Button Clicks", "in_app", of(CountSecondButton), nil},
		{"webhook.sends", "Webhook Sends", "webhook", of(CountSent), nil},
		{"webhook.errors", "Webhook Errors", "webhook", of(CountFailed), nil},
		{"sms.sends", "SMS Sends", "sms", of(CountSent), nil},
		{"sms.sends_to_carrier", "SMS Sends to Carrier", "sms", of(CountCarrier), nil},
		{"sms.confirmed_deliveries", "SMS Confirmed Deliveries", "sms", of(CountDelivered), nil},
		{"sms.delivery_failures", "SMS Delivery Failures", "sms", of(CountFailed), nil},
		{"sms.rejections", "SMS Rejections", "sms", of(CountRejected), nil},
	}
}

// Bounds of a report. They hold what a request costs; tags choose more campaigns than anybody would by hand.
const (
	maxReportIDs  = 1000
	maxReportID   = 1024 // bytes
	maxReportDays = 3660
	maxReportStep = 366
)

// Validate gives every problem of a report of a kind that stands at the field at.
func (s ReportSpec) Validate(at string, kind ExportKind) (ps []fault.Problem) {
	problem := func(field, code, key, message string, pairs ...any) {
		ps = append(ps, fault.Field(at+"."+field, code, key, message, pairs...))
	}
	counted := kind == ExportCustomEvents || kind == ExportRevenue
	for _, x := range []struct {
		field     string
		is, known bool
	}{
		{"campaigns", s.Campaigns != nil, !counted}, {"canvases", s.Canvases != nil, kind == ExportEngagement}, {"tags", s.Tags != nil, kind == ExportEngagement},
		{"all_tags", s.AllTags, kind == ExportEngagement}, {"statistics", s.Statistics != nil, kind == ExportEngagement},
		{"variations", s.Variations, kind == ExportPerformance}, {"names", s.Names != nil, counted},
	} {
		if x.is && !x.known {
			problem(x.field, "invalid", "field.report_not_so", "Reports of this kind do not have this.")
		}
	}
	for _, x := range []struct {
		field string
		ids   []string
	}{{"campaigns", s.Campaigns}, {"canvases", s.Canvases}, {"names", s.Names}} {
		if len(x.ids) > maxReportIDs {
			problem(x.field, "too_large", "field.report_many", "At most {most} are chosen one by one.", "most", maxReportIDs)
			continue
		}
		for i, id := range x.ids {
			switch {
			case id == "" || len(id) > maxReportID:
				problem(index(x.field, i), "invalid", "field.report_id", "This has 1 to {most} bytes.", "most", maxReportID)
			case slices.Contains(x.ids[:i], id):
				problem(index(x.field, i), "duplicate", "field.report_twice", "This is named twice.")
			}
		}
	}
	switch chosen := len(s.Campaigns) + len(s.Canvases); {
	case kind == ExportPerformance && len(s.Campaigns) != 1:
		problem("campaigns", "required", "field.report_campaign", "This report is of one campaign.")
	case kind == ExportEngagement && chosen == 0 && len(s.Tags) == 0:
		problem("campaigns", "required", "field.report_nothing", "Choose campaigns, Canvases or tags.")
	case kind == ExportEngagement && chosen > 0 && len(s.Tags) > 0:
		problem("tags", "ambiguous", "field.report_both", "Campaigns and Canvases are chosen one by one or by tags, not by both.")
	}
	if kind == ExportEngagement {
		for _, p := range validateLabel("", s.Tags) {
			p.Field = at + "." + p.Field
			ps = append(ps, p)
		}
		var known []string
		for _, x := range ReportStatistics() {
			known = append(known, x.Name)
		}
		for i, name := range s.Statistics[:min(len(s.Statistics), len(known)+1)] {
			switch {
			case !slices.Contains(known, name):
				ps = append(ps, oneOf(index(at+".statistics", i), name, known...))
			case slices.Contains(s.Statistics[:i], name):
				problem(index("statistics", i), "duplicate", "field.report_twice", "This is named twice.")
			}
		}
	}
	return append(ps, s.validateTime(at, counted)...)
}

// validateTime gives every problem of which days a report is of, and of its lines.
func (s ReportSpec) validateTime(at string, counted bool) (ps []fault.Problem) {
	problem := func(field, code, key, message string, pairs ...any) {
		ps = append(ps, fault.Field(at+"."+field, code, key, message, pairs...))
	}
	first, firstOK := DayOfText(s.FirstDay)
	last, lastOK := DayOfText(s.LastDay)
	for _, d := range []struct {
		field, text string
		ok          bool
	}{{"first_day", s.FirstDay, firstOK}, {"last_day", s.LastDay, lastOK}} {
		if d.text != "" && !d.ok {
			problem(d.field, "invalid", "field.report_day", "This is not a day such as 2026-11-22.")
		}
	}
	if firstOK && lastOK && (last < first || last-first >= maxReportDays) {
		problem("last_day", "out_of_range", "field.report_range", "The last day is not before the first, and a report is of at most {most} days.", "most", maxReportDays)
	}
	if s.LastDays != 0 && (s.FirstDay != "" || s.LastDay != "") {
		problem("last_days", "ambiguous", "field.report_when", "Either the first and last day are given, or how many of the last days.")
	}
	if s.LastDays < 0 || s.LastDays > maxReportDays {
		problem("last_days", "out_of_range", "field.between", "This is a whole number from {least} to {most}.", "least", 1, "most", maxReportDays)
	}
	steps := []string{string(PerDay), string(PerWeek), string(PerRange)}
	if counted {
		steps = slices.Insert(steps, 0, string(PerHour))
	}
	if s.Per != "" && !slices.Contains(steps, string(s.Per)) {
		ps = append(ps, oneOf(at+".per", string(s.Per), steps...))
	}
	if most := maxReportStep; s.Every < 0 || s.Every > most {
		problem("every", "out_of_range", "field.between", "This is a whole number from {least} to {most}.", "least", 1, "most", most)
	}
	if s.Every > 1 && (s.Per == PerHour || s.Per == PerRange) {
		problem("every", "invalid", "field.report_every", "Only days and weeks are put together.")
	}
	return ps
}

// DayOfText gives the day of a date such as 2026-11-22. false: it is none.
func DayOfText(s string) (int32, bool) {
	t, err := time.Parse(time.DateOnly, s)
	return DayOf(t, time.UTC), err == nil
}
