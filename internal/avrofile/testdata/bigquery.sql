-- bigquery: users.tests.Made, schema id 77. Written from the documentation of bigquery, not run by this project.
-- Items of media_urls may be null, which BigQuery does not keep in arrays.
-- The dataset and the connection are in the AWS region of the bucket.
CREATE EXTERNAL TABLE IF NOT EXISTS `<dataset>.users_tests_made_files` (
  `id` STRING,
  `user_id` STRING,
  `external_user_id` STRING,
  `time` INT64,
  `time_ms` INT64,
  `price` FLOAT64,
  `score` FLOAT64,
  `machine_open` BOOL,
  `reasons` ARRAY<STRING>,
  `media_urls` ARRAY<STRING>,
  `campaign_name` STRING,
  `email_address` STRING,
  `user_agent` STRING
)
WITH CONNECTION `<aws-region.connection>`
OPTIONS (
  format = 'AVRO',
  uris = ['s3://acme-currents/currents/o\'neil/dataexport.prod-01.S3.integration.65f0c0ffee65f0c0ffee0001/event_type=users.tests.Made/*']
);
CREATE OR REPLACE VIEW `<dataset>.users_tests_made` AS
SELECT
  *,
  REGEXP_EXTRACT(_FILE_NAME, r'/date=([0-9-]+)/') AS accepted_hour
FROM `<dataset>.users_tests_made_files`
WHERE _FILE_NAME NOT LIKE '%+test-%';
