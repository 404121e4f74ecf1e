package httpd

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// newPair makes a certificate of 127.0.0.1 and its key, as PEM.
func newPair(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// files is a pair that can be replaced, and what was told of it.
type files struct {
	mu        sync.Mutex
	cert, key []byte
	err       error
	reads     int
	told      []error
	logs      bytes.Buffer
}

func (f *files) put(cert, key []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cert, f.key, f.err = cert, key, nil
}

func (f *files) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = errors.New("no such file")
}

func (f *files) read() (cert, key []byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	return f.cert, f.key, f.err
}

func (f *files) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logs.Write(p)
}

// looked waits until the pair was read three times more: then what stands there now has been dealt with.
func (f *files) looked(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	from := f.reads
	f.mu.Unlock()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		n := f.reads
		f.mu.Unlock()
		if n >= from+3 {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("nobody looks for another certificate")
		}
	}
}

// serveTLS runs a server with f's certificate.
func serveTLS(t *testing.T, f *files) *Server {
	t.Helper()
	s, err := Open(Config{Listen: "127.0.0.1:0", TLS: f.read, TLSEvery: time.Millisecond}, http.HandlerFunc(NotFound), nil,
		slog.New(slog.NewTextHandler(f, nil)), Hooks{OnCertificate: func(until time.Time, err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if until.Before(time.Now()) {
				t.Errorf("valid until %v", until)
			}
			f.told = append(f.told, err)
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// greeted gives the name in the certificate that a new connection gets.
func greeted(t *testing.T, s *Server) string {
	t.Helper()
	c, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // whose it is is the question
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestANewCertificateIsTakenAndABrokenOneIsNot(t *testing.T) {
	f := &files{}
	first, firstKey := newPair(t, "first")
	f.put(first, firstKey)
	s := serveTLS(t, f)

	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer old.CloseIdleConnections()
	get := func() {
		t.Helper()
		res, err := old.Get(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if got := res.TLS.PeerCertificates[0].Subject.CommonName; got != "first" {
			t.Errorf("a connection changed its certificate to %q", got)
		}
	}
	get()

	second, secondKey := newPair(t, "second")
	for what, broken := range map[string]func(){
		"a key of another":      func() { f.put(second, firstKey) },
		"no certificate":        func() { f.put([]byte("junk"), secondKey) },
		"a file cut off":        func() { f.put(second[:len(second)/2], secondKey) },
		"a file that is gone":   f.lose,
		"an empty file for all": func() { f.put(nil, nil) },
	} {
		f.mu.Lock()
		before := len(f.told)
		f.mu.Unlock()
		broken()
		f.looked(t)
		if got := greeted(t, s); got != "first" {
			t.Errorf("%s: connections get the certificate of %q", what, got)
		}
		f.looked(t)
		f.mu.Lock()
		if n := len(f.told); n != before+1 || f.told[n-1] == nil {
			t.Errorf("%s: told %v", what, f.told[before:])
		}
		if strings.Count(f.logs.String(), "level=ERROR") != 1 {
			t.Errorf("%s: the log says\n%s", what, f.logs.String())
		}
		f.logs.Reset()
		f.mu.Unlock()
	}

	f.put(second, secondKey)
	f.looked(t)
	if got := greeted(t, s); got != "second" {
		t.Errorf("after the renewal connections get the certificate of %q", got)
	}
	get()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told[len(f.told)-1] != nil || !strings.Contains(f.logs.String(), "CN=second") {
		t.Errorf("told %v, logged\n%s", f.told, f.logs.String())
	}
}

// A pair is two files: in between there is a moment in which they do not fit.
func TestAHalfRenewedCertificateIsNoNews(t *testing.T) {
	f := &files{}
	f.put(newPair(t, "first"))
	var logs bytes.Buffer
	c, err := openCertificate(f.read, slog.New(slog.NewTextHandler(&logs, nil)), func(_ time.Time, err error) { f.told = append(f.told, err) })
	if err != nil {
		t.Fatal(err)
	}
	cert, key := newPair(t, "second")
	f.put(cert, f.key)
	c.look()
	f.put(cert, key)
	c.look()
	if c.pair.Load().Leaf.Subject.CommonName != "second" || len(f.told) != 2 || f.told[1] != nil || strings.Contains(logs.String(), "ERROR") {
		t.Errorf("told %v, logged\n%s", f.told, logs.String())
	}
}

func TestTLSIsModernAndSaysSo(t *testing.T) {
	f := &files{}
	cert, key := newPair(t, "first")
	f.put(cert, key)
	s := serveTLS(t, f)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	res, err := client.Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if res.StatusCode != 404 || res.Header.Get("Strict-Transport-Security") == "" || !strings.HasPrefix(s.URL(), "https://") {
		t.Errorf("%s: %d, %v", s.URL(), res.StatusCode, res.Header)
	}
	if c, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		c.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

func TestOpenRefusesAPairThatDoesNotFitAndATakenAddress(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	open := func(cfg Config) error {
		s, err := Open(cfg, http.HandlerFunc(NotFound), nil, log, Hooks{})
		if err == nil {
			t.Cleanup(func() { s.Close() })
		}
		return err
	}
	cert, _ := newPair(t, "first")
	if err := open(Config{Listen: "127.0.0.1:0", TLS: func() ([]byte, []byte, error) { return cert, nil, nil }}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a certificate without key: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := open(Config{Listen: ln.Addr().String()}); !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
		t.Errorf("a taken address: %v", err)
	}
}
