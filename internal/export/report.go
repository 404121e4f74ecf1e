package export

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// Report is tables of what was counted: of messages, custom events, purchases.
//
// A line is of one thing and one span of time, and there is one for each of them, with zeros where nothing was. Numbers are
// those of the moment when each thing's are read; memory does not grow with the things or the days. What a column is called
// is a promise to programs: see docs/compatibility.md.
type Report struct {
	Counts    ReportCounts
	Labels    ReportLabels
	Workspace uint32
	Kind      control.ExportKind
	Spec      control.ReportSpec
	Form      Form
	Now       time.Time      // when it was asked for
	Zone      *time.Location // of its days
}

// ReportCounts is what was counted of what events named. Every method keeps to its workspace; see room store for errors.
type ReportCounts interface {
	Names(ctx context.Context, workspace uint32, kind control.NameKind) ([]control.Name, error)
	Stats(ctx context.Context, workspace uint32, names []int64, from, until int32) ([]control.Stat, error)
	Firsts(ctx context.Context, workspace uint32, names []int64, zone *time.Location, from, until int32) ([]control.Stat, error)
	Oldest(ctx context.Context, workspace uint32, names []int64) (hour int32, known bool, err error)
}

// ReportLabels is what people say of campaigns and Canvases, and of their workspace's days.
type ReportLabels interface {
	Zone(ctx context.Context, workspace uint32) (*time.Location, error)
	CampaignLabels(ctx context.Context, workspace uint32, kind control.NameKind) ([]control.CampaignLabel, error)
}

// sheet is a file of a report.
type sheet struct {
	file    string
	kind    control.NameKind
	heads   []string // of the columns that say what a line is about
	figures []figure
}

// figure is a column of numbers.
type figure struct {
	control.Statistic
	money bool // revenue is added up, not how often
}

// sheets are the files of each kind of report. Sources: Braze, "Export campaign results data" and "Export custom event data",
// "Exporting revenue data", "Engagement reports".
var sheets = func() map[control.ExportKind][]sheet {
	of := func(name, channel string, counts ...control.Counter) figure {
		return figure{Statistic: control.Statistic{Head: name, Channel: channel, Of: counts}}
	}
	performance := []figure{of("Total Sent", "", control.CountSent)}
	for _, c := range []struct{ head, channel string }{
		{"Email", "email"}, {"iOS Push", "ios_push"}, {"Android Push", "android_push"}, {"Web Push", "web_push"}, {"SMS", "sms"}, {"WhatsApp", "whatsapp"},
		{"LINE", "line"}, {"RCS", "rcs"}, {"Content Card", "content_card"}, {"Webhook", "webhook"},
	} {
		performance = append(performance, of(c.head+" Sent", c.channel, control.CountSent))
	}
	performance = append(performance,
		of("Email Delivered", "email", control.CountDelivered), of("Email Opened", "email", control.CountOpens, control.CountMachineOpens),
		of("Email Clicks", "email", control.CountClicks), of("Email Bounces", "email", control.CountBounces), of("Email Spam", "email", control.CountSpam),
		of("In-App Message Impressions", "in_app", control.CountImpressions), of("In-App Message Clicks", "in_app", control.CountClicks),
	)
	for _, c := range []struct{ head, channel string }{{"iOS Push", "ios_push"}, {"Android Push", "android_push"}} {
		// Nothing tells of opens but taps.
		performance = append(performance, of(c.head+" Total Opens", c.channel, control.CountOpens), of(c.head+" Direct Opens", c.channel, control.CountOpens),
			of(c.head+" Bounces", c.channel, control.CountBounces))
	}
	for i := range 4 {
		c, _ := control.CountConversion(i)
		performance = append(performance, of([]string{"Conversions", "Conversions (B)", "Conversions (C)", "Conversions (D)"}[i], "", c))
	}
	var engagement []figure
	for _, s := range control.ReportStatistics() {
		engagement = append(engagement, figure{Statistic: s})
	}
	revenue := of("Revenue", "", control.CountPurchases)
	revenue.money = true
	return map[control.ExportKind][]sheet{
		control.ExportPerformance:  {{"campaign-performance.csv", control.NameCampaign, []string{"Campaign Name", "Campaign ID"}, performance}},
		control.ExportCustomEvents: {{"custom-events.csv", control.NameEvent, []string{"Event"}, []figure{of("Count", "", control.CountEvents)}}},
		control.ExportRevenue:      {{"revenue.csv", control.NameProduct, []string{"Product"}, []figure{of("Purchases", "", control.CountPurchases), revenue}}},
		control.ExportEngagement: {
			{"campaigns.csv", control.NameCampaign, []string{"Campaign Name", "Campaign ID", "Tags"}, engagement},
			{"canvases.csv", control.NameCanvas, []string{"Canvas Name", "Canvas ID", "Tags"}, engagement},
		},
	}
}()

// Files gives the names of the files of the report, one at least where its Spec is valid.
func (r Report) Files() (names []string) {
	for _, s := range sheets[r.Kind] {
		if r.Kind != control.ExportEngagement || len(r.Spec.Tags) > 0 || len(r.chosen(s.kind)) > 0 {
			names = append(names, s.file)
		}
	}
	return names
}

// Write writes one of the files, and gives how many lines it has below the first. Errors: those of what it reads, and of w.
func (r Report) Write(ctx context.Context, file string, w io.Writer) (lines int64, err error) {
	for _, s := range sheets[r.Kind] {
		if s.file == file {
			lines, err = r.write(ctx, s, w)
		}
	}
	return lines, fault.Wrap(err, "write "+file)
}

// chosen are the things of a kind that were chosen one by one.
func (r Report) chosen(kind control.NameKind) []string {
	switch kind {
	case control.NameCampaign:
		return r.Spec.Campaigns
	case control.NameCanvas:
		return r.Spec.Canvases
	}
	return r.Spec.Names
}

// thing is what lines are about.
type thing struct {
	name  int64 // 0: no event has named it
	cells []string
}

// readAtOnce is of how many things and days, or hours where these are counted, numbers are read at once.
const readAtOnce = 10_000

func (r Report) write(ctx context.Context, s sheet, w io.Writer) (int64, error) {
	things, err := r.things(ctx, s)
	if err != nil {
		return 0, err
	}
	span, err := r.span(ctx, things)
	if err != nil {
		return 0, err
	}
	o := newLines(r, s, span, w)
	if r.Spec.Variations {
		if o.titles, err = r.variations(ctx, things); err != nil {
			return 0, err
		}
	}
	o.head(s.heads)
	slots := int(span.until - span.from)
	if s.kind == control.NameCampaign || s.kind == control.NameCanvas {
		slots /= 24
	}
	for some := range slices.Chunk(things, max(1, readAtOnce/max(1, slots))) {
		ids := make([]int64, len(some))
		for i, t := range some {
			ids[i] = t.name
		}
		stats, err := r.Counts.Stats(ctx, r.Workspace, ids, span.from, span.until)
		if err != nil {
			return 0, err
		}
		if o.uniques {
			firsts, err := r.Counts.Firsts(ctx, r.Workspace, ids, r.Zone, span.from, span.until)
			if err != nil {
				return 0, err
			}
			stats = append(stats, firsts...)
		}
		o.add(some, stats)
	}
	return o.count, fault.Wrap(o.w.Flush(), "write lines") // the first error of all that was written
}

// things gives what the lines of a sheet are about, by title.
func (r Report) things(ctx context.Context, s sheet) ([]thing, error) {
	names, err := r.Counts.Names(ctx, r.Workspace, s.kind)
	if err != nil {
		return nil, err
	}
	labels := map[string]control.CampaignLabel{}
	if s.kind == control.NameCampaign || s.kind == control.NameCanvas {
		all, err := r.Labels.CampaignLabels(ctx, r.Workspace, s.kind)
		if err != nil {
			return nil, err
		}
		for _, l := range all {
			labels[l.ID] = l
		}
	}
	missing := map[string]bool{} // that were chosen
	for _, id := range r.chosen(s.kind) {
		missing[id] = true
	}
	chosen, all := len(missing) > 0, len(missing) == 0 && len(r.Spec.Tags) == 0
	var things []thing
	add := func(n control.Name) {
		l := labels[n.Name]
		cells := []string{cmp.Or(l.Title, n.Title, n.Name), n.Name, strings.Join(l.Tags, ",")}
		things = append(things, thing{n.ID, cells[:len(s.heads)]})
	}
	for _, n := range names {
		if all || chosen && missing[n.Name] || !chosen && r.tagged(labels[n.Name]) {
			add(n)
			delete(missing, n.Name)
		}
	}
	for id := range missing {
		add(control.Name{Name: id})
	}
	slices.SortFunc(things, func(a, b thing) int { return slices.Compare(a.cells, b.cells) })
	return things, nil
}

// tagged reports whether something has the tags that were asked for.
func (r Report) tagged(l control.CampaignLabel) bool {
	n := 0
	for _, t := range r.Spec.Tags {
		if slices.Contains(l.Tags, t) {
			n++
		}
	}
	return n > 0 && (n == len(r.Spec.Tags) || !r.Spec.AllTags)
}

// variations gives the titles of all variations of things, each by its id.
func (r Report) variations(ctx context.Context, things []thing) (map[int64]map[string]string, error) {
	all, err := r.Counts.Names(ctx, r.Workspace, control.NameVariation)
	titles := map[int64]map[string]string{}
	for _, t := range things {
		titles[t.name] = map[string]string{}
	}
	for _, v := range all {
		if of := titles[v.Parent]; of != nil {
			of[v.Name] = v.Title
		}
	}
	return titles, err
}

// span is the time of a report, cut into lines.
type span struct {
	from, until int32 // hours
	step        int32 // of a line
	per         control.ReportStep
	single      bool // a line is of one day or hour, and says it in one cell
	zone        *time.Location
}

// span gives when the report is of. Days end with the one on which it is made.
func (r Report) span(ctx context.Context, things []thing) (s span, err error) {
	today := control.DayOf(r.Now, r.Zone)
	last, lastSaid := control.DayOfText(r.Spec.LastDay)
	first, firstSaid := control.DayOfText(r.Spec.FirstDay)
	if !lastSaid {
		last = today
	}
	switch {
	case r.Spec.LastDays > 0:
		first, last = today-int32(r.Spec.LastDays), today-1
	case !firstSaid:
		ids := make([]int64, len(things))
		for i, t := range things {
			ids[i] = t.name
		}
		hour, known, err := r.Counts.Oldest(ctx, r.Workspace, ids)
		if err != nil {
			return s, err
		}
		if first = last; known {
			first = min(last, control.Stat{Hour: hour}.Day())
		}
	}
	s = span{from: control.DayHour(first), until: control.DayHour(last + 1), per: cmp.Or(r.Spec.Per, control.PerDay), zone: r.Zone}
	every := int32(max(1, r.Spec.Every))
	switch s.per {
	case control.PerHour:
		s.step, s.single = 1, true
	case control.PerDay:
		s.step, s.single = every*24, every == 1
	case control.PerWeek:
		s.step = every * 7 * 24
	default:
		s.step = max(1, s.until-s.from)
	}
	return s, nil
}

// lines is how many there are for each thing.
func (s span) lines() int { return int(max(0, s.until-s.from+s.step-1) / s.step) }

func (s span) heads() []string {
	switch {
	case s.per == control.PerHour:
		return []string{"Hour"}
	case s.single:
		return []string{"Date"}
	}
	return []string{"First Day", "Last Day"}
}

// cells say which time the i-th line is of; none: of an hour that clocks pass over, in which nothing was.
func (s span) cells(i int) []string {
	from := s.from + int32(i)*s.step
	first := control.DayText(control.Stat{Hour: from}.Day())
	switch {
	case s.per == control.PerHour:
		begins := control.HourStart(from, s.zone)
		if control.HourOf(begins, s.zone) != from {
			return nil
		}
		return []string{begins.Format(time.RFC3339)}
	case s.single:
		return []string{first}
	}
	return []string{first, control.DayText(control.Stat{Hour: min(from+s.step, s.until) - 1}.Day())}
}

// lines writes the lines of a sheet.
type lines struct {
	form    *Table
	w       *bufio.Writer
	buf     []byte
	count   int64
	span    span
	figures []figure
	uniques bool                        // people are counted too
	titles  map[int64]map[string]string // of variations, by what they are of; nil: there are no lines of theirs
	reached map[counted][]reach
}

// counted is what a stat counts.
type counted struct {
	count   control.Counter
	channel control.MessageChannel
}

// reach is a figure that a stat is added to.
type reach struct {
	figure int
	per    bool // it divides
}

// number is the value of a figure.
type number struct{ of, per float64 }

func newLines(r Report, s sheet, sp span, w io.Writer) *lines {
	o := &lines{form: r.Form.table(nil), w: bufio.NewWriterSize(w, 64<<10), span: sp, reached: map[counted][]reach{}}
	for _, f := range s.figures {
		if r.Kind != control.ExportEngagement || len(r.Spec.Statistics) == 0 || slices.Contains(r.Spec.Statistics, f.Name) {
			o.figures = append(o.figures, f)
			o.uniques = o.uniques || slices.Contains(f.Of, control.CountUniqueOpens) || slices.Contains(f.Of, control.CountUniqueClicks)
		}
	}
	return o
}

func (o *lines) head(about []string) {
	all := slices.Clone(about)
	if o.titles != nil {
		all = append(all, "Variation Name", "Variation ID")
	}
	all = append(all, o.span.heads()...)
	for _, f := range o.figures {
		all = append(all, f.Head)
	}
	if o.form.bom {
		o.buf = append(o.buf, "\ufeff"...)
	}
	for i, h := range all {
		o.buf = o.form.cell(o.buf, i, h)
	}
	o.end()
}

// end ends a line. An error of writing is met again by Flush.
func (o *lines) end() {
	_, _ = o.w.Write(append(o.buf, "\r\n"...))
	o.buf = o.buf[:0]
}

// add writes the lines of some things, of which stats is all that was counted.
func (o *lines) add(things []thing, stats []control.Stat) {
	type of struct {
		name int64
		part string
	}
	wide := len(o.figures)
	sums := map[of][]number{} // the figures of each line
	parts := map[int64]map[string]bool{}
	for _, s := range stats {
		k := of{s.Name, ""}
		if o.titles != nil {
			k.part = s.Part
			if parts[s.Name] == nil {
				parts[s.Name] = map[string]bool{}
			}
			parts[s.Name][s.Part] = true
		}
		if sums[k] == nil {
			sums[k] = make([]number, o.span.lines()*wide)
		}
		line := int(s.Hour-o.span.from) / int(o.span.step) * wide
		for _, r := range o.reach(counted{s.Count, s.Channel}) {
			n := &sums[k][line+r.figure]
			switch {
			case r.per:
				n.per += float64(s.N)
			case o.figures[r.figure].money:
				n.of += s.Revenue
			default:
				n.of += float64(s.N)
			}
		}
	}
	for _, t := range things {
		if o.titles == nil {
			o.thing(t.cells, sums[of{t.name, ""}])
			continue
		}
		for _, part := range sortedKeys(o.titles[t.name], parts[t.name]) {
			o.thing(append(slices.Clone(t.cells), cmp.Or(o.titles[t.name][part], part), part), sums[of{t.name, part}])
		}
	}
}

// sortedKeys gives the keys that either has.
func sortedKeys(a map[string]string, b map[string]bool) (all []string) {
	for k := range a {
		all = append(all, k)
	}
	for k := range b {
		all = append(all, k)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// reach gives the figures that such a stat is added to.
func (o *lines) reach(c counted) []reach {
	all, known := o.reached[c]
	if !known {
		for i, f := range o.figures {
			if f.Has(c.channel) && slices.Contains(f.Of, c.count) {
				all = append(all, reach{i, false})
			}
			if f.Has(c.channel) && slices.Contains(f.Per, c.count) {
				all = append(all, reach{i, true})
			}
		}
		o.reached[c] = all
	}
	return all
}

// thing writes the lines of one thing; sums is nil where nothing was counted.
func (o *lines) thing(about []string, sums []number) {
	for i := range o.span.lines() {
		when := o.span.cells(i)
		if when == nil {
			continue
		}
		at := 0
		for _, cells := range [][]string{about, when} {
			for _, c := range cells {
				o.buf = o.form.cell(o.buf, at, c)
				at++
			}
		}
		for j, f := range o.figures {
			var n number
			if sums != nil {
				n = sums[i*len(o.figures)+j]
			}
			o.buf = f.append(append(o.buf, o.form.delimiter), n)
		}
		o.end()
		o.count++
	}
}

// append adds the cell of a number: one of ours, that no spreadsheet takes for a formula.
func (f figure) append(dst []byte, n number) []byte {
	switch {
	case f.Of == nil, f.Per != nil && n.per == 0:
		return dst
	case f.Per != nil:
		return strconv.AppendFloat(dst, n.of/n.per, 'f', 4, 64)
	}
	return addNumber(dst, control.Money(n.of))
}
