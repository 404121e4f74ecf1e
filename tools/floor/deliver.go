package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/klauspost/compress/flate"
)

const (
	blockBytes = 64 << 10 // of records in an Avro block, before compression
	fileEvents = 15_000
	uploads    = 4 // at once
)

// mark stands between the blocks of every file.
var mark = []byte("millrace's floor")

type target struct{ endpoint, bucket, keyID, secret string }

// delivery gathers records into one file per type and puts the files.
type delivery struct {
	to     target
	client *s3.Client
	byType []*gathering
	slots  chan struct{}
	put    int // files begun

	deflate *flate.Writer
	small   bytes.Buffer // a block, deflated

	files, events atomic.Int64 // uploaded
}

// gathering is a file on its way.
type gathering struct {
	*eventType
	records []byte // of the block that is open
	inBlock int
	file    bytes.Buffer
	inFile  int
}

func newDelivery(types catalogue, to target) *delivery {
	d := &delivery{to: to, byType: make([]*gathering, len(types)), slots: make(chan struct{}, uploads)}
	for _, t := range types {
		d.byType[t.number] = &gathering{eventType: t}
	}
	d.deflate, _ = flate.NewWriter(&d.small, flate.BestSpeed) // the level exists
	d.client = s3.NewFromConfig(aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider(to.keyID, to.secret, ""),
	}, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &to.endpoint, true })
	return d
}

// run sorts what became durable into files; nil cuts them all.
func (d *delivery) run(durable <-chan []byte) {
	for records := range durable {
		if records == nil {
			for _, g := range d.byType {
				d.cut(g)
			}
		}
		for len(records) > 0 {
			g := d.byType[binary.LittleEndian.Uint16(records)]
			end := recordHeader + int(binary.LittleEndian.Uint32(records[2:]))
			g.records = append(g.records, records[recordHeader:end]...)
			g.inBlock++
			records = records[end:]
			if len(g.records) > blockBytes {
				d.closeBlock(g)
			}
			if g.inFile >= fileEvents {
				d.cut(g)
			}
		}
	}
}

// closeBlock moves the open block into the file.
func (d *delivery) closeBlock(g *gathering) {
	if g.inBlock == 0 {
		return
	}
	if g.file.Len() == 0 {
		head := []byte("Obj\x01")
		head = appendLong(head, 2)
		head = appendText(head, []byte("avro.schema"))
		head = appendText(head, g.schema)
		head = appendText(head, []byte("avro.codec"))
		head = appendText(head, []byte("deflate"))
		head = append(head, 0)
		g.file.Write(head)
		g.file.Write(mark)
	}
	d.small.Reset()
	d.deflate.Reset(&d.small)
	d.deflate.Write(g.records) // into memory
	d.deflate.Close()
	g.file.Write(appendLong(appendLong(nil, int64(g.inBlock)), int64(d.small.Len())))
	g.file.Write(d.small.Bytes())
	g.file.Write(mark)
	g.inFile += g.inBlock
	g.records, g.inBlock = g.records[:0], 0
}

// cut closes the file and uploads it, four at once.
func (d *delivery) cut(g *gathering) {
	d.closeBlock(g)
	if g.inFile == 0 {
		return
	}
	body, events := bytes.Clone(g.file.Bytes()), g.inFile
	g.file.Reset()
	g.inFile = 0
	d.put++
	key := fmt.Sprintf("currents/event_type=%s/%d-%010d.avro", g.name, os.Getpid(), d.put)
	d.slots <- struct{}{}
	go func() {
		_, err := d.client.PutObject(context.Background(), &s3.PutObjectInput{
			Bucket: &d.to.bucket, Key: &key, Body: bytes.NewReader(body), IfNoneMatch: aws.String("*"),
		})
		if err != nil {
			log.Fatal(err)
		}
		d.files.Add(1)
		d.events.Add(int64(events))
		<-d.slots
	}()
}
