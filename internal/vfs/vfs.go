// Package vfs is the only door to the disk: a small file system that tells what is durable and when.
//
// An FS is a folder. Names are slash-separated paths below it, without "." or ".." elements; "." is the folder
// itself. OS gives a folder of the operating system; vfstest has one in memory that can lose power. What the
// rest of the product assumes of a disk stands in FORMAT.md, §1, and nowhere else:
//
//   - bytes of a file are durable after File.Sync returned nil, and only then;
//   - a name (made, renamed, removed) is durable after SyncDir of its folder returned nil, and only then;
//   - Rename replaces a name in one step: after a crash there is the old file or the new one, never neither.
//
// Errors are fault.Errors by code: not_found, conflict (the name exists), forbidden, unavailable (disk full, too
// many open files, I/O error, lock held elsewhere), invalid (a name that leaves the folder), internal.
// Start reading at FS.
package vfs

import (
	"errors"
	"io"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// FS is a folder. All methods are safe for concurrent use.
type FS interface {
	// Create makes a new empty file for reading and writing. Errors: conflict if the name exists.
	Create(name string) (File, error)

	// Open opens a file for reading. Errors: not_found.
	Open(name string) (File, error)

	// OpenAppend opens a file for reading and for writing at its end; it is made if it does not exist.
	OpenAppend(name string) (File, error)

	// Rename gives a file a new name in the same FS and replaces what had that name.
	// Durable after SyncDir of both folders.
	Rename(from, to string) error

	// Remove takes away a file or an empty folder. Durable after SyncDir of its folder. Errors: not_found.
	Remove(name string) error

	// List gives what a folder holds, sorted by name. Errors: not_found.
	List(dir string) ([]Entry, error)

	// MkdirAll makes a folder and those above it, "." included. Existing ones are fine. Durable on return.
	MkdirAll(dir string) error

	// SyncDir makes the names in a folder durable.
	SyncDir(dir string) error

	// Stat describes a file or folder. Errors: not_found.
	Stat(name string) (Info, error)

	// Lock takes the exclusive lock that the named file stands for; the file is made if it does not exist and
	// stays. The lock ends with Close or with the process.
	// Errors: unavailable if somebody else, in this process or another, holds it.
	Lock(name string) (io.Closer, error)

	// Free is how many bytes an unprivileged process can still write on the disk that holds the folder.
	Free() (int64, error)

	// Total is how many bytes that disk has altogether, used or not.
	Total() (int64, error)
}

// File is an open file. ReadAt and Size are safe for concurrent use, also beside one writer.
type File interface {
	// Write appends at the end. After an error any part of p may have been written.
	io.Writer
	io.ReaderAt
	io.Closer

	// Sync makes the file's bytes and size durable, not its name. After an error nobody knows which bytes are:
	// the same file must not be synced again in the hope of a better answer.
	Sync() error

	// Size is the file's size in bytes.
	Size() (int64, error)
}

// Entry is a name in a folder.
type Entry struct {
	Name string
	Dir  bool
}

// Info describes a file or folder.
type Info struct {
	Size     int64 // bytes; 0 for folders
	Dir      bool
	Regular  bool // a file that gives its bytes as often as it is read; not a folder, a pipe, a device
	Shared   bool // others than its owner may read it or write to it
	Foreign  bool // it belongs to another user than that of this process
	Modified time.Time
}

// TempSuffix ends the names of files that WriteFile has not finished. They can be removed.
const TempSuffix = ".tmp"

// WriteFile puts data under name in one step: after a crash at any point the name holds all of the old bytes or
// all of the new ones.
//
// Durable: when err is nil. After an error the old content stands, or, if only the last step failed, either.
// One writer per name at a time.
func WriteFile(fs FS, name string, data []byte) error {
	tmp := name + TempSuffix
	if err := fs.Remove(tmp); err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return firstFault(err)
	}
	if err := fs.Rename(tmp, name); err != nil {
		return err
	}
	return fs.SyncDir(Dir(name))
}

// ReadFile gives a whole file of at most limit bytes. Errors: not_found, too_large.
func ReadFile(fs FS, name string, limit int64) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: nothing can be lost by it
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fault.New(fault.TooLarge, "read "+name, "the file has %d bytes, more than %d", n, limit)
	}
	b := make([]byte, n)
	got, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:got], nil
}

// Dir is the folder that holds name.
func Dir(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			return name[:i]
		}
	}
	return "."
}

// firstFault keeps the first fault of joined errors on top, so that callers see its code.
func firstFault(err error) error {
	if e := fault.As(err); e != nil {
		return e
	}
	return err
}
