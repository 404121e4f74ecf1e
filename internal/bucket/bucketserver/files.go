package bucketserver

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rclone/gofakes3"
	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

const (
	hidden  = ".millrace"
	metaDir = hidden + "/meta"
	tmpDir  = hidden + "/tmp"
)

// maxMeta bounds what is read of an object's metadata. Source: S3 keeps at most 2 KiB of it.
const maxMeta = 64 << 10

// files is gofakes3.Backend on plain files.
type files struct {
	fs   vfs.FS
	next atomic.Int64 // names of files on their way in

	// publish is held while an object appears, is replaced or goes: with it "is the key free" and "take it" are one
	// step. Bytes are written outside of it.
	publish sync.Mutex
	made    sync.Map // folders that exist for sure
}

// about is what is kept beside an object.
type about struct {
	ETag     string            `json:"etag"` // hexadecimal
	Metadata map[string]string `json:"metadata,omitempty"`
}

func openFiles(f vfs.FS) (*files, error) {
	for _, dir := range []string{metaDir, tmpDir} {
		if err := f.MkdirAll(dir); err != nil {
			return nil, err
		}
	}
	left, err := f.List(tmpDir)
	if err != nil {
		return nil, err
	}
	for _, e := range left {
		if err := f.Remove(tmpDir + "/" + e.Name); err != nil {
			return nil, err
		}
	}
	return &files{fs: f}, nil
}

// object gives the names of an object's file and of what is kept beside it. Keys that are no paths have no file.
func object(bucket, key string) (file, meta string, err error) {
	if !fs.ValidPath(key) || key == "." || strings.HasPrefix(bucket, ".") {
		return "", "", gofakes3.ErrorInvalidArgument("key", key, "This server keeps objects as files: no empty, . or .. parts.")
	}
	return bucket + "/" + key, metaDir + "/" + bucket + "/" + key, nil
}

// ListBuckets gives the folders.
func (f *files) ListBuckets(context.Context) ([]gofakes3.BucketInfo, error) {
	entries, err := f.fs.List(".")
	if err != nil {
		return nil, err
	}
	var out []gofakes3.BucketInfo
	for _, e := range entries {
		if !e.Dir || strings.HasPrefix(e.Name, ".") {
			continue
		}
		info, err := f.fs.Stat(e.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, gofakes3.BucketInfo{Name: e.Name, CreationDate: gofakes3.NewContentTime(info.Modified)})
	}
	return out, nil
}

// BucketExists looks for the folder.
func (f *files) BucketExists(_ context.Context, name string) (bool, error) {
	if strings.HasPrefix(name, ".") || !fs.ValidPath(name) {
		return false, nil
	}
	info, err := f.fs.Stat(name)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil && info.Dir, err
}

func (f *files) need(ctx context.Context, bucket string) error {
	ok, err := f.BucketExists(ctx, bucket)
	if err == nil && !ok {
		return gofakes3.BucketNotFound(bucket)
	}
	return err
}

// CreateBucket refuses: buckets are made by whoever runs the server, as at Amazon by their owner.
func (f *files) CreateBucket(context.Context, string) error { return gofakes3.ErrNotImplemented }

// DeleteBucket refuses likewise.
func (f *files) DeleteBucket(context.Context, string) error { return gofakes3.ErrNotImplemented }

// CopyObject refuses: nothing here needs it.
func (f *files) CopyObject(context.Context, string, string, string, string, map[string]string) (gofakes3.CopyObjectResult, error) {
	return gofakes3.CopyObjectResult{}, gofakes3.ErrNotImplemented
}

// ListBucket walks the folders below the prefix. Keys come in byte order, which is not the order of the walk.
func (f *files) ListBucket(ctx context.Context, name string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	if err := f.need(ctx, name); err != nil {
		return nil, err
	}
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	var keys []string
	start := ""
	if at := strings.LastIndexByte(prefix.Prefix, '/'); at >= 0 {
		start = prefix.Prefix[:at]
	}
	if start == "" || fs.ValidPath(start) {
		if err := f.walk(name, start, prefix.Prefix, &keys); err != nil {
			return nil, err
		}
	}
	slices.Sort(keys)
	list := gofakes3.NewObjectList()
	var n int64
	var match gofakes3.PrefixMatch
	last := ""
	for _, key := range keys {
		if page.Marker != "" && key <= page.Marker || !prefix.Match(key, &match) {
			continue
		}
		if match.CommonPrefix && match.MatchedPart == last {
			list.NextMarker = key // a page ends behind the whole of a common prefix
			continue
		}
		if page.MaxKeys > 0 && n == page.MaxKeys {
			list.IsTruncated = true
			return list, nil
		}
		if match.CommonPrefix {
			last = match.MatchedPart
			list.AddPrefix(last)
		} else {
			o, err := f.stat(name, key)
			if gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
				continue // gone since the walk
			} else if err != nil {
				return nil, err
			}
			list.Add(&gofakes3.Content{Key: key, LastModified: gofakes3.NewContentTime(o.info.Modified), ETag: `"` + o.ETag + `"`, Size: o.info.Size})
		}
		list.NextMarker = key
		n++
	}
	list.NextMarker = ""
	return list, nil
}

// walk appends the keys below dir that begin with prefix.
func (f *files) walk(bucket, dir, prefix string, keys *[]string) error {
	at := bucket
	if dir != "" {
		at += "/" + dir
	}
	entries, err := f.fs.List(at)
	if fault.Is(err, fault.NotFound) {
		return nil
	} else if err != nil {
		if f.belowObject(bucket, dir+"/x") {
			return nil
		}
		return err
	}
	for _, e := range entries {
		key := e.Name
		if dir != "" {
			key = dir + "/" + e.Name
		}
		switch {
		case e.Dir && (strings.HasPrefix(key+"/", prefix) || strings.HasPrefix(prefix, key+"/")):
			if err := f.walk(bucket, key, prefix, keys); err != nil {
				return err
			}
		case !e.Dir && strings.HasPrefix(key, prefix):
			*keys = append(*keys, key)
		}
	}
	return nil
}

type stated struct {
	about
	info vfs.Info
}

// stat gives what is known about an object, put there by this server or by hand. Errors: NoSuchKey.
func (f *files) stat(bucket, key string) (stated, error) {
	file, meta, err := object(bucket, key)
	if err != nil {
		return stated{}, err
	}
	info, err := f.fs.Stat(file)
	if fault.Is(err, fault.NotFound) || err == nil && info.Dir || err != nil && f.belowObject(bucket, key) {
		return stated{}, gofakes3.KeyNotFound(key)
	} else if err != nil {
		return stated{}, err
	}
	o := stated{info: info}
	if raw, err := vfs.ReadFile(f.fs, meta, maxMeta); err == nil && json.Unmarshal(raw, &o.about) == nil {
		return o, nil
	}
	// Put there by hand: size and time stand for the content.
	sum := xxh3.HashString128(fmt.Sprint(info.Size, info.Modified.UnixNano())).Bytes()
	o.about = about{ETag: hex.EncodeToString(sum[:])}
	return o, nil
}

// belowObject tells whether what would be a folder above key is an object: nothing can lie below it.
func (f *files) belowObject(bucket, key string) bool {
	for dir := vfs.Dir(key); dir != "."; dir = vfs.Dir(dir) {
		if info, err := f.fs.Stat(bucket + "/" + dir); err == nil {
			return !info.Dir
		}
	}
	return false
}

func (f *files) describe(bucket, key string) (*gofakes3.Object, error) {
	o, err := f.stat(bucket, key)
	if err != nil {
		return nil, err
	}
	hash, err := hex.DecodeString(o.ETag)
	if err != nil {
		return nil, fault.From(err, fault.Corrupt, "read metadata of "+bucket+"/"+key)
	}
	meta := map[string]string{"Last-Modified": o.info.Modified.UTC().Format(http.TimeFormat)}
	for k, v := range o.Metadata {
		meta[k] = v
	}
	return &gofakes3.Object{Name: key, Metadata: meta, Size: o.info.Size, Hash: hash, Contents: http.NoBody}, nil
}

// HeadObject gives an object without its bytes.
func (f *files) HeadObject(ctx context.Context, bucket, key string) (*gofakes3.Object, error) {
	if err := f.need(ctx, bucket); err != nil {
		return nil, err
	}
	return f.describe(bucket, key)
}

// GetObject opens an object, or a range of it.
func (f *files) GetObject(ctx context.Context, bucket, key string, r *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	o, err := f.HeadObject(ctx, bucket, key)
	if err != nil {
		return nil, err
	}
	file, err := f.fs.Open(bucket + "/" + key)
	if fault.Is(err, fault.NotFound) {
		return nil, gofakes3.KeyNotFound(key)
	} else if err != nil {
		return nil, err
	}
	from, n := int64(0), o.Size
	if o.Range, err = r.Range(o.Size); err != nil {
		_ = file.Close() // read only
		return nil, err
	}
	if o.Range != nil {
		from, n = o.Range.Start, o.Range.Length
	}
	o.Contents = struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(file, from, n), file}
	return o, nil
}

// PutObject writes an object aside and lets it appear in one step, if the request's conditions hold then.
func (f *files) PutObject(ctx context.Context, bucket, key string, meta map[string]string, input io.Reader, size int64) (gofakes3.PutObjectResult, error) {
	var none gofakes3.PutObjectResult
	file, metaFile, err := object(bucket, key)
	if err != nil {
		return none, err
	}
	n := f.next.Add(1)
	tmp, tmpMeta := fmt.Sprintf("%s/%d", tmpDir, n), fmt.Sprintf("%s/%d.json", tmpDir, n)
	hash := xxh3.New()
	if err := f.write(tmp, io.TeeReader(input, hash), size); err != nil {
		return none, err
	}
	sum := hash.Sum128().Bytes()
	a := about{ETag: hex.EncodeToString(sum[:]), Metadata: userMetadata(meta)}
	raw, err := json.Marshal(a)
	if err == nil {
		err = f.write(tmpMeta, strings.NewReader(string(raw)), int64(len(raw)))
	}
	for _, dir := range []string{vfs.Dir(file), vfs.Dir(metaFile)} {
		if err == nil {
			err = f.mkdir(dir)
		}
	}
	if err == nil {
		err = f.publishAs(ctx, bucket, key, tmp, tmpMeta)
	}
	if err != nil {
		// What cannot be removed now is removed at the next start.
		_ = f.fs.Remove(tmpMeta)
		_ = f.fs.Remove(tmp)
		return none, err
	}
	return gofakes3.PutObjectResult{ETag: `"` + a.ETag + `"`}, nil
}

// publishAs lets the files tmp and tmpMeta become an object, if the request's conditions hold.
func (f *files) publishAs(ctx context.Context, bucket, key, tmp, tmpMeta string) error {
	file, metaFile, err := object(bucket, key)
	if err != nil {
		return err
	}

	f.publish.Lock()
	defer f.publish.Unlock()
	old, err := f.stat(bucket, key)
	if exists := err == nil; exists || gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
		err = gofakes3.CheckWriteConditions(ctx, exists, old.ETag)
	}
	if err == nil {
		err = f.fs.Rename(tmpMeta, metaFile)
	}
	if err == nil {
		err = f.fs.Rename(tmp, file)
	}
	if fault.Is(err, fault.NotFound) {
		f.made.Clear() // somebody took folders away; the next try makes them again
	}
	return err
}

// write makes a file of size bytes (-1: of as many as come); after an error there is none.
func (f *files) write(name string, r io.Reader, size int64) error {
	w, err := f.fs.Create(name)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, r, make([]byte, 128<<10))
	if err == nil && size >= 0 && n != size {
		err = gofakes3.ErrIncompleteBody
	}
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = f.fs.Remove(name) // or at the next start
	}
	return err
}

// mkdir makes a folder once; only the first time asks the disk.
func (f *files) mkdir(dir string) error {
	if _, ok := f.made.Load(dir); ok {
		return nil
	}
	if err := f.fs.MkdirAll(dir); err != nil {
		return err
	}
	f.made.Store(dir, true)
	return nil
}

// DeleteObject takes an object away; its folders stay.
func (f *files) DeleteObject(_ context.Context, bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	file, meta, err := object(bucket, key)
	if err != nil {
		return gofakes3.ObjectDeleteResult{}, err
	}
	f.publish.Lock()
	defer f.publish.Unlock()
	for _, name := range []string{file, meta} {
		if err := f.fs.Remove(name); err != nil && !fault.Is(err, fault.NotFound) {
			return gofakes3.ObjectDeleteResult{}, err
		}
	}
	return gofakes3.ObjectDeleteResult{}, nil
}

// DeleteMulti takes several away.
func (f *files) DeleteMulti(ctx context.Context, bucket string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	var out gofakes3.MultiDeleteResult
	for _, key := range keys {
		if _, err := f.DeleteObject(ctx, bucket, key); err != nil {
			out.Error = append(out.Error, gofakes3.ErrorResultFromError(err))
			continue
		}
		out.Deleted = append(out.Deleted, gofakes3.ObjectID{Key: key})
	}
	return out, nil
}

var _ gofakes3.Backend = (*files)(nil)
