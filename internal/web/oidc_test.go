package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/secret"
)

// provider is an OpenID Connect provider with one person, who is always signed in. Its fields change what it does.
type provider struct {
	t        *testing.T
	srv      *httptest.Server
	claims   map[string]any // beyond, and in place of, those that it makes
	userinfo map[string]any // nil: it has none
	signer   *ecdsa.PrivateKey
	codes    map[string]url.Values // what was asked for, by code; each works once
	refuse   http.HandlerFunc      // in place of tokens; nil: it gives them
	logged   error                 // what the newest answer of ours was refused with, as the log has it
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	point, err := key.PublicKey.Bytes() // 4, x, y
	must(t, err)
	p := &provider{t: t, signer: key, codes: map[string]url.Values{}, claims: map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.json(w, map[string]any{"issuer": p.srv.URL, "authorization_endpoint": p.srv.URL + "/authorize", "token_endpoint": p.srv.URL + "/token",
			"jwks_uri": p.srv.URL + "/keys", "userinfo_endpoint": p.srv.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		p.json(w, map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1",
			"x": encode(point[1:33]), "y": encode(point[33:])}}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("client_id") != "millrace" || q.Get("code_challenge_method") != "S256" || !strings.Contains(q.Get("scope"), "email") {
			t.Errorf("asked for %v", q)
		}
		code := rand.Text()
		p.codes[code] = q
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusSeeOther)
	})
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, _ *http.Request) { p.json(w, p.userinfo) })
	p.srv = httptest.NewServer(mux)
	t.Cleanup(p.srv.Close)
	return p
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (p *provider) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	must(p.t, r.ParseForm())
	if p.refuse != nil {
		p.refuse(w, r)
		return
	}
	id, key, _ := r.BasicAuth()
	q, ok := p.codes[r.Form.Get("code")]
	delete(p.codes, r.Form.Get("code"))
	verifier := sha256.Sum256([]byte(r.Form.Get("code_verifier")))
	if !ok || id != "millrace" || key != "client-secret" || encode(verifier[:]) != q.Get("code_challenge") {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	c := map[string]any{"iss": p.srv.URL, "aud": "millrace", "sub": "s-1", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "nonce": q.Get("nonce")}
	maps.Copy(c, p.claims)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	body, err := json.Marshal(c)
	must(p.t, err)
	text := encode([]byte(`{"alg":"ES256","kid":"1"}`)) + "." + encode(body)
	sum := sha256.Sum256([]byte(text))
	a, b, err := ecdsa.Sign(rand.Reader, p.signer, sum[:])
	must(p.t, err)
	sig := append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...)
	p.json(w, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": text + "." + encode(sig)})
}

// abroad is a world whose people may sign in at a provider, as a server.
func abroad(t *testing.T) (*world, *provider, *httptest.Server) {
	t.Helper()
	p := newProvider(t)
	var srv *httptest.Server
	w := newWorld(t, func(c *Config, _ *Deps) {
		c.OIDC = OIDC{Issuer: p.srv.URL, ClientID: "millrace", ClientSecret: secret.New("client-secret"), BaseURL: func() string { return srv.URL }}
	})
	srv = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		ctx, refusal := CatchRefusal(r.Context())
		w.h.ServeHTTP(out, r.WithContext(ctx))
		p.logged = refusal()
	}))
	t.Cleanup(srv.Close)
	return w, p, srv
}

// browser follows redirects and keeps cookies, and stops where the dashboard would be.
func browser(t *testing.T, srv *httptest.Server) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/" && r.URL.Host == strings.TrimPrefix(srv.URL, "http://") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

func visit(t *testing.T, b *http.Client, address string) (status int, body string) {
	t.Helper()
	a, err := b.Get(address)
	must(t, err)
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	must(t, err)
	return a.StatusCode, string(text)
}

func TestSigningInElsewhere(t *testing.T) {
	another, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ed := map[string]any{"email": mailOf(editor), "email_verified": true, "name": "Ed"}
	but := func(more map[string]any) map[string]any {
		c := maps.Clone(ed)
		maps.Copy(c, more)
		return c
	}
	for name, row := range map[string]struct {
		change func(p *provider)
		want   int
		says   string
	}{
		"a member":                        {func(p *provider) { p.claims = ed }, 303, ""},
		"an address that is said in text": {func(p *provider) { p.claims = but(map[string]any{"email_verified": "true"}) }, 303, ""},
		"an address that is said apart":   {func(p *provider) { p.userinfo = but(map[string]any{"sub": "s-1"}) }, 303, ""},
		"of another person":               {func(p *provider) { p.userinfo = but(map[string]any{"sub": "s-2"}) }, 403, "trusted"},
		"an address that is not verified": {func(p *provider) { p.claims = but(map[string]any{"email_verified": false}) }, 403, "invitation"},
		"an address that may be verified": {func(p *provider) { p.claims = but(map[string]any{"email_verified": nil}) }, 403, "invitation"},
		"somebody without an invitation":  {func(p *provider) { p.claims = but(map[string]any{"email": "x@else.example"}) }, 403, "invitation"},
		"another's nonce":                 {func(p *provider) { p.claims = but(map[string]any{"nonce": "x"}) }, 403, "trusted"},
		"no nonce":                        {func(p *provider) { p.claims = but(map[string]any{"nonce": nil}) }, 403, "trusted"},
		"for another program":             {func(p *provider) { p.claims = but(map[string]any{"aud": "another"}) }, 403, "trusted"},
		"of another provider":             {func(p *provider) { p.claims = but(map[string]any{"iss": "https://else.example"}) }, 403, "trusted"},
		"of yesterday":                    {func(p *provider) { p.claims = but(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}) }, 403, "trusted"},
		"signed by somebody else":         {func(p *provider) { p.claims = ed; p.signer = another }, 403, "trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			_, p, srv := abroad(t)
			row.change(p)
			b := browser(t, srv)
			status, body := visit(t, b, srv.URL+oidcPath)
			if status != row.want || !strings.Contains(body, row.says) {
				t.Fatalf("%d %s", status, body)
			}
			me, text := visit(t, b, srv.URL+prefix+"/me")
			if signedIn := me == 200 && strings.Contains(text, mailOf(editor)); signedIn != (row.want == 303) {
				t.Errorf("afterwards: %d %s", me, text)
			}
			if row.want == 303 {
				p.claims = but(map[string]any{"sub": "s-2"}) // who was given the address after them
				if status, body := visit(t, browser(t, srv), srv.URL+oidcPath); status != 409 || !strings.Contains(body, "another account") {
					t.Errorf("another subject: %d %s", status, body)
				}
				p.claims = map[string]any{"email": "renamed@else.example"} // from now on it is the identity that counts
				if status, body := visit(t, browser(t, srv), srv.URL+oidcPath); status != 303 {
					t.Errorf("again under another address: %d %s", status, body)
				}
			}
		})
	}
}

func TestAnInvitationIsTakenUpBySigningInElsewhere(t *testing.T) {
	w, p, srv := abroad(t)
	_, err := w.people.Invite(w.root(), control.Invite{Email: "new@else.example", Workspace: w.acme.Number, Role: control.Editor})
	must(t, err)
	p.claims = map[string]any{"email": "New@else.example", "email_verified": true, "name": "New"}
	b := browser(t, srv)
	if status, body := visit(t, b, srv.URL+oidcPath); status != 303 {
		t.Fatalf("%d %s", status, body)
	}
	var me client.Me
	_, body := visit(t, b, srv.URL+prefix+"/me")
	must(t, json.Unmarshal([]byte(body), &me))
	if len(me.Workspaces) != 1 || me.Workspaces[0].Role != "editor" || me.Name != "New" {
		t.Errorf("got %+v", me)
	}
}

func TestASignInElsewhereComesBackOnceToItsBrowser(t *testing.T) {
	_, p, srv := abroad(t)
	p.claims = map[string]any{"email": mailOf(editor), "email_verified": true}
	var back []string // where the provider sends people back to
	b := browser(t, srv)
	inner := b.CheckRedirect
	b.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Path == callbackPath {
			back = append(back, r.URL.String())
			if len(back) == 2 {
				return http.ErrUseLastResponse // and keeps what came for a moment
			}
		}
		return inner(r, via)
	}
	if status, body := visit(t, b, srv.URL+oidcPath); status != 303 {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := visit(t, b, back[0]); status != 403 {
		t.Errorf("the same way back once more: %d %s", status, body)
	}
	visit(t, b, srv.URL+oidcPath)
	if status, body := visit(t, browser(t, srv), back[1]); status != 403 {
		t.Errorf("another browser: %d %s", status, body)
	}
	other := strings.Replace(back[1], "state=", "state=x", 1)
	if status, body := visit(t, b, other); status != 403 {
		t.Errorf("another state: %d %s", status, body)
	}
	if status, body := visit(t, b, back[1]); status != 403 {
		t.Errorf("after a try with another state: %d %s", status, body)
	}
	if status, body := visit(t, b, srv.URL+callbackPath+"?error=access_denied"); status != 403 {
		t.Errorf("an error out of nowhere: %d %s", status, body)
	}
}

func TestAProviderThatIsAwayIsNoFaultOfOurs(t *testing.T) {
	_, p, srv := abroad(t)
	address := p.srv.URL
	p.srv.Close()
	if status, body := visit(t, browser(t, srv), srv.URL+oidcPath); status != 503 || strings.Contains(body, address) {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := visit(t, browser(t, srv), srv.URL+"/auth/nothing"); status != 404 {
		t.Errorf("an address that is not: %d", status)
	}
}

// What is asked of the token endpoint has our secret, and its answer may repeat it.
func TestOfATokenEndpointThatRefusesOnlyStatusAndCodeAreKept(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		body   string
		want   int
		cause  string
	}{
		"a refusal":           {400, `{"error":"invalid_client","error_description":"client-secret is wrong"}`, 403, "400: invalid_client"},
		"a code of its own":   {401, `{"error":"client-secret"}`, 403, "401: no code of OAuth"},
		"a page":              {403, `got millrace:client-secret`, 403, "403: no code of OAuth"},
		"an error with 200":   {200, `{"error":"invalid_grant","error_uri":"x:client-secret"}`, 403, "200: invalid_grant"},
		"an error of its own": {502, `bad gateway for client-secret`, 503, "502: no code of OAuth"},
		"too many":            {429, `{"error":"slow_down"}`, 503, "429: no code of OAuth"},
		"no answer":           {0, "", 503, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			_, p, srv := abroad(t)
			p.refuse = func(w http.ResponseWriter, _ *http.Request) {
				if row.status == 0 {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(row.status)
				_, _ = io.WriteString(w, row.body)
			}
			a, err := browser(t, srv).Get(srv.URL + oidcPath)
			must(t, err)
			must(t, a.Body.Close())
			if a.StatusCode != row.want || (a.Header.Get("Retry-After") != "") != (row.want == 503) {
				t.Errorf("%d %v", a.StatusCode, a.Header)
			}
			said := fmt.Sprintf("%v", p.logged)
			if p.logged == nil || strings.Contains(said, "client-secret") || !strings.Contains(said, row.cause) {
				t.Errorf("the log has %s", said)
			}
		})
	}
}
