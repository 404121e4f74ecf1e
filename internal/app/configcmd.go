package app

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/millrace/millrace/internal/bucket/s3"
	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/dial"
)

// ConfigPrint prints the settings that hold.
type ConfigPrint struct {
	JSON bool `name:"json" help:"As JSON: name, value, origin."`
}

// Help teaches.
func (ConfigPrint) Help() string {
	return `The output is a settings file that can be used as it is; comments say where each value comes from. Secrets are never printed.

    millrace config print > millrace.yaml
    millrace serve --config millrace.yaml`
}

// Run prints.
func (cmd ConfigPrint) Run(_ context.Context, c *Console, s Settings) error {
	cfg, err := s.Load()
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.JSON(cfg.Entries())
	}
	return cfg.Print(c.Out)
}

// ConfigCheck checks the settings, and the schema files and the bucket for exports that they name.
type ConfigCheck struct{}

// Run checks.
func (ConfigCheck) Run(ctx context.Context, c *Console, s Settings) error {
	cfg, err := s.Load()
	if err != nil {
		return err
	}
	if _, err := openCatalogue(cfg); err != nil {
		return err
	}
	if err := proveOwnBucket(ctx, cfg, newOpener(cfg, dial.New(cfg.Dial.AllowedNetworks), s3.Key{})); err != nil {
		return err
	}
	given := 0
	for _, e := range cfg.Entries() {
		if e.Given() {
			given++
		}
	}
	c.Print("%d settings, %d of them given: all right", len(config.Table()), given)
	return nil
}

// Version prints the program's version.
type Version struct {
	JSON bool `name:"json" help:"As JSON."`
}

// Run prints.
func (cmd Version) Run(_ context.Context, c *Console, _ Settings) error {
	v := struct {
		Version  string `json:"version"`
		Commit   string `json:"commit,omitempty"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{Version: c.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				v.Commit = s.Value
			}
		}
	}
	if cmd.JSON {
		return c.JSON(v)
	}
	c.Print("millrace %s (%s, %s)", v.Version, v.Go, v.Platform)
	return nil
}
