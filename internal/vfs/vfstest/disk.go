// Package vfstest has a disk in memory for tests: it knows which bytes and names were synced, can lose power,
// fails on demand, and writes down what was done to it.
//
// What it models, on purpose no kinder than real disks: unsynced bytes survive in part, by sectors of 512 bytes
// of which one may be torn, the rest of the file's size reading as zeros; unsynced names survive in any
// combination; after a failed sync the bytes concerned may be gone although a later sync succeeds.
// Start reading at Disk.
package vfstest

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// Op is a kind of operation.
type Op string

// The kinds. ShortWrite counts writes like Write does; failing one lets half of the bytes through.
const (
	Create     Op = "create"
	Open       Op = "open"
	Read       Op = "read"
	Write      Op = "write"
	ShortWrite Op = "short write"
	Sync       Op = "sync"
	Rename     Op = "rename"
	Remove     Op = "remove"
	SyncDir    Op = "syncdir"
	List       Op = "list"
	Stat       Op = "stat"
	Mkdir      Op = "mkdir"
	Lock       Op = "lock"
	Free       Op = "free"
)

// Ops is every kind, in the order of the constants.
func Ops() []Op {
	return []Op{Create, Open, Read, Write, ShortWrite, Sync, Rename, Remove, SyncDir, List, Stat, Mkdir, Lock, Free}
}

// changes reports whether the kind alters what is on the disk.
func (o Op) changes() bool {
	switch o {
	case Create, Write, Sync, Rename, Remove, SyncDir, Mkdir:
		return true
	}
	return false
}

const sector = 512

// Disk is a vfs.FS in memory. It is safe for concurrent use.
type Disk struct {
	mu      sync.Mutex
	now     tree // as a running process sees it
	durable tree // what is sure to survive a loss of power
	names   []naming
	locks   map[string]bool

	counts  map[Op]int
	faults  map[Op]map[int]error
	changed int
	stopAt  int // after so many changes nothing works any more; -1: never
	space   int64
	trace   []string
	tracing bool
}

// tree maps full names to files; folders have a nil file.
type tree map[string]*inode

// inode is a file's content. Files only grow, so what is not durable is a tail, apart from what failed syncs lost.
type inode struct {
	data   []byte
	synced int
	lost   [][2]int // ranges that a failed sync left in doubt for good
	mtime  time.Time
}

// naming is one change of names that is not durable yet: all of sets happen, or none.
type naming struct {
	sets []set
}

type set struct {
	name string
	node *inode // nil: the name goes away
}

// New makes an empty disk.
func New() *Disk {
	return &Disk{
		now: tree{".": nil}, durable: tree{".": nil}, locks: map[string]bool{},
		counts: map[Op]int{}, faults: map[Op]map[int]error{}, stopAt: -1, space: -1,
	}
}

var _ vfs.FS = (*Disk)(nil)

// FailAt makes the k-th coming operation of a kind fail, counted from 0 and from now. err nil: an I/O error.
func (d *Disk) FailAt(op Op, k int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		err = fault.New(fault.Unavailable, string(op), "injected I/O error").WithRetry(0)
	}
	if d.faults[op] == nil {
		d.faults[op] = map[int]error{}
	}
	d.faults[op][d.counts[op]+k] = err
}

// Heal takes back all faults that have not happened yet and lets a stopped disk work again.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults, d.stopAt = map[Op]map[int]error{}, -1
}

// Count is how many operations of a kind were begun.
func (d *Disk) Count(op Op) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts[op]
}

// Changes is how many operations altered the disk.
func (d *Disk) Changes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// StopAfter lets n more changes through; then every operation fails, as for a process that was killed.
func (d *Disk) StopAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopAt = d.changed + n
}

// Stopped reports whether StopAfter has struck.
func (d *Disk) Stopped() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stopped()
}

func (d *Disk) stopped() bool { return d.stopAt >= 0 && d.changed >= d.stopAt }

// SetFree sets how many bytes can still be written; negative: no limit.
func (d *Disk) SetFree(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.space = n
}

// StartTrace begins to write down changes, from an empty list.
func (d *Disk) StartTrace() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trace, d.tracing = nil, true
}

// Trace gives the changes written down since StartTrace, one a line.
func (d *Disk) Trace() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.trace)
}

// Alter changes a file's bytes behind everybody's back, on the durable disk too: damage.
func (d *Disk) Alter(name string, change func([]byte) []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.now[name]
	if n == nil {
		panic("vfstest: no file " + name)
	}
	n.data = change(slices.Clone(n.data))
	n.synced = len(n.data)
}

// Put makes a file durable with these bytes, replacing what had the name.
func (d *Disk) Put(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := &inode{data: slices.Clone(data), synced: len(data), mtime: time.Now()}
	for dir := vfs.Dir(name); dir != "."; dir = vfs.Dir(dir) {
		d.now[dir], d.durable[dir] = nil, nil
	}
	d.now[name], d.durable[name] = n, n
}

// Bytes gives a file as a running process sees it; nil if there is none.
func (d *Disk) Bytes(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.now[name]; n != nil {
		return slices.Clone(n.data)
	}
	return nil
}

// Names gives all files, sorted.
func (d *Disk) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name, n := range d.now {
		if n != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Keep says how much of what was not synced survives a loss of power.
type Keep struct {
	what byte
	rng  *rand.Rand
}

// KeepNone loses all that was not synced; KeepAll loses nothing.
var (
	KeepNone = Keep{what: 'n'}
	KeepAll  = Keep{what: 'a'}
)

// KeepRandom decides for each name, each sector, and within one torn sector a file, by seed.
func KeepRandom(seed uint64) Keep {
	return Keep{what: 'r', rng: rand.New(rand.NewPCG(seed, 0x6d696c6c))}
}

// Crash gives the disk as it is found after a loss of power. The original goes on unharmed; locks, faults and
// open files are not taken over.
func (d *Disk) Crash(keep Keep) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := maps.Clone(d.durable)
	for _, n := range d.names {
		if keep.what == 'a' || keep.what == 'r' && keep.rng.IntN(2) == 0 {
			after.apply(n)
		}
	}
	// A file keeps one content under all its names; sorted, so that a seed always gives the same disk.
	copies := map[*inode]*inode{}
	c := New()
	for _, name := range slices.Sorted(maps.Keys(after)) {
		n := after[name]
		if n == nil {
			c.now[name], c.durable[name] = nil, nil
			continue
		}
		if copies[n] == nil {
			copies[n] = n.crash(keep)
		}
		c.now[name], c.durable[name] = copies[n], copies[n]
	}
	c.space = d.space
	return c
}

func (t tree) apply(n naming) {
	for _, s := range n.sets {
		if s.node == nil {
			delete(t, s.name)
		} else {
			t[s.name] = s.node
		}
	}
}

// crash gives the content that survives.
func (n *inode) crash(keep Keep) *inode {
	data := slices.Clone(n.data)
	switch keep.what {
	case 'n':
		data = data[:n.synced]
		for i := len(n.lost) - 1; i >= 0; i-- {
			if r := n.lost[i]; r[1] >= len(data) {
				data = data[:r[0]] // nothing after it is durable: the size is not either
			} else {
				clear(data[r[0]:r[1]])
			}
		}
	case 'r':
		if len(data) > n.synced {
			data = data[:n.synced+keep.rng.IntN(len(data)-n.synced+1)]
		}
		torn := keep.rng.IntN(len(data)/sector + 1)
		lose := append(slices.Clone(n.lost), [2]int{n.synced, len(data)})
		for _, r := range lose {
			from, to := r[0], min(r[1], len(data))
			for from < to {
				end := min((from/sector+1)*sector, to)
				switch {
				case from/sector == torn:
					clear(data[from+keep.rng.IntN(end-from+1) : end])
				case keep.rng.IntN(2) == 0:
					clear(data[from:end])
				}
				from = end
			}
		}
	}
	return &inode{data: data, synced: len(data), mtime: n.mtime}
}

// begin counts an operation and gives the error it must fail with. Callers hold mu.
func (d *Disk) begin(op Op, line string) error {
	if d.stopped() {
		return fault.New(fault.Unavailable, line, "the disk has stopped")
	}
	k := d.counts[op]
	d.counts[op]++
	err := d.faults[op][k]
	if op == Write {
		short := d.counts[ShortWrite]
		d.counts[ShortWrite]++
		if e := d.faults[ShortWrite][short]; e != nil {
			err = &shortWrite{e}
		}
	}
	if op.changes() {
		d.changed++
		if d.tracing {
			if err != nil {
				line += " FAILS"
			}
			d.trace = append(d.trace, line)
		}
	}
	return err
}

type shortWrite struct{ error }

func valid(op Op, name string) error {
	if !fs.ValidPath(name) {
		return fault.New(fault.Invalid, string(op), "the name %q leaves the folder", name)
	}
	return nil
}

func notFound(op Op, name string) error {
	return fault.New(fault.NotFound, string(op)+" "+name, "there is no such file")
}

// Create implements vfs.FS.
func (d *Disk) Create(name string) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(Create, "create "+name); err != nil {
		return nil, err
	}
	return d.create(name)
}

func (d *Disk) create(name string) (vfs.File, error) {
	if err := valid(Create, name); err != nil {
		return nil, err
	}
	if _, ok := d.now[name]; ok {
		return nil, fault.New(fault.Conflict, "create "+name, "the file exists")
	}
	if n, ok := d.now[vfs.Dir(name)]; !ok || n != nil {
		return nil, notFound(Create, vfs.Dir(name))
	}
	n := &inode{mtime: time.Now()}
	d.rename(naming{[]set{{name, n}}})
	return &file{d: d, n: n, name: name, writable: true}, nil
}

func (d *Disk) rename(n naming) {
	d.now.apply(n)
	d.names = append(d.names, n)
}

// Open implements vfs.FS.
func (d *Disk) Open(name string) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(Open, "open "+name); err != nil {
		return nil, err
	}
	n := d.now[name]
	if n == nil {
		return nil, notFound(Open, name)
	}
	return &file{d: d, n: n, name: name}, nil
}

// OpenAppend implements vfs.FS.
func (d *Disk) OpenAppend(name string) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.now[name]; n != nil {
		if err := d.begin(Open, "open "+name); err != nil {
			return nil, err
		}
		return &file{d: d, n: n, name: name, writable: true}, nil
	}
	if err := d.begin(Create, "create "+name); err != nil {
		return nil, err
	}
	return d.create(name)
}

// Rename implements vfs.FS.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(Rename, "rename "+from+" "+to); err != nil {
		return err
	}
	if err := valid(Rename, to); err != nil {
		return err
	}
	n := d.now[from]
	if n == nil {
		return notFound(Rename, from)
	}
	d.rename(naming{[]set{{from, nil}, {to, n}}})
	return nil
}

// Remove implements vfs.FS.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, ok := d.now[name]
	if !ok {
		return notFound(Remove, name) // not a change: neither counted nor traced
	}
	if err := d.begin(Remove, "remove "+name); err != nil {
		return err
	}
	if n == nil {
		for other := range d.now {
			if strings.HasPrefix(other, name+"/") {
				return fault.New(fault.Conflict, "remove "+name, "the folder is not empty")
			}
		}
	}
	d.rename(naming{[]set{{name, nil}}})
	return nil
}

// List implements vfs.FS.
func (d *Disk) List(dir string) ([]vfs.Entry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(List, "list "+dir); err != nil {
		return nil, err
	}
	if n, ok := d.now[dir]; !ok || n != nil {
		return nil, notFound(List, dir)
	}
	var entries []vfs.Entry
	for name, n := range d.now {
		if name != "." && vfs.Dir(name) == dir {
			entries = append(entries, vfs.Entry{Name: path.Base(name), Dir: n == nil})
		}
	}
	slices.SortFunc(entries, func(a, b vfs.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// MkdirAll implements vfs.FS.
func (d *Disk) MkdirAll(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := valid(Mkdir, dir); err != nil {
		return err
	}
	if n, ok := d.now[dir]; ok && n == nil {
		return nil
	}
	if err := d.begin(Mkdir, "mkdir "+dir); err != nil {
		return err
	}
	for ; dir != "."; dir = vfs.Dir(dir) {
		if n := d.now[dir]; n != nil {
			return fault.New(fault.Conflict, "mkdir "+dir, "there is a file of this name")
		}
		d.now[dir], d.durable[dir] = nil, nil
	}
	return nil
}

// SyncDir implements vfs.FS.
func (d *Disk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(SyncDir, "syncdir "+dir); err != nil {
		return err
	}
	if n, ok := d.now[dir]; !ok || n != nil {
		return notFound(SyncDir, dir)
	}
	var rest []naming
	for _, n := range d.names {
		var here, elsewhere []set
		for _, s := range n.sets {
			if vfs.Dir(s.name) == dir {
				here = append(here, s)
			} else {
				elsewhere = append(elsewhere, s)
			}
		}
		d.durable.apply(naming{here})
		if len(elsewhere) > 0 {
			rest = append(rest, naming{elsewhere})
		}
	}
	d.names = rest
	return nil
}

// Stat implements vfs.FS.
func (d *Disk) Stat(name string) (vfs.Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(Stat, "stat "+name); err != nil {
		return vfs.Info{}, err
	}
	n, ok := d.now[name]
	if !ok {
		return vfs.Info{}, notFound(Stat, name)
	}
	if n == nil {
		return vfs.Info{Dir: true}, nil
	}
	return vfs.Info{Size: int64(len(n.data)), Regular: true, Modified: n.mtime}, nil
}

// Lock implements vfs.FS.
func (d *Disk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(Lock, "lock "+name); err != nil {
		return nil, err
	}
	if d.locks[name] {
		return nil, fault.New(fault.Unavailable, "lock "+name, "another process holds the lock")
	}
	if _, ok := d.now[name]; !ok {
		if _, err := d.create(name); err != nil {
			return nil, err
		}
	}
	d.locks[name] = true
	return &held{d: d, name: name}, nil
}

type held struct {
	d    *Disk
	name string
	once sync.Once
}

func (h *held) Close() error {
	h.once.Do(func() {
		h.d.mu.Lock()
		defer h.d.mu.Unlock()
		delete(h.d.locks, h.name)
	})
	return nil
}

// diskSize is what a Disk has altogether.
const diskSize = 1 << 40

// Total implements vfs.FS. It is 1 TiB, however much of that is free.
func (d *Disk) Total() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(Free, "total"); err != nil {
		return 0, err
	}
	return diskSize, nil
}

// Free implements vfs.FS. Without a limit it is 1 TiB.
func (d *Disk) Free() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(Free, "free"); err != nil {
		return 0, err
	}
	if d.space < 0 {
		return diskSize, nil
	}
	return d.space, nil
}

type file struct {
	d        *Disk
	n        *inode
	name     string
	writable bool
	closed   bool
}

func (f *file) Write(p []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.closed || !f.writable {
		return 0, fault.New(fault.Internal, "write "+f.name, "the file is not open for writing")
	}
	err := f.d.begin(Write, fmt.Sprintf("write %s %d+%d", f.name, len(f.n.data), len(p)))
	take := len(p)
	switch e := err.(type) {
	case nil:
	case *shortWrite:
		take, err = len(p)/2, e.error
	default:
		return 0, err
	}
	if f.d.space >= 0 && int64(take) > f.d.space {
		take = int(f.d.space)
		err = fault.New(fault.Unavailable, "write "+f.name, "no space left on the disk").WithRetry(0)
	}
	if f.d.space >= 0 {
		f.d.space -= int64(take)
	}
	f.n.data = append(f.n.data, p[:take]...)
	f.n.mtime = time.Now()
	return take, err
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.closed {
		return 0, fault.New(fault.Internal, "read "+f.name, "the file is closed")
	}
	if err := f.d.begin(Read, "read "+f.name); err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := f.d.begin(Sync, "sync "+f.name)
	if f.d.stopped() && err != nil {
		return err
	}
	if err != nil {
		f.n.lost = append(f.n.lost, [2]int{f.n.synced, len(f.n.data)})
	}
	f.n.synced = len(f.n.data)
	return err
}

func (f *file) Close() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.closed {
		return fault.New(fault.Internal, "close "+f.name, "the file is closed already")
	}
	f.closed = true
	return nil
}

func (f *file) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.n.data)), nil
}
