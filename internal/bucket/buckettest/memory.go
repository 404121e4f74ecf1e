package buckettest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/bucket"
)

// The names under which scripts see calls: the S3 actions that an implementation would call.
const (
	OpPut      = "PutObject"
	OpHead     = "HeadObject"
	OpGet      = "GetObject"
	OpList     = "ListObjectsV2"
	OpDelete   = "DeleteObject"
	OpLocation = "GetBucketLocation"
	OpAssume   = "AssumeRole" // Key is the external id
)

// Memory is a bucket in memory with faults by script. It obeys the whole contract of bucket.Bucket: Run passes
// over it. The zero value is not usable; see NewMemory.
//
// It is an Opener of itself, whatever the access. For several buckets see Store.
// Safe for concurrent use and under testing/synctest: waiting is done on timers only, and what lands late is
// started by a timer.
type Memory struct {
	name string

	mu       sync.Mutex
	objects  map[string]object
	script   func(Call) Fault
	deny     bucket.Problem
	ignore   bool
	calls    []Call
	byKey    map[[2]string]int
	opened   []bucket.Access
	missing  bool
	trusts   string // external id
	open     bool   // whatever the external id
	pageSize int
	landing  sync.WaitGroup
}

type object struct {
	data []byte
	info bucket.Info
}

// Call is a call as a script sees it, before it has any effect.
type Call struct {
	Op      string
	Key     string // of OpList: the prefix; of OpLocation: empty
	N       int    // how many calls there have been, this one included
	Attempt int    // how many of them had this Op and Key
	At      time.Time
	Body    []byte            // of OpPut: all of it; do not change
	Meta    map[string]string // of OpPut
}

// Fault is what goes wrong with a call. The zero value: nothing.
//
// Order: Delay passes; then, without Problem, the effect and its answer. With Problem the call fails with it,
// and the effect is left out unless After or Late say otherwise.
type Fault struct {
	Delay      time.Duration // before anything; ctx ends it: Network, no effect
	Problem    bucket.Problem
	Region     string        // with WrongRegion
	RetryAfter time.Duration // advice in the error
	After      bool          // the effect takes place first: the answer is what got lost
	Late       time.Duration // > 0: of what writes, the effect takes place this long after the call failed, whoever has written since
	CutAt      int64         // of OpGet: > 0: the body breaks off after as many bytes
	Hang       bool          // no answer until ctx ends; with After or Late the effect takes place all the same
}

// NewMemory makes an empty bucket.
func NewMemory() *Memory { return newMemory("memory") }

func newMemory(name string) *Memory {
	return &Memory{name: name, objects: map[string]object{}, byKey: map[[2]string]int{}, pageSize: 1000}
}

// Script asks f before each call what goes wrong; nil: nothing. f may not call back into m.
func (m *Memory) Script(f func(Call) Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.script = f
}

// Deny fails every call with p from now on, before any effect; "" ends it. It comes before the script.
func (m *Memory) Deny(p bucket.Problem) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deny = p
}

// IgnoreCreateOnly makes the store one that does not know If-None-Match.
func (m *Memory) IgnoreCreateOnly(yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ignore = yes
}

// Set puts an object there as a stranger would, past every script.
func (m *Memory) Set(key string, data []byte, metadata map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(key, bytes.Clone(data), maps.Clone(metadata))
}

// Remove takes an object away as its owner would; no effect if there is none.
func (m *Memory) Remove(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
}

// Keys gives all keys in byte order.
func (m *Memory) Keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.objects))
}

// Object gives an object's bytes and what is known about it.
func (m *Memory) Object(key string) (data []byte, info bucket.Info, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	return o.data, o.info, ok
}

// Calls gives every call so far, in the order in which they began.
func (m *Memory) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// Opened gives each access with which the bucket was opened.
func (m *Memory) Opened() []bucket.Access {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.opened)
}

// Settle waits until everything that lands late has landed.
func (m *Memory) Settle() { m.landing.Wait() }

// Open gives m itself.
func (m *Memory) Open(a bucket.Access) (bucket.Bucket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened = append(m.opened, a)
	return m, nil
}

// OpenOwn gives m itself.
func (m *Memory) OpenOwn(a bucket.Access) (bucket.Bucket, error) { return m.Open(a) }

// Account is the installation's account, as Memory tells it.
const Account = "123456789012"

// Assume takes on a role. The first external id that it hears is the one that the role asks for.
func (m *Memory) Assume(ctx context.Context, a bucket.Access) error {
	err := m.call(ctx, Call{Op: OpAssume, Key: a.ExternalID}, func(Fault) error {
		if m.trusts == "" {
			m.trusts = a.ExternalID
		}
		if a.ExternalID == "" || a.ExternalID != m.trusts {
			if !m.open {
				return m.fail(OpAssume, "", bucket.RoleRefused)
			}
		}
		return nil
	})
	if e, ok := errors.AsType[*bucket.Error](err); ok {
		e.Role, e.Key = a.RoleARN, ""
	}
	return err
}

// IgnoreExternalID makes the role one that can be taken on with any external id or none.
func (m *Memory) IgnoreExternalID(yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = yes
}

// Account gives Account.
func (m *Memory) Account(context.Context) (string, error) { return Account, nil }

// Put writes an object.
func (m *Memory) Put(ctx context.Context, key string, body bucket.Body, opt bucket.PutOptions) error {
	data := bytes.Join(body, nil)
	meta := maps.Clone(opt.Metadata)
	return m.call(ctx, Call{Op: OpPut, Key: key, Body: data, Meta: meta}, func(Fault) error {
		if _, taken := m.objects[key]; taken && opt.CreateOnly && !m.ignore {
			return m.fail(OpPut, key, bucket.Exists)
		}
		m.set(key, data, meta)
		return nil
	})
}

// PutFile writes an object.
func (m *Memory) PutFile(ctx context.Context, key string, f bucket.File, opt bucket.PutOptions) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size > bucket.MaxPut {
		return bucket.TooLarge("", key, size)
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && err != io.EOF {
		return err
	}
	return m.Put(ctx, key, bucket.Body{data}, opt)
}

// Head gives what is known about an object.
func (m *Memory) Head(ctx context.Context, key string) (info bucket.Info, err error) {
	err = m.call(ctx, Call{Op: OpHead, Key: key}, func(Fault) error {
		o, ok := m.objects[key]
		if !ok {
			return m.fail(OpHead, key, bucket.NotFound)
		}
		info = o.info
		info.Metadata = maps.Clone(o.info.Metadata)
		return nil
	})
	return info, err
}

// Get reads an object.
func (m *Memory) Get(ctx context.Context, key string) (io.ReadCloser, bucket.Info, error) {
	return m.GetFrom(ctx, key, 0)
}

// GetFrom reads an object from an offset on.
func (m *Memory) GetFrom(ctx context.Context, key string, offset int64) (rc io.ReadCloser, info bucket.Info, err error) {
	err = m.call(ctx, Call{Op: OpGet, Key: key}, func(f Fault) error {
		o, ok := m.objects[key]
		if !ok {
			return m.fail(OpGet, key, bucket.NotFound)
		}
		info = o.info
		info.Metadata = maps.Clone(o.info.Metadata)
		data := o.data[offset:]
		var r io.Reader = bytes.NewReader(data)
		if f.CutAt > 0 && f.CutAt < int64(len(data)) {
			r = io.MultiReader(bytes.NewReader(data[:f.CutAt]), broken{})
		}
		rc = io.NopCloser(r)
		return nil
	})
	if err != nil {
		return nil, bucket.Info{}, err
	}
	return rc, info, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// List gives the objects under prefix, asking anew for each page of 1,000.
func (m *Memory) List(ctx context.Context, prefix string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		after := ""
		for {
			var page []bucket.Info
			err := m.call(ctx, Call{Op: OpList, Key: prefix}, func(Fault) error {
				page = page[:0]
				for k, o := range m.objects {
					if strings.HasPrefix(k, prefix) && k > after {
						i := o.info
						i.Metadata = nil
						page = append(page, i)
					}
				}
				slices.SortFunc(page, func(a, b bucket.Info) int { return strings.Compare(a.Key, b.Key) })
				page = page[:min(len(page), m.pageSize)]
				return nil
			})
			if err != nil {
				yield(bucket.Info{}, err)
				return
			}
			for _, i := range page {
				if !yield(i, nil) {
					return
				}
				after = i.Key
			}
			if len(page) < m.pageSize {
				return
			}
		}
	}
}

// Delete removes an object.
func (m *Memory) Delete(ctx context.Context, key string) error {
	return m.call(ctx, Call{Op: OpDelete, Key: key}, func(Fault) error {
		delete(m.objects, key)
		return nil
	})
}

// Location is us-east-1.
func (m *Memory) Location(ctx context.Context) (region string, err error) {
	err = m.call(ctx, Call{Op: OpLocation}, func(Fault) error { region = "us-east-1"; return nil })
	return region, err
}

// Close does nothing.
func (m *Memory) Close() error { return nil }

// call runs one call through deny and script. effect runs under m.mu, at most once.
func (m *Memory) call(ctx context.Context, c Call, effect func(Fault) error) error {
	if err := ctx.Err(); err != nil {
		return m.network(c, err)
	}
	m.mu.Lock()
	id := [2]string{c.Op, c.Key}
	m.byKey[id]++
	c.N, c.Attempt, c.At = len(m.calls)+1, m.byKey[id], time.Now()
	m.calls = append(m.calls, c)
	deny, script := m.deny, m.script
	if m.missing {
		deny = bucket.NoSuchBucket
	}
	m.mu.Unlock()

	var f Fault
	switch {
	case deny != "" && (c.Op != OpAssume || aboutRole(deny)):
		f = Fault{Problem: deny}
	case script != nil:
		f = script(c)
	}
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return m.network(c, ctx.Err())
		}
	}
	run := func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		return effect(f)
	}
	if f.Problem == "" && !f.Hang {
		return run()
	}
	switch {
	case f.After:
		// Its own failure (the key is taken) is lost with the answer.
		_ = run()
	case f.Late > 0 && (c.Op == OpPut || c.Op == OpDelete):
		m.landing.Add(1)
		time.AfterFunc(f.Late, func() {
			defer m.landing.Done()
			_ = run() // likewise
		})
	}
	if f.Hang {
		<-ctx.Done()
		return m.network(c, ctx.Err())
	}
	e := m.fail(c.Op, c.Key, f.Problem)
	e.Region, e.RetryAfter = f.Region, f.RetryAfter
	return e
}

// aboutRole tells whether p can keep a role from being taken on.
func aboutRole(p bucket.Problem) bool {
	return p == bucket.RoleRefused || p == bucket.OwnCredentials || p.Owner() == bucket.Passing
}

func (m *Memory) network(c Call, cause error) *bucket.Error {
	e := m.fail(c.Op, c.Key, bucket.Network)
	e.Cause = cause
	return e
}

func (m *Memory) fail(op, key string, p bucket.Problem) *bucket.Error {
	e := &bucket.Error{Problem: p, Op: op, Bucket: m.name, Key: key}
	if p == bucket.AccessDenied {
		e.Said = "Access Denied"
	}
	return e
}

// set needs m.mu.
func (m *Memory) set(key string, data []byte, meta map[string]string) {
	sum := md5.Sum(data)
	m.objects[key] = object{data: data, info: bucket.Info{
		Key: key, Size: int64(len(data)), ETag: hex.EncodeToString(sum[:]), Modified: time.Now(), Metadata: meta,
	}}
}

// Store is several buckets in memory, opened by name. A name that was never asked for with Bucket does not exist:
// every call answers NoSuchBucket.
type Store struct {
	mu      sync.Mutex
	buckets map[string]*Memory
}

// NewStore makes a store with the named buckets.
func NewStore(names ...string) *Store {
	s := &Store{buckets: map[string]*Memory{}}
	for _, n := range names {
		s.Bucket(n)
	}
	return s
}

// Bucket gives the bucket called name, made if it does not exist.
func (s *Store) Bucket(name string) *Memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.get(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missing = false
	return m
}

// Open gives the bucket of the access.
func (s *Store) Open(a bucket.Access) (bucket.Bucket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(a.Bucket).Open(a)
}

// OpenOwn gives the bucket of the access.
func (s *Store) OpenOwn(a bucket.Access) (bucket.Bucket, error) { return s.Open(a) }

// Assume takes on the role of the access, in its bucket.
func (s *Store) Assume(ctx context.Context, a bucket.Access) error {
	s.mu.Lock()
	m := s.get(a.Bucket)
	s.mu.Unlock()
	return m.Assume(ctx, a)
}

// Account gives Account.
func (s *Store) Account(context.Context) (string, error) { return Account, nil }

// get needs s.mu.
func (s *Store) get(name string) *Memory {
	m := s.buckets[name]
	if m == nil {
		m = newMemory(name)
		m.missing = true
		s.buckets[name] = m
	}
	return m
}

var (
	_ bucket.Bucket  = (*Memory)(nil)
	_ bucket.Assumer = (*Memory)(nil)
	_ bucket.Assumer = (*Store)(nil)
)
