package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/event/sample"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

const (
	benchBucket = "bench"
	benchKeyID  = "AKIABENCH"
	benchSecret = "bench-secret-access-key"

	// benchPatience is how long nothing may be delivered before a run gives up: some flush intervals, and the
	// longest pause between two attempts after an outage.
	benchPatience = 2 * time.Minute
)

// rig is what one run of a bench stands on: a fresh folder, an S3 server in this process, and the program that is
// measured as a process of its own.
type rig struct {
	c         *Console
	scenario  scenario
	seed      uint64
	environ   []string // of the bench
	catalogue *event.Catalogue

	dir    string
	bucket string // where the S3 server keeps its objects
	shop   *shop
	away   atomic.Bool // the bucket

	child   *exec.Cmd
	said    bytes.Buffer
	ended   chan struct{}
	address string
	keys    []string
	silent  bool // what is measured is the floor

	// delivered asks the program how much has arrived in the bucket, counted once for each connector.
	delivered func(context.Context) (files, events int64, err error)
}

// runBench plays a scenario to a server of its own, or to the program floor if that is not empty.
func runBench(ctx context.Context, c *Console, s scenario, cmd Bench, environ []string, floor string) (m Measured, err error) {
	r := &rig{c: c, scenario: s, seed: cmd.Seed, environ: environ, dir: filepath.Join(cmd.Dir, fmt.Sprintf("millrace-bench-%d", os.Getpid()))}
	r.bucket = filepath.Join(r.dir, "bucket")
	if cmd.BucketDir != "" {
		r.bucket = filepath.Join(cmd.BucketDir, filepath.Base(r.dir))
	}
	for _, dir := range []string{r.dir, r.bucket} {
		folder, name := at(dir)
		if err := folder.MkdirAll(name); err != nil {
			return m, err
		}
		defer removeAll(folder, name) // what stays behind is named in the folder's list and harms nobody
	}
	if r.catalogue, err = event.NewCatalogue(nil); err != nil {
		return m, err
	}
	fsync, err := bareFsync(vfs.OS(r.dir), r.scenario.pause())
	if err != nil {
		return m, err
	}
	m.FsyncP50, m.FsyncP99 = ms(fsync[len(fsync)/2]), ms(fsync[len(fsync)*99/100])
	r.shop, err = openShop(shopConfig{
		dir: r.bucket, buckets: []string{benchBucket}, keyID: benchKeyID, key: benchSecret, listen: "127.0.0.1:0",
		fails: func(*http.Request) bucketserver.Fault {
			if r.away.Load() {
				return bucketserver.Fault{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable"}
			}
			return bucketserver.Fault{}
		},
	})
	if err != nil {
		return m, err
	}
	defer r.shop.close()
	if floor != "" {
		err = r.startFloor(ctx, floor)
	} else {
		var p *plane
		if p, err = r.startServer(ctx, &m); p != nil {
			defer p.Close() // only read by then
		}
	}
	if r.child != nil {
		defer func() { r.child.Process.Kill(); <-r.ended }() // the data folder is thrown away
	}
	if err != nil {
		return m, err
	}
	return m, r.measure(ctx, &m)
}

// startServer begins a server whose control plane and log are as the scenario says.
func (r *rig) startServer(ctx context.Context, m *Measured) (*plane, error) {
	metrics, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if r.address, err = freeAddress(); err != nil {
		return nil, err
	}
	own := []string{
		"MILLRACE_DATA_DIR=" + filepath.Join(r.dir, "data"), "MILLRACE_LISTEN=" + r.address, "MILLRACE_METRICS_LISTEN=" + metrics,
		"MILLRACE_ALLOWED_ENDPOINT_NETWORKS=127.0.0.0/8", "MILLRACE_LOG_LEVEL=warn",
		fmt.Sprintf("MILLRACE_PROFILES=%v", r.scenario.profiles),
	}
	p, err := loadPlane(ctx, Settings{Environ: own})
	if err != nil {
		return nil, err
	}
	env := map[string]string{"SECRET": benchSecret}
	for w := range r.scenario.workspaces {
		r.keys = append(r.keys, control.NewKey().Reveal())
		env[fmt.Sprintf("KEY%d", w)] = r.keys[w]
	}
	if r.scenario.logBefore > 0 {
		if err := r.fillLog(ctx, vfs.OS(filepath.Join(r.dir, "data", logFolder))); err != nil {
			return p, err
		}
	}
	if err := p.applyText(ctx, "bench.yaml", r.scenario.manifest(r.shop.url), env); err != nil {
		return p, err
	}
	self, err := os.Executable()
	if err != nil {
		return p, fault.From(err, fault.Internal, "find the program")
	}
	began := time.Now()
	// What the operator of the bench has set for the collector is measured too.
	for _, kv := range r.environ {
		if strings.HasPrefix(kv, "GO") || strings.HasPrefix(kv, "MILLRACE_MEMORY_BUDGET=") {
			own = append(own, kv)
		}
	}
	if err := r.start(exec.Command(self, "serve"), own); err != nil {
		return p, err
	}
	if err := r.awaitAnswer(ctx, "http://"+r.address+"/readyz"); err != nil {
		return p, err
	}
	m.StartSeconds = time.Since(began).Seconds()
	if err := p.awaitRecorded(ctx); err != nil {
		return p, err
	}
	r.delivered = p.deliveredSoFar
	return p, nil
}

// startFloor begins the program that does the least.
func (r *rig) startFloor(ctx context.Context, program string) (err error) {
	schemas := map[string]json.RawMessage{}
	for _, t := range r.catalogue.Types() {
		schemas[t.Name] = json.RawMessage(t.Newest().Avro)
	}
	b, err := json.Marshal(schemas)
	if err != nil {
		return fault.From(err, fault.Internal, "write the schemas down")
	}
	if err := vfs.WriteFile(vfs.OS(r.dir), "schemas.json", b); err != nil {
		return err
	}
	if r.address, err = freeAddress(); err != nil {
		return err
	}
	r.silent, r.keys = true, []string{"none"}
	child := exec.Command(program, "-schemas", filepath.Join(r.dir, "schemas.json"), "-listen", r.address, "-log", filepath.Join(r.dir, "floor.log"),
		"-s3", r.shop.url, "-bucket", benchBucket, "-key", benchKeyID, "-secret", benchSecret)
	if err := r.start(child, nil); err != nil {
		return err
	}
	flush := "http://" + r.address + "/flush"
	r.delivered = func(context.Context) (files, events int64, err error) {
		res, err := http.Get(flush)
		if err != nil {
			return 0, 0, fault.From(err, fault.Unavailable, "ask the floor")
		}
		defer res.Body.Close() // read to its end
		b, err := io.ReadAll(res.Body)
		if err == nil {
			_, err = fmt.Sscan(string(b), &files, &events)
		}
		return files, events, fault.From(err, fault.Internal, "ask the floor")
	}
	return r.awaitAnswer(ctx, flush)
}

func (r *rig) start(child *exec.Cmd, env []string) error {
	child.Env, child.Stdout, child.Stderr = env, &r.said, &r.said
	if err := child.Start(); err != nil {
		return fault.From(err, fault.Internal, "start "+child.Path)
	}
	r.child, r.ended = child, make(chan struct{})
	go func() { child.Wait(); close(r.ended) }()
	return nil
}

// awaitAnswer waits until url answers 200, at most half a minute, or the child ended.
func (r *rig) awaitAnswer(ctx context.Context, url string) error {
	for began := time.Now(); time.Since(began) < 30*time.Second; {
		res, err := http.Get(url)
		if err == nil {
			res.Body.Close() // the status is enough
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-r.ended:
			return fault.New(fault.Unavailable, "start what is measured", "it has ended:\n%s", r.said.String())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return fault.New(fault.Unavailable, "start what is measured", "it is not ready after 30 s")
}

// fillLog writes events of a workspace without connectors, which stay for replay.
func (r *rig) fillLog(ctx context.Context, folder vfs.FS) (err error) {
	if err := folder.MkdirAll("."); err != nil {
		return err
	}
	log, err := segment.Open(ctx, segment.Config{FS: folder, MaxBytes: 2 * r.scenario.logBefore})
	if err != nil {
		return err
	}
	maker, reader := sample.New(r.catalogue, r.seed, nil), event.NewReader(r.catalogue)
	batch := &eventlog.Batch{}
	batch.Reset(eventlog.Header{Workspace: 1 << 20, Kind: eventlog.Events})
	var record []byte
	for range 10_000 {
		var s *event.Schema
		var res event.Result
		if record, s, res = reader.Read(record[:0], maker.Append(nil), event.Options{}); len(res.Problems) > 0 {
			return fault.New(fault.Internal, "fill the log", "%v", res.Problems)
		}
		batch.Add(uint32(s.ID), record)
	}
	progress := r.c.bar("filling the log", size)
	defer progress.End()
	for done := int64(0); done < r.scenario.logBefore; done += int64(batch.Size()) {
		if _, err := log.Append(ctx, batch); err != nil {
			return err
		}
		progress.Set(done, r.scenario.logBefore)
	}
	return log.Close()
}

// play posts events at a rate and gives what came of it.
func (r *rig) play(ctx context.Context, events int64, rate float64) (played, error) {
	progress := r.c.bar("sending", thousands)
	defer progress.End()
	shape, _ := findShape(r.scenario.shape)
	return load{
		url: "http://" + r.address + "/v1/events", keys: r.keys, catalogue: r.catalogue, seed: r.seed, shape: shape, silent: r.silent,
		conns: r.scenario.connections, per: r.scenario.per, events: events, rate: rate,
		onProgress: func(acked int64) { progress.Set(acked, events) },
	}.run(ctx)
}

// await waits until that many events have been delivered.
func (r *rig) await(ctx context.Context, want int64) (files int64, err error) {
	progress := r.c.bar("delivering", thousands)
	defer progress.End()
	for last, moved := int64(-1), time.Now(); ; {
		files, events, err := r.delivered(ctx)
		if err != nil {
			return 0, err
		}
		progress.Set(events, want)
		switch {
		case events == want:
			return files, nil
		case events > want:
			return 0, fault.New(fault.Internal, "bench", "%d deliveries were due and %d made", want, events)
		case events != last:
			last, moved = events, time.Now()
		case time.Since(moved) > benchPatience:
			return 0, fault.New(fault.Internal, "bench", "%d deliveries are due and %d made, and nothing moves:\n%s", want, events, r.said.String())
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return 0, ctx.Err()
		}
	}
}

// measure plays the scenario.
func (r *rig) measure(ctx context.Context, m *Measured) error {
	pid := r.child.Process.Pid
	if err := r.watch(ctx, m); err != nil {
		return err
	}
	cpu0, err := cpuTime(pid)
	if err != nil {
		return err
	}
	disk0, err := diskBytes(pid)
	if err != nil {
		return err
	}
	others0, err := r.others()
	if err != nil {
		return err
	}
	began := time.Now()
	var p played
	if r.scenario.outage > 0 {
		p, err = r.playOutage(ctx, m)
	} else {
		p, err = r.play(ctx, r.scenario.events, r.scenario.rate)
	}
	if err != nil {
		return fault.Wrap(err, "bench")
	}
	if m.Files, err = r.await(ctx, p.Acked*r.scenario.copies()); err != nil {
		return err
	}
	m.DeliveredSeconds = time.Since(began).Seconds()
	cpu1, err := cpuTime(pid)
	if err != nil {
		return fault.New(fault.Internal, "bench", "the server ended by itself:\n%s", r.said.String())
	}
	disk1, err := diskBytes(pid)
	if err != nil {
		return err
	}
	others1, err := r.others()
	if err != nil {
		return err
	}
	m.OthersCores = max(0, (others1-others0).Seconds()/m.DeliveredSeconds)
	if m.PeakMemory, err = peakMemory(pid); err != nil {
		return err
	}
	inBucket, err := folderBytes(vfs.OS(r.bucket), benchBucket)
	if err != nil {
		return err
	}
	events := float64(p.Acked)
	m.Events, m.Repeated, m.EventsPerSecond = p.Acked, p.Repeated, p.Rate()
	m.P50, m.P99 = ms(p.Quantile(.5)), ms(p.Quantile(.99))
	m.CPUPerMillion = (cpu1 - cpu0).Seconds() / events * 1e6
	m.DiskPerEvent = float64(disk1-disk0) / events
	m.BucketPerEvent = float64(inBucket) / events / float64(r.scenario.copies())
	return nil
}

// others is the processor time that neither the bench nor what it measures has used.
func (r *rig) others() (time.Duration, error) {
	all, err := busyTime()
	if err != nil {
		return 0, err
	}
	for _, pid := range []int{os.Getpid(), r.child.Process.Pid} {
		own, err := cpuTime(pid)
		if err != nil {
			return 0, err
		}
		all -= own
	}
	return all, nil
}

// watch measures what the program costs while nothing comes.
func (r *rig) watch(ctx context.Context, m *Measured) error {
	if r.scenario.watch == 0 {
		return nil
	}
	if !sleep(ctx, 3*time.Second) { // what was begun at the start is over
		return ctx.Err()
	}
	cpu0, err := cpuTime(r.child.Process.Pid)
	if err != nil {
		return err
	}
	if !sleep(ctx, r.scenario.watch) {
		return ctx.Err()
	}
	cpu1, err := cpuTime(r.child.Process.Pid)
	m.IdleCores = (cpu1 - cpu0).Seconds() / r.scenario.watch.Seconds()
	return err
}

// playOutage plays a quiet load, takes the bucket away until the outage's events wait, gives it back, and plays the
// quiet load again while they are delivered.
func (r *rig) playOutage(ctx context.Context, m *Measured) (all played, err error) {
	quiet := (r.scenario.events - r.scenario.outage) / 2
	before, err := r.play(ctx, quiet, r.scenario.rate)
	if err != nil {
		return all, err
	}
	r.away.Store(true)
	waiting, err := r.play(ctx, r.scenario.outage, 0)
	if err != nil {
		return all, err
	}
	r.away.Store(false)
	backlog := before.Acked + waiting.Acked
	_, start, err := r.delivered(ctx)
	if err != nil {
		return all, err
	}
	began := time.Now()
	var caughtUp time.Duration
	var first time.Time // when the first file after the outage was there
	watched := make(chan error, 1)
	go func() {
		for {
			_, n, err := r.delivered(ctx)
			if first.IsZero() && n > start {
				first = time.Now()
			}
			if err != nil || n >= backlog {
				caughtUp = time.Since(first)
				watched <- err
				return
			}
			if time.Since(began) > 30*time.Minute || !sleep(ctx, 100*time.Millisecond) {
				watched <- fault.New(fault.Internal, "bench", "the backlog is not delivered")
				return
			}
		}
	}()
	during, err := r.play(ctx, r.scenario.events-r.scenario.outage-quiet, r.scenario.rate)
	if err = errors.Join(err, <-watched); err != nil {
		return all, err
	}
	m.CatchUpPerSecond = float64(backlog-start) / caughtUp.Seconds()
	m.QuietP99, m.CatchUpP99 = ms(before.Quantile(.99)), ms(during.Quantile(.99))
	all = waiting
	all.Acked, all.Repeated = backlog+during.Acked, before.Repeated+waiting.Repeated+during.Repeated
	return all, nil
}

// freeAddress gives a loopback address that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fault.From(err, fault.Unavailable, "find a free port")
	}
	defer l.Close() // nothing was accepted
	return l.Addr().String(), nil
}

// awaitRecorded waits until the control records of all connectors are in the log and applied: what is accepted from
// then on is for them.
func (p *plane) awaitRecorded(ctx context.Context) error {
	return p.awaitRecords(ctx, func(control.Config) bool { return true })
}

// awaitRecords is awaitRecorded of the connectors that are meant.
func (p *plane) awaitRecords(ctx context.Context, meant func(control.Config) bool) error {
	for began := time.Now(); time.Since(began) < 30*time.Second; {
		pending, err := p.store.PendingConfigs(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(pending, meant) {
			return nil
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
	return fault.New(fault.Unavailable, "wait for the connectors", "they are not in the log after 30 s")
}

// deliveredSoFar sums the whole ledger.
func (p *plane) deliveredSoFar(ctx context.Context) (files, events int64, err error) {
	rows, err := p.store.DeliveredCounts(ctx, control.LedgerFilter{})
	for _, r := range rows {
		files, events = files+r.Files, events+r.Events
	}
	return files, events, err
}
