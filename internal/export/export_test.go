package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zip"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

var now = time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)

// ana is a person of whom all is known.
func ana() control.Profile {
	campaign := control.Name{ID: 1, Kind: control.NameCampaign, Name: "c-1", Title: "Welcome \"you\""}
	canvas := control.Name{ID: 2, Kind: control.NameCanvas, Name: "v-1"}
	step := control.Name{ID: 3, Kind: control.NameStep, Name: "s-1", Title: "First", Parent: 2}
	day := 24 * time.Hour
	return control.Profile{
		Person: &control.Person{
			Row: 1, Workspace: 7, ID: "5f0c", ExternalID: "ana-1", Bucket: 4711, CreatedAt: now.Add(-400 * day), FirstName: "=Ana", LastName: "Núñez; \"A\"",
			Email: "ana@acme.example", Phone: "+551199", Gender: "F", Birth: "1990-02-28", Country: "BR", Language: "pt", TimeZone: "America/Sao_Paulo", HomeCity: "São Paulo",
			EmailSubscribe: control.Unsubscribed, PushSubscribe: control.OptedIn, FirstSession: now.Add(-300 * day), LastSession: now.Add(-day), UninstalledAt: now.Add(-time.Hour),
			Sessions: 12, Revenue: 20.09 + 1e-12, Custom: []byte(`{"city":"a<b","n":3,"tags":["x"]}`),
			Rest: []byte(`{"aliases":[{"alias_label":"crm","alias_name":"77"}],"devices":[{"id":"d1","model":"Pixel","os":"15","ad_id":"g-1","ad_id_type":"google_ad_id","ad_tracking":true}],
				"apps":[{"id":"app","platform":"android","version":"1.2","sessions":12,"first_used":1700000000000,"last_used":1760000000000}],
				"push_tokens":[{"app":"app","token":"t-1","device":"d1"}],"coordinates":[-46.6,-23.5],"subscribed_at":{"email":1760000000000,"push":1750000000000}}`),
		},
		Deeds: []control.Deed{
			{Kind: control.NameEvent, Name: "old", First: now.Add(-200 * day), Last: now.Add(-100 * day), Count: 9},
			{Kind: control.NameEvent, Name: "viewed", First: now.Add(-200 * day), Last: now.Add(-day), Count: 3},
			{Kind: control.NameProduct, Name: "sku", First: now.Add(-day), Last: now.Add(-day), Count: 1, Revenue: 99.5},
		},
		Had: []control.Had{
			{Of: campaign, Deed: control.PersonMessage{Variation: "var-1", Flags: control.OpenedEmail | control.Converted, Received: now.Add(-day)}},
			{Of: canvas, Deed: control.PersonMessage{Variation: "A", Entered: now.Add(-2 * day), Received: now.Add(-day)}},
			{Of: step, Deed: control.PersonMessage{Received: now.Add(-day)}},
		},
	}
}

func TestAUserIsWrittenAsTheVendorsObject(t *testing.T) {
	u, err := NewUsers(Fields(), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	line, err := u.Append(nil, ana())
	if err != nil || !bytes.HasSuffix(line, []byte("}\n")) {
		t.Fatalf("%s, %v", line, err)
	}
	var got, want map[string]any
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	if err := json.Unmarshal([]byte(`{
		"apps":[{"name":"app","platform":"android","version":"1.2","sessions":12,"first_used":"2023-11-14T22:13:20.000Z","last_used":"2025-10-09T08:53:20.000Z"}],
		"braze_id":"5f0c","external_id":"ana-1","random_bucket":4711,"created_at":"2025-10-18 10:30:00.000 UTC","first_name":"=Ana","last_name":"Núñez; \"A\"",
		"email":"ana@acme.example","phone":"+551199","gender":"F","dob":"1990-02-28","country":"BR","language":"pt","time_zone":"America/Sao_Paulo","home_city":"São Paulo",
		"email_subscribe":"unsubscribed","push_subscribe":"opted_in","push_opted_in_at":"2025-06-15T15:06:40.000Z","uninstalled_at":"2026-11-22T09:30:00.000Z","total_revenue":20.09,"last_coordinates":[-46.6,-23.5],
		"custom_attributes":{"city":"a<b","n":3,"tags":["x"]},
		"custom_events":[{"name":"viewed","first":"2026-05-06T10:30:00.000Z","last":"2026-11-21T10:30:00.000Z","count":3}],
		"purchases":[{"name":"sku","first":"2026-11-21T10:30:00.000Z","last":"2026-11-21T10:30:00.000Z","count":1}],
		"devices":[{"model":"Pixel","os":"15","device_id":"d1","google_ad_id":"g-1","ad_tracking_enabled":true}],
		"push_tokens":[{"app":"app","token":"t-1","device_id":"d1"}],
		"user_aliases":[{"alias_name":"77","alias_label":"crm"}],
		"campaigns_received":[{"name":"Welcome \"you\"","api_campaign_id":"c-1","variation_api_id":"var-1","last_received":"2026-11-21T10:30:00.000Z",
			"engaged":{"opened_email":true,"opened_push":false,"clicked_email":false,"clicked_triggered_in_app_message":false},"converted":true,"in_control":false}],
		"canvases_received":[{"name":"v-1","api_canvas_id":"v-1","variation_name":"A","last_received_message":"2026-11-21T10:30:00.000Z","last_entered":"2026-11-20T10:30:00.000Z",
			"in_control":false,"steps_received":[{"name":"First","api_canvas_step_id":"s-1","last_received":"2026-11-21T10:30:00.000Z"}]}]}`), &want); err != nil {
		t.Fatal(err)
	}
	for key := range want {
		if g, w := text(got[key]), text(want[key]); g != w {
			t.Errorf("%s\n got %s\nwant %s", key, g, w)
		}
	}
	for key := range got {
		if _, is := want[key]; !is {
			t.Errorf("%s is written and should not be", key)
		}
	}
}

func text(v any) string {
	b, _ := json.Marshal(v) // what came from JSON
	return string(b)
}

func TestWhatIsNotKnownIsLeftOut(t *testing.T) {
	u, err := NewUsers(Fields(), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	line, err := u.Append([]byte("before\n"), control.Profile{Person: &control.Person{ID: "5f0c", CreatedAt: now, Custom: []byte("{}")}})
	if want := "before\n" + `{"braze_id":"5f0c","created_at":"2026-11-22 10:30:00.000 UTC","random_bucket":0,"total_revenue":0}` + "\n"; err != nil || string(line) != want {
		t.Errorf("%s%v", line, err)
	}
}

func TestFieldsAndAttributesAreChosen(t *testing.T) {
	for _, c := range []struct {
		fields, custom []string
		want           string
	}{
		{[]string{"email", "country"}, nil, `{"country":"BR","email":"ana@acme.example"}`},
		{[]string{"email"}, []string{"n", "nothing"}, `{"custom_attributes":{"n":3},"email":"ana@acme.example"}`},
		{[]string{"attributed_campaign", "attributed_source", "attributed_adgroup", "attributed_ad", "cards_clicked", "email"}, nil, `{"email":"ana@acme.example"}`},
		{[]string{"push_opted_in_at"}, nil, `{"push_opted_in_at":"2025-06-15T15:06:40.000Z"}`},
		{[]string{"email"}, []string{"nothing"}, `{"email":"ana@acme.example"}`},
		{[]string{"custom_attributes"}, []string{"n"}, `{"custom_attributes":{"city":"a<b","n":3,"tags":["x"]}}`},
	} {
		u, err := NewUsers(c.fields, c.custom, now)
		if err != nil {
			t.Fatal(err)
		}
		if line, err := u.Append(nil, ana()); err != nil || string(line) != c.want+"\n" {
			t.Errorf("%v, %v: %s%v", c.fields, c.custom, line, err)
		}
	}
	_, err := NewUsers([]string{"email", "mail", "Email"}, nil, now)
	if e := fault.As(err); e == nil || e.Code != fault.Invalid || len(e.Fields) != 2 || e.Fields[0].Field != "fields_to_export[1]" {
		t.Errorf("unknown fields are answered %v", err)
	}
	if !slices.IsSorted(Fields()) {
		t.Error("the fields are not sorted by name")
	}
}

func TestACellIsOneCellInAnySpreadsheet(t *testing.T) {
	for v, want := range map[string]string{
		"plain": "plain", "a;=1+2": `"a;=1+2"`, "a\t=1+2": "\"a\t=1+2\"", "a,=1+2": `"a,=1+2"`, "a:b": `"a:b"`, "a|=1": `"a|=1"`, `a"b`: `"a""b"`, "a\r=1": "\"a\r=1\"",
		"\n=1+2": "\"'\n=1+2\"", "\r=1+2": "\"'\r=1+2\"", "\t=1+2": "\"'\t=1+2\"", "=1+2": "'=1+2", "-1": "'-1", "+1;": `"'+1;"`, "@a": "'@a", "": "",
	} {
		for _, delimiter := range []byte(",;:|") {
			if got := string(Form{Delimiter: delimiter}.table(nil).cell(nil, 0, v)); got != want {
				t.Errorf("%q becomes %q and not %q with %c", v, got, want, delimiter)
			}
		}
	}
}

func TestWhatIsStoredAmissIsNamed(t *testing.T) {
	u, err := NewUsers([]string{"apps"}, []string{"n"}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []control.Person{{ID: "x", Rest: []byte("{")}, {ID: "x", Custom: []byte("{")}} {
		if line, err := u.Append([]byte("a"), control.Profile{Person: &p}); string(line) != "a" || !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), "person x") {
			t.Errorf("%s, %v", line, err)
		}
		if _, err := UserTable(Form{}, nil, []string{"n"}).Append(nil, control.Profile{Person: &p}); !fault.Is(err, fault.Corrupt) {
			t.Errorf("the table gives %v", err)
		}
	}
}

// readTable reads a table as a spreadsheet would.
func readTable(t *testing.T, b []byte, delimiter rune) (head, line []string) {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(b))
	r.Comma = delimiter
	lines, err := r.ReadAll()
	if err != nil || len(lines) != 2 {
		t.Fatalf("%q: %v", b, err)
	}
	return lines[0], lines[1]
}

func TestATableHasTheVendorsColumns(t *testing.T) {
	table := UserTable(Form{}, []string{"viewed", "never"}, []string{"city", "n", "tags"})
	b, err := table.Append(table.Head(nil), ana())
	if err != nil {
		t.Fatal(err)
	}
	head, line := readTable(t, b, ',')
	want := []string{"Appboy ID", "country", "created_at", "devices", "date_of_birth", "email", "unsubscribed_from_emails_at", "user_id", "first_name", "first_session", "gender",
		"google_ad_ids", "city", "IDFAs", "IDFVs", "language", "last_app_version_used", "last_name", "last_session", "number_of_google_ad_ids", "number_of_IDFAs", "number_of_IDFVs",
		"number_of_push_tokens", "number_of_roku_ad_ids", "number_of_windows_ad_ids", "phone_number", "opted_into_push_at", "unsubscribed_from_push_at", "random_bucket", "roku_ad_ids",
		"session_count", "timezone", "in_app_purchase_total", "user_aliases", "windows_ad_ids",
		"custom_events.viewed", "custom_events.never", "custom_attributes.city", "custom_attributes.n", "custom_attributes.tags"}
	if !slices.Equal(head, want) {
		t.Errorf("the columns are %v", head)
	}
	values := []string{"5f0c", "BR", "2025-10-18T10:30:00Z", "Pixel", "1990-02-28", "ana@acme.example", "2025-10-09T08:53:20Z", "ana-1", "'=Ana", "2026-01-26T10:30:00Z", "F",
		"g-1", "São Paulo", "", "", "pt", "1.2", `Núñez; "A"`, "2026-11-21T10:30:00Z", "1", "0", "0",
		"1", "0", "0", "'+551199", "2025-06-15T15:06:40Z", "", "4711", "",
		"12", "America/Sao_Paulo", "20.09", "crm:77", "", "3", "0", "a<b", "3", `["x"]`}
	if !slices.Equal(line, values) {
		t.Errorf("the line is\n%q and not\n%q", line, values)
	}
}

func TestATableOfRecipientsSaysWhatTheyHad(t *testing.T) {
	for _, c := range []struct {
		kind control.NameKind
		id   string
		want []string
	}{
		{control.NameCampaign, "c-1", []string{"Short", "var-1", "false"}}, {control.NameCanvas, "v-1", []string{"A", "A", "true"}},
		{control.NameCampaign, "v-1", []string{"", "", "false"}}, // which they did not receive
	} {
		p := ana()
		p.Had[1].Deed.Flags = control.InControl
		table := RecipientTable(Form{}, nil, []string{"n"}, c.kind, c.id, map[string]string{"var-1": "Short"})
		b, err := table.Append(table.Head(nil), p)
		if err != nil {
			t.Fatal(err)
		}
		head, line := readTable(t, b, ',')
		at := len(head) - 3
		if !slices.Equal(head[at-1:], []string{"custom_attributes.n", "variation_name", "variation_id", "in_control"}) || !slices.Equal(line[at:], c.want) {
			t.Errorf("%s: %q %q", c.id, head[at:], line[at:])
		}
	}
}

func TestATableOfAddresses(t *testing.T) {
	table := EmailTable(Form{Delimiter: ';', BOM: true})
	b, err := table.Append(table.Head(nil), ana())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		t.Error("there is no byte order mark")
	}
	head, line := readTable(t, b[3:], ';')
	if !slices.Equal(head, []string{"user_id", "first_name", "last_name", "email", "unsubscribed_from_emails_at", "opted_in_to_emails_at", "user_aliases"}) ||
		!slices.Equal(line, []string{"ana-1", "'=Ana", `Núñez; "A"`, "ana@acme.example", "2025-10-09T08:53:20Z", "", "crm:77"}) {
		t.Errorf("%q %q", head, line)
	}
}

func TestNoCellIsAFormula(t *testing.T) {
	table := EmailTable(Form{})
	for _, v := range []string{"=1+1", "+1", "-1943", "@SUM(A1)", "\tx", "\rx", "=a\"b\r\nc,d"} {
		p := ana()
		p.FirstName = v
		b, err := table.Append(table.Head(nil), p)
		if err != nil {
			t.Fatal(err)
		}
		// encoding/csv reads the end of a line within quotes as \n.
		if _, line := readTable(t, b, ','); line[1] != "'"+strings.ReplaceAll(v, "\r\n", "\n") {
			t.Errorf("%q is written %q", v, line[1])
		}
	}
}

func TestAPackedFileIsTheSameEachTime(t *testing.T) {
	data := strings.Repeat("{\"a\":1}\n", 5000)
	for how, open := range map[Packing]func([]byte) (io.Reader, error){
		None: func(b []byte) (io.Reader, error) { return bytes.NewReader(b), nil },
		Gzip: func(b []byte) (io.Reader, error) { return gzip.NewReader(bytes.NewReader(b)) },
		Zip: func(b []byte) (io.Reader, error) {
			z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				return nil, err
			}
			return z.Open("users.json")
		},
	} {
		var packed [2]bytes.Buffer
		for i := range packed {
			if err := Pack(&packed[i], how, "users.json", strings.NewReader(data)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(packed[0].Bytes(), packed[1].Bytes()) {
			t.Errorf("%s: twice the same is not the same", how)
		}
		r, err := open(packed[0].Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err != nil || string(b) != data {
			t.Errorf("%s: %d bytes come back, %v", how, len(b), err)
		}
	}
}
