"""The whole laboratory in one folder: SQLite for ledger and queues, plain files for the store, journal and outbox."""
