package avrofile

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/internal/event"
)

// Dialect is a system that reads files from the bucket, by the name that the command line takes.
type Dialect string

// The dialects.
const (
	Snowflake Dialect = "snowflake"
	Athena    Dialect = "athena"
	Redshift  Dialect = "redshift"
	Spark     Dialect = "spark"
	BigQuery  Dialect = "bigquery"
	DuckDB    Dialect = "duckdb"
)

// Dialects gives all of them in the order in which they are documented.
func Dialects() []Dialect { return []Dialect{Snowflake, Athena, Redshift, Spark, BigQuery, DuckDB} }

// ParseDialect gives the dialect with the given name.
func ParseDialect(s string) (Dialect, bool) {
	for _, d := range Dialects() {
		if string(d) == s {
			return d, true
		}
	}
	return "", false
}

// Location is where a connector's files are.
type Location struct {
	Bucket    string
	Folder    string // without slashes at its ends; may be empty
	Cluster   string
	Connector string
}

// url is s3://BUCKET/…/event_type=TYPE, without a slash at its end.
func (l Location) url(scheme string, t *event.Type) string {
	return scheme + "://" + l.Bucket + "/" + ConnectorPrefix(l.Folder, l.Cluster, l.Connector) + "event_type=" + t.Name
}

// DDL gives the statements that make the files of type t at l readable in d, or load them.
//
// Columns are those of the newest version: files of older versions lack some, and give null there. Every form
// leaves files of test events out and offers the hour of acceptance as accepted_hour (redshift, where COPY cannot
// see a file's name, does neither). What the reader must fill in stands in angle brackets.
//
// The statements were written from the vendors' documentation and not run; their first line says so.
func DDL(d Dialect, t *event.Type, l Location) string {
	b := &strings.Builder{}
	s := t.Newest()
	fmt.Fprintf(b, "-- %s: %s, schema id %d. Written from the documentation of %s, not run by this project.\n", d, t.Name, s.ID, d)
	w := ddl{b: b, table: strings.ToLower(strings.ReplaceAll(t.Name, ".", "_")), fields: s.Fields, of: l, t: t}
	switch d {
	case Snowflake:
		w.snowflake()
	case Athena:
		w.athena()
	case Redshift:
		w.redshift()
	case Spark:
		w.spark()
	case BigQuery:
		w.bigquery()
	case DuckDB:
		w.duckdb()
	default:
		panic("avrofile: no dialect " + string(d))
	}
	return b.String()
}

type ddl struct {
	b      *strings.Builder
	table  string
	fields []event.Field
	of     Location
	t      *event.Type
}

func (w ddl) line(format string, args ...any) { fmt.Fprintf(w.b, format+"\n", args...) }

// list writes one line for each field, with a comma after each but the last; more follows if there is more.
func (w ddl) list(more bool, line func(f event.Field) string) {
	for i, f := range w.fields {
		end := ","
		if i == len(w.fields)-1 && !more {
			end = ""
		}
		w.line("  %s%s", line(f), end)
	}
}

// sqlText quotes a text as the standard has it; slashText as those do that know the backslash.
func sqlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
func slashText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// plainKey matches the keys of all files but those of test events.
const plainKey = `.*[+][0-9]+[+][0-9]+[.]avro`

func (w ddl) snowflake() {
	types := map[event.Kind]string{event.String: "VARCHAR", event.Int: "NUMBER(10,0)", event.Long: "NUMBER(19,0)", event.Float: "FLOAT",
		event.Double: "FLOAT", event.Boolean: "BOOLEAN", event.Strings: "ARRAY"}
	// Quoted names in upper case are what Snowflake makes of names without quotes, so reserved words are no trouble
	// and queries need no quotes.
	name := func(f event.Field) string { return `"` + strings.ToUpper(f.Name) + `"` }
	w.line(`CREATE TABLE IF NOT EXISTS %s (`, w.table)
	w.list(true, func(f event.Field) string {
		if f.Nullable {
			return name(f) + " " + types[f.Kind]
		}
		return name(f) + " " + types[f.Kind] + " NOT NULL"
	})
	w.line("  accepted_hour VARCHAR NOT NULL,\n  file_name VARCHAR NOT NULL\n);")
	w.line("CREATE STAGE IF NOT EXISTS %s_files\n  URL = %s\n  STORAGE_INTEGRATION = <storage_integration>\n  FILE_FORMAT = (TYPE = AVRO);", w.table, sqlText(w.of.url("s3", w.t)+"/"))
	w.line("-- Snowpipe loads each file once. Files never change, so nothing needs to be loaded again.")
	w.line("CREATE PIPE IF NOT EXISTS %s_pipe AUTO_INGEST = TRUE AS\nCOPY INTO %s FROM (\n  SELECT", w.table, w.table)
	w.list(true, func(f event.Field) string {
		kind, _, _ := strings.Cut(types[f.Kind], "(")
		return fmt.Sprintf(`  $1:"%s"::%s`, f.Name, kind)
	})
	w.line("    REGEXP_SUBSTR(METADATA$FILENAME, 'date=([0-9-]+)', 1, 1, 'e'),\n    METADATA$FILENAME\n  FROM @%s_files\n)\nPATTERN = %s\nFILE_FORMAT = (TYPE = AVRO);", w.table, sqlText(plainKey))
}

var hiveTypes = map[event.Kind]string{event.String: "string", event.Int: "int", event.Long: "bigint", event.Float: "float",
	event.Double: "double", event.Boolean: "boolean", event.Strings: "array<string>"}

func (w ddl) athena() {
	w.line("CREATE EXTERNAL TABLE IF NOT EXISTS %s_files (", w.table)
	w.list(false, func(f event.Field) string { return "`" + f.Name + "` " + hiveTypes[f.Kind] })
	w.line(")\nPARTITIONED BY (accepted_hour string)")
	w.line("ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.avro.AvroSerDe'")
	// The schema to read by, without documentation: fields that a file lacks get its defaults.
	w.line("WITH SERDEPROPERTIES ('avro.schema.literal' = %s)", sqlText(readerSchema(w.t, w.fields)))
	w.line("STORED AS AVRO\nLOCATION %s", sqlText(w.of.url("s3", w.t)+"/"))
	w.line("TBLPROPERTIES (\n  'projection.enabled' = 'true',\n  'projection.accepted_hour.type' = 'date',\n  'projection.accepted_hour.format' = 'yyyy-MM-dd-HH',")
	w.line("  'projection.accepted_hour.range' = '<first hour, as 2026-01-01-00>,NOW',\n  'projection.accepted_hour.interval' = '1',\n  'projection.accepted_hour.interval.unit' = 'HOURS',")
	w.line("  'storage.location.template' = %s\n);", sqlText(w.of.url("s3", w.t)+"/date=${accepted_hour}/"))
	w.line("CREATE OR REPLACE VIEW %s AS\nSELECT * FROM %s_files WHERE \"$path\" NOT LIKE '%%+test-%%';", w.table, w.table)
}

func (w ddl) redshift() {
	types := map[event.Kind]string{event.String: "VARCHAR(65535)", event.Int: "INTEGER", event.Long: "BIGINT", event.Float: "REAL",
		event.Double: "DOUBLE PRECISION", event.Boolean: "BOOLEAN", event.Strings: "VARCHAR(65535)"}
	w.line("-- Arrays arrive as JSON text; texts of more than 65,535 bytes are cut.")
	w.line("-- Events sent as a test are loaded too; their id begins with test-.")
	w.line("CREATE TABLE IF NOT EXISTS %s (", w.table)
	w.list(false, func(f event.Field) string {
		if f.Nullable {
			return `"` + f.Name + `" ` + types[f.Kind]
		}
		return `"` + f.Name + `" ` + types[f.Kind] + " NOT NULL"
	})
	w.line(");\n-- The job loads each file once. It needs an S3 event integration on the bucket.")
	w.line("COPY %s\nFROM %s\nIAM_ROLE '<role_arn>'\nFORMAT AS AVRO 'auto'\nTRUNCATECOLUMNS\nJOB CREATE %s_job AUTO ON;", w.table, sqlText(w.of.url("s3", w.t)+"/"), w.table)
}

func (w ddl) spark() {
	w.line("-- The folder event_type=… is the root, so that date= becomes a column. New files are seen after REFRESH TABLE.")
	w.line("CREATE OR REPLACE TEMPORARY VIEW %s_files\nUSING avro\nOPTIONS (\n  path %s,\n  avroSchema %s\n);", w.table,
		slashText(w.of.url("s3a", w.t)), slashText(readerSchema(w.t, w.fields)))
	w.line("CREATE OR REPLACE TEMPORARY VIEW %s AS\nSELECT", w.table)
	w.list(true, func(f event.Field) string { return "`" + f.Name + "`" })
	w.line("  CAST(`date` AS STRING) AS accepted_hour\nFROM %s_files\nWHERE input_file_name() NOT LIKE '%%+test-%%';", w.table)
}

func (w ddl) bigquery() {
	types := map[event.Kind]string{event.String: "STRING", event.Int: "INT64", event.Long: "INT64", event.Float: "FLOAT64",
		event.Double: "FLOAT64", event.Boolean: "BOOL", event.Strings: "ARRAY<STRING>"}
	for _, f := range w.fields {
		if f.NullableItems {
			w.line("-- Items of %s may be null, which BigQuery does not keep in arrays.", f.Name)
		}
	}
	w.line("-- The dataset and the connection are in the AWS region of the bucket.")
	w.line("CREATE EXTERNAL TABLE IF NOT EXISTS `<dataset>.%s_files` (", w.table)
	w.list(false, func(f event.Field) string { return "`" + f.Name + "` " + types[f.Kind] })
	// The levels below date= are not key=value, which BigQuery's reading of partitions does not take.
	w.line(")\nWITH CONNECTION `<aws-region.connection>`\nOPTIONS (\n  format = 'AVRO',\n  uris = [%s]\n);", slashText(w.of.url("s3", w.t)+"/*"))
	w.line("CREATE OR REPLACE VIEW `<dataset>.%s` AS\nSELECT\n  *,\n  REGEXP_EXTRACT(_FILE_NAME, r'/date=([0-9-]+)/') AS accepted_hour\nFROM `<dataset>.%s_files`\nWHERE _FILE_NAME NOT LIKE '%%+test-%%';", w.table, w.table)
}

func (w ddl) duckdb() {
	w.line("INSTALL avro;\nLOAD avro;\nINSTALL httpfs;\nLOAD httpfs;")
	w.line("-- CREATE SECRET (TYPE s3, PROVIDER credential_chain); gives access to the bucket.")
	w.line("CREATE OR REPLACE VIEW %s AS\nSELECT", w.table)
	w.list(true, func(f event.Field) string { return `"` + f.Name + `"` })
	w.line("  regexp_extract(filename, '/date=([0-9-]+)/', 1) AS accepted_hour\nFROM read_avro(%s, filename = true, union_by_name = true)\nWHERE filename NOT LIKE '%%+test-%%';",
		sqlText(w.of.url("s3", w.t)+"/*/*/*/*.avro"))
}

// readerSchema is the newest schema without documentation, for systems that are told by which schema to read.
func readerSchema(t *event.Type, fields []event.Field) string {
	names := map[event.Kind]string{event.String: `"string"`, event.Int: `"int"`, event.Long: `"long"`, event.Float: `"float"`,
		event.Double: `"double"`, event.Boolean: `"boolean"`, event.Strings: `{"type":"array","items":"string"}`}
	b := &strings.Builder{}
	dot := strings.LastIndexByte(t.Record, '.')
	fmt.Fprintf(b, `{"type":"record","name":"%s","namespace":"%s","fields":[`, t.Record[dot+1:], t.Record[:max(dot, 0)])
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		kind := names[f.Kind]
		if f.NullableItems {
			kind = `{"type":"array","items":["null","string"]}`
		}
		if f.Nullable {
			fmt.Fprintf(b, `{"name":"%s","type":["null",%s],"default":null}`, f.Name, kind)
		} else {
			fmt.Fprintf(b, `{"name":"%s","type":%s}`, f.Name, kind)
		}
	}
	b.WriteString("]}")
	return b.String()
}
