-- What a store itself said of a lane's last error, in its own words.
ALTER TABLE health ADD COLUMN said TEXT NOT NULL DEFAULT '';
