package app

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/bucket/s3"
	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/dial"
	"github.com/millrace/millrace/internal/event/sample"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/export"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/ingest"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/web/compat"
)

const (
	recordEvery = time.Second      // changes by apply are in the log within this
	leaseTime   = 15 * time.Second // a machine that went away is followed after this
	standbyWait = time.Second      // between two tries of a standby to get the log
	openAgain   = 5 * time.Second  // between two tries to open what cannot be opened now
	drainLimit  = time.Minute      // of demo: until every event is at least gathered
	closeLimit  = 30 * time.Second
)

// system is a server in this process: control plane, log, ingest, delivery, HTTP.
//
// open binds the addresses, so that probes are answered from the first moment; run takes the log, works until its
// context ends, and stops in order.
type system struct {
	cfg     *config.Config
	console *Console
	logger  *slog.Logger
	plane   *plane
	rules   *control.Plane

	registry *prometheus.Registry
	meters   *meters
	probes   *httpd.Probes
	front    *httpd.Server
	back     *httpd.Server
	owner    string        // of the lease; known once the log is opened
	lease    time.Duration // leaseTime; less in tests
	people   *control.People
	profiles *store.Profiles // what is kept of users; nil: nothing is
	own      *export.Watched // files of exports
	links    compat.Links    // to them
	api      http.Handler
	pages    http.Handler  // everything else, for people
	stopping chan struct{} // closed when run begins to stop
	asked    bell          // rung for jobs
	notifier *notify.Notifier

	// What exists once the log is ours. Before that requests are refused by name.
	working atomic.Pointer[working]
	waiting atomic.Pointer[fault.Error] // why it is not ours yet
}

// working is the parts that exist while this process owns the log.
type working struct {
	log      *segment.Log
	ingest   *ingest.Ingest
	delivery *delivery.Manager
	events   http.Handler
	follower *follower
	calls    map[string]http.Handler // the vendor's, by address
}

// openSystem reads what cfg names and binds the addresses. Nothing works before run.
func openSystem(ctx context.Context, cfg *config.Config, c *Console) (*system, error) {
	return openSystemAs(ctx, cfg, c, s3.Key{})
}

// openSystemAs is openSystem with a key by which customers' roles are taken on, as a demo has one; empty: as AWS's tools
// find one.
func openSystemAs(ctx context.Context, cfg *config.Config, c *Console, own s3.Key) (*system, error) {
	p, err := openPlaneAs(ctx, cfg, own)
	if err != nil {
		return nil, err
	}
	s := &system{cfg: cfg, console: c, logger: newLogger(cfg, c), plane: p, rules: p.rules(), asked: newBell(), registry: prometheus.NewRegistry(), lease: leaseTime}
	p.guard.Refused = func(host string, f *dial.Forbidden) {
		s.logger.Warn("an address inside was not connected to", "host", host, "address", f.Addr.String(), "kind", f.Kind)
	}
	if info, err := p.data.Stat("."); err == nil && info.Shared {
		s.logger.Warn("others than this user may read the data folder, which holds personal data and keys", "folder", cfg.DataDir, "hint", "chmod 700")
	}
	s.meters = newMeters(s.registry)
	s.waiting.Store(fault.New(fault.Unavailable, "start", "The server is starting.").WithRetry(time.Second))
	s.stopping = make(chan struct{})
	if s.profiles, err = p.openProfiles(ctx); err == nil {
		err = s.openAPI(ctx, own.ID != "")
	}
	if err == nil {
		err = s.listen()
	}
	if err != nil {
		return nil, errors.Join(err, s.closeDatabases())
	}
	return s, nil
}

func (s *system) closeDatabases() error {
	var err error
	if s.profiles != nil {
		err = s.profiles.Close()
	}
	return errors.Join(err, s.plane.Close())
}

func (s *system) listen() error {
	s.probes = httpd.NewProbes(
		httpd.Check{Name: "log", Probe: func(context.Context) error {
			if w := s.working.Load(); w != nil {
				return w.log.Health()
			}
			return s.waiting.Load()
		}},
		httpd.Check{Name: "database", Probe: func(ctx context.Context) error {
			_, _, err := s.plane.store.CurrentLog(ctx)
			return err
		}},
	)
	mux := http.NewServeMux()
	mux.Handle("/v1/events", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if x := s.working.Load(); x != nil {
			x.events.ServeHTTP(w, r)
			return
		}
		httpd.WriteError(w, r, s.waiting.Load())
	}))
	// What is asked for below these is a program's mistake: it reads no page.
	nothing := map[string]http.HandlerFunc{"/api": httpd.NotFound, "/v1": httpd.NotFound}
	for _, path := range slices.Concat(ingest.CallPaths(), compat.Paths()) {
		root, _, _ := strings.Cut(path[1:], "/")
		nothing["/"+root] = ingest.NotFound
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			switch x := s.working.Load(); {
			case x == nil:
				httpd.WriteError(w, r, s.waiting.Load())
			case x.calls == nil:
				httpd.WriteError(w, r, fault.New(fault.NotFound, "", "This installation keeps no user profiles.").WithHint("The operator turns the setting profiles on."))
			default:
				x.calls[path].ServeHTTP(w, r)
			}
		})
	}
	mux.HandleFunc("GET "+compat.LinkPath, func(w http.ResponseWriter, r *http.Request) { s.links.ServeHTTP(w, r) })
	s.probes.Register(mux)
	for root, h := range nothing {
		mux.HandleFunc(root, h)
		mux.HandleFunc(root+"/", h)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.pages.ServeHTTP(w, r) })

	conf := httpd.Config{Listen: s.cfg.Server.Listen, TrustedProxies: s.cfg.Server.TrustedProxies, AccessLog: s.cfg.Server.AccessLog}
	if s.cfg.Server.TLSCertFile != "" {
		conf.TLS = s.readTLS
	}
	var err error
	s.front, err = httpd.Open(conf, s.ahead(mux), s.probes, s.logger, httpd.Hooks{
		OnRequest: func(pattern string, status int, _ time.Duration) {
			if pattern == "/v1/events" {
				s.meters.requests.WithLabelValues(fmt.Sprint(status)).Inc()
			}
		},
		OnCertificate: s.meters.certificate,
	})
	if err != nil {
		return err
	}
	s.back, err = httpd.Open(httpd.Config{Listen: s.cfg.Server.MetricsListen}, httpd.Operation(s.registry, s.probes), nil, s.logger, httpd.Hooks{})
	if err != nil {
		return errors.Join(err, s.front.Close())
	}
	return nil
}

// readTLS reads the certificate chain and its key.
func (s *system) readTLS() (cert, key []byte, err error) {
	if cert, err = readFile(s.cfg.Server.TLSCertFile, maxPEM); err == nil {
		key, err = readFile(s.cfg.Server.TLSKeyFile, maxPEM)
	}
	return cert, key, err
}

// URL is where the server is reached.
func (s *system) URL() string {
	if s.cfg.Server.BaseURL != "" {
		return s.cfg.Server.BaseURL
	}
	return s.front.URL()
}

func (s *system) metricsURL() string { return s.back.URL() }

// run works until ctx ends or something fails that cannot go on, and then stops in order: readiness off, no new
// connections, requests finished, files cut and written, log closed, database closed. It may be killed at any point.
// It is called once.
func (s *system) run(ctx context.Context) error {
	spareProcessors()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { close(s.stopping) })
	var people sync.WaitGroup
	people.Go(func() { _ = s.people.Run(ctx) }) // it has no error: see there
	front := s.serve(ctx, s.front, cancel)
	back := s.serve(ctx, s.back, cancel)
	err := s.work(ctx, front)
	cancel()
	people.Wait()
	// The operator's address answers to the end, so that the stop can be watched.
	if err = errors.Join(err, front(), back(), s.closeDatabases()); err == nil {
		s.logger.Info("stopped")
	}
	return err
}

// serve runs h until the function that it gives is called, which returns when the last request is answered. A
// server that fails cancels everything.
func (s *system) serve(ctx context.Context, h *httpd.Server, cancel func()) (stop func() error) {
	own, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() {
		err := h.Run(own)
		if err != nil {
			cancel()
		}
		ended <- err
	}()
	return sync.OnceValue(func() error {
		end()
		return <-ended
	})
}

// work takes the log and works with it until ctx ends. stopFront ends the taking of requests and answers the last.
func (s *system) work(ctx context.Context, stopFront func() error) (err error) {
	lock, err := s.takeFolder(ctx)
	if err != nil || lock == nil {
		return err
	}
	defer lock.Close() // an empty file: only the lock counts
	log, err := s.patiently(ctx, s.openLog)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { err = errors.Join(err, fault.Wrap(log.Close(), "close the log")) }()
	id := log.ID()
	if err := s.takeLease(ctx, log); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		err = errors.Join(err, s.plane.store.ReleaseLease(last, id, s.owner))
	}()
	// Whoever held the lease until now may have gone on with a copy of this folder.
	if err := s.plane.claim(ctx, log); err != nil {
		return err
	}
	if err := s.plane.recordSchemas(ctx, log); err != nil {
		return err
	}
	if err := s.offerFirstLink(ctx); err != nil {
		return err
	}
	notifier := s.notifier
	follower := s.newFollower(log)
	peopleKey, err := s.plane.store.InstallationKey(ctx, "people")
	if err != nil {
		return err
	}
	needs := ingest.Deps{
		Log: log, Catalogue: s.plane.catalogue, Keys: s.plane.store, Logger: s.logger, Hooks: s.ingestHooks(),
		Limit: ingest.PerKey(s.cfg.Server.KeyRateLimit), Sample: sample.New(s.plane.catalogue, rand.Uint64(), nil).AppendTest,
		Use: s.plane.store.TouchKeys, PersonKey: []byte(peopleKey.Reveal()),
	}
	if s.profiles != nil {
		needs.People = s.profiles
	}
	in := ingest.New(ingest.Config{MemoryBudget: s.cfg.MemoryBudget / 2, TrackObjects: s.cfg.Server.TrackObjects}, needs)
	manager := delivery.New(delivery.Config{
		AttemptLimit: s.cfg.Delivery.AttemptLimit, GracePeriod: s.cfg.Delivery.GracePeriod, PauseLimit: s.cfg.Delivery.PauseLimit, QuotaPatience: s.cfg.Delivery.QuotaPatience,
		TestCap: int64(s.cfg.Delivery.TestCap), TestCapWindow: s.cfg.Delivery.TestCapWindow,
		LogRetention: s.cfg.Log.Retention, MemoryBudget: s.cfg.MemoryBudget / 2, Workers: cores(),
	}, delivery.Deps{
		GiveWay: func() { giveWay(filesWait) },
		Log:     log, Store: retained{s.plane.store, follower}, Opener: s.plane.opener, Catalogue: s.plane.catalogue, Logger: s.logger, Hooks: s.deliveryHooks(notifier.Wake),
	})
	if err := s.registry.Register(gauges{log, manager.Status, manager.Held, follower.lag, time.Now}); err != nil {
		return fault.From(err, fault.Internal, "register metrics")
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	deliver, stopDelivery := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDelivery()
	var errands, leasing sync.WaitGroup // errands end before ingest does, since they append
	w := &working{log: log, ingest: in, delivery: manager, follower: follower, events: in.Events()}
	if s.profiles != nil {
		w.calls = in.Calls()
		maps.Copy(w.calls, compat.Calls(compat.Deps{Door: in, Store: s.plane.store, People: s.profiles, Writer: exportWriter, Exports: s.rules, Link: s.links.Of}))
	}
	errands.Go(func() { s.recordConfigs(ctx, in) })
	errands.Go(func() { s.countSegments(ctx) })
	exports := s.newExports()
	errands.Go(func() { _ = exports.Run(ctx) }) // it ends with ctx
	errands.Go(func() {                         // events are taken whether or not exports can be kept
		if err := proveOwnBucket(ctx, s.cfg, s.plane.opener); err != nil && ctx.Err() == nil {
			s.logger.Error("exports are held up until this is mended", "error", err, "hint", fault.HintOf(err))
		}
	})
	errands.Go(func() { s.runSchedules(ctx) })
	errands.Go(func() { s.markHours(ctx, log, in) })
	errands.Go(func() { s.runJobs(ctx, w) })
	errands.Go(func() { s.scheduleChecks(ctx) })
	errands.Go(func() { s.watchQuota(ctx, log) })
	errands.Go(func() { s.watchPeople(ctx, follower.lag) })
	errands.Go(func() { s.watchKeys(ctx, notifier.Wake) })
	errands.Go(func() { in.NoteUse(ctx) })
	errands.Go(func() {
		if err := notifier.Run(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("nobody is told anything any more until the next start", "error", err)
		}
	})
	var lost error                                                 // of the lease
	lease, letGo := context.WithCancel(context.WithoutCancel(ctx)) // kept until nothing is written any more
	defer letGo()
	leasing.Go(func() {
		if lost = s.keepLease(lease, log); lost != nil {
			cancel()
		}
	})
	var following sync.WaitGroup
	following.Go(func() {
		giveWay(peopleWait)
		follower.run(deliver)
	})
	delivered := make(chan error, 1)
	go func() { delivered <- manager.Run(deliver) }()

	s.working.Store(w)
	start, head := log.Bounds()
	s.logger.Info("ready", "listen", s.front.URL(), "metrics", s.back.URL(), "log", id.String(), "start", int64(start), "head", int64(head))

	select {
	case <-ctx.Done():
	case err = <-delivered:
		delivered <- nil
		err = errors.Join(fault.New(fault.Internal, "deliver", "delivery ended by itself"), err)
	}
	s.logger.Info("stopping")
	s.probes.Drain()
	err = errors.Join(err, stopFront())
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer stop()
	cancel()
	errands.Wait()
	err = errors.Join(err, in.Close(last))
	stopDelivery()
	err = errors.Join(err, <-delivered)
	following.Wait()
	letGo()
	leasing.Wait()
	return errors.Join(err, lost)
}

// takeFolder waits until this process may work on the data folder. nil: ctx ended first.
func (s *system) takeFolder(ctx context.Context) (io.Closer, error) {
	for said := false; ; {
		lock, err := s.plane.data.Lock(serverLockName)
		if err == nil || !fault.Is(err, fault.Unavailable) {
			return lock, err
		}
		if !said {
			said = true
			s.standBy("This process is a standby: another one works on the data folder.", "folder", s.cfg.DataDir)
		}
		if !sleep(ctx, standbyWait) {
			return nil, nil
		}
	}
}

// standBy tells producers, probes and the log why this process does nothing yet.
func (s *system) standBy(why string, about ...any) {
	s.waiting.Store(fault.New(fault.Unavailable, "start", "%s", why).WithRetry(standbyWait).
		WithHint("It takes over by itself when the other one ends."))
	s.logger.Warn(why, about...)
}

// patiently opens the log again and again while what keeps it from opening may pass by itself, as a full disk does once
// something is deleted: the process answers meanwhile, and says what it waits for.
func (s *system) patiently(ctx context.Context, open func(context.Context) (*segment.Log, error)) (*segment.Log, error) {
	for said := false; ; {
		log, err := open(ctx)
		if e := fault.As(err); err == nil || e == nil || e.Code != fault.Unavailable || !e.Retry {
			return log, err
		}
		if !said {
			said = true
			s.logger.Error("the log cannot be opened; trying again", "error", err)
		}
		waiting := fault.New(fault.Unavailable, "start", "The log cannot be opened; the server tries again by itself.").WithRetry(openAgain).WithCause(err)
		if hint := fault.HintOf(err); hint != "" {
			waiting = waiting.WithHint("%s", hint)
		}
		s.waiting.Store(waiting)
		if !sleep(ctx, openAgain) {
			return nil, err
		}
	}
}

// openLog opens the log, makes sure that it is the one that the database knows, and begins it if it is new.
func (s *system) openLog(ctx context.Context) (*segment.Log, error) {
	var err error
	if s.owner, err = ownerName(s.cfg.DataDir, s.plane.data); err != nil {
		return nil, err
	}
	folder := vfs.OS(filepath.Join(s.cfg.DataDir, logFolder))
	limit := s.cfg.Log.MaxBytes
	if limit == 0 {
		if limit, err = defaultQuota(folder); err != nil {
			return nil, err
		}
	}
	log, err := segment.Open(ctx, segment.Config{FS: folder, MaxBytes: limit, Window: s.cfg.Log.IdempotencyWindow, Hooks: s.logHooks()})
	if err != nil {
		return nil, err
	}
	if err = s.plane.checkIdentity(ctx, log); err == nil {
		err = ingest.Begin(ctx, log)
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}

// takeLease makes this process the one that works on the log, by the database's word. The folder's lock excludes
// other processes on this folder; the lease excludes a copy of the folder on another machine.
func (s *system) takeLease(ctx context.Context, log *segment.Log) error {
	for said, worried := false, false; ; {
		ok, err := s.plane.store.AcquireLease(ctx, log.ID(), s.owner, s.lease)
		if e := fault.As(err); ok || e != nil && (e.Code != fault.Unavailable || !e.Retry) {
			return err
		}
		if err != nil && !worried {
			s.logger.Error("nobody knows who holds the lease; trying again", "error", err)
		}
		if worried = err != nil; !worried && !said {
			said = true
			s.standBy("This process is a standby: another one holds the lease on the log, or on another log of the same database.", "log", log.ID().String())
		}
		if !sleep(ctx, standbyWait) {
			return ctx.Err()
		}
	}
}

// keepLease renews the lease until ctx ends. It returns an error if the lease went to somebody else, or could not be
// renewed for so long that it may have.
func (s *system) keepLease(ctx context.Context, log *segment.Log) error {
	renewed := time.Now()
	for sleep(ctx, s.lease/3) {
		inTime, cancel := context.WithDeadline(ctx, renewed.Add(s.lease)) // later than that the answer is worth nothing
		ok, err := s.plane.store.RenewLease(inTime, log.ID(), s.owner, s.lease)
		cancel()
		switch {
		case err == nil && ok:
			renewed = time.Now()
		case err == nil:
			return fault.New(fault.Conflict, "renew lease", "another process has taken over the log %s", log.ID())
		case ctx.Err() != nil:
			return nil
		default:
			s.logger.Error("lease not renewed", "error", err)
			if time.Since(renewed) >= s.lease {
				// Whoever else takes the lease now meets the same chain of files and the same positions; but two
				// writers of one log must not be.
				return fault.New(fault.Unavailable, "renew lease", "the lease on the log %s ran out", log.ID()).WithRetry(openAgain).WithCause(err)
			}
		}
	}
	return nil
}

// recordConfigs writes the control records that apply has left waiting: from its record on a version holds.
func (s *system) recordConfigs(ctx context.Context, in *ingest.Ingest) {
	type version struct {
		connector control.ConnectorID
		version   int
	}
	appended := map[version]bool{} // and not applied yet; the first record of a version counts, so twice is no harm
	for {
		pending, err := s.plane.store.PendingConfigs(ctx)
		var names map[uint32]string // of workspaces
		if err == nil && len(pending) > 0 {
			names, err = s.plane.workspaceNames(ctx)
		}
		for _, c := range pending {
			v := version{c.Connector, c.Version}
			if err != nil || appended[v] {
				continue
			}
			_, err = in.AppendControl(ctx, c.Workspace, control.EncodeRecord(control.Record{Kind: control.RecordConfig, Config: &c}))
			if err == nil {
				appended[v] = true
				s.logger.Info("configuration recorded", "workspace", names[c.Workspace], "connector", c.Name, "version", c.Version)
			}
		}
		if err != nil && ctx.Err() == nil {
			s.logger.Error("configurations wait for their control records", "error", err)
		}
		if len(pending) == 0 {
			clear(appended)
		}
		if !sleep(ctx, recordEvery) {
			return
		}
	}
}

// awaitReady waits until the log is ours. What fails on the way is run's to report: ctx ends by it, or the limit.
func (s *system) awaitReady(ctx context.Context) error {
	for began := time.Now(); s.working.Load() == nil; {
		if time.Since(began) > drainLimit {
			return s.waiting.Load()
		}
		if !sleep(ctx, 10*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}

// drain waits until every lane has gathered all that the log holds. For those that are paused or failing nobody waits;
// they are given.
func (s *system) drain(ctx context.Context) (held []delivery.Status, err error) {
	w := s.working.Load()
	if w == nil {
		return nil, nil
	}
	for began := time.Now(); time.Since(began) < drainLimit; {
		_, head := w.log.Bounds()
		behind := false
		held = nil
		for _, st := range w.delivery.Status() {
			if st.State == control.LanePaused || st.State == control.LaneFailing {
				held = append(held, st)
			} else {
				behind = behind || st.Read < head
			}
		}
		if !behind {
			return held, nil
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return held, ctx.Err()
		}
	}
	return held, nil // what is missing then is counted
}

func (s *system) ingestHooks() ingest.Hooks {
	return ingest.Hooks{
		OnAccepted: func(_ control.Grant, events, _ int) { s.meters.accepted.Add(float64(events)) },
		OnRejected: func(_ control.Grant, code string, events int) {
			s.meters.rejected.WithLabelValues(code).Add(float64(events))
		},
		OnIgnored:  func(_ control.Grant, fields int) { s.meters.ignored.Add(float64(fields)) },
		OnRefused:  func(_ control.Grant, code fault.Code, _ int) { s.meters.refused.WithLabelValues(string(code)).Inc() },
		OnReplayed: func(control.Grant) { s.meters.replayed.Inc() },
	}
}

func (s *system) logHooks() segment.Hooks {
	return segment.Hooks{
		OnSync: func(d time.Duration, bytes, _ int) {
			s.meters.fsync.Observe(d.Seconds())
			s.meters.appended.Add(float64(bytes))
		},
		OnFail:   func(err error) { s.logger.Error("log: a write failed; going on in a new segment", "error", err) },
		OnDamage: func(err *fault.Error) { s.logger.Error("log: damage found", "error", err) },
		OnTrim: func(start eventlog.Offset, bytes int64) {
			s.logger.Info("log: trimmed", "start", int64(start), "bytes", bytes)
		},
	}
}

// deliveryHooks is what delivery tells: the metrics, the log, and by wake whoever sends notices.
func (s *system) deliveryHooks(wake func()) delivery.Hooks {
	m := s.meters
	return delivery.Hooks{
		OnDelivered: func(row control.LaneRow, f control.File, took time.Duration) {
			m.delivered(row, f, took)
			s.logger.Debug("file delivered", "workspace", row.WorkspaceName, "connector", row.Name, "key", f.Key, "events", f.Events, "bytes", f.Size, "cut", f.Cut, "took", took)
		},
		OnNotice:  func(control.Notice) { wake() },
		OnRetry:   m.retried,
		OnParked:  m.park,
		OnDropped: m.drop,
		OnForeign: func(row control.LaneRow, _ string) { m.foreign.WithLabelValues(lane(row)...).Inc() },
	}
}

// newNotifier makes what tells people. Without a mail server it calls webhooks only.
func (s *system) newNotifier() (*notify.Notifier, error) {
	from, err := s.sender()
	if err != nil {
		return nil, err
	}
	return notify.New(notify.Config{
		SMTPURL: s.cfg.Mail.SMTPURL, From: from, BaseURL: s.URL, Quiet: s.cfg.Mail.Quiet, Installation: s.cfg.Delivery.Cluster,
	}, notify.Deps{
		Store: s.plane.store, Dial: s.plane.guard.DialContext, Link: s.links.Of, Logger: s.logger,
		Hooks: notify.Hooks{
			OnSent:   func(x control.Send) { s.meters.sent.WithLabelValues(string(x.Channel)).Inc() },
			OnFailed: func(x control.Send, _ error) { s.meters.unsent.WithLabelValues(string(x.Channel)).Inc() },
		},
	})
}

// sender is from whom mails come.
func (s *system) sender() (string, error) {
	if s.cfg.Mail.From != "" {
		return s.cfg.Mail.From, nil
	}
	if u, err := url.Parse(s.cfg.Server.BaseURL); err == nil && u.Hostname() != "" {
		return "millrace@" + u.Hostname(), nil
	}
	host, err := os.Hostname()
	return "millrace@" + host, fault.From(err, fault.Internal, "ask for the host's name")
}

// newLogger makes the process's log.
func newLogger(cfg *config.Config, c *Console) *slog.Logger {
	opt := &slog.HandlerOptions{Level: cfg.Logging.Level}
	if cfg.Logging.Format == "json" {
		opt.ReplaceAttr = millisByName
		return slog.New(slog.NewJSONHandler(c.Err, opt))
	}
	return slog.New(slog.NewTextHandler(c.Err, opt))
}

// millisByName says in a duration's name what its number counts: in JSON it would be a bare number of nanoseconds.
func millisByName(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindDuration {
		return a
	}
	return slog.Float64(a.Key+"_ms", float64(a.Value.Duration())/float64(time.Millisecond))
}

// ownerName names the data folder dir, which is data, towards the lease: by machine, path, and a word drawn for the folder,
// since containers have the first two in common. It is the same after a restart, so that a process that was killed does not
// have to wait for its own lease. The caller holds the folder's lock.
func ownerName(dir string, data vfs.FS) (string, error) {
	const op = "name the owner of the lease"
	host, err := os.Hostname()
	if err != nil {
		return "", fault.From(err, fault.Internal, op)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", fault.From(err, fault.Internal, op)
	}
	word, err := vfs.ReadFile(data, ownerFileName, 1<<10)
	if fault.Is(err, fault.NotFound) {
		word = []byte(crand.Text())
		err = vfs.WriteFile(data, ownerFileName, word)
	}
	return host + ":" + dir + ":" + string(word), fault.Wrap(err, op)
}

// leastQuota is a log that takes anything worth the name: what the setting itself may be at least.
const leastQuota = 64 << 20

// defaultQuota is half of the disk that the log lies on, whoever uses the rest.
func defaultQuota(folder vfs.FS) (int64, error) {
	if err := folder.MkdirAll("."); err != nil {
		return 0, err
	}
	total, err := folder.Total()
	return max(total/2, leastQuota), err
}
