package store_test

import (
	"context"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/crypto/argon2"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
)

// crowd is the actions about people over a real database, with a clock and a letter box.
type crowd struct {
	*control.People
	*witness
	store *store.Store

	mu      sync.Mutex
	now     time.Time
	letters []control.Letter
	noMail  error

	onUnsent func(error) // nil: nothing may stay unsent
}

const password = "a horse of the right colour"

func newCrowd(t *testing.T, cfg store.Config) *crowd {
	t.Helper()
	c := &crowd{witness: watch(t), now: time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)}
	cfg.Now = c.clock
	s, err := openAt(t, cfg)
	ok(t, err)
	c.store = s
	c.People = c.process()
	for i, name := range []string{"", "acme", "other"} {
		if name != "" {
			ok(t, s.CreateWorkspace(t.Context(), control.Workspace{Number: uint32(i), Name: name, UnknownFields: control.RejectUnknown, CreatedAt: c.now}))
		}
	}
	return c
}

// process gives the actions as another process has them.
func (c *crowd) process() *control.People { return c.over(peopleStore{c.store, c.witness}) }

func (c *crowd) over(s control.PeopleStore) *control.People {
	return control.NewPeople(control.PeopleConfig{Store: s, Now: c.clock, BaseURL: func() string { return "https://millrace.example" },
		OnUnsent: func(err error) {
			if c.onUnsent == nil {
				c.t.Errorf("in the background: %v", err)
				return
			}
			c.onUnsent(err)
		},
		Send: func(_ context.Context, l control.Letter) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.noMail == nil {
				c.letters = append(c.letters, l)
			}
			return c.noMail
		}})
}

func sqlite(t *testing.T) *crowd {
	return newCrowd(t, store.Config{Path: filepath.Join(t.TempDir(), "m.db")})
}

func (c *crowd) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *crowd) wait(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *crowd) mailed() []control.Letter {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.letters)
}

// arrived gives the letters once there are n.
func (c *crowd) arrived(n int) []control.Letter {
	c.t.Helper()
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		switch l := c.mailed(); {
		case len(l) >= n:
			return l
		case time.Since(begun) > 20*time.Second:
			c.t.Fatalf("%d letters after 20 s, want %d", len(l), n)
		}
	}
}

func tokenOf(link secret.Value) secret.Value {
	s := link.Reveal()
	return secret.New(s[strings.LastIndexByte(s, '/')+1:])
}

func (c *crowd) line() context.Context {
	return control.WithActor(c.t.Context(), control.CommandLine())
}

// add makes a member with a password and a place in acme.
func (c *crowd) add(name string, role control.Role) control.Member {
	c.t.Helper()
	m, _, err := c.AddMember(c.line(), control.AddMember{Email: name + "@acme.example", Password: secret.New(password), Workspace: 1, Role: role})
	ok(c.t, err)
	return m
}

// addGiver makes an administrator of acme who may export user data, and so give that right.
func (c *crowd) addGiver(name string) control.Member {
	c.t.Helper()
	m, _, err := c.AddMember(c.line(), control.AddMember{Email: name + "@acme.example", Password: secret.New(password), Workspace: 1,
		Role: control.Administrator, ExportUserData: true})
	ok(c.t, err)
	return m
}

func (c *crowd) signIn(p *control.People, name, password, code, address string) (secret.Value, error) {
	_, token, err := p.SignIn(c.t.Context(), control.SignIn{Email: name + "@acme.example", Password: secret.New(password), Code: code,
		Client: control.Client{Address: address, Agent: "a test"}})
	return token, err
}

// as gives a context in which that member acts, from a session of theirs.
func (c *crowd) as(name string) context.Context {
	c.t.Helper()
	token, err := c.signIn(c.process(), name, password, "", "192.0.2.77")
	ok(c.t, err)
	return c.with(token)
}

func (c *crowd) with(session secret.Value) context.Context {
	c.t.Helper()
	a, _, err := c.ActorBySession(c.t.Context(), session, "192.0.2.77")
	ok(c.t, err)
	return control.WithActor(c.t.Context(), a)
}

// verdict is the code of an error, with its field problems.
func verdict(err error) string {
	if err == nil {
		return "ok"
	}
	e := fault.As(err)
	s := string(fault.CodeOf(err))
	for _, f := range e.Fields {
		s += " " + f.Field + ":" + f.Code
	}
	return s
}

func (c *crowd) want(what string, err error, want string) {
	c.t.Helper()
	if got := verdict(err); got != want {
		c.t.Errorf("%s: %s (%v), want %s", what, got, err, want)
	}
}

func TestAWrongPasswordAndAnUnknownAccountLookTheSame(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Viewer)
	_, _, err := c.AddMember(c.line(), control.AddMember{Email: "none@acme.example"})
	ok(t, err)
	for _, address := range []string{"Ana", " ana"} {
		_, err := c.signIn(c.process(), address, password, "", "192.0.2.1")
		c.want("an address written otherwise", err, "ok")
	}
	quickest := map[string]time.Duration{}
	said := map[string]string{}
	for range 3 {
		for _, name := range []string{"ana", "nobody", "none"} {
			p := c.process()
			begun := time.Now()
			_, err := c.signIn(p, name, "another password", "", "192.0.2.1")
			if took := time.Since(begun); quickest[name] == 0 || took < quickest[name] {
				quickest[name] = took
			}
			c.want(name, err, "unauthorized")
			said[name] = fault.As(err).Message() + fault.As(err).HintText() + err.Error()
		}
	}
	for _, name := range []string{"nobody", "none"} {
		if quickest[name] < quickest["ana"]/5 || said[name] != said["ana"] {
			t.Errorf("%s: %q after %v, but of a wrong password %q after %v", name, said[name], quickest[name], said["ana"], quickest["ana"])
		}
	}
}

func TestAnOldHashIsReplacedWhenItsPasswordComes(t *testing.T) {
	c := sqlite(t)
	ana := c.add("ana", control.Viewer)
	made, err := c.store.Lock(t.Context(), ana.ID)
	ok(t, err)
	salt, raw := []byte("a salt of 16 byt"), base64.RawStdEncoding
	weak := secret.New("$argon2id$v=19$m=8192,t=1,p=1$" + raw.EncodeToString(salt) + "$" + raw.EncodeToString(argon2.IDKey([]byte(password), salt, 1, 8192, 1, 32)))
	ok(t, c.store.SetLock(t.Context(), ana.ID, made, control.Lock{Password: weak}, false, ""))
	for _, row := range []struct {
		password, want string
		weak           bool
	}{{"another password", "unauthorized", true}, {password, "ok", false}, {password, "ok", false}} {
		_, err := c.signIn(c.process(), "ana", row.password, "", "192.0.2.1")
		c.want(row.password, err, row.want)
		l, err := c.store.Lock(t.Context(), ana.ID)
		ok(t, err)
		if (l.Password == weak) != row.weak || !strings.HasPrefix(l.Password.Reveal(), "$argon2id$") {
			t.Errorf("after %q the hash is %.30s…", row.password, l.Password.Reveal())
		}
	}
}

func TestStrangersSlowAnAccountForStrangersOnly(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Viewer)
	c.add("ben", control.Viewer)
	token, err := c.signIn(c.People, "ana", password, "", "192.0.2.1")
	ok(t, err)
	attack := func(p *control.People, name string) {
		for i := range 20 {
			_, err := c.signIn(p, name, "another password", "", fmt.Sprintf("203.0.113.%d", i))
			c.want("a stranger's try", err, "unauthorized")
		}
	}
	attack(c.People, "ana")
	_, err = c.signIn(c.People, "ana", password, "", "198.51.100.1")
	c.want("the right password from a new network", err, "unauthorized")
	_, err = c.signIn(c.People, "ben", password, "", "198.51.100.1")
	c.want("another account", err, "ok")
	_, err = c.signIn(c.People, "ana", password, "", "192.0.2.1")
	c.want("the right password from where she signed in", err, "ok")

	// After a restart her sessions tell, and once they are ended the memory does.
	again := c.process()
	attack(again, "ana")
	_, err = c.signIn(again, "ana", password, "", "192.0.2.1")
	c.want("after a restart", err, "ok")
	hers := c.with(token)
	all, err := c.Sessions(hers)
	ok(t, err)
	for _, s := range all {
		ok(t, c.EndSession(hers, s.ID))
	}
	_, err = c.signIn(again, "ana", password, "", "192.0.2.1")
	c.want("after signing out everywhere", err, "ok")

	// Who shares her network has a count of tries as well.
	for range 10 {
		_, err = c.signIn(c.People, "ana", "another password", "", "192.0.2.1")
		c.want("a wrong password", err, "unauthorized")
	}
	_, err = c.signIn(c.People, "ana", password, "", "192.0.2.1")
	c.want("the right one after ten wrong ones", err, "unauthorized")
	c.wait(time.Minute)
	_, err = c.signIn(c.People, "ana", password, "", "192.0.2.1")
	c.want("a minute later", err, "ok")
	c.wait(time.Hour)
	_, err = c.signIn(c.People, "ana", password, "", "198.51.100.1")
	c.want("an hour later, from a new network", err, "ok")
}

// In a network from which ana has signed in her address gets the answers of one without an account, however the counts
// were spent.
func TestTriesTellNobodyWhichAccountsThereAre(t *testing.T) {
	const own = "192.0.2.1"
	others := func(c *crowd, p *control.People, from string, n int) {
		for i := range n {
			_, _ = c.signIn(p, fmt.Sprint("somebody", i), "another password", "", from)
		}
	}
	for _, row := range []struct {
		name   string
		before func(*crowd, *control.People, string)
	}{
		{"at rest", func(*crowd, *control.People, string) {}},
		{"of a network whose tries are spent", func(c *crowd, p *control.People, _ string) { others(c, p, own, 31) }},
		{"of a network that tries the address among others", func(c *crowd, p *control.People, name string) {
			for range 5 {
				_, _ = c.signIn(p, name, "another password", "", own)
			}
			others(c, p, own, 20)
		}},
		{"of who has just signed in from there", func(c *crowd, p *control.People, name string) {
			if name == "ana" {
				_, err := c.signIn(p, name, password, "", own)
				ok(c.t, err)
			}
		}},
		{"of who has just signed in elsewhere", func(c *crowd, p *control.People, name string) {
			if name == "ana" {
				_, err := c.signIn(p, name, password, "", "203.0.113.9")
				ok(c.t, err)
			}
		}},
		{"of an account whose tries strangers have spent", func(c *crowd, p *control.People, name string) {
			for i := range 12 {
				_, _ = c.signIn(p, name, "another password", "", fmt.Sprint("203.0.113.", 10+i))
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := sqlite(t)
			c.add("ana", control.Viewer)
			_, err := c.signIn(c.process(), "ana", password, "", own)
			ok(t, err)
			answers := map[string][]string{}
			for _, name := range []string{"ana", "nobody"} {
				p := c.process() // ana's session tells that she has signed in from there
				row.before(c, p, name)
				for range 12 {
					_, err := c.signIn(p, name, "another password", "", own)
					answers[name] = append(answers[name], verdict(err))
					c.wait(time.Second)
				}
				c.wait(24 * time.Hour)
			}
			equal(t, "with an account", strings.Join(answers["ana"], " "), strings.Join(answers["nobody"], " "))
		})
	}
}

func TestASpentNetworkStillLetsItsMembersIn(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Viewer)
	c.add("ben", control.Viewer)
	_, err := c.signIn(c.People, "ana", password, "", "192.0.2.1")
	ok(t, err)
	for i := range 40 {
		_, err = c.signIn(c.People, fmt.Sprint("somebody", i), "another password", "", "192.0.2.1")
	}
	c.want("the last of many", err, "rate_limited")
	if e := fault.As(err); !e.Retry || e.RetryAfter <= 0 {
		t.Errorf("it is not said how long to wait: %+v", e)
	}
	_, err = c.signIn(c.People, "ana", password, "", "192.0.2.1")
	c.want("who has signed in from there", err, "ok")
	_, err = c.signIn(c.People, "ben", password, "", "192.0.2.1")
	c.want("who has not", err, "rate_limited")
}

func TestANetworkIsSlowedOverAllAccounts(t *testing.T) {
	c := sqlite(t)
	p, limited := c.People, 0
	for i := range 40 {
		_, err := c.signIn(p, fmt.Sprint("somebody", i), "another password", "", fmt.Sprintf("2001:db8::%d", i+1))
		if fault.Is(err, fault.RateLimited) {
			limited++
		}
	}
	if limited != 10 {
		t.Errorf("%d of 40 tries from one network were refused, want 10", limited)
	}
	_, err := c.signIn(p, "somebody", "another password", "", "2001:db8:0:1::1")
	c.want("the network beside it", err, "unauthorized")
}

// twoFactor turns two-factor sign-in on and gives the secret and the recovery codes.
func (c *crowd) twoFactor(ctx context.Context) (string, []secret.Value) {
	c.t.Helper()
	key, uri, err := c.BeginTwoFactor(ctx)
	ok(c.t, err)
	if _, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(key.Reveal()); err != nil || !strings.HasPrefix(uri.Reveal(), "otpauth://totp/Millrace:") {
		c.t.Errorf("secret or address are none: %v", err)
	}
	_, err = c.ConfirmTwoFactor(ctx, "000000")
	c.want("a code that is none", err, "invalid code:wrong")
	codes, err := c.ConfirmTwoFactor(ctx, c.code(key.Reveal(), 0))
	ok(c.t, err)
	return key.Reveal(), codes
}

func (c *crowd) code(key string, off time.Duration) string {
	c.t.Helper()
	s, err := totp.GenerateCode(key, c.clock().Add(off))
	ok(c.t, err)
	return s
}

func TestWhoSignsInIsNotTakenForAStranger(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Viewer)
	p := c.process()
	for range 15 {
		_, err := c.signIn(p, "ana", password, "", "192.0.2.1")
		c.want("a right password", err, "ok")
	}
	for range 10 {
		_, err := c.signIn(p, "ana", "another password", "", "192.0.2.1")
		c.want("a wrong password", err, "unauthorized")
	}
	_, err := c.signIn(p, "ana", password, "", "192.0.2.1")
	c.want("a right one after ten wrong ones", err, "unauthorized")
}

func TestAProofStandsInForThePassword(t *testing.T) {
	c := sqlite(t)
	for _, name := range []string{"ana", "bob"} {
		c.add(name, control.Viewer)
	}
	key, _ := c.twoFactor(c.as("ana"))
	step := 30 * time.Second
	c.wait(2 * step)
	p := c.process()
	prove := func() secret.Value {
		t.Helper()
		proof, err := c.signIn(p, "ana", password, "", "192.0.2.1")
		c.want("no code", err, "unauthorized code:required")
		return proof
	}
	try := func(what, name string, proof secret.Value, code, want string) {
		t.Helper()
		_, _, err := p.SignIn(t.Context(), control.SignIn{Email: name + "@acme.example", Proof: proof, Code: code, Client: control.Client{Address: "192.0.2.1"}})
		c.want(what, err, want)
	}
	const past = "unauthorized"
	proof := prove()
	try("a wrong code", "ana", proof, "000000", "unauthorized code:wrong")
	try("another account", "bob", proof, "", past)
	try("no account", "nobody", proof, "", past)
	try("a made-up proof", "ana", secret.New("mrc_x"), c.code(key, 0), past)
	try("the code", "ana", proof, c.code(key, 0), "ok")
	c.wait(2 * step)
	try("the proof again", "ana", proof, c.code(key, 0), past)
	proof = prove()
	c.wait(control.ProofLife)
	try("after five minutes", "ana", proof, c.code(key, 0), past)
	proof = prove()
	_, err := c.signIn(p, "ana", password, c.code(key, 0), "192.0.2.77")
	ok(t, err)
	c.wait(2 * step)
	ok(t, c.ChangePassword(c.with(func() secret.Value {
		token, err := c.signIn(p, "ana", password, c.code(key, 0), "192.0.2.77")
		ok(t, err)
		return token
	}()), secret.New(password), secret.New("another long password")))
	c.wait(2 * step)
	try("after another password", "ana", proof, c.code(key, 0), past)
	for range 10 {
		try("guesses", "ana", proof, "000000", past)
	}
}

func TestNoCodeWorksTwice(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Viewer)
	ctx := c.as("ana")
	key, recovery := c.twoFactor(ctx)
	if len(recovery) != 10 {
		t.Fatalf("%d recovery codes, want 10", len(recovery))
	}
	try := func(what, password, given, want string) {
		t.Helper()
		_, err := c.signIn(c.process(), "ana", password, given, "192.0.2.1")
		c.want(what, err, want)
	}
	step := 30 * time.Second
	used := c.code(key, 0)
	try("a wrong password with a right code", "another password", c.code(key, step), "unauthorized")
	try("no code", password, "", "unauthorized code:required")
	try("the code that turned it on", password, used, "unauthorized code:wrong")
	c.wait(2 * step)
	try("a code of before last", password, used, "unauthorized code:wrong")
	early, now, next := c.code(key, -step), c.code(key, 0), c.code(key, step)
	try("the code of now, with a space", password, now[:3]+" "+now[3:], "ok")
	try("the same", password, now, "unauthorized code:wrong")
	try("the one before it, unused", password, early, "unauthorized code:wrong")
	try("the next, of a clock that is fast", password, next, "ok")
	try("the one after it", password, c.code(key, 2*step), "unauthorized code:wrong")
	try("a recovery code", password, strings.ToUpper(recovery[3].Reveal()), "ok")
	try("the same", password, recovery[3].Reveal(), "unauthorized code:wrong")
	try("another", password, recovery[4].Reveal(), "ok")

	c.wait(365 * 24 * time.Hour) // the clock is wrong by a year, and is mended
	try("the code of then", password, c.code(key, 0), "ok")
	c.wait(-365*24*time.Hour + 10*step)
	now = c.code(key, 0)
	try("the code of now", password, now, "ok")
	try("the same", password, now, "unauthorized code:wrong")

	c.wait(10 * step)
	now = c.code(key, 0)
	outcomes := make(chan error, 4)
	for range cap(outcomes) {
		go func() {
			_, err := c.signIn(c.process(), "ana", password, now, "192.0.2.1")
			outcomes <- err
		}()
	}
	in := 0
	for range cap(outcomes) {
		if err := <-outcomes; err == nil {
			in++
		} else {
			c.want("one of four at once", err, "unauthorized code:wrong")
		}
	}
	if in != 1 {
		t.Errorf("one code at once signed in %d times", in)
	}
}

func TestTwoFactorSignInIsTurnedOnAndOff(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Viewer)
	ctx := c.as("ana")
	other := c.as("ana")
	_, err := c.ConfirmTwoFactor(ctx, "123456")
	c.want("confirm what was not begun", err, "conflict")
	key, _ := c.twoFactor(ctx)
	if left, err := c.Sessions(ctx); err != nil || len(left) != 1 {
		t.Errorf("other sessions go on: %d, %v", len(left), err)
	}
	_ = other
	_, _, err = c.BeginTwoFactor(ctx)
	c.want("begin while it is on", err, "conflict")
	c.want("turn it off with a wrong password", c.RemoveTwoFactor(ctx, secret.New("another password"), ""), "invalid password:wrong")
	c.want("turn it off with nothing", c.RemoveTwoFactor(ctx, secret.Value{}, ""), "invalid code:wrong")
	c.want("turn it off with a used code", c.RemoveTwoFactor(ctx, secret.Value{}, c.code(key, 0)), "invalid code:wrong")
	c.want("turn it off with a code", c.RemoveTwoFactor(ctx, secret.Value{}, c.code(key, 30*time.Second)), "ok")
	_, err = c.signIn(c.process(), "ana", password, "", "192.0.2.1")
	c.want("sign in without", err, "ok")
	limited := false
	c.twoFactor(ctx)
	for i := range 20 {
		limited = limited || fault.Is(c.RemoveTwoFactor(ctx, secret.Value{}, fmt.Sprintf("%06d", i)), fault.RateLimited)
	}
	if !limited {
		t.Error("codes can be tried without end")
	}
}

func TestWhoHasLostTheSecondFactorIsLetInAgain(t *testing.T) {
	c := sqlite(t)
	ana := c.add("ana", control.Administrator)
	root, _, err := c.AddMember(c.line(), control.AddMember{Email: "root@acme.example", Password: secret.New(password), Installation: true})
	ok(t, err)
	rootly, anas := c.as("root"), c.as("ana")
	c.twoFactor(rootly)
	c.twoFactor(anas)
	c.want("by herself", c.ResetTwoFactor(anas, ana.ID), "forbidden")
	c.want("by the administrator, for himself", c.ResetTwoFactor(rootly, root.ID), "forbidden")
	c.want("by the administrator", c.ResetTwoFactor(rootly, ana.ID), "ok")
	c.want("again", c.ResetTwoFactor(rootly, ana.ID), "ok")
	_, err = c.signIn(c.process(), "ana", password, "", "192.0.2.1")
	c.want("signing in without", err, "ok")
	if left, err := c.Sessions(anas); err != nil || len(left) != 1 {
		t.Errorf("sessions from before go on: %+v, %v", left, err)
	}
	last, err := c.store.Entries(t.Context(), control.EntryFilter{}, 0, 1)
	ok(t, err)
	equal(t, "the log of changes", fmt.Sprintf("%s %s %s", last[0].Actor, last[0].SubjectName, last[0].After), `root@acme.example ana@acme.example {"two_factor":false}`)
}

func TestASessionEnds(t *testing.T) {
	const day = 24 * time.Hour
	for name, row := range map[string]struct {
		waits []time.Duration // between uses
		want  string          // of the last use
	}{
		"used at once":                    {[]time.Duration{0}, "ok"},
		"idle for 13 days":                {[]time.Duration{13 * day}, "ok"},
		"idle for 14 days":                {[]time.Duration{14 * day}, "unauthorized"},
		"used each week":                  {slices.Repeat([]time.Duration{7 * day}, 12), "ok"},
		"used each week for 91 days":      {slices.Repeat([]time.Duration{7 * day}, 13), "unauthorized"},
		"on a clock set back a year":      {[]time.Duration{-365 * day}, "ok"},
		"idle since a clock was set back": {[]time.Duration{-365 * day, 14 * day}, "unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			c := sqlite(t)
			c.add("ana", control.Viewer)
			token, err := c.signIn(c.People, "ana", password, "", "192.0.2.1")
			ok(t, err)
			for _, d := range row.waits {
				c.wait(d)
				_, _, err = c.ActorBySession(t.Context(), token, "192.0.2.9")
			}
			c.want("the last use", err, row.want)
		})
	}
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Viewer)
	c.add("ben", control.Viewer)
	one, err := c.signIn(c.People, "ana", password, "", "192.0.2.1")
	ok(t, err)
	two, err := c.signIn(c.People, "ana", password, "", "192.0.2.2")
	ok(t, err)
	_, s, err := c.ActorBySession(t.Context(), one, "192.0.2.1")
	ok(t, err)
	c.want("another's session", c.EndSession(c.as("ben"), s.ID), "not_found")
	all, err := c.Sessions(c.with(two))
	ok(t, err)
	if len(all) != 2 || all[0].Agent != "a test" {
		t.Fatalf("sessions: %+v", all)
	}
	c.want("end it", c.EndSession(c.with(two), s.ID), "ok")
	_, _, err = c.ActorBySession(t.Context(), one, "192.0.2.1")
	c.want("what was ended", err, "unauthorized")
	c.want("sign out", c.SignOut(c.with(two)), "ok")
	_, _, err = c.ActorBySession(t.Context(), two, "192.0.2.2")
	c.want("signed out", err, "unauthorized")
	_, _, err = c.ActorBySession(t.Context(), secret.New("mrs_madeup"), "192.0.2.2")
	c.want("a token that is none", err, "unauthorized")

	// Written down once a minute.
	three, err := c.signIn(c.People, "ana", password, "", "192.0.2.3")
	ok(t, err)
	seen := func(after time.Duration) time.Time {
		c.wait(after)
		_, _, err := c.ActorBySession(t.Context(), three, "192.0.2.3")
		ok(t, err)
		all, err := c.Sessions(c.with(three))
		ok(t, err)
		return all[0].SeenAt
	}
	if a, b, d := seen(0), seen(59*time.Second), seen(time.Second); !a.Equal(b) || !d.After(b) {
		t.Errorf("seen at %v, %v and %v", a, b, d)
	}
}

func TestAPasswordIsChanged(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Viewer)
	ctx, other := c.as("ana"), c.as("ana")
	c.want("with another than the old one", c.ChangePassword(ctx, secret.New("another password"), secret.New("a new password")), "invalid current:wrong")
	c.want("to one that will not do", c.ChangePassword(ctx, secret.New(password), secret.New("password123")), "invalid new:too_easy")
	for range 20 {
		c.want("to one that will not do, which takes no try", c.ChangePassword(ctx, secret.New(password), secret.New("short")), "invalid new:too_short")
	}
	c.want("neither will do", c.ChangePassword(ctx, secret.New("another password"), secret.New("short")), "invalid current:wrong new:too_short")
	c.want("to a good one", c.ChangePassword(ctx, secret.New(password), secret.New("a new password")), "ok")
	all, err := c.Sessions(ctx)
	ok(t, err)
	if len(all) != 1 || all[0].ID != control.ActorOf(ctx).Session {
		t.Errorf("sessions that are left: %+v; the other was %s", all, control.ActorOf(other).Session)
	}
	_, err = c.signIn(c.process(), "ana", password, "", "192.0.2.1")
	c.want("the old one", err, "unauthorized")
	_, err = c.signIn(c.process(), "ana", "a new password", "", "192.0.2.1")
	c.want("the new one", err, "ok")
	limited := false
	for range 20 {
		limited = limited || fault.Is(c.ChangePassword(ctx, secret.New("another password"), secret.New("a new password")), fault.RateLimited)
	}
	if !limited {
		t.Error("whoever has the session can try passwords without end")
	}
}

func TestWhatLetsSomebodyInLaterTakesAFreshSignIn(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Viewer)
	ctx := c.as("ana")
	c.wait(10 * time.Minute)
	_, _, err := c.BeginTwoFactor(ctx)
	c.want("a second factor after ten minutes", err, "ok")
	c.wait(time.Second)
	_, _, err = c.BeginTwoFactor(ctx)
	c.want("a second factor later", err, "forbidden")
	_, _, err = c.CreateToken(ctx, "deploy", false, time.Time{})
	c.want("a token later", err, "forbidden")
	c.want("another password, with the one there is", c.ChangePassword(ctx, secret.New(password), secret.New("a new password")), "ok")
	c.wait(-time.Hour)
	_, _, err = c.CreateToken(ctx, "deploy", false, time.Time{})
	c.want("a token on a clock that was set back", err, "forbidden")
}

func TestAPersonalToken(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Administrator)
	ctx := c.as("ana")
	_, _, err := c.CreateToken(ctx, "", false, c.clock())
	c.want("with nothing right", err, "invalid name:required expires_at:out_of_range")
	made, value, err := c.CreateToken(ctx, "deploy/prod", false, c.clock().Add(time.Hour))
	ok(t, err)
	_, _, err = c.CreateToken(ctx, "deploy/prod", false, time.Time{})
	c.want("the name again", err, "conflict name:duplicate")
	_, reading, err := c.CreateToken(ctx, "watch", true, time.Time{})
	ok(t, err)

	a, err := c.ActorByToken(t.Context(), value, "192.0.2.1")
	ok(t, err)
	if a.Name != "ana@acme.example" || a.Via != "token deploy/prod" || !a.May(control.RightAdminister, 1) || a.May(control.RightView, 2) {
		t.Errorf("who comes by it: %+v", a)
	}
	by := control.WithActor(t.Context(), a)
	_, _, err = c.CreateToken(by, "another", false, time.Time{})
	c.want("a token that makes another", err, "unauthorized")
	c.want("a token that changes the password", c.ChangePassword(by, secret.New(password), secret.New("a new password")), "unauthorized")
	_, _, err = c.BeginTwoFactor(by)
	c.want("a token that sets two-factor sign-in up", err, "unauthorized")
	if a, err = c.ActorByToken(t.Context(), reading, "192.0.2.1"); err != nil || a.May(control.RightChange, 1) {
		t.Errorf("one that only reads: %+v, %v", a, err)
	}
	name := "x"
	_, err = c.UpdateMe(control.WithActor(t.Context(), a), control.MeEdit{Name: &name})
	c.want("one that only reads, changing", err, "forbidden")

	all, err := c.Tokens(ctx)
	ok(t, err)
	if len(all) != 2 || all[0].UsedAt.IsZero() {
		t.Errorf("tokens: %+v", all)
	}
	c.wait(time.Hour)
	_, err = c.ActorByToken(t.Context(), value, "192.0.2.1")
	c.want("past", err, "unauthorized")
	c.want("revoke", c.RevokeToken(ctx, made.ID), "ok")
	c.want("revoke again", c.RevokeToken(ctx, made.ID), "not_found")
	for _, t := range all {
		if t.Name == "watch" {
			ok(c.t, c.RevokeToken(ctx, t.ID))
		}
	}
	_, err = c.ActorByToken(t.Context(), reading, "192.0.2.1")
	c.want("revoked", err, "unauthorized")
}

func newcomer() control.Newcomer {
	return control.Newcomer{Name: "New", Password: secret.New(password), Client: control.Client{Address: "192.0.2.5"}}
}

func TestAnInvitationIsAccepted(t *testing.T) {
	c := sqlite(t)
	c.addGiver("ana")
	ctx := c.as("ana")
	made, err := c.Invite(ctx, control.Invite{Email: " New@Acme.example", Workspace: 1, Role: control.Editor, ExportUserData: true, Language: "es"})
	ok(t, err)
	mails := c.mailed()
	if len(mails) != 1 || !made.Link.Empty() || made.Unsent != nil {
		t.Fatalf("%d letters, the link is shown: %v, %v", len(mails), !made.Link.Empty(), made.Unsent)
	}
	l := mails[0]
	if l.To != "new@acme.example" || l.Workspace != "acme" || l.By != "ana@acme.example" || l.Language != "es" || !strings.HasPrefix(l.Link.Reveal(), "https://millrace.example/invitations/") {
		t.Errorf("the letter: %+v", l)
	}
	token := tokenOf(l.Link)
	seen, err := c.Look(t.Context(), token)
	ok(t, err)
	if seen.WorkspaceName != "acme" || seen.Email != "new@acme.example" || seen.Role != control.Editor || seen.Known {
		t.Errorf("the link's page: %+v", seen)
	}
	_, _, err = c.Accept(t.Context(), token, control.Newcomer{Password: secret.New("password123"), Language: "fr", TimeZone: "Local"})
	c.want("with nothing right", err, "invalid name:required language:unknown_value time_zone:unknown_value password:too_easy")
	other, same := newcomer(), newcomer()
	other.Email, same.Email = "other@acme.example", "NEW@acme.example "
	_, _, err = c.Accept(t.Context(), token, other)
	c.want("under another address", err, "invalid email:conflict")
	c.want("looking at that", c.LookAtAccept(t.Context(), token, other), "invalid email:conflict")
	c.want("looking at its own address", c.LookAtAccept(t.Context(), token, same), "ok")
	_, session, err := c.Accept(t.Context(), token, newcomer())
	ok(t, err)
	a, _, err := c.ActorBySession(t.Context(), session, "192.0.2.5")
	ok(t, err)
	if !a.May(control.RightChange, 1) || a.May(control.RightAdminister, 1) || !a.May(control.RightExportUserData, 1) || a.Installation {
		t.Errorf("the new member: %+v", a)
	}
	_, _, err = c.Accept(t.Context(), token, newcomer())
	c.want("the link again", err, "not_found")
	_, err = c.Look(t.Context(), token)
	c.want("the page of a used link", err, "not_found")
	_, err = c.Invite(ctx, control.Invite{Email: "new@acme.example", Workspace: 1})
	c.want("somebody who is there", err, "conflict email:duplicate")
}

func TestALinkEnds(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Administrator)
	ctx := c.as("ana")
	c.noMail = fault.New(fault.Unavailable, "", "no mail server is set")
	invite := func() (control.Invited, secret.Value) {
		t.Helper()
		made, err := c.Invite(ctx, control.Invite{Email: "new@acme.example", Workspace: 1})
		ok(t, err)
		if made.Link.Empty() || !errors.Is(made.Unsent, c.noMail) {
			t.Errorf("without mail the inviter gets no link: %+v", made)
		}
		return made, tokenOf(made.Link)
	}
	_, old := invite()
	made, token := invite()
	_, err := c.Look(t.Context(), old)
	c.want("a link that was replaced", err, "not_found")
	open, err := c.Invitations(ctx, 1)
	ok(t, err)
	if len(open) != 1 || open[0].ID != made.Ticket.ID {
		t.Errorf("open invitations: %+v", open)
	}
	c.want("revoke", c.Revoke(ctx, 1, made.Ticket.ID), "ok")
	_, _, err = c.Accept(t.Context(), token, newcomer())
	c.want("one that was revoked", err, "not_found")
	c.want("revoke again", c.Revoke(ctx, 1, made.Ticket.ID), "not_found")
	_, token = invite()
	c.want("an invitation that sets a password", c.Reset(t.Context(), token, secret.New(password)), "not_found")
	c.wait(7 * 24 * time.Hour)
	_, _, err = c.Accept(t.Context(), token, newcomer())
	c.want("a week later", err, "not_found")
	c.wait(-time.Second)
	_, _, err = c.Accept(t.Context(), token, newcomer())
	c.want("just within the week", err, "ok")
}

func TestOfTwoWhoAcceptAtOnceOneJoins(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		c := newCrowd(t, cfg)
		made, err := c.Invite(c.line(), control.Invite{Email: "new@acme.example", Workspace: 1})
		ok(t, err)
		if !made.Link.Empty() {
			t.Fatal("it was mailed")
		}
		token := tokenOf(c.mailed()[0].Link)
		outcomes := make(chan error, 4)
		for range cap(outcomes) {
			go func() {
				_, _, err := c.process().Accept(t.Context(), token, newcomer())
				outcomes <- err
			}()
		}
		joined := 0
		for range cap(outcomes) {
			switch err := <-outcomes; {
			case err == nil:
				joined++
			case !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Conflict):
				t.Error(err)
			}
		}
		if all, err := c.store.Members(t.Context()); joined != 1 || err != nil || len(all) != 1 {
			t.Errorf("%d joined, %d are there, %v", joined, len(all), err)
		}
	})
}

func TestAMemberTakesAnInvitationUp(t *testing.T) {
	c := sqlite(t)
	c.addGiver("ana")
	c.add("ben", control.Administrator)
	_, _, err := c.AddMember(c.line(), control.AddMember{Email: "root@acme.example", Password: secret.New(password), Installation: true})
	ok(t, err)
	c.noMail = fault.New(fault.Unavailable, "", "no mail server is set")
	link := func(name string, in control.Invite) secret.Value {
		t.Helper()
		made, err := c.Invite(c.as(name), in)
		ok(t, err)
		return tokenOf(made.Link)
	}
	seat := func(name string, workspace uint32) control.Membership {
		t.Helper()
		m, err := c.store.MemberByEmail(t.Context(), name+"@acme.example")
		ok(t, err)
		all, err := c.store.SeatsOf(t.Context(), m.ID)
		ok(t, err)
		i := slices.IndexFunc(all, func(s control.Membership) bool { return s.Workspace == workspace })
		if i < 0 {
			t.Fatalf("no place in %d", workspace)
		}
		return all[i]
	}
	token := link("root", control.Invite{Email: "ben@acme.example", Workspace: 2, Role: control.Editor})
	_, _, err = c.Accept(t.Context(), token, newcomer())
	c.want("as a new member", err, "conflict")
	if seen, err := c.Look(t.Context(), token); err != nil || !seen.Known {
		t.Errorf("the page does not say that he is known: %+v, %v", seen, err)
	}
	c.want("signed in", c.AcceptAsMember(c.as("ben"), token), "ok")
	if s := seat("ben", 2); s.Role != control.Editor || s.ExportUserData {
		t.Errorf("his place: %+v", s)
	}
	c.want("again", c.AcceptAsMember(c.as("ben"), token), "not_found")

	token = link("ana", control.Invite{Email: "carol@acme.example", Workspace: 1, ExportUserData: true})
	err = c.AcceptAsMember(c.as("ben"), token)
	if e, known := errors.AsType[*fault.Error](err); !known || e.Code != fault.Invalid || len(e.Fields) != 1 || e.Fields[0].Field != "token" || !strings.Contains(e.Fields[0].Message, "for carol@acme.example") {
		t.Errorf("somebody else's invitation: %+v", err)
	}
	if s := seat("ben", 1); s.ExportUserData {
		t.Errorf("he may do what somebody else was invited to: %+v", s)
	}

	c.add("carol", control.Administrator) // who was invited as a viewer
	c.want("her own", c.AcceptAsMember(c.as("carol"), token), "ok")
	if s := seat("carol", 1); s.Role != control.Administrator || !s.ExportUserData {
		t.Errorf("she may do less than before, or no more: %+v", s)
	}
	c.want("one's own invitation", c.AcceptAsMember(c.as("ana"), link("ana", control.Invite{Email: "ana2@acme.example", Workspace: 1, ExportUserData: true})), "forbidden")
	c.want("nobody", c.AcceptAsMember(t.Context(), token), "unauthorized")

	c.want("to be installation administrator", c.AcceptAsMember(c.as("ben"), link("root", control.Invite{Email: "ben@acme.example", Installation: true})), "ok")
	if a := control.ActorOf(c.as("ben")); !a.May(control.RightInstall, 0) {
		t.Errorf("he is: %+v", a)
	}
}

func TestTheFirstAdministrator(t *testing.T) {
	c := sqlite(t)
	replaced, needed, err := c.FirstLink(t.Context())
	if err != nil || !needed || !strings.HasPrefix(replaced.Reveal(), "https://millrace.example/start/") {
		t.Fatalf("needed %v, %v", needed, err)
	}
	link, _, err := c.FirstLink(t.Context())
	ok(t, err)
	first := newcomer()
	_, _, err = c.Accept(t.Context(), tokenOf(link), first)
	c.want("without an address", err, "invalid email:required")
	first.Email = "root@acme.example"
	_, _, err = c.Accept(t.Context(), tokenOf(replaced), first)
	c.want("the link that was replaced", err, "not_found")
	_, session, err := c.Accept(t.Context(), tokenOf(link), first)
	ok(t, err)
	if a := control.ActorOf(c.with(session)); !a.May(control.RightInstall, 0) || a.May(control.RightExportUserData, 1) {
		t.Errorf("the first: %+v", a)
	}
	first.Email = "other@acme.example"
	_, _, err = c.Accept(t.Context(), tokenOf(link), first)
	c.want("the link again", err, "not_found")
	if _, needed, err := c.FirstLink(t.Context()); err != nil || needed {
		t.Errorf("once there is one: needed %v, %v", needed, err)
	}
}

func TestTheLinkOfTheFirstStartIsNotNeededOnceTheCommandLineWasQuicker(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		c := newCrowd(t, cfg)
		p := c.beside(func() {
			_, _, err := c.AddMember(c.line(), control.AddMember{Email: "root@acme.example", Installation: true})
			ok(t, err)
		})
		if link, needed, err := p.FirstLink(t.Context()); err != nil || needed || !link.Empty() {
			t.Errorf("needed %v, %v", needed, err)
		}
	})
}

func TestAnAddressThatLooksLikeAnotherIsRefused(t *testing.T) {
	c := sqlite(t)
	for name, email := range map[string]string{
		"another direction": "a\u202eb@x.example", "an isolate": "a\u2066b@x.example", "no width": "a\u200bb@x.example", "a joiner": "a\u034fb@x.example",
		"a variation": "a\ufe0fb@x.example", "full width": "ａna@x.example", "a full stop of full width": "ana@x．example", "half width": "ｱna@x.example",
		"a space of its own": "\"a\u00a0b\"@x.example",
	} {
		_, _, err := c.AddMember(c.line(), control.AddMember{Email: email, Name: "Ana"})
		c.want(name, err, "invalid email:invalid")
		_, err = c.Invite(c.line(), control.Invite{Email: email, Workspace: 1})
		c.want(name+", invited", err, "invalid email:invalid")
	}
	_, _, err := c.AddMember(c.line(), control.AddMember{Email: "josé@exämple.example"})
	c.want("letters", err, "ok")
}

func TestAPasswordIsResetByMail(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Viewer)
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	defer func() { end(); ok(t, <-done) }()
	session := c.as("ana")

	for i, name := range []string{"nobody", "ANA", "nobody", "ana", "ana", "ana"} {
		c.want(name, c.RequestReset(t.Context(), name+"@acme.example", fmt.Sprintf("192.0.2.%d", i)), "ok")
	}
	c.want("no address", c.RequestReset(t.Context(), "nobody", "192.0.2.1"), "invalid email:invalid")
	// The fourth within the hour is left out; who asked is told the same.
	l := c.arrived(3)
	if l[0].To != "ana@acme.example" || l[0].Kind != control.TicketReset || !strings.HasPrefix(l[0].Link.Reveal(), "https://millrace.example/password/") {
		t.Errorf("the letter: %+v", l[0])
	}
	c.want("a link that was replaced", c.Reset(t.Context(), tokenOf(l[0].Link), secret.New("a new password")), "not_found")
	token := tokenOf(l[2].Link)
	_, _, err := c.Accept(t.Context(), token, newcomer())
	c.want("as an invitation", err, "not_found")
	c.want("a password that will not do", c.Reset(t.Context(), token, secret.New("ana")), "invalid password:too_short")
	c.want("a good one", c.Reset(t.Context(), token, secret.New("a new password")), "ok")
	c.want("the link again", c.Reset(t.Context(), token, secret.New("another new one")), "not_found")
	if left, err := c.Sessions(session); err != nil || len(left) != 0 {
		t.Errorf("sessions go on: %+v, %v", left, err)
	}
	_, err = c.signIn(c.process(), "ana", "a new password", "", "192.0.2.1")
	c.want("signing in with it", err, "ok")

	c.wait(time.Hour)
	c.want("an hour later", c.RequestReset(t.Context(), "ana@acme.example", "192.0.2.1"), "ok")
	last := c.arrived(4)[3]
	c.wait(time.Hour)
	c.want("a link that is an hour old", c.Reset(t.Context(), tokenOf(last.Link), secret.New("a new password")), "not_found")
}

// A letter that has left takes the place of the one before, also when the server ends in that moment.
func TestALetterThatHasLeftIsSettledWhateverEnds(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		c := newCrowd(t, cfg)
		c.add("ana", control.Viewer)
		var letters []control.Letter
		for _, from := range []string{"192.0.2.1", "192.0.2.2"} {
			ctx, end := context.WithCancel(t.Context())
			p := control.NewPeople(control.PeopleConfig{Store: c.store, Now: c.clock, BaseURL: func() string { return "https://millrace.example" },
				OnUnsent: func(err error) { t.Errorf("in the background: %v", err) },
				Send: func(_ context.Context, l control.Letter) error {
					letters = append(letters, l)
					end()
					return nil
				}})
			ok(t, p.RequestReset(ctx, "ana@acme.example", from))
			ok(t, p.Run(ctx))
		}
		c.want("the link that was replaced", c.Reset(t.Context(), tokenOf(letters[0].Link), secret.New("a new password")), "not_found")
		c.want("the one that took its place", c.Reset(t.Context(), tokenOf(letters[1].Link), secret.New("a new password")), "ok")
	})
}

func TestATransactionThatIsGivenUpSaysSo(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		s, err := openAt(t, cfg)
		ok(t, err)
		err = store.GivenUp(t.Context(), s)
		if !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("it says %v", err)
		}
	})
}

func TestNobodyEndsALinkByAskingForAnother(t *testing.T) {
	for name, mail := range map[string]error{"without a mail server": fault.New(fault.Unavailable, "", "no mail server is set"), "with one": nil} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, cfg store.Config) {
				c := newCrowd(t, cfg)
				_, link, err := c.AddMember(c.line(), control.AddMember{Email: "carl@acme.example"})
				ok(t, err)
				unsent := make(chan error, 9)
				ask := func(before error) error {
					c.mu.Lock()
					c.noMail = before
					c.mu.Unlock()
					mailed := len(c.mailed())
					p := c.process()
					ctx, end := context.WithCancel(t.Context())
					c.onUnsent = func(err error) { unsent <- err }
					done := make(chan error)
					go func() { done <- p.Run(ctx) }()
					defer func() { end(); ok(t, <-done) }()
					ok(t, p.RequestReset(t.Context(), "carl@acme.example", "192.0.2.1"))
					if before != nil {
						return <-unsent
					}
					c.arrived(mailed + 1)
					return nil
				}
				if mail == nil {
					ok(t, ask(nil))
				}
				if err := ask(fault.New(fault.Unavailable, "", "it takes none")); !fault.Is(err, fault.Unavailable) {
					t.Errorf("what did not leave: %v", err)
				}
				for _, l := range c.mailed() {
					_, err := c.Look(t.Context(), tokenOf(l.Link))
					c.want("the letter that left", err, "ok")
				}
				_, err = c.Look(t.Context(), tokenOf(link))
				c.want("the link of the command line", err, "ok")
				c.want("the link of the command line, used", c.Reset(t.Context(), tokenOf(link), secret.New(password)), "ok")
				for _, l := range c.mailed() {
					_, err := c.Look(t.Context(), tokenOf(l.Link))
					c.want("another link, once there is a password", err, "not_found")
				}
			})
		})
	}
}

func TestTheFirstAdministratorIsAMemberAlready(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Viewer)
	link, _, err := c.FirstLink(t.Context())
	ok(t, err)
	first := newcomer()
	first.Email = "ana@acme.example"
	_, _, err = c.Accept(t.Context(), tokenOf(link), first)
	c.want("as somebody new", err, "conflict")
	c.want("signed in", c.AcceptAsMember(c.as("ana"), tokenOf(link)), "ok")
	if a := control.ActorOf(c.as("ana")); !a.May(control.RightInstall, 0) || a.Seats[1].Role != control.Viewer {
		t.Errorf("she is %+v", a)
	}
	c.want("again", c.AcceptAsMember(c.as("ana"), tokenOf(link)), "not_found")
}

func TestWhoDecidesAboutWhom(t *testing.T) {
	viewer, editor, administrator := control.Viewer, control.Editor, control.Administrator
	yes, no := true, false
	set := func(e control.SeatEdit) func(*crowd, context.Context, control.MemberID) error {
		return func(c *crowd, ctx context.Context, id control.MemberID) error { return c.SetSeat(ctx, 1, id, e) }
	}
	remove := func(c *crowd, ctx context.Context, id control.MemberID) error { return c.RemoveSeat(ctx, 1, id) }
	install := func(on bool) func(*crowd, context.Context, control.MemberID) error {
		return func(c *crowd, ctx context.Context, id control.MemberID) error { return install(c, ctx, id, on) }
	}
	erase := func(c *crowd, ctx context.Context, id control.MemberID) error { return c.DeleteMember(ctx, id) }
	invite := func(in control.Invite) func(*crowd, context.Context, control.MemberID) error {
		return func(c *crowd, ctx context.Context, _ control.MemberID) error {
			in.Email = "new@acme.example"
			_, err := c.Invite(ctx, in)
			return err
		}
	}
	for _, row := range []struct {
		name, who, whom string
		do              func(*crowd, context.Context, control.MemberID) error
		want            string
	}{
		{"an administrator makes a viewer an editor", "adam", "vera", set(control.SeatEdit{Role: &editor}), "ok"},
		{"an administrator makes a viewer an administrator", "adam", "vera", set(control.SeatEdit{Role: &administrator}), "ok"},
		{"an administrator gives a right to export that they have not", "adam", "vera", set(control.SeatEdit{ExportUserData: &yes}), "forbidden"},
		{"an administrator who may export gives the right to", "gina", "vera", set(control.SeatEdit{ExportUserData: &yes}), "ok"},
		{"the installation's administrator gives the right to export", "root", "vera", set(control.SeatEdit{ExportUserData: &yes}), "ok"},
		{"an administrator invites with a right to export that they have not", "adam", "", invite(control.Invite{Workspace: 1, ExportUserData: true}), "forbidden"},
		{"an administrator who may export invites with the right to", "gina", "", invite(control.Invite{Workspace: 1, ExportUserData: true}), "ok"},
		{"an administrator gives a role that is none", "adam", "vera", set(control.SeatEdit{Role: new(control.Role)}), "invalid role:unknown_value"},
		{"an administrator gives themselves the right to export", "adam", "adam", set(control.SeatEdit{ExportUserData: &yes}), "forbidden"},
		{"an administrator steps down", "adam", "adam", set(control.SeatEdit{Role: &viewer}), "ok"},
		{"a viewer makes themselves an editor", "vera", "vera", set(control.SeatEdit{Role: &editor}), "forbidden"},
		{"a viewer gives up the right to export", "vera", "vera", set(control.SeatEdit{ExportUserData: &no}), "ok"},
		{"an editor makes a viewer an editor", "edith", "vera", set(control.SeatEdit{Role: &editor}), "forbidden"},
		{"an administrator lowers another", "adam", "abel", set(control.SeatEdit{Role: &viewer}), "ok"},
		{"an administrator lowers the installation's", "adam", "root", set(control.SeatEdit{Role: &viewer}), "forbidden"},
		{"an administrator removes the installation's", "adam", "root", remove, "forbidden"},
		{"an administrator removes another", "adam", "abel", remove, "ok"},
		{"an administrator removes somebody who is not there", "adam", "olga", remove, "not_found"},
		{"an administrator of another workspace removes a viewer", "olga", "vera", remove, "forbidden"},
		{"a viewer leaves", "vera", "vera", remove, "ok"},
		{"a viewer removes another", "vera", "edith", remove, "forbidden"},
		{"nobody removes a viewer", "", "vera", remove, "unauthorized"},
		{"the installation's administrator lowers an administrator", "root", "adam", set(control.SeatEdit{Role: &viewer}), "ok"},
		{"the installation's administrator gives themselves the right to export", "root", "root", set(control.SeatEdit{ExportUserData: &yes}), "forbidden"},
		{"an administrator makes one of the installation", "adam", "vera", install(true), "forbidden"},
		{"the installation's administrator makes another", "root", "vera", install(true), "ok"},
		{"the last installation administrator steps down", "root", "root", install(false), "conflict"},
		{"the last installation administrator is deleted", "root", "root", erase, "conflict"},
		{"an administrator deletes a member", "adam", "vera", erase, "forbidden"},
		{"the installation's administrator deletes a member", "root", "vera", erase, "ok"},
		{"an editor invites", "edith", "", invite(control.Invite{Workspace: 1}), "forbidden"},
		{"an administrator invites elsewhere", "adam", "", invite(control.Invite{Workspace: 2}), "forbidden"},
		{"an administrator invites one of the installation", "adam", "", invite(control.Invite{Workspace: 1, Installation: true}), "forbidden"},
		{"the installation's administrator invites to nothing", "root", "", invite(control.Invite{}), "invalid workspace:required"},
		{"the installation's administrator invites to a workspace that is none", "root", "", invite(control.Invite{Workspace: 9}), "not_found"},
		{"the installation's administrator invites one", "root", "", invite(control.Invite{Installation: true}), "ok"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := sqlite(t)
			ids := map[string]control.MemberID{}
			for name, add := range map[string]control.AddMember{
				"vera": {Workspace: 1, ExportUserData: row.who == "vera" && row.want == "ok"}, "edith": {Workspace: 1, Role: editor},
				"adam": {Workspace: 1, Role: administrator}, "abel": {Workspace: 1, Role: administrator},
				"gina": {Workspace: 1, Role: administrator, ExportUserData: true},
				"root": {Workspace: 1, Role: administrator, Installation: true}, "olga": {Workspace: 2, Role: administrator},
			} {
				add.Email = name + "@acme.example"
				m, _, err := c.AddMember(c.line(), add)
				ok(t, err)
				ids[name] = m.ID
			}
			ctx := t.Context()
			if row.who != "" {
				seats, err := c.store.SeatsOf(ctx, ids[row.who])
				ok(t, err)
				a := control.Actor{Member: ids[row.who], Name: row.who + "@acme.example", Installation: row.who == "root", Seats: map[uint32]control.Membership{}}
				for _, s := range seats {
					a.Seats[s.Workspace] = s
				}
				ctx = control.WithActor(ctx, a)
			}
			before, err := c.store.Entries(t.Context(), control.EntryFilter{All: true}, 0, 100)
			ok(t, err)
			c.want(row.name, row.do(c, ctx, ids[row.whom]), row.want)
			after, err := c.store.Entries(t.Context(), control.EntryFilter{All: true}, 0, 100)
			ok(t, err)
			if more := len(after) - len(before); (more == 1) != (row.want == "ok") {
				t.Errorf("%d entries in the log of changes: %+v", more, after[:more])
			} else if more == 1 && after[0].Actor != row.who+"@acme.example" {
				t.Errorf("the log of changes names %q", after[0].Actor)
			}
		})
	}
}

func TestAnInvitationIsWorthWhatItsMakerMayGive(t *testing.T) {
	viewer, no := control.Viewer, false
	remove := func(c *crowd, id control.MemberID) error { return c.RemoveSeat(c.line(), 1, id) }
	erase := func(c *crowd, id control.MemberID) error { return c.DeleteMember(c.line(), id) }
	demote := func(c *crowd, id control.MemberID) error {
		return c.SetSeat(c.line(), 1, id, control.SeatEdit{Role: &viewer})
	}
	withdraw := func(c *crowd, id control.MemberID) error {
		return c.SetSeat(c.line(), 1, id, control.SeatEdit{ExportUserData: &no})
	}
	uninstall := func(c *crowd, id control.MemberID) error { return install(c, c.line(), id, false) }
	place, data := control.Invite{Workspace: 1}, control.Invite{Workspace: 1, ExportUserData: true}
	elsewhere, whole := control.Invite{Workspace: 2}, control.Invite{Installation: true}
	for _, row := range []struct {
		name, maker string
		in          control.Invite
		then        func(*crowd, control.MemberID) error
		want        string
	}{
		{"whose maker stays", "gina", data, func(*crowd, control.MemberID) error { return nil }, "ok"},
		{"whose maker is removed", "gina", place, remove, "not_found"},
		{"whose maker is lowered", "gina", place, demote, "not_found"},
		{"whose maker is deleted", "gina", place, erase, "not_found"},
		{"to export, whose maker may no longer", "gina", data, withdraw, "not_found"},
		{"to a place, whose maker may no longer export", "gina", place, withdraw, "ok"},
		{"to the installation, whose maker is deleted", "root", whole, erase, "not_found"},
		{"to the installation, whose maker administers it no longer", "root", whole, uninstall, "not_found"},
		{"to another workspace, whose maker administers the installation no longer", "root", elsewhere, uninstall, "not_found"},
		{"to another workspace, whose maker lost a place in this one", "root", elsewhere, demote, "ok"},
		{"of the command line", "", whole, func(*crowd, control.MemberID) error { return nil }, "ok"},
	} {
		t.Run(row.name, func(t *testing.T) {
			each(t, func(t *testing.T, cfg store.Config) {
				c := newCrowd(t, cfg)
				c.add("abel", control.Administrator)
				ids := map[string]control.MemberID{"gina": c.addGiver("gina").ID}
				for _, name := range []string{"root", "boss"} {
					m, _, err := c.AddMember(c.line(), control.AddMember{Email: name + "@acme.example", Password: secret.New(password), Workspace: 1, Role: control.Administrator, Installation: true})
					ok(t, err)
					ids[name] = m.ID
				}
				ctx := c.line()
				if row.maker != "" {
					ctx = c.as(row.maker)
				}
				row.in.Email = "new@acme.example"
				_, err := c.Invite(ctx, row.in)
				ok(t, err)
				ok(t, row.then(c, ids[row.maker]))
				open, err := c.Invitations(c.line(), row.in.Workspace)
				ok(t, err)
				if (len(open) == 1) != (row.want == "ok") {
					t.Errorf("open: %+v", open)
				}
				if ended := c.revoked(row.in); ended != 1-len(open) {
					t.Errorf("%d lines in the log of changes say that it has ended", ended)
				}
				_, _, err = c.Accept(t.Context(), tokenOf(c.mailed()[0].Link), newcomer())
				c.want("an invitation "+row.name, err, row.want)

				// One that was being made meanwhile is listed, and void.
				late := control.Ticket{ID: "late", Kind: control.TicketInvitation, Email: "late@acme.example", Workspace: row.in.Workspace, Role: viewer,
					ExportUserData: row.in.ExportUserData, Installation: row.in.Installation, Maker: ids[row.maker], CreatedAt: c.clock(), ExpiresAt: c.clock().Add(time.Hour)}
				ok(t, c.store.CreateTicket(t.Context(), late, control.HashKey("late")))
				_, _, err = c.SignInWith(t.Context(), control.SignInElsewhere{Identity: control.Identity{Issuer: "i", Subject: "s"}, Email: late.Email, Verified: true})
				c.want("elsewhere", err, map[string]string{"ok": "ok", "not_found": "forbidden"}[row.want])
			})
		})
	}
}

// revoked counts the lines in the log of changes that say that an invitation has ended.
func (c *crowd) revoked(in control.Invite) (n int) {
	c.t.Helper()
	lines, err := c.store.Entries(c.t.Context(), control.EntryFilter{Workspace: in.Workspace, Kind: "invitation"}, 0, 100)
	ok(c.t, err)
	for _, e := range lines {
		if e.Action == "invitation.revoke" && e.SubjectName == in.Email && e.SubjectID != "" && e.Actor != "" && e.Before != nil && e.After == nil {
			n++
		}
	}
	return n
}

func TestAnInvitationThatAnotherReplacesHasALine(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		c := newCrowd(t, cfg)
		in := control.Invite{Workspace: 1, Email: "new@acme.example"}
		for want := range 3 {
			_, err := c.Invite(c.line(), in)
			ok(t, err)
			if n := c.revoked(in); n != want {
				t.Errorf("%d lines say that it has ended, want %d", n, want)
			}
		}
	})
}

// raced is the real store, where something happens once beside an action: after it read what it goes by, before it writes.
type raced struct {
	peopleStore
	once *sync.Once
	do   func()
}

func (s raced) SeatsOf(ctx context.Context, id control.MemberID) ([]control.Membership, error) {
	all, err := s.peopleStore.SeatsOf(ctx, id)
	s.once.Do(s.do)
	return all, err
}

func (s raced) Members(ctx context.Context) ([]control.Member, error) {
	all, err := s.peopleStore.Members(ctx)
	s.once.Do(s.do)
	return all, err
}

func (s raced) Lock(ctx context.Context, id control.MemberID) (control.Lock, error) {
	l, err := s.peopleStore.Lock(ctx, id)
	s.once.Do(s.do)
	return l, err
}

// beside gives the actions of a process that do is quicker than.
func (c *crowd) beside(do func()) *control.People {
	return c.over(raced{peopleStore{c.store, c.witness}, new(sync.Once), do})
}

func TestNobodyKeepsAPlaceByAnEditThatIsUnderWay(t *testing.T) {
	viewer, administrator, no := control.Viewer, control.Administrator, false
	remove := func(c *crowd, id control.MemberID) error { return c.RemoveSeat(c.line(), 1, id) }
	set := func(e control.SeatEdit) func(*crowd, control.MemberID) error {
		return func(c *crowd, id control.MemberID) error { return c.SetSeat(c.line(), 1, id, e) }
	}
	for _, row := range []struct {
		name       string
		meanwhile  func(*crowd, control.MemberID) error
		edit       control.SeatEdit
		want, left string
	}{
		{"who is removed", remove, control.SeatEdit{ExportUserData: &no}, "forbidden", "[]"},
		{"who is lowered", set(control.SeatEdit{Role: &viewer}), control.SeatEdit{ExportUserData: &no}, "ok", "[viewer false]"},
		{"who is lowered, with the role", set(control.SeatEdit{Role: &viewer}), control.SeatEdit{Role: &administrator, ExportUserData: &no}, "forbidden", "[viewer true]"},
		{"whose export ends", set(control.SeatEdit{ExportUserData: &no}), control.SeatEdit{Role: &viewer}, "ok", "[viewer false]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			each(t, func(t *testing.T, cfg store.Config) {
				c := newCrowd(t, cfg)
				c.add("abel", administrator)
				m, _, err := c.AddMember(c.line(), control.AddMember{Email: "adam@acme.example", Password: secret.New(password), Workspace: 1, Role: administrator, ExportUserData: true})
				ok(t, err)
				p := c.beside(func() { ok(t, row.meanwhile(c, m.ID)) })
				c.want(row.name, p.SetSeat(c.as("adam"), 1, m.ID, row.edit), row.want)
				var left []string
				seats, err := c.store.SeatsOf(t.Context(), m.ID)
				ok(t, err)
				for _, s := range seats {
					left = append(left, fmt.Sprint(s.Role, " ", s.ExportUserData))
				}
				equal(t, "what is left", fmt.Sprint(left), row.left)
			})
		})
	}
}

func TestNobodyKeepsAPlaceByTakingUpAnInvitation(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		c := newCrowd(t, cfg)
		c.add("abel", control.Administrator)
		_, err := c.Invite(c.line(), control.Invite{Email: "adam@acme.example", Workspace: 1})
		ok(t, err)
		adam := c.add("adam", control.Administrator)
		viewer := control.Viewer
		p := c.beside(func() { ok(t, c.SetSeat(c.line(), 1, adam.ID, control.SeatEdit{Role: &viewer})) })
		c.want("lowered meanwhile", p.AcceptAsMember(c.as("adam"), tokenOf(c.mailed()[0].Link)), "ok")
		seats, err := c.store.SeatsOf(t.Context(), adam.ID)
		ok(t, err)
		equal(t, "what is left", fmt.Sprint(len(seats), seats[0].Role), "1viewer")
	})
}

// A link that sets the password undoes nothing of the second factor that happens beside it.
func TestAResetLeavesTheSecondFactorAsItIs(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		c := newCrowd(t, cfg)
		ana := c.add("ana", control.Viewer)
		ctx := c.as("ana")
		ok(t, c.store.CreateTicket(t.Context(), control.Ticket{ID: "r", Kind: control.TicketReset, Email: ana.Email, Member: ana.ID,
			CreatedAt: c.clock(), ExpiresAt: c.clock().Add(time.Hour)}, control.HashKey("reset")))
		var recovery []secret.Value
		p := c.beside(func() { _, recovery = c.twoFactor(ctx) })
		c.want("the reset", p.Reset(t.Context(), secret.New("reset"), secret.New("a new password")), "ok")
		for _, code := range []string{"", recovery[0].Reveal()} {
			_, err := c.signIn(c.process(), "ana", "a new password", code, "192.0.2.1")
			c.want("with the code "+code, err, map[bool]string{true: "unauthorized code:required", false: "ok"}[code == ""])
		}
	})
}

func TestTheLastAdministratorStays(t *testing.T) {
	c := sqlite(t)
	adam := c.add("adam", control.Administrator)
	viewer := control.Viewer
	c.want("stepping down", c.SetSeat(c.as("adam"), 1, adam.ID, control.SeatEdit{Role: &viewer}), "conflict")
	c.want("leaving", c.RemoveSeat(c.as("adam"), 1, adam.ID), "conflict")
}

func TestSigningInElsewhere(t *testing.T) {
	c := sqlite(t)
	ana := c.add("ana", control.Viewer)
	for _, w := range []uint32{1, 2} {
		_, err := c.Invite(c.line(), control.Invite{Email: "new@acme.example", Workspace: w, Role: control.Editor})
		ok(t, err)
	}
	_, err := c.Invite(c.line(), control.Invite{Email: "late@acme.example", Workspace: 1})
	ok(t, err)
	in := func(subject, email string, verified bool) control.SignInElsewhere {
		return control.SignInElsewhere{Identity: control.Identity{Issuer: "https://id.example", Subject: subject}, Email: email, Verified: verified,
			Name: "Somebody", Client: control.Client{Address: "192.0.2.1"}}
	}
	for _, row := range []struct {
		name string
		in   control.SignInElsewhere
		want string
	}{
		{"an address that nobody has", in("x", "who@acme.example", true), "forbidden"},
		{"an address that was not verified", in("a", "ana@acme.example", false), "forbidden"},
		{"a member's verified address", in("a", "Ana@acme.example", true), "ok"},
		{"the same, under another address", in("a", "else@acme.example", false), "ok"},
		{"somebody else whom the provider gave that address", in("b", "ana@acme.example", true), "conflict"},
		{"the same again", in("b", "ana@acme.example", true), "conflict"},
		{"the first, afterwards", in("a", "ana@acme.example", true), "ok"},
		{"an invited address that was not verified", in("n", "new@acme.example", false), "forbidden"},
		{"an invited address", in("n", "new@acme.example", true), "ok"},
		{"the same again", in("n", "new@acme.example", true), "ok"},
	} {
		_, token, err := c.SignInWith(t.Context(), row.in)
		c.want(row.name, err, row.want)
		if err != nil {
			continue
		}
		a := control.ActorOf(c.with(token))
		if row.in.Subject == "a" && a.Member != ana.ID || row.in.Subject == "n" && (!a.May(control.RightChange, 1) || !a.May(control.RightChange, 2)) {
			t.Errorf("%s: signed in as %+v", row.name, a)
		}
	}
	c.wait(8 * 24 * time.Hour)
	_, _, err = c.SignInWith(t.Context(), in("l", "late@acme.example", true))
	c.want("an invitation that is past", err, "forbidden")
}

// Whoever held an invitation may have made the account of an address that is not theirs. When its owner comes, by a
// provider that has verified them, nothing of that maker's lets anybody in any more.
func TestLinkingByAddressEndsWhatElseSignsIn(t *testing.T) {
	c := sqlite(t)
	ana := c.add("ana", control.Viewer)
	session, err := c.signIn(c.process(), "ana", password, "", "192.0.2.77")
	ok(t, err)
	ctx := c.with(session)
	key, codes := c.twoFactor(ctx)
	_, token, err := c.CreateToken(ctx, "deploy", false, time.Time{})
	ok(t, err)
	ok(t, c.store.CreateTicket(t.Context(), control.Ticket{ID: "r", Kind: control.TicketReset, Email: ana.Email, Member: ana.ID,
		CreatedAt: c.clock(), ExpiresAt: c.clock().Add(time.Hour)}, control.HashKey("reset")))

	elsewhere := control.SignInElsewhere{Identity: control.Identity{Issuer: "https://id.example", Subject: "7"}, Email: ana.Email, Verified: true}
	_, first, err := c.SignInWith(t.Context(), elsewhere)
	ok(t, err)
	c.wait(time.Minute)
	for name, code := range map[string]string{"password and code": c.code(key, 0), "password and recovery code": codes[0].Reveal(), "password": ""} {
		_, err := c.signIn(c.process(), "ana", password, code, "192.0.2.77")
		c.want(name, err, "unauthorized")
	}
	_, _, err = c.ActorBySession(t.Context(), session, "192.0.2.77")
	c.want("a session from before", err, "unauthorized")
	_, err = c.ActorByToken(t.Context(), token, "192.0.2.77")
	c.want("a personal token", err, "unauthorized")
	c.want("a link that sets the password", c.Reset(t.Context(), secret.New("reset"), secret.New("a new password")), "not_found")
	_, second, err := c.SignInWith(t.Context(), elsewhere)
	ok(t, err)
	for _, s := range []secret.Value{first, second} {
		if a := control.ActorOf(c.with(s)); a.Member != ana.ID || !a.May(control.RightView, 1) {
			t.Errorf("who signed in elsewhere: %+v", a)
		}
	}
	const linked = `member.link ana@acme.example: {"password":true,"sessions":1,"tokens":1,"two_factor":true} → {"issuer":"https://id.example","password":false,"sessions":0,"subject":"7","tokens":0,"two_factor":false}`
	if got := c.entries(c.store); !slices.Contains(got, linked) {
		t.Errorf("the log of changes does not say it:\n%s", strings.Join(got, "\n"))
	}
}

func TestAMemberIsAddedFromTheCommandLine(t *testing.T) {
	c := sqlite(t)
	_, _, err := c.AddMember(t.Context(), control.AddMember{Email: "ana@acme.example"})
	c.want("by nobody", err, "unauthorized")
	_, _, err = c.AddMember(c.line(), control.AddMember{Email: "ana", Role: "owner", Password: secret.New("short"), ExportUserData: true})
	c.want("with nothing right", err, "invalid email:invalid role:unknown_value password:too_short workspace:required")
	_, _, err = c.AddMember(c.line(), control.AddMember{Email: "ana@acme.example", Workspace: 9})
	c.want("to a workspace that is none", err, "not_found")
	m, link, err := c.AddMember(c.line(), control.AddMember{Email: "Ana@acme.example", Installation: true})
	ok(t, err)
	last, err := c.store.Entries(t.Context(), control.EntryFilter{}, 0, 1)
	ok(t, err)
	equal(t, "the log of changes", last[0].Actor+" "+last[0].Action+" "+last[0].SubjectName, "command line member.password_link ana@acme.example")
	c.wait(6 * 24 * time.Hour)
	ok(t, c.Reset(t.Context(), tokenOf(link), secret.New(password)))
	if a := control.ActorOf(c.as("ana")); a.Member != m.ID || !a.Installation {
		t.Errorf("she is %+v", a)
	}
	again, link, err := c.AddMember(c.line(), control.AddMember{Email: "ana@acme.example", Workspace: 1, Role: control.Editor, ExportUserData: true})
	ok(t, err)
	if a := control.ActorOf(c.as("ana")); again.ID != m.ID || !link.Empty() || !a.Installation || !a.May(control.RightExportUserData, 1) {
		t.Errorf("with a place she is %+v", a)
	}
	_, _, err = c.AddMember(c.line(), control.AddMember{Email: "ana@acme.example", Workspace: 1, Password: secret.New("a new password")})
	ok(t, err)
	seats, err := c.store.SeatsOf(t.Context(), m.ID)
	ok(t, err)
	if len(seats) != 1 || seats[0].Role != control.Editor || !seats[0].ExportUserData {
		t.Errorf("adding her again took something away: %+v", seats)
	}
	_, err = c.signIn(c.process(), "ana", "a new password", "", "192.0.2.1")
	c.want("with the new password", err, "ok")
}

func TestMembersDecideAboutThemselves(t *testing.T) {
	c := sqlite(t)
	c.add("ana", control.Viewer)
	ctx := c.as("ana")
	name, language, zone, bad := "Ana Souza", "pt-BR", "America/Sao_Paulo", "Mars/Olympus"
	_, err := c.UpdateMe(ctx, control.MeEdit{Name: new(string), Language: &bad, TimeZone: &bad})
	c.want("with nothing right", err, "invalid name:required language:unknown_value time_zone:unknown_value")
	m, err := c.UpdateMe(ctx, control.MeEdit{Name: &name, Language: &language, TimeZone: &zone})
	ok(t, err)
	if now, err := c.Me(ctx); err != nil || now != m || now.Name != name || now.TimeZone != zone {
		t.Errorf("she is %+v, was told %+v, %v", now, m, err)
	}
	_, err = c.UpdateMe(ctx, control.MeEdit{Language: new(string), Rev: new(m.Rev - 1)})
	c.want("a change of what she was before", err, "stale")
	_, err = c.Me(t.Context())
	c.want("nobody", err, "unauthorized")
}

func install(c *crowd, ctx context.Context, id control.MemberID, on bool) error {
	_, err := c.SetInstallation(ctx, id, on, nil)
	return err
}
