package app

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// Bench measures what a million events cost on this machine.
type Bench struct {
	Events      int64   `default:"3000000" help:"How many events to send."`
	Per         int     `default:"1000" help:"Events in a request."`
	Connections int     `short:"c" default:"16" help:"Requests at once."`
	Rate        float64 `placeholder:"N" help:"Events a second; without it, as fast as answers come."`
	Dir         string  `placeholder:"DIR" help:"Where the fresh data folder is made, on the disk to measure; default: the current folder. It is removed at the end."`
	Seed        uint64  `default:"1" help:"Seed of the events."`
	JSON        bool    `name:"json" help:"As JSON."`
}

// Help teaches.
func (Bench) Help() string {
	return `A fresh server runs as a process of its own, with one connector that takes all types; producer and S3 server run in this process, so the figures are the server's alone: CPU time from the first request to the last file, and peak resident memory. Machines and their disks differ and share: compare runs of one sitting only.

The p99 of answers that counts is the one at a given rate:

    millrace bench --rate 50000 --per 100`
}

// Measured is the result of a bench.
type Measured struct {
	Events           int64   `json:"events"`
	CPUPerMillion    float64 `json:"cpu_seconds_per_million"`
	EventsPerSecond  float64 `json:"events_per_second"`
	DeliveredSeconds float64 `json:"delivered_after_seconds"`
	P50              float64 `json:"answer_p50_ms"`
	P99              float64 `json:"answer_p99_ms"`
	PeakMemory       int64   `json:"peak_memory_bytes"`
	FsyncP50         float64 `json:"bare_fsync_p50_ms"`
	FsyncP99         float64 `json:"bare_fsync_p99_ms"`
	Files            int64   `json:"files"`
	Repeated         int64   `json:"requests_repeated"`
}

const benchManifest = `workspaces:
  - name: bench
    api_keys:
      - {name: load, scopes: [events.write], secret_env: KEY}
    connectors:
      - name: all
        type: s3
        contact_email: bench@millrace.example
        destination: {bucket: bench, region: us-east-1, endpoint: %q, path_style: true, access_key_id: AKIABENCH, secret_access_key_env: SECRET}
        events: [all]
        codec: deflate
        flush: {interval: 10s, events: 15000}
`

// benchPatience is how long nothing may be delivered before the bench gives up: some flush intervals.
const benchPatience = time.Minute

// Run measures.
func (cmd Bench) Run(ctx context.Context, c *Console, s Settings) error {
	if cmd.Events < 1 || cmd.Per < 1 || cmd.Connections < 1 {
		return Usage("--events, --per and --connections are at least 1", "millrace bench --help shows how it is used")
	}
	parent := vfs.OS(filepath.Join(cmd.Dir, "."))
	name := fmt.Sprintf("millrace-bench-%d", os.Getpid())
	if err := parent.MkdirAll(name); err != nil {
		return err
	}
	defer removeAll(parent, name) // what stays behind is named in the folder's list and harms nobody
	dir := filepath.Join(cmd.Dir, name)

	catalogue, err := event.NewCatalogue(nil)
	if err != nil {
		return err
	}
	fsync, err := bareFsync(vfs.OS(dir))
	if err != nil {
		return err
	}
	shop, err := openShop(filepath.Join(dir, "bucket"), "bench", "AKIABENCH", "bench-secret-access-key", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer shop.close()

	listen, err := freeAddress()
	if err != nil {
		return err
	}
	metrics, err := freeAddress()
	if err != nil {
		return err
	}
	own := []string{
		"MILLRACE_DATA_DIR=" + filepath.Join(dir, "data"), "MILLRACE_LISTEN=" + listen, "MILLRACE_METRICS_LISTEN=" + metrics,
		"MILLRACE_ALLOWED_ENDPOINT_NETWORKS=127.0.0.0/8", "MILLRACE_LOG_LEVEL=warn",
	}
	p, err := loadPlane(ctx, Settings{Environ: own})
	if err != nil {
		return err
	}
	defer p.Close() // only read by then
	key := control.NewKey().Reveal()
	err = p.applyText(ctx, "bench.yaml", fmt.Sprintf(benchManifest, shop.url), map[string]string{"KEY": key, "SECRET": "bench-secret-access-key"})
	if err != nil {
		return err
	}

	self, err := os.Executable()
	if err != nil {
		return fault.From(err, fault.Internal, "find the program")
	}
	child := exec.Command(self, "serve")
	child.Env = own
	var said bytes.Buffer
	child.Stdout, child.Stderr = &said, &said
	if err := child.Start(); err != nil {
		return fault.From(err, fault.Internal, "start serve")
	}
	ended := make(chan struct{})
	go func() { child.Wait(); close(ended) }()
	defer func() { child.Process.Kill(); <-ended }() // the data folder is thrown away
	if err := awaitReady(ctx, "http://"+listen+"/readyz", ended); err != nil {
		return fault.New(fault.Unavailable, "start serve", "it does not become ready:\n%s", said.String()).WithCause(err)
	}
	if err := p.awaitRecorded(ctx); err != nil {
		return err
	}

	progress := c.bar("sending", thousands)
	began, moved := time.Now(), time.Now()
	cpu0, err := cpuTime(child.Process.Pid)
	if err != nil {
		return err
	}
	played, err := load{
		url: "http://" + listen + "/v1/events", key: key, catalogue: catalogue, seed: cmd.Seed,
		conns: cmd.Connections, per: cmd.Per, events: cmd.Events, rate: cmd.Rate,
		onProgress: func(acked int64) { progress.Set(acked, cmd.Events) },
	}.run(ctx)
	progress.End()
	if err != nil {
		return fault.Wrap(err, "bench")
	}
	progress = c.bar("delivering", thousands)
	defer progress.End()
	var files, events int64
	for last := int64(-1); events < played.Acked; {
		if files, events, err = p.deliveredSoFar(ctx); err != nil {
			return err
		}
		progress.Set(events, played.Acked)
		if events != last {
			last, moved = events, time.Now()
		} else if time.Since(moved) > benchPatience {
			return fault.New(fault.Internal, "bench", "%d events were acknowledged and %d delivered, and nothing moves:\n%s", played.Acked, events, said.String())
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
	progress.End()
	delivered := time.Since(began)
	cpu1, err := cpuTime(child.Process.Pid)
	if err != nil {
		return fault.New(fault.Internal, "bench", "the server ended by itself:\n%s", said.String())
	}
	peak, err := peakMemory(child.Process.Pid)
	if err != nil {
		return err
	}
	cpu := cpu1 - cpu0
	if events != played.Acked {
		return fault.New(fault.Internal, "bench", "%d events were acknowledged and %d delivered:\n%s", played.Acked, events, said.String())
	}
	m := Measured{
		Events: events, CPUPerMillion: cpu.Seconds() / float64(events) * 1e6, EventsPerSecond: played.Rate(),
		DeliveredSeconds: delivered.Seconds(), P50: ms(played.Quantile(.5)), P99: ms(played.Quantile(.99)),
		PeakMemory: peak, FsyncP50: ms(fsync[len(fsync)/2]), FsyncP99: ms(fsync[len(fsync)*99/100]), Files: files, Repeated: played.Repeated,
	}
	if cmd.JSON {
		return c.JSON(m)
	}
	c.Print("server, CPU seconds per million events  %.2f", m.CPUPerMillion)
	c.Print("events a second                         %s", thousands(int64(m.EventsPerSecond)))
	c.Print("answer to a request, p50 and p99        %.2f ms, %.2f ms", m.P50, m.P99)
	c.Print("server, peak resident memory            %s", size(m.PeakMemory))
	c.Print("bare fsync of this disk, p50 and p99    %.2f ms, %.2f ms", m.FsyncP50, m.FsyncP99)
	c.Print("%s events in %d files, %d requests repeated", thousands(m.Events), m.Files, m.Repeated)
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// bareFsync measures what the disk takes to make 4 KiB durable, sorted.
func bareFsync(folder vfs.FS) ([]time.Duration, error) {
	f, err := folder.Create("fsync")
	if err != nil {
		return nil, err
	}
	defer f.Close() // a file of zeros
	page := make([]byte, 4096)
	var took []time.Duration
	for range 200 {
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took, nil
}

// cpuTime is the processor time that a process has used. Source: proc_pid_stat(5), fields 14 and 15, in ticks of
// 1/100 s on every Linux that Go runs on.
func cpuTime(pid int) (time.Duration, error) {
	b, err := procFile(pid, "stat")
	if err != nil {
		return 0, err
	}
	// The name of the program, in brackets, may hold anything.
	fields := strings.Fields(b[strings.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0, fault.New(fault.Internal, "measure", "/proc/%d/stat is not as documented", pid)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fault.New(fault.Internal, "measure", "/proc/%d/stat is not as documented", pid)
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

// peakMemory is the most resident memory that a process ever had. Source: proc_pid_status(5), VmHWM in KiB.
func peakMemory(pid int) (int64, error) {
	b, err := procFile(pid, "status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(b) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			return n << 10, fault.From(err, fault.Internal, "measure")
		}
	}
	return 0, fault.New(fault.Internal, "measure", "/proc/%d/status has no VmHWM", pid)
}

// procFile reads a file of /proc, whose size the system gives as 0.
func procFile(pid int, name string) (string, error) {
	f, err := vfs.OS(fmt.Sprintf("/proc/%d", pid)).Open(name)
	if err != nil {
		return "", fault.Wrap(err, "measure (only Linux tells)")
	}
	defer f.Close() // read only
	b := make([]byte, 16<<10)
	n, err := f.ReadAt(b, 0)
	if n == 0 {
		return "", fault.Wrap(err, "measure")
	}
	return string(b[:n]), nil
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

// awaitReady waits until url answers 200, at most half a minute, or ended.
func awaitReady(ctx context.Context, url string, ended <-chan struct{}) error {
	for began := time.Now(); time.Since(began) < 30*time.Second; {
		res, err := http.Get(url)
		if err == nil {
			res.Body.Close() // the status is enough
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ended:
			return fault.New(fault.Unavailable, "wait for the server", "the process has ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fault.New(fault.Unavailable, "wait for the server", "it is not ready after 30 s")
}

// awaitRecorded waits until the control records of all connectors are in the log and applied: what is accepted from
// then on is for them.
func (p *plane) awaitRecorded(ctx context.Context) error {
	for began := time.Now(); time.Since(began) < 30*time.Second; {
		pending, err := p.store.PendingConfigs(ctx)
		if err != nil {
			return err
		}
		if len(pending) == 0 {
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

// removeAll takes a folder away with everything in it.
func removeAll(folder vfs.FS, name string) error {
	entries, err := folder.List(name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		child := name + "/" + e.Name
		if e.Dir {
			err = removeAll(folder, child)
		} else {
			err = folder.Remove(child)
		}
		if err != nil {
			return err
		}
	}
	return folder.Remove(name)
}
