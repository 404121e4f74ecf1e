package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/millrace/millrace/internal/fault"
)

// Rights of what is made: the owner's only, since logs and keys hold personal data and secrets.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

// OS is the folder root of the operating system. It need not exist yet: MkdirAll(".") makes it.
func OS(root string) FS { return osFS(root) }

// ReadPath gives the whole of what path names on this machine, a file or a pipe, of at most limit bytes. It is for
// what people give on the command line. Errors: not_found, too_large.
func ReadPath(path string, limit int64) ([]byte, error) {
	const op = "read"
	f, err := os.Open(path)
	if err != nil {
		return nil, door(err, op, path)
	}
	defer f.Close() // read only
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, door(err, op, path)
	}
	if int64(len(b)) > limit {
		return nil, fault.New(fault.TooLarge, "read "+path, "there are more than %d bytes", limit)
	}
	return b, nil
}

// Resolve follows the links in path, so that what is renamed to the path that it gives replaces the file itself and not
// a link to it. Errors: not_found.
func Resolve(path string) (string, error) {
	p, err := filepath.EvalSymlinks(path)
	return p, door(err, "follow the links of", path)
}

type osFS string

func (r osFS) path(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", fault.New(fault.Invalid, op, "the name %q leaves the folder", name)
	}
	return filepath.Join(string(r), filepath.FromSlash(name)), nil
}

func (r osFS) open(op, name string, flag int) (File, error) {
	p, err := r.path(op, name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p, flag, fileMode)
	if err != nil {
		return nil, door(err, op, name)
	}
	return &osFile{f: f, name: name}, nil
}

func (r osFS) Create(name string) (File, error) {
	return r.open("create", name, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND)
}

func (r osFS) Open(name string) (File, error) { return r.open("open", name, os.O_RDONLY) }

func (r osFS) OpenAppend(name string) (File, error) {
	return r.open("open", name, os.O_RDWR|os.O_CREATE|os.O_APPEND)
}

func (r osFS) Rename(from, to string) error {
	a, err := r.path("rename", from)
	if err != nil {
		return err
	}
	b, err := r.path("rename", to)
	if err != nil {
		return err
	}
	return door(os.Rename(a, b), "rename", from)
}

func (r osFS) Remove(name string) error {
	p, err := r.path("remove", name)
	if err != nil {
		return err
	}
	return door(os.Remove(p), "remove", name)
}

func (r osFS) List(dir string) ([]Entry, error) {
	p, err := r.path("list", dir)
	if err != nil {
		return nil, err
	}
	des, err := os.ReadDir(p)
	if err != nil {
		return nil, door(err, "list", dir)
	}
	entries := make([]Entry, len(des))
	for i, d := range des {
		entries[i] = Entry{Name: d.Name(), Dir: d.IsDir()}
	}
	return entries, nil
}

func (r osFS) MkdirAll(dir string) error {
	p, err := r.path("make folder", dir)
	if err != nil {
		return err
	}
	if p, err = filepath.Abs(p); err != nil {
		return door(err, "make folder", dir)
	}
	return door(mkdirAll(p), "make folder", dir)
}

// mkdirAll makes path durable from the top down, so that no folder is durable inside one that is not.
func mkdirAll(path string) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := mkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func (r osFS) SyncDir(dir string) error {
	p, err := r.path("sync folder", dir)
	if err != nil {
		return err
	}
	return door(syncDir(p), "sync folder", dir)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (r osFS) Stat(name string) (Info, error) {
	p, err := r.path("stat", name)
	if err != nil {
		return Info{}, err
	}
	st, err := os.Stat(p)
	if err != nil {
		return Info{}, door(err, "stat", name)
	}
	info := Info{Dir: st.IsDir(), Regular: st.Mode().IsRegular(), Shared: st.Mode().Perm()&0o066 != 0, Foreign: foreign(st), Modified: st.ModTime()}
	if !info.Dir {
		info.Size = st.Size()
	}
	return info, nil
}

func (r osFS) Lock(name string) (io.Closer, error) {
	p, err := r.path("lock", name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, door(err, "lock", name)
	}
	if err := flock(f); err != nil {
		f.Close() // the lock's failure is what counts
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fault.New(fault.Unavailable, "lock "+p, "another process holds the lock").
				WithHint("stop the other process that uses this folder, or name another folder").WithCause(err)
		}
		return nil, door(err, "lock", name)
	}
	return f, nil
}

func (r osFS) Free() (int64, error) {
	n, _, err := space(string(r))
	return n, door(err, "ask for free space", ".")
}

func (r osFS) Total() (int64, error) {
	_, n, err := space(string(r))
	return n, door(err, "ask for the size of the disk", ".")
}

type osFile struct {
	f    *os.File
	name string
}

func (f *osFile) Write(p []byte) (int, error) {
	n, err := f.f.Write(p)
	return n, door(err, "write", f.name)
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	if err == io.EOF {
		return n, err
	}
	return n, door(err, "read", f.name)
}

func (f *osFile) Sync() error  { return door(syncFile(f.f), "sync", f.name) }
func (f *osFile) Close() error { return door(f.f.Close(), "close", f.name) }

func (f *osFile) Size() (int64, error) {
	st, err := f.f.Stat()
	if err != nil {
		return 0, door(err, "stat", f.name)
	}
	return st.Size(), nil
}

// door turns an error of the operating system into a fault. It returns nil for nil.
func door(err error, op, name string) error {
	if err == nil {
		return nil
	}
	cause := err
	if p, ok := errors.AsType[*fs.PathError](err); ok && p == err {
		cause = p.Err // operation and name are told already
	}
	e := fault.New(fault.Internal, op+" "+name, "").WithCause(cause)
	var errno syscall.Errno
	errors.As(err, &errno)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Code = fault.NotFound
	case errors.Is(err, fs.ErrExist), errno == syscall.ENOTEMPTY:
		e.Code = fault.Conflict
	case errors.Is(err, fs.ErrPermission), errno == syscall.EROFS:
		e.Code = fault.Forbidden
		e = e.WithHint("give the user that runs this process rights to read and write the folder")
	case errno == syscall.ENOSPC, errno == syscall.EDQUOT:
		e.Code, e.Retry = fault.Unavailable, true
		e = e.WithHint("the disk is full: free space or enlarge it")
	case errno == syscall.EMFILE, errno == syscall.ENFILE:
		e.Code, e.Retry = fault.Unavailable, true
		e = e.WithHint("raise the limit of open files")
	case errno == syscall.EIO, errno == syscall.EINTR, errno == syscall.EAGAIN, errno == syscall.ENOMEM:
		e.Code, e.Retry = fault.Unavailable, true
	}
	return e
}
