package app

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/avro/ocf"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/bucket/s3"
	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/notify/outbox"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/vfs"
)

// Demo is the whole system in one process, on embedded parts.
type Demo struct {
	Dir    string        `default:"demo-data" placeholder:"DIR" help:"Where everything is kept; an existing folder goes on."`
	Rate   float64       `default:"200" placeholder:"N" help:"Events a second that the producer sends."`
	For    time.Duration `placeholder:"DURATION" help:"Stop after this time, and check the bucket against what was acknowledged."`
	Listen string        `placeholder:"ADDRESS" help:"Address of the server. Default: 127.0.0.1:8080, or a free port if that is taken."`
}

// Help teaches.
func (Demo) Help() string {
	return `An S3 server that checks signatures keeps each object as a plain file; a workspace gets one connector of each method, a secret access key and a role that is taken on with an external id, launched like a customer's, credential check included; a producer posts realistic events over HTTP. Files appear within seconds. A mail catcher keeps what the connectors' contacts are sent.

    millrace demo
    millrace demo --for 20s
    millrace cat demo-data/bucket | head

While it runs, a second shell that has read DIR/shell.env works on it with every command, apply and roles included:

    . demo-data/shell.env
    millrace connector check demo/lake
    millrace policy trust --workspace demo

With --for the last line says how many events were acknowledged and how many are in the bucket, read by an Avro library that had no part in writing them. The exit code is 0 only if none is missing and none is there twice.`
}

const (
	demoBucket = "demo-currents"
	demoKeyID  = "AKIAMILLRACEDEMO"
	demoFlush  = "5s"
	demoQuiet  = "2s"

	demoNetworks = "127.0.0.0/8" // of its S3 server
	demoMember   = "admin@demo.example"

	// The installation, which takes on roles, and the customer's account, which has one.
	demoAccount = "111122223333"
	demoBaseID  = "AKIAMILLRACEBASE"
	demoUser    = "arn:aws:iam::" + demoAccount + ":user/millrace"
	demoRole    = "arn:aws:iam::444455556666:role/millrace-currents"
)

// demoState is what a demo folder remembers, so that its connector finds the same S3 server again.
type demoState struct {
	BucketPort string `json:"bucket_port"`
	SecretKey  string `json:"secret_key"`
	APIKey     string `json:"api_key"`
	Password   string `json:"password"` // of demoMember
	Token      string `json:"token"`    // theirs; empty: not made yet
}

// The connectors take different events, so that each event is in the bucket once.
const demoWorkspace = `workspaces:
  - name: demo
    api_keys:
      - {name: producer, scopes: [events.write, users.track], secret_env: API_KEY}
`

const demoManifest = demoWorkspace + `    connectors:
      - name: warehouse
        type: s3
        contact_email: data@demo.example
        destination:
          bucket: ` + demoBucket + `
          region: us-east-1
          endpoint: %[1]q
          path_style: true
          access_key_id: ` + demoKeyID + `
          secret_access_key_env: SECRET_KEY
        events: [engagement, profile, agent]
        flush: {interval: ` + demoFlush + `, events: 15000}
      - name: lake
        type: s3
        contact_email: lake@demo.example
        destination:
          bucket: ` + demoBucket + `
          folder: behavior
          region: us-east-1
          endpoint: %[1]q
          path_style: true
          role_arn: ` + demoRole + `
        events: [behavior]
        flush: {interval: ` + demoFlush + `, events: 15000}
`

// Run is the demo.
func (cmd Demo) Run(ctx context.Context, c *Console, s Settings) error {
	if cmd.For < 0 {
		return fault.New(fault.Invalid, "", "--for must be a time to run for, like 30s").WithHint("Leave it out to run until Ctrl-C.")
	}
	if cmd.Rate <= 0 {
		return Usage("--rate must be above 0", "millrace demo --help shows how it is used")
	}
	folder := vfs.OS(cmd.Dir)
	if err := makeFolder(folder, "the folder", cmd.Dir, "--dir"); err != nil {
		return err
	}
	lock, err := folder.Lock("demo.lock")
	if err != nil {
		return fault.Wrap(err, "start the demo in "+cmd.Dir)
	}
	defer lock.Close() // an empty file
	state, err := loadDemo(folder)
	if err != nil {
		return err
	}
	bucketDir := filepath.Join(cmd.Dir, "bucket")
	base := control.NewKey() // the installation's own, good for as long as this process
	roles, err := bucketserver.NewSTS(bucketserver.STSConfig{Users: map[string]bucketserver.User{demoBaseID: {ARN: demoUser, Secret: base}}})
	if err != nil {
		return err
	}
	shop, err := openDemoShop(bucketDir, roles, &state)
	if err != nil {
		return err
	}
	defer shop.close()
	if err := state.save(folder); err != nil {
		return err
	}
	mails, err := outbox.Listen(filepath.Join(cmd.Dir, "outbox"), "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer mails.Close() // what was accepted is kept

	// The demo is the same for everybody: of the settings only flags count, not the environment.
	open := func(listen string) (*system, error) {
		cfg, err := Settings{Flags: withDefaults(s.Flags,
			"--data-dir="+filepath.Join(cmd.Dir, "data"), "--listen="+listen, "--metrics-listen=127.0.0.1:0",
			"--allowed-endpoint-networks="+demoNetworks, "--log-level=warn", "--sts-endpoint="+shop.url, "--aws-account-id="+demoAccount,
			"--smtp-url="+mails.URL(), "--notice-quiet="+demoQuiet, "--profiles=true",
		)}.Load()
		if err != nil {
			return nil, err
		}
		return openSystemAs(ctx, cfg, c, s3.Key{ID: demoBaseID, Secret: base})
	}
	sys, err := open(cmp.Or(cmd.Listen, "127.0.0.1:8080"))
	if cmd.Listen == "" && fault.Is(err, fault.Unavailable) {
		sys, err = open("127.0.0.1:0") // somebody else has the usual address
	}
	if err != nil {
		return err
	}
	running := make(chan error, 1)
	sysCtx, stop := context.WithCancel(control.WithActor(context.WithoutCancel(ctx), control.Itself()))
	defer stop()
	fresh := state.Token == ""
	unsettled := cmd.settle(ctx, sys.plane, folder, &state) // before the server misses an administrator
	ctx, dead := context.WithCancel(ctx)                    // a server that ends by itself ends the demo
	defer dead()
	go func() {
		running <- sys.run(sysCtx)
		dead()
	}()
	end := func(err error) error {
		stop()
		failed := <-running
		if failed != nil && errors.Is(err, context.Canceled) {
			return failed
		}
		return errors.Join(err, failed)
	}

	if unsettled != nil {
		return end(unsettled)
	}
	if err := cmd.writeShell(folder, sys.URL(), shop, base, state); err != nil {
		return end(err)
	}
	defer folder.Remove(demoShell) // what it opens ends with this process
	if err := cmd.launch(ctx, sys.plane, shop, roles, state); err != nil {
		return end(err)
	}
	if err := sys.awaitReady(ctx); err != nil {
		return end(err)
	}
	if err := sys.plane.awaitRecorded(ctx); err != nil {
		return end(err)
	}
	if err := cmd.furnish(ctx, sys, state.Token); err != nil {
		return end(err)
	}
	cmd.introduce(c, sys, state, bucketDir, shop.url)

	var acked idSet
	produce, finish := context.WithCancel(ctx)
	defer finish()
	if cmd.For > 0 {
		time.AfterFunc(cmd.For, finish)
	}
	progress := c.bar("accepted", thousands)
	l := load{
		url: sys.URL() + "/v1/events", key: state.APIKey, maker: cmd.crowd(sys.plane.catalogue, rand.Uint64(), fresh),
		conns: 2, per: max(1, min(100, int(cmd.Rate/10))), rate: cmd.Rate,
		onProgress: func(n int64) { progress.Set(n, 0) },
	}
	if cmd.For > 0 {
		l.onAnswered = acked.add
	}
	played, err := l.run(produce)
	progress.End()
	if fault.Is(err, fault.Unauthorized) {
		c.Note("The producer stops: its API key was revoked, or may no longer send events. Millrace goes on.")
		<-produce.Done()
	} else if err != nil {
		return end(err)
	}
	if cmd.For == 0 {
		c.Note("Stopping: what is gathered is written to the bucket.")
		return end(nil)
	}
	// An ordered stop cuts what is gathered. Whatever could not be delivered then counts as missing.
	held, err := sys.drain(ctx)
	if err != nil {
		return end(err)
	}
	if err := end(nil); err != nil {
		return err
	}
	found, err := audit(vfs.OS(bucketDir), acked.ids, c)
	if err != nil {
		return err
	}
	c.Print("accepted %d delivered %d files %d missing %d duplicates %d", played.Acked, found.delivered, found.files, found.missing, found.duplicates)
	if found.missing > 0 && len(held) > 0 {
		return cmd.incomplete(c, held)
	}
	if found.missing+found.duplicates > 0 {
		return errDiffers{"the bucket does not hold each acknowledged event once"}
	}
	return nil
}

// incomplete is the error of a demo of which some events wait in the log, because their connectors are held.
func (cmd Demo) incomplete(c *Console, held []delivery.Status) error {
	var states, todo []string
	for _, st := range held {
		name, do := st.Row.WorkspaceName+"/"+st.Row.Name, "show"
		if st.State == control.LanePaused {
			do = "resume"
		}
		states = append(states, fmt.Sprintf("%s is %s", name, st.State))
		todo = append(todo, fmt.Sprintf("%s connector %s %s --data-dir %s", c.Program, do, name, filepath.Join(cmd.Dir, "data")))
	}
	return fault.New(fault.Internal, "", "%s: its events wait in the log", strings.Join(states, ", ")).
		WithHint("They are delivered when the demo runs again after: %s", strings.Join(todo, "; "))
}

// demoShell is a file in a demo's folder that only its owner can read.
const demoShell = "shell.env"

// shellPath is demoShell as it is written after a dot, which looks along PATH for what has no slash.
func (cmd Demo) shellPath() string {
	if p := filepath.Join(cmd.Dir, demoShell); strings.Contains(p, "/") {
		return p
	}
	return "./" + demoShell
}

// writeShell writes down what a second shell needs, as a file that it reads in: commands find the demo's folder and
// store, take on roles as its server does, and apply can name the secret of the store's one user.
func (cmd Demo) writeShell(folder vfs.FS, url string, x *shop, base secret.Value, state demoState) error {
	dir, err := filepath.Abs(filepath.Join(cmd.Dir, "data"))
	if err != nil {
		return fault.From(err, fault.Internal, "find the demo's folder")
	}
	text := "# For a second shell, while the demo runs.\nunset AWS_SESSION_TOKEN AWS_PROFILE\n"
	for _, v := range [][2]string{
		{"MILLRACE_DATA_DIR", dir}, {"MILLRACE_ALLOWED_ENDPOINT_NETWORKS", demoNetworks},
		{"MILLRACE_STS_ENDPOINT", x.url}, {"MILLRACE_AWS_ACCOUNT_ID", demoAccount},
		{"AWS_ACCESS_KEY_ID", demoBaseID}, {"AWS_SECRET_ACCESS_KEY", base.Reveal()}, {"SECRET_KEY", state.SecretKey},
		{config.TokenVariable, state.Token}, {config.URLVariable, url},
	} {
		text += fmt.Sprintf("export %s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
	}
	return vfs.WriteFile(folder, demoShell, []byte(text))
}

// settle makes the workspace and its administrator, with a personal token for a second shell. A folder that goes on has
// both.
func (cmd Demo) settle(ctx context.Context, p *plane, folder vfs.FS, state *demoState) error {
	if err := p.applyText(ctx, "demo.yaml", demoWorkspace, map[string]string{"API_KEY": state.APIKey}); err != nil || state.Token != "" {
		return err
	}
	w, err := p.store.Workspace(ctx, "demo")
	if err != nil {
		return err
	}
	if state.Password == "" { // the folder is of an older version
		state.Password = newPassword()
	}
	people := p.people()
	if _, _, err := people.AddMember(ctx, control.AddMember{
		Email: demoMember, Name: "Demo", Password: secret.New(state.Password), Workspace: w.Number, Role: control.Administrator, Installation: true,
		ExportUserData: true, // all that it shows is made up
	}); err != nil {
		return err
	}
	// A demo that was killed before it wrote the token down has one of this name that nobody knows.
	_, token, err := people.IssueToken(ctx, demoMember, "demo of "+time.Now().UTC().Format(time.DateTime), false, time.Time{})
	if err != nil {
		return err
	}
	state.Token = token.Reveal()
	return state.save(folder)
}

// newPassword is one to be typed: 70 bits.
func newPassword() string { return strings.ToLower(crand.Text()[:14]) }

// launch lets the customer make a role that trusts the workspace, and launches the connectors.
func (cmd Demo) launch(ctx context.Context, p *plane, x *shop, roles *bucketserver.STS, state demoState) error {
	env := map[string]string{"API_KEY": state.APIKey, "SECRET_KEY": state.SecretKey}
	w, err := p.store.Workspace(ctx, "demo")
	if err != nil {
		return err
	}
	in := bucket.PolicyInput{Kind: bucket.Trust, AccountID: demoAccount}
	id, err := p.store.ExternalID(ctx, w.Number, control.IntegrationCurrents)
	if err != nil {
		return err
	}
	in.ExternalIDs = []string{id}
	role := bucketserver.Role{ARN: demoRole}
	if role.Trust, err = policyText(in); err != nil {
		return err
	}
	if role.Policy, err = policyText(bucket.PolicyInput{Kind: bucket.Currents, Bucket: demoBucket}); err != nil {
		return err
	}
	if err := roles.SetRole(role); err != nil {
		return err
	}
	return p.applyText(ctx, "demo.yaml", fmt.Sprintf(demoManifest, x.url), env)
}

// policyText is a policy as a customer pastes it.
func policyText(in bucket.PolicyInput) (string, error) {
	p, err := bucket.NewPolicy(in)
	if err != nil {
		return "", err
	}
	return p.Render(bucket.JSON)
}

func (cmd Demo) introduce(c *Console, sys *system, state demoState, bucketDir, endpoint string) {
	c.Print("Millrace is running, and a producer posts %s events a second.", thousands(int64(cmd.Rate)))
	c.Print("")
	c.Print("  address   %s", sys.URL())
	c.Print("  sign in   %s, password %s", demoMember, state.Password)
	c.Print("  API key   %s", state.APIKey)
	c.Print("  metrics   %s/metrics", sys.metricsURL())
	c.Print("  files     %s, new ones every %s", filepath.Join(bucketDir, demoBucket, "currents"), demoFlush)
	c.Print("            (connector demo/warehouse, by secret access key)")
	c.Print("            %s", filepath.Join(bucketDir, demoBucket, "behavior"))
	c.Print("            (connector demo/lake, by role and external id)")
	c.Print("  mails     %s", filepath.Join(cmd.Dir, "outbox"))
	c.Print("")
	c.Print("Launch a Current of your own in the dashboard, with a folder of its own, and under More settings the endpoint and path style:")
	c.Print("")
	c.Print("  bucket    %s", demoBucket)
	c.Print("  endpoint  %s, path style", endpoint)
	c.Print("  key       %s", demoKeyID)
	c.Print("  secret    %s", state.SecretKey)
	c.Print("  or role   %s", demoRole)
	c.Print("")
	c.Print("Read them:     %s cat %s | head -3", c.Program, bucketDir)
	c.Print("Look into it:  %s verify --connector demo/warehouse --data-dir %s --allowed-endpoint-networks %s", c.Program, filepath.Join(cmd.Dir, "data"), demoNetworks)
	c.Print("Second shell:  . %s; then each command works on this demo, roles included: %s connector check demo/lake", cmd.shellPath(), c.Program)
	c.Print(`Ask the API:   . %s; curl -H "Authorization: Bearer $%s" $%s/api/v1/workspaces/demo/connectors`, cmd.shellPath(), config.TokenVariable, config.URLVariable)
	c.Print(`Send your own: curl -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' \`, state.APIKey)
	c.Print(`                 -d '[{"event_type":"users.behaviors.CustomEvent","user_id":"me","name":"hello","properties":{}}]' \`)
	c.Print("                 %s/v1/events", sys.URL())
	c.Print("")
}

func loadDemo(folder vfs.FS) (demoState, error) {
	var state demoState
	b, err := vfs.ReadFile(folder, "demo.json", 64<<10)
	switch {
	case fault.Is(err, fault.NotFound):
		return demoState{BucketPort: "0", SecretKey: control.NewKey().Reveal(), APIKey: control.NewKey().Reveal(), Password: newPassword()}, nil
	case err != nil:
		return state, err
	}
	if err := json.Unmarshal(b, &state); err != nil || state.APIKey == "" || state.SecretKey == "" {
		return state, fault.New(fault.Corrupt, "go on with the demo", "demo.json does not hold what a demo left there").
			WithHint("Name another folder with --dir, or remove this one.").WithCause(err)
	}
	return state, nil
}

func (s demoState) save(folder vfs.FS) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return vfs.WriteFile(folder, "demo.json", append(b, '\n'))
}

// openDemoShop listens where the demo listened last time: to the connector, another address is another bucket.
func openDemoShop(dir string, roles *bucketserver.STS, state *demoState) (*shop, error) {
	cfg := shopConfig{dir: dir, buckets: []string{demoBucket}, keyID: demoKeyID, key: state.SecretKey, sts: roles}
	cfg.listen = net.JoinHostPort("127.0.0.1", state.BucketPort)
	x, err := openShop(cfg)
	if err != nil && state.BucketPort != "0" {
		cfg.listen = "127.0.0.1:0"
		x, err = openShop(cfg)
	}
	if err != nil {
		return nil, err
	}
	_, state.BucketPort, err = net.SplitHostPort(strings.TrimPrefix(x.url, "http://"))
	return x, err
}

// idSet is ids gathered by several goroutines.
type idSet struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (s *idSet) add(body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = map[string]bool{}
	}
	for _, id := range idsOf(body) {
		s.ids[id] = true
	}
}

// audited is what a bucket holds of the events that were acknowledged.
type audited struct {
	delivered  int // of acked
	files      int // that hold some of them
	missing    int // of acked
	duplicates int // ids, of whatever run, that are there more than once
}

// audit reads every Avro file below folder with a library that had no part in writing them.
func audit(folder vfs.FS, acked map[string]bool, c *Console) (audited, error) {
	var a audited
	names, err := avroFiles(folder, ".")
	if err != nil {
		return a, err
	}
	progress := c.bar("checking files", thousands)
	defer progress.End()
	times := map[string]int{}
	for i, name := range names {
		progress.Set(int64(i), int64(len(names)))
		f, err := folder.Open(name)
		if err != nil {
			return a, err
		}
		ours, err := idsInFile(f, func(id string) bool {
			times[id]++
			return acked[id]
		})
		f.Close() // read only
		if err != nil {
			return a, fault.Wrap(err, "check "+name)
		}
		if ours {
			a.files++
		}
	}
	for id, n := range times {
		if n > 1 {
			a.duplicates++
		}
		if acked[id] {
			a.delivered++
		}
	}
	a.missing = len(acked) - a.delivered
	return a, nil
}

func idsInFile(f vfs.File, see func(id string) bool) (some bool, err error) {
	in, err := fileReader(f)
	if err != nil {
		return false, err
	}
	r, err := ocf.NewReader(in)
	if err != nil {
		return false, fault.From(err, fault.Corrupt, "read Avro")
	}
	defer r.Close() // read only
	for {
		var e map[string]any
		err := r.Decode(&e)
		if errors.Is(err, io.EOF) {
			return some, nil
		}
		if err != nil {
			return some, fault.From(err, fault.Corrupt, "read Avro")
		}
		id, ok := e["id"].(string)
		if !ok {
			return some, fault.New(fault.Corrupt, "read Avro", "a record has no id")
		}
		if see(id) {
			some = true
		}
	}
}
