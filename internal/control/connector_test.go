package control_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

func TestTheStatusOfAConnectorIsOneWord(t *testing.T) {
	launched := control.Connector{Config: control.Config{Version: 1}}
	paused, deleted := launched, launched
	paused.Paused, deleted.Deleted, deleted.Paused = true, true, true
	lanes := func(states ...control.LaneState) (out []control.Health) {
		for i, s := range states {
			out = append(out, control.Health{Lane: control.Lane{Destination: i + 1}, State: s})
		}
		return out
	}
	for _, row := range []struct {
		name  string
		c     control.Connector
		lanes []control.Health
		want  control.Status
	}{
		{"never launched", control.Connector{}, nil, control.StatusDraft},
		{"launched, no lane yet", launched, nil, control.StatusActive},
		{"all well", launched, lanes(control.LaneDone, control.LaneActive), control.StatusActive},
		{"a store in trouble", launched, lanes(control.LaneRetrying), control.StatusActive},
		{"failing", launched, lanes(control.LaneFailing), control.StatusFailing},
		{"an earlier destination failing", launched, lanes(control.LaneFailing, control.LaneActive), control.StatusFailing},
		{"paused while failing", paused, lanes(control.LaneFailing), control.StatusPaused},
		{"deleted", deleted, lanes(control.LaneFailing), control.StatusDeleted},
	} {
		if got := control.StatusOf(row.c, row.lanes); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

func TestTransformationsAreOfferedForTheTextOfSelectedTypes(t *testing.T) {
	types, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	one := control.TransformationFields(types, []string{"users.messages.email.Open"})
	all := control.TransformationFields(types, []string{"all"})
	for _, f := range []string{"email_address", "user_id"} {
		if !slices.Contains(one, f) {
			t.Errorf("%s is not offered: %v", f, one)
		}
	}
	for _, f := range []string{"id", "time", "phone_number", "to_phone_number"} {
		if slices.Contains(one, f) {
			t.Errorf("%s is offered", f)
		}
	}
	if slices.Contains(all, "id") || len(all) <= len(one) || !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("of all types: %v", all)
	}
	for _, f := range all { // each that is offered may be chosen
		c := control.Connector{Config: control.Config{Transformations: []control.Transformation{{Field: f, Action: control.Hash}}}}
		for _, p := range c.Validate(types) {
			if strings.HasPrefix(p.Field, "transformations") {
				t.Errorf("%s: %s", f, p.Message)
			}
		}
	}
	if got := control.TransformationFields(types, nil); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestASessionIsNamedAsSTSAllows(t *testing.T) {
	for name, want := range map[string]string{
		"warehouse": "millrace-warehouse", "São Paulo": "millrace-S-o-Paulo", "a_b=c,d.e@f-g": "millrace-a_b=c,d.e@f-g", "": "millrace-", "x:y+z": "millrace-x-y-z",
		strings.Repeat("é", 100): "millrace-" + strings.Repeat("-", 55),
	} {
		if got := control.SessionName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestAnHourMarkIsReadAsItWasWritten(t *testing.T) {
	want := control.Record{Kind: control.RecordHour, Hour: eventlog.Hour(498700)}
	got, err := control.DecodeRecord(control.EncodeRecord(want))
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{`{"kind":"hour"}`, `{"kind":"hour","hour":-1}`, `{"kind":"hour","hour":"x"}`} {
		if _, err := control.DecodeRecord([]byte(bad)); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v, want corrupt", bad, err)
		}
	}
}

func TestADataExportAndAConnectorInTheRootExcludeEachOther(t *testing.T) {
	export := func(workspace uint32, endpoint, bucket string) control.Placement {
		return control.PlacementOfExport(control.DataExport{Workspace: workspace, Endpoint: endpoint, Bucket: bucket})
	}
	connector := func(folder string) control.Placement {
		p := at("", "b", folder)
		p.Workspace, p.Name, p.Connector = 1, "warehouse", "c"
		return p
	}
	for _, row := range []struct {
		name  string
		p, o  control.Placement
		says  string // of the error
		hides string
	}{
		{"a connector into the root", connector(""), export(1, "", "b"), "data export", ""},
		{"a data export beside the root", export(1, "", "b"), connector(""), `"warehouse"`, ""},
		{"another workspace's root", export(2, "", "b"), connector(""), "in use", "warehouse"},
		{"a folder beside it", connector("currents"), export(1, "", "b"), "", ""},
		{"another bucket", connector(""), export(1, "", "c"), "", ""},
		{"another store", connector(""), export(1, "https://s.example", "b"), "", ""},
		{"two data exports", export(1, "", "b"), export(2, "", "b"), "", ""},
	} {
		err := control.CheckPlacement(row.p, []control.Placement{row.o})
		switch {
		case row.says == "" && err != nil:
			t.Errorf("%s: %v", row.name, err)
		case row.says != "" && (!fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), row.says) || fault.HintOf(err) == ""):
			t.Errorf("%s: %v (hint %q), want %q", row.name, err, fault.HintOf(err), row.says)
		case row.hides != "" && strings.Contains(err.Error(), row.hides):
			t.Errorf("%s: it names the other: %v", row.name, err)
		}
	}
}
