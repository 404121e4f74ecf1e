// Floor is the least work that turns NDJSON over HTTP into fsynced, deflated Avro objects in S3, each put
// create-only: one straight line from socket to bucket. It checks nothing, recovers nothing and knows one producer
// and one bucket. It exists so that `make bench` can quote the server's cost as a ratio to it, on any machine.
//
// The line: a request is encoded (encode.go), waits for the write and fsync that it shares with its neighbours
// (commit, below), is answered, and goes into one file per event type (deliver.go).
//
// GET /flush cuts and uploads what is gathered and answers with files and events uploaded so far; whoever measures
// repeats it until all are there. Flags name everything else.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
)

// commitHeader is length and CRC32C of what follows.
const commitHeader = 8

// logLimit is where the log starts over: nobody reads it back.
const logLimit = 1 << 30

// request is one body's events, encoded, on its way into the log.
type request struct {
	records []byte
	durable sync.WaitGroup
}

func main() {
	var (
		schemas = flag.String("schemas", "", "file with one JSON object: event type to Avro schema")
		listen  = flag.String("listen", "127.0.0.1:4196", "address of POST /v1/events")
		logPath = flag.String("log", "floor.log", "log file; it starts over at 1 GiB")
		to      target
	)
	flag.StringVar(&to.endpoint, "s3", "http://127.0.0.1:9000", "S3 endpoint")
	flag.StringVar(&to.bucket, "bucket", "floor", "bucket that exists")
	flag.StringVar(&to.keyID, "key", "", "access key id")
	flag.StringVar(&to.secret, "secret", "", "secret access key")
	flag.Parse()
	types, err := readTypes(*schemas)
	if err != nil {
		log.Fatal(err)
	}
	journal, err := os.Create(*logPath)
	if err != nil {
		log.Fatal(err)
	}
	arrived := make(chan *request, 256)
	durable := make(chan []byte, 64)
	d := newDelivery(types, to)
	go commit(journal, arrived, durable)
	go d.run(durable)

	bodies := sync.Pool{New: func() any { return new([]byte) }}
	http.HandleFunc("POST /v1/events", func(w http.ResponseWriter, r *http.Request) {
		buf := bodies.Get().(*[]byte)
		defer bodies.Put(buf)
		body, err := readBody((*buf)[:0], r)
		*buf = body
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		records, err := types.encodeLines(make([]byte, 0, len(body)*2/3), body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		q := &request{records: records}
		q.durable.Add(1)
		arrived <- q
		q.durable.Wait()
	})
	http.HandleFunc("GET /flush", func(w http.ResponseWriter, _ *http.Request) {
		durable <- nil
		fmt.Fprintln(w, d.files.Load(), d.events.Load())
	})
	log.Fatal(http.ListenAndServe(*listen, nil))
}

// readBody reads a request's body into b, which grows as needed.
func readBody(b []byte, r *http.Request) ([]byte, error) {
	if n := int(r.ContentLength); n >= cap(b) {
		b = make([]byte, 0, n+512)
	}
	for {
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

// commit writes what has arrived, syncs once for all of it, and passes it on.
func commit(journal *os.File, arrived <-chan *request, durable chan<- []byte) {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	size := 0
	var group []*request
	for q := range arrived {
		group = append(group[:0], q)
		for len(group) < 64 && len(arrived) > 0 {
			group = append(group, <-arrived)
		}
		for _, q := range group {
			var head [commitHeader]byte
			binary.LittleEndian.PutUint32(head[:4], uint32(len(q.records)))
			binary.LittleEndian.PutUint32(head[4:], crc32.Checksum(q.records, castagnoli))
			must(journal.Write(head[:]))
			must(journal.Write(q.records))
			size += commitHeader + len(q.records)
		}
		if err := journal.Sync(); err != nil {
			log.Fatal(err)
		}
		for _, q := range group {
			q.durable.Done()
			durable <- q.records
		}
		if size > logLimit {
			must(0, journal.Truncate(0))
			must(journal.Seek(0, io.SeekStart))
			size = 0
		}
	}
}

// must ends the program: a limit that goes on after an error measures nothing.
func must[T any](_ T, err error) {
	if err != nil {
		log.Fatal(err)
	}
}
