-- duckdb: users.tests.Made, schema id 77. Written from the documentation of duckdb, not run by this project.
INSTALL avro;
LOAD avro;
INSTALL httpfs;
LOAD httpfs;
-- CREATE SECRET (TYPE s3, PROVIDER credential_chain); gives access to the bucket.
CREATE OR REPLACE VIEW users_tests_made AS
SELECT
  "id",
  "user_id",
  "external_user_id",
  "time",
  "time_ms",
  "price",
  "score",
  "machine_open",
  "reasons",
  "media_urls",
  "campaign_name",
  "email_address",
  "user_agent",
  regexp_extract(filename, '/date=([0-9-]+)/', 1) AS accepted_hour
FROM read_avro('s3://acme-currents/currents/o''neil/dataexport.prod-01.S3.integration.65f0c0ffee65f0c0ffee0001/event_type=users.tests.Made/*/*/*/*.avro', filename = true, union_by_name = true)
WHERE filename NOT LIKE '%+test-%';
