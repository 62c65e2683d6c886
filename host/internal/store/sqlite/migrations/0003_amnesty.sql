-- When dead letters of a lane were revived: up to the seq pardoned the age of a
-- delivery counts from then.
ALTER TABLE lane ADD COLUMN amnesty INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lane ADD COLUMN pardoned INTEGER NOT NULL DEFAULT 0;
