package control

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
)

func TestWhoIsToldOfAnExport(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ada := Actor{Member: "m", Name: "ada@acme.example"}
	ended := func(e Export, err error) Export {
		e.ID, e.File = "01a204f8-8c7f-7bcd-9213-cc707b0640e0", "users.zip"
		return e.Ended(at, err)
	}
	gone := &fault.Error{Code: fault.Forbidden, Msg: fault.Message{Key: "control.forbidden", Text: "You may not do this."}}
	for name, x := range map[string]struct {
		e    Export
		kind NoticeKind // empty: nobody
		to   string
		more map[string]string
	}{
		"one of a member":          {ended(Export{Kind: ExportUsersCSV, Actor: ada}, nil), NoticeExportReady, "ada@acme.example", map[string]string{"until": "2026-11-22T16:00:00Z"}},
		"a report for others":      {ended(Export{Kind: ExportEngagement, Actor: ada, Spec: ExportSpec{Recipients: []string{"a@x", "b@x"}}}, nil), NoticeExportReady, "a@x,b@x", map[string]string{"until": "2026-11-22T13:00:00Z"}},
		"one of a program":         {ended(Export{Kind: ExportSegmentUsers, Key: "k", Actor: Actor{Name: "crm"}}, nil), "", "", nil},
		"a program's that failed":  {ended(Export{Kind: ExportSegmentUsers, Key: "k", Actor: Actor{Name: "crm"}}, gone), NoticeExportFailed, "", map[string]string{"by": "crm", "message": "You may not do this."}},
		"a member's that failed":   {ended(Export{Kind: ExportUsersCSV, Actor: ada}, gone), NoticeExportFailed, "ada@acme.example", nil},
		"one that failed for us":   {ended(Export{Kind: ExportUsersCSV, Actor: ada}, fault.New(fault.Corrupt, "", "row 7 of people is torn")), NoticeExportFailed, "ada@acme.example", map[string]string{"message": ""}},
		"one that was cancelled":   {Export{State: ExportCancelled, Actor: ada}, "", "", nil},
		"one asked for in Spanish": {ended(Export{Kind: ExportUsersCSV, Actor: ada, Spec: ExportSpec{Language: "es"}}, nil), NoticeExportReady, "ada@acme.example", map[string]string{ParamLanguage: "es"}},
		"one with a linked bucket": {ended(Export{Kind: ExportUsersCSV, Subject: "s", Actor: ada, CreatedAt: at, Place: ExportPlace{Bucket: "b"}}, nil), NoticeExportReady, "ada@acme.example", map[string]string{"bucket": "b", "folder": "segment-export/s/2026-11-22/"}},
	} {
		n, told := ExportNotice(x.e, "acme")
		if told != (x.kind != "") || told && (n.Kind != x.kind || n.Params[ParamTo] != x.to || n.Params["workspace"] != "acme") {
			t.Errorf("%s: %v %+v", name, told, n)
		}
		for k, v := range x.more {
			if n.Params[k] != v {
				t.Errorf("%s: %s is %q", name, k, n.Params[k])
			}
		}
	}
}

// What a bucket refuses is told with what to do about it.
func TestAFailingBucketIsToldWithItsHint(t *testing.T) {
	n, _ := ExportNotice(Export{State: ExportFailed, Failure: FailureOf(&bucket.Error{Problem: bucket.AccessDenied})}, "acme")
	var s Said
	if err := json.Unmarshal([]byte(n.Params[ParamSaid]), &s); err != nil || s.Hint.Key != "bucket.access_denied.hint" {
		t.Errorf("%q says the hint %q: %v", n.Params[ParamSaid], s.Hint.Key, err)
	}
}
