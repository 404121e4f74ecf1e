package export

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// Writer writes people, one after the other. It is not safe for concurrent use.
type Writer interface {
	// Append adds what p is in the file to dst. Errors: corrupt; dst is then as it was.
	Append(dst []byte, p control.Profile) ([]byte, error)
}

// whole is what the files of an export of people hold: what writes them, and what it needs to know.
type whole struct {
	writer Writer
	needs  control.ProfileNeeds
	head   []byte // before the first of them
}

// wholeOf gives what writes an export of people; titles are those of variations by their ids. Errors: invalid with every problem.
func wholeOf(e control.Export, titles map[string]string) (w whole, err error) {
	form := formOf(e)
	switch e.Kind {
	case control.ExportSegmentUsers, control.ExportControlGroup:
		u, err := NewUsers(e.Spec.Fields, e.Spec.Attributes, e.CreatedAt)
		if err != nil {
			return w, err
		}
		return whole{writer: u, needs: u.needs()}, nil
	case control.ExportEmailsCSV:
		t := EmailTable(form)
		return whole{t, control.ProfileNeeds{Rest: true}, t.Head(nil)}, nil
	case control.ExportUsersCSV, control.ExportCampaignUsers, control.ExportCanvasUsers:
		needs := control.ProfileNeeds{Custom: len(e.Spec.Attributes) > 0, Rest: true, Events: len(e.Spec.Events) > 0, Only: e.Spec.Events}
		t := UserTable(form, e.Spec.Events, e.Spec.Attributes)
		if kind := recipients[e.Kind]; kind != 0 {
			t = RecipientTable(form, e.Spec.Events, e.Spec.Attributes, kind, e.Subject, titles)
			needs.Had, needs.HadOf = []control.NameKind{kind}, e.Subject
		}
		return whole{t, needs, t.Head(nil)}, nil
	}
	return w, fault.New(fault.Invalid, "", "exports of the kind %s are not of people", e.Kind)
}

// recipients are the kinds that are of who had something, by what that was.
var recipients = map[control.ExportKind]control.NameKind{control.ExportCampaignUsers: control.NameCampaign, control.ExportCanvasUsers: control.NameCanvas}

// formOf is how the tables of an export are written.
func formOf(e control.Export) Form {
	f := Form{BOM: e.Spec.BOM}
	if e.Spec.Delimiter != "" {
		f.Delimiter = e.Spec.Delimiter[0]
	}
	return f
}

// Check gives what is wrong with what an export names. Errors: invalid with every problem.
func Check(e control.Export) error {
	if !e.Kind.OfPeople() {
		return nil
	}
	_, err := wholeOf(e, nil)
	return err
}

// needs is what the fields take.
func (u *Users) needs() (n control.ProfileNeeds) {
	n.Since = u.since
	for _, f := range u.fields {
		switch f.name {
		case "custom_events":
			n.Events = true
		case "purchases":
			n.Purchases = true
		case "campaigns_received":
			n.Had = append(n.Had, control.NameCampaign)
		case "canvases_received":
			n.Had = append(n.Had, control.NameCanvas, control.NameStep)
		case customField:
			n.Custom = true
		default:
			n.Rest = n.Rest || slices.Contains(ofRest, f.name)
		}
	}
	return n
}

// ofRest are the fields that need control.PersonRest.
var ofRest = []string{"apps", "devices", "last_coordinates", "push_opted_in_at", "push_tokens", "user_aliases"}

// partName is the name of a part's file: 32 hex digits.
func partName(e control.Export, number int) string {
	return hashName(fmt.Sprintf("%s part %d", e.ID, number))
}
