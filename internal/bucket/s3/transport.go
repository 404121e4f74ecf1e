package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"
)

// The time-outs of one connection. The caller's context bounds an attempt as a whole.
const (
	connectTimeout = 10 * time.Second
	idleTimeout    = 30 * time.Second
	maxIdle        = 64 // connections; more at once are opened and closed
)

// transport makes the HTTP transport of one bucket, or of STS.
func (o *Opener) transport(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // S3 speaks nothing newer
	t := &http.Transport{
		// No proxy: it would connect in the guard's place.
		DialContext:           dial,
		Protocols:             protocols,
		TLSHandshakeTimeout:   connectTimeout,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       idleTimeout,
		MaxIdleConns:          maxIdle,
		MaxIdleConnsPerHost:   maxIdle,
		DisableCompression:    true,
		WriteBufferSize:       64 << 10, // bodies are large: fewer, longer writes
	}
	if o.cfg.TLS != nil {
		t.TLSClientConfig = o.cfg.TLS.Clone()
	}
	return t
}

// maxAnswer bounds how much of an error's body is read. Errors of S3 have a few hundred bytes.
const maxAnswer = 64 << 10

// regionHeader is where S3 names a bucket's region, most of the time.
const regionHeader = "X-Amz-Bucket-Region"

// door sends requests, once each, and makes two oddities of the protocol plain before the SDK sees the answer:
// success with an error inside becomes an error, and a region that only the body names gets into the header.
// It never follows a redirect, since that would lead around the guard and sign for another host.
type door struct{ transport *http.Transport }

func (d *door) Do(req *http.Request) (*http.Response, error) {
	// The SDK leaves the version open, and the transport then sends "Expect: 100-continue" without waiting: a large
	// body would run into the refusal, and the reset that follows would hide it.
	req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/1.1", 1, 1
	if req.Method == http.MethodPut && req.Body != nil {
		var u *upload
		req, u = listening(req)
		defer close(u.over)
	}
	resp, err := d.transport.RoundTrip(req)
	if err != nil || req.Method == http.MethodHead {
		return resp, err
	}
	ok := resp.StatusCode < 300
	if ok && (req.Method != http.MethodPut || resp.ContentLength == 0) {
		return resp, nil
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	_ = resp.Body.Close() // nothing more is wanted from it
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	var e struct {
		XMLName xml.Name
		Region  string `xml:"Region"`
	}
	if len(answer) == 0 || xml.Unmarshal(answer, &e) != nil || e.XMLName.Local != "Error" {
		return resp, nil // not the store's words: the status speaks
	}
	if ok {
		resp.StatusCode = http.StatusInternalServerError
	}
	if e.Region != "" && resp.Header.Get(regionHeader) == "" {
		resp.Header.Set(regionHeader, e.Region)
	}
	return resp, nil
}

// errAnswered ends an upload whose answer came before its end.
var errAnswered = errors.New("the store answered before it had the whole body")

// holdLimit is how long an upload waits for the answer that has begun to be read as a whole.
const holdLimit = time.Second

// upload is a body that is no longer sent once an answer begins to arrive: an answer ahead of the body's end is a
// refusal, and what is sent into it ends in a reset that hides the refusal behind an error of the network.
type upload struct {
	io.ReadCloser
	heard atomic.Bool
	more  chan struct{} // closed: what was heard was only an interim answer, such as 100 Continue
	once  sync.Once     // closes more
	over  chan struct{} // closed: the answer has been read
}

// listening gives req with a body that stops when an answer comes. The caller closes over.
func listening(req *http.Request) (*http.Request, *upload) {
	u := &upload{ReadCloser: req.Body, more: make(chan struct{}), over: make(chan struct{})}
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotFirstResponseByte: func() { u.heard.Store(true) },
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			u.heard.Store(false)
			u.once.Do(func() { close(u.more) })
			return nil
		},
	}))
	req.Body = u
	return req, u
}

func (u *upload) Read(p []byte) (int, error) {
	if u.heard.Load() {
		// The limit is for an answer that breaks off: the transport waits for this very call then.
		t := time.NewTimer(holdLimit)
		defer t.Stop()
		select {
		case <-u.more:
		case <-u.over:
			return 0, errAnswered
		case <-t.C:
			return 0, errAnswered
		}
	}
	return u.ReadCloser.Read(p)
}
