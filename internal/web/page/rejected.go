package page

import "github.com/millrace/millrace/client"

// reasons are why events are rejected, by code, each with how to mend it. A test holds them to the codes there are.
var reasons = map[string]struct{ why, mend string }{
	"required":           {"page.reject_required", "page.mend_required"},
	"wrong_type":         {"page.reject_wrong_type", "page.mend_wrong_type"},
	"out_of_range":       {"page.reject_out_of_range", "page.mend_out_of_range"},
	"not_integer":        {"page.reject_not_integer", "page.mend_not_integer"},
	"invalid_utf8":       {"page.reject_invalid_utf8", "page.mend_invalid_utf8"},
	"invalid_escape":     {"page.reject_invalid_escape", "page.mend_invalid_escape"},
	"duplicate_field":    {"page.reject_duplicate_field", "page.mend_duplicate_field"},
	"too_deep":           {"page.reject_too_deep", "page.mend_too_deep"},
	"too_large":          {"page.reject_too_large", "page.mend_too_large"},
	"unknown_field":      {"page.reject_unknown_field", "page.mend_unknown_field"},
	"unknown_event_type": {"page.reject_unknown_event_type", "page.mend_unknown_event_type"},
	"invalid_time":       {"page.reject_invalid_time", "page.mend_invalid_time"},
	"invalid_json":       {"page.reject_invalid_json", "page.mend_invalid_json"},
}

// wholeReasons are why bodies are refused whole, by the code of their answer.
var wholeReasons = map[string]struct{ why, mend string }{
	"invalid":   {"page.reject_whole", "page.mend_whole"},
	"too_large": {"page.reject_whole_large", "page.mend_whole_large"},
}

// rejections shows the last events of a key that were not taken: what is wrong, newest first, and how often among them.
func (v *visit) rejections(had client.RejectedEvents) table {
	t := table{
		Columns: []column{{v.t("page.reason"), false}, {v.t("page.field"), false}, {v.t("page.times"), true}, {v.t("page.last"), false}, {v.t("page.sample"), false}},
		Empty:   &empty{Title: v.t("page.rejected_none"), Text: v.t("page.rejected_none_text")},
	}
	type what struct {
		code, field string
		whole       bool
	}
	counts := map[what]int64{}
	var order []what
	newest := map[what]client.RejectedEvent{}
	for _, e := range had.Items {
		for _, p := range e.Errors {
			w := what{p.Code, p.Field, e.Whole}
			if counts[w] == 0 {
				order, newest[w] = append(order, w), e
			}
			counts[w]++
		}
	}
	for _, w := range order {
		reason := cell{Text: w.code, Mono: true}
		from := reasons
		if w.whole {
			from = wholeReasons
		}
		if r, ok := from[w.code]; ok {
			reason = cell{Text: v.t(r.why), Small: v.t(r.mend)}
		}
		field := cell{Text: "–"}
		if w.field != "" {
			field = cell{Text: w.field, Mono: true}
		}
		t.Rows = append(t.Rows, row{[]cell{reason, field, {Text: v.lang.Number(counts[w])}, {Time: v.moment(newest[w].At)}, {Text: newest[w].Sample, Mono: true}}})
	}
	return t
}
