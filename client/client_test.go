package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/client"
)

// handler answers a client's requests without a network between, so that time can be the test's.
type handler func(w http.ResponseWriter, r *http.Request)

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h(w, r)
	if w.Code == broken {
		return nil, errors.New("the connection broke")
	}
	return w.Result(), nil
}

// broken is the status of an answer that never arrives.
const broken = 999

func clientOf(h handler) *client.Client {
	c := client.New("http://millrace.test/", "mrp_token")
	c.HTTP.Transport = h
	return c
}

func fail(w http.ResponseWriter, status int, code, retryAfter string) {
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":"No.","fields":[{"field":"name","code":"required","message":"A name is needed."}],"request_id":"r1"}}`, code)
}

// What makes something comes under one key, however often it has to be sent; another call has another key.
func TestACallIsSentAgainUnderItsKeyUntilItIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var keys []string
		answers := []func(w http.ResponseWriter){
			func(w http.ResponseWriter) { fail(w, 503, "unavailable", "7") },
			func(w http.ResponseWriter) { w.WriteHeader(broken) },
			func(w http.ResponseWriter) { fail(w, 409, "conflict", "1") }, // the first try is still under way
			func(w http.ResponseWriter) { fail(w, 429, "rate_limited", "20") },
			func(w http.ResponseWriter) { w.WriteHeader(201); fmt.Fprint(w, `{"id":"7","name":"acme"}`) },
		}
		c := clientOf(func(w http.ResponseWriter, r *http.Request) {
			keys = append(keys, r.Header.Get("Idempotency-Key"))
			answers[min(len(keys), len(answers))-1](w)
		})
		got, err := c.CreateWorkspace(t.Context(), client.WorkspaceCreate{Name: "acme"})
		if err != nil || got.ID != "7" {
			t.Fatalf("it gives %+v, %v", got, err)
		}
		if len(keys) != 5 || keys[0] == "" || len(slices.Compact(slices.Clone(keys))) != 1 {
			t.Errorf("the keys are %q", keys)
		}
		if took := time.Since(began); took < 28*time.Second || took > 40*time.Second {
			t.Errorf("it took %v, and was asked to wait 28 s", took)
		}
		if _, err := c.CreateWorkspace(t.Context(), client.WorkspaceCreate{Name: "acme"}); err != nil || keys[5] == keys[0] {
			t.Errorf("the second call has the key %q, %v", keys[5], err)
		}
	})
}

// How often it asks, and for how long, when nothing gets better.
func TestWhenTheClientGivesUp(t *testing.T) {
	read := func(ctx context.Context, c *client.Client) error { _, err := c.GetMe(ctx); return err }
	change := func(ctx context.Context, c *client.Client) error {
		_, err := c.UpdateMe(ctx, client.MeEdit{Name: new("Ana")}, `"3"`)
		return err
	}
	for name, c := range map[string]struct {
		do     func(context.Context, *client.Client) error
		answer func(w http.ResponseWriter)
		within time.Duration // of the context; 0: none
		least  time.Duration
		most   time.Duration
		code   string
	}{
		"a refusal is final":                       {do: read, answer: func(w http.ResponseWriter) { fail(w, 403, "forbidden", "") }, code: "forbidden"},
		"a conflict is final":                      {do: change, answer: func(w http.ResponseWriter) { fail(w, 409, "conflict", "") }, code: "conflict"},
		"a change that is overtaken is final":      {do: change, answer: func(w http.ResponseWriter) { fail(w, 412, "stale", "") }, code: "stale"},
		"a busy server is asked for minutes":       {do: change, answer: func(w http.ResponseWriter) { fail(w, 503, "unavailable", "") }, least: 2 * time.Minute, most: 3 * time.Minute, code: "unavailable"},
		"a server that is gone for seconds":        {do: read, answer: func(w http.ResponseWriter) { w.WriteHeader(broken) }, least: 8 * time.Second, most: 15 * time.Second},
		"a change that may have been done is kept": {do: change, answer: func(w http.ResponseWriter) { w.WriteHeader(broken) }},
		"the context bounds it":                    {do: read, answer: func(w http.ResponseWriter) { fail(w, 429, "rate_limited", "60") }, within: 10 * time.Second, least: 10 * time.Second, most: 10 * time.Second, code: "rate_limited"},
		"a wait that is too long is not begun":     {do: read, answer: func(w http.ResponseWriter) { fail(w, 429, "rate_limited", "3600") }, code: "rate_limited"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if c.within > 0 {
					var cancel func()
					ctx, cancel = context.WithTimeout(ctx, c.within)
					defer cancel()
				}
				began := time.Now()
				err := c.do(ctx, clientOf(func(w http.ResponseWriter, r *http.Request) { c.answer(w) }))
				if err == nil || c.code != "" && !client.HasCode(err, c.code) {
					t.Errorf("the error is %v, want one with the code %q", err, c.code)
				}
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("it took %v, want %v to %v", took, c.least, c.most)
				}
				if c.within > 0 && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}

func TestAnErrorSaysAllThatTheServerSaid(t *testing.T) {
	c := clientOf(func(w http.ResponseWriter, r *http.Request) { fail(w, 422, "invalid", "") })
	_, err := c.CreateWorkspace(t.Context(), client.WorkspaceCreate{})
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Status != 422 || e.Code != "invalid" || e.RequestID != "r1" || len(e.Fields) != 1 || e.Error() != "No.; name: A name is needed." {
		t.Errorf("the error is %#v", err)
	}
	for name, body := range map[string]string{"a page of somebody else": "<html>", "JSON of somebody else": `{"message":"nginx"}`, "nothing": ""} {
		c := clientOf(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(502); fmt.Fprint(w, body) })
		_, err := c.GetMe(t.Context())
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != 502 || e.Code != "" || e.Error() != "the server answered with status 502" {
			t.Errorf("%s: the error is %#v", name, err)
		}
	}
}

func TestAListAsksForOnePageAfterTheOther(t *testing.T) {
	var asked []string
	c := clientOf(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		switch r.URL.Query().Get("cursor") {
		case "":
			fmt.Fprint(w, `{"items":[{"id":"1"},{"id":"2"}],"next":"two"}`)
		case "two":
			fmt.Fprint(w, `{"items":[{"id":"3"}],"next":"three"}`)
		default:
			fail(w, 500, "internal", "")
		}
	})
	list := c.ListChanges(t.Context(), "acme", client.ChangeFilter{Kind: "connector"})
	for range 2 { // it can be used again
		asked = nil
		items, err := all(list)
		if len(items) != 3 || items[2].ID != "3" || !client.HasCode(err, "internal") {
			t.Errorf("the list gives %v, %v", items, err)
		}
		if want := []string{"kind=connector", "cursor=two&kind=connector", "cursor=three&kind=connector"}; !slices.Equal(asked, want) {
			t.Errorf("it asks for %q", asked)
		}
	}
	asked = nil
	for range list {
		break
	}
	if len(asked) != 1 {
		t.Errorf("who looks at the first item asks for %q", asked)
	}
}

// Who shows a list page by page asks for one, and is told where the next begins.
func TestAPartOfAListIsOnePage(t *testing.T) {
	var asked string
	c := clientOf(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.RawQuery
		if r.URL.Query().Get("cursor") == "two" {
			fmt.Fprint(w, `{"items":[{"id":"3"}]}`)
			return
		}
		fmt.Fprint(w, `{"items":[{"id":"1"},{"id":"2"}],"next":"two"}`)
	})
	for _, row := range []struct {
		part  client.Part
		asked string
		items int
		next  string
	}{
		{client.Part{Limit: 2}, "kind=connector&limit=2", 2, "two"},
		{client.Part{Cursor: "two"}, "cursor=two&kind=connector", 1, ""},
	} {
		items, err := all(c.ListChanges(client.InPart(t.Context(), &row.part), "acme", client.ChangeFilter{Kind: "connector"}))
		if err != nil || len(items) != row.items || row.part.Next != row.next || asked != row.asked {
			t.Errorf("%q gives %d items and then %q, %v; want %q, %d, %q", asked, len(items), row.part.Next, err, row.asked, row.items, row.next)
		}
	}
}

// What was read tells its version, and a change is sent for it.
func TestVersionsGoBackAndForth(t *testing.T) {
	var match string
	c := clientOf(func(w http.ResponseWriter, r *http.Request) {
		match = r.Header.Get("If-Match")
		w.Header().Set("ETag", `"4"`)
		fmt.Fprint(w, `{"name":"Ana"}`)
	})
	me, err := c.GetMe(t.Context())
	if err != nil || me.ETag != `"4"` || me.Name != "Ana" {
		t.Fatalf("it gives %+v, %v", me, err)
	}
	if _, err := c.UpdateMe(t.Context(), client.MeEdit{Name: new("Bea")}, me.ETag); err != nil || match != `"4"` {
		t.Errorf("the change is for %q, %v", match, err)
	}
	if _, err := c.UpdateMe(t.Context(), client.MeEdit{Name: new("Bea")}, ""); err != nil || match != "" {
		t.Errorf("a change that minds no version is for %q, %v", match, err)
	}
}

// What goes on is looked at until it is over, and whoever watches sees each state.
func TestWaitingForWhatGoesOn(t *testing.T) {
	states := func(at string, all ...string) handler {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != at {
				t.Errorf("it asks for %s", r.URL.Path)
			}
			fmt.Fprint(w, all[0])
			all = all[min(1, len(all)-1):]
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		began := time.Now()
		c := clientOf(states("/api/v1/checks/c1", `{"state":"waiting"}`, `{"state":"running"}`, `{"state":"running"}`, `{"state":"running"}`, `{"state":"running"}`, `{"state":"running"}`, `{"state":"passed","connector":"x"}`))
		check, err := c.AwaitCheck(t.Context(), "c1", func(x client.Check) { seen = append(seen, x.State) })
		if err != nil || check.Connector != "x" || len(seen) != 7 || seen[6] != "passed" {
			t.Errorf("it gives %+v, %v, seen %q", check, err, seen)
		}
		if took := time.Since(began); took < 4*time.Second || took > 10*time.Second {
			t.Errorf("it takes %v", took)
		}
	})
	c := clientOf(states("/api/v1/checks/c1", `{"state":"failed","error":{"code":"invalid","message":"S3 credentials are invalid."}}`))
	if check, err := c.AwaitCheck(t.Context(), "c1", nil); !client.HasCode(err, "invalid") || check.State != "failed" {
		t.Errorf("a check that fails gives %+v, %v", check, err)
	}
	c = clientOf(states("/api/v1/jobs/j1", `{"state":"done","result":{"changes":[{"kind":"connector","workspace":"acme","name":"w"}],"keys":[],"failures":[]}}`))
	job, err := c.AwaitJob(t.Context(), "j1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if applied, err := job.Applied(); err != nil || len(applied.Changes) != 1 || applied.Changes[0].Name != "w" {
		t.Errorf("it applied %+v, %v", applied, err)
	}
	c = clientOf(states("/api/v1/jobs/j1", `{"state":"failed"}`))
	if _, err := c.AwaitJob(t.Context(), "j1", nil); err == nil {
		t.Error("a job that fails gives no error")
	}
	synctest.Test(t, func(t *testing.T) {
		c := clientOf(states("/api/v1/workspaces/acme/connectors/x/hours/2026-11-22T10", `{"complete":false}`, `{"complete":true}`))
		if h, err := c.AwaitHour(t.Context(), "acme", "x", time.Date(2026, 11, 22, 11, 30, 0, 0, time.FixedZone("", 3600))); err != nil || !h.Complete {
			t.Errorf("it gives %+v, %v", h, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c = clientOf(states("/api/v1/jobs/j1", `{"state":"running"}`))
		if _, err := c.AwaitJob(ctx, "j1", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits no longer is told %v", err)
		}
	})
}
