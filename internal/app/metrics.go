package app

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/eventlog"
)

// metric is one row of the table of metrics, from which they are made and documented.
type metric struct {
	name   string
	kind   string // counter, gauge, histogram
	labels string // separated by blanks
	help   string
}

// of a lane: whose, which, and which of its destinations.
const laneLabels = "workspace connector destination"

// The metrics. Durations are seconds, sizes bytes, times seconds since 1970.
var (
	mAccepted   = metric{"millrace_ingest_accepted_events_total", "counter", "", "Events acknowledged to producers."}
	mRejected   = metric{"millrace_ingest_rejected_events_total", "counter", "code", "Events rejected, by the code that producers are told."}
	mIgnored    = metric{"millrace_ingest_ignored_fields_total", "counter", "", "Fields that accepted events had and their types have not, dropped where the workspace says unknown_fields: ignore."}
	mRefused    = metric{"millrace_ingest_refused_requests_total", "counter", "code", "Requests that were refused whole, by the code that producers are told."}
	mReplayed   = metric{"millrace_ingest_replayed_requests_total", "counter", "", "Requests that were answered again for their Idempotency-Key and appended nothing."}
	mRequests   = metric{"millrace_ingest_requests_total", "counter", "status", "Requests with events, by the status of the answer."}
	mFsync      = metric{"millrace_eventlog_fsync_seconds", "histogram", "", "How long making a batch of commits durable took."}
	mAppended   = metric{"millrace_eventlog_appended_bytes_total", "counter", "", "Bytes made durable in the log."}
	mLogBytes   = metric{"millrace_eventlog_size_bytes", "gauge", "", "What the log occupies on disk."}
	mLogLimit   = metric{"millrace_eventlog_limit_bytes", "gauge", "", "What it may occupy; at the limit producers get 503."}
	mLogWindow  = metric{"millrace_eventlog_idempotency_window_seconds", "gauge", "", "How far back a repeated Idempotency-Key is really recognised."}
	mLogOldest  = metric{"millrace_eventlog_oldest_timestamp_seconds", "gauge", "", "When the oldest event was accepted that can still be replayed."}
	mLogHead    = metric{"millrace_eventlog_head_offset", "gauge", "", "Offset after the last durable event."}
	mLogHealthy = metric{"millrace_eventlog_healthy", "gauge", "", "1 while the log takes events and has found no damage, else 0."}
	mLag        = metric{"millrace_delivery_lag_events", "gauge", laneLabels, "Events accepted and not yet in the bucket. What has not been looked at yet counts for every connector, so it is an upper bound."}
	mLagSeconds = metric{"millrace_delivery_lag_seconds", "gauge", laneLabels, "Age of the oldest event that is not yet in the bucket."}
	mHeld       = metric{"millrace_delivery_held_bytes", "gauge", laneLabels, "Bytes of events that are gathered and not yet delivered, before compression."}
	mMemory     = metric{"millrace_delivery_memory_bytes", "gauge", "", "Memory that gathered events of all connectors take together, as the budget counts it."}
	mState      = metric{"millrace_delivery_state", "gauge", laneLabels + " state", "1 for the state that the connector is in: active, retrying, failing, paused."}
	mLastFile   = metric{"millrace_delivery_last_success_timestamp_seconds", "gauge", laneLabels, "When the last file was delivered."}
	mFiles      = metric{"millrace_delivery_files_total", "counter", laneLabels + " cut", "Files delivered, by what closed them: count, age, hour, memory, shutdown …"}
	mEvents     = metric{"millrace_delivery_events_total", "counter", laneLabels, "Events delivered."}
	mBytes      = metric{"millrace_delivery_bytes_total", "counter", laneLabels, "Bytes of delivered files."}
	mPut        = metric{"millrace_delivery_put_seconds", "histogram", "", "From the first try to write a file to its answer."}
	mRetries    = metric{"millrace_delivery_retries_total", "counter", laneLabels + " problem", "Failed attempts, by problem."}
	mParked     = metric{"millrace_delivery_parked_total", "counter", laneLabels + " problem", "How often a connector stopped for an error that only its owner can mend."}
	mDropped    = metric{"millrace_delivery_dropped_events_total", "counter", laneLabels + " reason", "Events lost by rule; each is in the ledger. Ranges of unknown size are not counted."}
	mForeign    = metric{"millrace_delivery_foreign_objects_total", "counter", laneLabels, "Objects of a stranger found under our keys, and left alone."}
	mCertUntil  = metric{"millrace_httpd_certificate_expiry_timestamp_seconds", "gauge", "", "Until when the TLS certificate in use is valid; 0 without TLS."}
	mCertBroken = metric{"millrace_httpd_certificate_refused", "gauge", "", "1 while the files of certificate and key hold a pair that cannot be used, so that the one before is kept; else 0."}
	mPeopleSecs = metric{"millrace_profile_lag_seconds", "gauge", "", "How long at least the oldest event has waited that is not yet in profiles and statistics."}
	mPeopleHalt = metric{"millrace_profile_stands_still", "gauge", "", "1 while events wait for profiles and statistics and none has been taken up for five minutes, else 0."}
	mApplied    = metric{"millrace_profile_applied_events_total", "counter", "", "Events taken up in profiles and statistics."}
	mSetAside   = metric{"millrace_profile_set_aside_total", "counter", "", "Events that could not be taken up and were set aside, and ranges that the log no longer held."}
	mSent       = metric{"millrace_notify_sent_total", "counter", "channel", "Mails and calls of webhooks that were accepted."}
	mUnsent     = metric{"millrace_notify_failed_tries_total", "counter", "channel", "Tries to send a mail or to call a webhook that failed; most are repeated."}
)

func metricTable() []metric {
	return []metric{mAccepted, mRejected, mIgnored, mRefused, mReplayed, mRequests, mFsync, mAppended, mLogBytes, mLogLimit, mLogWindow, mLogOldest, mLogHead, mLogHealthy,
		mLag, mLagSeconds, mHeld, mMemory, mState, mLastFile, mFiles, mEvents, mBytes, mPut, mRetries, mParked, mDropped, mForeign, mCertUntil, mCertBroken, mPeopleSecs, mPeopleHalt, mApplied, mSetAside, mSent, mUnsent}
}

// MetricsMarkdown is the page of all metrics, for docs/metrics.md.
func MetricsMarkdown() string {
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- Generated from internal/app/metrics.go; a test compares. -->

` + "`/metrics` on `metrics_listen`" + ` serves them in Prometheus' text format, together with those of the Go runtime and the
process. Counters begin at 0 when the process starts. *workspace* and *connector* are names, *destination* counts
the places that a connector has been pointed to, from 1.

| name | kind | labels | what it is |
|---|---|---|---|
`)
	for _, m := range metricTable() {
		labels := "—"
		if m.labels != "" {
			labels = strings.ReplaceAll(m.labels, " ", ", ")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, labels, m.help)
	}
	return b.String()
}

func (m metric) desc() *prometheus.Desc {
	return prometheus.NewDesc(m.name, m.help, strings.Fields(m.labels), nil)
}

// meters is what the rooms' callbacks write.
type meters struct {
	accepted, ignored                 prometheus.Counter
	applied, setAside                 prometheus.Counter
	replayed, appended                prometheus.Counter
	rejected, refused, requests       *prometheus.CounterVec
	fsync, put                        prometheus.Histogram
	files, events, bytes              *prometheus.CounterVec
	retries, parked, dropped, foreign *prometheus.CounterVec
	sent, unsent                      *prometheus.CounterVec
	certUntil, certBroken             prometheus.Gauge
}

// newMeters makes the metrics and registers them.
func newMeters(r prometheus.Registerer) *meters {
	counter := func(m metric) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: m.name, Help: m.help})
		r.MustRegister(c)
		return c
	}
	gauge := func(m metric) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: m.name, Help: m.help})
		r.MustRegister(g)
		return g
	}
	vec := func(m metric) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.name, Help: m.help}, strings.Fields(m.labels))
		r.MustRegister(c)
		return c
	}
	histogram := func(m metric, from float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: m.name, Help: m.help, Buckets: prometheus.ExponentialBuckets(from, 2, 16)})
		r.MustRegister(h)
		return h
	}
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &meters{
		accepted: counter(mAccepted), ignored: counter(mIgnored), replayed: counter(mReplayed), appended: counter(mAppended),
		applied: counter(mApplied), setAside: counter(mSetAside),
		rejected: vec(mRejected), refused: vec(mRefused), requests: vec(mRequests),
		fsync: histogram(mFsync, 50e-6), put: histogram(mPut, 1e-3),
		files: vec(mFiles), events: vec(mEvents), bytes: vec(mBytes),
		retries: vec(mRetries), parked: vec(mParked), dropped: vec(mDropped), foreign: vec(mForeign),
		sent: vec(mSent), unsent: vec(mUnsent),
		certUntil: gauge(mCertUntil), certBroken: gauge(mCertBroken),
	}
}

func lane(row control.LaneRow, more ...string) []string {
	return append([]string{row.WorkspaceName, row.Name, fmt.Sprint(row.Lane.Destination)}, more...)
}

func (m *meters) certificate(until time.Time, err error) {
	m.certUntil.Set(float64(until.Unix()))
	m.certBroken.Set(0)
	if err != nil {
		m.certBroken.Set(1)
	}
}

func (m *meters) delivered(row control.LaneRow, f control.File, took time.Duration) {
	m.files.WithLabelValues(lane(row, f.Cut)...).Inc()
	m.events.WithLabelValues(lane(row)...).Add(float64(f.Events))
	m.bytes.WithLabelValues(lane(row)...).Add(float64(f.Size))
	m.put.Observe(took.Seconds())
}

func (m *meters) retried(row control.LaneRow, err error) {
	m.retries.WithLabelValues(lane(row, string(bucket.ProblemOf(err)))...).Inc()
}

func (m *meters) park(row control.LaneRow, err error) {
	m.parked.WithLabelValues(lane(row, string(bucket.ProblemOf(err)))...).Inc()
}

func (m *meters) drop(row control.LaneRow, d control.Drop) {
	m.dropped.WithLabelValues(lane(row, string(d.Reason))...).Add(float64(max(0, d.Events)))
}

// gauges asks the log and the lanes when somebody looks.
type gauges struct {
	log    eventlog.Log
	status func() []delivery.Status
	memory func() int64
	people func(now time.Time) (client.ProfileLag, bool)
	now    func() time.Time
}

// Describe names what Collect gives.
func (g gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range []metric{mLogBytes, mLogLimit, mLogWindow, mLogOldest, mLogHead, mLogHealthy, mLag, mLagSeconds, mHeld, mMemory, mState, mLastFile, mPeopleSecs, mPeopleHalt} {
		ch <- m.desc()
	}
}

// Collect reads the values.
func (g gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(m metric, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(m.desc(), prometheus.GaugeValue, v, labels...)
	}
	u := g.log.Usage()
	_, head := g.log.Bounds()
	gauge(mLogBytes, float64(u.Bytes))
	gauge(mLogLimit, float64(u.MaxBytes))
	gauge(mLogWindow, u.Window.Seconds())
	if !u.Oldest.IsZero() {
		gauge(mLogOldest, float64(u.Oldest.UnixMilli())/1000)
	}
	gauge(mLogHead, float64(head))
	healthy := 1.0
	if g.log.Health() != nil {
		healthy = 0
	}
	gauge(mLogHealthy, healthy)
	gauge(mMemory, float64(g.memory()))
	age := func(t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return max(0, g.now().Sub(t).Seconds())
	}
	if p, known := g.people(g.now()); known {
		still := 0.0
		if p.StandsStill {
			still = 1
		}
		gauge(mPeopleSecs, p.Seconds)
		gauge(mPeopleHalt, still)
	}
	for _, s := range g.status() {
		labels := lane(s.Row)
		gauge(mLag, float64(s.Waiting+max(0, int64(head-s.Read))), labels...)
		gauge(mLagSeconds, age(s.Oldest), labels...)
		gauge(mHeld, float64(s.Held), labels...)
		gauge(mState, 1, lane(s.Row, string(s.State))...)
		if !s.LastFile.IsZero() {
			gauge(mLastFile, float64(s.LastFile.UnixMilli())/1000, labels...)
		}
	}
}
