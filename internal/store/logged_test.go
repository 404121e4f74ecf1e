package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
)

// witness sees that each change of the control plane goes with an entry for the log of changes.
type witness struct {
	t     *testing.T
	mu    sync.Mutex
	calls map[string]int // that changed something, by method
}

func watch(t *testing.T) *witness { return &witness{t: t, calls: map[string]int{}} }

func (w *witness) saw(ctx context.Context, method string, err error) error {
	if _, with := control.EntryOf(ctx); !with {
		w.t.Errorf("%s changes something and the log of changes does not learn it: give it a context of logged", method)
	}
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.calls[method]++
	}
	return err
}

// planeStore is the real store, watched.
type planeStore struct {
	*store.Store
	*witness
}

func (s planeStore) CreateWorkspace(ctx context.Context, w control.Workspace, administrators ...control.MemberID) error {
	return s.saw(ctx, "CreateWorkspace", s.Store.CreateWorkspace(ctx, w, administrators...))
}
func (s planeStore) UpdateWorkspace(ctx context.Context, w control.Workspace) error {
	return s.saw(ctx, "UpdateWorkspace", s.Store.UpdateWorkspace(ctx, w))
}
func (s planeStore) CreateKey(ctx context.Context, k control.APIKey, h control.KeyHash) error {
	return s.saw(ctx, "CreateKey", s.Store.CreateKey(ctx, k, h))
}
func (s planeStore) UpdateKey(ctx context.Context, k control.APIKey, h *control.KeyHash) error {
	return s.saw(ctx, "UpdateKey", s.Store.UpdateKey(ctx, k, h))
}
func (s planeStore) DeleteKey(ctx context.Context, w uint32, id control.KeyID) error {
	return s.saw(ctx, "DeleteKey", s.Store.DeleteKey(ctx, w, id))
}
func (s planeStore) CreateConnector(ctx context.Context, c control.Connector, k control.Credentials) error {
	return s.saw(ctx, "CreateConnector", s.Store.CreateConnector(ctx, c, k))
}
func (s planeStore) UpdateConnector(ctx context.Context, c control.Connector, k *control.Credentials, also ...int) error {
	return s.saw(ctx, "UpdateConnector", s.Store.UpdateConnector(ctx, c, k, also...))
}
func (s planeStore) SaveDraft(ctx context.Context, d control.Draft) error {
	return s.saw(ctx, "SaveDraft", s.Store.SaveDraft(ctx, d))
}
func (s planeStore) DeleteDraft(ctx context.Context, w uint32, id control.ConnectorID) error {
	return s.saw(ctx, "DeleteDraft", s.Store.DeleteDraft(ctx, w, id))
}
func (s planeStore) CreateSegment(ctx context.Context, x control.Segment) error {
	return s.saw(ctx, "CreateSegment", s.Store.CreateSegment(ctx, x))
}
func (s planeStore) UpdateSegment(ctx context.Context, x control.Segment) error {
	return s.saw(ctx, "UpdateSegment", s.Store.UpdateSegment(ctx, x))
}
func (s planeStore) DeleteSegment(ctx context.Context, w uint32, id control.SegmentID) error {
	return s.saw(ctx, "DeleteSegment", s.Store.DeleteSegment(ctx, w, id))
}
func (s planeStore) AddExport(ctx context.Context, e control.Export) (int64, error) {
	n, err := s.Store.AddExport(ctx, e)
	return n, s.saw(ctx, "AddExport", err)
}
func (s planeStore) EndExport(ctx context.Context, e control.Export, n ...control.Notice) error {
	return s.saw(ctx, "EndExport", s.Store.EndExport(ctx, e, n...))
}
func (s planeStore) CreateSchedule(ctx context.Context, x control.ReportSchedule) error {
	return s.saw(ctx, "CreateSchedule", s.Store.CreateSchedule(ctx, x))
}
func (s planeStore) UpdateSchedule(ctx context.Context, x control.ReportSchedule) error {
	return s.saw(ctx, "UpdateSchedule", s.Store.UpdateSchedule(ctx, x))
}
func (s planeStore) DeleteSchedule(ctx context.Context, w uint32, id control.ScheduleID) error {
	return s.saw(ctx, "DeleteSchedule", s.Store.DeleteSchedule(ctx, w, id))
}
func (s planeStore) SaveCampaignLabel(ctx context.Context, l control.CampaignLabel) error {
	return s.saw(ctx, "SaveCampaignLabel", s.Store.SaveCampaignLabel(ctx, l))
}
func (s planeStore) SaveDataExport(ctx context.Context, d control.DataExport, k control.Credentials) error {
	return s.saw(ctx, "SaveDataExport", s.Store.SaveDataExport(ctx, d, k))
}
func (s planeStore) DeleteDataExport(ctx context.Context, w uint32) error {
	return s.saw(ctx, "DeleteDataExport", s.Store.DeleteDataExport(ctx, w))
}
func (s planeStore) SaveWebhook(ctx context.Context, w control.Webhook) error {
	return s.saw(ctx, "SaveWebhook", s.Store.SaveWebhook(ctx, w))
}
func (s planeStore) CreateWebhook(ctx context.Context, w control.Webhook) (int64, error) {
	id, err := s.Store.CreateWebhook(ctx, w)
	return id, s.saw(ctx, "CreateWebhook", err)
}
func (s planeStore) DeleteWebhook(ctx context.Context, w uint32, id int64) error {
	return s.saw(ctx, "DeleteWebhook", s.Store.DeleteWebhook(ctx, w, id))
}

// peopleStore is the real store, watched where nothing but a person's change ends.
type peopleStore struct {
	*store.Store
	*witness
}

func (s peopleStore) CreateMember(ctx context.Context, m control.Member, l control.Lock, seat *control.Membership) error {
	return s.saw(ctx, "CreateMember", s.Store.CreateMember(ctx, m, l, seat))
}
func (s peopleStore) UpdateMember(ctx context.Context, m control.Member) error {
	return s.saw(ctx, "UpdateMember", s.Store.UpdateMember(ctx, m))
}
func (s peopleStore) DeleteMember(ctx context.Context, id control.MemberID) error {
	return s.saw(ctx, "DeleteMember", s.Store.DeleteMember(ctx, id))
}
func (s peopleStore) LinkIdentity(ctx context.Context, id control.MemberID, i control.Identity) error {
	return s.saw(ctx, "LinkIdentity", s.Store.LinkIdentity(ctx, id, i))
}
func (s peopleStore) SetSeat(ctx context.Context, v control.SeatChange) error {
	return s.saw(ctx, "SetSeat", s.Store.SetSeat(ctx, v))
}
func (s peopleStore) RemoveSeat(ctx context.Context, w uint32, id control.MemberID) error {
	return s.saw(ctx, "RemoveSeat", s.Store.RemoveSeat(ctx, w, id))
}
func (s peopleStore) CreateToken(ctx context.Context, v control.Token, h control.KeyHash) error {
	return s.saw(ctx, "CreateToken", s.Store.CreateToken(ctx, v, h))
}
func (s peopleStore) DeleteToken(ctx context.Context, m control.MemberID, id control.TokenID) error {
	return s.saw(ctx, "DeleteToken", s.Store.DeleteToken(ctx, m, id))
}
func (s peopleStore) DeleteTicket(ctx context.Context, w uint32, id control.TicketID) error {
	return s.saw(ctx, "DeleteTicket", s.Store.DeleteTicket(ctx, w, id))
}
func (s peopleStore) UseTicket(ctx context.Context, id control.TicketID, m control.Member, l *control.LockChange, seat *control.SeatChange) error {
	return s.saw(ctx, "UseTicket", s.Store.UseTicket(ctx, id, m, l, seat))
}

// quiet are the methods that change something which is no person's decision, or only sometimes one.
var quiet = []string{
	"SetFeatures", "AddCheck", "AddNotice", // what a check found
	"AddJob",                                                    // test events and replays have an entry, the others have one when they change something
	"SetLock",                                                   // a code that was used; the others have one
	"CreateSession", "TouchSession", "EndSession", "TouchToken", // signing in and out
	"CreateTicket", // the link that a stranger asks for, and that of the first start; invitations have an entry
}

// wholly fails for each method of a store that changes something and was not seen doing it.
func (w *witness) wholly(declared reflect.Type) {
	w.t.Helper()
	changes := regexp.MustCompile(`^(Create|Update|Delete|Remove|Save|Set|Add|End|Touch|Use|Link)[A-Z]`)
	for i := range declared.NumMethod() {
		if name := declared.Method(i).Name; changes.MatchString(name) && !slices.Contains(quiet, name) && w.calls[name] == 0 {
			w.t.Errorf("%s.%s was not seen: watch it in this file and do here what calls it, or name it among the quiet ones", declared, name)
		}
	}
}

func (w *witness) entries(s *store.Store) (lines []string) {
	w.t.Helper()
	all, err := s.Entries(w.t.Context(), control.EntryFilter{All: true}, 0, 200)
	ok(w.t, err)
	slices.Reverse(all)
	for _, e := range all {
		if e.Actor == "" || e.Via == "" {
			w.t.Errorf("nobody did it: %+v", e)
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s → %s", e.Action, e.SubjectName, e.Before, e.After))
	}
	return lines
}

func TestEachActionOfThePlaneIsLogged(t *testing.T) {
	b := newBench(t)
	w := watch(t)
	b.Store = planeStore{b.store, w}
	ok(t, b.store.CreateMember(t.Context(), control.Member{ID: "m", Email: "ana@acme.example", Name: "Ana", Installation: true, CreatedAt: b.now}, control.Lock{}, nil))
	ctx := control.WithActor(t.Context(), control.Actor{Member: "m", Name: "ana@acme.example", Via: "session", Installation: true})
	text := func(s string) *string { return &s }
	hidden := func(s string) *secret.Value { v := secret.New(s); return &v }
	const s1, s2 = "the-first-of-all-secrets", "the-other-of-all-secrets"

	ws, err := b.CreateWorkspace(ctx, control.Workspace{Name: "acme"})
	ok(t, err)
	_, err = b.UpdateWorkspace(ctx, ws.Number, control.WorkspaceEdit{Language: text("es")})
	ok(t, err)
	k, _, err := b.CreateKey(ctx, control.APIKey{Workspace: ws.Number, Name: "backend", Scopes: []control.Scope{"events.write"},
		Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, ExpiresAt: b.now.Add(time.Hour)}, secret.New(s1))
	ok(t, err)
	ok(t, b.RevokeKey(ctx, ws.Number, k.ID))

	e := control.Edit{Name: text("warehouse"), ContactEmail: text("data@acme.example"), Bucket: text("acme"), AccessKeyID: text("AKIAIOSFODNN7EXAMPLE"),
		SecretAccessKey: hidden(s1), Events: []string{"all"}}
	d, err := b.SaveDraft(ctx, ws.Number, "", e, nil)
	ok(t, err)
	_, err = b.SaveDraft(ctx, ws.Number, d.ID, control.Edit{Name: text("lake")}, nil)
	ok(t, err)
	ok(t, b.DeleteDraft(ctx, ws.Number, d.ID))
	seg, err := b.CreateSegment(ctx, ws.Number, control.SegmentEdit{Name: text("Germans"), Filter: &control.Filter{Attribute: &control.Condition{Name: "country", OneOf: []string{"DE"}}}})
	ok(t, err)
	for range 2 { // the second changes nothing
		_, err = b.UpdateSegment(ctx, ws.Number, seg.ID, control.SegmentEdit{Tags: &[]string{"eu"}})
		ok(t, err)
	}
	taken, err := b.AskExport(ctx, control.Export{Workspace: ws.Number, Kind: control.ExportSegmentUsers, Source: control.ExportByAPI, Key: k.ID, Subject: string(seg.ID),
		Spec: control.ExportSpec{Callback: "https://example.com/done"}})
	ok(t, err)
	for range 2 { // the second changes nothing
		_, err = b.CancelExport(ctx, ws.Number, taken.ID)
		ok(t, err)
	}
	if calls, err := b.store.ExportCalls(ctx); err != nil || len(calls) != 1 || calls[0].State != control.ExportCancelled {
		t.Errorf("the program that waits for it is not told: %+v, %v", calls, err)
	}
	taken, err = b.AskExport(ctx, control.Export{Workspace: ws.Number, Kind: control.ExportSegmentUsers, Source: control.ExportByAPI, Key: k.ID, Subject: string(seg.ID)})
	ok(t, err)
	taken.File = "users.zip"
	ok(t, b.store.EndExport(ctx, taken.Ended(b.now, nil)))
	_, err = b.DownloadExport(ctx, ws.Number, taken.ID, true)
	ok(t, err)
	ok(t, b.DeleteSegment(ctx, ws.Number, seg.ID))
	seat := control.Membership{Workspace: ws.Number, Member: "m", Role: control.Administrator, ExportUserData: true}
	mayExport := control.WithActor(ctx, control.Actor{Member: "m", Name: "ana@acme.example", Via: "session", Seats: map[uint32]control.Membership{ws.Number: seat}})
	seats, err := b.store.SeatsOf(ctx, "m")
	ok(t, err)
	seat.CreatedAt = seats[0].CreatedAt
	ok(t, b.store.SetSeat(ctx, control.SeatChange{Was: seats[0], Next: seat}))
	planned, err := b.CreateSchedule(mayExport, ws.Number, control.ScheduleEdit{Name: text("Weekly"), Kind: new(control.ExportRevenue), Spec: &control.ExportSpec{},
		Times: &control.ScheduleTimes{Every: 1, Unit: control.EveryWeek}})
	ok(t, err)
	for range 2 { // the second changes nothing
		_, err = b.UpdateSchedule(mayExport, ws.Number, planned.ID, control.ScheduleEdit{Paused: new(true)})
		ok(t, err)
	}
	ok(t, b.DeleteSchedule(mayExport, ws.Number, planned.ID))
	for kind, id := range map[control.NameKind]string{control.NameCampaign: "c1", control.NameCanvas: "j1"} {
		for range 2 { // the second changes nothing
			_, err = b.UpdateCampaign(ctx, ws.Number, kind, id, "Welcome", control.CampaignEdit{Archived: new(true)})
			ok(t, err)
		}
	}
	c, err := b.Launch(ctx, ws.Number, e)
	ok(t, err)
	_, _, err = b.Edit(ctx, ws.Number, c.Connector, control.Edit{SecretAccessKey: hidden(s2), Codec: text("snappy")})
	ok(t, err)
	_, _, err = b.Edit(ctx, ws.Number, c.Connector, control.Edit{Codec: text("snappy")}) // changes nothing
	ok(t, err)
	ok(t, b.Pause(ctx, ws.Number, c.Connector))
	ok(t, b.Resume(ctx, ws.Number, c.Connector))
	_, err = b.SendTestEvents(ctx, ws.Number, c.Connector)
	ok(t, err)
	_, err = b.Replay(ctx, ws.Number, c.Connector, control.ReplayParams{From: b.now})
	ok(t, err)
	ok(t, b.Delete(ctx, ws.Number, c.Connector))

	x := control.ExportEdit{Bucket: text("acme-exports"), AccessKeyID: text("AKIAIOSFODNN7EXAMPLE"), SecretAccessKey: hidden(s1)}
	_, _, err = b.SaveDataExport(ctx, ws.Number, x)
	ok(t, err)
	_, _, err = b.SaveDataExport(ctx, ws.Number, control.ExportEdit{SecretAccessKey: hidden(s2)})
	ok(t, err)
	ok(t, b.UnlinkDataExport(ctx, ws.Number))

	hook := control.Webhook{Workspace: ws.Number, URL: "https://hooks.example/1", Secret: secret.New(s1)}
	ok(t, b.SaveWebhook(ctx, hook))
	hook.Secret = secret.New(s2)
	ok(t, b.SaveWebhook(ctx, hook))
	made, err := b.CreateWebhook(ctx, control.Webhook{Workspace: ws.Number, URL: "https://hooks.example/2"})
	ok(t, err)
	ok(t, b.DeleteWebhook(ctx, ws.Number, made.ID))

	ok(t, b.FindPerson(ctx, ws.Number, "email"))
	ok(t, b.LookAtPerson(ctx, ws.Number, "p-1"))
	ok(t, b.ErasePerson(ctx, ws.Number, "p-2", func() error { return nil }))

	for _, secret := range []string{"ACME_PRODUCER_KEY", "OTHER_PRODUCER_KEY"} { // the key is made, then its secret replaced
		m, err := control.ParseManifest("apply.yaml", []byte(`workspaces: [{name: acme, api_keys: [{name: producer, scopes: events.write, secret_env: `+secret+`}]}]`),
			func(name string) (string, bool) { return strings.ToLower(name) + "-" + s1, true }, nil)
		ok(t, err)
		if r := b.Apply(ctx, m, false); len(r.Failures) > 0 {
			t.Fatal(r.Failures)
		}
	}

	w.wholly(reflect.TypeFor[control.Store]())
	got := strings.Join(w.entries(b.store), "\n")
	for _, s := range []string{s1, s2} {
		if strings.Contains(got, s) {
			t.Errorf("the log of changes holds the secret %q", s)
		}
	}
	const redacted = `"[redacted]"`
	for _, want := range []string{
		`workspace.create acme:  → {"administrator":"ana@acme.example","control_group":"","language":"en","name":"acme","time_zone":"UTC","unknown_fields":"reject"}`,
		`workspace.update acme: {"language":"en"} → {"language":"es"}`,
		`api_key.create backend:  → {"expires_at":"2026-11-22T11:30:00Z","name":"backend","networks":["192.0.2.0/24"],"scopes":["events.write"]}`,
		`api_key.revoke backend: {"expires_at":"2026-11-22T11:30:00Z",`,
		`draft.save warehouse:  → {`, `draft.save lake: {`, `draft.delete lake: {`,
		`segment.create Germans:  → {"analytics":false,"description":"","filter":"{\"attribute\":{\"name\":\"country\",\"one_of\":[\"DE\"]}}","name":"Germans","tags":[]}`,
		`segment.update Germans: {"tags":[]} → {"tags":["eu"]}`, `segment.delete Germans: {`,
		`export.cancel Germans: {"state":"waiting"} → {"state":"cancelled"}`, `export.download Germans:  → {"file":"users.zip"}`,
		`schedule.create Weekly:  → {"bom":false,"delimiter":",","every":1,"export_kind":"revenue","first_day":"2026-11-22",`,
		`schedule.update Weekly: {"paused":false} → {"paused":true}`, `schedule.delete Weekly: {`,
		`campaign.update Welcome: {"archived":false} → {"archived":true}`, `canvas.update Welcome: {"archived":false} → {"archived":true}`,
		`connector.launch warehouse:  → {"codec":"deflate","contact_email":"data@acme.example","deleted":false,"destination.access_key_id":"AKIAIOSFODNN7EXAMPLE"`,
		`connector.edit warehouse: {"codec":"deflate","destination.secret_access_key":` + redacted + `} → {"codec":"snappy","destination.secret_access_key":` + redacted + `}`,
		`connector.pause warehouse: {"paused":false} → {"paused":true}`,
		`connector.resume warehouse: {"paused":true} → {"paused":false}`,
		`connector.test_events warehouse:  → {}`,
		`connector.replay warehouse:  → {"from":"2026-11-22T10:30:00Z"}`,
		`connector.delete warehouse: {"codec":"snappy",`,
		`data_export.save Amazon S3:  → {"access_key_id":"AKIAIOSFODNN7EXAMPLE","bucket":"acme-exports"`,
		`data_export.save Amazon S3: {"secret_access_key":` + redacted + `} → {"secret_access_key":` + redacted + `}`,
		`data_export.unlink Amazon S3: {"access_key_id"`,
		`webhook.save https://hooks.example/1:  → {"kinds":[],"url":"https://hooks.example/1"}`,
		`webhook.save https://hooks.example/1: {"secret":` + redacted + `} → {"secret":` + redacted + `}`,
		`webhook.create https://hooks.example/2:  → {`, `webhook.delete https://hooks.example/2: {`,
		`person.search :  → {"by":"email"}`, `person.look p-1:  → {}`, `person.erase p-2:  → {}`,
		`api_key.create producer:  → {"expires_at":"never",`,
		`api_key.edit producer: {"secret":` + redacted + `} → {"secret":` + redacted + `}`,
	} {
		if n := strings.Count("\n"+got, "\n"+want); n != 1 {
			t.Errorf("%d entries, want one, that begin with\n%s", n, want)
		}
	}
	if t.Failed() {
		t.Logf("the log of changes:\n%s", got)
	}
}

func TestEachActionAboutPeopleIsLogged(t *testing.T) {
	c := sqlite(t)
	ana := c.add("ana", control.Viewer)
	ctx := c.as("ana")
	key, codes := c.twoFactor(ctx)
	made, token, err := c.CreateToken(ctx, "deploy", false, time.Time{})
	ok(t, err)
	ok(t, c.RevokeToken(ctx, made.ID))
	ok(t, c.ChangePassword(ctx, secret.New(password), secret.New("a new password")))
	name := "Ana Souza"
	_, err = c.UpdateMe(ctx, control.MeEdit{Name: &name})
	ok(t, err)
	editor := control.Editor
	ok(t, c.SetSeat(c.line(), 1, ana.ID, control.SeatEdit{Role: &editor}))
	ok(t, c.RemoveSeat(c.line(), 1, ana.ID))
	for range 2 {
		_, err = c.Invite(c.line(), control.Invite{Email: "new@acme.example", Workspace: 1})
		ok(t, err)
		open, err := c.Invitations(c.line(), 1)
		ok(t, err)
		if len(c.mailed()) == 1 {
			ok(t, c.Revoke(c.line(), 1, open[0].ID))
		}
	}
	link := tokenOf(c.mailed()[1].Link)
	_, _, err = c.Accept(t.Context(), link, newcomer())
	ok(t, err)
	_, _, err = c.SignInWith(t.Context(), control.SignInElsewhere{Identity: control.Identity{Issuer: "https://id.example", Subject: "7"},
		Email: "ana@acme.example", Verified: true})
	ok(t, err)
	ok(t, c.DeleteMember(c.line(), ana.ID))

	c.wholly(reflect.TypeFor[control.PeopleStore]())
	got := c.entries(c.store)
	const redacted = `{"password":"[redacted]"}`
	equal(t, "the log of changes", strings.Join(got, "\n"), strings.Join([]string{
		`member.create ana@acme.example:  → {"email":"ana@acme.example","export_user_data":false,"installation_administrator":false,"language":"","mail":"","name":"ana@acme.example","role":"viewer","time_zone":"","workspace":"acme"}`,
		`member.edit ana@acme.example: {"two_factor":false} → {"two_factor":true}`,
		`token.create ana@acme.example: deploy:  → {"expires_at":"never","name":"deploy","read_only":false}`,
		`token.revoke ana@acme.example: deploy: {"expires_at":"never","name":"deploy","read_only":false} → `,
		`member.password ana@acme.example: ` + redacted + ` → ` + redacted,
		`member.edit ana@acme.example: {"name":"ana@acme.example"} → {"name":"Ana Souza"}`,
		`member.edit ana@acme.example: {"role":"viewer"} → {"role":"editor"}`,
		`member.remove ana@acme.example: {"export_user_data":false,"role":"editor"} → `,
		`invitation.create new@acme.example:  → {"email":"new@acme.example","export_user_data":false,"installation_administrator":false,"role":"viewer"}`,
		`invitation.revoke new@acme.example: {"email":"new@acme.example","export_user_data":false,"installation_administrator":false,"role":"viewer"} → `,
		`invitation.create new@acme.example:  → {"email":"new@acme.example","export_user_data":false,"installation_administrator":false,"role":"viewer"}`,
		`member.join new@acme.example:  → {"by":"command line","email":"new@acme.example","export_user_data":false,"role":"viewer"}`,
		`member.link ana@acme.example: {"password":true,"sessions":1,"two_factor":true} → {"issuer":"https://id.example","password":false,"sessions":0,"subject":"7","two_factor":false}`,
		`member.delete ana@acme.example: {"email":"ana@acme.example","installation_administrator":false,"language":"","mail":"","name":"Ana Souza","time_zone":""} → `,
	}, "\n"))
	for _, s := range []string{key, codes[0].Reveal(), token.Reveal(), password, "a new password", "argon2id", link.Reveal()} {
		if strings.Contains(strings.Join(got, "\n"), s) {
			t.Errorf("the log of changes holds the secret %q", s)
		}
	}
}
