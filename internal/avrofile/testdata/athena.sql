-- athena: users.tests.Made, schema id 77. Written from the documentation of athena, not run by this project.
CREATE EXTERNAL TABLE IF NOT EXISTS users_tests_made_files (
  `id` string,
  `user_id` string,
  `external_user_id` string,
  `time` int,
  `time_ms` bigint,
  `price` float,
  `score` double,
  `machine_open` boolean,
  `reasons` array<string>,
  `media_urls` array<string>,
  `campaign_name` string,
  `email_address` string,
  `user_agent` string
)
PARTITIONED BY (accepted_hour string)
ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.avro.AvroSerDe'
WITH SERDEPROPERTIES ('avro.schema.literal' = '{"type":"record","name":"Made","namespace":"dataexport.S3.inner.users.tests","fields":[{"name":"id","type":"string"},{"name":"user_id","type":"string"},{"name":"external_user_id","type":["null","string"],"default":null},{"name":"time","type":"int"},{"name":"time_ms","type":["null","long"],"default":null},{"name":"price","type":"float"},{"name":"score","type":["null","double"],"default":null},{"name":"machine_open","type":["null","boolean"],"default":null},{"name":"reasons","type":["null",{"type":"array","items":"string"}],"default":null},{"name":"media_urls","type":{"type":"array","items":["null","string"]}},{"name":"campaign_name","type":["null","string"],"default":null},{"name":"email_address","type":["null","string"],"default":null},{"name":"user_agent","type":["null","string"],"default":null}]}')
STORED AS AVRO
LOCATION 's3://acme-currents/currents/o''neil/dataexport.prod-01.S3.integration.65f0c0ffee65f0c0ffee0001/event_type=users.tests.Made/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.accepted_hour.type' = 'date',
  'projection.accepted_hour.format' = 'yyyy-MM-dd-HH',
  'projection.accepted_hour.range' = '<first hour, as 2026-01-01-00>,NOW',
  'projection.accepted_hour.interval' = '1',
  'projection.accepted_hour.interval.unit' = 'HOURS',
  'storage.location.template' = 's3://acme-currents/currents/o''neil/dataexport.prod-01.S3.integration.65f0c0ffee65f0c0ffee0001/event_type=users.tests.Made/date=${accepted_hour}/'
);
CREATE OR REPLACE VIEW users_tests_made AS
SELECT * FROM users_tests_made_files WHERE "$path" NOT LIKE '%+test-%';
