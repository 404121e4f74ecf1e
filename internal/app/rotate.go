package app

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/vfs"
)

// SecretRotate puts a fresh master key in the place of the current one.
type SecretRotate struct {
	DropFormer bool   `help:"Then take the former keys out of the file, too; see secret reseal."`
	Out        string `placeholder:"FILE" help:"Write the new keys to FILE and change nothing else: for a key file that this command may not write."`
	JSON       bool   `name:"json" help:"As JSON."`
}

// Help teaches.
func (SecretRotate) Help() string {
	return `A fresh key is written into the master key file beside the one before, and everything that is stored is sealed anew under it. Servers take it up by themselves, and nothing stops. It may be interrupted at any point and run again.

    millrace secret rotate

Former keys stay in the file: they only open, which a backup that was made before needs. "millrace secret reseal --drop-former" takes them out.

If there are copies of the file, on other machines or in a store of secrets, replace them. If the file is one of those copies, which this command may not write: --out FILE writes the new keys to another file, both keys in it; put that in the place of all copies, and then run "millrace secret reseal".`
}

// Run rotates.
func (cmd SecretRotate) Run(ctx context.Context, c *Console, s Settings) error {
	if cmd.Out != "" && cmd.DropFormer {
		return Usage("--out and --drop-former do not go together", "Put the new file in its place first; then millrace secret reseal --drop-former.")
	}
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // commits were synced
	k, err := p.openKeyFile()
	if err != nil {
		return err
	}
	defer k.lock.Close() // an empty file
	fresh, err := k.ring.Rotated()
	if err != nil {
		return err
	}
	if cmd.Out != "" {
		return k.writeApart(c, fresh, cmd.Out)
	}
	if err := k.write(fresh); err != nil {
		return err
	}
	return k.reseal(ctx, c, cmd.DropFormer, cmd.JSON)
}

// SecretReseal seals anew what is sealed under a former master key.
type SecretReseal struct {
	DropFormer bool `help:"Take the former keys out of the file when nothing is sealed under them any more. It waits half a minute for what other processes have begun."`
	JSON       bool `name:"json" help:"As JSON."`
}

// Help teaches.
func (SecretReseal) Help() string {
	return `What is stored and sealed under a former key of the master key file is sealed under the current one. "millrace secret rotate" does it by itself; this is for when the file was put in its place by somebody else, or to take the former keys out.

After --drop-former a backup that was made before the rotation opens only with a copy of the file as it was: keep one with it.`
}

// Run seals anew.
func (cmd SecretReseal) Run(ctx context.Context, c *Console, s Settings) error {
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // commits were synced
	k, err := p.openKeyFile()
	if err != nil {
		return err
	}
	defer k.lock.Close() // an empty file
	return k.reseal(ctx, c, cmd.DropFormer, cmd.JSON)
}

// keyFile is the master key file in the hands of a command that changes it.
type keyFile struct {
	p      *plane
	lock   io.Closer
	folder vfs.FS
	name   string
	path   string
	ring   *secret.Keyring // as it stands in the file
	settle time.Duration
}

// settleTime is longer than a process takes from sealing a value to the end of its commit.
const settleTime = 30 * time.Second

func (p *plane) openKeyFile() (k *keyFile, err error) {
	const op = "change the master key"
	path, err := vfs.Resolve(keyPath(p.cfg)) // what a link leads to is what is replaced
	if err != nil {
		return nil, err
	}
	folder, name := at(path)
	lock, err := folder.Lock(name + lockSuffix)
	switch {
	case fault.Is(err, fault.Unavailable):
		return nil, fault.New(fault.Conflict, op, "another command changes it at the moment").WithHint("Wait until it has ended.").WithCause(err)
	case fault.Is(err, fault.Forbidden): // who may write nothing here changes no key, and may all the same seal anew under it
		lock, err = io.NopCloser(nil), nil
	case err != nil:
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close() // an empty file
		}
	}()
	k = &keyFile{p: p, lock: lock, folder: folder, name: name, path: path, settle: settleTime}
	b, err := vfs.ReadFile(k.folder, k.name, maxKeyFile)
	if err != nil {
		return nil, err
	}
	k.ring, err = secret.ParseKeyring(b)
	return k, fault.Wrap(err, "read the master key "+path)
}

// write puts ring into the file in one step.
func (k *keyFile) write(ring *secret.Keyring) error {
	const op = "write the master key"
	info, err := k.p.data.Stat(".")
	if err != nil {
		return err
	}
	if info.Foreign {
		return fault.New(fault.Forbidden, op, "the data folder %s belongs to another user, whose server could not read the new file", k.p.cfg.DataDir).
			WithHint("Run the command as that user, with sudo -u or runuser.")
	}
	b, err := ring.Bytes()
	if err != nil {
		return err
	}
	err = vfs.WriteFile(k.folder, k.name, b)
	if fault.Is(err, fault.Forbidden) {
		err = fault.New(fault.Forbidden, op, "%s cannot be written by this user", k.path).
			WithHint("Run the command as the user who may, or write the new keys to another file with millrace secret rotate --out FILE and put that in its place.").WithCause(err)
	}
	if err == nil {
		k.ring = ring
	}
	return err
}

// writeApart puts ring into a new file.
func (k *keyFile) writeApart(c *Console, ring *secret.Keyring, path string) error {
	folder, name := at(path)
	if _, err := folder.Stat(name); err == nil {
		return fault.New(fault.Conflict, "write the master key", "%s exists", path).WithHint("Name a file that does not.")
	}
	b, err := ring.Bytes()
	if err != nil {
		return err
	}
	if err := vfs.WriteFile(folder, name, b); err != nil {
		return err
	}
	c.Print("%s holds a new key and the former ones", path)
	c.Note("Put it in the place of %s and of each copy, then run: %s secret reseal", k.path, c.Program)
	return nil
}

// reseal seals anew what is under former keys, and takes these out of the file if that is wanted.
func (k *keyFile) reseal(ctx context.Context, c *Console, drop, asJSON bool) error {
	n, err := k.p.store.Reseal(ctx)
	if err != nil {
		return fault.Wrap(err, "seal anew what is stored")
	}
	dropped := 0
	if drop && k.ring.Former() > 0 {
		dropped = k.ring.Former()
		c.Note("%s sealed anew; waiting %s for what other processes have begun", quantity(int64(n), "value", "values"), k.settle)
		more, err := k.drop(ctx)
		if err != nil {
			return err
		}
		n += more
	}
	if asJSON {
		return c.JSON(map[string]any{"file": k.path, "resealed": n, "former_keys": k.ring.Former(), "dropped_keys": dropped})
	}
	c.Print("%s sealed anew under the current key of %s", quantity(int64(n), "value", "values"), k.path)
	switch former := int64(k.ring.Former()); {
	case dropped > 0:
		c.Print("%s taken out of the file", quantity(int64(dropped), "former key", "former keys"))
		c.Note("Backups from before open with a copy of the file as it was, and no longer with this one.")
	case former > 0:
		c.Print("%s in the file, for backups that were made before", quantity(former, "former key stays", "former keys stay"))
		c.Note("Make a copy of the file, apart from the backups: what is sealed now opens with no older one.")
	default:
		c.Print("there is no former key in the file")
	}
	return nil
}

// drop takes the former keys out of the file. Processes seal under the current key from the moment it is in the file,
// so what is under a former one was begun before.
func (k *keyFile) drop(ctx context.Context) (n int, err error) {
	if !sleep(ctx, k.settle) {
		return 0, context.Cause(ctx) // they stay, which harms nothing
	}
	if n, err = k.p.store.Reseal(ctx); err != nil {
		return n, fault.Wrap(err, "seal anew what is stored")
	}
	return n, k.takeOut(context.WithoutCancel(ctx))
}

// takeOut takes the former keys out of the file, and puts them back if anything needs them.
func (k *keyFile) takeOut(ctx context.Context) error {
	all := k.ring
	alone, err := all.Alone()
	if err != nil {
		return err
	}
	if err := k.write(alone); err != nil {
		return err
	}
	// What was committed under a former key in spite of all does not open now.
	if _, err := k.p.store.Reseal(ctx); err != nil {
		return errors.Join(fault.New(fault.Conflict, "take the former master keys out", "something was sealed under them meanwhile; they are in the file again").
			WithHint("Run the command again.").WithCause(err), k.write(all))
	}
	return nil
}
