-- snowflake: users.tests.Made, schema id 77. Written from the documentation of snowflake, not run by this project.
CREATE TABLE IF NOT EXISTS users_tests_made (
  "ID" VARCHAR NOT NULL,
  "USER_ID" VARCHAR NOT NULL,
  "EXTERNAL_USER_ID" VARCHAR,
  "TIME" NUMBER(10,0) NOT NULL,
  "TIME_MS" NUMBER(19,0),
  "PRICE" FLOAT NOT NULL,
  "SCORE" FLOAT,
  "MACHINE_OPEN" BOOLEAN,
  "REASONS" ARRAY,
  "MEDIA_URLS" ARRAY NOT NULL,
  "CAMPAIGN_NAME" VARCHAR,
  "EMAIL_ADDRESS" VARCHAR,
  "USER_AGENT" VARCHAR,
  accepted_hour VARCHAR NOT NULL,
  file_name VARCHAR NOT NULL
);
CREATE STAGE IF NOT EXISTS users_tests_made_files
  URL = 's3://acme-currents/currents/o''neil/dataexport.prod-01.S3.integration.65f0c0ffee65f0c0ffee0001/event_type=users.tests.Made/'
  STORAGE_INTEGRATION = <storage_integration>
  FILE_FORMAT = (TYPE = AVRO);
-- Snowpipe loads each file once. Files never change, so nothing needs to be loaded again.
CREATE PIPE IF NOT EXISTS users_tests_made_pipe AUTO_INGEST = TRUE AS
COPY INTO users_tests_made FROM (
  SELECT
    $1:"id"::VARCHAR,
    $1:"user_id"::VARCHAR,
    $1:"external_user_id"::VARCHAR,
    $1:"time"::NUMBER,
    $1:"time_ms"::NUMBER,
    $1:"price"::FLOAT,
    $1:"score"::FLOAT,
    $1:"machine_open"::BOOLEAN,
    $1:"reasons"::ARRAY,
    $1:"media_urls"::ARRAY,
    $1:"campaign_name"::VARCHAR,
    $1:"email_address"::VARCHAR,
    $1:"user_agent"::VARCHAR,
    REGEXP_SUBSTR(METADATA$FILENAME, 'date=([0-9-]+)', 1, 1, 'e'),
    METADATA$FILENAME
  FROM @users_tests_made_files
)
PATTERN = '.*[+][0-9]+[+][0-9]+[.]avro'
FILE_FORMAT = (TYPE = AVRO);
