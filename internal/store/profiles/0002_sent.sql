-- When a campaign was first and last sent, or a Canvas entered, as events say; NULL: never.
ALTER TABLE people_names ADD COLUMN first_sent INTEGER;
ALTER TABLE people_names ADD COLUMN last_sent INTEGER;

-- Of what was sent so far the day is known.
UPDATE people_names SET
  first_sent = (SELECT MIN(s.hour) FROM people_stats s WHERE s.name = people_names.id AND (s.counter IN (1, 34) OR s.counter = 11 AND s.channel IN ('in_app', 'banner'))) * 3600000,
  last_sent  = (SELECT MAX(s.hour) FROM people_stats s WHERE s.name = people_names.id AND (s.counter IN (1, 34) OR s.counter = 11 AND s.channel IN ('in_app', 'banner'))) * 3600000
WHERE kind IN (4, 5);
