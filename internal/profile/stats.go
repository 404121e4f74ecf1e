package profile

import (
	"cmp"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
)

// tally says what an event of a message, a campaign or a Canvas counts as.
type tally struct {
	medium control.Medium // empty: of none
	count  control.Counter
	// instead gives what it counts as by what it says, and also gives a second count of it; nil, or 0: nothing else.
	instead, also func(f *facts) control.Counter
}

// tallies are the events that are counted, by type.
var tallies = func() map[string]*tally {
	all := map[string]*tally{
		"users.campaigns.Conversion":        {count: control.CountConversions, instead: conversion},
		"users.campaigns.EnrollInControl":   {count: control.CountControl},
		"users.canvas.Conversion":           {count: control.CountConversions, instead: conversion},
		"users.canvas.Entry":                {count: control.CountEntries, also: entryInControl},
		"users.canvas.exit.MatchedAudience": {count: control.CountExits},
		"users.canvas.exit.PerformedEvent":  {count: control.CountExits},
	}
	for medium, types := range map[control.Medium]map[string]tally{
		control.MediumEmail: {
			"email.Send": {count: control.CountSent}, "email.Delivery": {count: control.CountDelivered}, "email.Open": {count: control.CountOpens, instead: machine},
			"email.Click": {count: control.CountClicks, instead: bot}, "email.Bounce": {count: control.CountBounces}, "email.SoftBounce": {count: control.CountSoftBounces},
			"email.MarkAsSpam": {count: control.CountSpam}, "email.Unsubscribe": {count: control.CountUnsubscribes}, "email.Abort": {count: control.CountAborted},
		},
		control.MediumPush: {
			"pushnotification.Send": {count: control.CountSent}, "pushnotification.Open": {count: control.CountOpens, also: tap},
			"pushnotification.Bounce": {count: control.CountBounces}, "pushnotification.Abort": {count: control.CountAborted},
		},
		control.MediumInApp: {
			"inappmessage.Impression": {count: control.CountImpressions}, "inappmessage.Click": {count: control.CountClicks, also: button},
			"inappmessage.Abort": {count: control.CountAborted},
		},
		control.MediumContentCard: {
			"contentcard.Send": {count: control.CountSent}, "contentcard.Impression": {count: control.CountImpressions}, "contentcard.Click": {count: control.CountClicks},
			"contentcard.Dismiss": {count: control.CountDismissals}, "contentcard.Abort": {count: control.CountAborted},
		},
		control.MediumSMS: {
			"sms.Send": {count: control.CountSent}, "sms.CarrierSend": {count: control.CountCarrier}, "sms.Delivery": {count: control.CountDelivered},
			"sms.Rejection": {count: control.CountRejected}, "sms.DeliveryFailure": {count: control.CountFailed}, "sms.ShortLinkClick": {count: control.CountClicks, instead: bot},
			"sms.InboundReceive": {instead: answered}, "sms.Abort": {count: control.CountAborted},
		},
		control.MediumWhatsApp: {
			"whatsapp.Send": {count: control.CountSent}, "whatsapp.Delivery": {count: control.CountDelivered}, "whatsapp.Failure": {count: control.CountFailed},
			"whatsapp.Read": {count: control.CountOpens}, "whatsapp.Click": {count: control.CountClicks}, "whatsapp.InboundReceive": {instead: answered},
			"whatsapp.Abort": {count: control.CountAborted},
		},
		control.MediumLine: {
			"line.Send": {count: control.CountSent}, "line.Click": {count: control.CountClicks, instead: bot}, "line.Abort": {count: control.CountAborted},
		},
		control.MediumRCS: {
			"rcs.Send": {count: control.CountSent}, "rcs.Delivery": {count: control.CountDelivered}, "rcs.Rejection": {count: control.CountRejected},
			"rcs.Read": {count: control.CountOpens}, "rcs.Click": {count: control.CountClicks, instead: bot}, "rcs.InboundReceive": {instead: answered},
			"rcs.Abort": {count: control.CountAborted},
		},
		control.MediumBanner: {
			"banner.Impression": {count: control.CountImpressions}, "banner.Click": {count: control.CountClicks, also: button},
			"banner.Dismiss": {count: control.CountDismissals}, "banner.Abort": {count: control.CountAborted},
		},
		control.MediumWebhook: {
			"webhook.Send": {count: control.CountSent}, "webhook.Failure": {count: control.CountFailed}, "webhook.Abort": {count: control.CountAborted},
		},
	} {
		for name, t := range types {
			t.medium = medium
			all["users.messages."+name] = &t
		}
	}
	return all
}()

func machine(f *facts) control.Counter {
	if f.yes(machineOpen) {
		return control.CountMachineOpens
	}
	return control.CountOpens
}

func bot(f *facts) control.Counter {
	if f.yes(suspectedBot) {
		return control.CountBotClicks
	}
	return control.CountClicks
}

// tap is an open of a push by none of its buttons.
func tap(f *facts) control.Counter {
	if f.text(buttonText) == "" {
		return control.CountBodyClicks
	}
	return 0
}

// button is a click on one of an in-app message's buttons. Source: the vendor's description of button_id: 0 and 1.
func button(f *facts) control.Counter {
	switch f.text(buttonID) {
	case "0":
		return control.CountFirstButton
	case "1":
		return control.CountSecondButton
	}
	return 0
}

func entryInControl(f *facts) control.Counter {
	if f.yes(inControl) {
		return control.CountControl
	}
	return 0
}

// conversion counts by the behaviour; one that is not said is the first.
func conversion(f *facts) control.Counter {
	index, _ := f.number(behaviour)
	c, ok := control.CountConversion(int(index))
	if !ok {
		return 0
	}
	return c
}

// answered is what somebody asked for by a message. Source: the catalogue's description of action.
func answered(f *facts) control.Counter {
	switch a := strings.ToLower(f.text(inboundAction)); {
	case strings.Contains(a, "unsubscribe"), strings.Contains(a, "opt"), strings.Contains(a, "stop"):
		return control.CountOptOuts
	case strings.Contains(a, "help"):
		return control.CountHelps
	}
	return 0
}

// tally counts an event of a message, for its campaign, or its Canvas and step.
func (b *batch) tally(t *tally, f *facts, at time.Time, rec record) error {
	counts := [2]control.Counter{t.count, 0}
	if t.instead != nil {
		counts[0] = t.instead(f)
	}
	if t.also != nil {
		counts[1] = t.also(f)
	}
	channel := control.ChannelOf(t.medium, clean(f.text(platform)))
	of := func(name int64, part string) {
		for _, c := range counts {
			if c != 0 {
				b.add(rec, at, control.Stat{Name: name, Count: c, Channel: channel, Part: part}, 1, 0)
			}
		}
	}
	if id := f.text(campaignID); id != "" {
		campaign, err := b.name(rec, control.NameCampaign, id, f.text(campaignName), 0)
		if err != nil {
			return err
		}
		part := clean(f.text(variationID))
		of(campaign, part)
		if part != "" {
			b.label(rec, control.NameVariation, part, f.text(variationName), campaign)
		}
		if send := f.text(sendID); send != "" {
			if n := b.label(rec, control.NameSend, send, "", campaign); n != 0 {
				of(n, part)
			}
		}
	}
	id := f.text(canvasID)
	if id == "" {
		return nil
	}
	canvas, err := b.name(rec, control.NameCanvas, id, f.text(canvasName), 0)
	if err != nil {
		return err
	}
	part := clean(f.text(canvasVariationID))
	of(canvas, part)
	if part != "" {
		b.label(rec, control.NameVariation, part, f.text(canvasVariation), canvas)
	}
	step := f.text(stepID)
	if step == "" || t.count == control.CountEntries || t.count == control.CountExits {
		return nil
	}
	n, err := b.name(rec, control.NameStep, step, f.text(stepName), canvas)
	if err == nil {
		of(n, part)
	}
	return err
}

// label is name for what may be without one: where there are too many names of the kind it gives 0, and counts go on
// without it.
func (b *batch) label(rec record, kind control.NameKind, name, title string, parent int64) int64 {
	n, err := b.name(rec, kind, name, title, parent)
	if err != nil {
		return 0
	}
	return n
}

// hourly are the counters that are kept by hour.
func hourly(c control.Counter) bool {
	return c == control.CountEvents || c == control.CountPurchases || c == control.CountSessions
}

// add adds to what counts s, which holds neither hour nor number. What is said to be later than it was accepted happened
// then.
func (b *batch) add(rec record, at time.Time, s control.Stat, n int64, revenue float64) {
	if accepted := time.UnixMilli(rec.at); at.After(accepted) {
		at = accepted
	}
	s.Hour = control.HourOf(at, b.zone(rec))
	if !hourly(s.Count) {
		s.Hour = control.DayHour(s.Day())
	}
	b.plus(s, n, revenue)
}

// zone is the time zone of a record's workspace.
func (b *batch) zone(rec record) *time.Location { return cmp.Or(b.zones[rec.workspace], time.UTC) }

// plus is add for what holds its hour.
func (b *batch) plus(s control.Stat, n int64, revenue float64) {
	had := b.stats[s]
	if had == nil {
		had = new(s)
		b.stats[s] = had
	}
	had.N += n
	had.Revenue += revenue
}

// deed counts a custom event, or a purchase, which counts for the workspace as well.
func (b *batch) deed(rec record, kind control.NameKind, name int64, app string, at time.Time, revenue float64) {
	s := control.Stat{Name: name, Count: control.CountEvents, Part: clean(app)}
	if kind == control.NameProduct {
		s.Count = control.CountPurchases
		b.add(rec, at, s, 1, revenue)
		s.Name = control.WholeWorkspace(rec.workspace)
	}
	b.add(rec, at, s, 1, revenue)
}

// newcomer counts somebody among those who are new on the day of to, and no more on that of from, on which they were so far;
// the zero time is no day. With app empty it is in the workspace, else in that app.
func (b *batch) newcomer(rec record, app string, from, to time.Time) {
	if from.Equal(to) {
		return
	}
	s := control.Stat{Name: control.WholeWorkspace(rec.workspace), Count: control.CountNewUsers, Part: clean(app)}
	for _, x := range []struct {
		at time.Time
		n  int64
	}{{from, -1}, {to, 1}} {
		if !x.at.IsZero() {
			s.Hour = control.DayHour(control.DayOf(x.at, b.zone(rec)))
			b.plus(s, x.n, 0)
		}
	}
}

// present counts somebody as there on a day: with app empty in the workspace, else in that app.
func (b *batch) present(rec record, app string, days *control.Active, at time.Time) {
	s := control.Stat{Name: control.WholeWorkspace(rec.workspace), Part: clean(app)}
	news, from, until := days.Note(control.DayOf(at, b.zone(rec)))
	if !news {
		return
	}
	s.Count = control.CountActive
	b.add(rec, at, s, 1, 0)
	if from == until {
		return
	}
	s.Count, s.Hour = control.CountMonthly, control.DayHour(from)
	b.plus(s, 1, 0)
	s.Hour = control.DayHour(until)
	b.plus(s, -1, 0)
}
