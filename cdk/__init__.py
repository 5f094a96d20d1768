"""The AWS account as code, one file a stack. It takes names and settings from `lab`; nothing imports it."""
