package app

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/event/sample"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/text"
	"github.com/millrace/millrace/internal/web"
	"github.com/millrace/millrace/internal/web/page"
)

// openAPI builds what answers the control plane's addresses, for scripts and, as pages, for people. It works as soon as the database does, also while this
// process is a standby: what it is asked to do goes into the database, and the process that owns the log does it.
func (s *system) openAPI(ctx context.Context, demo bool) error {
	key, err := s.plane.store.InstallationKey(ctx, "ids")
	if err != nil {
		return err
	}
	ids, err := web.NewIDs([]byte(key.Reveal()))
	if err != nil {
		return err
	}
	if err = s.openLinks(ctx); err != nil {
		return err
	}
	if s.notifier, err = s.newNotifier(); err != nil {
		return err
	}
	s.people = control.NewPeople(control.PeopleConfig{
		Store: s.plane.store, Send: s.notifier.SendLetter, BaseURL: s.URL,
		OnUnsent: func(err error) {
			s.logger.Warn("what was to be done about people in the background failed", "error", err)
		},
	})
	cfg := web.Config{
		Version: s.console.Version, Secure: s.cfg.Server.TLSCertFile != "" || strings.HasPrefix(s.cfg.Server.BaseURL, "https:"),
		RateLimit: s.cfg.Server.APIRateLimit, GracePeriod: s.cfg.Delivery.GracePeriod, ExportRetry: s.cfg.Exports.Retry, PauseLimit: s.cfg.Delivery.PauseLimit,
		TestCap: s.cfg.Delivery.TestCap, TestWindow: s.cfg.Delivery.TestCapWindow, Retention: s.cfg.Log.Retention,
	}
	if o := s.cfg.OIDC; o.Issuer != "" {
		cfg.OIDC = web.OIDC{Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret, BaseURL: s.URL}
	}
	if u, err := url.Parse(s.cfg.Server.BaseURL); err == nil && u.Host != "" {
		cfg.Origin = u.Scheme + "://" + u.Host
	}
	deps := web.Deps{
		People: s.people, Plane: s.rules, Store: s.plane.store, Catalogue: s.plane.catalogue, IDs: ids, Logger: s.logger, Open: s.plane.opener.Open,
		Rejected: s.rejected, Wake: s.asked.ring, Account: s.plane.opener.Account, Waiting: s.held, Machine: s.machine, Stopping: s.stopping,
		ExportFile: s.exportFile,
		Call:       s.notifier.Try, Example: s.example, Say: func(l text.Language, n control.Notice) (title, words string) { return notify.Say(l, n, time.Now()) },
	}
	if s.profiles != nil {
		deps.Profiles, deps.ProfileLag, deps.Erase = s.profiles, s.profileLag, s.erasePerson
	}
	s.api, err = web.New(cfg, deps)
	if err == nil {
		s.pages, err = page.New(page.Config{Components: demo}, page.Deps{API: s.api, Logger: s.logger, BaseURL: s.URL})
	}
	return err
}

// ahead lets what belongs to the API reach it as it is: other addresses are made canonical by redirects.
func (s *system) ahead(rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			s.api.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// offerFirstLink says how the first administrator comes in, while there is none. The link works once, and only the
// newest does.
func (s *system) offerFirstLink(ctx context.Context) error {
	link, needed, err := s.people.FirstLink(ctx)
	if err == nil && needed {
		s.logger.Warn("there is no administrator yet: whoever opens this link becomes the first", "link", link.Reveal(), "or", "millrace member add")
	}
	return err
}

// example gives an event of a type as producers post it.
func (s *system) example(t *event.Type) string {
	return string(sample.New(s.plane.catalogue, 1, nil).AppendWhole(nil, t))
}

// rejected gives what ingest keeps of a key's rejected events, if this process takes events.
func (s *system) rejected(key control.KeyID) (total int64, last []control.Rejection) {
	if w := s.working.Load(); w != nil {
		return w.ingest.Rejected(key)
	}
	return 0, nil
}

// held gives what connectors hold that is not in their buckets, if this process delivers.
func (s *system) held() map[control.ConnectorID]web.Waiting {
	w := s.working.Load()
	if w == nil {
		return nil
	}
	all := map[control.ConnectorID]web.Waiting{}
	for _, st := range w.delivery.Status() {
		x := all[st.Row.Lane.Connector]
		x.Events += st.Waiting
		if !st.Oldest.IsZero() && (x.Oldest.IsZero() || st.Oldest.Before(x.Oldest)) {
			x.Oldest = st.Oldest
		}
		if st.LastFile.After(x.LastFile) {
			x.LastFile = st.LastFile
		}
		all[st.Row.Lane.Connector] = x
	}
	return all
}

// profileLag says how far profiles are behind, if this process keeps them up.
func (s *system) profileLag() (lag client.ProfileLag, known bool) {
	w := s.working.Load()
	if w == nil {
		return lag, false
	}
	return w.follower.lag(time.Now())
}

// erasePerson deletes a person. Errors: unavailable in a process that does not own the log.
func (s *system) erasePerson(ctx context.Context, workspace uint32, who control.PersonID) error {
	w := s.working.Load()
	if w == nil {
		return s.waiting.Load()
	}
	return w.ingest.DeletePerson(ctx, workspace, who)
}

// machine says what the installation runs on. What concerns the log is zero in a process that does not own it.
func (s *system) machine(ctx context.Context) (client.Installation, error) {
	out := client.Installation{Version: s.console.Version, Cluster: s.cfg.Delivery.Cluster}
	out.AccountID, _ = s.plane.opener.Account(ctx) // without one no roles are taken on, and it is shown as not known
	var err error
	if out.DiskFree, err = s.plane.data.Free(); err != nil {
		return out, err
	}
	if out.DiskTotal, err = s.plane.data.Total(); err != nil {
		return out, err
	}
	out.ExportStoreFails = s.own.Fails(time.Now())
	if w := s.working.Load(); w != nil {
		u := w.log.Usage()
		_, head := w.log.Bounds()
		out.LogBytes, out.LogLimit, out.Head = u.Bytes, u.MaxBytes, int64(head)
	}
	if s.profiles == nil {
		return out, nil
	}
	if lag, known := s.profileLag(); known {
		out.ProfileLag = &lag
	}
	counts, err := s.profiles.SetAsideCounts(ctx)
	if err != nil {
		return out, err
	}
	for _, n := range counts {
		out.SetAside += n
	}
	return out, nil
}
