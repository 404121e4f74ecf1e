package app

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

// Schema shows the catalogue of event types.
type Schema struct {
	Type      string `arg:"" optional:"" help:"One type; without it, all are listed."`
	Avro      bool   `help:"Print the Avro schema of the type's newest version."`
	DDL       string `name:"ddl" placeholder:"DIALECT" help:"Print a table definition: snowflake, athena, redshift, spark, bigquery, duckdb."`
	Connector string `placeholder:"[WORKSPACE/]NAME" help:"With --ddl: the connector whose files the table is over; without it, places to fill in stand in angle brackets."`
	JSON      bool   `name:"json" help:"As JSON."`
}

// Help teaches.
func (Schema) Help() string {
	return `Examples:

    millrace schema
    millrace schema users.messages.email.Open
    millrace schema users.messages.email.Open --ddl athena --connector acme/warehouse

Types of your own come from the folder that MILLRACE_SCHEMA_DIR names.`
}

// noSuchType is the error for a type that is not in the catalogue.
func noSuchType(catalogue *event.Catalogue, name string) error {
	hint := "All of them: millrace schema."
	if n := catalogue.Nearest(name); n != "" {
		hint = "The nearest is " + n + ". " + hint
	}
	return fault.New(fault.NotFound, "", "there is no event type %q", name).WithHint("%s", hint)
}

type schemaJSON struct {
	Type     string        `json:"type"`
	Group    event.Group   `json:"group"`
	Doc      string        `json:"doc"`
	Own      bool          `json:"own,omitempty"`
	Versions []versionJSON `json:"versions"`
}

type versionJSON struct {
	ID      event.SchemaID  `json:"schema_id"`
	Version int             `json:"version"`
	Avro    json.RawMessage `json:"avro,omitempty"`
}

// Run shows.
func (cmd Schema) Run(ctx context.Context, c *Console, s Settings) error {
	cfg, err := s.Load()
	if err != nil {
		return err
	}
	catalogue, err := openCatalogue(cfg)
	if err != nil {
		return err
	}
	types := catalogue.Types()
	if cmd.Type != "" {
		t, ok := catalogue.Type(cmd.Type)
		if !ok {
			return noSuchType(catalogue, cmd.Type)
		}
		types = []*event.Type{t}
	}
	switch {
	case cmd.DDL != "":
		d, ok := avrofile.ParseDialect(cmd.DDL)
		if !ok {
			return Usage(fmt.Sprintf("--ddl %q is none of %v", cmd.DDL, avrofile.Dialects()), "millrace schema --help shows how it is used")
		}
		at, err := cmd.location(ctx, s, cfg)
		if err != nil {
			return err
		}
		for i, t := range types {
			if i > 0 {
				c.Print("")
			}
			c.Print("%s", strings.TrimRight(avrofile.DDL(d, t, at), "\n"))
		}
		return nil
	case cmd.Avro:
		for _, t := range types {
			c.Print("%s", t.Newest().Avro)
		}
		return nil
	case cmd.JSON:
		all := []schemaJSON{}
		for _, t := range types {
			j := schemaJSON{Type: t.Name, Group: t.Group, Doc: t.Doc, Own: t.Own}
			for _, v := range t.Versions {
				vj := versionJSON{ID: v.ID, Version: v.Version}
				if cmd.Type != "" {
					vj.Avro = json.RawMessage(v.Avro)
				}
				j.Versions = append(j.Versions, vj)
			}
			all = append(all, j)
		}
		return c.JSON(all)
	case cmd.Type != "":
		return describe(c, types[0])
	}
	w := tabwriter.NewWriter(c.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "TYPE\tGROUP\tSCHEMA IDS\tFIELDS")
	for _, t := range types {
		var ids []string
		for _, v := range t.Versions {
			ids = append(ids, fmt.Sprint(v.ID))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", t.Name, t.Group, strings.Join(ids, ","), len(t.Newest().Fields))
	}
	return w.Flush()
}

// location says where a connector's files are.
func (cmd Schema) location(ctx context.Context, s Settings, cfg *config.Config) (avrofile.Location, error) {
	if cmd.Connector == "" {
		return avrofile.Location{Bucket: "<bucket>", Folder: control.DefaultFolder, Cluster: cfg.Delivery.Cluster, Connector: "<connector id>"}, nil
	}
	p, _, conn, err := openConnector(ctx, s, cmd.Connector)
	if err != nil {
		return avrofile.Location{}, err
	}
	defer p.Close() // only read
	d := conn.Destination
	return avrofile.Location{Bucket: d.Bucket, Folder: d.Folder, Cluster: d.Cluster, Connector: string(conn.Connector)}, nil
}

// describe prints one type with its fields; a field that came with a later version says with which.
func describe(c *Console, t *event.Type) error {
	c.Print("%s (%s)\n%s\n", t.Name, t.Group, t.Doc)
	since := map[string]event.SchemaID{}
	for _, v := range t.Versions {
		c.Print("schema id %d, version %d, %d fields", v.ID, v.Version, len(v.Fields))
		for _, f := range v.Fields {
			if _, seen := since[f.Name]; !seen {
				since[f.Name] = v.ID
			}
		}
	}
	c.Print("")
	w := tabwriter.NewWriter(c.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "FIELD\tTYPE\tSINCE\tMEANING")
	for _, f := range t.Newest().Fields {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", f.Name, f.Notation(), since[f.Name], f.Doc)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	c.Print("\nA type that ends in ? may be null and may be left out.")
	return nil
}
