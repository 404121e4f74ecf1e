package avrofile

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/avro"

	"github.com/millrace/millrace/internal/event"
)

func ddlType() *event.Type {
	t := &event.Type{Name: "users.tests.Made", Record: "dataexport.S3.inner.users.tests.Made"}
	s := madeSchema()
	s.Type = t
	t.Versions = []*event.Schema{s}
	return t
}

func TestStatementsAreTheGoldenOnes(t *testing.T) {
	at := Location{Bucket: "acme-currents", Folder: "currents/o'neil", Cluster: "prod-01", Connector: "65f0c0ffee65f0c0ffee0001"}
	for _, d := range Dialects() {
		got := DDL(d, ddlType(), at)
		golden(t, string(d)+".sql", []byte(got))
		if !strings.Contains(got, "not run") {
			t.Errorf("%s does not say that it was not run", d)
		}
		for _, f := range madeSchema().Fields {
			if !strings.Contains(strings.ToLower(got), f.Name) {
				t.Errorf("%s leaves %s out", d, f.Name)
			}
		}
		if back, ok := ParseDialect(string(d)); !ok || back != d {
			t.Errorf("%s is not read back", d)
		}
	}
	if d, ok := ParseDialect("oracle"); ok {
		t.Errorf("oracle was read as %s", d)
	}
}

func TestSnowpipesPatternTellsTestEventsApart(t *testing.T) {
	// Snowflake matches the whole path.
	p := regexp.MustCompile("^(?:" + plainKey + ")$")
	n := exampleName()
	if !p.MatchString(n.Key()) {
		t.Errorf("%s is left out", n.Key())
	}
	if n.First = 12_345_678_901; !p.MatchString(n.Key()) {
		t.Errorf("%s is left out", n.Key())
	}
	if n.Target = 7; p.MatchString(n.Key()) {
		t.Errorf("%s is loaded", n.Key())
	}
}

func TestEverySchemaOfTheCatalogueHasStatementsAndIsRead(t *testing.T) {
	c, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, et := range c.Types() {
		for _, d := range Dialects() {
			if DDL(d, et, Location{Bucket: "b", Folder: "f", Cluster: "c", Connector: "i"}) == "" {
				t.Errorf("%s: none for %s", et.Name, d)
			}
		}
		s := readerSchema(et, et.Newest().Fields)
		reader, err := avro.Parse(s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		for _, v := range et.Versions {
			// A file of any version is read by the schema of the newest.
			writer, err := avro.Parse(v.Avro)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := avro.Resolve(writer, reader); err != nil {
				t.Errorf("%s, schema %d: %v", et.Name, v.ID, err)
			}
			cols, err := parseColumns([]byte(v.Avro))
			if err != nil {
				t.Errorf("%s, schema %d: %v", et.Name, v.ID, err)
				continue
			}
			want := make([]column, len(v.Fields))
			for i, f := range v.Fields {
				want[i] = column{f.Name, f.Kind, none, none}
				if f.Nullable {
					want[i].null = 0
				}
				if f.NullableItems {
					want[i].itemNull = 0
				}
			}
			if !reflect.DeepEqual(cols, want) {
				t.Errorf("%s, schema %d: %v, want %v", et.Name, v.ID, cols, want)
			}
		}
	}
}
