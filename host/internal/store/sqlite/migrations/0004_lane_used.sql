-- When a lane last had a delivery, about: lanes of pairs of addresses that no
-- longer talk are deleted.
ALTER TABLE lane ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
