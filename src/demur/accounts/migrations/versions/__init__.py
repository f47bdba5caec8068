"""The revisions. Each is named in `accounts.schema.VERSIONS`, and none is changed once it was released."""
