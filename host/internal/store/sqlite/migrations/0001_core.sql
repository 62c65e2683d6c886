-- The first schema. Times are Unix milliseconds; links are interned.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE link (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- Actors as their home network authenticated them, and how they appear elsewhere.
CREATE TABLE actor (
  id INTEGER PRIMARY KEY, link INTEGER NOT NULL, remote TEXT NOT NULL, kind INTEGER NOT NULL,
  handle TEXT NOT NULL, name TEXT NOT NULL, profile TEXT NOT NULL, consent INTEGER NOT NULL, seen INTEGER NOT NULL,
  UNIQUE (link, remote));
CREATE TABLE puppet (
  link INTEGER NOT NULL, remote TEXT NOT NULL, actor INTEGER NOT NULL,
  PRIMARY KEY (link, remote)) WITHOUT ROWID;
CREATE INDEX puppet_actor ON puppet (actor, link);

-- Items, and every name that they have in any network. own = 1: a copy made by this host.
CREATE TABLE item (
  id INTEGER PRIMARY KEY, link INTEGER NOT NULL, remote TEXT NOT NULL, place TEXT NOT NULL, author INTEGER NOT NULL,
  visibility INTEGER NOT NULL, revision INTEGER NOT NULL, state INTEGER NOT NULL, moderated INTEGER NOT NULL,
  created INTEGER NOT NULL);
CREATE TABLE mapping (
  link INTEGER NOT NULL, remote TEXT NOT NULL, item INTEGER NOT NULL, place TEXT NOT NULL, own INTEGER NOT NULL,
  rule TEXT NOT NULL, made INTEGER NOT NULL, rank INTEGER NOT NULL,
  PRIMARY KEY (link, remote)) WITHOUT ROWID;
CREATE INDEX mapping_copy ON mapping (item, link, place) WHERE own = 1;

-- The journal. sum covers the row's own columns and its body, so that damage is noticed.
CREATE TABLE event (
  seq INTEGER PRIMARY KEY, link INTEGER NOT NULL, place TEXT NOT NULL, kind INTEGER NOT NULL, actor INTEGER NOT NULL,
  item INTEGER, dedup TEXT, time INTEGER NOT NULL, fate INTEGER NOT NULL, audit TEXT NOT NULL, parent INTEGER,
  sum INTEGER NOT NULL, body BLOB);
CREATE UNIQUE INDEX event_dedup ON event (link, dedup) WHERE dedup IS NOT NULL;
CREATE INDEX event_item ON event (item) WHERE item IS NOT NULL;
CREATE TABLE waiting (event INTEGER PRIMARY KEY, until INTEGER NOT NULL, link INTEGER NOT NULL, remote TEXT NOT NULL);

-- Lanes. A delivery's seq is that of its event: an event goes to a lane at most once.
CREATE TABLE lane (
  id INTEGER PRIMARY KEY, link INTEGER NOT NULL, place TEXT NOT NULL, fails INTEGER NOT NULL, due INTEGER NOT NULL,
  uncertain INTEGER NOT NULL, UNIQUE (link, place));
CREATE TABLE delivery (
  lane INTEGER NOT NULL, seq INTEGER NOT NULL, rule TEXT NOT NULL, created INTEGER NOT NULL,
  PRIMARY KEY (lane, seq)) WITHOUT ROWID;
CREATE TABLE dead (
  lane INTEGER NOT NULL, seq INTEGER NOT NULL, rule TEXT NOT NULL, created INTEGER NOT NULL, died INTEGER NOT NULL,
  attempts INTEGER NOT NULL, kind INTEGER NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (lane, seq)) WITHOUT ROWID;
CREATE TABLE loss (
  event INTEGER NOT NULL, lane INTEGER NOT NULL, rule TEXT NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (event, lane)) WITHOUT ROWID;

-- Small values of the links.
CREATE TABLE kv (link INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (link, key)) WITHOUT ROWID;
