package storetest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
)

const role = "arn:aws:iam::123456789012:role/millrace"

func access(run runner) {
	run("an external id is made once for a workspace and integration", func(t *testing.T, e *env) {
		seen := map[string]bool{}
		for _, w := range []control.Workspace{e.workspace("a"), e.workspace("b")} {
			for _, i := range []control.Integration{control.IntegrationCurrents, control.IntegrationExports} {
				id, err := e.ExternalID(t.Context(), w.Number, i)
				ok(t, err)
				if !regexp.MustCompile(`^mlr-[0-9a-f]{32}$`).MatchString(id) || seen[id] {
					t.Fatalf("external id %q", id)
				}
				seen[id] = true
				again, err := e.open().ExternalID(t.Context(), w.Number, i)
				ok(t, err)
				equal(t, "asked again", again, id)
			}
		}
		_, err := e.ExternalID(t.Context(), 12345, control.IntegrationCurrents)
		want(t, err, fault.NotFound)
	})
	run("a role stands in place of a key, with the workspace's external id, and gives way to one", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		c := e.draft(w, "São Paulo / warehouse that has a name of more than sixty-four characters")
		c.AccessKeyID, c.RoleARN = "", role
		ok(t, e.CreateConnector(t.Context(), c, control.Credentials{RoleARN: role, Region: "eu-west-1"}))
		got, err := e.Connector(t.Context(), w.Number, c.Connector)
		ok(t, err)
		equal(t, "connector", got, c)
		_, err = e.Access(t.Context(), laneOf(c.Config))
		want(t, err, fault.Forbidden) // no external id was ever made: not to be asked for without
		id, err := e.ExternalID(t.Context(), w.Number, control.IntegrationCurrents)
		ok(t, err)
		a, err := e.Access(t.Context(), laneOf(c.Config))
		ok(t, err)
		equal(t, "access", a, control.Access{Bucket: "b", Region: "eu-west-1", RoleARN: role, ExternalID: id,
			SessionName: "millrace-S-o-Paulo---warehouse-that-has-a-name-of-more-than-sixt"})
		equal(t, "length of the session's name", len(a.SessionName), 64)

		k := credentials()
		c.AccessKeyID, c.RoleARN = k.AccessKeyID, ""
		e.update(&c, &k)
		a, err = e.Access(t.Context(), laneOf(c.Config))
		ok(t, err)
		equal(t, "with a key", fmt.Sprint(a.AccessKeyID, a.SecretAccessKey.Reveal(), a.RoleARN, a.ExternalID, a.SessionName), "AKIA1s3cret")
		c.AccessKeyID, c.RoleARN = "", role
		e.update(&c, &control.Credentials{RoleARN: role})
		a, err = e.Access(t.Context(), laneOf(c.Config))
		ok(t, err)
		equal(t, "with the role again", fmt.Sprint(a.AccessKeyID, a.SecretAccessKey.Reveal(), a.RoleARN), role)

		e.apply(9, c.Config)
		c.Version, c.Deleted = 2, true
		e.update(&c, nil)
		e.apply(20, c.Config)
		ok(t, e.FinishLane(t.Context(), laneOf(c.Config)))
		_, err = e.Access(t.Context(), laneOf(c.Config))
		want(t, err, fault.Forbidden) // erased like a key
	})
	run("a data export is one for a workspace, replaced whole, kept from roots that connectors have", func(t *testing.T, e *env) {
		w, other := e.workspace("acme"), e.workspace("other")
		_, err := e.DataExport(t.Context(), w.Number)
		want(t, err, fault.NotFound)
		_, err = e.DataExportAccess(t.Context(), w.Number)
		want(t, err, fault.NotFound)
		d := control.DataExport{Workspace: w.Number, Bucket: "exports", Region: "typed", Endpoint: "https://s.example", PathStyle: true,
			AccessKeyID: "AKIA1", CreatedAt: e.now, UpdatedAt: e.now}
		k := credentials()
		k.Region, k.Features = "found", control.Features{RefusesChecksums: true}
		ok(t, e.SaveDataExport(t.Context(), d, k))
		got, err := e.DataExport(t.Context(), w.Number)
		ok(t, err)
		want(t, e.SaveDataExport(t.Context(), d, k), fault.Stale) // somebody else made it first
		d.Rev = 1
		equal(t, "data export", got, d)
		a, err := e.DataExportAccess(t.Context(), w.Number)
		ok(t, err)
		equal(t, "secret", a.SecretAccessKey.Reveal(), "s3cret")
		a.SecretAccessKey = secret.Value{}
		equal(t, "access", a, control.Access{Bucket: "exports", Region: "found", Endpoint: "https://s.example", PathStyle: true, AccessKeyID: "AKIA1", Features: k.Features})
		_, err = e.DataExport(t.Context(), other.Number)
		want(t, err, fault.NotFound)

		id, err := e.ExternalID(t.Context(), w.Number, control.IntegrationExports)
		ok(t, err)
		next := control.DataExport{Workspace: w.Number, Bucket: "exports2", RoleARN: role, CreatedAt: d.CreatedAt, UpdatedAt: e.now.Add(time.Hour), Rev: 1}
		ok(t, e.SaveDataExport(t.Context(), next, control.Credentials{RoleARN: role}))
		got, err = e.DataExport(t.Context(), w.Number)
		ok(t, err)
		want(t, e.SaveDataExport(t.Context(), d, k), fault.Stale)
		next.Rev = 2
		equal(t, "replaced", got, next)
		a, err = e.DataExportAccess(t.Context(), w.Number)
		ok(t, err)
		equal(t, "access by role", a, control.Access{Bucket: "exports2", RoleARN: role, ExternalID: id, SessionName: "millrace-exports"})

		root := e.draft(w, "root")
		root.Destination.Folder, root.Destination.Bucket = "", "exports2"
		want(t, e.CreateConnector(t.Context(), root, credentials()), fault.Conflict)
		root.Destination.Bucket = "exports"
		ok(t, e.CreateConnector(t.Context(), root, credentials()))
		foreign := control.DataExport{Workspace: other.Number, Bucket: "exports", AccessKeyID: "AKIA1", CreatedAt: e.now, UpdatedAt: e.now}
		want(t, e.SaveDataExport(t.Context(), foreign, credentials()), fault.Conflict)
		foreign.Bucket = "exports2" // beside another's is no harm
		ok(t, e.SaveDataExport(t.Context(), foreign, credentials()))
		beside := e.draft(w, "beside")
		beside.Destination.Bucket = "exports2"
		ok(t, e.CreateConnector(t.Context(), beside, credentials()))
		own, err := e.Placements(t.Context(), w.Number, "exports2")
		ok(t, err)
		equal(t, "own placements", own, []control.Placement{control.PlacementOf(beside.Config), control.PlacementOfExport(next)})

		ok(t, e.DeleteDataExport(t.Context(), w.Number))
		want(t, e.DeleteDataExport(t.Context(), w.Number), fault.NotFound)
		want(t, e.SaveDataExport(t.Context(), next, k), fault.Stale) // it was changed while it went
		_, err = e.DataExportAccess(t.Context(), w.Number)
		want(t, err, fault.NotFound)
		_, err = e.DataExport(t.Context(), other.Number)
		ok(t, err)
		anew := next
		anew.Rev, anew.CreatedAt = 0, e.now.Add(2*time.Hour)
		ok(t, e.SaveDataExport(t.Context(), anew, control.Credentials{RoleARN: role}))
		next.Rev = 1
		want(t, e.SaveDataExport(t.Context(), next, k), fault.Stale) // of the one before
	})
	run("a draft is kept with its secret until its connector is made", func(t *testing.T, e *env) {
		w, other := e.workspace("acme"), e.workspace("other")
		name, codec, key := "warehouse", "snappy", secret.New("draft-secret")
		d := control.Draft{ID: control.NewConnectorID(), Workspace: w.Number, CreatedAt: e.now, UpdatedAt: e.now,
			Edit: control.Edit{Name: &name, Codec: &codec, SecretAccessKey: &key, Events: []string{"all"}}}
		ok(t, e.SaveDraft(t.Context(), d))
		got, err := e.Draft(t.Context(), w.Number, d.ID)
		ok(t, err)
		equal(t, "draft", fmt.Sprint(got.ID, got.Workspace, got.Name(), *got.Edit.Codec, got.Edit.SecretAccessKey.Reveal(), got.Edit.Events, got.CreatedAt, got.Edit.Folder),
			fmt.Sprint(d.ID, w.Number, name, codec, "draft-secret", []string{"all"}, e.now, (*string)(nil)))
		_, err = e.Draft(t.Context(), other.Number, d.ID)
		want(t, err, fault.NotFound)
		stolen := d
		stolen.Workspace = other.Number
		want(t, e.SaveDraft(t.Context(), stolen), fault.Conflict)
		stolen.Rev = got.Rev
		want(t, e.SaveDraft(t.Context(), stolen), fault.Stale)
		want(t, e.DeleteDraft(t.Context(), other.Number, d.ID), fault.NotFound)
		d.Edit.SecretAccessKey, d.Rev, d.UpdatedAt = nil, got.Rev, e.now.Add(time.Millisecond)
		ok(t, e.SaveDraft(t.Context(), d))
		want(t, e.SaveDraft(t.Context(), d), fault.Stale)
		got, err = e.Draft(t.Context(), w.Number, d.ID)
		ok(t, err)
		if got.Edit.SecretAccessKey != nil {
			t.Fatal("a secret that was taken back is there")
		}
		second := d
		second.ID, second.Rev = control.NewConnectorID(), 0
		ok(t, e.SaveDraft(t.Context(), second))
		ds, err := e.Drafts(t.Context(), w.Number)
		ok(t, err)
		equal(t, "drafts", len(ds), 2)
		c := e.draft(w, "warehouse")
		c.Connector = d.ID
		ok(t, e.CreateConnector(t.Context(), c, credentials()))
		ds, err = e.Drafts(t.Context(), w.Number)
		ok(t, err)
		equal(t, "drafts after the launch", fmt.Sprint(len(ds), ds[0].ID), fmt.Sprint(1, second.ID))
		want(t, e.SaveDraft(t.Context(), d), fault.Conflict)
		ok(t, e.DeleteDraft(t.Context(), w.Number, second.ID))
		want(t, e.DeleteDraft(t.Context(), w.Number, second.ID), fault.NotFound)
	})
	run("no secret stands in the database in clear, and each is sealed anew under a new key", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		key := secret.New("clear-secret-of-a-draft")
		ok(t, e.SaveDraft(t.Context(), control.Draft{ID: "d", Workspace: w.Number, CreatedAt: e.now, UpdatedAt: e.now, Edit: control.Edit{SecretAccessKey: &key}}))
		ok(t, e.SaveWebhook(t.Context(), control.Webhook{Workspace: w.Number, URL: "https://x.example", Secret: secret.New("clear-secret-of-a-webhook"), CreatedAt: e.now}))
		k := control.Credentials{AccessKeyID: "AKIA1", SecretAccessKey: secret.New("clear-secret-of-an-export")}
		ok(t, e.SaveDataExport(t.Context(), control.DataExport{Workspace: w.Number, Bucket: "x", AccessKeyID: "AKIA1"}, k))
		c := e.draft(w, "warehouse")
		k.SecretAccessKey = secret.New("clear-secret-of-a-connector")
		ok(t, e.CreateConnector(t.Context(), c, k))
		ok(t, e.SaveDataExport(t.Context(), control.DataExport{Workspace: e.workspace("role").Number, Bucket: "y", RoleARN: role}, control.Credentials{RoleARN: role}))
		m := e.member("ana")
		ok(t, e.SetLock(t.Context(), m.ID, control.Lock{Password: secret.New("hash of ana")}, control.Lock{TOTP: secret.New("clear-secret-of-ana"), Pending: secret.New("clear-secret-to-confirm")}, false, ""))
		job, err := e.AddJob(t.Context(), control.Job{Kind: control.JobApply, State: control.JobWaiting, CreatedAt: e.now,
			Params: []byte(`"clear-secret-of-a-job"`), Result: []byte(`"clear-secret-made"`)})
		ok(t, err)
		repeat := control.Repeat{Key: tokenHash("k"), At: e.now}
		_, _, err = e.BeginRepeat(t.Context(), repeat)
		ok(t, err)
		repeat.Answer = secret.New("clear-secret-in-an-answer")
		ok(t, e.EndRepeat(t.Context(), repeat))
		own, err := e.InstallationKey(t.Context(), "ids")
		ok(t, err)
		stored := e.stored()
		holds := func(b []byte) bool {
			return bytes.Contains(stored, b) || bytes.Contains(stored, []byte(hex.EncodeToString(b)))
		}
		if !holds([]byte("AKIA1")) || !holds(repeat.Key[:]) {
			t.Fatal("what is stored was not read")
		}
		if holds([]byte("clear-secret")) || holds([]byte(own.Reveal())) {
			t.Fatal("the database holds a secret in clear")
		}
		rotated, err := e.cfg.Keyring.Rotated()
		ok(t, err)
		e.cfg.Keyring = rotated
		s := e.open()
		n, err := s.Reseal(t.Context())
		ok(t, err)
		equal(t, "sealed anew", n, 10)
		n, err = s.Reseal(t.Context())
		ok(t, err)
		equal(t, "a second time", n, 0)
		d, err := s.Draft(t.Context(), w.Number, "d")
		ok(t, err)
		hooks, err := s.Webhooks(t.Context(), w.Number)
		ok(t, err)
		export, err := s.DataExportAccess(t.Context(), w.Number)
		ok(t, err)
		a, err := s.Access(t.Context(), laneOf(c.Config))
		ok(t, err)
		equal(t, "secrets", d.Edit.SecretAccessKey.Reveal()+hooks[0].Secret.Reveal()+export.SecretAccessKey.Reveal()+a.SecretAccessKey.Reveal(),
			"clear-secret-of-a-draftclear-secret-of-a-webhookclear-secret-of-an-exportclear-secret-of-a-connector")
		l, err := s.Lock(t.Context(), m.ID)
		ok(t, err)
		j, err := s.Job(t.Context(), 0, job)
		ok(t, err)
		repeat, _, err = s.BeginRepeat(t.Context(), repeat)
		ok(t, err)
		same, err := s.InstallationKey(t.Context(), "ids")
		ok(t, err)
		equal(t, "secrets of people", l.TOTP.Reveal()+l.Pending.Reveal()+string(j.Params)+string(j.Result)+repeat.Answer.Reveal()+same.Reveal(),
			`clear-secret-of-anaclear-secret-to-confirm"clear-secret-of-a-job""clear-secret-made"clear-secret-in-an-answer`+own.Reveal())
	})
	run("the newest checks of each connector are remembered, and the oldest are due first", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		a, b, failing, paused := e.connector(w, "a", 9), e.connector(w, "b", 10), e.connector(w, "failing", 11), e.connector(w, "paused", 12)
		paused.Paused = true
		e.update(&paused, nil)
		ok(t, e.SaveHealth(t.Context(), control.Health{Lane: laneOf(failing.Config), State: control.LaneFailing, Since: e.now, Episode: e.now.Add(-time.Hour), Kept: time.Minute, KeptEpisode: e.now.Add(-2 * time.Hour)}))
		ok(t, e.SaveDataExport(t.Context(), control.DataExport{Workspace: w.Number, Bucket: "x", AccessKeyID: "AKIA1", CreatedAt: e.now, UpdatedAt: e.now.Add(time.Minute)}, credentials()))
		for i := range 120 {
			ok(t, e.AddCheck(t.Context(), control.CheckRow{Workspace: w.Number, Connector: a.Connector, Trigger: control.CheckDemand, OK: i%2 == 0,
				Report: []byte(fmt.Sprintf(`{"n":%d}`, i)), At: e.now.Add(time.Duration(i) * time.Hour)}))
		}
		ok(t, e.AddCheck(t.Context(), control.CheckRow{Workspace: w.Number, Trigger: control.CheckSave, Report: []byte("{}"), At: e.now.Add(time.Minute)}))
		got, err := e.Checks(t.Context(), w.Number, a.Connector, 1000)
		ok(t, err)
		equal(t, "kept", fmt.Sprint(len(got), string(got[0].Report), got[0].OK, string(got[99].Report)), `100{"n":119}false{"n":20}`)
		equal(t, "newest", got[0], control.CheckRow{ID: got[0].ID, Workspace: w.Number, Connector: a.Connector, Trigger: control.CheckDemand,
			Report: []byte(`{"n":119}`), At: e.now.Add(119 * time.Hour)})
		got, err = e.Checks(t.Context(), w.Number, "", 10)
		ok(t, err)
		equal(t, "of the data export", len(got), 1)
		got, err = e.Checks(t.Context(), w.Number+1, a.Connector, 10)
		ok(t, err)
		equal(t, "of another workspace", len(got), 0)

		due := func(before time.Time, limit int) []control.CheckDue {
			t.Helper()
			got, err := e.ChecksDue(t.Context(), before, limit)
			ok(t, err)
			return got
		}
		equal(t, "none yet", len(due(e.now, 10)), 0)
		equal(t, "due", due(e.now.Add(time.Hour), 10), []control.CheckDue{{Workspace: w.Number, Connector: b.Connector}, {Workspace: w.Number}})
		equal(t, "all", len(due(e.now.Add(1000*time.Hour), 10)), 3)
		equal(t, "no more than asked for", len(due(e.now.Add(1000*time.Hour), 2)), 2)
		hs, err := e.Healths(t.Context(), w.Number, failing.Connector)
		ok(t, err)
		equal(t, "health", hs, []control.Health{{Lane: laneOf(failing.Config), State: control.LaneFailing, Since: e.now, Episode: e.now.Add(-time.Hour), Kept: time.Minute, KeptEpisode: e.now.Add(-2 * time.Hour)}})
		hs, err = e.Healths(t.Context(), w.Number+1, failing.Connector)
		ok(t, err)
		equal(t, "health for another workspace", len(hs), 0)
	})
	run("a job that cannot be read fails, and the others go on", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		add := func(s *store.Store) control.Job {
			t.Helper()
			j := control.Job{Kind: control.JobReplay, Workspace: w.Number, Connector: "c", State: control.JobWaiting, CreatedAt: e.now, Params: []byte(`{"from":"x"}`)}
			id, err := s.AddJob(t.Context(), j)
			ok(t, err)
			j.ID = id
			return j
		}
		first := add(e.Store)
		ring, err := secret.NewKeyring()
		ok(t, err)
		own := e.cfg.Keyring
		e.cfg.Keyring = ring
		sealed := add(e.open()) // under a master key that is lost since
		e.cfg.Keyring = own
		last := add(e.Store)
		got, err := e.WaitingJobs(t.Context())
		want(t, err, fault.Corrupt) // whoever asks is told, once
		equal(t, "waiting", got, []control.Job{first, last})
		got, err = e.WaitingJobs(t.Context())
		ok(t, err)
		equal(t, "waiting", got, []control.Job{first, last})
		one, err := e.Job(t.Context(), w.Number, sealed.ID)
		ok(t, err)
		if one.State != control.JobFailed || one.Failure == nil || one.Failure.Message() == "" || !one.DoneAt.Equal(e.now) {
			t.Errorf("the job that cannot be read: %+v", one)
		}
	})
	run("a job waits until it is done, for whoever owns the log", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		var jobs []control.Job
		for i, state := range []control.JobState{control.JobWaiting, control.JobRunning, control.JobDone, control.JobWaiting} {
			j := control.Job{Kind: control.JobReplay, Workspace: w.Number, Connector: "c", State: state, CreatedAt: e.now}
			if i == 0 {
				j.Params = []byte(`{"from":"x"}`)
				j.Actor = control.Actor{Member: "m1", Name: "ana@example.com", Via: "session", Seats: map[uint32]control.Membership{w.Number: {Role: control.Editor}}}
			}
			id, err := e.AddJob(t.Context(), j)
			ok(t, err)
			j.ID = id
			jobs = append(jobs, j)
		}
		got, err := e.WaitingJobs(t.Context())
		ok(t, err)
		equal(t, "waiting", got, []control.Job{jobs[0], jobs[1], jobs[3]})
		open, err := e.OpenJobs(t.Context(), w.Number)
		ok(t, err)
		bare := []control.Job{jobs[0], jobs[1], jobs[3]}
		bare[0].Params = nil
		equal(t, "open", open, bare)
		open, err = e.OpenJobs(t.Context(), w.Number+1)
		ok(t, err)
		equal(t, "open for another workspace", len(open), 0)
		j := jobs[0]
		want(t, e.JobProgress(t.Context(), j.ID, []byte(`{"n":1}`)), fault.NotFound) // it does not run yet
		j.State = control.JobRunning
		ok(t, e.SaveJob(t.Context(), j))
		j.Progress = []byte(`{"n":2}`)
		ok(t, e.JobProgress(t.Context(), j.ID, j.Progress))
		one, err := e.Job(t.Context(), w.Number, j.ID)
		ok(t, err)
		equal(t, "running", one, j)
		j.State, j.Result, j.Failure, j.DoneAt = control.JobFailed, []byte(`{"n":1}`), fault.New(fault.Forbidden, "", "no"), e.now.Add(time.Second)
		ok(t, e.SaveJob(t.Context(), j))
		j.Params = nil // they may hold credentials
		one, err = e.Job(t.Context(), w.Number, j.ID)
		ok(t, err)
		equal(t, "failed", one, j)
		want(t, e.JobProgress(t.Context(), j.ID, []byte(`{"n":3}`)), fault.NotFound)
		_, err = e.Job(t.Context(), w.Number+1, j.ID)
		want(t, err, fault.NotFound)
		j.Workspace++
		want(t, e.SaveJob(t.Context(), j), fault.NotFound)
	})
}
