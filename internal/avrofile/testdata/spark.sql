-- spark: users.tests.Made, schema id 77. Written from the documentation of spark, not run by this project.
-- The folder event_type=… is the root, so that date= becomes a column. New files are seen after REFRESH TABLE.
CREATE OR REPLACE TEMPORARY VIEW users_tests_made_files
USING avro
OPTIONS (
  path 's3a://acme-currents/currents/o\'neil/dataexport.prod-01.S3.integration.65f0c0ffee65f0c0ffee0001/event_type=users.tests.Made',
  avroSchema '{"type":"record","name":"Made","namespace":"dataexport.S3.inner.users.tests","fields":[{"name":"id","type":"string"},{"name":"user_id","type":"string"},{"name":"external_user_id","type":["null","string"],"default":null},{"name":"time","type":"int"},{"name":"time_ms","type":["null","long"],"default":null},{"name":"price","type":"float"},{"name":"score","type":["null","double"],"default":null},{"name":"machine_open","type":["null","boolean"],"default":null},{"name":"reasons","type":["null",{"type":"array","items":"string"}],"default":null},{"name":"media_urls","type":{"type":"array","items":["null","string"]}},{"name":"campaign_name","type":["null","string"],"default":null},{"name":"email_address","type":["null","string"],"default":null},{"name":"user_agent","type":["null","string"],"default":null}]}'
);
CREATE OR REPLACE TEMPORARY VIEW users_tests_made AS
SELECT
  `id`,
  `user_id`,
  `external_user_id`,
  `time`,
  `time_ms`,
  `price`,
  `score`,
  `machine_open`,
  `reasons`,
  `media_urls`,
  `campaign_name`,
  `email_address`,
  `user_agent`,
  CAST(`date` AS STRING) AS accepted_hour
FROM users_tests_made_files
WHERE input_file_name() NOT LIKE '%+test-%';
