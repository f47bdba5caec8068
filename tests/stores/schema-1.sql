BEGIN TRANSACTION;
CREATE TABLE change (number INTEGER PRIMARY KEY, session BLOB, subject TEXT);
INSERT INTO "change" VALUES(1,X'FEB869238DE3A1972C6CF6D93C27157DF3DF3A00A202F1CD2355C9113F491EF8',NULL);
CREATE TABLE hit (key BLOB PRIMARY KEY, count INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "hit" VALUES(X'6B6579',1,1800000060);
CREATE TABLE meta (epoch BLOB NOT NULL, checks INTEGER NOT NULL);
INSERT INTO "meta" VALUES(X'8C0E9560CCCAA2D2AE63B938C9D48270',0);
CREATE TABLE person (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, snapshot TEXT NOT NULL
);
INSERT INTO "person" VALUES(1,'alice',1,'["alice","alice",["admins","staff"],[["report:read",1800086400]],false,1,"Alice \u00c5ngstr\u00f6m","alice@example.com"]');
INSERT INTO "person" VALUES(2,'bob',1,'["bob","bob",["admins","staff"],[["report:read",1800086400]],false,1,"Alice \u00c5ngstr\u00f6m","alice@example.com"]');
CREATE TABLE session (
    number INTEGER PRIMARY KEY, id BLOB NOT NULL, person INTEGER NOT NULL,
    issued_at INTEGER, authenticated_at INTEGER, last_seen INTEGER, expires_at INTEGER, idle INTEGER,
    acr TEXT, persistent INTEGER, device TEXT, network TEXT,
    how INTEGER, ended_at INTEGER, actor INTEGER
);
INSERT INTO "session" VALUES(1,X'7DBD06D023712B32C0964DCC971212A1AD7BCB29B3E70722B428E60B1ECADAD2',1,1800000000,1800000000,1800000000,1800086400,3600,'pwd',0,'Firefox on Linux','203.0.113.0/24',NULL,NULL,NULL);
INSERT INTO "session" VALUES(2,X'FEB869238DE3A1972C6CF6D93C27157DF3DF3A00A202F1CD2355C9113F491EF8',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,4,1800000007,2);
CREATE TABLE value (key BLOB PRIMARY KEY, value BLOB NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "value" VALUES(X'6B6579',X'76616C7565',1800000010);
CREATE INDEX session_id ON session (substr(id, 1, 8));
CREATE INDEX session_person ON session (person) WHERE how IS NULL;
CREATE INDEX session_limit ON session (min(expires_at, iif(idle = 0, expires_at, last_seen + idle))) WHERE how IS NULL;
CREATE INDEX session_ended ON session (ended_at) WHERE how IS NOT NULL;
CREATE INDEX value_until ON value (until);
CREATE INDEX hit_until ON hit (until);
COMMIT;
PRAGMA application_id = 1684895090;
PRAGMA user_version = 1;
