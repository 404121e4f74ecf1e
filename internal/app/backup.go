package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/vfs"
)

// What lies in the folder of a backup: copies of the databases, and, written last, what they are copies of.
const (
	backupName = "backup.json"
	backupForm = 1 // of that file; it changes when an older program could not read it
	maxBackup  = 1 << 20
)

// backup is what a backup's file says.
type backup struct {
	Form    int       `json:"millrace_backup"`
	Version string    `json:"version"` // of the program that made it
	Log     string    `json:"log"`     // that positions and ledger speak of; empty: none yet
	MadeAt  time.Time `json:"made_at"`
	copied
	// People is of a moment after that. Which events it has its own cursor says. nil: none were kept.
	People *copied `json:"people,omitempty"`
}

// copied is the copy of one database.
type copied struct {
	Schema int    `json:"schema"`
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// copyDatabase makes the copy of a database in the folder dir.
func copyDatabase(ctx context.Context, dir, name string, copyTo func(ctx context.Context, path string) (schema int, err error)) (c copied, err error) {
	folder := vfs.OS(dir)
	if err := reserveDatabase(folder, name); err != nil {
		return c, err
	}
	c.File = name
	if c.Schema, err = copyTo(ctx, filepath.Join(dir, name)); err != nil {
		return c, err
	}
	c.Bytes, c.SHA256, err = fixed(folder, name)
	return c, err
}

// copyPeople makes the copy of what is kept of users; nil if there is nothing.
func (p *plane) copyPeople(ctx context.Context, dir string) (*copied, error) {
	where := store.Config{URL: p.cfg.Database.URL}
	if where.URL.Empty() {
		where.Path = filepath.Join(p.cfg.DataDir, peopleName)
		if _, err := p.data.Stat(peopleName); err != nil {
			if fault.Is(err, fault.NotFound) {
				err = nil
			}
			return nil, err
		}
	}
	db, err := store.OpenProfiles(ctx, where)
	if err != nil {
		return nil, err
	}
	c, err := copyDatabase(ctx, dir, peopleName, db.CopyTo)
	return &c, errors.Join(err, db.Close())
}

// Backup copies the control plane.
type Backup struct {
	Dir  string `arg:"" name:"dir" placeholder:"DIR" help:"Folder for the copy: a new one, or one that is empty."`
	JSON bool   `name:"json" help:"As JSON."`
}

// Help teaches.
func (Backup) Help() string {
	return `The copy holds workspaces, members, keys, connectors, their positions and the ledger, as they were at one moment, and user profiles and statistics. Servers go on beside it.

    millrace backup /backups/millrace-2026-11-22

It does not hold the master key, without which the stored credentials open for nobody: keep a copy of the key's file in another place, and a new one after each "millrace secret rotate". It does not hold the log either: what was accepted and not delivered when a disk is lost is lost with the disk.

A database in PostgreSQL is copied into the same files, which either database is restored from. PostgreSQL's own tools copy a large one sooner; docs/operator.md has the commands.`
}

// Run copies.
func (cmd Backup) Run(ctx context.Context, c *Console, s Settings) error {
	const op = "back up"
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // nothing was written
	folder := vfs.OS(cmd.Dir)
	if had, err := folder.List("."); err == nil && len(had) > 0 {
		return fault.New(fault.Conflict, op, "%s is not empty", cmd.Dir).WithHint("Name a folder that does not exist: a backup overwrites nothing.")
	}
	if err := folder.MkdirAll("."); err != nil {
		return fault.Wrap(err, "make the folder "+cmd.Dir)
	}
	b := backup{Form: backupForm, Version: c.Version, MadeAt: time.Now().UTC().Truncate(time.Second)}
	if id, known, err := p.store.CurrentLog(ctx); err != nil {
		return err
	} else if known {
		b.Log = id.String()
	}
	if b.copied, err = copyDatabase(ctx, cmd.Dir, databaseName, p.store.CopyTo); err != nil {
		return err
	}
	if b.People, err = p.copyPeople(ctx, cmd.Dir); err != nil {
		return err
	}
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return fault.From(err, fault.Internal, op)
	}
	if err := vfs.WriteFile(folder, backupName, append(text, '\n')); err != nil {
		return err
	}
	if cmd.JSON {
		return c.JSON(b)
	}
	c.Print("%s copied to %s, schema %d", size(b.Bytes), cmd.Dir, b.Schema)
	if b.People != nil {
		c.Print("%s of user profiles beside it, schema %d", size(b.People.Bytes), b.People.Schema)
	}
	c.Note("The master key is not in it. Keep a copy of %s in another place: without it the credentials in the backup open for nobody.", keyPath(p.cfg))
	return nil
}

// fixed makes a file durable and gives its size and checksum.
func fixed(folder vfs.FS, name string) (n int64, sum string, err error) {
	f, err := folder.OpenAppend(name)
	if err != nil {
		return 0, "", err
	}
	defer f.Close() // it was synced
	r, err := fileReader(f)
	if err != nil {
		return 0, "", err
	}
	h := sha256.New()
	if n, err = io.Copy(h, r); err != nil {
		return 0, "", err
	}
	return n, hex.EncodeToString(h.Sum(nil)), f.Sync()
}

// Restore puts a backup in the place of a control plane that is gone.
type Restore struct {
	Dir  string `arg:"" optional:"" name:"dir" placeholder:"DIR" help:"Folder of the backup. None: PostgreSQL's own tools have put a copy back."`
	JSON bool   `name:"json" help:"As JSON."`
}

// Help teaches.
func (Restore) Help() string {
	return `The backup is put into the data folder that the settings name, which must have no database; a log may be there. First put the copy of the master key back, as master.key in the data folder or where MILLRACE_MASTER_KEY_FILE says: the backup is checked whole, and that the key opens what is sealed in it, before anything stands in its place.

    MILLRACE_DATA_DIR=/var/lib/millrace millrace restore /backups/millrace-2026-11-22

Sessions and open invitations end, since they may have ended since the backup; whoever and whatever was taken away since then is there again.

With MILLRACE_DATABASE_URL the backup goes to PostgreSQL: into that database, which must be new and empty, all of it or nothing. Where it was made does not matter, so a control plane moves from either database to the other: stop the server, back up, restore, and start it with the address of the new database, or without.

    MILLRACE_DATABASE_URL=postgres://… millrace restore /backups/millrace-2026-11-22

A dump that PostgreSQL's own tools made is put back by them. Then run "millrace restore" without DIR, with every server stopped: it refuses while one works there, sees that the master key opens what is sealed, and ends leases, sessions and open invitations.

Then start the server. It finds in the buckets what was delivered since the backup, and writes nothing twice. If the log was lost, or is an older copy, it refuses to start and names "millrace log accept", which lists as lost what nobody can bring back.`
}

// Run restores.
func (cmd Restore) Run(ctx context.Context, c *Console, s Settings) error {
	const op = "restore"
	cfg, err := s.Load()
	if err != nil {
		return err
	}
	sql := !cfg.Database.URL.Empty()
	switch {
	case sql && cmd.Dir == "":
		return cmd.revive(ctx, c, s)
	case cmd.Dir == "":
		return fault.New(fault.Invalid, op, "which backup?").WithHint("Name its folder: millrace restore DIR.")
	}
	from, data := vfs.OS(cmd.Dir), vfs.OS(cfg.DataDir)
	b, err := readBackup(from, cmd.Dir)
	if err != nil {
		return err
	}
	if _, err := readFile(keyPath(cfg), maxKeyFile); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = fault.New(fault.NotFound, op, "there is no master key at %s", keyPath(cfg)).
				WithHint("Put the copy of the key there, which is kept apart from the backup, or name it with MILLRACE_MASTER_KEY_FILE.")
		}
		return err
	}
	if err := data.MkdirAll("."); err != nil {
		return fault.Wrap(err, "make the data folder "+cfg.DataDir)
	}
	lock, err := data.Lock(serverLockName)
	if err != nil {
		return err
	}
	defer lock.Close() // an empty file
	had, err := data.List(".")
	if err != nil {
		return err
	}
	for _, e := range had {
		taken := strings.HasPrefix(e.Name, databaseName) || b.People != nil && strings.HasPrefix(e.Name, peopleName)
		if taken && !sql && !isRestoring(e.Name) {
			return fault.New(fault.Conflict, op, "the data folder %s has a database: %s", cfg.DataDir, e.Name).
				WithHint("Name another data folder, or move the database and the files beside it away; restore overwrites nothing.")
		}
	}
	if err := errors.Join(removeRestoring(data), prepare(ctx, cfg, from, data, b)); err != nil {
		return errors.Join(err, removeRestoring(data))
	}
	put, to := putInPlace, cfg.DataDir
	if sql {
		put, to = putIntoPostgres, "PostgreSQL"
	}
	if err := put(ctx, cfg, data, b); err != nil {
		return errors.Join(err, removeRestoring(data))
	}
	if cmd.JSON {
		return c.JSON(map[string]any{"data_dir": cfg.DataDir, "backup": b})
	}
	c.Print("restored to %s: the control plane of %s, made by version %s", to, b.MadeAt.Format(time.RFC3339), b.Version)
	c.Note(restored)
	c.Note("Start the server. If the log is not there any more, or an older one, it names millrace log accept.")
	return nil
}

// putInPlace gives the databases that prepare has made their names.
func putInPlace(_ context.Context, _ *config.Config, data vfs.FS, b backup) error {
	if b.People != nil {
		if err := data.Rename(peopleName+restoring, peopleName); err != nil {
			return err
		}
	}
	if err := data.Rename(databaseName+restoring, databaseName); err != nil {
		return err
	}
	return data.SyncDir(".")
}

// putIntoPostgres copies the databases that prepare has made into the one that the settings name, and takes them away.
// Errors: conflict if that is not empty.
func putIntoPostgres(ctx context.Context, cfg *config.Config, data vfs.FS, b backup) (err error) {
	var open []io.Closer
	defer func() {
		for _, db := range open {
			err = errors.Join(err, db.Close())
		}
		err = errors.Join(err, removeRestoring(data))
	}()
	p, err := openPlane(ctx, cfg)
	if err != nil {
		return err
	}
	open = append(open, p)
	keyring, err := openKeyring(ctx, cfg, data)
	if err != nil {
		return err
	}
	from, err := store.Open(ctx, store.Config{Path: filepath.Join(cfg.DataDir, databaseName+restoring), Keyring: keyring, Catalogue: p.catalogue})
	if err != nil {
		return err
	}
	open = append(open, from)
	all := []*store.Store{from}
	if b.People != nil {
		for _, at := range []store.Config{{URL: cfg.Database.URL}, {Path: filepath.Join(cfg.DataDir, peopleName+restoring)}} {
			people, err := store.OpenProfiles(ctx, at)
			if err != nil {
				return err
			}
			open = append(open, people)
			if at.URL.Empty() {
				all = append(all, people.Store())
			}
		}
	}
	return p.store.Fill(ctx, all...)
}

// restored says what follows a restore.
const restored = "Members sign in again, and open invitations have to be sent again. Members, API keys and tokens that were taken away since then are there again: look through them."

// revive makes a database of PostgreSQL fit for use that its own tools have put back.
func (cmd Restore) revive(ctx context.Context, c *Console, s Settings) error {
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // the commit was synced
	lock, err := p.takeFolder()
	if err != nil {
		return err
	}
	defer lock.Close() // an empty file
	if err = p.store.CheckSealed(ctx); err == nil {
		err = p.store.Revive(ctx, false)
	}
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.JSON(map[string]any{"data_dir": p.cfg.DataDir})
	}
	c.Print("the database is fit for use again")
	c.Note(restored)
	return nil
}

// restoring ends a database's name until all of it is checked.
const restoring = ".restoring"

// isRestoring reports whether a file is such a database, or stands beside one.
func isRestoring(name string) bool {
	return strings.HasPrefix(name, databaseName+restoring) || strings.HasPrefix(name, peopleName+restoring)
}

// removeRestoring takes away what a restore left that did not come to its end: a whole copy, with what is sealed in it.
func removeRestoring(data vfs.FS) error {
	had, err := data.List(".")
	for _, e := range had {
		if isRestoring(e.Name) {
			err = errors.Join(err, data.Remove(e.Name))
		}
	}
	return err
}

// prepare puts the backup's database beside its place and sees that it is whole and that the master key opens it.
func prepare(ctx context.Context, cfg *config.Config, from, data vfs.FS, b backup) error {
	if err := copyChecked(from, data, b.copied); err != nil {
		return err
	}
	if b.People != nil {
		if err := copyChecked(from, data, *b.People); err != nil {
			return err
		}
		people, err := store.OpenProfiles(ctx, store.Config{Path: filepath.Join(cfg.DataDir, peopleName+restoring)})
		if err != nil {
			return err
		}
		if err := people.Close(); err != nil {
			return err
		}
	}
	catalogue, err := openCatalogue(cfg)
	if err != nil {
		return err
	}
	keyring, err := openKeyring(ctx, cfg, data)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(cfg.DataDir, databaseName+restoring), Keyring: keyring, Catalogue: catalogue})
	if err != nil {
		return err
	}
	if err = db.CheckSealed(ctx); err == nil {
		err = db.Revive(ctx, true)
	}
	return errors.Join(err, db.Close())
}

// readBackup reads what a backup says of itself.
func readBackup(folder vfs.FS, dir string) (b backup, err error) {
	const op = "read the backup"
	text, err := vfs.ReadFile(folder, backupName, maxBackup)
	if fault.Is(err, fault.NotFound) {
		return b, fault.New(fault.NotFound, op, "there is no backup in %s, or one that did not come to its end: %s is missing", dir, backupName)
	}
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &b); err != nil || b.Form < 1 || b.File != databaseName || b.People != nil && b.People.File != peopleName {
		return b, fault.New(fault.Corrupt, op, "%s in %s is not what millrace backup wrote", backupName, dir).WithCause(err)
	}
	if newest := store.NewestSchema(); b.Form > backupForm || b.Schema > newest {
		return b, fault.New(fault.Unavailable, op, "the backup was made by version %s, with schema %d; this version knows schemas up to %d", b.Version, b.Schema, newest).
			WithHint("Restore it with version %s, or a newer one.", b.Version)
	}
	return b, nil
}

// copyChecked copies a database of the backup to its place for checks, and compares size and checksum on the way.
func copyChecked(from, to vfs.FS, b copied) error {
	in, err := from.Open(b.File)
	if err != nil {
		return err
	}
	defer in.Close() // only read
	r, err := fileReader(in)
	if err != nil {
		return err
	}
	out, err := to.Create(b.File + restoring)
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, h), r)
	if err == nil {
		err = out.Sync()
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	if n != b.Bytes || hex.EncodeToString(h.Sum(nil)) != b.SHA256 {
		return fault.New(fault.Corrupt, "read the backup", "%s is not what was written: it has %d bytes with SHA-256 %x, and should have %d with %s", b.File, n, h.Sum(nil), b.Bytes, b.SHA256).
			WithHint("Take another copy of the backup.")
	}
	return nil
}
