-- What became of events, until the link that published them has heard of it.
CREATE TABLE outcome (
  link INTEGER NOT NULL, id INTEGER NOT NULL, made INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (link, id)) WITHOUT ROWID;
