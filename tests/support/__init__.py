"""What tests of several rooms share: servers to test against, and small entries that phases run."""
