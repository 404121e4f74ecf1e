package httpd

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/millrace/millrace/internal/fault"
)

// Check is one condition of readiness.
type Check struct {
	Name  string
	Probe func(context.Context) error // nil: ready; its English message is shown to whoever asks
}

// Probes answers /healthz and /readyz. The nil Probes is always ready.
type Probes struct {
	checks   []Check
	draining atomic.Bool
}

// probeLimit is how long all checks together may take.
const probeLimit = 2 * time.Second

// NewProbes makes probes that are ready while each check is.
func NewProbes(checks ...Check) *Probes { return &Probes{checks: checks} }

// Drain makes readiness fail from now on.
func (p *Probes) Drain() {
	if p != nil {
		p.draining.Store(true)
	}
}

// Healthy answers 200 as long as the process can answer at all.
func (p *Probes) Healthy(w http.ResponseWriter, r *http.Request) {
	WriteJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

// CheckResult is what one check says, in the answer of /readyz.
type CheckResult struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// Ready runs all checks and answers 200 if each passes, else 503; both with the list of them.
func (p *Probes) Ready(w http.ResponseWriter, r *http.Request) {
	out := struct {
		Ready  bool          `json:"ready"`
		Checks []CheckResult `json:"checks"`
	}{true, []CheckResult{}}
	if p != nil {
		ctx, cancel := context.WithTimeout(r.Context(), probeLimit)
		defer cancel()
		if p.draining.Load() {
			out.Ready = false
			out.Checks = append(out.Checks, CheckResult{Name: "serving", Error: "The server is stopping."})
		}
		for _, c := range p.checks {
			res := CheckResult{Name: c.Name, OK: true}
			if err := c.Probe(ctx); err != nil {
				res = CheckResult{Name: c.Name, Error: sentence(err), Hint: fault.HintOf(err)}
				out.Ready = false
			}
			out.Checks = append(out.Checks, res)
		}
	}
	if q := of(r); q != nil {
		q.probe = true
	}
	status := http.StatusOK
	if !out.Ready {
		status = http.StatusServiceUnavailable
	}
	WriteJSON(w, status, out)
}

// sentence is what may be shown of err: never its cause, which may name what is nobody's business.
func sentence(err error) string {
	if e := fault.As(err); e != nil && e.Message() != "" {
		return e.Message()
	}
	return means(fault.CodeOf(err))
}

// Register adds /healthz and /readyz to mux.
func (p *Probes) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", p.Healthy)
	mux.HandleFunc("GET /readyz", p.Ready)
}

// Operation is the handler for the operator's own address: /metrics of g, /healthz and /readyz.
func Operation(g prometheus.Gatherer, p *Probes) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	p.Register(mux)
	mux.HandleFunc("/", NotFound)
	return mux
}
