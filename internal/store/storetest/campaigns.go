package storetest

import (
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

func campaigns(run runner) {
	run("what people say of a campaign is kept in versions, and stays in its workspace", func(t *testing.T, e *env) {
		ctx := t.Context()
		w, other := e.workspace("acme"), e.workspace("other")
		l := control.CampaignLabel{Workspace: w.Number, Kind: control.NameCampaign, ID: "c1"}
		got, err := e.CampaignLabel(ctx, w.Number, control.NameCampaign, "c1")
		ok(t, err)
		equal(t, "of which nobody said anything", got, l)

		l.Title, l.Description, l.Tags, l.Archived, l.UpdatedAt = "Welcome", "d", []string{"a", "b"}, true, e.now
		ok(t, e.SaveCampaignLabel(ctx, l))
		want(t, e.SaveCampaignLabel(ctx, l), fault.Stale)
		l.Rev = 1
		got, err = e.CampaignLabel(ctx, w.Number, control.NameCampaign, "c1")
		ok(t, err)
		equal(t, "label", got, l)
		l.Title, l.Tags, l.Archived = "", []string{}, false
		ok(t, e.SaveCampaignLabel(ctx, l))
		want(t, e.SaveCampaignLabel(ctx, l), fault.Stale)
		l.Rev = 2
		all, err := e.CampaignLabels(ctx, w.Number, control.NameCampaign)
		ok(t, err)
		equal(t, "all", all, []control.CampaignLabel{l})

		for _, x := range []struct {
			workspace uint32
			kind      control.NameKind
		}{{other.Number, control.NameCampaign}, {w.Number, control.NameCanvas}} {
			all, err := e.CampaignLabels(ctx, x.workspace, x.kind)
			ok(t, err)
			equal(t, "others", len(all), 0)
		}
		l.Workspace, l.Rev = other.Number, 2
		want(t, e.SaveCampaignLabel(ctx, l), fault.Stale)
	})
}
