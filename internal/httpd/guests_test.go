package httpd

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A crowd several times what the server takes, whatever it is that they do not do, keeps out neither those who come
// anew nor one who comes back each second.
func TestACrowdThatMakesTheServerWaitKeepsNobodyOut(t *testing.T) {
	for name, says := range map[string]string{
		"nothing":                     "",
		"half a header":               "GET / HTTP/1.1\r\nHos",
		"half a body":                 "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
		"a body nobody wants":         "POST /deaf HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
		"a chunk that does not end":   "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\nabc",
		"an answer that is not taken": "GET /long HTTP/1.1\r\nHost: x\r\n\r\n",
		"no second request":           "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mux := http.NewServeMux()
				mux.HandleFunc("/", readBody)
				mux.HandleFunc("/deaf", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) })
				mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1<<20)) })
				b := start(t, Config{MaxConns: 16}, mux, nil, Hooks{})
				old := b.ln.dial()
				defer old.Close()
				ask := func(who string, c net.Conn) {
					t.Helper()
					began := time.Now()
					go io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
					res, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil || res.StatusCode != 200 {
						t.Fatalf("%s is kept out by those who say %q: %v", who, says, err)
					}
					io.Copy(io.Discard, res.Body)
					if took := time.Since(began); took > time.Second {
						t.Fatalf("%s waited %v because of those who say %q", who, took, says)
					}
				}
				ask("who was there", old)
				for i := range 100 { // ten a second
					c := b.ln.dial()
					defer c.Close()
					go func() {
						io.WriteString(c, says)
						if strings.HasPrefix(says, "GET / ") {
							io.Copy(io.Discard, c)
						}
					}()
					time.Sleep(100 * time.Millisecond)
					if i%5 == 0 {
						ask("who was there", old)
					}
					if i%10 == 0 {
						c := b.ln.dial()
						ask("who comes anew", c)
						c.Close()
					}
				}
				if n := strings.Count(b.logs.String(), "connections_limit=16"); n != 1 {
					t.Errorf("said %d times in ten seconds that connections were closed", n)
				}
			})
		})
	}
}

// Whose request is being worked on is never closed; a new connection waits until one of them ends.
func TestARequestThatIsWorkedOnKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		b := start(t, Config{MaxConns: 4}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-leave
			fmt.Fprint(w, "done")
		}), nil, Hooks{})
		const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
		outs := make(chan string)
		for range 6 {
			go func() { outs <- b.exchange(request) }()
			synctest.Wait()
		}
		time.Sleep(10 * time.Minute)
		select {
		case out := <-outs:
			t.Fatalf("closed while it was worked on: %q", out)
		default:
		}
		close(leave)
		for range 6 {
			if out := <-outs; !strings.HasSuffix(out, "done") {
				t.Errorf("got %q", out)
			}
		}
	})
}

func TestStopDoesNotWaitForWhoWaitsAtTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		b := start(t, Config{MaxConns: 1}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-leave }), nil, Hooks{})
		go b.exchange("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		synctest.Wait()
		second := make(chan string)
		go func() { second <- b.exchange("GET / HTTP/1.1\r\nHost: x\r\n\r\n") }()
		synctest.Wait()
		stopped := make(chan error)
		go func() { stopped <- b.stop() }()
		if out := <-second; out != "" {
			t.Errorf("who waited got %q", out)
		}
		close(leave)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func TestConnectionsLeaveRoomForOtherFiles(t *testing.T) {
	for files, want := range map[uint64]int{0: 1, 2: 1, 64: 21, 1024: 341, 20_000: 4096, 1 << 40: 4096} {
		if got := connsFor(files); got != want {
			t.Errorf("of %d files %d are connections, want %d", files, got, want)
		}
	}
	if n := openFiles(); n < 16 {
		t.Errorf("this process may open %d files", n)
	}
}
