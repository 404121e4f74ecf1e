package app

import (
	"bufio"
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/s3"
	"github.com/millrace/millrace/internal/dial"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/vfs"
)

// Cat prints the records of Avro files.
type Cat struct {
	Paths     []string `arg:"" name:"path" help:"Files, folders (every .avro file below), s3://BUCKET/KEY-OR-PREFIX/, or - for standard input."`
	Schema    bool     `help:"Print the schema that the first file was written with, instead of its records."`
	Connector string   `placeholder:"[WORKSPACE/]NAME" help:"Read s3:// with this connector's stored credentials."`
	Endpoint  string   `placeholder:"URL" help:"Where s3:// is, if not Amazon S3."`
}

// Help teaches.
func (Cat) Help() string {
	return `Each record is one line of JSON with every field, so that jq and grep work on it:

    millrace cat demo-data/bucket | jq -r .id | sort | uniq -d

Credentials for s3:// come from --connector, else from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL.`
}

// Run prints.
func (cmd Cat) Run(ctx context.Context, c *Console, s Settings) error {
	out := bufio.NewWriterSize(c.Out, 256<<10)
	for _, p := range cmd.Paths {
		err := cmd.each(ctx, c, s, p, func(name string, r io.Reader) error {
			if cmd.Schema {
				f, err := avrofile.Open(r)
				if err != nil {
					return fault.Wrap(err, name)
				}
				out.WriteString(f.Schema() + "\n") // an error stays in out until Flush
				return errEnough
			}
			for line, err := range avrofile.Records(r) {
				if err != nil {
					return fault.Wrap(err, name)
				}
				out.Write(line)
				if err := out.WriteByte('\n'); err != nil {
					return err // nobody reads any more
				}
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			return nil
		})
		if err == errEnough {
			break
		}
		if err != nil {
			out.Flush() // what was read before stays useful; the first error is the one to report
			return err
		}
	}
	return out.Flush()
}

// errEnough ends a walk without being an error.
var errEnough = fault.New(fault.Internal, "", "enough was read")

// each calls do for every file that path names, in the order of names.
func (cmd Cat) each(ctx context.Context, c *Console, s Settings, path string, do func(name string, r io.Reader) error) error {
	if path == "-" {
		return do("standard input", c.In)
	}
	if rest, ok := strings.CutPrefix(path, "s3://"); ok {
		return cmd.eachObject(ctx, s, rest, do)
	}
	folder, name := at(path)
	info, err := folder.Stat(name)
	if err != nil {
		return fault.Wrap(err, "read "+path)
	}
	if !info.Dir {
		return eachFile(folder, name, path, do)
	}
	names, err := avroFiles(vfs.OS(path), ".")
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fault.New(fault.NotFound, "read "+path, "there is no .avro file below this folder")
	}
	for _, n := range names {
		if err := eachFile(vfs.OS(path), n, filepath.Join(path, filepath.FromSlash(n)), do); err != nil {
			return err
		}
	}
	return nil
}

func eachFile(folder vfs.FS, name, shown string, do func(name string, r io.Reader) error) error {
	f, err := folder.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() // read only
	r, err := fileReader(f)
	if err != nil {
		return err
	}
	return do(shown, r)
}

// avroFiles gives the .avro files below dir, sorted; names that begin with a dot are a store's own.
func avroFiles(folder vfs.FS, dir string) ([]string, error) {
	entries, err := folder.List(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := strings.TrimPrefix(dir+"/"+e.Name, "./")
		switch {
		case strings.HasPrefix(e.Name, "."):
		case e.Dir:
			below, err := avroFiles(folder, name)
			if err != nil {
				return nil, err
			}
			names = append(names, below...)
		case strings.HasSuffix(e.Name, ".avro"):
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (cmd Cat) eachObject(ctx context.Context, s Settings, rest string, do func(name string, r io.Reader) error) error {
	name, key, _ := strings.Cut(rest, "/")
	b, err := cmd.open(ctx, s, name)
	if err != nil {
		return err
	}
	defer b.Close() // idle connections only
	one := func(key string) error {
		r, _, err := b.Get(ctx, key)
		if err != nil {
			return err
		}
		defer r.Close() // read only
		return do("s3://"+name+"/"+key, r)
	}
	if strings.HasSuffix(key, ".avro") {
		return one(key)
	}
	found := false
	for o, err := range b.List(ctx, key) {
		if err != nil {
			return err
		}
		if strings.HasSuffix(o.Key, ".avro") {
			found = true
			if err := one(o.Key); err != nil {
				return err
			}
		}
	}
	if !found {
		return fault.New(fault.NotFound, "read s3://"+rest, "no .avro object begins with this key")
	}
	return nil
}

func (cmd Cat) open(ctx context.Context, s Settings, name string) (bucket.Bucket, error) {
	cfg, err := s.Load()
	if err != nil {
		return nil, err
	}
	opener := newOpener(cfg, dial.New(cfg.Dial.AllowedNetworks), s3.Key{})
	if cmd.Connector != "" {
		p, err := openPlane(ctx, cfg)
		if err != nil {
			return nil, err
		}
		defer p.Close()
		_, a, err := p.access(ctx, cmd.Connector)
		if err != nil {
			return nil, err
		}
		a.Bucket = name
		return opener.Open(a)
	}
	a := bucket.Access{Bucket: name, Endpoint: cmd.Endpoint}
	a.AccessKeyID, _ = s.env("AWS_ACCESS_KEY_ID")
	key, _ := s.env("AWS_SECRET_ACCESS_KEY")
	a.SecretAccessKey = secret.New(key)
	a.Region, _ = s.env("AWS_REGION")
	if a.Endpoint == "" {
		a.Endpoint, _ = s.env("AWS_ENDPOINT_URL")
	}
	a.PathStyle = a.Endpoint != ""
	if a.AccessKeyID == "" || key == "" {
		return nil, fault.New(fault.Unauthorized, "read s3://"+name, "there are no credentials").
			WithHint("Name a connector with --connector, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
	}
	return opener.Open(a)
}
