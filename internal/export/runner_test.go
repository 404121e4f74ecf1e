package export

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/store/storetest"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// mill is a runner over real databases, a bucket and a disk in memory.
type mill struct {
	t      *testing.T
	store  books
	erase  func(row int64) // deletes a person of acme on demand
	people func(ctx context.Context, e control.Export, needs control.ProfileNeeds) (People, int64, error)
	bucket *buckettest.Memory
	disk   *vfstest.Disk
	kept   *buckettest.Memory // the operator's bucket; nil: files are kept on the disk
	may    error
	onPart func(n int) // after the n-th part of this mill is written down
	parts  int
}

// books are the rows, and how they are made.
type books interface {
	Books
	CreateWorkspace(ctx context.Context, w control.Workspace, administrators ...control.MemberID) error
	AddExport(ctx context.Context, e control.Export) (int64, error)
	NoteMoves(ctx context.Context, workspace uint32, moves []control.PersonMove, at time.Time) error
}

const crowd = 11_003

func newMill(t *testing.T) *mill {
	people := storetest.OpenProfiles(t)
	m := &mill{t: t, store: storetest.Open(t), bucket: buckettest.NewMemory(), disk: vfstest.New()}
	m.disk.SetFree(1 << 40)
	for n, name := range []string{"", "acme", "globex"} {
		if n > 0 {
			must(t, m.store.CreateWorkspace(t.Context(), control.Workspace{Number: uint32(n), Name: name, UnknownFields: control.RejectUnknown, CreatedAt: now}))
		}
	}
	b := &control.PeopleBatch{Log: eventlog.ID{1}, Next: 1, Names: []control.Name{{ID: 1, Workspace: 1, Kind: control.NameEvent, Name: "saw", FirstAt: now, LastAt: now},
		{ID: 2, Workspace: 2, Kind: control.NameEvent, Name: "saw", FirstAt: now, LastAt: now}}}
	for row := int64(1); row <= crowd; row++ {
		p := &control.Person{Row: row, New: true, Workspace: 1, ID: control.PersonID(fmt.Sprintf("%024x", row)), ExternalID: fmt.Sprint("user-", row), CreatedAt: now, UpdatedAt: now,
			Custom: []byte(`{"plan":"gold"}`)}
		if row%1000 == 0 { // another's people stand between
			p.Workspace = 2
		}
		if row%2 == 0 {
			p.Email = fmt.Sprintf("user%d@acme.example", row)
		}
		b.People = append(b.People, p)
		b.Events = append(b.Events, control.PersonEvents{Name: int64(p.Workspace), Person: row, First: now, Last: now, Count: row})
	}
	must(t, people.Apply(t.Context(), b))
	m.erase = func(row int64) {
		b = &control.PeopleBatch{Log: b.Log, From: b.Next, Next: b.Next + 1, Moves: []control.PersonMove{{Person: row, Workspace: 1, ID: control.PersonID(fmt.Sprintf("%024x", row))}}}
		must(t, people.Apply(context.Background(), b))
		must(t, m.store.NoteMoves(context.Background(), 1, b.Moves, time.Now()))
	}
	m.people = func(ctx context.Context, e control.Export, needs control.ProfileNeeds) (People, int64, error) {
		b, err := people.Bulk(ctx, e.Workspace, e.Spec.Filter, e.CreatedAt, needs)
		return b, 12_000, err
	}
	return m
}

const ofAcme = crowd - crowd/1000

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ask makes an export wait.
func (m *mill) ask(kind control.ExportKind, linked bool, change ...func(*control.Export)) control.Export {
	m.t.Helper()
	e := control.Export{ID: control.NewExportID(now), Workspace: 1, Kind: kind, Source: control.ExportByDashboard, Subject: "s1", Title: "All", CreatedAt: now,
		Spec: control.ExportSpec{Fields: []string{"external_id", "custom_events", "custom_attributes"}, Events: []string{"saw"}, Attributes: []string{"plan"}}}
	if linked {
		e.Place.Bucket = "memory"
	}
	for _, f := range change {
		f(&e)
	}
	var err error
	e.Number, err = m.store.AddExport(m.t.Context(), e)
	must(m.t, err)
	return e
}

// watched are the rows, with somebody looking on.
type watched struct {
	books
	m *mill
}

func (w watched) AddExportPart(ctx context.Context, e control.Export, p control.ExportPart) error {
	err := w.books.AddExportPart(ctx, e, p)
	if w.m.parts++; err == nil && w.m.onPart != nil {
		w.m.onPart(w.m.parts)
	}
	return err
}

func (m *mill) own() Own {
	if m.kept != nil {
		return InBucket(m.disk, m.kept, "mill-1")
	}
	return InFolder(m.disk)
}

// file is the file of an export, as it is downloaded.
func (m *mill) file(e control.Export) []byte {
	m.t.Helper()
	f, err := m.own().Open(m.t.Context(), e)
	must(m.t, err)
	defer f.Close() // read only
	size, err := f.Size()
	must(m.t, err)
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	must(m.t, err)
	return b
}

// left gives what lies in the own store and where exports are made.
func (m *mill) left() []string {
	all := m.disk.Names()
	if m.kept != nil {
		all = append(all, slices.DeleteFunc(m.kept.Keys(), func(key string) bool { return key == ofAnother })...)
	}
	return all
}

// ofAnother is what another installation keeps in the bucket.
const ofAnother = OwnFolder + "mill-2/0/users.zip"

// inBoth runs a test with each kind of own store.
func inBoth(t *testing.T, test func(t *testing.T, m *mill)) {
	t.Run("in the folder", func(t *testing.T) { test(t, newMill(t)) })
	t.Run("in a bucket", func(t *testing.T) {
		m := newMill(t)
		m.kept = buckettest.NewMemory()
		m.kept.Set(ofAnother, []byte("of another installation"), nil)
		test(t, m)
		if _, _, there := m.kept.Object(ofAnother); !there {
			t.Error("what another installation keeps in the bucket is removed")
		}
	})
}

func (m *mill) runner() *Runner {
	m.parts = 0
	return NewRunner(Deps{
		Retry: 10 * time.Minute,
		Books: watched{m.store, m}, Files: m.disk, Own: m.own(), Logger: slog.New(slog.DiscardHandler),
		People: m.people,
		Bucket: func(context.Context, control.Export) (bucket.Bucket, error) { return m.bucket.Open(bucket.Access{}) },
		May:    func(context.Context, control.Export) error { return m.may },
	}, 2)
}

// run does what waits until that export has ended, or ctx has.
func (m *mill) run(ctx context.Context, e control.Export) control.Export {
	m.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := m.runner()
	ended := make(chan struct{})
	go func() { defer close(ended); _ = r.Run(ctx) }() // which ends with ctx
	for ctx.Err() == nil {
		if got := m.export(e); !got.State.Open() {
			break
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
	cancel()
	<-ended
	return m.export(e)
}

func (m *mill) export(e control.Export) control.Export {
	m.t.Helper()
	got, err := m.store.Export(context.Background(), e.Workspace, e.ID)
	must(m.t, err)
	return got
}

func (m *mill) object(key string) []byte {
	m.t.Helper()
	r, _, err := m.bucket.Get(m.t.Context(), key)
	must(m.t, err)
	b, err := io.ReadAll(r)
	must(m.t, err)
	return b
}

func (m *mill) keys() (all []string) {
	m.t.Helper()
	for i, err := range m.bucket.List(m.t.Context(), "") {
		must(m.t, err)
		all = append(all, i.Key)
	}
	return all
}

// unpack gives what the files of an archive hold, by name.
func unpack(t *testing.T, b []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	must(t, err)
	out := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		must(t, err)
		text, err := io.ReadAll(r) // which compares the sum
		must(t, err)
		out[f.Name] = string(text)
	}
	return out
}

// onceEach fails unless the lines name each of acme's people once.
func onceEach(t *testing.T, texts ...string) {
	t.Helper()
	seen := map[string]int{}
	for _, text := range texts {
		for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
			var u struct {
				ID     string `json:"external_id"`
				Events []struct{ Count int64 }
			}
			if json.Unmarshal(s.Bytes(), &u) != nil {
				u.ID = strings.Split(s.Text(), ",")[7] // user_id
			}
			seen[u.ID]++
		}
	}
	delete(seen, "user_id")
	for row := 1; row <= crowd; row++ {
		if want := map[bool]int{true: 1}[row%1000 != 0]; seen[fmt.Sprint("user-", row)] != want {
			t.Fatalf("user-%d is written %d times, not %d", row, seen[fmt.Sprint("user-", row)], want)
		}
	}
	if len(seen) != ofAcme {
		t.Errorf("%d people are written, not %d", len(seen), ofAcme)
	}
}

// whole fails unless the bucket holds an export of JSON lines, whole.
func (m *mill) whole(e control.Export) {
	m.t.Helper()
	var list manifest
	must(m.t, json.Unmarshal(m.object(e.Folder()+"manifest.json"), &list))
	if list.People != ofAcme || len(list.Files) != 3 || list.Export != string(e.ID) {
		m.t.Errorf("the manifest is %+v", list)
	}
	var texts []string
	for _, f := range list.Files {
		b := m.object(e.Folder() + f.Name)
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != f.SHA256 || int64(len(b)) != f.Bytes || len(f.Name) != 36 {
			m.t.Errorf("%s is not what the manifest says", f.Name)
		}
		for name, text := range unpack(m.t, b) {
			texts = append(texts, text)
			if n := int64(strings.Count(text, "\n")); n != f.People || name != f.Name[:32]+".json" {
				m.t.Errorf("%s in %s holds %d people, not %d", name, f.Name, n, f.People)
			}
		}
	}
	if n := len(m.keys()); n != 4 {
		m.t.Errorf("there are %d objects", n)
	}
	onceEach(m.t, texts...)
}

func TestASegmentIsExportedToItsBucketAndTheManifestIsLast(t *testing.T) {
	inBoth(t, func(t *testing.T, m *mill) {
		e := m.ask(control.ExportSegmentUsers, true)
		var order []string
		m.bucket.Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpPut {
				order = append(order, c.Key)
			}
			return buckettest.Fault{}
		})
		got := m.run(t.Context(), e)
		if got.State != control.ExportDone || got.People != ofAcme || got.Parts != 3 || got.Total != 12_000 || got.File != "" {
			t.Fatalf("it is %+v", got)
		}
		if want := "segment-export/s1/2026-11-22/" + string(e.ID) + "-1795343400/"; e.Folder() != want || order[3] != want+"manifest.json" {
			t.Errorf("%v are put, in %s", order, want)
		}
		m.whole(e)
		if left := m.left(); len(left) > 1 {
			t.Errorf("files are left: %v", left)
		}
	})
}

func TestWithoutABucketAllIsOneArchive(t *testing.T) {
	inBoth(t, func(t *testing.T, m *mill) {
		e := m.run(t.Context(), m.ask(control.ExportSegmentUsers, false))
		files := unpack(t, m.file(e))
		if e.State != control.ExportDone || len(files) != 3 || !e.ExpiresAt.Equal(e.DoneAt.Add(4*time.Hour)) {
			t.Fatalf("it is %+v with %d files", e, len(files))
		}
		var texts []string
		for _, text := range files {
			texts = append(texts, text)
		}
		onceEach(t, texts...)
		if !strings.Contains(texts[0], `"custom_attributes":{"plan":"gold"},"custom_events":[{"name":"saw",`) {
			t.Errorf("a line is %.300s", texts[0])
		}
		if left := m.left(); len(left) != 1 {
			t.Errorf("there are the files %v", left)
		}
	})
}

func TestATableIsOneFileInBothPlaces(t *testing.T) {
	inBoth(t, func(t *testing.T, m *mill) {
		e := m.run(t.Context(), m.ask(control.ExportUsersCSV, true, func(e *control.Export) { e.Spec.BOM = true }))
		files := unpack(t, m.file(e))
		if keys := m.keys(); e.State != control.ExportDone || len(files) != 1 || len(keys) != 1 || keys[0] != "segment-export/s1/2026-11-22/"+e.File || !bytes.Equal(m.object(keys[0]), m.file(e)) {
			t.Fatalf("it is %+v with %d files; in the bucket %v", e, len(files), keys)
		}
		if size := len(m.file(e)); e.Bytes != int64(size) {
			t.Errorf("the archive has %d bytes and not %d", size, e.Bytes)
		}
		text := files[strings.TrimSuffix(e.File, ".zip")+".csv"]
		if !strings.HasPrefix(text, "\xef\xbb\xbfAppboy ID,") || strings.Count(text, "Appboy ID") != 1 || !strings.Contains(text, ",7,gold\r\n") {
			t.Errorf("the table begins with %.200q", text)
		}
		onceEach(t, strings.TrimPrefix(text, "\xef\xbb\xbf"))
	})
}

func TestOfNobodyThereIsATableWithItsHeadAndAWholeExport(t *testing.T) {
	m := newMill(t)
	nobody := func(e *control.Export) { e.Spec.Filter = control.Filter{Not: &control.Filter{}} }
	table := m.run(t.Context(), m.ask(control.ExportUsersCSV, false, nobody))
	for _, text := range unpack(t, m.file(table)) {
		if !strings.HasPrefix(text, "Appboy ID,") || strings.Count(text, "\r\n") != 1 {
			t.Errorf("the table is %q", text)
		}
	}
	lines := m.run(t.Context(), m.ask(control.ExportSegmentUsers, true, nobody))
	if text := string(m.object(lines.Folder() + "manifest.json")); !strings.Contains(text, `"files": []`) {
		t.Errorf("the manifest is %s", text)
	}
}

func TestWhoGoesOnBeginsAtTheLastFinishedPart(t *testing.T) {
	for _, kind := range []control.ExportKind{control.ExportSegmentUsers, control.ExportUsersCSV} {
		for _, linked := range []bool{true, false} {
			for _, powerless := range []bool{true, false} {
				if powerless && linked && kind.Lines() {
					continue // it keeps no file that could be lost
				}
				t.Run(fmt.Sprint(kind, linked, powerless), func(t *testing.T) {
					m := newMill(t)
					if !kind.Lines() {
						m.kept = buckettest.NewMemory()
					}
					e := m.ask(kind, linked)
					dies, kill := context.WithCancel(t.Context())
					m.onPart = func(int) { kill() }
					if got := m.run(dies, e); got.State != control.ExportRunning || got.Parts != 1 {
						t.Fatalf("it is %+v", got)
					}
					if linked && kind.Lines() && m.has(e.Folder()+"manifest.json") {
						t.Error("half of it looks whole")
					}
					if powerless { // what was not synced is lost
						m.disk = m.disk.Crash(vfstest.KeepRandom(1))
						m.disk.SetFree(1 << 40)
					}
					m.onPart = nil
					got := m.run(t.Context(), e)
					if again := m.parts; !powerless && again != 2 {
						t.Errorf("%d parts are made again", again)
					}
					if got.State != control.ExportDone || got.People != ofAcme || got.Parts != 3 {
						t.Fatalf("it is %+v", got)
					}
					if linked && kind.Lines() {
						m.whole(e)
						return
					}
					var texts []string
					for _, text := range unpack(t, m.file(got)) {
						texts = append(texts, text)
					}
					onceEach(t, texts...)
				})
			}
		}
	}
}

func (m *mill) has(key string) bool {
	_, err := m.bucket.Head(m.t.Context(), key)
	return err == nil
}

// A process may be killed after it has put a part and before it has written that down; then those who were in it leave.
func TestAPartOfNobodyAnyMoreIsTakenAway(t *testing.T) {
	m := newMill(t)
	e := m.ask(control.ExportSegmentUsers, true)
	m.bucket.Set(partKey(e, partName(e, 4)), []byte("of a former process"), nil)
	if got := m.run(t.Context(), e); got.State != control.ExportDone {
		t.Fatalf("it is %+v", got)
	}
	m.whole(e)
}

func TestABucketThatFailsIsTriedAgain(t *testing.T) {
	for _, p := range []bucket.Problem{bucket.ServerError, bucket.AccessDenied} {
		m := newMill(t)
		m.bucket.Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpPut && c.Attempt == 1 && !strings.HasSuffix(c.Key, "manifest.json") {
				return buckettest.Fault{Problem: p}
			}
			return buckettest.Fault{}
		})
		e := m.ask(control.ExportSegmentUsers, true)
		if got := m.run(t.Context(), e); got.State != control.ExportDone {
			t.Fatalf("after %s it is %+v", p, got)
		}
		m.whole(e)
	}
}

// Why an export is held up stands in its row until something comes through.
func TestItIsSaidWhyAnExportIsHeldUp(t *testing.T) {
	m := newMill(t)
	e := m.ask(control.ExportSegmentUsers, true)
	m.bucket.Deny(bucket.AccessDenied)
	r := m.runner()
	r.do(t.Context(), e)
	if got := m.export(e); !got.State.Open() || got.Failure == nil || got.Failure.Msg.Key != "bucket.access_denied" {
		t.Fatalf("it is %+v", got)
	}
	m.bucket.Deny("")
	m.onPart = func(n int) {
		if got := m.export(e); got.Failure != nil {
			t.Errorf("after part %d it is held up by %v", n, got.Failure)
		}
	}
	r.do(t.Context(), e)
	if got := m.export(e); got.State != control.ExportDone || got.Failure != nil {
		t.Errorf("it is %+v", got)
	}
}

func TestAnExportIsGivenUpAWhileAfterItsLastPart(t *testing.T) {
	r := newMill(t).runner()
	e, tries := control.Export{ID: "e"}, 0
	at := now
	for r.again(e, 0, at) {
		if tries++; tries > 100 {
			t.Fatal("it is tried for ever")
		}
		next := r.failing["e"].next
		if wait := next.Sub(at); wait <= 0 || wait > time.Minute {
			t.Errorf("it is tried again after %v", wait)
		}
		at = next
	}
	if at != now.Add(r.Retry) || tries < 10 {
		t.Errorf("it is given up after %v and %d tries", at.Sub(now), tries)
	}
	r.failing["e"] = &failing{since: now, tries: 9}
	e.Parts = 1
	if !r.again(e, 0, at) || !r.failing["e"].since.Equal(at) {
		t.Error("a part that came through does not count")
	}
}

func TestTheWorkspaceWhoseLastBeganLongestAgoGoesFirst(t *testing.T) {
	r := newMill(t).runner()
	var open []control.Export
	for i, workspace := range []uint32{1, 1, 1, 1, 2, 3} {
		open = append(open, control.Export{ID: control.ExportID(fmt.Sprint(i)), Workspace: workspace})
	}
	var got []string
	for len(open) > 0 {
		a, first := r.take(open, now)
		b, second := r.take(open, now)
		if _, third := r.take(open, now); !first || third || second != (len(open) > 1) {
			t.Fatalf("of %d begin %v, %v, %v", len(open), first, second, third)
		}
		r.leave(a) // and b works on
		got = append(got, string(a.ID))
		open = without(open, a.ID)
		if second {
			r.leave(b)
			got = append(got, string(b.ID))
			open = without(open, b.ID)
		}
	}
	if order := strings.Join(got, ""); order != "045123" {
		t.Errorf("they begin in the order %s", order)
	}
}

func without(all []control.Export, id control.ExportID) (left []control.Export) {
	for _, e := range all {
		if e.ID != id {
			left = append(left, e)
		}
	}
	return left
}

func TestWhatIsCancelledLeavesNothingThatLooksWhole(t *testing.T) {
	for _, kind := range []control.ExportKind{control.ExportSegmentUsers, control.ExportUsersCSV} {
		m := newMill(t)
		m.kept = buckettest.NewMemory()
		e := m.ask(kind, true)
		m.onPart = func(n int) {
			if n == 2 {
				cancelled := e
				cancelled.State, cancelled.DoneAt = control.ExportCancelled, now
				must(t, m.store.EndExport(context.Background(), cancelled))
			}
		}
		if got := m.run(t.Context(), e); got.State != control.ExportCancelled || got.File != "" {
			t.Fatalf("it is %+v", got)
		}
		for _, key := range m.keys() {
			if strings.HasSuffix(key, "manifest.json") || strings.Contains(key, "users-") {
				t.Errorf("there is %s", key)
			}
		}
		must(t, m.runner().tidy(t.Context(), now)) // the runner may have ended before it could
		if left := m.left(); len(left) > 0 {
			t.Errorf("files are left: %v", left)
		}
	}
}

// Whoever is deleted while an export runs is in nothing that is told of: neither in the file, nor in a bucket with what makes
// it whole. The last moment is that at which this is put.
func TestWhoIsDeletedWhileAnExportRunsIsInNoFile(t *testing.T) {
	for _, kind := range []control.ExportKind{control.ExportSegmentUsers, control.ExportUsersCSV} {
		for _, linked := range []bool{true, false} {
			for _, late := range []bool{false, true} {
				if late && !linked {
					continue
				}
				t.Run(fmt.Sprint(kind, linked, late), func(t *testing.T) {
					m := newMill(t)
					if !kind.Lines() {
						m.kept = buckettest.NewMemory()
					}
					e, once := m.ask(kind, linked), sync.Once{}
					if late {
						m.bucket.Script(func(c buckettest.Call) buckettest.Fault {
							if c.Op == buckettest.OpPut && c.Key == wholeKey(e) {
								once.Do(func() { m.erase(7) })
							}
							return buckettest.Fault{}
						})
					} else {
						m.onPart = func(n int) {
							if n == 2 {
								m.erase(7)
							}
						}
					}
					got := m.run(t.Context(), e)
					if got.State != control.ExportDone || got.People != ofAcme-1 || got.Parts != 3 || m.parts < 5 || got.Outdated() {
						t.Fatalf("after %d parts it is %+v", m.parts, got)
					}
					var files [][]byte
					for _, key := range m.keys() {
						if strings.HasSuffix(key, ".zip") {
							files = append(files, m.object(key))
						}
					}
					if !linked {
						files = [][]byte{m.file(got)}
					}
					if linked && !m.has(wholeKey(e)) {
						t.Error("it is not whole")
					}
					for _, b := range files {
						for name, text := range unpack(t, b) {
							if strings.Contains(text, `"user-7"`) || strings.Contains(text, ",user-7,") {
								t.Errorf("%s holds who was deleted", name)
							}
						}
					}
				})
			}
		}
	}
}

// Who is deleted later ends the files that hold them, at once and however they were made, and no others.
func TestOnlyFilesThatHoldWhoWasDeletedGo(t *testing.T) {
	inBoth(t, func(t *testing.T, m *mill) {
		withEmail := func(e *control.Export) {
			e.Spec.Filter = control.Filter{Attribute: &control.Condition{Name: "email"}} // every second
		}
		lines := m.run(t.Context(), m.ask(control.ExportSegmentUsers, false, withEmail))
		resumed := m.ask(control.ExportEmailsCSV, true, withEmail)
		dies, kill := context.WithCancel(t.Context())
		m.onPart = func(int) { kill() }
		if got := m.run(dies, resumed); got.State != control.ExportRunning || got.Parts != 1 {
			t.Fatalf("it is %+v", got)
		}
		m.onPart = nil
		resumed = m.run(t.Context(), resumed)
		all := m.run(t.Context(), m.ask(control.ExportUsersCSV, false))
		there := func(what string, files ...control.Export) {
			t.Helper()
			must(t, m.runner().tidy(t.Context(), now))
			for _, e := range []control.Export{lines, resumed, all} {
				kept := slices.ContainsFunc(files, func(x control.Export) bool { return x.ID == e.ID })
				if got := m.export(e); got.Downloadable(time.Now()) != kept || got.State != control.ExportDone || got.Outdated() == kept {
					t.Errorf("after %s %s is %+v", what, e.Kind, got)
				}
				if is := slices.ContainsFunc(m.left(), func(name string) bool { return strings.Contains(name, string(e.ID)) }); is != kept {
					t.Errorf("after %s there is a file of %s: %v", what, e.Kind, is)
				}
			}
			if linked := m.keys(); !slices.Contains(linked, resumed.Folder()+resumed.File) {
				t.Errorf("after %s the linked bucket has %v", what, linked)
			}
		}
		there("nothing", lines, resumed, all)
		m.erase(crowd + 1) // of whom nobody has heard
		there("a deletion of somebody else", lines, resumed, all)
		m.erase(crowd) // without an address
		there("a deletion of one of all", lines, resumed)
		m.erase(8)
		there("a deletion of one of the first part")
	})
}

func TestAnExportBeginsAnewOnlyTenTimes(t *testing.T) {
	m := newMill(t)
	e := m.ask(control.ExportSegmentUsers, true)
	row := int64(0)
	m.onPart = func(int) { row++; m.erase(row) }
	r := m.runner()
	for range mostAnew + 1 {
		r.do(t.Context(), e)
		if got := m.export(e); got.State != control.ExportRunning || m.has(wholeKey(e)) {
			t.Fatalf("it is %+v", got)
		}
		if wait := time.Until(r.failing[e.ID].next); wait > retryMost {
			t.Errorf("it waits for %v", wait)
		}
	}
	r.do(t.Context(), e)
	if got := m.export(e); got.State != control.ExportFailed || got.Failure.Msg.Key != "control.export_erased" || m.has(wholeKey(e)) || len(m.left()) > 0 {
		t.Errorf("it is %+v", got)
	}
}

// What makes an export whole may have been put right before a process was killed.
func TestWhatWasWholeAtACrashIsTakenAwayBeforeItIsMadeAnew(t *testing.T) {
	m := newMill(t)
	e := m.ask(control.ExportSegmentUsers, true)
	must(t, m.store.StartExport(t.Context(), e, 1, time.Now()))
	m.bucket.Set(wholeKey(e), []byte("{}"), nil)
	m.erase(7)
	m.onPart = func(int) {
		if m.has(wholeKey(e)) {
			t.Error("half of it looks whole")
		}
	}
	if got := m.run(t.Context(), e); got.State != control.ExportDone || got.People != ofAcme-1 {
		t.Errorf("it is %+v", got)
	}
}

func TestWhoLostTheRightGetsNothing(t *testing.T) {
	m := newMill(t)
	m.may = fault.New(fault.Forbidden, "", "You may not do this.")
	e := m.run(t.Context(), m.ask(control.ExportUsersCSV, true))
	if e.State != control.ExportFailed || e.Failure.Code != fault.Forbidden || len(m.keys()) > 0 || len(m.left()) > 0 {
		t.Errorf("it is %+v", e)
	}
}

func TestAFullDiskHoldsAnExportUpAndLeavesRoom(t *testing.T) {
	m := newMill(t)
	m.disk.SetFree(keepFree - 1)
	e := m.ask(control.ExportUsersCSV, false)
	soon, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if got := m.run(soon, e); got.State != control.ExportRunning || got.Parts != 0 {
		t.Fatalf("it is %+v", got)
	}
	m.disk.SetFree(1 << 40)
	if got := m.run(t.Context(), e); got.State != control.ExportDone {
		t.Fatalf("with room it is %+v", got)
	}
}

func TestFilesWhoseTimeIsOverAreRemoved(t *testing.T) {
	inBoth(t, func(t *testing.T, m *mill) {
		e := m.run(t.Context(), m.ask(control.ExportUsersCSV, false))
		m.disk.Put("01234567-89ab-7def-8123-456789abcdef/part-000001", []byte("of nobody"))
		r := m.runner()
		must(t, r.tidy(t.Context(), e.ExpiresAt.Add(-time.Second)))
		m.file(e)
		if left := m.left(); len(left) != 1 {
			t.Errorf("there are %v", left)
		}
		must(t, r.tidy(t.Context(), e.ExpiresAt))
		if _, err := m.own().Open(t.Context(), e); !fault.Is(err, fault.Stale) {
			t.Errorf("its file is %v", err)
		}
	})
}

func TestSumsOfPiecesAreTheSumOfTheWhole(t *testing.T) {
	text := []byte(strings.Repeat("a text that is cut anywhere; ", 4000))
	for _, cut := range []int{0, 1, 7, 4096, 99_999, len(text)} {
		if got := joinSums(crc32.ChecksumIEEE(text[:cut]), crc32.ChecksumIEEE(text[cut:]), int64(len(text)-cut)); got != crc32.ChecksumIEEE(text) {
			t.Errorf("cut at %d the sum is %08x", cut, got)
		}
	}
}
