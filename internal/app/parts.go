package app

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/vfs"
)

// What lies in the data folder.
const (
	databaseName  = "millrace.db"
	peopleName    = "people.db" // see store.Profiles
	masterKeyName = "master.key"
	logFolder     = "log"
	lockSuffix    = ".lock" // of the file beside the master key: servers with folders of their own may share a key
	// serverLockName is locked by the process that works on the folder: a server, or a command that changes the log.
	serverLockName = "millrace.lock"
	// ownerFileName has a word drawn for the folder, see ownerName.
	ownerFileName = "millrace.owner"
)

// Limits of files that the operator gives.
const (
	maxKeyFile    = 1 << 20
	maxSchemaFile = 4 << 20
	maxManifest   = 4 << 20
	maxPEM        = 1 << 20
)

// readFile reads one of the operator's files by its path on the machine.
func readFile(path string, limit int64) ([]byte, error) {
	return vfs.ReadPath(path, limit)
}

// readAllLimited reads r to its end, but not more than limit bytes.
func readAllLimited(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fault.From(err, fault.Unavailable, "read standard input")
	}
	if int64(len(b)) > limit {
		return nil, fault.New(fault.TooLarge, "read standard input", "there are more than %s", size(limit))
	}
	return b, nil
}

// at gives the folder that holds path, and path's name in it.
func at(path string) (folder vfs.FS, name string) {
	return vfs.OS(filepath.Dir(path)), filepath.Base(path)
}

// fileReader reads f from its beginning.
func fileReader(f vfs.File) (io.Reader, error) {
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(f, 0, n), nil
}

// openCatalogue gives the event types: the built-in ones and those of the operator's schema folder.
func openCatalogue(cfg *config.Config) (*event.Catalogue, error) {
	if cfg.SchemaDir == "" {
		return event.NewCatalogue(nil)
	}
	folder := vfs.OS(cfg.SchemaDir)
	entries, err := folder.List(".")
	if err != nil {
		return nil, fault.Wrap(err, "read schema_dir "+cfg.SchemaDir)
	}
	var own []event.OwnFile
	for _, e := range entries {
		if e.Dir || !strings.HasSuffix(e.Name, ".avsc") {
			continue
		}
		b, err := vfs.ReadFile(folder, e.Name, maxSchemaFile)
		if err != nil {
			return nil, fault.Wrap(err, "read schema_dir "+cfg.SchemaDir)
		}
		own = append(own, event.OwnFile{Name: e.Name, Data: b})
	}
	return event.NewCatalogue(own)
}

// keyPath says where the master key is.
func keyPath(cfg *config.Config) string {
	if cfg.Keys.MasterKeyFile != "" {
		return cfg.Keys.MasterKeyFile
	}
	return filepath.Join(cfg.DataDir, masterKeyName)
}

// openKeyring gives the keys that seal credentials. On the first run, when there is no database yet, they are made
// in a file that only its owner can read; after that a missing file is an error, because new keys open nothing.
func openKeyring(ctx context.Context, cfg *config.Config, data vfs.FS) (*secret.Keyring, error) {
	path := keyPath(cfg)
	b, err := readFile(path, maxKeyFile)
	if fault.Is(err, fault.NotFound) {
		b, err = makeKeyring(ctx, cfg, data, path)
	}
	if err != nil {
		return nil, err
	}
	folder, name := at(path)
	read := func() ([]byte, error) { return readFile(path, maxKeyFile) }
	if info, err := folder.Stat(name); err == nil && !info.Regular {
		read = func() ([]byte, error) { return b, nil } // a pipe gives what it has once
	}
	k, err := secret.OpenKeyring(read)
	return k, fault.Wrap(err, "read the master key "+path)
}

func makeKeyring(ctx context.Context, cfg *config.Config, data vfs.FS, path string) ([]byte, error) {
	folder, name := at(path)
	if err := folder.MkdirAll("."); err != nil {
		return nil, err
	}
	// Two commands may meet on a fresh folder: one makes the key, the other waits and reads it.
	var lock io.Closer
	for {
		var err error
		if lock, err = folder.Lock(name + lockSuffix); err == nil {
			break
		}
		if !fault.Is(err, fault.Unavailable) || !sleep(ctx, lockWait) {
			return nil, err
		}
	}
	defer lock.Close() // an empty file's lock: nothing can be lost by it
	if b, err := readFile(path, maxKeyFile); err == nil || !fault.Is(err, fault.NotFound) {
		return b, err
	}
	if _, err := data.Stat(databaseName); err == nil {
		return nil, fault.New(fault.NotFound, "read the master key", "%s is missing, but the data folder %s has a database that was sealed with it", path, cfg.DataDir).
			WithHint("Put the file back from its backup, or name it with MILLRACE_MASTER_KEY_FILE. Without it the stored credentials cannot be read.")
	}
	k, err := secret.NewKeyring()
	if err != nil {
		return nil, err
	}
	b, err := k.Bytes()
	if err != nil {
		return nil, err
	}
	return b, fault.Wrap(vfs.WriteFile(folder, name, b), "make the master key "+path)
}
