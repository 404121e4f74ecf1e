-- redshift: users.tests.Made, schema id 77. Written from the documentation of redshift, not run by this project.
-- Arrays arrive as JSON text; texts of more than 65,535 bytes are cut.
-- Events sent as a test are loaded too; their id begins with test-.
CREATE TABLE IF NOT EXISTS users_tests_made (
  "id" VARCHAR(65535) NOT NULL,
  "user_id" VARCHAR(65535) NOT NULL,
  "external_user_id" VARCHAR(65535),
  "time" INTEGER NOT NULL,
  "time_ms" BIGINT,
  "price" REAL NOT NULL,
  "score" DOUBLE PRECISION,
  "machine_open" BOOLEAN,
  "reasons" VARCHAR(65535),
  "media_urls" VARCHAR(65535) NOT NULL,
  "campaign_name" VARCHAR(65535),
  "email_address" VARCHAR(65535),
  "user_agent" VARCHAR(65535)
);
-- The job loads each file once. It needs an S3 event integration on the bucket.
COPY users_tests_made
FROM 's3://acme-currents/currents/o''neil/dataexport.prod-01.S3.integration.65f0c0ffee65f0c0ffee0001/event_type=users.tests.Made/'
IAM_ROLE '<role_arn>'
FORMAT AS AVRO 'auto'
TRUNCATECOLUMNS
JOB CREATE users_tests_made_job AUTO ON;
