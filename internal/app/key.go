package app

import (
	"context"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/secret"
)

// KeyCreate makes an API key.
type KeyCreate struct {
	Workspace string   `required:"" placeholder:"NAME" help:"The workspace that the key acts for."`
	Name      string   `required:"" placeholder:"NAME" help:"What the key is called in lists."`
	Scope     []string `default:"events.write" placeholder:"SCOPE" help:"What it allows: events.write, users.track."`
	JSON      bool     `name:"json" help:"As JSON."`
}

// Help teaches.
func (KeyCreate) Help() string {
	return `The key is printed once and kept only as a hash: write it down. A running server knows it within seconds.

    millrace key create --workspace acme --name backend`
}

// Run makes the key.
func (cmd KeyCreate) Run(ctx context.Context, c *Console, s Settings) error {
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // the commit was synced
	w, err := p.workspace(ctx, cmd.Workspace)
	if err != nil {
		return err
	}
	var scopes []control.Scope
	for _, x := range cmd.Scope {
		scopes = append(scopes, control.Scope(x))
	}
	k, key, err := p.rules().CreateKey(ctx, control.APIKey{Workspace: w.Number, Name: cmd.Name, Scopes: scopes}, secret.Value{})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.JSON(map[string]any{"id": k.ID, "workspace": w.Name, "name": k.Name, "scopes": k.Scopes, "key": key.Reveal()})
	}
	c.Print("%s", key.Reveal())
	c.Note("Key %q of workspace %s. It is shown this once.", k.Name, w.Name)
	return nil
}
