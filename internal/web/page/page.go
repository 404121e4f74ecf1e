package page

import (
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// Config is what the installation decides.
type Config struct {
	Components bool // shows /_components, for whoever works on pages
}

// Deps are what pages are made from.
type Deps struct {
	// API answers what pages ask. A page asks as the browser that visits it, the same addresses with the same rights
	// that scripts ask: so it can do nothing that a script cannot, and shows nobody what the API does not.
	API     http.Handler
	Logger  *slog.Logger
	BaseURL func() string    // under which programs reach this server
	Now     func() time.Time // nil: time.Now
}

// pages answers the addresses of the table.
type pages struct {
	cfg     Config
	deps    Deps
	look    *look
	answers answers
	mux     *http.ServeMux
	kept    keptForms
}

// page is one row of the table.
type page struct {
	pattern string // as http.ServeMux has it; {workspace} is the id of one that the visitor may see
	open    bool   // for who is not signed in too
	do      func(v *visit) error
}

// New gives what answers every address that is not the API's. Errors: internal, if a template is wrong.
func New(cfg Config, deps Deps) (http.Handler, error) {
	l, err := newLook()
	if err != nil {
		return nil, fault.From(err, fault.Internal, "read the templates of pages")
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	p := &pages{cfg: cfg, deps: deps, look: l, answers: answers{all: map[[sha256.Size]byte]*answering{}},
		kept: keptForms{all: map[string]keptForm{}}}
	mux := http.NewServeMux()
	p.mux = mux
	for _, row := range p.table() {
		mux.Handle(row.pattern, p.serve(row))
	}
	mux.HandleFunc("GET "+assetPrefix, l.serveAsset)
	mux.Handle("/", p.serve(page{open: true, do: nothingHere}))
	return mux, nil
}

// shows reports whether there is a page at a path.
func (p *pages) shows(path string) bool {
	_, pattern := p.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}})
	return pattern != "/"
}

// maxForm is the largest form that is read, in bytes.
const maxForm = 1 << 20

// nothingHere answers addresses that do not exist.
func nothingHere(*visit) error {
	return &fault.Error{Code: fault.NotFound, Msg: fault.Message{Key: "page.nothing_here", Text: "There is nothing at this address."}}
}

// table is every page there is.
func (p *pages) table() []page {
	var rows []page
	for _, part := range [][]page{enterPages(), homePages(), noticePages(), currentPages(), partnerPages(), exportPages(), reportPages(), segmentPages(), personPages(), campaignPages(), eventPages(), memberPages(), mePages(), installationPages()} {
		rows = append(rows, part...)
	}
	if p.cfg.Components {
		rows = append(rows, page{"GET /_components", true, func(v *visit) error {
			v.show(http.StatusOK, "components", components(v.now))
			return nil
		}})
	}
	return rows
}

// serve answers the address of one row.
func (p *pages) serve(row page) http.Handler {
	answer := func(w http.ResponseWriter, r *http.Request) {
		v := p.newVisit(w, r)
		err := v.enter(row.open)
		if err == nil {
			err = row.do(v)
		}
		if v.elsewhere(err) {
			err = row.do(v)
		}
		if err != nil {
			v.refuse(err)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		p.answers.serve(w, r, row.open, p.deps.Now, answer)
	})
}
